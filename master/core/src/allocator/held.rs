//! Agents that headroom alone keeps from being offered, until there is more to spare.
//!
//! A resource is cut when more of it is free on the agent than there is to spare: only more of
//! what was cut can make a difference. Of an agent with nothing but plain resources an offer needs
//! so much to spare that it is worth one by itself, unless somebody gets it on top of what a
//! guarantee lacks; on one with others (reserved, revocable) any bit more may make an offer that was
//! not refused. So the two stand apart, and the many of the first sort are mostly not looked at
//! again for bits.

use super::amounts::{Amounts, Bounds, Parts};
use super::{Allocator, Mark};
use crate::state::Master;
use crate::table::AgentOrd;
use std::collections::BTreeMap;

/// Held agents that are looked at again at once: the first of them may use up what there is.
pub(super) const SWEEP: usize = 64;

/// The two sorts of agents.
pub(super) const SORTS: [Sort; 2] = [Sort::Plain, Sort::Mixed];

/// What an agent had free when it was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Plain resources and nothing else.
    Plain,
    /// Others as well.
    Mixed,
}

impl Sort {
    pub(super) fn of(free: &Parts) -> Self {
        if free.pure { Self::Plain } else { Self::Mixed }
    }
}

/// Held agents of one sort.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In the order in which they were held.
    agents: BTreeMap<u64, AgentOrd>,
    next: u64,
    /// With no more to spare of what was cut, none of them can be offered.
    bar: Bounds,
    /// While they are looked at again: up to which number, and the bar of those held meanwhile.
    sweep: Option<(u64, Bounds)>,
}

impl Held {
    pub(crate) fn agents(&self) -> &BTreeMap<u64, AgentOrd> {
        &self.agents
    }

    fn lower_bar(&mut self, bar: &Bounds) {
        if self.agents.is_empty() {
            self.bar = Bounds::default();
        }
        self.bar.lower(bar);
        if let Some((_, meanwhile)) = &mut self.sweep {
            meanwhile.lower(bar);
        }
    }

    fn add(&mut self, agent: AgentOrd) -> u64 {
        self.next += 1;
        self.agents.insert(self.next, agent);
        self.next
    }

    /// Ends a sweep that came to its end: what is held now was cut since it began.
    fn end_sweep(&mut self) {
        let first = self.agents.first_key_value().map(|(number, _)| *number);
        if let Some((_, bar)) =
            self.sweep.take_if(|(end, _)| first.is_none_or(|first| first > *end))
        {
            self.bar = bar;
        }
    }

    /// Begins a sweep or goes on with it: the agents to look at next. Where that gains nothing,
    /// those that were not looked at again are held as before.
    fn next_of_sweep(&mut self, gains: bool) -> Vec<AgentOrd> {
        if !gains {
            self.sweep = None;
            return Vec::new();
        }
        if self.sweep.is_none() {
            self.sweep = Some((self.next, Bounds::default()));
        }
        self.agents.values().take(SWEEP).copied().collect()
    }
}

impl Allocator {
    pub(crate) fn held(&self, sort: Sort) -> &Held {
        match sort {
            Sort::Plain => &self.held_plain,
            Sort::Mixed => &self.held_mixed,
        }
    }

    fn held_mut(&mut self, sort: Sort) -> &mut Held {
        match sort {
            Sort::Plain => &mut self.held_plain,
            Sort::Mixed => &mut self.held_mixed,
        }
    }

    pub(crate) fn holds_any(&self) -> bool {
        SORTS.iter().any(|sort| !self.held(*sort).agents.is_empty())
    }

    /// Whether held agents may be offered with what there is to spare now.
    pub(crate) fn has_held_to_sweep(&self) -> bool {
        self.holds_any() && {
            let slack = self.slack();
            SORTS.iter().any(|sort| self.has_to_sweep(*sort, slack.as_ref()))
        }
    }

    fn has_to_sweep(&self, sort: Sort, slack: Option<&Amounts>) -> bool {
        let held = self.held(sort);
        !held.agents.is_empty() && (held.sweep.is_some() || self.gains(sort, slack))
    }

    /// Whether there is more to spare than when the agents were held.
    fn gains(&self, sort: Sort, slack: Option<&Amounts>) -> bool {
        slack.is_none_or(|slack| {
            let is_worth = sort == Sort::Mixed
                || self.may_be_worth(slack)
                // What a guarantee lacks comes on top.
                || self.sorter.has_hungry();
            is_worth && self.held(sort).bar.are_surpassed_by(slack)
        })
    }
}

impl Master {
    /// Remembers that headroom keeps some of the agent from being offered, with so much to spare.
    pub(super) fn hold_back(&mut self, agent: AgentOrd, slack: &Amounts) {
        let record = &mut self.agents[agent];
        let free = &record.free_parts;
        let is_cut = |(kind, have): &(usize, u64)| slack.get(*kind) < *have;
        let cut = free.plain.iter().filter(is_cut).map(|(kind, _)| (kind, slack.get(kind)));
        let bar = Bounds::from_pairs(cut);
        if bar.is_none() {
            return;
        }
        let (sort, number) = record.held.unzip();
        let sort = sort.unwrap_or_else(|| Sort::of(free));
        let held = self.allocator.held_mut(sort);
        held.lower_bar(&bar);
        if number.is_none() {
            record.held = Some((sort, held.add(agent)));
        }
    }

    pub(super) fn unhold(&mut self, agent: AgentOrd) {
        if let Some((sort, number)) = self.agents[agent].held.take() {
            self.allocator.held_mut(sort).agents.remove(&number);
        }
    }

    /// Looks at held agents again, some at a time, once there is more to spare than when they were
    /// held.
    pub(super) fn sweep(&mut self) {
        for sort in SORTS {
            self.allocator.held_mut(sort).end_sweep();
            let slack = self.allocator.slack();
            if self.allocator.has_to_sweep(sort, slack.as_ref()) {
                let gains = self.allocator.gains(sort, slack.as_ref());
                for agent in self.allocator.held_mut(sort).next_of_sweep(gains) {
                    self.mark(agent, Mark::Touched);
                }
            }
        }
    }
}
