//! The log as raft reads it: all in memory, since a snapshot keeps it short.
//!
//! Entries are here as soon as they are on their way to the disk; raft itself counts only those
//! that it was told are durable.

use crate::members::MemberId;
use crate::records::{Entry, HardState, SnapshotMeta};
use raft::eraftpb;
use raft::{Error, GetEntriesContext, RaftState, StorageError};
use std::cell::Cell;
use std::collections::VecDeque;

pub(crate) struct Log {
    hard_state: HardState,
    /// Index and term of the entry before the first.
    compacted: (u64, u64),
    entries: VecDeque<eraftpb::Entry>,
    bytes: usize,
    /// Of those, bytes of entries that the snapshot has too.
    kept_bytes: usize,
    /// The newest snapshot that is durable.
    snapshot: Option<SnapshotMeta>,
    /// Raft wants a newer one than there is.
    wanted: Cell<bool>,
}

/// What an entry takes, as the limits count.
fn size(entry: &eraftpb::Entry) -> usize {
    32 + entry.data.len() + entry.context.len()
}

impl Log {
    pub(crate) fn new(
        hard_state: HardState,
        snapshot: Option<SnapshotMeta>,
        compacted: (u64, u64),
        entries: Vec<Entry>,
    ) -> Self {
        let entries: Vec<_> = entries.into_iter().map(|entry| entry.0).collect();
        let mut log = Self {
            hard_state,
            compacted,
            entries: VecDeque::new(),
            bytes: 0,
            kept_bytes: 0,
            snapshot,
            wanted: Cell::new(false),
        };
        log.append(&entries);
        if let Some(snapshot) = log
            .snapshot
            .take_if(|snapshot| snapshot.index > log.compacted.0 + log.entries.len() as u64)
        {
            // What is left of the log ends before it, so that nothing can follow.
            log.install(snapshot);
        }
        log.count_kept();
        // The commit index is not synced by itself: it may lag behind the snapshot, or be ahead of
        // a log that lost its end.
        let floor = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index).max(compacted.0);
        log.hard_state.commit = log.hard_state.commit.clamp(floor, log.last().max(floor));
        log
    }

    pub(crate) fn snapshot_meta(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// Bytes of the entries that only the log has.
    pub(crate) fn bytes_after_snapshot(&self) -> usize {
        self.bytes - self.kept_bytes
    }

    /// Whether a newer snapshot was asked for since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.take()
    }

    fn count_kept(&mut self) {
        let newest = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let kept = self.entries.iter().take_while(|entry| entry.index <= newest);
        self.kept_bytes = kept.map(size).sum();
    }

    pub(crate) fn last(&self) -> u64 {
        self.compacted.0 + self.entries.len() as u64
    }

    pub(crate) fn first(&self) -> u64 {
        self.compacted.0 + 1
    }

    /// Appends entries that follow each other; those that stand there from their first one on go.
    pub(crate) fn append(&mut self, entries: &[eraftpb::Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.compacted.0 && first.index <= self.last() + 1, "no hole");
        while self.last() >= first.index {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, size);
        }
        self.bytes += entries.iter().map(size).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Takes note of a durable snapshot, and lets go of entries up to `keep_from`; says what the
    /// entry before the first is now, if that changed.
    pub(crate) fn compact(&mut self, snapshot: SnapshotMeta, through: u64) -> Option<(u64, u64)> {
        let through = through.min(snapshot.index);
        self.snapshot = Some(snapshot);
        let before = self.compacted;
        while self.compacted.0 < through {
            let entry = self.entries.pop_front()?;
            self.bytes -= size(&entry);
            self.compacted = (entry.index, entry.term);
        }
        self.count_kept();
        (self.compacted != before).then_some(self.compacted)
    }

    /// Begins anew after a snapshot of another member.
    pub(crate) fn install(&mut self, snapshot: SnapshotMeta) {
        self.compacted = (snapshot.index, snapshot.term);
        self.entries.clear();
        (self.bytes, self.kept_bytes) = (0, 0);
        self.snapshot = Some(snapshot);
    }

    fn at(&self, index: u64) -> Option<&eraftpb::Entry> {
        let place = index.checked_sub(self.first())?;
        self.entries.get(usize::try_from(place).ok()?)
    }
}

impl raft::Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let mut hard_state = eraftpb::HardState::default();
        hard_state.term = self.hard_state.term;
        hard_state.vote = self.hard_state.vote;
        hard_state.commit = self.hard_state.commit;
        let members = self.snapshot.as_ref().map(|snapshot| snapshot.members.conf_state());
        Ok(RaftState::new(hard_state, members.unwrap_or_default()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let room = max_size.into().unwrap_or(u64::MAX);
        let mut taken = 0;
        let (from, to) = (low - self.first(), high - self.first());
        let entries = self.entries.range(from as usize..to as usize);
        // One at the least, however large.
        let fitting = entries.take_while(|entry| {
            let fits = taken == 0 || taken + size(entry) as u64 <= room;
            taken += size(entry) as u64;
            fits
        });
        Ok(fitting.cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.compacted.0 {
            return Ok(self.compacted.1);
        }
        if index < self.compacted.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.at(index).map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<eraftpb::Snapshot> {
        // A member that it does not know would not take it.
        let fits = |snapshot: &&SnapshotMeta| {
            let knows = MemberId::new(to).is_some_and(|to| snapshot.members.contains(to));
            snapshot.index >= request_index && knows
        };
        if let Some(snapshot) = self.snapshot.as_ref().filter(fits) {
            return Ok(snapshot.to_raft());
        }
        self.wanted.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
