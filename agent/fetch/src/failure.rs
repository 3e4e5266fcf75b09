//! Why a file was not fetched: for programs a kind, for people a clause that names the fix.

use serde::{Deserialize, Serialize};

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The URI, or the name of the file, cannot be.
    Uri,
    /// The operator does not allow it.
    NotAllowed,
    /// There is no such file, or it cannot be read by the task's user.
    Missing,
    /// The server could not be reached.
    Connect,
    /// The server could not prove who it is, or does not speak TLS.
    Tls,
    /// The server answered, but not with the file: its HTTP status.
    Status(u16),
    /// The answer broke off, or is not HTTP.
    Broken,
    /// Something took too long.
    Time,
    /// It is larger than is allowed.
    Size,
    /// The archive cannot be unpacked.
    Archive,
    /// What was kept of an earlier fetch is damaged.
    Cache,
    /// The disk could not be written.
    Disk,
    /// The fetching process itself failed.
    Process,
}

impl Kind {
    /// Whether the same fetch may end otherwise later, with nobody changing the task.
    pub fn is_passing(self) -> bool {
        match self {
            Self::Connect
            | Self::Broken
            | Self::Time
            | Self::Cache
            | Self::Disk
            | Self::Process => true,
            Self::Status(status) => status >= 500 || status == 429,
            Self::Uri
            | Self::NotAllowed
            | Self::Missing
            | Self::Tls
            | Self::Size
            | Self::Archive => false,
        }
    }
}

/// Why a file was not fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{problem}")]
pub struct Failure {
    /// What failed.
    pub kind: Kind,
    /// As a clause, without the URI.
    pub problem: String,
}

impl Failure {
    /// A failure with its clause.
    pub fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }

    /// For `map_err`: the disk failed at this.
    pub(crate) fn disk<E: Into<std::io::Error>>(doing: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::new(Kind::Disk, format!("{doing}: {}", error.into()))
    }
}
