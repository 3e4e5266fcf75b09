//! Reading a disk at a start: what is whole, what is damaged, and what that means.

use super::renew::renew;
use super::witness::Witness;
use super::{Disk, Head, Opened, Run, pair, part_key, parts_of, run_key};
use crate::DiskError;
use bytes::Bytes;
use registrar_core::{Entry, HardState, MemberId, Restored, SnapshotMeta};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use store::{Batch, Damaged, GroupCommit, Storage, Store};

/// Said of a snapshot that should be there.
const MISSING: &str = "is missing";

pub(super) fn damaged(dir: &Path, what: &'static str, problem: &Damaged) -> DiskError {
    lost(dir, what, problem.problem.clone())
}

pub(super) fn lost(dir: &Path, what: &'static str, problem: impl Into<String>) -> DiskError {
    DiskError::Lost { dir: dir.to_owned(), what, problem: problem.into() }
}

/// What the log is, as far as it is whole.
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    runs: VecDeque<Run>,
    /// Records that are of no use any more.
    useless: Vec<Vec<u8>>,
    is_whole: bool,
    is_damaged: bool,
}

/// What is on a disk, as it lies there.
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) commits: u64,
    pub(super) starts: u64,
    /// The entry before the first, if that can be read.
    compacted: Option<(u64, u64)>,
    pub(super) log: Log,
    /// None for a newcomer; what is wrong with it, as a clause.
    snapshot: Result<Option<(SnapshotMeta, Bytes)>, String>,
    /// What the snapshot is of, or was.
    pub(super) known: Option<SnapshotMeta>,
    was_forgetful: bool,
    /// Something could not be read at all.
    is_damaged: bool,
}

/// What a disk has after what cannot be relied on was let go of.
pub(super) struct Mended {
    pub(super) compacted: (u64, u64),
    pub(super) snapshot: Option<(SnapshotMeta, Bytes)>,
    pub(super) forgot: bool,
    /// Something was lost since the last start.
    has_lost: bool,
}

/// What a start finds, and what it has to write before it goes on.
pub(super) struct Loaded {
    pub(super) disk: Disk,
    pub(super) restored: Restored,
    pub(super) content: Option<Bytes>,
    pub(super) batch: Batch,
    known: Option<SnapshotMeta>,
}

/// Loads the disk of the member `id`; of any, whoever else there is, without one.
pub(super) fn load(store: Store, id: Option<MemberId>, dir: &Path) -> Result<Loaded, DiskError> {
    let (witness, seen) = Witness::open(store.dir()).map_err(DiskError::Witness)?;
    let mut found = read(&store, dir, seen)?;
    let mut batch = Batch::new();
    let mut mended = found.mend(id, dir, &mut batch)?;
    let mut store = store;
    // Without an id and a snapshot the caller is about to refuse, and changes nothing.
    let may_change = id.is_some() || mended.snapshot.is_some();
    if may_change && (found.is_damaged || mended.has_lost || witness.saw_damage()) {
        store = renew(store, &found, &mended)?;
        witness.mended();
        found = read(&store, dir, seen)?;
        batch = Batch::new();
        mended = found.mend(id, dir, &mut batch)?;
    }
    let store = Arc::new(store);
    let Mended { compacted, snapshot, forgot, .. } = mended;
    let (snapshot, content) = snapshot.unzip();
    let Found { head, mut log, known, .. } = found;
    let end = log.entries.last().map_or(compacted.0, Entry::index);
    let head = Head { last: end, next_run: log.next_run(), ..head };
    log.useless.drain(..).for_each(|key| batch.delete(key));
    let content_bytes = content.as_ref().map_or(0, Bytes::len);
    let newest = snapshot.as_ref().map_or(0, |meta: &SnapshotMeta| meta.index);
    let group = GroupCommit::start(Arc::<Store>::clone(&store)).map_err(DiskError::Thread)?;
    let disk = Disk {
        store,
        group,
        witness: Arc::new(witness),
        runs: log.runs,
        commits: found.commits,
        head,
        snapshot: (newest, parts_of(content_bytes)),
        saving: None,
    };
    let hard_state = HardState { term: head.term, vote: head.vote, commit: head.commit };
    let (entries, incarnation) = (log.entries, found.starts);
    let restored =
        Restored { hard_state, snapshot, content_bytes, compacted, entries, forgot, incarnation };
    Ok(Loaded { disk, restored, content, batch, known })
}

impl Loaded {
    /// Counts this start, and remembers what was forgotten.
    pub(super) fn start(self) -> Result<Opened, DiskError> {
        let Self { mut disk, mut restored, content, mut batch, known } = self;
        restored.incarnation += 1;
        if restored.forgot {
            batch.put(*b"f", Vec::new());
        }
        batch.put(*b"b", restored.incarnation.to_le_bytes());
        disk.commit_now(batch)?;
        Ok(Opened { disk, restored, known, content })
    }
}

