//! Room that is kept for tasks at the head of the queue, so that small ones do not keep big ones out for good.
//!
//! Without it, whatever a finished task leaves goes to the next small task, and a task that needs a whole host
//! waits for ever. Here the first tasks that find no host get one (a gang: several) in advance: where they
//! will fit earliest, by the expected ends of running tasks. Others are placed behind them only where that
//! costs the head no time. Nothing is remembered from run to run: each run reserves anew, and never later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::attribute::{AttributeValue, Attributes, lookup};
use crate::disabled::Disabled;
use crate::id::{HostId, TaskId};
use crate::quantity::Time;

/// How much is kept for the head of the queue, and at what price in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// For how many tasks or gangs that find no host room is kept in a run. One is enough that nobody starves;
    /// more make the order stricter and leave more idle.
    pub heads: usize,
    /// How many hosts are looked at in a run, those that are large enough in order of name. They count as work
    /// of the run.
    pub looks: u64,
}

impl Default for Backfill {
    /// One head, and 10,000 hosts.
    fn default() -> Self {
        Self { heads: 1, looks: 10_000 }
    }
}

/// Room that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The task, or the tasks of the gang, that it is kept for.
    pub tasks: Vec<TaskId>,
    /// Where: one host for a task, in order of name for a gang.
    pub hosts: Vec<HostId>,
    /// From when on they fit there.
    pub start: Start,
}

/// When there will be room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// At this time, if running tasks end when they are expected to.
    At(Time),
    /// When this many running tasks of which no end is known have ended, beside all that are known to end.
    AfterEnds(u32),
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => write!(f, "at {} ns", time.as_nanos()),
            Self::AfterEnds(tasks) => write!(f, "when {tasks} more tasks have ended"),
        }
    }
}

/// What a run knows of the time after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) backfill: Backfill,
    pub(crate) now: Time,
    /// When running tasks are expected to end, of those of which it is known.
    pub(crate) ends: &'a BTreeMap<TaskId, Time>,
    pub(crate) disabled: &'a Disabled,
    pub(crate) active: Option<&'a (String, BTreeSet<AttributeValue>)>,
}

impl Outlook<'_> {
    /// Whether anything may be placed on a host at all.
    pub(crate) fn is_usable(&self, host: &HostId, attributes: &Attributes) -> bool {
        !self.disabled.contains(host) && is_active(self.active, host, attributes)
    }
}

/// Whether a host is of an active group.
pub(crate) fn is_active(
    active: Option<&(String, BTreeSet<AttributeValue>)>,
    host: &HostId,
    attributes: &Attributes,
) -> bool {
    let listed = |(name, active): &(String, BTreeSet<AttributeValue>)| {
        lookup(host, attributes, name).is_some_and(|value| active.contains(&value))
    };
    active.is_none_or(listed)
}
