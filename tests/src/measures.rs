//! What a run is measured by: who led when, and what the masters went through.

use crate::faults::Point;
use proto::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How often a master began to lead.
    pub reigns: u64,
    /// How often a member of the masters' group was elected.
    pub elections: u64,
    /// How long nobody led, each time.
    pub gaps: Vec<Duration>,
    /// Places of the registrar at which a process ended.
    pub points: BTreeSet<Point>,
    /// Answers of masters whose age was checked.
    pub answers: u64,
    /// Tasks that the frameworks' owners saw run to an end.
    pub ends: u64,
}

/// Who leads, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    pub(crate) measured: Measured,
    leading: u64,
    ended: Option<Time>,
}

impl Measures {
    /// A master begins to lead.
    pub(crate) fn leads(&mut self, now: Time) {
        self.measured.reigns += 1;
        self.leading += 1;
        if let Some(ended) = self.ended.take() {
            self.measured.gaps.push(now.since(ended));
        }
    }

    /// One does not lead any more.
    pub(crate) fn ends(&mut self, now: Time) {
        self.leading = self.leading.saturating_sub(1);
        if self.leading == 0 {
            self.ended = Some(now);
        }
    }
}
