//! Why an agent does not start, or has to end: each a sentence that names the thing and the fix.

use crate::containerizer::StartError;
use std::io;
use std::path::PathBuf;

/// An error of the agent. `Display` is a sentence for the person who runs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be.
    #[error("{setting} '{given}': {problem}")]
    Setting {
        /// Which, as on the command line.
        setting: &'static str,
        /// What was given.
        given: String,
        /// What is wrong with it, and what it should be.
        problem: String,
    },
    /// The port is taken.
    #[error(
        "port {port} of {host} is in use: stop what listens there, or choose another with --listen"
    )]
    PortInUse {
        /// Where.
        host: String,
        /// Which.
        port: u16,
    },
    /// The socket cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The work directory cannot be used.
    #[error("cannot use the work directory {}: choose another one with --work-dir", .dir.display())]
    WorkDir {
        /// Which.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its path is too long for a socket in it.
    #[error(
        "the path of the work directory {} is too long for a socket in it: choose one of at most {most} bytes",
        .dir.display()
    )]
    LongPath {
        /// Which.
        dir: PathBuf,
        /// How long it may be.
        most: usize,
    },
    /// The checkpoint cannot be opened, or not be written any more.
    #[error(transparent)]
    Store(#[from] std::sync::Arc<store::StoreError>),
    /// The master leads another cluster. It was told nothing, and the tasks go on.
    #[error(
        "work directory {} belongs to cluster {own}, but the master at {master} leads cluster {found}: name the masters of {own} with --master, or another work directory with --work-dir",
        .dir.display()
    )]
    OtherCluster {
        /// The work directory.
        dir: PathBuf,
        /// Where it belongs.
        own: proto::ClusterId,
        /// The master's address.
        master: String,
        /// What it leads.
        found: proto::ClusterId,
    },
    /// The agent's description changed.
    #[error("{message} (work directory {})", .dir.display())]
    Reconfigured {
        /// Where the old description is.
        dir: PathBuf,
        /// What changed, and what to do.
        message: String,
    },
    /// The machine does not tell what it has.
    #[error("cannot find out what this machine has: {0}; name it with --resources")]
    Probe(#[from] crate::probe::ProbeError),
    /// No supervisor for the tasks.
    #[error(transparent)]
    Supervisor(#[from] StartError),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}
