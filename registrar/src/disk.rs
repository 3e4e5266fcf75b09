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
//! | `m` | what the snapshot is of, once more: who the members are is known if `s` is damaged |
//! | `s/INDEX/PART` | its content |
//!
//! The store checks every record. Writes that a crash cut off are gone as a whole, and nobody was
//! told of them. Damage within the log ends it there, and the member is told that it forgot. Without
//! its snapshot nothing is left of it but its promises: it starts with these, and forgot the rest.
//! One that is alone is refused in both cases, and nothing is changed. Damaged promises cannot be
//! made good: such a member must be replaced. What the store itself cannot read, it cannot write
//! over either: then all that is whole goes into a fresh one, which takes its place.

mod load;
mod recover;
mod renew;
#[cfg(test)]
mod tests;
mod witness;

pub use recover::{Recovered, recover};

use crate::DiskError;
use bytes::Bytes;
use registrar_core::{Entry, HardState, MemberId, Restored, SnapshotMeta, Write};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use store::{Batch, GroupCommit, Options, Space, Storage, Store, StoreError};
use witness::Witness;

const FORMAT: u32 = 1;
/// Largest record: more is cut into several, so that the store need not.
const PART_BYTES: usize = 5 * 1024;
/// Records of a snapshot that become durable in one go: a megabyte.
const PIECE_PARTS: u32 = 200;

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
    saving: Option<Saving>,
}

/// A snapshot of the own state on its way, a piece at a time, so that entries go in between.
struct Saving {
    meta: SnapshotMeta,
    content: Bytes,
    /// Parts that were handed in.
    parts: u32,
}

