//! What a fetching process is told, and what it answers: one JSON line each way.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The longest line, either way.
pub const MESSAGE_BYTES: u64 = 64 << 10;

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who does it; absent means whoever the agent is.
    pub user: Option<User>,
    /// What it may take.
    pub limits: Limits,
    /// What is to be done.
    pub job: Job,
}

/// A user of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its group; it has no other ones.
    pub gid: u32,
}

/// What a fetch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the file, and of all that it unpacks to.
    pub bytes: u64,
    /// Files, directories and links that it unpacks to.
    pub entries: u64,
    /// Bytes of the disk that stay free.
    pub keep_free: u64,
    /// Milliseconds until a server has taken the connection.
    pub connect_ms: u64,
    /// Milliseconds in which at least something must come.
    pub stall_ms: u64,
    /// Milliseconds for all of it.
    pub whole_ms: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Downloads to standard output, a file, unless it is as it was.
    Get {
        /// Where it is: http or https.
        uri: String,
        /// What it was given last.
        known: Marks,
    },
    /// Puts a file into standard output, a directory.
    Put {
        /// What.
        source: Source,
        /// Its name there, relative.
        name: PathBuf,
        /// What becomes of it.
        finish: Finish,
    },
}

/// Where the content of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// From a server: http or https.
    Uri(String),
    /// From a file of the host, below a directory that the operator allows.
    File {
        /// The allowed directory.
        root: PathBuf,
        /// The file, from there.
        path: PathBuf,
    },
    /// From standard error: a file of the cache.
    Kept {
        /// The SHA-256 of its content, in hexadecimal digits.
        sha256: String,
    },
}

/// What becomes of a file that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// It stays as it is.
    Plain,
    /// It can be executed.
    Executable,
    /// It is unpacked beside itself.
    Unpack(Packing),
}

/// How a file is packed, by the end of its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`, `.tzst`.
    Tar,
    /// `.zip`.
    Zip,
    /// `.gz`, `.zst`: a single file, which is named without that.
    Single,
    /// One that is known by name and cannot be unpacked.
    Unknown(String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was done.
    Done(Fetched),
    /// The server says that it is as it was.
    Unchanged,
    /// It was not.
    Failed(Failure),
}

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Bytes of the file.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
    /// What the server gave to it.
    pub marks: Marks,
}

/// What a server gave to a file, to be asked about it again. It means nothing to any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Its tag.
    pub etag: Option<String>,
    /// Its date.
    pub last_modified: Option<String>,
    /// The SHA-256 of the URL that gave them, at the end of all redirections, in hexadecimal
    /// digits: the URL itself may be secret.
    pub given_by: Option<String>,
}
