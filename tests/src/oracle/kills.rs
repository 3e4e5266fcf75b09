//! Who may end a task: its framework, its own time limit, the end of its framework, and an
//! operator who drains its agent or gives it up. Nobody else.
//!
//! I9: no failure or failover of a master, an agent or a scheduler kills a task. I10: nor does an
//! outage of all masters.

use super::{TaskKey, Verdict, broken};
use master_core::RegistryOp;
use proto::scheduler::{Call, CallBody};
use proto::{AgentId, FrameworkId};
use std::collections::BTreeSet;

/// Everything that justifies a kill.
#[derive(Debug, Default)]
pub(super) struct Kills {
    wanted: BTreeSet<TaskKey>,
    over: BTreeSet<FrameworkId>,
    /// Agents that were drained or said to be gone at any time.
    emptied: BTreeSet<AgentId>,
    /// Tasks whose agents wrote down that they are over: what starts of them after all is ended.
    ended: BTreeSet<TaskKey>,
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
            self.ended.insert((record.framework_id.clone(), record.task_id.clone()));
        }
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
            || self.is_over(&key.0)
        {
            return Ok(());
        }
        let what = format!("task {} of {} is killed, and nobody asked for it", key.1, key.0);
        if master_leads { broken("I9", what) } else { broken("I10", what) }
    }
}
