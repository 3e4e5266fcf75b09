//! LAUNCH_GROUP: all of its tasks, or none.
//!
//! The group is checked as a whole. Agents cannot run groups yet, so that even a group without a
//! fault is refused: each of its tasks is answered for, and nothing is used.

use crate::agent::take;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::Report;
use proto::{AgentId, Reason, Resources, Role, TaskGroup, TaskId, TaskInfo, TaskState};
use std::collections::BTreeSet;

/// What a group without a fault is told.
const NOT_BUILT: &str = "task groups are not built yet";

impl Master {
    pub(super) fn launch_group(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        group: &TaskGroup,
        remaining: &Resources,
        out: &mut Vec<Effect>,
    ) {
        let fault = self.group_fault(framework, agent, role, group, remaining);
        let message = fault.unwrap_or_else(|| NOT_BUILT.to_owned());
        let readable = group.tasks.iter().map(|task| (&task.task_id, Some(task.agent_id.clone())));
        let rest = group.unreadable.iter().map(|task| (&task.task_id, task.agent_id.clone()));
        for (task_id, agent_id) in readable.chain(rest) {
            self.refuse_group_task(framework, task_id, agent_id, &message, out);
        }
    }

    /// The first thing that is wrong with a group.
    fn group_fault(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        group: &TaskGroup,
        remaining: &Resources,
    ) -> Option<String> {
        if let Some(task) = group.unreadable.first() {
            return Some(format!("Task '{}' is invalid: {}", task.task_id, task.problem));
        }
        if group.tasks.is_empty() {
            return Some("Task group cannot be empty".to_owned());
        }
        let mut rest = remaining.clone();
        if let Some(executor) = &group.executor
            && let Err(short) = rest.subtract(&executor.resources)
        {
            return Some(format!("The executor uses more than is offered: {short}"));
        }
        let mut seen = BTreeSet::new();
        for task in &group.tasks {
            if !seen.insert(&task.task_id) {
                return Some(format!("Task '{}' is in the group twice", task.task_id));
            }
            // Its executor is the group's.
            let task = TaskInfo { executor: None, ..task.clone() };
            if let Err(invalid) = self.validate(framework, agent, role, &task, &rest) {
                return Some(format!("Task '{}' is invalid: {invalid}", task.task_id));
            }
            take(&mut rest, &task.resources).expect("the task was checked to fit");
        }
        None
    }

    fn refuse_group_task(
        &mut self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        agent_id: Option<AgentId>,
        message: &str,
        out: &mut Vec<Effect>,
    ) {
        self.counters.tasks_refused += 1;
        let report = Report {
            state: TaskState::Error,
            reason: Some(Reason::TaskGroupInvalid),
            message,
            agent_id,
            unreachable_time: None,
        };
        self.report(framework, task_id, report, out);
    }
}
