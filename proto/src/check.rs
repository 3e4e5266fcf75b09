//! Checks: what an agent looks at while a task runs, and what it saw.
//!
//! A check only tells; a health check that fails too often ends its task. The numbers are Mesos'.

use crate::CommandInfo;
use std::sync::Arc;
use std::time::Duration;

/// What is to be looked at while a task runs; one of the two at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Whether the task is well: if not, it is killed.
    pub health: Option<HealthCheck>,
    /// What is only told.
    pub check: Option<Check>,
}

/// Something that is looked at again and again (Mesos' `CheckInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub kind: CheckKind,
    /// From the task's start to the first look. Mesos' default is 15 s.
    pub delay: Duration,
    /// From the end of one look to the next. Mesos' default is 10 s.
    pub interval: Duration,
    /// How long one look may take; zero means without end. Mesos' default is 20 s.
    pub timeout: Duration,
}

/// A check that ends its task when it fails too often in a row (Mesos' `HealthCheck`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is looked at, and when.
    pub check: Check,
    /// So many failures in a row end the task. Mesos' default is 3.
    pub consecutive_failures: u32,
    /// From the task's start: until then failures do not count, unless the task was well before.
    /// Mesos' default is 10 s.
    pub grace_period: Duration,
}

/// How to look at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Run this beside the task, with its user, limits and variables: well when it exits with 0.
    Command(Box<CommandInfo>),
    /// Ask for this on the task's loopback address: well when the status is from 200 to 399.
    Http {
        /// The port.
        port: u16,
        /// The path, beginning with `/`; absent means `/`.
        path: Option<Arc<str>>,
        /// Whether to ask `::1` rather than `127.0.0.1`.
        ipv6: bool,
    },
    /// Connect to this port on the task's loopback address: well when it is taken.
    Tcp {
        /// The port.
        port: u16,
        /// Whether to connect to `::1` rather than to `127.0.0.1`.
        ipv6: bool,
    },
}

/// What a check has seen last (Mesos' `CheckStatusInfo`). What is absent was not seen: there was no
/// look yet, or the last one came to nothing in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// The exit code of the command.
    Command(Option<i32>),
    /// The status of the answer.
    Http(Option<u16>),
    /// Whether the connection was taken.
    Tcp(Option<bool>),
}

impl CheckKind {
    /// The status of a check that has seen nothing.
    pub fn unseen(&self) -> CheckStatus {
        match self {
            Self::Command(_) => CheckStatus::Command(None),
            Self::Http { .. } => CheckStatus::Http(None),
            Self::Tcp { .. } => CheckStatus::Tcp(None),
        }
    }
}
