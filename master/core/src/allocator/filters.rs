//! Offer filters: what a framework refused is not offered to it again for a while.
//!
//! A filter belongs to a framework, a role and an agent, and holds what was refused; it stands
//! against any offer that is no more than that. When it ends, its agent is looked at again at
//! once.

use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{Filters, Resources, Role, Time};
use std::collections::BTreeMap;

/// One filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) number: u64,
    pub(crate) role: Role,
    pub(crate) refused: Resources,
    pub(crate) until: Time,
}

/// The filters of one agent, by framework.
#[derive(Debug, Default)]
pub(crate) struct AgentFilters(pub(crate) BTreeMap<FrameworkOrd, Vec<Filter>>);

impl AgentFilters {
    /// The filter that stands against offering `resources`, if one does.
    pub(crate) fn against(
        &self,
        framework: FrameworkOrd,
        role: &Role,
        resources: &Resources,
    ) -> Option<&Filter> {
        let filters = self.0.get(&framework)?;
        filters.iter().find(|filter| filter.role == *role && filter.refused.contains(resources))
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
        // What the new filter covers for at least as long is not needed any more.
        let covered = |filter: &Filter| {
            filter.role == *role && filter.until <= until && refused.contains(&filter.refused)
        };
        self.remove_filters(agent, framework, covered);
        let number = self.next_filter;
        self.next_filter += 1;
        let filter = Filter { number, role: role.clone(), refused, until };
        self.agents[agent].filters.0.entry(framework).or_default().push(filter);
        self.frameworks[framework].filtered.insert(agent);
        self.deadlines.set(until, Deadline::Filter { agent, framework, filter: number });
    }

    /// Removes the filters of a framework on an agent that `which` picks; says whether any was.
    pub(crate) fn remove_filters(
        &mut self,
        agent: AgentOrd,
        framework: FrameworkOrd,
        which: impl Fn(&Filter) -> bool,
    ) -> bool {
        let deadlines = &mut self.deadlines;
        let by_framework = &mut self.agents[agent].filters.0;
        let Some(filters) = by_framework.get_mut(&framework) else { return false };
        let before = filters.len();
        filters.retain(|filter| {
            let goes = which(filter);
            if goes {
                let filter_number = filter.number;
                let what = Deadline::Filter { agent, framework, filter: filter_number };
                deadlines.clear(filter.until, what);
            }
            !goes
        });
        let removed = filters.len() < before;
        if filters.is_empty() {
            by_framework.remove(&framework);
            self.frameworks[framework].filtered.remove(&agent);
        }
        removed
    }

    /// Removes a framework's filters in the roles that `which` picks, on all agents.
    pub(crate) fn clear_filters(&mut self, framework: FrameworkOrd, which: impl Fn(&Role) -> bool) {
        let agents: Vec<AgentOrd> = self.frameworks[framework].filtered.iter().copied().collect();
        for agent in agents {
            self.remove_filters(agent, framework, |filter| which(&filter.role));
        }
    }

    /// Removes all filters on an agent.
    pub(crate) fn clear_agent_filters(&mut self, agent: AgentOrd) {
        let frameworks: Vec<FrameworkOrd> = self.agents[agent].filters.0.keys().copied().collect();
        for framework in frameworks {
            self.remove_filters(agent, framework, |_| true);
        }
    }

    /// A filter ended: its agent is worth a look again.
    pub(crate) fn filter_ended(&mut self, agent: AgentOrd, framework: FrameworkOrd, number: u64) {
        self.remove_filters(agent, framework, |filter| filter.number == number);
        self.touch(agent);
    }
}
