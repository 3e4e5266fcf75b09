//! sled behind the guard: the only file that names it.
//!
//! `flush()` hands the log to the kernel with sync_file_range, which syncs no metadata; the
//! guard's own fdatasync of the same file makes it durable. sled also panics on some damaged
//! files: here that becomes an error, for a file may never end a process. And at an open it writes
//! zeros over what of the log's last segment was never written: the room for that is taken when the
//! segment begins, so that a full disk keeps nobody from opening.

use crate::room::{Room, SEGMENT_BYTES};
use crate::shadow::{Shadow, remove_unfinished};
use crate::{StoreError, durable};
use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Engine {
    db: sled::Db,
    /// A handle of our own on sled's log.
    log: File,
    /// What of the disk the log's last segment has.
    room: Mutex<Room>,
    dir: PathBuf,
    /// Through which it was opened because the disk was full; after the database, which uses it.
    shadow: Option<Shadow>,
}

/// A change as sled stores it: no value means removal.
pub(crate) type RawChange = (Vec<u8>, Option<Vec<u8>>);

impl Engine {
    /// Opens or makes the database in `dir`, and makes all its files durable.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        durable::create_dir(dir)?;
        let path = dir.join("db");
        wait_for_remnants(&path)?;
        remove_unfinished(dir)?;
        match guarded(dir, "open", || config(dir, cache_bytes).open()) {
            Err(error @ StoreError::Full { .. }) if path.exists() => {
                tracing::warn!(%error, "the database is opened without room for its snapshot");
                Self::open_through_memory(dir, cache_bytes)
            }
            opened => Self::of(dir, opened?, None),
        }
    }

    /// Opens a database that is there, without room for its snapshot. What of the last segment of
    /// the log was never written sled fills with zeros all the same; there is room for that, where
    /// the file system keeps some for a file.
    pub(crate) fn open_through_memory(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        wait_for_remnants(&dir.join("db"))?;
        remove_unfinished(dir)?;
        let shadow = Shadow::of(dir)?;
        let db = guarded(dir, "open", || config(shadow.dir(), cache_bytes).open())?;
        Self::of(dir, db, Some(shadow))
    }

    fn of(dir: &Path, db: sled::Db, shadow: Option<Shadow>) -> Result<Self, StoreError> {
        durable::sync_tree(dir)?;
        let path = dir.join("db");
        let log = OpenOptions::new().read(true).write(true).open(&path);
        let log = log.map_err(|error| StoreError::io("open", &path, error))?;
        let mut room = Room::default();
        room.take(&log);
        Ok(Self { db, log, room: Mutex::new(room), dir: dir.to_owned(), shadow })
    }

    /// The directory in memory through which it was opened.
    #[cfg(test)]
    pub(crate) fn shadow_dir(&self) -> Option<std::path::PathBuf> {
        self.shadow.as_ref().map(|shadow| shadow.dir().to_owned())
    }

    /// Closes it: returns once nothing of it works on its files any more.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        let Self { db, log, dir, shadow, .. } = self;
        drop(log);
        // Nobody relies on what is in it: a damaged one may say what it likes to this.
        let _ = guarded(&dir, "close", || {
            drop(db);
            Ok(())
        });
        let closed = wait_for_remnants(&dir.join("db"));
        drop(shadow);
        closed
    }

    /// Applies all changes as one and makes them durable.
    pub(crate) fn apply(&self, changes: Vec<RawChange>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guarded(&self.dir, "write to", || {
            self.db.apply_batch(batch)?;
            self.db.flush()
        })?;
        self.room.lock().unwrap_or_else(PoisonError::into_inner).take(&self.log);
        let path = self.dir.join("db");
        self.log.sync_data().map_err(|error| StoreError::io("sync", &path, error))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        guarded(&self.dir, "read", || self.db.get(key))
    }

    /// Keys and stored values of one prefix; ends after the first error.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + '_ {
        let mut entries = Some(self.db.scan_prefix(prefix));
        std::iter::from_fn(move || {
            let read = guarded(&self.dir, "read", || {
                entries.as_mut().and_then(Iterator::next).transpose()
            });
            match read {
                Ok(Some(entry)) => Some(Ok(entry)),
                Ok(None) => None,
                Err(error) => {
                    entries = None;
                    Some(Err(error))
                }
            }
        })
    }
}

/// Only `commit` flushes: a timer would write what nobody waits for.
fn config(dir: &Path, cache_bytes: u64) -> sled::Config {
    let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
    config.segment_size(SEGMENT_BYTES as usize)
}

/// Waits until sled's own lock is free. The store's lock is held already, so no other process can
/// have it: only threads of an engine that this process just dropped and that still wind down.
fn wait_for_remnants(path: &Path) -> Result<(), StoreError> {
    match File::open(path) {
        Ok(file) => file
            .lock()
            .and_then(|()| file.unlock())
            .map_err(|error| StoreError::io("lock", path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("open", path, error)),
    }
}

/// Turns sled's errors and panics into ours.
fn guarded<T>(
    dir: &Path,
    operation: &'static str,
    work: impl FnOnce() -> sled::Result<T>,
) -> Result<T, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { dir: dir.to_owned(), what };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => Err(StoreError::io(operation, dir, source)),
        Ok(Err(sled::Error::Corruption { at, .. })) => {
            Err(corrupt(at.map_or_else(|| "a page".to_owned(), |at| format!("a page at {at:?}"))))
        }
        Ok(Err(other)) => Err(corrupt(other.to_string())),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(corrupt(said.unwrap_or("the engine gave up").to_owned()))
        }
    }
}
