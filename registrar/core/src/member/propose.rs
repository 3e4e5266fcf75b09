//! Entries that somebody wants in the log, and what became of them.

use super::Member;
use crate::effect::{Effect, Refusal};
use crate::input::Proposal;
use raft::eraftpb::{self, EntryType, MessageType};
use std::collections::BTreeMap;

/// Proposals that are in the own log and not agreed upon yet: by index, with their term.
#[derive(Default)]
pub(super) struct Proposals {
    pending: BTreeMap<u64, Pending>,
}

#[derive(Clone, Copy)]
struct Pending {
    term: u64,
    id: u64,
    kind: EntryType,
}

impl Proposals {
    /// The entry at `index` was agreed upon: whose it was, and whether it is what was proposed.
    pub(super) fn settle(&mut self, entry: &eraftpb::Entry) -> Option<(u64, bool)> {
        let pending = self.pending.remove(&entry.index)?;
        let is_same = pending.term == entry.term && pending.kind == entry.get_entry_type();
        Some((pending.id, is_same))
    }

    /// Those of other terms than `term`: nothing more is known of them here.
    pub(super) fn drop_all_but(&mut self, term: Option<u64>, effects: &mut Vec<Effect>) {
        self.pending.retain(|_, pending| {
            let keep = Some(pending.term) == term;
            if !keep {
                let reason = Refusal::LostLeadership;
                effects.push(Effect::Dropped { id: pending.id, reason });
            }
            keep
        });
    }
}

impl Member {
    pub(super) fn propose(&mut self, proposals: Vec<Proposal>, effects: &mut Vec<Effect>) {
        let refuse = |ids: Vec<u64>, reason: Refusal, effects: &mut Vec<Effect>| {
            let dropped = ids.into_iter();
            effects.extend(dropped.map(|id| Effect::Dropped { id, reason: reason.clone() }));
        };
        let ids: Vec<u64> = proposals.iter().map(|proposal| proposal.id).collect();
        if ids.is_empty() {
            return;
        }
        if !self.leads() {
            return refuse(ids, Refusal::NotLeading { leader: self.leader() }, effects);
        }
        let mut message = eraftpb::Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.id.get();
        let entries: Vec<eraftpb::Entry> = proposals
            .into_iter()
            .map(|proposal| eraftpb::Entry { data: proposal.data, ..Default::default() })
            .collect();
        message.entries = entries.into();
        let first = self.raw.raft.raft_log.last_index() + 1;
        match self.raw.raft.step(message) {
            Ok(()) => {
                (first..).zip(ids).for_each(|(index, id)| {
                    self.expect(index, id, EntryType::EntryNormal);
                });
            }
            Err(_) => refuse(ids, Refusal::Busy, effects),
        }
    }

    /// The entry at `index` was just put there for the proposal `id`.
    pub(super) fn expect(&mut self, index: u64, id: u64, kind: EntryType) {
        let term = self.raw.raft.term;
        self.proposals.pending.insert(index, Pending { term, id, kind });
    }
}
