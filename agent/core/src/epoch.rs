//! Which master counts: the one of the newest epoch that this agent has seen.
//!
//! Each master that begins to lead does so in an epoch of its own, one more than the last. One that
//! was paused or cut off may not know yet that another leads; whoever has heard the other one must
//! not do as it says. So the newest epoch is durable before anything is done that was said in it,
//! and a master of an older one is left.
//!
//! A master that names no epoch (0) is obeyed as long as none has named one. Epochs are counted in
//! each cluster by itself.

use crate::effect::{CheckpointOp, Effect, Note};
use crate::input::EpochRecord;
use crate::state::Agent;
use proto::{ClusterId, Time};

/// What the agent knows of epochs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    newest: EpochRecord,
    /// The newest that was said, and obeyed, on the current stream.
    obeyed: Option<u64>,
}

impl Epochs {
    pub(crate) fn recovered(record: Option<EpochRecord>) -> Self {
        Self { newest: record.unwrap_or_default(), obeyed: None }
    }

    /// The newest one of this cluster; one that is not known may be any.
    fn newest_of(&self, cluster: Option<&ClusterId>) -> u64 {
        let elsewhere = match (&self.newest.cluster_id, cluster) {
            (Some(counted_in), Some(cluster)) => counted_in != cluster,
            (_, None) | (None, _) => false,
        };
        if elsewhere { 0 } else { self.newest.epoch }
    }

    /// The stream is gone.
    pub(crate) fn unheard(&mut self) {
        self.obeyed = None;
    }

    /// Another master was heard, and nobody knows when.
    #[cfg(test)]
    pub(crate) fn plant(&mut self, epoch: u64) {
        self.newest.epoch = epoch;
    }
}

impl Agent {
    /// The newest epoch that a master named; 0 before one did.
    pub fn epoch(&self) -> u64 {
        self.epochs.newest_of(self.current_cluster())
    }

    /// Whether what was obeyed last on the current stream was said in the newest epoch.
    pub(crate) fn obeys_the_newest(&self) -> bool {
        self.epochs.obeyed == Some(self.epoch())
    }

    /// Whether a master that leads in `epoch` is obeyed. One that is not is left.
    pub(crate) fn obeys(&mut self, now: Time, epoch: u64, effects: &mut Vec<Effect>) -> bool {
        let newest = self.epoch();
        if epoch < newest {
            self.leave_old(now, epoch, newest, effects);
            return false;
        }
        self.epochs.obeyed = Some(epoch);
        if epoch > newest {
            let cluster_id = self.current_cluster().cloned();
            self.epochs.newest = EpochRecord { epoch, cluster_id };
            effects.push(Effect::Persist(CheckpointOp::PutEpoch(self.epochs.newest.clone())));
        }
        true
    }

    fn leave_old(&mut self, now: Time, epoch: u64, newest: u64, effects: &mut Vec<Effect>) {
        effects.push(Effect::Disconnect { link: self.link.number() });
        let retry_after = self.back_off(now);
        self.counters.old_masters += 1;
        effects.push(Effect::Note(Note::OldEpoch { epoch, newest, retry_after }));
    }
}

#[cfg(test)]
mod tests;
