//! The commands, one file each.

pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod frameworks;
pub(crate) mod master;
pub(crate) mod ps;
pub(crate) mod version;