/// What became of a step of saving a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// There is more of it.
    Piece,
    /// It counts: its index, and bytes of its content.
    Whole(u64, usize),
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
    /// Who the members are, as of the snapshot, also if that is lost.
    pub(crate) known: Option<SnapshotMeta>,
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
        put_parts(meta.index, content, 0..parts_of(content.len()), &mut batch);
        put_meta(meta, content, &mut batch);
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
    /// Opens the disk of the member `id`, and counts this start.
    pub(crate) fn open(
        dir: &Path,
        group: &str,
        id: MemberId,
        cache_bytes: u64,
    ) -> Result<Opened, DiskError> {
        let store = Store::open(dir, options(cache_bytes, group))?;
        load::load(store, Some(id), dir)?.start()
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
            self.replace_snapshot(meta, content, &mut batch);
        }
        self.replace_entries(&write.entries, &mut batch);
        if write.recalled {
            batch.delete(*b"f");
        }
        batch.put(*b"h", self.head.encode(self.commits + 1));
        self.submit(batch, done);
    }

    /// Begins to make a snapshot of the own state durable: `save` does it.
    pub(crate) fn begin_saving(&mut self, meta: SnapshotMeta, content: Bytes) {
        self.saving = Some(Saving { meta, content, parts: 0 });
    }

    /// Hands in the next piece of the snapshot that was begun, and then the record that names it;
    /// to be called again when a piece is done. Does nothing when another one took its place.
    pub(crate) fn save(
        &mut self,
        done: impl FnOnce(Result<Saved, Arc<StoreError>>) + Send + 'static,
    ) {
        let Some(saving) = &mut self.saving else { return };
        let mut batch = Batch::new();
        let (meta, content) = (&saving.meta, &saving.content);
        let all = parts_of(content.len());
        if saving.parts < all {
            let parts = saving.parts..all.min(saving.parts + PIECE_PARTS);
            saving.parts = parts.end;
            put_parts(meta.index, content, parts, &mut batch);
            let witness = Arc::clone(&self.witness);
            self.group.submit(batch, move |result| {
                let noted = result.inspect_err(|error| witness.failed(error));
                done(noted.map(|_| Saved::Piece));
            });
            return;
        }
        let saved = Saved::Whole(meta.index, content.len());
        if let Some(Saving { meta, content, .. }) = self.saving.take() {
            self.put_snapshot(&meta, &content, &mut batch);
        }
        batch.put(*b"h", self.head.encode(self.commits + 1));
        self.submit(batch, Box::new(move |result| done(result.map(|()| saved))));
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

    /// The room there is.
    pub(crate) fn space(&self) -> Result<Space, StoreError> {
        self.store.space()
    }

    /// For reading the content of a snapshot while others come and go.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Makes a batch durable together with the promises, at once: for before there is a member.
    fn commit_now(&mut self, mut batch: Batch) -> Result<(), DiskError> {
        self.commits += 1;
        batch.put(*b"h", self.head.encode(self.commits));
        self.store.commit(batch).inspect_err(|error| self.witness.failed(error))?;
        self.witness.saw(self.commits);
        Ok(())
    }

    fn submit(&mut self, batch: Batch, done: Done) {
        self.commits += 1;
        let (number, witness) = (self.commits, Arc::clone(&self.witness));
        self.group.submit(batch, move |result| {
            match &result {
                Ok(_) => witness.saw(number),
                Err(error) => witness.failed(error),
            }
            done(result.map(|_| ()));
        });
    }

    fn drop_runs(&mut self, through: u64, batch: &mut Batch) {
        while let Some(run) = self.runs.pop_front_if(|run| run.last <= through) {
            batch.delete(run_key(run.number));
        }
    }

    /// Entries that follow each other; those that stand there from their first one on go.
    fn replace_entries(&mut self, entries: &[Entry], batch: &mut Batch) {
        if let Some(first) = entries.first().map(Entry::index) {
            for run in &mut self.runs {
                run.last = run.last.min(first - 1);
            }
            self.put_entries(entries, batch);
        }
    }

    fn put_entries(&mut self, entries: &[Entry], batch: &mut Batch) {
        for now in runs_of(entries) {
            let last = now.last().map_or(0, Entry::index);
            batch.put(run_key(self.head.next_run), Entry::encode_run(now));
            self.runs.push_back(Run { number: self.head.next_run, last });
            self.head.next_run += 1;
            self.head.last = last;
        }
    }

    /// A snapshot of another member: its pieces go first, each on its own.
    fn replace_snapshot(&mut self, meta: &SnapshotMeta, content: &Bytes, batch: &mut Batch) {
        if let Some(saving) = self.saving.take() {
            (0..saving.parts).for_each(|part| batch.delete(part_key(saving.meta.index, part)));
        }
        let all = parts_of(content.len());
        for first in (0..all).step_by(PIECE_PARTS as usize) {
            let mut piece = Batch::new();
            put_parts(meta.index, content, first..all.min(first + PIECE_PARTS), &mut piece);
            self.group.submit(piece, |_| ());
        }
        self.put_snapshot(meta, content, batch);
    }

    /// The record that names a snapshot whose pieces are written: they count from now on.
    fn put_snapshot(&mut self, meta: &SnapshotMeta, content: &Bytes, batch: &mut Batch) {
        put_meta(meta, content, batch);
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

/// Entries as they are kept: one at the least in each run, however large, as the store cuts it.
fn runs_of(mut entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    std::iter::from_fn(move || {
        let mut bytes = 16;
        let fits = |entry: &&Entry| {
            bytes += entry.bytes();
            bytes <= PART_BYTES
        };
        let count = entries.iter().take_while(fits).count().max(1);
        let (now, later) = entries.split_at_checked(count)?;
        entries = later;
        Some(now)
    })
}

/// Some parts of a snapshot's content.
fn put_parts(index: u64, content: &Bytes, parts: Range<u32>, batch: &mut Batch) {
    let chunks = content.chunks(PART_BYTES).skip(parts.start as usize);
    for (part, chunk) in parts.zip(chunks) {
        batch.put(part_key(index, part), chunk);
    }
}

fn put_meta(meta: &SnapshotMeta, content: &Bytes, batch: &mut Batch) {
    batch.put(*b"s", snapshot_record(meta, content));
    batch.put(*b"m", meta.encode());
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
