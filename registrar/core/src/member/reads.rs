//! Reads that see everything agreed upon before they were asked for: a leader asks a majority
//! whether it still leads, once for all reads that came together.

use super::Member;
use crate::effect::{Effect, Refusal};
use crate::members::MemberId;
use raft::ReadState;
use std::collections::BTreeMap;

pub(super) struct Reads {
    /// What tells the questions of this start of this member apart from all others.
    prefix: [u8; 16],
    asked: u64,
    /// For a leader that has not agreed on anything in its term yet.
    waiting: Vec<u64>,
    waiting_since: u64,
    /// By the number of the question: when it was asked, and for which reads.
    open: BTreeMap<u64, (u64, Vec<u64>)>,
    /// Answered, but the state is not that new yet: by index.
    behind: Vec<(u64, Vec<u64>)>,
}

impl Reads {
    pub(super) fn new(id: MemberId, incarnation: u64) -> Self {
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&id.get().to_le_bytes());
        prefix[8..].copy_from_slice(&incarnation.to_le_bytes());
        Self {
            prefix,
            asked: 0,
            waiting: Vec::new(),
            waiting_since: 0,
            open: BTreeMap::new(),
            behind: Vec::new(),
        }
    }

    fn drop_open(&mut self, before: u64, reason: &Refusal, effects: &mut Vec<Effect>) {
        let mut drop = |ids: &mut Vec<u64>| {
            let reason = || reason.clone();
            effects.extend(ids.drain(..).map(|id| Effect::ReadDropped { id, reason: reason() }));
        };
        if self.waiting_since < before {
            drop(&mut self.waiting);
        }
        self.open.retain(|_, (since, ids)| {
            let keep = *since >= before;
            if !keep {
                drop(ids);
            }
            keep
        });
    }
}

impl Member {
    pub(super) fn read(&mut self, ids: Vec<u64>, effects: &mut Vec<Effect>) {
        if ids.is_empty() {
            return;
        }
        if self.leader().is_none() {
            let reason = || Refusal::NotLeading { leader: None };
            effects.extend(ids.into_iter().map(|id| Effect::ReadDropped { id, reason: reason() }));
            return;
        }
        if self.leads() && !self.raw.raft.commit_to_current_term() {
            if self.reads.waiting.is_empty() {
                self.reads.waiting_since = self.clockwork.ticks;
            }
            self.reads.waiting.extend(ids);
            return;
        }
        self.reads.asked += 1;
        let number = self.reads.asked;
        self.reads.open.insert(number, (self.clockwork.ticks, ids));
        let mut context = self.reads.prefix.to_vec();
        context.extend_from_slice(&number.to_le_bytes());
        self.raw.read_index(context);
    }

    /// Raft has answers.
    pub(super) fn answer_reads(&mut self, states: Vec<ReadState>, effects: &mut Vec<Effect>) {
        for state in states {
            let number = state.request_ctx.strip_prefix(&self.reads.prefix[..]);
            let number = number.and_then(|number| number.try_into().ok()).map(u64::from_le_bytes);
            if let Some((_, ids)) = number.and_then(|number| self.reads.open.remove(&number)) {
                self.reads.behind.push((state.index, ids));
            }
        }
        self.release_reads(effects);
    }

    /// The state is as new as `applied` says.
    pub(super) fn release_reads(&mut self, effects: &mut Vec<Effect>) {
        let applied = self.applied;
        self.reads.behind.retain_mut(|(index, ids)| {
            let ready = *index <= applied;
            if ready {
                let ids = ids.drain(..);
                effects.extend(ids.map(|id| Effect::ReadReady { id, index: applied }));
            }
            !ready
        });
        if !self.reads.waiting.is_empty() && self.raw.raft.commit_to_current_term() {
            let ids = std::mem::take(&mut self.reads.waiting);
            self.read(ids, effects);
        }
    }

    /// Whoever was asked does not lead any more.
    pub(super) fn drop_reads(&mut self, effects: &mut Vec<Effect>) {
        let reason = Refusal::NotLeading { leader: self.leader() };
        self.reads.drop_open(u64::MAX, &reason, effects);
    }

    pub(super) fn expire_reads(&mut self, effects: &mut Vec<Effect>) {
        let patience = self.options.election_ticks as u64;
        let before = self.clockwork.ticks.saturating_sub(patience);
        self.reads.drop_open(before, &Refusal::NoMajority, effects);
    }
}