/// Reads all there is. `seen` is the number of the newest commit that was seen to be durable.
fn read(store: &Store, dir: &Path, seen: Option<u64>) -> Result<Found, DiskError> {
    let fixed = |key: &[u8], what| store.get(key).map_err(|problem| damaged(dir, what, &problem));
    let Some(head) = fixed(b"h", "promises")? else {
        return Err(match seen {
            Some(seen) => lost(dir, "promises", format!("are missing, after {seen} commits")),
            None => DiskError::Absent { dir: dir.to_owned() },
        });
    };
    let [term, vote, commit, last, next_run, commits] = integers(&head)[..] else {
        return Err(lost(dir, "promises", "have not their six numbers"));
    };
    if let Some(seen) = seen.filter(|seen| *seen > commits) {
        let problem = format!("are of commit {commits}, though {seen} were durable");
        return Err(lost(dir, "promises", problem));
    }
    let starts = fixed(b"b", "count of starts")?
        .map_or(0, |record| integers(&record).first().copied().unwrap_or(0));
    let mut is_damaged = false;
    let mut readable = |key: &[u8]| {
        let record = store.get(key);
        is_damaged |= record.is_err();
        record.ok().flatten()
    };
    let compacted = readable(b"t").and_then(|record| match integers(&record)[..] {
        [index, term] => Some((index, term)),
        _ => None,
    });
    let mut log = read_log(store, compacted.map_or(0, |(index, _)| index));
    let copy = readable(b"m").and_then(|record| SnapshotMeta::decode(record.into()).ok());
    let must_be_there = copy.is_some() || compacted.is_none_or(|(index, _)| index > 0);
    let (record, problem) = match store.get(b"s") {
        Ok(None) if must_be_there => (None, Some(MISSING.to_owned())),
        Ok(record) => (record, None),
        Err(damaged) => (None, Some(damaged.problem)),
    };
    is_damaged |= problem.as_ref().is_some_and(|problem| problem != MISSING);
    let content = read_content(store, record, &mut log);
    let snapshot = problem.map_or(content, Err);
    let whole = snapshot.as_ref().ok().and_then(|snapshot| snapshot.as_ref());
    let known = whole.map(|(meta, _)| meta.clone()).or(copy);
    let head = Head { term, vote, commit, last, next_run };
    // One that cannot be read is one.
    let flag = store.get(b"f");
    let is_damaged = is_damaged || flag.is_err() || log.is_damaged;
    let was_forgetful = flag.map_or(true, |flag| flag.is_some());
    Ok(Found { head, commits, starts, compacted, log, snapshot, known, was_forgetful, is_damaged })
}

impl Found {
    /// Whether somebody but `id` votes, and so may lead.
    fn has_others(&self, id: Option<MemberId>) -> bool {
        let (Some(id), Some(known)) = (id, &self.known) else { return id.is_none() };
        known.members.voters.union(&known.members.outgoing).any(|voter| *voter != id)
    }

    /// Lets go of what cannot be relied on, unless nobody could give it back: then everything stays
    /// as it is.
    fn mend(
        &mut self,
        id: Option<MemberId>,
        dir: &Path,
        batch: &mut Batch,
    ) -> Result<Mended, DiskError> {
        let newest = self.snapshot.as_ref().ok().and_then(|snapshot| snapshot.as_ref());
        let newest = newest.map_or((0, 0), |(meta, _)| (meta.index, meta.term));
        let reaches = self.compacted.map(|compacted| {
            let end = self.log.entries.last().map_or(compacted.0, Entry::index);
            (compacted, end)
        });
        let mut has_lost = !self.was_forgetful;
        let loss = match (&self.snapshot, reaches) {
            (Err(problem), _) => Some(("snapshot", problem.clone())),
            (Ok(_), None) => Some(("beginning of the log", "cannot be read".to_owned())),
            (Ok(_), Some((compacted, end))) => {
                // The newest run may be gone although older ones reach as far.
                let lacks_newest =
                    self.head.last > compacted.0 && self.log.next_run() != self.head.next_run;
                let is_whole = self.log.is_whole && end.max(newest.0) >= self.head.last;
                has_lost = !is_whole || lacks_newest;
                (self.was_forgetful || has_lost)
                    .then(|| ("log", "has lost entries that were durable".to_owned()))
            }
        };
        let forgot = loss.is_some();
        if let Some((what, problem)) = loss.filter(|_| !self.has_others(id)) {
            return Err(lost(dir, what, problem));
        }
        let is_short = reaches.is_none_or(|(_, end)| end < newest.0);
        let is_lost = self.snapshot.is_err();
        if is_lost || is_short {
            // What is left of the log ends before the snapshot, so that nothing can follow; or
            // follows one that is lost.
            self.log.clear();
            batch.put(*b"t", pair(newest.0, newest.1));
        }
        if is_lost {
            batch.delete(*b"s");
        }
        let compacted = match reaches {
            Some((compacted, _)) if !is_lost && !is_short => compacted,
            _ => newest,
        };
        let snapshot = std::mem::replace(&mut self.snapshot, Ok(None)).ok().flatten();
        Ok(Mended { compacted, snapshot, forgot, has_lost: has_lost && forgot })
    }
}

