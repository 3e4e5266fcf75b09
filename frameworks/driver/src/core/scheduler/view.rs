//! What can be seen of a scheduler: groups, units, counts, and why a unit does not run.
//!
//! Reading only. Histories of attempts are in the store, by [`crate::core::attempts_prefix`].

use super::{Scheduler, misfit};
use crate::core::group::{GroupId, GroupSpec};
use crate::core::outcome::Outcome;
use crate::core::record::Stop;
use crate::core::tally::Tally;
use crate::core::task;
use crate::core::unit::{Counts, NOWHERE, Phase, UnitState};
use crate::core::units::Group;
use proto::{AgentId, FrameworkId, Offer, Time};
use std::sync::Arc;

/// A group as it stands.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its id.
    pub id: GroupId,
    /// The number in its id and in the keys of its records.
    pub number: u32,
    /// As it was submitted.
    pub spec: Arc<GroupSpec>,
    /// When it was taken on.
    pub submitted: Time,
    /// How many units it is to have now.
    pub count: u32,
    /// Why it starts no units any more, and since when.
    pub stop: Option<(Stop, Time)>,
    /// When its last unit ended.
    pub ended: Option<Time>,
    /// Its units by their states.
    pub counts: Counts,
    /// What has happened to them so far.
    pub tally: Tally,
}

/// A unit as it stands.
#[derive(Clone, Debug)]
pub struct UnitView {
    /// Its index.
    pub index: u32,
    /// Its state.
    pub state: UnitState,
    /// The number of its living attempt, of its last, or of the next when it waits.
    pub attempt: u32,
    /// Where it is or was.
    pub agent: Option<AgentId>,
    /// Host and port of that agent.
    pub address: Option<(Arc<str>, u16)>,
    /// When its living attempt was launched.
    pub launched: Option<Time>,
    /// When its living attempt was first known to run.
    pub running: Option<Time>,
    /// How long its last attempt took, once it ended, in milliseconds.
    pub took_millis: Option<u32>,
    /// What was said of its end.
    pub message: Option<Arc<str>>,
}

impl Scheduler {
    /// All groups, oldest first.
    pub fn groups(&self) -> impl Iterator<Item = GroupView> {
        self.groups.values().map(view)
    }

    /// A group.
    pub fn view(&self, id: &GroupId) -> Option<GroupView> {
        self.group(id).map(view)
    }

