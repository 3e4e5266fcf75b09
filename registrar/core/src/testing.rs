//! A simulated disk for members in virtual time: what was written in time survives a crash; of what
//! was on its way, a beginning.

use crate::effect::Write;
use crate::records::{Entry, HardState, Restored, SnapshotMeta};
use bytes::Bytes;
use std::collections::VecDeque;

/// What one member has durably, and what is on its way there.
#[derive(Debug, Default)]
pub struct Disk {
    /// What a start finds.
    pub restored: Restored,
    /// The content of its newest snapshot.
    pub content: Bytes,
    queue: VecDeque<Job>,
    /// A sync has failed: nothing is known of what was on its way, and nothing may follow.
    has_failed: bool,
}

#[derive(Debug)]
enum Job {
    Write(Write),
    Snapshot(SnapshotMeta, Bytes),
    Compact(u64, u64),
}

/// What a finished job is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The write of this number.
    Write(u64),
    /// The snapshot of this index, so many bytes.
    Snapshot(u64, usize),
    /// Entries that are not needed are gone.
    Compacted,
}

impl Disk {
    /// One that has this.
    pub fn of(restored: Restored, content: Bytes) -> Self {
        Self { restored, content, ..Self::default() }
    }

    /// Hands in a write.
    pub fn write(&mut self, write: Write) {
        self.queue.push_back(Job::Write(write));
    }

    /// Hands in a snapshot of the own state.
    pub fn snapshot(&mut self, meta: SnapshotMeta, content: Bytes) {
        self.queue.push_back(Job::Snapshot(meta, content));
    }

    /// Hands in that entries up to `index` may go.
    pub fn compact(&mut self, index: u64, term: u64) {
        self.queue.push_back(Job::Compact(index, term));
    }

    /// How many jobs are on their way.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The oldest job becomes durable.
    ///
    /// # Panics
    /// If a sync has failed before: what the member said of it since would count for nothing.
    pub fn finish(&mut self) -> Option<Finished> {
        assert!(!self.has_failed, "a disk whose sync failed is written to");
        self.finish_one()
    }

    fn finish_one(&mut self) -> Option<Finished> {
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
        // By way of bytes, as a real disk has it.
        let entries = Entry::decode_run(Entry::encode_run(&entries).into());
        let entries = entries.expect("it was written just now");
        if let Some(first) = entries.first().map(Entry::index) {
            self.restored.entries.retain(|entry| entry.index() < first);
            self.restored.entries.extend(entries);
        }
        self.restored.forgot &= !recalled;
    }

    /// A sync fails: what was on its way may be there at the next start or not, and until then
    /// nothing may be written.
    pub fn fail(&mut self) {
        self.has_failed = true;
    }

    /// The process ends: of what was on its way, only the first `kept` jobs are there.
    pub fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            self.finish_one();
        }
        self.queue.clear();
        self.has_failed = false;
    }

    /// What the next start finds.
    pub fn begin(&mut self) -> Restored {
        self.restored.incarnation += 1;
        self.restored.clone()
    }

    /// The log is damaged after its first `keep` entries, and what comes then is of no use.
    pub fn damage(&mut self, keep: usize) {
        let restored = &mut self.restored;
        restored.entries.truncate(keep);
        restored.forgot = true;
        let last = restored.entries.last().map_or(restored.compacted.0, Entry::index);
        if let Some(snapshot) = restored.snapshot.as_ref().filter(|s| s.index > last) {
            // Nothing can follow what is left.
            restored.compacted = (snapshot.index, snapshot.term);
            restored.entries.clear();
        }
    }

    /// Its snapshot is damaged: nothing is left but its promises.
    pub fn lose_snapshot(&mut self) {
        let Restored { hard_state, incarnation, .. } = self.restored;
        self.restored = Restored { hard_state, incarnation, forgot: true, ..Restored::default() };
        self.content = Bytes::new();
    }

    /// It loses the end of its log and does not notice.
    pub fn lose_silently(&mut self, keep: usize) -> HardState {
        self.restored.entries.truncate(keep);
        self.restored.hard_state
    }
}
