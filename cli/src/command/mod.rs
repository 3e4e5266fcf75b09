//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod frameworks;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod master;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod why;
