//! Reading a disk at a start: what is whole, what is damaged, and what that means.

use super::witness::Witness;
use super::{Disk, Head, Opened, Run, pair, part_key, parts_of, run_key};
use crate::DiskError;
use bytes::Bytes;
use registrar_core::{Entry, HardState, Restored, SnapshotMeta};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use store::{Batch, Damaged, GroupCommit, Storage, Store};

pub(super) fn damaged(dir: &Path, what: &'static str, problem: &Damaged) -> DiskError {
    lost(dir, what, problem.problem.clone())
}

fn lost(dir: &Path, what: &'static str, problem: impl Into<String>) -> DiskError {
    DiskError::Lost { dir: dir.to_owned(), what, problem: problem.into() }
}

/// What the log is, as far as it is whole.
struct Log {
    entries: Vec<Entry>,
    runs: VecDeque<Run>,
    /// Records that are of no use any more.
    useless: Vec<Vec<u8>>,
    is_whole: bool,
}

pub(super) fn open(store: Arc<Store>, dir: &Path) -> Result<Opened, DiskError> {
    let fixed = |key: &[u8], what| store.get(key).map_err(|problem| damaged(dir, what, &problem));
    let (witness, seen) = Witness::open(store.dir()).map_err(DiskError::Witness)?;
    let Some(head) = fixed(b"h", "promises")? else {
        return Err(match seen {
            Some(seen) => lost(dir, "promises", format!("are missing, after {seen} commits")),
            None => DiskError::Absent { dir: dir.to_owned() },
        });
    };
    let numbers = integers(&head);
    let [term, vote, commit, last, next_run, commits] = numbers[..] else {
        return Err(lost(dir, "promises", "have not their six numbers"));
    };
    if let Some(seen) = seen.filter(|seen| *seen > commits) {
        let problem = format!("are of commit {commits}, though {seen} were durable");
        return Err(lost(dir, "promises", problem));
    }
    let compacted = fixed(b"t", "beginning of the log")?.map(|record| integers(&record));
    let Some([index, first_term]) = compacted.as_deref() else {
        return Err(lost(dir, "beginning of the log", "is missing"));
    };
    let compacted = (*index, *first_term);
    let mut log = read_log(&store, compacted.0);
    let named = fixed(b"s", "snapshot")?;
    let (snapshot, content) = read_content(&store, dir, named, &mut log.useless)?.unzip();
    let mut batch = Batch::new();
    let newest = snapshot.as_ref().map_or((0, 0), |meta: &SnapshotMeta| (meta.index, meta.term));
    let compacted = match log.entries.last().map_or(compacted.0, Entry::index) < newest.0 {
        // What is left of it ends before the snapshot, so that nothing can follow.
        true => {
            log.clear();
            batch.put(*b"t", pair(newest.0, newest.1));
            newest
        }
        false => compacted,
    };
    let end = log.entries.last().map_or(compacted.0, Entry::index);
    let was_forgetful = store.get(b"f").map_or(true, |flag| flag.is_some());
    // The newest run may be gone although older ones reach as far.
    let lacks_newest = last > compacted.0 && log.next_run() != next_run;
    let forgot = was_forgetful || !log.is_whole || end < last || lacks_newest;
    if forgot && snapshot.as_ref().is_some_and(|meta| meta.members.all().len() == 1) {
        // Nobody could give it back. What is left stays as it is.
        return Err(lost(dir, "log", "has lost entries that were durable"));
    }
    let starts = fixed(b"b", "count of starts")?
        .map_or(0, |record| integers(&record).first().copied().unwrap_or(0));
    let head = Head { term, vote, commit, last: end, next_run: log.next_run() };
    let (incarnation, commits) = (starts + 1, commits + 1);
    log.useless.drain(..).for_each(|key| batch.delete(key));
    if forgot {
        batch.put(*b"f", Vec::new());
    }
    batch.put(*b"b", incarnation.to_le_bytes());
    batch.put(*b"h", head.encode(commits));
    store.commit(batch)?;
    witness.saw(commits);
    let content_bytes = content.as_ref().map_or(0, Bytes::len);
    let group = GroupCommit::start(Arc::<Store>::clone(&store)).map_err(DiskError::Thread)?;
    let disk = Disk {
        store,
        group,
        witness: Arc::new(witness),
        runs: log.runs,
        commits,
        head,
        snapshot: (newest.0, parts_of(content_bytes)),
        saving: None,
    };
    let hard_state = HardState { term, vote, commit };
    let entries = log.entries;
    let restored =
        Restored { hard_state, snapshot, content_bytes, compacted, entries, forgot, incarnation };
    Ok(Opened { disk, restored, content })
}

fn integers(record: &[u8]) -> Vec<u64> {
    let chunks = record.chunks_exact(8);
    chunks.map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default())).collect()
}

/// Reads runs in the order in which they were written, until one is damaged or leaves a hole.
fn read_log(store: &Store, compacted: u64) -> Log {
    let mut log =
        Log { entries: Vec::new(), runs: VecDeque::new(), useless: Vec::new(), is_whole: true };
    for record in store.scan(b"l/") {
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

/// Reads the snapshot that the record names. Parts of others are of no use: what was being written
/// when a process ended.
fn read_content(
    store: &Store,
    dir: &Path,
    record: Option<Vec<u8>>,
    useless: &mut Vec<Vec<u8>>,
) -> Result<Option<(SnapshotMeta, Bytes)>, DiskError> {
    let named = match record {
        Some(record) => {
            Some(parse_snapshot(record).ok_or_else(|| lost(dir, "snapshot", "cannot be read"))?)
        }
        None => None,
    };
    let bytes = named.as_ref().map_or(0, |(_, bytes, _)| *bytes);
    let all = parts_of(usize::try_from(bytes).unwrap_or(usize::MAX));
    let (mut content, mut parts) = (Vec::new(), 0);
    for record in store.scan(b"s/") {
        let Ok(record) = record else { continue };
        match &named {
            Some((meta, ..)) if record.key == part_key(meta.index, parts) && parts < all => {
                content.extend_from_slice(&record.value);
                parts += 1;
            }
            // One after a hole: the snapshot is damaged, as is found below.
            Some((meta, ..)) if parts < all && is_part_of(&record.key, meta.index) => {}
            _ => useless.push(record.key),
        }
    }
    let Some((meta, bytes, crc)) = named else { return Ok(None) };
    if parts < all {
        return Err(lost(dir, "snapshot", format!("lacks its part {parts}")));
    }
    if content.len() as u64 != bytes || crc32fast::hash(&content) != crc {
        return Err(lost(dir, "snapshot", "fails its checksum"));
    }
    Ok(Some((meta, Bytes::from(content))))
}

fn is_part_of(key: &[u8], index: u64) -> bool {
    key.strip_prefix(b"s/").is_some_and(|key| key.starts_with(&index.to_be_bytes()))
}
