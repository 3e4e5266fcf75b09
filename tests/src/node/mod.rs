//! The nodes of the simulated cluster: each a real core with the least of a shell around it.
//!
//! A node's file feeds its core, queues what it decides behind its disk, and performs what may
//! leave. It must never decide anything that a core decides.

pub(crate) mod agent;
pub(crate) mod checkpoint;
pub(crate) mod disk;
pub(crate) mod framework;
mod lead;
mod look;
pub(crate) mod master;
pub(crate) mod operator;
pub(crate) mod raw;
mod serve;
pub(crate) mod supervisor;

use framework::DriverNode;
use proto::FrameworkId;
use raw::RawNode;

/// A framework of either kind.
#[derive(Debug)]
pub(crate) enum FrameworkNode {
    Driver(Box<DriverNode>),
    Raw(Box<RawNode>),
}

impl FrameworkNode {
    pub(crate) fn driver(&self) -> Option<&DriverNode> {
        match self {
            Self::Driver(node) => Some(node),
            Self::Raw(_) => None,
        }
    }

    pub(crate) fn driver_mut(&mut self) -> Option<&mut DriverNode> {
        match self {
            Self::Driver(node) => Some(node),
            Self::Raw(_) => None,
        }
    }

    pub(crate) fn raw_mut(&mut self) -> Option<&mut RawNode> {
        match self {
            Self::Driver(_) => None,
            Self::Raw(node) => Some(node),
        }
    }

    /// Who its scheduler believes to be.
    pub(crate) fn framework_id(&self) -> Option<FrameworkId> {
        match self {
            Self::Driver(node) => node.core.as_ref()?.framework_id().cloned(),
            Self::Raw(node) => node.framework_id().cloned(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Driver(node) => &node.name,
            Self::Raw(node) => &node.name,
        }
    }
}
