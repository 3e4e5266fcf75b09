//! The store: one directory, one lock, one identity, one tree.

use crate::batch::Change;
use crate::engine::{Engine, RawChange};
use crate::home::{ENGINE_DIR, FRESH_DIR, Home};
use crate::identity::Identity;
use crate::record::{self, Opened, PART_PREFIX};
use crate::{Batch, Damaged, Record, Scan, Storage, StoreError, durable};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What one commit may need beyond its own bytes: pages that are rewritten, a new segment.
const SLACK_BYTES: u64 = 4 * 1024 * 1024;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What kind of process it belongs to: `master`, `agent`, `jobs`.
    pub kind: &'static str,
    /// The newest format of its records that the caller knows; new directories get it.
    pub format: u32,
    /// The cluster the data must belong to, if the caller knows it.
    pub cluster: Option<String>,
    /// Bytes of pages kept in memory.
    pub cache_bytes: u64,
    /// Bytes of the disk that are left to others: a commit that would go below is refused with
    /// `Full` before it writes.
    pub reserve_bytes: u64,
}

impl Options {
    /// Options with a cache of 2 MiB and a reserve of 4 MiB.
    pub fn new(kind: &'static str, format: u32) -> Self {
        Self { kind, format, cluster: None, cache_bytes: 2 << 20, reserve_bytes: 4 << 20 }
    }

    /// The same for data of this cluster only.
    #[must_use]
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = Some(cluster.into());
        self
    }
}

/// The room on the disk of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that must be free for a small commit; a large one needs four times its own more.
    pub needed: u64,
}

/// An open store. Commits are durable when they return; see [`crate::GroupCommit`] for many.
pub struct Store {
    engine: Engine,
    cache_bytes: u64,
    reserve_bytes: u64,
    /// One commit at a time: the parts of an old value are looked up before they are removed.
    committing: Mutex<()>,
    /// Whether a value may have been cut into parts, so that removals must look for them.
    has_parts: AtomicBool,
    poisoned: AtomicBool,
    /// Last, so that it is released last.
    home: Arc<Home>,
}

