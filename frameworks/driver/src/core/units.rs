//! The units of one group, and every change of one: marks, records, counts, what is ready.
//!
//! Each index is kept in step by the few functions here; nothing is recounted. It knows no tasks,
//! no offers and no store: the scheduler acts on what it says.

use super::group::{GroupId, GroupSpec};
use super::record::Standing;
use super::tally::Tally;
use super::unit::{Counts, Ended, Mark, OpenUnit, Phase, UnitState};
use proto::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Messages of ends that are kept in memory for a group; all are in the records.
const MESSAGES: usize = 100;

/// A group with its units.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) id: GroupId,
    pub(crate) spec: Arc<GroupSpec>,
    pub(crate) class: Arc<fenzo::TaskClass>,
    pub(crate) submitted: Time,
    pub(crate) standing: Standing,
    pub(crate) counts: Counts,
    pub(crate) tally: Tally,
    /// Why its units found no place when it was tried last.
    pub(crate) why: Option<Arc<fenzo::Explanation>>,
    /// What was said of the ends of some units that did not end well.
    pub(crate) messages: BTreeMap<u32, Arc<str>>,
    marks: Vec<Mark>,
    /// Up to the highest unit that ended.
    ended: Vec<Ended>,
    open: BTreeMap<u32, OpenUnit>,
    /// Open units whose wait is over.
    ready: BTreeSet<u32>,
    /// How many marks are `Fresh`.
    fresh: u32,
    /// No unit below is fresh.
    first_fresh: u32,
}

impl Group {
    pub(crate) fn new(
        number: u32,
        id: GroupId,
        spec: Arc<GroupSpec>,
        class: Arc<fenzo::TaskClass>,
        submitted: Time,
        count: u32,
    ) -> Self {
        Self {
            number,
            id,
            spec,
            class,
            submitted,
            standing: Standing { count, stop: None, ended: None },
            counts: Counts { pending: count, ..Counts::default() },
            tally: Tally::default(),
            why: None,
            messages: BTreeMap::new(),
            marks: vec![Mark::Fresh; count as usize],
            ended: Vec::new(),
            open: BTreeMap::new(),
            ready: BTreeSet::new(),
            fresh: count,
            first_fresh: 0,
        }
    }

