//! What would become of a waiting unit now: a trial on the placer's live state.
//!
//! The placer knows what runs and holds what is on offer; what agents have free beyond that comes
//! with the question. A trial changes nothing, and nothing is ever launched for its answer: that
//! is for offers alone.

use super::place::Host;
use super::{Scheduler, misfit};
use crate::core::group::GroupId;
use crate::core::task;
use crate::core::unit::UnitState;
use fenzo::{Explanation, HostId, Lease, TaskRequest};
use proto::{AgentId, AgentInfo, Resources, TaskId, Time};
use std::collections::BTreeMap;

/// So many tasks are ended on trial, one at a time.
const TRIALS: usize = 16;
/// So many agents all trials together may look at; one trial is always made.
const AGENTS_TRIED: usize = 16_000;

/// An agent that could be on offer.
#[derive(Clone, Debug)]
pub struct FreeAgent {
    /// What it is called in sentences.
    pub name: String,
    /// The agent, with its id; one without is passed over.
    pub info: AgentInfo,
    /// What no task uses of it, offers included.
    pub free: Resources,
}

/// What a waiting unit can expect; agents have the names that they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// An agent has room for it.
    Fits {
        /// Which one it would get.
        agent: String,
        /// Whether what is at hand of offers is enough for it.
        at_hand: bool,
    },
    /// No agent has.
    Misfit {
        /// What stands against it, on how many agents, and what single change would help.
        why: Box<Explanation>,
        /// A task of this framework whose end would make room, and the agent it runs on.
        end: Option<(TaskId, String)>,
    },
}

impl Prospect {
    /// In sentences, the most telling first.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        match self {
            Self::Fits { agent, at_hand: true } => {
                vec![format!("asked now, it fits on {agent}, of which an offer is at hand")]
            }
            Self::Fits { agent, at_hand: false } => {
                vec![format!("by what is free now it would fit on {agent}, were that offered")]
            }
            Self::Misfit { why, end } => {
                let mut all = vec![format!("asked now, {}", misfit::against(why))];
                all.extend(why.remedies.iter().map(misfit::would_help));
                all.extend(
                    end.as_ref().map(|(task, agent)| {
                        format!("it would fit if task {task} on {agent} ended")
                    }),
                );
                all
            }
        }
    }
}

impl Scheduler {
    /// What a unit that waits for a place can expect, were all of these agents on offer beside
    /// what is at hand; agents that are avoided are left out while there are others. Nothing is
    /// changed by asking. `None` if it does not wait for a place. The cost grows with the agents and
    /// the offers at hand.
    pub fn prospect(
        &mut self,
        id: &GroupId,
        index: u32,
        now: Time,
        agents: &[FreeAgent],
    ) -> Option<Prospect> {
        let group = self.group(id)?;
        if group.state(index)? != UnitState::Pending {
            return None;
        }
        let name = task::name(&group.id, index, group.attempt(index));
        let wanted = [TaskRequest::new(name, &group.class)];
        let names: BTreeMap<&str, &str> = agents
            .iter()
            .filter_map(|agent| Some((agent.info.id.as_ref()?.as_str(), agent.name.as_str())))
            .collect();
        let named =
            |host: &HostId| names.get(host.as_str()).copied().unwrap_or(host.as_str()).to_owned();

        let at_hand = self.placer.what_if(&wanted, self.new_leases.clone());
        if let Some(host) = at_hand.host_of(&wanted[0].id) {
            return Some(Prospect::Fits { agent: named(host), at_hand: true });
        }
        let leases = self.leases_of_all(now, agents);
        let result = self.placer.what_if(&wanted, leases.clone());
        if let Some(host) = result.host_of(&wanted[0].id) {
            return Some(Prospect::Fits { agent: named(host), at_hand: false });
        }
        let mut why = result.why(&wanted[0].id)?.clone();
        let end = self.end_that_helps(&wanted, &why, &leases);
        let end = end.map(|(task, host)| (task, named(&host)));
        for near in why.nearest.iter_mut().chain(&mut why.also_near) {
            near.host = named(&near.host).into();
        }
        for remedy in &mut why.remedies {
            remedy.host = named(&remedy.host).into();
        }
        Some(Prospect::Misfit { why: Box::new(why), end })
    }

    /// What is at hand, and what agents have free beyond it.
    fn leases_of_all(&self, now: Time, agents: &[FreeAgent]) -> Vec<Lease> {
        let mut offered: BTreeMap<&AgentId, Vec<Resources>> = BTreeMap::new();
        for offer in self.driver.offers().values() {
            let plain = offer.resources.filtered(|piece| piece.flavor.is_plain());
            offered.entry(&offer.agent_id).or_default().push(plain);
        }
        let avoided = |agent: &&FreeAgent| {
            let id = agent.info.id.as_ref().and_then(|id| self.agents.known(id));
            id.is_some_and(|agent| self.blame.avoids(now, agent))
        };
        // As with offers: where there are no others they are better than nothing.
        let spare = !agents.iter().all(|agent| avoided(&agent));
        let taken = agents.iter().filter(|agent| !(spare && avoided(agent)));
        let mut leases = self.new_leases.clone();
        leases.extend(taken.filter_map(|agent| {
            let held = agent.info.id.as_ref().and_then(|id| offered.get(id));
            beyond(now, agent, held.map_or(&[], Vec::as_slice))
        }));
        leases
    }

    /// The first task on one of the agents that came close whose end alone would make room.
    fn end_that_helps(
        &mut self,
        wanted: &[TaskRequest],
        why: &Explanation,
        leases: &[Lease],
    ) -> Option<(TaskId, HostId)> {
        let near = why.nearest.iter().chain(&why.also_near);
        let near: Vec<&HostId> = near.map(|near| &near.host).collect();
        let trials = (AGENTS_TRIED / leases.len().max(1)).clamp(1, TRIALS);
        let on_near = |host: &HostId| near.contains(&host);
        let tasks: Vec<(TaskId, HostId)> = self
            .driver
            .tasks()
            .map(|(task, agent)| (task.clone(), HostId::from(agent.as_str())))
            .filter(|(_, host)| on_near(host))
            .take(trials)
            .collect();
        tasks.into_iter().find(|(task, _)| {
            let without = self.placer.overlay().without_task(&task.as_str().into());
            let trial = leases.iter().cloned().fold(without, fenzo::Overlay::with_lease);
            trial.place(wanted).placed() == wanted.len()
        })
    }
}

/// What an agent has free beyond the offers of it that are at hand.
fn beyond(now: Time, agent: &FreeAgent, held: &[Resources]) -> Option<Lease> {
    let FreeAgent { info, free, .. } = agent;
    let agent_id = info.id.as_ref()?;
    let mut rest = free.filtered(|piece| piece.flavor.is_plain());
    for held in held {
        // What was told of the agent is older than the offer, or younger: the offer counts.
        rest.subtract(held).ok()?;
    }
    let AgentInfo { hostname, attributes, domain, .. } = info;
    let host = Host { agent_id, hostname, attributes, domain: domain.as_ref() };
    Some(host.lease(now, &format!("what is free on {agent_id}"), &rest))
}

#[cfg(test)]
mod tests;
