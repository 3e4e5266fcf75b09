//! Agents do what masters of the newest epoch say, and nothing that an older one says.
//!
//! I13: what an agent heard and did in one epoch bars all older ones, as long as it remembers; and
//! what it remembers is durable before anything that rests on it.

use super::{Verdict, broken};
use agent_core::{CheckpointOp, Effect, Note, Recovered};
use std::collections::BTreeMap;

/// By agent: the newest epoch in which it did as it was told.
#[derive(Debug, Default)]
pub(super) struct Fence(BTreeMap<usize, u64>);

/// Whether this is more than leaving a master, or noting something for people.
fn obeys(effect: &Effect) -> bool {
    match effect {
        // That the epoch is new is not yet what was said in it.
        Effect::Persist(op) => !matches!(op, CheckpointOp::PutEpoch(_)),
        Effect::Launch(_) | Effect::Kill { .. } | Effect::ApplyVolumes(_) => true,
        Effect::ToMaster { .. } | Effect::Record(_) => true,
        Effect::Note(Note::Registered { .. }) => true,
        _ => false,
    }
}

impl Fence {
    /// An agent starts with what its disk gives. What it never made durable it may have heard.
    pub(super) fn begin(&mut self, agent: usize, recovered: &Recovered) {
        let known = recovered.epoch.as_ref().map_or(0, |record| record.epoch);
        let heard = self.0.entry(agent).or_default();
        *heard = known.min(*heard);
    }

    /// A master of this epoch said something, and this is what the agent does.
    pub(super) fn heard(&mut self, agent: usize, epoch: u64, effects: &[Effect]) -> Verdict {
        let newest = self.0.entry(agent).or_default();
        if epoch < *newest && effects.iter().any(obeys) {
            let what = format!("a{agent} obeys a master of epoch {epoch}, and has heard {newest}");
            return broken("I13", what);
        }
        *newest = epoch.max(*newest);
        Ok(())
    }
}
