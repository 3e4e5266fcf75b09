//! What one member keeps: promises, log and snapshot, in the guarded store.
//!
//! | key | record |
//! | --- | --- |
//! | `b` | how often it was started |
//! | `h` | its promises, the end of its log, and how many commits there were |
//! | `f` | it has lost entries and not got them back |
//! | `t` | the entry before the first: index and term |
//! | `l/NUMBER` | entries that follow each other; a later number replaces what it overlaps; no number is left out |
//! | `s` | what the snapshot is of, its size and checksum |
//! | `s/INDEX/PART` | its content |
//!
//! The store checks every record. Writes that a crash cut off are gone as a whole, and nobody was
//! told of them. Damage within the log ends it there, and the member is told that it forgot; damage
//! to the promises or the snapshot cannot be made good here: such a member must be replaced.

mod load;
#[cfg(test)]
mod tests;
mod witness;

use crate::DiskError;
use bytes::Bytes;
use registrar_core::{Entry, HardState, Restored, SnapshotMeta, Write};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use store::{Batch, GroupCommit, Options, Storage, Store, StoreError};
use witness::Witness;

const FORMAT: u32 = 1;
/// Largest record: more is cut into several, so that the store need not.
const PART_BYTES: usize = 5 * 1024;
/// Bytes of a snapshot that become durable in one go.
const PIECE_BYTES: usize = 1 << 20;

/// Called once on the committing thread; must be quick.
pub(crate) type Done = Box<dyn FnOnce(Result<(), Arc<StoreError>>) + Send>;

/// Entries under one key of the store.
#[derive(Clone, Copy, Debug)]
struct Run {
    number: u64,
    /// The last of them that no later run replaces.
    last: u64,
}

/// The disk of a running member. Everything becomes durable in the order of the calls.
pub(crate) struct Disk {
    store: Arc<Store>,
    group: GroupCommit,
    witness: Arc<Witness>,
    runs: VecDeque<Run>,
    commits: u64,
    /// The promises and the end of the log, as they were written last.
    head: Head,
    /// Index and parts of the snapshot.
    snapshot: (u64, u32),
}

/// The record `h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    term: u64,
    vote: u64,
    commit: u64,
    last: u64,
    /// The number of the next run.
    next_run: u64,
}

impl Head {
    fn encode(self, commits: u64) -> Vec<u8> {
        let fields = [self.term, self.vote, self.commit, self.last, self.next_run, commits];
        fields.iter().flat_map(|field| field.to_le_bytes()).collect()
    }
}

/// What was found, and the disk to go on with.
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    pub(crate) restored: Restored,
    /// The content of the snapshot, if there is one.
    pub(crate) content: Option<Bytes>,
}

fn options(cache_bytes: u64, group: &str) -> Options {
    Options { cache_bytes, ..Options::new("registrar", FORMAT).cluster(group) }
}

/// Makes the disk of a member that has none yet, as `restored` and `content` say.
///
/// # Errors
/// `Exists` when there is a member's disk already.
pub(crate) fn create(
    dir: &Path,
    group: &str,
    restored: &Restored,
    content: &Bytes,
) -> Result<(), DiskError> {
    let store = Store::open(dir, options(1 << 20, group))?;
    if store.get(b"h").map_err(|damaged| load::damaged(dir, "promises", &damaged))?.is_some() {
        return Err(DiskError::Exists { dir: dir.to_owned() });
    }
    let mut batch = Batch::new();
    if let Some(meta) = &restored.snapshot {
        for piece in snapshot_pieces(meta.index, content) {
            batch.append(piece);
        }
        batch.put(*b"s", snapshot_record(meta, content));
    }
    let (index, term) = restored.compacted;
    batch.put(*b"t", pair(index, term));
    let HardState { term, vote, commit } = restored.hard_state;
    let head = Head { term, vote, commit, last: index, next_run: 1 };
    batch.put(*b"h", head.encode(1));
    store.commit(batch)?;
    Ok(())
}

/// Whether `dir` has the disk of a member.
pub(crate) fn exists(dir: &Path) -> bool {
    dir.join("sled").is_dir()
}

impl Disk {
    /// Opens the disk of a member, and counts this start.
    pub(crate) fn open(dir: &Path, group: &str, cache_bytes: u64) -> Result<Opened, DiskError> {
        let store = Arc::new(Store::open(dir, options(cache_bytes, group))?);
        load::open(store, dir)
    }

    /// Makes a write durable.
    pub(crate) fn write(&mut self, write: Write, done: Done) {
        let mut batch = Batch::new();
        let state = write.hard_state;
        (self.head.term, self.head.vote, self.head.commit) = (state.term, state.vote, state.commit);
        if let Some((meta, content)) = &write.snapshot {
            self.drop_runs(u64::MAX, &mut batch);
            batch.put(*b"t", pair(meta.index, meta.term));
            self.head.last = meta.index;
            self.put_snapshot(meta, content, &mut batch);
        }
        if let Some(first) = write.entries.first().map(Entry::index) {
            for run in &mut self.runs {
                run.last = run.last.min(first - 1);
            }
            self.put_entries(&write.entries, &mut batch);
        }
        if write.recalled {
            batch.delete(*b"f");
        }
        batch.put(*b"h", self.head.encode(self.commits + 1));
        self.submit(batch, done);
    }

