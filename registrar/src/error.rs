//! What can go wrong, each in a sentence for the person who runs the process.

use registrar_core::{Loss, Refusal};
use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use store::StoreError;

/// Why a member's disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The store's own reason.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is a member's disk already.
    #[error("{} has the log of a member already: choose another directory", .dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// There is none.
    #[error("{} has no log of a member: found a group, or join one", .dir.display())]
    Absent {
        /// The directory.
        dir: PathBuf,
    },
    /// What a member must never lose is lost: under its old id it could break its word.
    #[error("the {what} of the member in {} {problem}: it must be replaced by a new member; move the directory away", .dir.display())]
    Lost {
        /// The directory.
        dir: PathBuf,
        /// What is lost.
        what: &'static str,
        /// What is wrong with it, as a clause.
        problem: String,
    },
    /// The file beside the database cannot be made.
    #[error("cannot write in the data directory: check its owner and its permissions")]
    Witness(#[source] io::Error),
    /// The system gives no thread.
    #[error("cannot start a thread for the log: raise the limit on processes")]
    Thread(#[source] io::Error),
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// Its disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its options.
    #[error("these options make no sense: {0}")]
    Options(String),
    /// The state in its snapshot.
    #[error("the state in the snapshot cannot be read ({0}): run the version that wrote it")]
    State(String),
}

/// Why something that was asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The group, or this member of it, refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An entry that no log takes.
    #[error(
        "an entry of {bytes} bytes cannot be taken (it has 1 to {} bytes)",
        crate::MAX_ENTRY_BYTES
    )]
    Unfit {
        /// What it has.
        bytes: usize,
    },
    /// Too little room on this member's disk: it takes entries again once there is room.
    #[error("the disk is nearly full ({free} bytes free, {needed} needed): free some space")]
    Full {
        /// Free bytes.
        free: u64,
        /// Free bytes with which it takes entries again.
        needed: u64,
    },
    /// The member has ended.
    #[error("this member has ended")]
    Ended,
}

/// Why a member ended by itself. The process, or at least all that relied on it, must end too.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// It may take part no more.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// No space, too suddenly to step aside. Nothing is lost; with space it can be started again.
    #[error(transparent)]
    Full(Arc<StoreError>),
    /// A write or a sync failed: what the disk holds is unknown until the next start.
    #[error("{}", of_disk(.0))]
    Disk(Arc<StoreError>),
    /// The state in a leader's snapshot.
    #[error("the state in a snapshot of the leader cannot be read ({0}): run the same version")]
    State(String),
}

/// The store's own words are for one that nobody else can help.
fn of_disk(error: &StoreError) -> String {
    match error {
        StoreError::Corrupt { dir, what } => format!(
            "the log in {} turned out to be damaged ({what}): start this process again, which keeps \
             what is whole; what is lost is fetched from the other members, if there are any",
            dir.display()
        ),
        error => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
