//! Who may end a task: its framework, its own time limit, the end of its framework, and an
//! operator who drains its agent or gives it up. Nobody else.
//!
//! I9: no failure or failover of a master, an agent or a scheduler kills a task. I10: nor does an
//! outage of all masters.

use super::{TaskKey, Verdict, broken};
use master_core::RegistryOp;
use proto::agent_link::AgentEvent;
use proto::scheduler::{Call, CallBody};
use proto::{AgentId, FrameworkId, TaskState};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that justifies a kill.
#[derive(Debug, Default)]
pub(super) struct Kills {
    wanted: BTreeSet<TaskKey>,
    over: BTreeSet<FrameworkId>,
    /// Agents that were drained or said to be gone at any time.
    emptied: BTreeSet<AgentId>,
    /// Tasks whose agents wrote down that they are over: what starts of them after all is ended.
    ended: BTreeSet<TaskKey>,
    /// Those of them that did not finish: they take their groups along.
    failed: BTreeSet<TaskKey>,
    /// The tasks that were launched in one group with a task.
    peers: BTreeMap<TaskKey, Vec<TaskKey>>,
}

impl Kills {
    pub(super) fn framework_calls(&mut self, call: &Call) {
        let Some(framework) = &call.framework_id else { return };
        match &call.body {
            CallBody::Kill { task_id, .. } => {
                self.wanted.insert((framework.clone(), task_id.clone()));
            }
            CallBody::Teardown => {
                self.over.insert(framework.clone());
            }
            _ => {}
        }
    }

    pub(super) fn registry_changes(&mut self, op: &RegistryOp) {
        match op {
            RegistryOp::CompleteFramework { info, .. } => self.over.extend(info.id.clone()),
            RegistryOp::DrainAgent { agent_id, .. } | RegistryOp::MarkGone { agent_id, .. } => {
                self.emptied.insert(agent_id.clone());
            }
            _ => {}
        }
    }

    /// An agent writes this down.
    pub(super) fn agent_decided(&mut self, effect: &agent_core::Effect) {
        use agent_core::CheckpointOp::PutUpdates;
        use agent_core::Effect::{Persist, Record};
        if let Persist(PutUpdates(record)) | Record(PutUpdates(record)) = effect
            && record.state.is_terminal()
        {
            let key = (record.framework_id.clone(), record.task_id.clone());
            if record.state != TaskState::Finished {
                self.failed.insert(key.clone());
            }
            self.ended.insert(key);
        }
    }

    /// A master orders an agent to run these as a group.
    pub(super) fn grouped(&mut self, event: &AgentEvent) {
        let AgentEvent::RunByExecutors { framework, tasks, .. } = event else { return };
        let Some(id) = &framework.id else { return };
        let all: Vec<TaskKey> = tasks.iter().map(|t| (id.clone(), t.task_id.clone())).collect();
        for key in &all {
            self.peers.insert(key.clone(), all.clone());
        }
    }

    /// Whether the whole group of a task is to end.
    fn group_ends(&self, key: &TaskKey) -> bool {
        let peers = self.peers.get(key).into_iter().flatten();
        peers.into_iter().any(|peer| self.failed.contains(peer) || self.wanted.contains(peer))
    }

    /// Whether the framework is over.
    pub(super) fn is_over(&self, framework: &FrameworkId) -> bool {
        self.over.contains(framework)
    }

    /// An agent orders a kill.
    pub(super) fn killed(
        &self,
        key: &TaskKey,
        agent: &AgentId,
        limited: bool,
        master_leads: bool,
    ) -> Verdict {
        if limited
            || self.ended.contains(key)
            || self.emptied.contains(agent)
            || self.wanted.contains(key)
            || self.group_ends(key)
            || self.is_over(&key.0)
        {
            return Ok(());
        }
        let what = format!("task {} of {} is killed, and nobody asked for it", key.1, key.0);
        if master_leads { broken("I9", what) } else { broken("I10", what) }
    }
}
