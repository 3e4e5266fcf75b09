//! Where changes are durable when the disk is full: a file that has all of its room beforehand, so
//! that writing into it takes none. Whoever fills the disk cannot take it, as it could what is given
//! back to the disk.
//!
//! The store takes over what is here with its next commit for which it has room. An agent that starts
//! meanwhile reads both. File systems that never write in place may have no room for it either; then
//! changes wait, as they do once it is used up.

use super::Change;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Batch, Damaged, Record, Scan, Storage, StoreError};

/// The first bytes of the file; then the generation, of which records count.
const MAGIC: [u8; 8] = *b"TEPUIRS1";
/// Where the first record is: the head has a page to itself.
const FIRST: u64 = 4096;
/// Generation, length and checksum before each record.
const HEAD: usize = 8 + 4 + 4;
/// The length of the value of a key that goes.
const GONE: u32 = u32::MAX;
/// Free bytes with which a store is opened and takes over what is here.
const ENOUGH: u64 = 32 << 20;
/// Bytes that are written at once where the file must be filled.
const PIECE: usize = 1 << 20;

/// The file, and what it holds.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
    /// Whether it holds anything that the store does not.
    used: AtomicBool,
    making: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    length: u64,
    generation: u64,
    /// Where the next record goes.
    end: u64,
    /// What is in it, in order.
    changes: Vec<Change>,
}

impl Reserve {
    /// Reads what an earlier run of the agent left. One that cannot be read holds nothing.
    pub(crate) fn open(path: &Path) -> Arc<Self> {
        let state = State::open(path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the disk's reserve is made anew");
                // One that is not ours, or of an older release.
                let _ = std::fs::remove_file(path);
            }
            State::default()
        });
        let (used, making) = (AtomicBool::new(!state.changes.is_empty()), AtomicBool::new(false));
        Arc::new(Self { path: path.to_owned(), state: Mutex::new(state), used, making })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether changes are durable in it alone, because the disk is full.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Makes the file in the background, if there is none of this size; one that holds something
    /// stays as it is.
    pub(crate) fn make(self: &Arc<Self>, bytes: u64) {
        let fits = self.lock().length == bytes;
        if bytes <= FIRST || fits || self.is_used() || self.making.swap(true, Ordering::AcqRel) {
            return;
        }
        let reserve = Arc::clone(self);
        let work = move || {
            let unfinished = reserve.path.with_extension("new");
            let made = with_room(&unfinished, bytes);
            if let Err(error) = made.and_then(|file| reserve.exchange(&unfinished, file, bytes)) {
                tracing::warn!(%error, "no space could be reserved for the checkpoint");
                // What is half done would only take room.
                let _ = std::fs::remove_file(&unfinished);
            }
            reserve.making.store(false, Ordering::Release);
        };
        if std::thread::Builder::new().name("reserve".into()).spawn(work).is_err() {
            self.making.store(false, Ordering::Release);
        }
    }

    /// Puts a new file in the place of the one before, unless that holds something by now.
    fn exchange(&self, unfinished: &Path, file: File, length: u64) -> io::Result<()> {
        let mut state = self.lock();
        if !state.changes.is_empty() {
            return std::fs::remove_file(unfinished);
        }
        std::fs::rename(unfinished, &self.path)?;
        // Or a power cut could bring the old one back, without what this one holds.
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        let file = Some(file);
        *state = State { file, length, generation: 1, end: FIRST, changes: Vec::new() };
        Ok(())
    }

    /// What the store does not have yet, in order.
    pub(crate) fn changes(&self) -> Vec<Change> {
        if self.is_used() { self.lock().changes.clone() } else { Vec::new() }
    }

    /// Makes changes durable here; false when there is no room for them, and nothing was changed.
    pub(crate) fn keep(&self, changes: &[Change]) -> bool {
        let mut state = self.lock();
        match state.append(changes) {
            Ok(()) => {
                state.changes.extend_from_slice(changes);
                self.used.store(true, Ordering::Release);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the disk's reserve takes no more");
                false
            }
        }
    }

    /// Whether the disk has room for an agent that starts.
    pub(crate) fn disk_has_room(&self) -> bool {
        let stat = self.path.parent().and_then(|dir| rustix::fs::statvfs(dir).ok());
        stat.is_none_or(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= ENOUGH)
    }

    /// The store has all of it, durably.
    ///
    /// # Errors
    /// When that cannot be noted: the records would be put into the store again, over newer ones.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        let Some(file) = &state.file else { return Ok(()) };
        let failed =
            |source| StoreError::Io { operation: "clear", path: self.path.clone(), source };
        write_head(file, state.generation + 1).map_err(failed)?;
        state.generation += 1;
        state.end = FIRST;
        state.changes = Vec::new();
        self.used.store(false, Ordering::Release);
        Ok(())
    }
}

