//! A directory in memory through which a database is opened whose disk is full.
//!
//! sled writes what it found into a new snapshot at each open, and does not open when there is no
//! room for that. The files of the database are linked here, so that all else is written where it
//! always was; its snapshots alone are copied, and the new one is lost in the end. That is as if
//! the process had been killed before it made one: they only make the next open shorter.

use crate::StoreError;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Where directories are in memory.
const MEMORY: [&str; 2] = ["/dev/shm", "/run"];
/// What is linked: the log, the settings, and the directory of large values.
const LINKED: [&str; 3] = ["db", "conf", "blobs"];
/// How snapshots begin.
const SNAPSHOT: &str = "snap.";
/// How those end that were not finished.
const UNFINISHED: &str = ".generating";

/// It goes with this.
#[derive(Debug)]
pub(crate) struct Shadow(PathBuf);

impl Drop for Shadow {
    fn drop(&mut self) {
        // What is left would be removed by the next one for the same directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Shadow {
    /// One for the database in `dir`, which must be there.
    ///
    /// # Errors
    /// When there is no directory in memory for it.
    pub(crate) fn of(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io("open on a full disk", dir, error);
        let dir = dir.canonicalize().map_err(failed)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for parent in MEMORY {
            match Self::within(Path::new(parent), &dir) {
                Ok(shadow) => return Ok(shadow),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn within(parent: &Path, dir: &Path) -> io::Result<Self> {
        // One name for each directory: what a killed process left is found again. Whoever calls has
        // the lock of the directory.
        let of = fs::metadata(dir)?;
        let at = parent.join(format!("tepui-store-{}-{}", of.dev(), of.ino()));
        if fs::symlink_metadata(&at).is_ok_and(|old| old.is_dir() && old.uid() == of.uid()) {
            fs::remove_dir_all(&at)?;
        }
        // What is another's is in the way, and is not taken.
        DirBuilder::new().mode(0o700).create(&at)?;
        let shadow = Self(at);
        for name in LINKED {
            symlink(dir.join(name), shadow.0.join(name))?;
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(SNAPSHOT) {
                fs::copy(entry.path(), shadow.0.join(entry.file_name()))?;
            }
        }
        Ok(shadow)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }
}

/// Removes snapshots that were not finished: sled takes them for damaged ones, and the whole
/// database with them. A process that was killed while it opened the database leaves one, and so does
/// a full disk.
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    for entry in entries {
        let path = entry.map_err(|error| StoreError::io("list", dir, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(SNAPSHOT) && name.ends_with(UNFINISHED) {
            fs::remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        }
    }
    Ok(())
}
