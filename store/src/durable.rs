//! Files and directories that survive a power loss: what fsync must be called on, and when.
//!
//! A new file is durable only once its directory is synced too, and a new directory once its
//! parent is.

use crate::StoreError;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes `dir` and its missing parents, readable by the owner alone, durably.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dir(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        // Another process was as fast; if a file stands there, opening it says so.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(error) => return Err(StoreError::io("create directory", dir, error)),
    }
    sync_dir(parent)
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|handle| handle.sync_all())
        .map_err(|error| StoreError::io("sync directory", dir, error))
}

/// Makes every file below `dir`, and `dir` itself, durable.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    for entry in entries {
        let path = entry.map_err(|error| StoreError::io("list", dir, error))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|error| StoreError::io("sync", &path, error))?;
        }
    }
    sync_dir(dir)
}

/// Replaces the file `name` in `dir` by `content`: after a crash it is the old one or the new one.
pub(crate) fn replace_file(dir: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let draft = dir.join(format!("{name}.new"));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.map_err(|error| StoreError::io("write", &draft, error))?;
    let path = dir.join(name);
    fs::rename(&draft, &path).map_err(|error| StoreError::io("rename", &draft, error))?;
    sync_dir(dir)
}
