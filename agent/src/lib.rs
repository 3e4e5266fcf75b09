//! The agent: runs tasks on one machine and answers for them to the master.
//!
//! Its decisions are made in `agent-core`; here is what touches the world. Tasks belong to the
//! `supervisor`, a separate small process that survives this one.

mod checkpoint;
mod config;
pub mod containerizer;
mod containers;
#[cfg(feature = "failpoints")]
pub mod crash;
mod disks;
mod docker;
mod endpoints;
mod error;
mod executors;
mod fetching;
mod gpus;
mod headroom;
mod http;
mod link;
mod listen;
mod looking;
mod metrics;
mod orphans;
mod parts;
mod perform;
mod policy;
mod preparing;
pub mod probe;
mod sandbox;
mod sandboxes;
mod server;
mod sessions;
pub mod supervisor;
mod usage;
mod volumes;
mod whereabouts;

pub use config::Config;
pub use docker::{DOCKER_NETWORKS, DockerPolicy};
pub use error::Error;
pub use fetching::{FetchPolicy, fetch_files};
pub use gpus::Gpu;
pub use http::SessionsFrom;
pub use listen::listen;
pub use parts::LogPolicy;
pub use policy::{HostPath, NetworkPolicy, Policy};
pub use server::{Stop, run};
pub use supervisor::options::Extras;
