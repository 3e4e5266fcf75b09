//! The agent's decisions, pure: task life, status updates, recovery, registration, collection.
//!
//! `Agent::step` takes one input and appends effects; `Agent::deadline` says when it wants a
//! `Tick`. It never reads a clock, draws entropy, logs or performs I/O: the shell (package
//! `agent`) and the simulator do that for it.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one effect among many")
)]

mod disk_pressure;
mod effect;
mod epoch;
mod executor;
mod gc;
mod gpus;
mod group;
mod input;
mod invariants;
mod link;
mod options;
mod random;
mod reconfiguration;
mod recovery;
mod state;
mod status_updates;
mod step;
mod task;
#[cfg(test)]
mod testing;
mod volumes;

pub use effect::{CheckpointOp, Effect, Look, Note, VolumeOrder, WantedVolume};
pub use executor::{ExecutorInput, ExecutorView};
pub use gpus::Gpus;
pub use group::group_executor;
pub use input::{
    AgentRecord, Container, EpochRecord, Exited, Input, Launch, Recovered, SandboxRecord, Seen,
    SeenRecord, TaskRecord, UpdatesRecord, VolumesRecord,
};
pub use invariants::{INVARIANTS, Violation};
pub use options::Options;
pub use reconfiguration::reconfiguration;
pub use state::{Agent, Counters};
pub use step::TaskView;
pub use task::{Limits, LimitsRefused, Subject};
pub use volumes::{Mount, Volume, claim, mounts};
