//! An agent reports on a task.
//!
//! Every report goes on to the framework as it is, also one that changes nothing here: the agent
//! repeats it until the framework acknowledges. The newest state frees a task's resources at once,
//! before the framework has seen, let alone acknowledged, the update.

use super::Step;
use crate::effect::Effect;
use crate::publish::Change;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::agent_link::AgentEvent;
use proto::scheduler::Event;
use proto::{FrameworkId, TaskState, TaskStatus, Transition};
use std::sync::Arc;

impl Master {
    pub(crate) fn status_update(
        &mut self,
        agent: AgentOrd,
        framework_id: FrameworkId,
        mut status: Box<TaskStatus>,
        latest_state: TaskState,
        out: &mut Vec<Effect>,
    ) {
        let Some(framework) = self.framework_ord(&framework_id) else {
            // It is over, and its agent does not know yet.
            self.counters.updates_ignored += 1;
            self.send(agent, AgentEvent::ShutdownFramework { framework_id }, out);
            return;
        };
        self.counters.updates += 1;
        if status.agent_id.is_none() {
            status.agent_id = Some(self.agents[agent].id.clone());
        }
        status.state = self.state_for(framework, status.state);
        let status: Arc<TaskStatus> = Arc::from(status);
        if self.frameworks[framework].is_connected() {
            self.tell(framework, Event::Update(TaskStatus::clone(&status)), out);
        }
        let latest_state = self.state_for(framework, latest_state);
        let task = self.frameworks[framework].tasks.get_mut(&status.task_id);
        let Some(task) = task.filter(|task| task.agent == agent) else {
            self.counters.updates_ignored += 1;
            return;
        };
        task.advance(latest_state);
        let over = task.state.is_terminal();
        let step = Step {
            state: status.state,
            at: status.timestamp,
            source: status.source,
            reason: status.reason,
        };
        let step = match task.told.transition(status.state) {
            Transition::Stale => None,
            Transition::Advance | Transition::Repeat => {
                task.record(step);
                task.status = Some(status.clone());
                Some(step)
            }
        };
        let state = task.state;
        self.publisher.tell(|| Change::TaskUpdated {
            framework_id,
            task_id: status.task_id.clone(),
            state,
            step,
            status: status.clone(),
        });
        if over {
            self.lay_down(framework, &status.task_id);
        }
    }
}
