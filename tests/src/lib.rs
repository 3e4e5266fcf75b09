//! A whole cluster on one thread: the real cores of master, agents and frameworks under a virtual
//! clock, a seeded network, seeded disks and seeded faults, with a judge that watches everything.
//!
//! docs/simulation.md says how to run it, how to read its trace and how to add to it. It links
//! cores only; whatever a shell does is done here by the least that can stand for it.
#![forbid(unsafe_code)]

mod chaos;
mod clocks;
mod cluster;
mod events;
pub mod faults;
mod group;
mod liveness;
mod measures;
pub mod network;
mod node;
pub mod oracle;
pub mod prng;
pub mod script;
pub mod storage;
mod streams;
pub mod trace;
pub mod workload;
pub mod world;

pub use group::Masters;
pub use measures::Measured;
pub use trace::Log;
pub use world::{Failure, Plant, Report, Setup, World};
