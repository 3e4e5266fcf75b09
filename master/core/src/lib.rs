//! The master's core: who gets which resources, and what became of every task.
//!
//! Pure and synchronous: `Master::step` takes one input and pushes effects; `Master::deadline` says
//! when the next `Input::Tick` is due. It never does I/O, reads a clock, draws entropy or logs.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod effect;
mod input;
mod options;
pub mod registry;

pub use effect::{Effect, Refusal};
pub use input::{ConnectionId, Input, RequestId};
pub use options::Options;
pub use registry::{Registry, RegistryOp};
