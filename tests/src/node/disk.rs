//! A host's disk as far as persistent volumes go: which there are, and what is in them.
//!
//! It survives everything but an order to delete. Making and deleting are done at once and told
//! later, so that a crash in between leaves an order done and not answered; now and then one fails.

use crate::prng::Prng;
use agent_core::{Volume, VolumeOrder};
use proto::AgentId;
use proto::agent_link::VolumeFailure;
use std::collections::BTreeMap;

/// The content of a volume, by when it was made: a number that is never given twice.
pub(crate) type Content = u64;

/// The volumes of one host, by the agent id whose they are.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    volumes: BTreeMap<(AgentId, Volume), Content>,
    made: Content,
}

/// What an order did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) not_made: Vec<VolumeFailure>,
    pub(crate) not_deleted: Vec<VolumeFailure>,
    pub(crate) deleted: Vec<Volume>,
}

fn failure(volume: &Volume, message: &str) -> VolumeFailure {
    let (role, id) = (volume.role.clone(), volume.id.clone());
    VolumeFailure { role, id, message: message.into() }
}

impl Disk {
    /// Carries an order out; one in `one_in` of what it asks for fails.
    pub(crate) fn apply(
        &mut self,
        order: &VolumeOrder,
        random: &mut Prng,
        one_in: Option<u64>,
    ) -> Done {
        let mut done = Done::default();
        let mut fails = || one_in.is_some_and(|many| random.below(many) == 0);
        for wanted in &order.make {
            let key = (order.agent_id.clone(), wanted.volume.clone());
            if self.volumes.contains_key(&key) {
                continue;
            }
            if wanted.made_before {
                done.not_made.push(failure(&wanted.volume, "it is not there any more"));
            } else if fails() {
                done.not_made.push(failure(&wanted.volume, "no space is left"));
            } else {
                self.made += 1;
                self.volumes.insert(key, self.made);
            }
        }
        for volume in &order.delete {
            if fails() {
                done.not_deleted.push(failure(volume, "the disk does not answer"));
                continue;
            }
            self.volumes.remove(&(order.agent_id.clone(), volume.clone()));
            done.deleted.push(volume.clone());
        }
        done
    }

    /// What is in a volume, if it is there.
    pub(crate) fn content(&self, agent: &AgentId, volume: &Volume) -> Option<Content> {
        self.volumes.get(&(agent.clone(), volume.clone())).copied()
    }

    /// The volumes of one agent id.
    pub(crate) fn volumes_of(&self, agent: &AgentId) -> impl Iterator<Item = &Volume> {
        let of = self.volumes.keys().filter(move |(id, _)| id == agent);
        of.map(|(_, volume)| volume)
    }
}
