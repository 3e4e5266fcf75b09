//! A member's disk: what was written in time survives a crash; of what was on its way, a beginning.

use crate::prng::Prng;
use bytes::Bytes;
use registrar_core::{Entry, Restored, SnapshotMeta, Write};
use std::collections::VecDeque;

/// What one member has durably, and what is on its way there.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) restored: Restored,
    /// Of its newest snapshot.
    pub(crate) content: Bytes,
    queue: VecDeque<Job>,
}

#[derive(Debug)]
enum Job {
    Write(Write),
    Snapshot(SnapshotMeta, Bytes),
    Compact(u64, u64),
}

/// What a finished job is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The write of this number.
    Write(u64),
    /// The snapshot of this index, so many bytes.
    Snapshot(u64, usize),
    /// Entries that are not needed are gone.
    Compacted,
}

impl Disk {
    pub(crate) fn of(restored: Restored) -> Self {
        Self { restored, ..Self::default() }
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
        Some(match self.queue.pop_front()? {
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
                Finished::Compacted
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
        if let Some(first) = entries.first().map(Entry::index) {
            self.restored.entries.retain(|entry| entry.index() < first);
            self.restored.entries.extend(entries);
        }
        self.restored.forgot &= !recalled;
    }

    /// The process ends: what was on its way is gone, from some job on.
    pub(crate) fn crash(&mut self, random: &mut Prng) {
        let kept = random.index(self.queue.len() + 1);
        for _ in 0..kept {
            self.finish();
        }
        self.queue.clear();
    }

    /// What the next start finds.
    pub(crate) fn begin(&mut self) -> Restored {
        self.restored.incarnation += 1;
        self.restored.clone()
    }

    /// The log is damaged from a place on, and what comes after it is of no use.
    pub(crate) fn damage(&mut self, random: &mut Prng) {
        let restored = &mut self.restored;
        let keep = random.index(restored.entries.len() + 1);
        restored.entries.truncate(keep);
        restored.forgot = true;
        let last = restored.entries.last().map_or(restored.compacted.0, Entry::index);
        if let Some(snapshot) = restored.snapshot.as_ref().filter(|s| s.index > last) {
            // Nothing can follow what is left.
            restored.compacted = (snapshot.index, snapshot.term);
            restored.entries.clear();
        }
    }
}
