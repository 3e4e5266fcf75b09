//! The durable form of everything that a framework must not forget: keys and values.
//!
//! Own small framing with a version byte in front of each value. What is read back is checked: a
//! value that cannot be read is an error that names its key, never a panic.

mod reading;
mod writing;

use super::boundary::Write;
use super::group::GroupSpec;
use super::outcome::{KillCause, Outcome};
use proto::{AgentId, FrameworkId, TaskId, Time};
use std::fmt;
use std::sync::Arc;

pub(crate) use reading::read;
pub use reading::{read_attempt, read_last_attempt};
pub(crate) use writing::{
    attempt, forgotten, framework, group, host, next_group, no_framework, no_group, no_task,
    standing, task, unit,
};

const VERSION: u8 = 1;

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Its key, escaped.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl RecordError {
    fn new(key: &[u8], problem: impl Into<String>) -> Self {
        Self { key: key.escape_ascii().to_string(), problem: problem.into() }
    }

    /// What the record belongs to is not recorded.
    pub(crate) fn orphan(key: &[u8]) -> Self {
        Self::new(key, "belongs to no group that is recorded")
    }

    /// What the record says is against the rules.
    pub(crate) fn invalid(key: &[u8], problem: &str) -> Self {
        Self::new(key, problem)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record '{}': {}", self.key, self.problem)
    }
}

impl std::error::Error for RecordError {}

/// One attempt of a unit that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub attempt: u32,
    /// Where it was; absent when it never got a place.
    pub agent: Option<AgentId>,
    /// When it was given its place.
    pub launched: Time,
    /// When it was first known to run.
    pub running: Option<Time>,
    /// When its end was recorded.
    pub ended: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// What was said of its end, for people.
    pub message: Option<Arc<str>>,
}

/// What has been spent of a unit's budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of its own.
    pub user: u32,
    /// Of the platform's.
    pub platform: u32,
    /// Of time.
    pub timeout: u32,
}

/// A unit's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitRecord {
    pub(crate) attempt: u32,
    pub(crate) spent: Spent,
    pub(crate) phase: PhaseRecord,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PhaseRecord {
    Waiting {
        since: Time,
        until: Time,
    },
    Live {
        agent: AgentId,
        launched: Time,
        running: Option<Time>,
        unreachable: Option<Time>,
        kill: Option<KillCause>,
    },
    Ended(Attempt),
}

/// How a group stands, apart from its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Units that it is to have now.
    pub(crate) count: u32,
    /// Whether and why no unit is started any more, and since when.
    pub(crate) stop: Option<(Stop, Time)>,
    /// When its last unit ended.
    pub(crate) ended: Option<Time>,
}

/// Why a group starts no units any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its owner ended it.
    Killed,
    /// Units that never got a place waited too long: they, and only they, are over.
    PendingLimit,
}

/// A record, read back.
pub(crate) enum Record {
    Framework(FrameworkId),
    NextGroup(u32),
    Group {
        number: u32,
        submitted: Time,
        spec: Box<GroupSpec>,
    },
    Standing {
        number: u32,
        standing: Standing,
    },
    /// The group is forgotten: what is left of its records is being deleted.
    Forgotten(u32),
    Unit {
        number: u32,
        index: u32,
        unit: UnitRecord,
    },
    /// Of an ended attempt, what is counted; the rest is read on demand.
    Attempt {
        group: u32,
        launched: Time,
        outcome: Outcome,
    },
    Host {
        agent: AgentId,
        host: Arc<str>,
        port: u16,
    },
    Task {
        task: TaskId,
        agent: AgentId,
    },
}

fn key(kind: u8, numbers: &[u32]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 4 * numbers.len());
    key.push(kind);
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

/// The prefix of the keys of a unit's ended attempts, in the order of the attempts.
pub fn attempts_prefix(group: u32, index: u32) -> Vec<u8> {
    key(b'A', &[group, index])
}

pub(crate) fn attempt_key(group: u32, index: u32, attempt: u32) -> Vec<u8> {
    key(b'A', &[group, index, attempt])
}

pub(crate) fn unit_key(group: u32, index: u32) -> Vec<u8> {
    key(b'U', &[group, index])
}

fn write(key: Vec<u8>, value: Vec<u8>) -> Write {
    Write { key, value: Some(value) }
}

/// Deletes a record.
pub(crate) fn delete(key: Vec<u8>) -> Write {
    Write { key, value: None }
}

/// The record of a framework's id, as key and value: for one whose id is told, not given.
pub fn framework_record(id: &FrameworkId) -> (Vec<u8>, Vec<u8>) {
    let Write { key, value } = writing::framework(id);
    (key, value.unwrap_or_default())
}

/// The key of a unit's record.
pub fn unit_record_key(group: u32, index: u32) -> Vec<u8> {
    unit_key(group, index)
}

#[cfg(test)]
mod tests;
