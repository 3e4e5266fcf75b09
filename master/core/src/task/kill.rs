//! A framework wants a task killed.
//!
//! The wish is remembered with the task until it ends: when its agent comes back, it is told again.

use super::Kill;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::agent_link::AgentEvent;
use proto::{AgentId, TaskId};
use std::time::Duration;

impl Master {
    pub(crate) fn kill(
        &mut self,
        framework: FrameworkOrd,
        task_id: TaskId,
        agent_id: Option<AgentId>,
        grace: Option<Duration>,
        out: &mut Vec<Effect>,
    ) {
        let record = &mut self.frameworks[framework];
        if let Some(task) = record.tasks.get_mut(&task_id) {
            if agent_id.is_some_and(|id| id != task.agent_id) {
                // The framework means another attempt than the one that lives.
                return;
            }
            task.kill = Some(Kill { grace });
            let agent = task.agent;
            let framework_id = record.id.clone();
            let kill = AgentEvent::Kill { framework_id, task_id, grace, draining: false };
            self.send(agent, kill, out);
            return;
        }
        if let Some(task) = record.unreachable.get_mut(&task_id) {
            task.kill = Some(Kill { grace });
        }
        self.reconcile_task(framework, &task_id, agent_id.as_ref(), out);
    }
}
