//! A data directory that is one process's alone: locked, and with an identity.
//!
//! A [`crate::Store`] has one; a process whose data are deeper in its directory holds one itself.
//! An open that is refused changes nothing.

use crate::identity::{Identity, LOCK_FILE};
use crate::{StoreError, durable};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where the database of a store is, in the directory.
pub(crate) const ENGINE_DIR: &str = "sled";
/// Where another one is made that is to take its place, or where the old one goes.
pub(crate) const FRESH_DIR: &str = "sled.fresh";

/// A data directory, locked as long as this lives.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    identity: Mutex<Identity>,
    _lock: Lock,
}

/// The lock on a directory.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Unlocks rather than closes: a child that is being spawned may hold a copy of the handle.
    fn drop(&mut self) {
        // A close follows in any case.
        let _ = self.0.unlock();
    }
}

impl Home {
    /// Takes `dir`, which is made if it does not exist, for data of `kind` in formats up to
    /// `format`, which a new directory gets; of `cluster`, if the caller knows it.
    ///
    /// # Errors
    /// Whose it is, what is wrong with it, or what the system said.
    pub fn open(
        dir: &Path,
        kind: &str,
        format: u32,
        cluster: Option<&str>,
    ) -> Result<Self, StoreError> {
        durable::create_dir(dir)?;
        let lock = take_lock(dir)?;
        let identity = match Identity::read(dir)? {
            Some(identity) => {
                identity.check(dir, kind, format, cluster)?;
                identity.mend(dir)?;
                identity
            }
            None => {
                let cluster = cluster.map(str::to_owned);
                let identity = Identity { kind: kind.to_owned(), format, cluster };
                identity.write(dir)?;
                identity
            }
        };
        Ok(Self { dir: dir.to_owned(), identity: Mutex::new(identity), _lock: lock })
    }

    /// Whose data these are.
    pub fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Binds data that belong to no cluster yet to `cluster`, durably.
    ///
    /// # Errors
    /// `OtherCluster` when they belong to another one already.
    pub fn bind_cluster(&self, cluster: &str) -> Result<(), StoreError> {
        let format = self.identity().format;
        self.upgrade(format, cluster)
    }

    /// Says durably that the data are of `format` now and belong to `cluster`. Older versions
    /// refuse them from then on, if `format` is newer.
    ///
    /// # Errors
    /// `OtherCluster` when they belong to another one already.
    pub fn upgrade(&self, format: u32, cluster: &str) -> Result<(), StoreError> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        identity.check(&self.dir, &identity.kind, identity.format, Some(cluster))?;
        let cluster = Some(cluster.to_owned());
        let now = Identity { kind: identity.kind.clone(), format, cluster };
        if now != *identity {
            now.write(&self.dir)?;
            *identity = now;
        }
        Ok(())
    }

    /// Exchanges the database of a store and the one that was made beside it, which nobody may have
    /// open: one or the other stands there, whenever the machine stops. Then the old one goes.
    pub(crate) fn exchange_store(&self) -> Result<(), StoreError> {
        let (engine, fresh) = (self.dir.join(ENGINE_DIR), self.dir.join(FRESH_DIR));
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, &fresh, cwd, &engine, rustix::fs::RenameFlags::EXCHANGE)
            .map_err(|error| StoreError::io("exchange", &engine, error.into()))?;
        durable::sync_dir(&self.dir)?;
        if let Err(error) = self.remove_fresh() {
            tracing::warn!(%error, "a database that was replaced could not be removed");
        }
        Ok(())
    }

    /// Removes a database beside the store's that was not finished, or the one whose place it took.
    pub(crate) fn remove_fresh(&self) -> Result<(), StoreError> {
        let fresh = self.dir.join(FRESH_DIR);
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &fresh, error))
            }
            _ => Ok(()),
        }
    }

    /// Moves the database of a store that was kept here, and is not used any more, into the
    /// directory `name` here; does nothing when there is none.
    ///
    /// # Errors
    /// When there is such a directory already, or it cannot be renamed.
    pub fn retire_store(&self, name: &str) -> Result<(), StoreError> {
        let engine = self.dir.join(ENGINE_DIR);
        if !engine.is_dir() {
            return Ok(());
        }
        fs::rename(&engine, self.dir.join(name))
            .map_err(|error| StoreError::io("rename", &engine, error))?;
        durable::sync_dir(&self.dir)
    }
}

/// Takes the directory's lock, which ends with the process however it ends.
fn take_lock(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join(LOCK_FILE);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StoreError::io("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(StoreError::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, error)),
    }
    // Whose it is, for the message of the next who comes: in the place of what was there, all of one
    // length, and without it where a full disk has no room.
    let pid = format!("{:<10}\n", std::process::id());
    match file.write_all(pid.as_bytes()) {
        Ok(()) => Ok(Lock(file)),
        Err(error) => match StoreError::io("write", &path, error) {
            StoreError::Full { .. } => Ok(Lock(file)),
            error => Err(error),
        },
    }
}

/// Moves damaged data out of the way, so that an open makes new ones; returns where they went.
///
/// # Errors
/// When another process uses them, or the directory cannot be renamed.
pub fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let _lock = take_lock(dir)?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = (0u32..)
        .map(|n| dir.with_file_name(format!("{name}.damaged-{n}")))
        .find(|path| !path.exists())
        .expect("there are more numbers than directories");
    fs::rename(dir, &aside).map_err(|error| StoreError::io("rename", dir, error))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        durable::sync_dir(parent)?;
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Options, Storage, Store};
    use std::sync::Arc;

    #[test]
    fn a_home_outlives_the_store_in_it_and_older_versions_refuse_its_next_format() {
        let dir = tempfile::tempdir().unwrap();
        let open = |format| Home::open(dir.path(), "test", format, None);
        let home = Arc::new(open(1).unwrap());
        let store = Store::within(Arc::clone(&home), &Options::new("test", 1)).unwrap();
        let mut batch = Batch::new();
        batch.put(*b"k", *b"v");
        store.commit(batch).unwrap();
        drop(store);
        assert!(matches!(open(1), Err(StoreError::InUse { .. })), "it is still locked");
        home.upgrade(2, "east").unwrap();
        home.retire_store("old").unwrap();
        home.retire_store("old").unwrap();
        assert!(dir.path().join("old").is_dir() && !dir.path().join(ENGINE_DIR).exists());
        assert!(matches!(home.upgrade(2, "west"), Err(StoreError::OtherCluster { .. })));
        drop(home);
        assert!(matches!(open(1), Err(StoreError::Newer { found: 2, known: 1, .. })));
        let identity = open(2).unwrap().identity();
        assert_eq!((identity.format, identity.cluster.as_deref()), (2, Some("east")));
    }
}