    /// All groups that were submitted under this name, oldest first.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = GroupView> + 'a {
        self.groups.values().filter(move |group| group.spec.name == name).map(view)
    }

    /// Up to `most` units in states that `wanted` names, looked for among the `range` units from
    /// index `from` on; and where to look on, unless that was the last.
    pub fn find_units(
        &self,
        id: &GroupId,
        from: u32,
        range: u32,
        most: usize,
        wanted: impl Fn(UnitState) -> bool,
    ) -> (Vec<UnitView>, Option<u32>) {
        let mut found = Vec::new();
        let Some(group) = self.group(id) else { return (found, None) };
        let end = from.saturating_add(range).min(group.len());
        for index in from..end {
            if found.len() == most {
                return (found, Some(index));
            }
            if group.state(index).is_some_and(&wanted) {
                found.extend(self.unit(id, index));
            }
        }
        (found, (end < group.len()).then_some(end))
    }

    /// A group's units by their states.
    pub fn counts(&self, id: &GroupId) -> Option<Counts> {
        self.group(id).map(|group| group.counts)
    }

    /// How a unit ended, if it did.
    pub fn outcome(&self, id: &GroupId, index: u32) -> Option<Outcome> {
        Some(self.group(id)?.ended(index)?.outcome())
    }

    /// A unit.
    pub fn unit(&self, id: &GroupId, index: u32) -> Option<UnitView> {
        let group = self.group(id)?;
        let state = group.state(index)?;
        let mut view = UnitView {
            index,
            state,
            attempt: group.attempt(index),
            agent: None,
            address: None,
            launched: None,
            running: None,
            took_millis: None,
            message: group.messages.get(&index).cloned(),
        };
        let mut agent = NOWHERE;
        if let Some(ended) = group.ended(index) {
            agent = ended.agent;
            view.attempt = ended.attempts.saturating_sub(1);
            view.took_millis = (agent != NOWHERE).then_some(ended.millis);
        } else if let Some(Phase::Live(live)) = group.open(index).map(|unit| &unit.phase) {
            agent = live.agent;
            view.launched = Some(live.launched);
            view.running = live.running;
        }
        if let Some(facts) = self.agents.get(agent) {
            view.agent = Some(facts.id.clone());
            view.address.clone_from(&facts.address);
        }
        Some(view)
    }

    /// Up to `most` units from index `from` on.
    pub fn units(&self, id: &GroupId, from: u32, most: usize) -> Vec<UnitView> {
        let Some(group) = self.group(id) else { return Vec::new() };
        (from..group.len()).take(most).filter_map(|index| self.unit(id, index)).collect()
    }

    /// The framework's id, once it has one.
    pub fn framework_id(&self) -> Option<&FrameworkId> {
        self.driver.framework_id()
    }

    /// Whether the master is there and talks to the framework.
    pub fn is_subscribed(&self) -> bool {
        self.driver.is_subscribed()
    }

    /// Whether the framework asked the master for silence.
    pub fn is_suppressed(&self) -> bool {
        self.driver.is_suppressed()
    }

    /// The offers at hand.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.driver.offers().values()
    }

    /// Why a unit does not run, in sentences, the most telling first; empty if it runs.
    pub fn why(&self, id: &GroupId, index: u32, now: Time) -> Option<Vec<String>> {
        let group = self.group(id)?;
        let state = group.state(index)?;
        let mut why = Vec::new();
        match state {
            UnitState::Running => {}
            UnitState::Ended(outcome) => why.push(match group.messages.get(&index) {
                Some(message) => format!("it is over: {outcome} ({message})"),
                None => format!("it is over: {outcome}"),
            }),
            UnitState::Launched => {
                why.push("it has a place; no news from its agent yet".to_owned());
            }
            UnitState::Killing => why.push("it is being killed".to_owned()),
            UnitState::Unreachable => {
                let grace = self.driver.options().unreachable_grace.as_secs();
                why.push(format!("its agent is out of reach; it is replaced after {grace} s"));
            }
            UnitState::BackingOff => why.extend(backing_off(group, index, now)),
            UnitState::Pending => self.why_pending(group, now, &mut why),
        }
        if !self.driver.is_subscribed() {
            why.push("no master talks to the framework now".to_owned());
        }
        Some(why)
    }

    fn why_pending(&self, group: &Group, now: Time, why: &mut Vec<String>) {
        if let Some(explanation) = &group.why {
            why.push(format!("when it was tried last, {}", misfit::against(explanation)));
        }
        let demand = task::demand(&group.spec);
        if self.driver.offers().is_empty() {
            why.push(format!("no offers are at hand; asked for {demand}"));
        }
        match self.blame.avoided(now) {
            0 => {}
            1 => why.push("1 agent is avoided for a while: it failed units lately".to_owned()),
            many => {
                why.push(format!(
                    "{many} agents are avoided for a while: they failed units lately"
                ));
            }
        }
        let ahead = group.ready_count();
        if ahead > 1 {
            why.push(format!("{ahead} units of its group wait for a place"));
        }
    }
}

fn backing_off(group: &Group, index: u32, now: Time) -> Option<String> {
    let unit = group.open(index)?;
    let Phase::Waiting { until, .. } = unit.phase else { return None };
    let wait = until.since(now).as_secs_f64();
    Some(format!("attempt {} comes after a back-off of {wait:.1} s", unit.attempt))
}

fn view(group: &Group) -> GroupView {
    GroupView {
        id: group.id.clone(),
        number: group.number,
        spec: Arc::clone(&group.spec),
        submitted: group.submitted,
        count: group.standing.count,
        stop: group.standing.stop,
        ended: group.standing.ended,
        counts: group.counts,
        tally: group.tally.clone(),
    }
}
