//! The agent: runs tasks on one machine and answers for them to the master.
//!
//! Its decisions are made in `agent-core`; here is what touches the world. Tasks belong to the
//! `supervisor`, a separate small process that survives this one.

pub mod containerizer;
pub mod probe;
pub mod sandbox;
pub mod supervisor;