impl State {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; 16];
        file.read_exact_at(&mut head, 0)?;
        let generation = head.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk());
        let generation = u64::from_le_bytes(*generation.ok_or(io::ErrorKind::InvalidData)?);
        let (mut end, mut changes) = (FIRST, Vec::new());
        while let Some(payload) = record(&file, end, length, generation)? {
            changes.extend(decode(&payload).ok_or(io::ErrorKind::InvalidData)?);
            end += (HEAD + payload.len()) as u64;
        }
        Ok(Self { file: Some(file), length, generation, end, changes })
    }

    fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let file = self.file.as_ref().ok_or_else(full)?;
        let payload = encode(changes);
        let length = u32::try_from(payload.len()).map_err(|_| full())?;
        let mut text = Vec::with_capacity(HEAD + payload.len());
        text.extend_from_slice(&self.generation.to_le_bytes());
        text.extend_from_slice(&length.to_le_bytes());
        text.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        text.extend_from_slice(&payload);
        let end = self.end + text.len() as u64;
        if end > self.length {
            return Err(full());
        }
        file.write_all_at(&text, self.end)?;
        file.sync_data()?;
        self.end = end;
        Ok(())
    }
}

fn write_head(file: &File, generation: u64) -> io::Result<()> {
    file.write_all_at(&[MAGIC, generation.to_le_bytes()].concat(), 0)?;
    file.sync_data()
}

/// A new file that has all of its room on the disk.
fn with_room(path: &Path, bytes: u64) -> io::Result<File> {
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = how.open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(&mut file, bytes)?,
        Err(error) => return Err(error.into()),
    }
    write_head(&file, 1)?;
    file.sync_all()?;
    Ok(file)
}

/// Writes zeros, where room cannot be had otherwise.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE as u64);
        file.write_all(&piece[..now as usize])?;
        left -= now;
    }
    Ok(())
}

/// The payload of the record at a place; none where it was not written whole.
fn record(file: &File, at: u64, length: u64, generation: u64) -> io::Result<Option<Vec<u8>>> {
    let room = length.saturating_sub(at);
    if room < HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, at)?;
    let [own, size, sum] = [&head[..8], &head[8..12], &head[12..]]
        .map(|part| part.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
    if own != generation || size > room - HEAD as u64 {
        return Ok(None);
    }
    let mut payload = vec![0; size as usize];
    file.read_exact_at(&mut payload, at + HEAD as u64)?;
    Ok((u64::from(crc32fast::hash(&payload)) == sum).then_some(payload))
}

fn encode(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, n: usize| {
        // No record of the store is that long.
        bytes.extend_from_slice(&u32::try_from(n).unwrap_or(GONE).to_le_bytes());
    };
    for (key, value) in changes {
        number(&mut bytes, key.len());
        number(&mut bytes, value.as_ref().map_or(GONE as usize, Vec::len));
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = bytes.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (key, value) = (u32::from_le_bytes(*key), u32::from_le_bytes(*value));
        let (key, rest) = rest.split_at_checked(key as usize)?;
        if value == GONE {
            changes.push((key.to_owned(), None));
            bytes = rest;
        } else {
            let (value, rest) = rest.split_at_checked(value as usize)?;
            changes.push((key.to_owned(), Some(value.to_owned())));
            bytes = rest;
        }
    }
    Some(changes)
}

/// A store as it will be once it has taken over what is in the reserve: for reading at the start.
pub(crate) struct Both<'a> {
    store: &'a dyn Storage,
    newer: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Both<'a> {
    pub(crate) fn new(store: &'a dyn Storage, reserve: &Reserve) -> Self {
        Self { store, newer: reserve.changes().into_iter().collect() }
    }
}

impl Storage for Both<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        match self.newer.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        }
    }

    fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        let is_newer = |key: &[u8]| self.newer.contains_key(key);
        let old = self.store.scan(prefix).filter(move |entry| match entry {
            Ok(record) => !is_newer(&record.key),
            Err(damaged) => !damaged.key.as_deref().is_some_and(is_newer),
        });
        let mut all: Vec<_> = old.collect();
        let newer = self.newer.iter().filter(|(key, _)| key.starts_with(prefix));
        all.extend(newer.filter_map(|(key, value)| {
            Some(Ok(Record { key: key.clone(), value: value.clone()? }))
        }));
        all.sort_by(|a, b| key_of(a).cmp(&key_of(b)));
        Box::new(all.into_iter())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }
}

/// What cannot be told apart ends a scan.
fn key_of(entry: &Result<Record, Damaged>) -> (bool, &[u8]) {
    match entry {
        Ok(record) => (false, &record.key),
        Err(damaged) => (damaged.key.is_none(), damaged.key.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
