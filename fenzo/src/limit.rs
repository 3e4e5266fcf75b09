//! Limits on what a group of tasks may take in all, whatever the hosts offer.
//!
//! They count what runs and what a run has placed so far. A limit refuses a task before any host is asked, and
//! says so by its own reason, so that nobody adds hosts for it.

use std::collections::BTreeMap;

use crate::id::GroupName;
use crate::quantity::Milli;
use crate::resources::{Measure, Resource, Resources};

/// The most that the tasks of one group may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// By measure; `None` is no limit.
    most: [Option<Milli>; 4],
}

impl Limit {
    /// No limit on anything.
    pub const NONE: Self = Self { most: [None; 4] };

    /// Nothing of anything.
    pub const NOTHING: Self = Self { most: [Some(Milli::ZERO); 4] };

    /// The same with a limit on one measure.
    #[must_use]
    pub fn with(mut self, measure: Measure, most: Milli) -> Self {
        self.most[measure as usize] = Some(most);
        self
    }

    /// The limit on a measure, if there is one.
    #[must_use]
    pub fn of(&self, measure: Measure) -> Option<Milli> {
        self.most[measure as usize]
    }

    /// Both together: what the one and what the other permits, added up.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, Milli::saturating_add)
    }

    /// What is left of this limit when the other is taken from it.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = *self;
        for (left, taken) in left.most.iter_mut().zip(other.most) {
            *left = match (*left, taken) {
                (Some(left), Some(taken)) => Some(left.saturating_sub(taken)),
                (Some(_), None) => Some(Milli::ZERO),
                (None, _) => None,
            };
        }
        left
    }

    /// The more generous of the two, measure by measure.
    #[must_use]
    pub fn ceiling(&self, other: &Self) -> Self {
        self.each(other, Milli::max)
    }

    fn each(&self, other: &Self, of: fn(Milli, Milli) -> Milli) -> Self {
        let mut both = *self;
        for (both, other) in both.most.iter_mut().zip(other.most) {
            *both = both.zip(other).map(|(one, other)| of(one, other));
        }
        both
    }

    /// Whether amounts stay within the limit.
    #[must_use]
    pub fn covers(&self, amounts: &Resources) -> bool {
        let within = |(most, amount): (&Option<Milli>, u64)| {
            most.is_none_or(|most| amount <= most.thousandths())
        };
        self.most.iter().zip(amounts.measures()).all(within)
    }
}

/// The limits of all groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits(BTreeMap<GroupName, Limit>);

impl Limits {
    /// No group has a limit.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn set(&mut self, group: GroupName, limit: Limit) -> Option<Limit> {
        self.0.insert(group, limit)
    }

    pub(crate) fn remove(&mut self, group: &GroupName) -> Option<Limit> {
        self.0.remove(group)
    }

    pub(crate) fn get(&self, group: &GroupName) -> Option<&Limit> {
        self.0.get(group)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much more of a measure a group that takes `used` may have.
    pub(crate) fn left(&self, group: &GroupName, used: &[u128; 4], measure: usize) -> u64 {
        let limit = match self.0.get(group) {
            Some(limit) => limit.most[measure],
            None => (!self.0.is_empty()).then_some(Milli::ZERO),
        };
        limit.map_or(u64::MAX, |most| {
            let left = u128::from(most.thousandths()).saturating_sub(used[measure]);
            u64::try_from(left).unwrap_or(u64::MAX)
        })
    }

    /// What a group that takes `used` cannot have `more` of, if anything. Where any limit is set, a group
    /// without one may have nothing.
    pub(crate) fn exceeded(
        &self,
        group: &GroupName,
        used: &[u128; 4],
        more: &[u64],
    ) -> Option<Resource> {
        if self.0.is_empty() {
            return None;
        }
        let limit = self.0.get(group).unwrap_or(&Limit::NOTHING);
        let names = [Resource::Cpus, Resource::Memory, Resource::Disk, Resource::Network];
        let exceeds = |measure: &usize| {
            let sum = used[*measure] + u128::from(more[*measure]);
            limit.most[*measure].is_some_and(|most| sum > u128::from(most.thousandths()))
        };
        let unknown = || (!self.0.contains_key(group)).then_some(0);
        let measure = (0..4).find(exceeds).or_else(unknown)?;
        names.into_iter().nth(measure)
    }
}