fn integers(record: &[u8]) -> Vec<u64> {
    let chunks = record.chunks_exact(8);
    chunks.map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default())).collect()
}

/// Reads runs in the order in which they were written, until one is damaged or leaves a hole.
fn read_log(store: &Store, compacted: u64) -> Log {
    let mut log = Log {
        entries: Vec::new(),
        runs: VecDeque::new(),
        useless: Vec::new(),
        is_whole: true,
        is_damaged: false,
    };
    for record in store.scan(b"l/") {
        log.is_damaged |= record.is_err();
        let key = match &record {
            Ok(record) => Some(record.key.clone()),
            Err(damaged) => damaged.key.clone(),
        };
        let number = key.as_deref().and_then(|key| key.strip_prefix(b"l/"));
        let number = number.and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
        let run = record.ok().and_then(|record| Entry::decode_run(record.value.into()).ok());
        match (run, number) {
            (Some(run), Some(number)) if log.is_whole && log.follows(&run, number, compacted) => {
                log.append(run, number, compacted);
            }
            _ => {
                log.is_whole = false;
                log.useless.extend(key);
            }
        }
    }
    log
}

impl Log {
    fn clear(&mut self) {
        self.entries.clear();
        self.useless.extend(self.runs.drain(..).map(|run| run_key(run.number)));
    }

    fn follows(&self, run: &[Entry], number: u64, compacted: u64) -> bool {
        let end = self.entries.last().map_or(compacted, Entry::index);
        let is_next = self.runs.back().is_none_or(|before| before.number + 1 == number);
        is_next && run.first().is_some_and(|first| first.index() <= end + 1)
    }

    fn next_run(&self) -> u64 {
        self.runs.back().map_or(1, |run| run.number + 1)
    }

    fn append(&mut self, run: Vec<Entry>, number: u64, compacted: u64) {
        let first = run.first().map_or(0, Entry::index);
        let last = run.last().map_or(0, Entry::index);
        for earlier in &mut self.runs {
            earlier.last = earlier.last.min(first.saturating_sub(1));
        }
        // A run may begin before what was let go of.
        self.entries.truncate(first.saturating_sub(compacted + 1) as usize);
        self.entries.extend(run.into_iter().filter(|entry| entry.index() > compacted));
        self.runs.push_back(Run { number, last });
    }
}

pub(super) fn parse_snapshot(record: Vec<u8>) -> Option<(SnapshotMeta, u64, u32)> {
    let (bytes, rest) = record.split_first_chunk::<8>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    let (bytes, crc) = (u64::from_le_bytes(*bytes), u32::from_le_bytes(*crc));
    let meta = SnapshotMeta::decode(Bytes::from(record).slice(12..)).ok()?;
    Some((meta, bytes, crc))
}

/// Reads the snapshot that the record names, if there is one; what is wrong with it, as a clause.
/// Parts of others are of no use: what was being written when a process ended. Nor are those of a
/// damaged one.
fn read_content(
    store: &Store,
    record: Option<Vec<u8>>,
    log: &mut Log,
) -> Result<Option<(SnapshotMeta, Bytes)>, String> {
    let named = record.map(|record| parse_snapshot(record).ok_or("cannot be read")).transpose();
    let whole = named.as_ref().ok().and_then(|named| named.as_ref());
    let (bytes, index) = whole.map_or((0, 0), |(meta, bytes, _)| (*bytes, meta.index));
    let all = parts_of(usize::try_from(bytes).unwrap_or(usize::MAX));
    let (mut content, mut parts, mut keys) = (Vec::new(), 0, Vec::new());
    for record in store.scan(b"s/") {
        match record {
            Ok(record) if parts < all && record.key == part_key(index, parts) => {
                content.extend_from_slice(&record.value);
                parts += 1;
                keys.push(record.key);
            }
            Ok(record) => log.useless.push(record.key),
            Err(damaged) => {
                log.is_damaged = true;
                log.useless.extend(damaged.key);
            }
        }
    }
    let problem = match named? {
        None => return Ok(None),
        Some(_) if parts < all => format!("lacks its part {parts}"),
        Some((meta, bytes, crc))
            if content.len() as u64 == bytes && crc32fast::hash(&content) == crc =>
        {
            return Ok(Some((meta, Bytes::from(content))));
        }
        Some(_) => "fails its checksum".to_owned(),
    };
    log.useless.extend(keys);
    Err(problem)
}
