//! Sees that commits are missing: the number of the newest one, kept once more beside the database.
//!
//! The embedded database drops what it cannot read at the end of its log without a word, and what
//! is before looks whole. The file is written after a commit is durable, and not synced: after a
//! power loss it may lag behind and then proves less; it is never ahead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use store::StoreError;

const FILE: &str = "commits";
/// Says that the database came upon damage that reading it does not show.
const DAMAGED: &str = "damaged";

/// The file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    damaged: PathBuf,
    failed: AtomicBool,
}

impl Witness {
    /// Opens it, and reads the number of the newest commit that it saw.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Option<u64>)> {
        let path = dir.join(FILE);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(64).read_to_end(&mut bytes)?;
        // Not whole, or torn: then it proves nothing.
        let seen = bytes.first_chunk::<8>().map(|seen| u64::from_le_bytes(*seen));
        let check = bytes.get(8..16).and_then(|check| check.try_into().ok());
        let seen = seen.filter(|seen| check.map(u64::from_le_bytes) == Some(!seen));
        let damaged = dir.join(DAMAGED);
        Ok((Self { file, damaged, failed: AtomicBool::new(false) }, seen))
    }

    /// Whether a commit before this start came upon damage.
    pub(super) fn saw_damage(&self) -> bool {
        self.damaged.exists()
    }

    /// A commit failed: if it was for damage, or the disk could not read or write, the next start is
    /// to know.
    pub(super) fn failed(&self, error: &StoreError) {
        if matches!(error, StoreError::Corrupt { .. } | StoreError::Io { .. })
            && let Err(error) = File::create(&self.damaged)
        {
            tracing::warn!(%error, "it cannot be noted that the database is damaged");
        }
    }

    /// The damage is gone.
    pub(super) fn mended(&self) {
        if let Err(error) = std::fs::remove_file(&self.damaged)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "it cannot be noted that the database is whole again");
        }
    }

    /// A commit of this number is durable.
    pub(super) fn saw(&self, commit: u64) {
        let bytes = [commit.to_le_bytes(), (!commit).to_le_bytes()].concat();
        if let Err(error) = self.file.write_all_at(&bytes, 0)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the number of commits cannot be kept beside the log");
        }
    }
}
