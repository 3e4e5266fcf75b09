//! What can go wrong with a store: each sentence names the directory and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. `Display` is a sentence for the person who runs the process.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error(
        "data directory {} is in use by another process{}: stop that process, or choose another directory",
        .dir.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, if it wrote its id.
        pid: Option<u32>,
    },
    /// The data were written by a newer version.
    #[error(
        "data directory {} was written by a newer version (format {found}, this version knows up to {known}): run that version, or choose another directory",
        .dir.display()
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The data belong to another kind of process.
    #[error(
        "data directory {} is of kind '{found}', and kind '{wanted}' is needed: choose another directory",
        .dir.display()
    )]
    OtherKind {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked for it.
        wanted: String,
    },
    /// The data belong to another cluster.
    #[error(
        "data directory {} belongs to cluster {found}, not to cluster {wanted}: choose another directory, or the masters of that cluster",
        .dir.display()
    )]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// The cluster it belongs to.
        found: String,
        /// The cluster that was asked for.
        wanted: String,
    },
    /// The directory holds something else.
    #[error(
        "directory {} is not empty and holds no data of ours (it has '{entry}'): choose an empty or a new directory",
        .dir.display()
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// One thing found there.
        entry: String,
    },
    /// What is on disk is damaged.
    #[error(
        "data in {} are damaged ({what}): restore a backup, or move the directory away and start empty",
        .dir.display()
    )]
    Corrupt {
        /// The directory.
        dir: PathBuf,
        /// What is damaged, and where.
        what: String,
    },
    /// Too little space; nothing was written and the store still works.
    #[error(
        "the disk of {} is full ({free} bytes free, at least {needed} needed): free some space",
        .dir.display()
    )]
    Full {
        /// The directory.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that must be free before anything is written.
        needed: u64,
    },
    /// The operating system does not allow it.
    #[error(
        "no permission to {operation} {}: change its owner or mode, or choose another directory",
        .path.display()
    )]
    Permission {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// A key or a value that is too large, or an empty key; nothing was written.
    #[error(
        "a record with a key of {key_bytes} and a value of {value_bytes} bytes cannot be kept (a key has 1 to {}, a value up to {} bytes)",
        crate::MAX_KEY_BYTES,
        crate::MAX_VALUE_BYTES
    )]
    Unfit {
        /// Bytes of the key.
        key_bytes: usize,
        /// Bytes of the value.
        value_bytes: usize,
    },
    /// A write or a sync failed earlier: what the disk holds is unknown until the next open.
    #[error("the store in {} failed earlier and must be opened anew: end the process", .dir.display())]
    Poisoned {
        /// The directory.
        dir: PathBuf,
    },
    /// Anything else of the operating system.
    #[error("could not {operation} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// The error of a file operation, with permission and space told apart.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Permission { operation, path: path.to_owned() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { dir: path.to_owned(), free: 0, needed: 1 }
            }
            _ => Self::Io { operation, path: path.to_owned(), source },
        }
    }
}
