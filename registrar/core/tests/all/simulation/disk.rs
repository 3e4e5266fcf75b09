//! A disk: what was written in time survives a crash, what was on its way does not.

use bytes::Bytes;
use registrar_core::{Entry, HardState, Restored, SnapshotMeta, Write};
use std::collections::VecDeque;

/// What one member has durably, and what is on its way there.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) restored: Restored,
    pub(crate) content: Bytes,
    queue: VecDeque<Job>,
    /// Highest index that ever was durable; for damage.
    pub(crate) last: u64,
}

enum Job {
    Write(Write),
    Snapshot(SnapshotMeta, Bytes),
    Compact(u64, u64),
}

/// What a finished job is answered with.
pub(crate) enum Finished {
    Write(u64),
    Snapshot(u64, usize),
    Nothing,
}

impl Disk {
    pub(crate) fn of(restored: Restored, content: Bytes) -> Self {
        Self { restored, content, ..Self::default() }
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.queue.push_back(Job::Write(write));
    }

    pub(crate) fn snapshot(&mut self, meta: SnapshotMeta, content: Bytes) {
        self.queue.push_back(Job::Snapshot(meta, content));
    }

    pub(crate) fn compact(&mut self, index: u64, term: u64) {
        self.queue.push_back(Job::Compact(index, term));
    }

    /// The oldest job becomes durable.
    pub(crate) fn finish(&mut self) -> Option<Finished> {
        let job = self.queue.pop_front()?;
        Some(match job {
            Job::Write(write) => {
                let number = write.number;
                self.apply(write);
                Finished::Write(number)
            }
            Job::Snapshot(meta, content) => {
                let (index, bytes) = (meta.index, content.len());
                if self.restored.snapshot.as_ref().is_none_or(|newest| newest.index < index) {
                    self.restored.snapshot = Some(meta);
                    self.restored.content_bytes = bytes;
                    self.content = content;
                }
                Finished::Snapshot(index, bytes)
            }
            Job::Compact(index, term) => {
                if self.restored.compacted.0 < index {
                    self.restored.entries.retain(|entry| entry.index() > index);
                    self.restored.compacted = (index, term);
                }
                Finished::Nothing
            }
        })
    }

    fn apply(&mut self, write: Write) {
        let Write { hard_state, snapshot, entries, recalled, .. } = write;
        self.restored.hard_state = hard_state;
        if let Some((meta, content)) = snapshot {
            self.restored.compacted = (meta.index, meta.term);
            self.restored.entries.clear();
            self.restored.snapshot = Some(meta);
            self.restored.content_bytes = content.len();
            self.content = content;
        }
        // By way of bytes, as a real disk has it.
        let entries = Entry::decode_run(Entry::encode_run(&entries).into()).unwrap();
        if let Some(first) = entries.first().map(Entry::index) {
            self.restored.entries.retain(|entry| entry.index() < first);
            self.restored.entries.extend(entries);
        }
        self.restored.forgot &= !recalled;
        self.last = self.restored.entries.last().map_or(self.restored.compacted.0, Entry::index);
    }

    /// The process ends: what was on its way is gone.
    pub(crate) fn crash(&mut self) -> (Restored, Bytes) {
        self.queue.clear();
        self.restored.incarnation += 1;
        (self.restored.clone(), self.content.clone())
    }

    /// The log is damaged from a place on, and what comes after it is of no use.
    pub(crate) fn damage(&mut self, keep: usize) {
        self.restored.entries.truncate(keep);
        self.restored.forgot = true;
        let last = self.restored.entries.last().map_or(self.restored.compacted.0, Entry::index);
        if let Some(snapshot) = self.restored.snapshot.as_ref().filter(|s| s.index > last) {
            // Nothing can follow what is left.
            self.restored.compacted = (snapshot.index, snapshot.term);
            self.restored.entries.clear();
        }
    }

    /// Its snapshot is damaged: nothing is left but its promises.
    pub(crate) fn lose_snapshot(&mut self) {
        let Restored { hard_state, incarnation, .. } = self.restored;
        self.restored = Restored { hard_state, incarnation, forgot: true, ..Restored::default() };
        self.content = Bytes::new();
    }

    /// It loses the end of its log and does not notice.
    pub(crate) fn lose_silently(&mut self, keep: usize) -> HardState {
        self.restored.entries.truncate(keep);
        self.restored.hard_state
    }
}
