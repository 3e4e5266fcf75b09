//! The registrar: a log that all members of a group agree upon, and the state that it makes.
//!
//! The shell around `registrar-core`: its disk is the guarded store, its network a gRPC stream to
//! each other member, its clock the process's. [`Registrar`] is the handle: entries go in and come
//! back when they are agreed upon, durable on a majority and applied; reads see everything that
//! was acknowledged before. A group of one is the same code with nobody to talk to.
//!
//! It must never acknowledge what is not durable, never try a failed sync again, and never know
//! what the entries mean: a [`StateMachine`] does.
#![forbid(unsafe_code)]

mod disk;
mod error;
mod frame;
mod handle;
mod lease;
mod link;
mod node;
mod perform;
mod serve;
mod space;

pub use disk::{Recovered, recover};
pub use error::{DiskError, Failure, RegistrarError, Stopped};
pub use handle::{MAX_ENTRY_BYTES, Registrar};
pub use lease::Lease;
pub use node::{Config, Started, found, has_disk, join, start};
pub use registrar_core::{
    Change, Loss, MemberId, Members, Options, Refusal, Role, StateMachine, Status,
};
pub use serve::{PATH, Service};
