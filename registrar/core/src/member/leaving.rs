//! The end of a member that was removed, and what has to be durable before anybody says so to it.
//!
//! Those that stay may need its vote for a while: one that does not know yet, or was started again
//! and knew it only from memory, counts it among the voters. So it lingers. It answers votes and
//! entries as ever, but stands for nothing, and ends when so many of those that stay have said that
//! it was removed that every majority of them has one that said so. Who says so comes back with the
//! members without it whatever happens, and whoever asks such a one for its vote learns of them.
//!
//! A restart brings back the members of the last snapshot, and those of the entries after it up to
//! where the log is known to be agreed upon. That index is not synced by itself; here it is, once
//! the members have changed.

use super::{Member, Waiting};
use crate::effect::{Effect, Loss, Write};
use crate::members::MemberId;
use std::collections::BTreeSet;

/// Who said that this member was removed.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    told_by: BTreeSet<MemberId>,
    /// When the first did, in ticks.
    since: Option<u64>,
}

impl Member {
    /// Whether it knows the members, and is none of them any more.
    pub(super) fn is_removed(&self) -> bool {
        self.members_index > 0 && !self.members.contains(self.id)
    }

    /// It was just removed: should it lead, which it was not to when that was decided, another one
    /// has to. Raft itself would go on, and count on its own progress, which is gone.
    pub(super) fn step_aside(&mut self) {
        if !self.leads() {
            return;
        }
        if let Some(next) = self.successor() {
            self.raw.raft.send_timeout_now(next.get());
        }
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, raft::INVALID_ID);
    }

    pub(super) fn told_removed(&mut self, by: MemberId, index: u64, effects: &mut Vec<Effect>) {
        // What was said of an entry that it has by now is out of date.
        if self.members.contains(self.id) && self.members_index >= index {
            return;
        }
        self.leaving.since.get_or_insert(self.clockwork.ticks);
        let voters = self.members.voters.union(&self.members.outgoing);
        let others: BTreeSet<MemberId> = voters.copied().filter(|id| *id != self.id).collect();
        // Others may lie, or be strangers by now: their number is bounded all the same.
        if others.contains(&by) {
            self.leaving.told_by.insert(by);
        }
        let told = self.leaving.told_by.intersection(&others).count();
        // Each majority of the others has one of so many.
        if told >= others.len().div_ceil(2).max(1) {
            self.stop(Loss::Removed, effects);
        }
    }

    /// Of those that it knows all but one may be gone.
    pub(super) fn end_in_time(&mut self, effects: &mut Vec<Effect>) {
        let waited = self.leaving.since.map_or(0, |since| self.clockwork.ticks - since);
        if waited >= self.options.removal_ticks && self.leaving.since.is_some() {
            self.stop(Loss::Removed, effects);
        }
    }

    /// Has it written down up to where the log is agreed upon, if the members changed there.
    pub(super) fn keep_members(&mut self, effects: &mut Vec<Effect>) {
        let kept = self.writes.iter().map(|write| write.commit).max().unwrap_or(0);
        if kept.max(self.members_durable) >= self.members_index {
            return;
        }
        self.written += 1;
        let (number, since) = (self.written, self.clockwork.ticks);
        let hard_state = self.hard_state();
        let commit = hard_state.commit;
        let write = Write { number, hard_state, snapshot: None, entries: vec![], recalled: false };
        let held = Vec::new();
        let waiting = Waiting {
            number,
            raft_number: 0,
            held,
            snapshot: None,
            recalled: false,
            commit,
            is_note: true,
            since,
        };
        self.write(write, waiting, effects);
    }

    /// Whether it has all that it acknowledged on its disk. What says only up to where the log is
    /// agreed upon acknowledges nothing: a hand-over does not wait for it, nor an election.
    pub(super) fn has_kept_its_word(&self) -> bool {
        self.writes.iter().all(|write| write.is_note)
    }

    /// The log is durably known to be agreed upon up to `commit`.
    pub(super) fn members_kept(&mut self, commit: u64, effects: &mut Vec<Effect>) {
        let index = self.members_index;
        if commit < index || self.members_durable >= index {
            return;
        }
        self.members_durable = index;
        if self.members.contains(self.id) {
            effects.push(Effect::MembersDurable { index });
        }
    }
}
