//! What has happened to a group's units: attempts made, when the first was, and how all ended.
//!
//! Kept beside the units, so that nobody has to walk through a million of them to say it.

use super::outcome::Outcome;
use proto::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Units that ended badly whose indexes are kept.
const FAILURES: usize = 100;

/// Attempts and ends of a group's units, by the names of their outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that were launched.
    pub attempts: u64,
    /// When the first of them was.
    pub first_launched: Option<Time>,
    /// How attempts ended, also those that were followed by another.
    pub attempt_outcomes: BTreeMap<&'static str, u64>,
    /// How units ended for good.
    pub unit_outcomes: BTreeMap<&'static str, u64>,
    /// Units that ended neither well nor by a kill: the first hundred to end so.
    pub failures: BTreeSet<u32>,
}

impl Tally {
    pub(crate) fn launched(&mut self, at: Time) {
        self.attempts += 1;
        self.first_launched = Some(self.first_launched.map_or(at, |first| first.min(at)));
    }

    pub(crate) fn attempt_ended(&mut self, outcome: Outcome) {
        *self.attempt_outcomes.entry(outcome.name()).or_default() += 1;
    }

    pub(crate) fn unit_ended(&mut self, index: u32, outcome: Outcome) {
        *self.unit_outcomes.entry(outcome.name()).or_default() += 1;
        let well = matches!(outcome, Outcome::Succeeded | Outcome::Killed);
        if !well && self.failures.len() < FAILURES {
            self.failures.insert(index);
        }
    }

    /// A unit that had ended is started again.
    pub(crate) fn unit_reopened(&mut self, index: u32, outcome: Outcome) {
        self.failures.remove(&index);
        if let Some(count) = self.unit_outcomes.get_mut(outcome.name()) {
            *count = count.saturating_sub(1);
        }
        self.unit_outcomes.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_attempts_and_ends_and_remembers_the_first_failures() {
        let mut tally = Tally::default();
        tally.launched(Time::from_nanos(7));
        tally.launched(Time::from_nanos(5));
        tally.attempt_ended(Outcome::Failed(None));
        tally.unit_ended(3, Outcome::Failed(None));
        tally.unit_ended(4, Outcome::Killed);
        assert_eq!((tally.attempts, tally.first_launched), (2, Some(Time::from_nanos(5))));
        assert_eq!(tally.attempt_outcomes, BTreeMap::from([("failed", 1)]));
        assert_eq!(tally.unit_outcomes, BTreeMap::from([("failed", 1), ("killed", 1)]));
        assert_eq!(tally.failures, BTreeSet::from([3]));
        tally.unit_reopened(4, Outcome::Killed);
        assert_eq!(tally.unit_outcomes, BTreeMap::from([("failed", 1)]));
        for index in 10..300 {
            tally.unit_ended(index, Outcome::TimedOut);
        }
        assert_eq!(tally.failures.len(), FAILURES);
    }
}