    /// Makes a snapshot of the own state durable.
    pub(crate) fn snapshot(&mut self, meta: &SnapshotMeta, content: &Bytes, done: Done) {
        let mut batch = Batch::new();
        self.put_snapshot(meta, content, &mut batch);
        batch.put(*b"h", self.head.encode(self.commits + 1));
        self.submit(batch, done);
    }

    /// Lets go of entries up to `index`.
    pub(crate) fn compact(&mut self, index: u64, term: u64) {
        let mut batch = Batch::new();
        self.drop_runs(index, &mut batch);
        batch.put(*b"t", pair(index, term));
        batch.put(*b"h", self.head.encode(self.commits + 1));
        // What is not gone is let go of the next time.
        self.submit(batch, Box::new(|_| ()));
    }

    /// Bytes that are on their way.
    pub(crate) fn backlog(&self) -> usize {
        self.group.backlog()
    }

    /// For reading the content of a snapshot while others come and go.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    fn submit(&mut self, batch: Batch, done: Done) {
        self.commits += 1;
        let (number, witness) = (self.commits, Arc::clone(&self.witness));
        self.group.submit(batch, move |result| {
            if result.is_ok() {
                witness.saw(number);
            }
            done(result.map(|_| ()));
        });
    }

    fn drop_runs(&mut self, through: u64, batch: &mut Batch) {
        while let Some(run) = self.runs.pop_front_if(|run| run.last <= through) {
            batch.delete(run_key(run.number));
        }
    }

    fn put_entries(&mut self, entries: &[Entry], batch: &mut Batch) {
        let mut rest = entries;
        while !rest.is_empty() {
            let mut bytes = 16;
            // One at the least, however large: the store cuts it.
            let fits = |entry: &&Entry| {
                bytes += entry.bytes();
                bytes <= PART_BYTES
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            let last = now.last().map_or(0, Entry::index);
            batch.put(run_key(self.head.next_run), Entry::encode_run(now));
            self.runs.push_back(Run { number: self.head.next_run, last });
            self.head.next_run += 1;
            self.head.last = last;
            rest = later;
        }
    }

    /// The pieces go first, each on its own: they count for nothing until the record names them.
    fn put_snapshot(&mut self, meta: &SnapshotMeta, content: &Bytes, batch: &mut Batch) {
        for piece in snapshot_pieces(meta.index, content) {
            self.group.submit(piece, |_| ());
        }
        batch.put(*b"s", snapshot_record(meta, content));
        let (old, parts) = self.snapshot;
        if old != meta.index {
            (0..parts).for_each(|part| batch.delete(part_key(old, part)));
        }
        self.snapshot = (meta.index, parts_of(content.len()));
    }
}

/// The parts of a snapshot in `store`, one after the other.
pub(crate) fn read_part(store: &Store, index: u64, part: u32) -> Option<Vec<u8>> {
    store.get(&part_key(index, part)).ok().flatten()
}

/// Index, size and checksum of the snapshot in `store`.
pub(crate) fn read_snapshot(store: &Store) -> Option<(u64, u64, u32)> {
    let record = store.get(b"s").ok().flatten()?;
    load::parse_snapshot(record).map(|(meta, bytes, crc)| (meta.index, bytes, crc))
}

pub(crate) fn parts_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PART_BYTES)).unwrap_or(u32::MAX)
}

fn snapshot_pieces(index: u64, content: &Bytes) -> Vec<Batch> {
    let mut pieces = vec![Batch::new()];
    for (part, chunk) in (0u32..).zip(content.chunks(PART_BYTES)) {
        if pieces.last().is_some_and(|piece| piece.bytes() >= PIECE_BYTES) {
            pieces.push(Batch::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.put(part_key(index, part), chunk);
        }
    }
    pieces
}

fn snapshot_record(meta: &SnapshotMeta, content: &Bytes) -> Vec<u8> {
    let mut record = (content.len() as u64).to_le_bytes().to_vec();
    record.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    record.extend_from_slice(&meta.encode());
    record
}

fn pair(first: u64, second: u64) -> Vec<u8> {
    [first.to_le_bytes(), second.to_le_bytes()].concat()
}

fn run_key(number: u64) -> Vec<u8> {
    [b"l/".as_slice(), &number.to_be_bytes()].concat()
}

fn part_key(index: u64, part: u32) -> Vec<u8> {
    [b"s/".as_slice(), &index.to_be_bytes(), &part.to_be_bytes()].concat()
}
