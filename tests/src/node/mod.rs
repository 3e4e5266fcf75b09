//! The nodes of the simulated cluster: each a real core with the least of a shell around it.
//!
//! A node's file feeds its core, queues what it decides behind its disk, and performs what may
//! leave. It must never decide anything that a core decides.

pub(crate) mod agent;
pub(crate) mod checkpoint;
pub(crate) mod framework;
pub(crate) mod master;
pub(crate) mod operator;
pub(crate) mod raw;
pub(crate) mod supervisor;
