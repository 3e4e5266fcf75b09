//! The cluster as a whole some time after the last fault: everybody agrees, and nothing is left.
//!
//! I16 rests on it: the world asks until it holds or the bound has passed.

use super::{TaskKey, Violation};
use agent_core::Volume;
use proto::operator::State;
use proto::{AgentId, FrameworkId, Resources};
use std::collections::{BTreeMap, BTreeSet};

/// A process that runs.
#[derive(Clone, Debug)]
pub struct Living {
    /// Where.
    pub agent: AgentId,
    /// Whose, and which task.
    pub task: TaskKey,
    /// What it uses.
    pub resources: Resources,
}

impl Living {
    pub(super) fn key(&self) -> TaskKey {
        self.task.clone()
    }
}

/// What the hosts say.
#[derive(Debug)]
pub struct Hosts<'a> {
    /// The agents, by their ids.
    pub agents: &'a [AgentId],
    /// All that runs.
    pub living: &'a [Living],
    /// Tasks in the agents' books that have not ended.
    pub known: &'a BTreeSet<TaskKey>,
    /// The volumes that are on their disks.
    pub volumes: &'a [(AgentId, BTreeSet<Volume>)],
    /// The ids under which schedulers are there. Who forgot its id, and with it who it was, cannot
    /// be told anything any more.
    pub schedulers: &'a BTreeSet<FrameworkId>,
}

/// The cluster did not come to rest.
pub fn restless(what: String) -> Violation {
    let id = if what.contains("I2: ") { "I2" } else { "I16" };
    Violation { id, what }
}

/// What the master says against what the hosts say.
pub(super) fn settled(state: &State, hosts: &Hosts<'_>) -> Result<(), String> {
    let living: BTreeSet<TaskKey> = hosts.living.iter().map(Living::key).collect();
    let with_master: BTreeSet<TaskKey> = state
        .tasks
        .tasks
        .iter()
        .filter(|task| !task.state.is_terminal())
        .map(|task| (task.framework_id.clone(), task.task_id.clone()))
        .collect();
    if let Some((framework, task)) = living.symmetric_difference(&with_master).next() {
        let who =
            if living.contains(&(framework.clone(), task.clone())) { "hosts" } else { "master" };
        return Err(format!("only the {who} think that task {task} of {framework} lives"));
    }
    if let Some((framework, task)) = living.symmetric_difference(hosts.known).next() {
        return Err(format!("agents and hosts disagree on task {task} of {framework}"));
    }
    let connected: BTreeSet<_> = state
        .frameworks
        .iter()
        .filter(|framework| framework.connected)
        .filter_map(|framework| framework.info.id.clone())
        .collect();
    if let Some((framework, task)) = living.iter().find(|(id, _)| !connected.contains(id)) {
        return Err(format!("task {task} runs for {framework}, which is not connected"));
    }
    let mut used: BTreeMap<&AgentId, Resources> = BTreeMap::new();
    for living in hosts.living {
        used.entry(&living.agent).or_default().add(&living.resources);
    }
    for id in hosts.agents {
        let Some(agent) = state.agents.iter().find(|agent| agent.info.id.as_ref() == Some(id))
        else {
            return Err(format!("the master does not know agent {id}"));
        };
        let really = used.get(id).cloned().unwrap_or_default();
        if agent.allocated != really {
            let said = &agent.allocated;
            return Err(format!("on {id} tasks use {really}, the master says {said}"));
        }
    }
    Ok(())
}
