//! Work on all units of a large group, a slice at a time, so that nothing else waits for long and
//! no step makes a million effects.
//!
//! What the slices do is decided and recorded before the first: a restart in between goes on.

use super::Scheduler;
use crate::core::boundary::{Effect, UnitChange};
use crate::core::outcome::Outcome;
use crate::core::record::{self, Stop};
use crate::core::unit::{Ended, NOWHERE};
use crate::core::units::Group;
use proto::Time;

/// Units in a slice.
const SLICE: u32 = 4096;

/// A group whose records are being deleted.
#[derive(Debug)]
pub(crate) struct Forgotten {
    pub(crate) group: Group,
    /// The first unit whose records are still there.
    pub(crate) from: u32,
}

impl Scheduler {
    /// Whether there is a slice to do.
    pub(crate) fn has_slices(&self) -> bool {
        !self.ending.is_empty() || !self.forgotten.is_empty()
    }

    /// Does one slice of each kind.
    pub(crate) fn slices(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if let Some(number) = self.ending.first().copied() {
            self.end_fresh(now, number, effects);
        }
        if let Some((number, mut forgotten)) = self.forgotten.pop_first() {
            let to = forgotten.from.saturating_add(SLICE).min(forgotten.group.len());
            for index in forgotten.from..to {
                self.delete_unit(&forgotten.group, index);
            }
            forgotten.from = to;
            if to < forgotten.group.len() {
                self.forgotten.insert(number, forgotten);
            } else {
                self.writes.extend(record::no_group(number));
            }
        }
    }

    fn delete_unit(&mut self, group: &Group, index: u32) {
        self.writes.push(record::delete(record::unit_key(group.number, index)));
        for attempt in 0..group.attempt(index) {
            let key = record::attempt_key(group.number, index, attempt);
            self.writes.push(record::delete(key));
        }
    }

    /// Ends never-tried units of a group that was stopped; the group's record says so for all.
    pub(crate) fn end_fresh(&mut self, now: Time, number: u32, effects: &mut Vec<Effect>) {
        self.ending.insert(number);
        let Some(group) = self.groups.get_mut(&number) else {
            self.ending.remove(&number);
            return;
        };
        let outcome = match group.standing.stop {
            Some((Stop::PendingLimit, _)) => Outcome::PendingTimedOut,
            Some((Stop::Killed, _)) | None => Outcome::Killed,
        };
        let units = group.fresh_units(SLICE as usize);
        for index in &units {
            group.set_ended(*index, Ended::new(outcome, NOWHERE, 0, 0), None);
        }
        if group.fresh_count() == 0 {
            self.ending.remove(&number);
        }
        for index in units {
            self.notify(number, index, 0, UnitChange::Ended(outcome), effects);
        }
        self.end_group_if_over(now, number, effects);
    }
}
