//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod frameworks;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod master;
pub(crate) mod offers;
pub(crate) mod ps;
pub(crate) mod roles;
pub(crate) mod run;
pub(crate) mod teardown;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod why;
