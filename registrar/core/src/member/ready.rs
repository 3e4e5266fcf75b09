//! What raft has ready, turned into effects, and what is held until it is durable.

use super::{Member, Waiting};
use crate::effect::{Effect, Refusal, Role, Write};
use crate::members::MemberId;
use crate::message::{self, Body, Message};
use crate::records::{Entry, SnapshotMeta};
use raft::eraftpb::{self, EntryType};

impl Member {
    /// Takes all that raft has ready.
    pub(super) fn settle(&mut self, effects: &mut Vec<Effect>) {
        while !self.stopped && self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let raft_number = ready.number();
            self.note_role(effects);
            self.send_all(ready.take_messages(), effects);
            let held = self.wrap_all(ready.take_persisted_messages());
            let snapshot = self.take_snapshot_of(ready.snapshot(), effects);
            let entries = ready.take_entries();
            self.raw.mut_store().append(&entries);
            let (must_sync, committed) = (ready.must_sync(), ready.take_committed_entries());
            let read_states = ready.take_read_states();
            self.raw.advance_append_async(ready);
            if must_sync {
                self.written += 1;
                let (number, since) = (self.written, self.clockwork.ticks);
                let index = snapshot.as_ref().map(|(meta, _)| meta.index);
                let hard_state = self.hard_state();
                let entries = entries.into_iter().map(Entry).collect();
                let write = Write { number, hard_state, snapshot, entries, recalled: false };
                let (snapshot, commit, recalled) = (index, hard_state.commit, false);
                let is_note = false;
                let waiting = Waiting {
                    number,
                    raft_number,
                    held,
                    snapshot,
                    recalled,
                    commit,
                    is_note,
                    since,
                };
                self.write(write, waiting, effects);
            } else if let Some(last) = self.writes.back_mut() {
                last.raft_number = raft_number;
                last.held.extend(held);
            } else {
                self.raw.on_persist_ready(raft_number);
                self.release(held, effects);
            }
            self.apply(committed, effects);
            self.answer_reads(read_states, effects);
        }
        self.incoming = None;
        if !self.stopped {
            self.end_forgetting(effects);
            self.keep_members(effects);
            self.snapshot_if_due(effects);
        }
    }

    /// Writes up to `number` are durable.
    pub(super) fn persisted(&mut self, number: u64, effects: &mut Vec<Effect>) {
        while let Some(write) = self.writes.pop_front_if(|write| write.number <= number) {
            self.raw.on_persist_ready(write.raft_number);
            if let Some(index) = write.snapshot.filter(|i| *i > self.raw.raft.raft_log.applied()) {
                self.raw.advance_apply_to(index);
            }
            if write.recalled {
                self.forgetting = None;
            }
            self.release(write.held, effects);
            self.members_kept(write.commit, effects);
        }
    }

    fn note_role(&mut self, effects: &mut Vec<Effect>) {
        let (role, term) = (self.role(), self.raw.raft.term);
        let now = (role, self.leader(), term);
        if self.told.as_ref() == Some(&now) {
            return;
        }
        self.proposals.drop_all_but((role == Role::Leader).then_some(term), effects);
        self.drop_reads(effects);
        self.told = Some(now);
        if role == Role::Leader {
            // Another leader's progress of a member is not this one's.
            self.struck.clear();
        }
        effects.push(Effect::Role { role, leader: self.leader(), term });
    }

    fn wrap_all(&self, messages: Vec<eraftpb::Message>) -> Vec<Message> {
        let sendable = messages.into_iter().filter(|m| message::number(m.get_msg_type()).is_some());
        sendable
            .filter_map(|mut message| {
                self.stamp(&mut message);
                let (from, incarnation) = (self.id, self.incarnation);
                let to = MemberId::new(message.to)?;
                Some(Message { from, to, incarnation, body: Body::Raft(Box::new(message)) })
            })
            .collect()
    }

    fn send_all(&self, messages: Vec<eraftpb::Message>, effects: &mut Vec<Effect>) {
        let messages = self.wrap_all(messages);
        self.release(messages, effects);
    }

    fn release(&self, messages: Vec<Message>, effects: &mut Vec<Effect>) {
        effects.extend(messages.into_iter().map(|message| match message.snapshot() {
            Some(index) => Effect::SendSnapshot { message, index },
            None => Effect::Send(message),
        }));
    }

    /// A snapshot of another member replaces everything.
    fn take_snapshot_of(
        &mut self,
        snapshot: &eraftpb::Snapshot,
        effects: &mut Vec<Effect>,
    ) -> Option<(SnapshotMeta, bytes::Bytes)> {
        if snapshot.is_empty() {
            return None;
        }
        let index = snapshot.get_metadata().index;
        let meta = SnapshotMeta::decode(snapshot.data.clone()).expect("it was decoded before");
        let (_, content) =
            self.incoming.take_if(|(of, _)| *of == index).expect("it came with its content");
        self.raw.mut_store().install(meta.clone());
        self.applied = index;
        self.content_bytes = content.len();
        self.members = meta.members.clone();
        self.members_index = index;
        // One of the own state, now replaced, would be older.
        (self.snapshotting, self.members_changed) = (None, false);
        effects.push(Effect::Restore { index, content: content.clone() });
        effects.push(Effect::Members { index, members: meta.members.clone() });
        Some((meta, content))
    }

    fn apply(&mut self, entries: Vec<eraftpb::Entry>, effects: &mut Vec<Effect>) {
        let before = self.applied;
        for entry in entries {
            self.applied = entry.index;
            let was_applied = self.apply_one(&entry, effects);
            if let Some((id, is_same)) = self.proposals.settle(&entry) {
                effects.push(match is_same && was_applied {
                    true => Effect::Committed { id, index: entry.index },
                    false => Effect::Dropped { id, reason: Refusal::LostLeadership },
                });
            }
            if entry.index.is_multiple_of(self.options.hash_entries) {
                effects.push(Effect::Hash { index: entry.index });
            }
        }
        if self.applied > before {
            self.raw.advance_apply_to(self.applied);
        }
    }

    /// Whether the entry had an effect.
    fn apply_one(&mut self, entry: &eraftpb::Entry, effects: &mut Vec<Effect>) -> bool {
        match entry.get_entry_type() {
            EntryType::EntryNormal if entry.data.is_empty() => false,
            EntryType::EntryNormal => {
                effects.push(Effect::Apply { index: entry.index, data: entry.data.clone() });
                true
            }
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                self.apply_change(entry, effects)
            }
        }
    }

    fn snapshot_if_due(&mut self, effects: &mut Vec<Effect>) {
        let log = self.raw.store();
        let Some(newest) = log.snapshot_meta().map(|snapshot| snapshot.index) else { return };
        let bytes = log.bytes_after_snapshot();
        let is_in_proportion = bytes >= self.content_bytes / 2;
        let is_due = (is_in_proportion && bytes >= self.options.snapshot_bytes)
            || self.applied.saturating_sub(newest) >= self.options.snapshot_entries
            || log.take_wanted()
            // So that a member whose log is damaged knows to whom it belongs.
            || (self.members_changed && self.members.outgoing.is_empty());
        if !is_due || self.applied <= newest || self.snapshotting.is_some() {
            return;
        }
        let Ok(term) = raft::Storage::term(log, self.applied) else { return };
        let meta = SnapshotMeta { index: self.applied, term, members: self.members.clone() };
        self.snapshotting = Some(meta.clone());
        self.members_changed = false;
        effects.push(Effect::TakeSnapshot(meta));
    }
}