impl Store {
    /// Opens the store in `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// Every variant but `Unfit` and `Poisoned`; nothing was changed unless the data are ours.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        let cluster = options.cluster.as_deref();
        let home = Home::open(dir, options.kind, options.format, cluster)?;
        if let Some(cluster) = cluster {
            home.bind_cluster(cluster)?;
        }
        Self::within(Arc::new(home), &options)
    }

    /// Opens the store in a directory that is ours already; of the options, the cache and the
    /// reserve count.
    ///
    /// # Errors
    /// As `open`, but for those of identity and lock.
    pub fn within(home: Arc<Home>, options: &Options) -> Result<Self, StoreError> {
        tracing::debug!(dir = %home.dir().display(), kind = options.kind, "opening the store");
        // What an exchange that was cut off left behind.
        home.remove_fresh()?;
        Self::of(home, ENGINE_DIR, options.cache_bytes, options.reserve_bytes)
    }

    fn of(
        home: Arc<Home>,
        engine: &str,
        cache_bytes: u64,
        reserve_bytes: u64,
    ) -> Result<Self, StoreError> {
        let engine = Engine::open(&home.dir().join(engine), cache_bytes)?;
        durable::sync_dir(home.dir())?;
        let has_parts = engine.scan(&[PART_PREFIX]).next().is_some();
        Ok(Self {
            engine,
            cache_bytes,
            reserve_bytes,
            committing: Mutex::new(()),
            has_parts: AtomicBool::new(has_parts),
            poisoned: AtomicBool::new(false),
            home,
        })
    }

    /// An empty store in the same directory, to be filled and to take the place of this one, which
    /// is damaged in a way that cannot be written over. Until then nobody finds it.
    ///
    /// # Errors
    /// What the system said.
    pub fn beside(&self) -> Result<Self, StoreError> {
        self.home.remove_fresh()?;
        Self::of(Arc::clone(&self.home), FRESH_DIR, self.cache_bytes, self.reserve_bytes)
    }

    /// Gives the place of this store to `fresh`, which came from [`Store::beside`], and removes what
    /// was here. Whenever the machine stops, one of the two is there, whole.
    ///
    /// # Errors
    /// What the system said; that the file system cannot exchange two directories, too.
    pub fn replaced_by(self, fresh: Self) -> Result<Self, StoreError> {
        let Self { engine, cache_bytes, reserve_bytes, home, .. } = self;
        engine.close()?;
        fresh.engine.close()?;
        home.exchange_store()?;
        Self::of(home, ENGINE_DIR, cache_bytes, reserve_bytes)
    }

    /// Whose data these are.
    pub fn identity(&self) -> Identity {
        self.home.identity()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// Binds data that belong to no cluster yet to `cluster`, durably.
    ///
    /// # Errors
    /// `OtherCluster` when they belong to another one already.
    pub fn bind_cluster(&self, cluster: &str) -> Result<(), StoreError> {
        self.home.bind_cluster(cluster)
    }

    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The room on the disk.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn space(&self) -> Result<Space, StoreError> {
        let stat = rustix::fs::statvfs(self.dir()).map_err(|error| {
            StoreError::io("measure the free space of", self.dir(), error.into())
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(Space { free, needed: self.reserve_bytes.saturating_add(SLACK_BYTES) })
    }

    /// Refuses while nothing is written yet, so that a full disk poisons nothing.
    fn check_space(&self, batch: &Batch) -> Result<(), StoreError> {
        let Space { free, needed } = self.space()?;
        let needed = needed.saturating_add(4 * batch.bytes() as u64);
        if free < needed {
            return Err(StoreError::Full { dir: self.dir().to_owned(), free, needed });
        }
        Ok(())
    }

    /// The changes as the engine stores them: envelopes, parts, and removal of old parts.
    fn raw_changes(&self, batch: Batch) -> Result<Vec<RawChange>, StoreError> {
        let mut raw = Vec::with_capacity(batch.len());
        // Parts that an earlier change of this same batch wrote.
        let mut fresh_parts: Vec<Vec<u8>> = Vec::new();
        for change in batch.changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Delete(key) => (key, None),
            };
            if self.has_parts.load(Ordering::Relaxed) {
                let prefix = record::parts_prefix(&key);
                for entry in self.engine.scan(&prefix) {
                    raw.push((entry?.0.to_vec(), None));
                }
                let stale = fresh_parts.iter().filter(|part| part.starts_with(&prefix));
                raw.extend(stale.map(|part| (part.clone(), None)));
            }
            let sealed = value.map(|value| record::seal(&key, &value));
            let (head, parts) = sealed.map_or((None, Vec::new()), |s| (Some(s.head), s.parts));
            if !parts.is_empty() {
                self.has_parts.store(true, Ordering::Relaxed);
                fresh_parts.extend(parts.iter().map(|(part_key, _)| part_key.clone()));
            }
            raw.extend(parts.into_iter().map(|(part_key, part)| (part_key, Some(part))));
            raw.push((key, head));
        }
        Ok(raw)
    }

    fn read(&self, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, Damaged> {
        let damaged = |problem| Damaged { key: Some(key.to_owned()), problem };
        match record::open(key, stored).map_err(damaged)? {
            Opened::Whole(payload) => Ok(payload.to_owned()),
            Opened::Cut { length, crc } => {
                let mut value = Vec::new();
                for entry in self.engine.scan(&record::parts_prefix(key)) {
                    let (_, part) = entry.map_err(|error| damaged(error.to_string()))?;
                    value.extend_from_slice(&part);
                }
                record::check_joined(key, &value, length, crc).map_err(damaged)?;
                Ok(value)
            }
        }
    }
}

impl Storage for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        match self.engine.get(key) {
            Ok(Some(stored)) => self.read(key, &stored).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(Damaged { key: Some(key.to_owned()), problem: error.to_string() }),
        }
    }

    fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        // The parts stand behind all keys of callers.
        let entries = self.engine.scan(prefix).take_while(
            |entry| !matches!(entry, Ok((key, _)) if key.first() == Some(&PART_PREFIX)),
        );
        Box::new(entries.map(|entry| match entry {
            Ok((key, stored)) => {
                self.read(&key, &stored).map(|value| Record { key: key.to_vec(), value })
            }
            Err(error) => Err(Damaged { key: None, problem: error.to_string() }),
        }))
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.check()?;
        let _turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned { dir: self.dir().to_owned() });
        }
        self.check_space(&batch)?;
        self.raw_changes(batch).and_then(|raw| self.engine.apply(raw)).map_err(|error| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(dir = %self.dir().display(), %error, "store poisoned");
            match error {
                // Others filled the disk meanwhile. A part may be written: it is not as `Full` says.
                StoreError::Full { .. } => StoreError::Poisoned { dir: self.dir().to_owned() },
                error => error,
            }
        })
    }
}
