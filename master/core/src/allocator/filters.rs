//! Offer filters: what a framework refused is not offered to it again for a while.
//!
//! A filter belongs to a seat (a framework in a role) and an agent, and holds what was refused; it
//! stands against any offer that is no more than that. When it ends, its agent is looked at again
//! at once. REVIVE begins a new epoch of the seat, and filters of older ones no longer count: it
//! costs the same however many there are. There may be one for every framework on every agent, so
//! they are small, and those of one agent share what was refused.

use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, SeatOrd};
use proto::{Filters, Resources, Role, Time};
use std::cell::Cell;
use std::sync::Arc;

/// One filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) seat: SeatOrd,
    /// It counts while its seat is in this epoch.
    pub(crate) epoch: u64,
    pub(crate) until: Time,
    pub(crate) refused: Arc<Resources>,
}

/// The filters of one agent.
#[derive(Debug, Default)]
pub(crate) struct AgentFilters {
    /// By seat.
    all: Vec<Filter>,
    /// When to look for filters that ended: no later than the first of them ends.
    pub(crate) deadline: Option<Time>,
}

/// Whether the last filters asked contain what is being offered: most share what was refused.
pub(crate) type Memo = Cell<Option<(*const Resources, bool)>>;

impl AgentFilters {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.all.iter()
    }

    /// The filter that stands against offering `resources`, if one does.
    pub(crate) fn against(
        &self,
        seat: SeatOrd,
        epoch: u64,
        resources: &Resources,
        memo: &Memo,
    ) -> Option<&Filter> {
        let first = self.all.partition_point(|filter| filter.seat < seat);
        let own = self.all[first..].iter().take_while(|filter| filter.seat == seat);
        own.filter(|filter| filter.epoch == epoch).find(|filter| {
            let this = Arc::as_ptr(&filter.refused);
            match memo.get() {
                Some((asked, contains)) if asked == this => contains,
                Some(_) | None => {
                    let contains = filter.refused.contains(resources);
                    memo.set(Some((this, contains)));
                    contains
                }
            }
        })
    }

    /// Adds a filter in the place of those that it makes needless.
    fn add(&mut self, filter: Filter) {
        let first = self.all.partition_point(|other| other.seat < filter.seat);
        let mut at = first;
        while let Some(other) = self.all.get(at).filter(|other| other.seat == filter.seat) {
            let needless = other.epoch != filter.epoch
                || (other.until <= filter.until && filter.refused.contains(&other.refused));
            if needless {
                self.all.remove(at);
            } else {
                at += 1;
            }
        }
        self.all.insert(at, filter);
    }

    /// One that was refused before and is the same, to be shared.
    fn shared(&self, refused: Resources) -> Arc<Resources> {
        match self.all.last().filter(|last| *last.refused == refused) {
            Some(last) => last.refused.clone(),
            None => Arc::new(refused),
        }
    }
}

impl Master {
    /// Installs a filter for what a framework refused.
    pub(crate) fn add_filter(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        refused: Resources,
        filters: Filters,
    ) {
        let until = self.now + filters.refuse;
        if until <= self.now || refused.is_empty() || !self.frameworks[framework].is_connected() {
            return;
        }
        let Some(seat) = self.allocator.sorter.seat_in(framework, role) else { return };
        let epoch = self.allocator.sorter.seat(seat).epoch;
        let own = &mut self.agents[agent].filters;
        let refused = own.shared(refused);
        own.add(Filter { seat, epoch, until, refused });
        if own.deadline.is_none_or(|deadline| deadline > until) {
            self.set_filter_deadline(agent, Some(until));
        }
    }

    /// Sets or clears the time at which the agent's filters are gone through. Keeps M9.
    fn set_filter_deadline(&mut self, agent: AgentOrd, at: Option<Time>) {
        let filters = &mut self.agents[agent].filters;
        if let Some(old) = std::mem::replace(&mut filters.deadline, at) {
            self.deadlines.clear(old, Deadline::Filters(agent));
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Filters(agent));
        }
    }

    /// Removes a framework's filters in the roles that `which` picks, on all agents.
    pub(crate) fn clear_filters(&mut self, framework: FrameworkOrd, which: impl Fn(&Role) -> bool) {
        let sorter = &mut self.allocator.sorter;
        for seat in sorter.seats_of(framework) {
            if which(sorter.role_of(seat)) {
                sorter.begin_epoch(seat);
            }
        }
    }

    /// Removes all filters on an agent.
    pub(crate) fn clear_agent_filters(&mut self, agent: AgentOrd) {
        self.agents[agent].filters.all = Vec::new();
        self.set_filter_deadline(agent, None);
    }

    /// Some filters of the agent ended: it is worth a look again.
    pub(crate) fn filters_ended(&mut self, agent: AgentOrd) {
        let now = self.now;
        let sorter = &self.allocator.sorter;
        let mut ended = false;
        let all = &mut self.agents[agent].filters.all;
        all.retain(|filter| {
            let counted = sorter.epoch(filter.seat) == Some(filter.epoch);
            ended |= counted && filter.until <= now;
            counted && filter.until > now
        });
        if all.is_empty() {
            *all = Vec::new();
        }
        let next = all.iter().map(|filter| filter.until).min();
        self.set_filter_deadline(agent, next);
        if ended {
            self.touch(agent);
        }
    }
}
