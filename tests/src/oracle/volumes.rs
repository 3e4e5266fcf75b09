//! Persistent volumes: what is in them stays until somebody destroys them.
//!
//! I22: a volume is deleted only once the registry says that it is destroyed, a task that uses a
//! volume finds in it what the tasks before it left there, and some time after the faults every
//! host has the volumes that the registry names, and no others: those that could not be deleted
//! are named as such until they are.

use super::{Verdict, broken};
use agent_core::Volume;
use master_core::Registry;
use proto::AgentId;
use std::collections::{BTreeMap, BTreeSet};

/// All volumes of all hosts.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// By the registry.
    wanted: BTreeMap<AgentId, BTreeSet<Volume>>,
    /// Destroyed, and not known to be deleted, by the registry.
    doomed: BTreeMap<AgentId, BTreeSet<Volume>>,
    /// What a task found in a volume, as long as that was not deleted.
    seen: BTreeMap<(AgentId, Volume), u64>,
}

/// The volumes that the registry names on an agent.
fn named(registry: &Registry, agent: &AgentId) -> BTreeSet<Volume> {
    let agent = registry.agents().get(agent);
    let pieces = agent.into_iter().flat_map(|agent| agent.info.resources.pieces());
    pieces.filter_map(Volume::of).collect()
}

impl Volumes {
    pub(super) fn begin(&mut self, registry: &Registry) {
        self.wanted.clear();
        self.doomed.clear();
        registry.agents().keys().for_each(|agent| self.follow(agent, registry));
    }

    /// What is reserved and made on an agent may have changed.
    pub(super) fn follow(&mut self, agent: &AgentId, registry: &Registry) {
        self.wanted.insert(agent.clone(), named(registry, agent));
        let known = registry.agents().get(agent);
        let doomed = known.into_iter().flat_map(|known| &known.doomed).filter_map(Volume::of);
        self.doomed.insert(agent.clone(), doomed.collect());
    }

    /// A host deletes a volume and all that is in it.
    pub(super) fn deleted(&mut self, agent: &AgentId, volume: &Volume) -> Verdict {
        self.seen.remove(&(agent.clone(), volume.clone()));
        if self.wanted.get(agent).is_some_and(|all| all.contains(volume)) {
            return broken("I22", format!("{volume} on {agent} is deleted, and not destroyed"));
        }
        Ok(())
    }

    /// A task is started with a volume, in which it finds this.
    pub(super) fn used(
        &mut self,
        agent: &AgentId,
        volume: &Volume,
        content: Option<u64>,
    ) -> Verdict {
        let Some(content) = content else {
            return broken("I22", format!("a task runs with {volume} on {agent}, not there"));
        };
        let known = *self.seen.entry((agent.clone(), volume.clone())).or_insert(content);
        if known != content {
            return broken("I22", format!("{volume} on {agent} is empty, and was full"));
        }
        Ok(())
    }

    /// What a host has against what the registry names.
    pub(super) fn settled(&self, agent: &AgentId, there: &BTreeSet<Volume>) -> Result<(), String> {
        let none = BTreeSet::new();
        let wanted = self.wanted.get(agent).unwrap_or(&none);
        let doomed = self.doomed.get(agent).unwrap_or(&none);
        let mut missing = wanted.difference(there);
        let mut left = there.iter().filter(|volume| !wanted.contains(volume));
        match (missing.next(), left.find(|volume| !doomed.contains(volume))) {
            (None, None) => Ok(()),
            (Some(volume), _) => Err(format!("only the registry has {volume} of {agent}")),
            (None, Some(volume)) => Err(format!("only the host has {volume} of {agent}")),
        }
    }
}
