//! How tasks end, in fields.

use std::sync::Arc;
use std::time::Duration;

/// How a task ended, typed, so that nobody has to read messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskOutcome {
    /// How its process ended; absent when nobody saw it.
    pub exit: Option<Exit>,
    /// The limit that it hit.
    pub limit: Option<LimitHit>,
    /// What it used, when measured.
    pub usage: Option<TaskUsage>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A limit that a task hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitHit {
    /// Name of the resource: `mem`, `disk`, `pids`.
    pub resource: Arc<str>,
    /// How much was used, in the resource's base unit (bytes; count).
    pub usage: u64,
    /// How much was allowed.
    pub limit: u64,
}

/// What a task used over its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskUsage {
    /// Processor time, user and system.
    pub cpu_time: Duration,
    /// Largest resident memory in bytes.
    pub max_memory: u64,
    /// From start to end.
    pub wall_time: Duration,
}
