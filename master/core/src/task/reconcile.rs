//! A framework asks what became of its tasks.
//!
//! Explicit, for each task, the first row that fits:
//!
//! | situation | answer |
//! | --- | --- |
//! | the task is known | the state it was last told |
//! | it was on an agent that became unreachable | UNREACHABLE, or LOST |
//! | an agent that might have it is not back yet | none: ask again later |
//! | its agent is registered, and has it not | GONE, or LOST |
//! | its agent is unreachable | UNREACHABLE, or LOST |
//! | otherwise | UNKNOWN, or LOST |
//!
//! LOST is the word for frameworks that are not partition-aware. Implicit: every task that is
//! known, and unreachable ones for the partition-aware.

use super::Report;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Event;
use proto::{AgentId, Reason, Source, TaskId, TaskState, TaskStatus, Time};
use std::sync::Arc;

impl Master {
    pub(crate) fn reconcile(
        &self,
        framework: FrameworkOrd,
        tasks: &[(TaskId, Option<AgentId>)],
        out: &mut Vec<Effect>,
    ) {
        if !tasks.is_empty() {
            for (task_id, agent_id) in tasks {
                self.reconcile_task(framework, task_id, agent_id.as_ref(), out);
            }
            return;
        }
        let record = &self.frameworks[framework];
        for task_id in record.tasks.keys() {
            self.answer_known(framework, task_id, out);
        }
        if record.info.is_partition_aware() {
            for (task_id, task) in &record.unreachable {
                let agent_id = Some(task.agent_id.clone());
                let since = task.unreachable_since;
                self.answer(framework, task_id, TaskState::Unreachable, agent_id, since, out);
            }
        }
    }

    pub(crate) fn reconcile_task(
        &self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
        out: &mut Vec<Effect>,
    ) {
        let record = &self.frameworks[framework];
        if record.tasks.contains_key(task_id) {
            self.answer_known(framework, task_id, out);
            return;
        }
        if let Some(task) = record.unreachable.get(task_id) {
            let agent_id = Some(task.agent_id.clone());
            let since = task.unreachable_since;
            self.answer(framework, task_id, TaskState::Unreachable, agent_id, since, out);
            return;
        }
        let may_return = match agent_id {
            Some(agent_id) => self.recovered.contains(agent_id),
            None => !self.recovered.is_empty(),
        };
        if may_return {
            return;
        }
        let registered = agent_id.is_some_and(|id| self.agent_ids.contains_key(id));
        let facts = agent_id.and_then(|id| self.registry.agents().get(id));
        let since = facts.and_then(|agent| agent.unreachable);
        let state = match (registered, since) {
            (true, _) => TaskState::Gone,
            (false, Some(_)) => TaskState::Unreachable,
            (false, None) => TaskState::Unknown,
        };
        let since = since.filter(|_| !registered);
        self.answer(framework, task_id, state, agent_id.cloned(), since, out);
    }

    /// What the task was last told, with what the agent said then.
    fn answer_known(&self, framework: FrameworkOrd, task_id: &TaskId, out: &mut Vec<Effect>) {
        let task = &self.frameworks[framework].tasks[task_id];
        let plain = || TaskStatus::new(task_id.clone(), task.told, Source::Master, self.now);
        let mut status = task.status.as_deref().cloned().unwrap_or_else(plain);
        status.state = task.told;
        status.source = Source::Master;
        status.reason = Some(Reason::Reconciliation);
        status.message = Some(Arc::from("Reconciliation: Latest task state"));
        status.agent_id = Some(task.agent_id.clone());
        status.timestamp = self.now;
        status.uuid = None;
        self.tell(framework, Event::Update(status), out);
    }

    fn answer(
        &self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        state: TaskState,
        agent_id: Option<AgentId>,
        unreachable_time: Option<Time>,
        out: &mut Vec<Effect>,
    ) {
        let message = if state == TaskState::Unreachable {
            "Reconciliation: Task's agent is unreachable"
        } else if state == TaskState::Gone {
            "Reconciliation: Task is unknown to its agent"
        } else {
            "Reconciliation: Task is unknown"
        };
        let state = self.state_for(framework, state);
        let reason = Some(Reason::Reconciliation);
        let report = Report { state, reason, message, agent_id, unreachable_time };
        self.report(framework, task_id, report, out);
    }
}
