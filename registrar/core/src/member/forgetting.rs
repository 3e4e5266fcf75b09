//! A member that lost entries it may have acknowledged, and how it gets them back.
//!
//! Its promises (term and vote) are whole, its log is not. If it voted now, a candidate without
//! those entries might win. So it neither votes nor stands until a leader, which has them all, has
//! struck out what it said before, and has given back everything up to what was agreed upon then.
//! Entries beyond that were never counted with its help and cannot be any more.
//!
//! One that lost its snapshot starts with nothing but its promises, as a newcomer does that knows
//! nobody: a leader finds it, and gives it a snapshot first.

use super::{Member, Waiting};
use crate::effect::{Effect, Write};
use crate::members::MemberId;
use crate::message::Body;

/// What a member without its memory waits for.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    /// Up to here it needs the log; unknown until a leader said so.
    target: Option<u64>,
    /// The write that ends it has begun.
    ending: bool,
}

impl Member {
    pub(super) fn ask_for_recall(&mut self, effects: &mut Vec<Effect>) {
        let is_due = self.clockwork.ticks.is_multiple_of(self.options.heartbeat_ticks as u64);
        let asks = self.forgetting.as_ref().is_some_and(|forgetting| forgetting.target.is_none());
        if !asks || !is_due {
            return;
        }
        let (term, last) = (self.raw.raft.term, self.raw.raft.raft_log.last_index());
        // One that lost its snapshot knows nobody but whoever leads, once that has spoken to it.
        let mut asked = self.peers();
        asked.extend(self.leader().filter(|leader| !self.members.contains(*leader)));
        for peer in asked {
            self.send(peer, Body::Forgot { term, last }, effects);
        }
    }

    /// A leader is told by `member`. What an older start of it said cannot arrive any more.
    pub(super) fn strike_out(
        &mut self,
        member: MemberId,
        incarnation: u64,
        term: u64,
        last: u64,
        effects: &mut Vec<Effect>,
    ) {
        if !self.leads() || term > self.raw.raft.term {
            return;
        }
        let newest = self.raw.raft.raft_log.last_index();
        if self.struck.get(&member) != Some(&incarnation) {
            let Some(progress) = self.raw.raft.mut_prs().get_mut(member.get()) else { return };
            progress.become_probe();
            progress.matched = 0;
            // It may have more than the leader: what nobody agreed upon.
            progress.next_idx = last.min(newest) + 1;
            self.struck.insert(member, incarnation);
        }
        // Before it has agreed on something in its own term, a leader does not know up to where
        // the leaders before it had.
        if self.raw.raft.commit_to_current_term() {
            let (term, commit) = (self.raw.raft.term, self.raw.raft.raft_log.committed);
            self.send(member, Body::Recall { term, commit, asker: incarnation }, effects);
        }
    }

    pub(super) fn recall(&mut self, term: u64, commit: u64, asker: u64) {
        // One for an earlier start says too little: this one forgot more.
        let is_newest = term >= self.raw.raft.term && asker == self.incarnation;
        if let Some(forgetting) = self.forgetting.as_mut().filter(|_| is_newest) {
            forgetting.target.get_or_insert(commit);
        }
    }

    /// Ends it once everything is there and durable.
    pub(super) fn end_forgetting(&mut self, effects: &mut Vec<Effect>) {
        let committed = self.raw.raft.raft_log.committed;
        let Some(forgetting) = self.forgetting.as_mut().filter(|f| !f.ending) else { return };
        if !self.writes.is_empty() || forgetting.target.is_none_or(|target| committed < target) {
            return;
        }
        forgetting.ending = true;
        self.written += 1;
        let (number, since) = (self.written, self.clockwork.ticks);
        let hard_state = self.hard_state();
        let commit = hard_state.commit;
        let write = Write { number, hard_state, snapshot: None, entries: vec![], recalled: true };
        let waiting = Waiting {
            number,
            raft_number: 0,
            held: Vec::new(),
            snapshot: None,
            recalled: true,
            commit,
            is_note: false,
            since,
        };
        self.write(write, waiting, effects);
    }
}