    /// How many units there are, ended ones that were scaled away included.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.marks.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn mark(&self, index: u32) -> Option<Mark> {
        self.marks.get(index as usize).copied()
    }

    pub(crate) fn open(&self, index: u32) -> Option<&OpenUnit> {
        self.open.get(&index)
    }

    pub(crate) fn all_open(&self) -> &BTreeMap<u32, OpenUnit> {
        &self.open
    }

    pub(crate) fn ended(&self, index: u32) -> Option<Ended> {
        (self.mark(index) == Some(Mark::Ended)).then(|| self.ended[index as usize])
    }

    /// How many units could be launched now.
    pub(crate) fn ready_count(&self) -> u32 {
        let fresh = if self.standing.stop.is_some() { 0 } else { self.fresh };
        fresh.saturating_add(u32::try_from(self.ready.len()).unwrap_or(u32::MAX))
    }

    /// The next units to launch: those that were tried before come first.
    pub(crate) fn next_ready(&self, most: usize) -> Vec<u32> {
        let mut next: Vec<u32> = self.ready.iter().copied().take(most).collect();
        if self.standing.stop.is_none() && next.len() < most {
            let rest = (self.first_fresh..self.len())
                .filter(|index| self.marks[*index as usize] == Mark::Fresh);
            next.extend(rest.take(most - next.len()));
        }
        next
    }

    /// The first `most` never-tried units, in order.
    pub(crate) fn fresh_units(&self, most: usize) -> Vec<u32> {
        let fresh = |index: &u32| self.marks[*index as usize] == Mark::Fresh;
        (self.first_fresh..self.len()).filter(fresh).take(most).collect()
    }

    pub(crate) fn fresh_count(&self) -> u32 {
        self.fresh
    }

    pub(crate) fn is_ready(&self, index: u32) -> bool {
        match self.mark(index) {
            Some(Mark::Fresh) => self.standing.stop.is_none(),
            Some(Mark::Open) => self.ready.contains(&index),
            Some(Mark::Ended) | None => false,
        }
    }

    pub(crate) fn state(&self, index: u32) -> Option<UnitState> {
        Some(match self.mark(index)? {
            Mark::Fresh => UnitState::Pending,
            Mark::Ended => UnitState::Ended(self.ended[index as usize].outcome()),
            Mark::Open => match &self.open.get(&index)?.phase {
                Phase::Waiting { .. } if self.ready.contains(&index) => UnitState::Pending,
                Phase::Waiting { .. } => UnitState::BackingOff,
                Phase::Live(live) => live.state(),
            },
        })
    }

    /// The number of the living attempt or of the next.
    pub(crate) fn attempt(&self, index: u32) -> u32 {
        match self.mark(index) {
            Some(Mark::Open) => self.open.get(&index).map_or(0, |unit| unit.attempt),
            Some(Mark::Ended) => self.ended[index as usize].attempts,
            Some(Mark::Fresh) | None => 0,
        }
    }

    /// Takes the unit out of all indexes but the vectors.
    fn leave(&mut self, index: u32) {
        if let Some(state) = self.state(index) {
            *self.counts.of(state) -= 1;
        }
        if self.mark(index) == Some(Mark::Fresh) {
            self.fresh -= 1;
            if index == self.first_fresh {
                self.first_fresh = index + 1;
            }
        }
        self.ready.remove(&index);
    }

    /// The unit is on its way in this form; `ready` if it waits no longer.
    pub(crate) fn set_open(&mut self, index: u32, unit: OpenUnit, ready: bool) {
        if let Some(ended) = self.ended(index) {
            self.tally.unit_reopened(index, ended.outcome());
        }
        self.leave(index);
        self.marks[index as usize] = Mark::Open;
        if ready && matches!(unit.phase, Phase::Waiting { .. }) {
            self.ready.insert(index);
        }
        self.open.insert(index, unit);
        self.enter(index);
    }

    /// The unit is over.
    pub(crate) fn set_ended(&mut self, index: u32, ended: Ended, message: Option<Arc<str>>) {
        self.leave(index);
        self.open.remove(&index);
        self.marks[index as usize] = Mark::Ended;
        if self.ended.len() <= index as usize {
            self.ended.resize(index as usize + 1, Ended::NONE);
        }
        self.ended[index as usize] = ended;
        self.tally.unit_ended(index, ended.outcome());
        if let Some(message) = message
            && (self.messages.len() < MESSAGES || self.messages.contains_key(&index))
        {
            self.messages.insert(index, message);
        }
        self.enter(index);
    }

    fn enter(&mut self, index: u32) {
        if let Some(state) = self.state(index) {
            *self.counts.of(state) += 1;
        }
    }

    /// More units, never tried.
    pub(crate) fn grow(&mut self, count: u32) {
        let more = count.saturating_sub(self.len());
        self.marks.resize(self.marks.len() + more as usize, Mark::Fresh);
        self.fresh += more;
        self.counts.pending += more;
    }

    /// Whether nothing is left to do, now and later.
    pub(crate) fn is_over(&self) -> bool {
        self.counts.ended() == self.counts.total()
    }

    /// What the counts, the number of fresh units and the ready set must be, counted anew.
    pub(crate) fn recount(&self) -> (Counts, u32) {
        let mut counts = Counts::default();
        for index in 0..self.len() {
            if let Some(state) = self.state(index) {
                *counts.of(state) += 1;
            }
        }
        let fresh = self.marks.iter().filter(|mark| **mark == Mark::Fresh).count();
        (counts, u32::try_from(fresh).unwrap_or(u32::MAX))
    }

    pub(crate) fn ready_set(&self) -> &BTreeSet<u32> {
        &self.ready
    }

    /// Breaks the bookkeeping, for a test of its checks.
    #[cfg(test)]
    pub(crate) fn plant_open(&mut self, index: u32, unit: OpenUnit) {
        self.open.insert(index, unit);
    }

    /// Breaks the bookkeeping, for a test of its checks.
    #[cfg(test)]
    pub(crate) fn plant_ready(&mut self, index: u32) {
        self.ready.insert(index);
    }
}
