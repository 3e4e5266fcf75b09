//! Why a master does not start, or ends: sentences that name the thing and the fix.

use crate::registrar::RegistrarError;
use std::io;

/// Why a master does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot work.
    #[error("{setting} must be {must}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// The address is taken.
    #[error(
        "port {port} on {host} is in use: stop the process that has it (it may be another master), or choose another with --listen"
    )]
    PortInUse {
        /// The address without the port.
        host: String,
        /// The port.
        port: u16,
    },
    /// The port needs rights.
    #[error("no permission to listen on port {port} of {host}: choose a port from 1024 up")]
    PortDenied {
        /// The address without the port.
        host: String,
        /// The port.
        port: u16,
    },
    /// The address is not one of this machine, or the socket failed.
    #[error("cannot listen on {address}: check that it is an address of this machine")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// None of the masters that were named takes this one in.
    #[error("no master to join at {}: {reason}; name one or more that run, as HOST:PORT", .addresses.join(","))]
    Join {
        /// Who was asked.
        addresses: Vec<String>,
        /// What the last one said, or why it could not be asked.
        reason: String,
    },
    /// The registry cannot be opened or written.
    #[error(transparent)]
    Registry(#[from] RegistrarError),
}
