//! A framework has an update: its agent may forget it, and after the last one the task is over.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::agent_link::AgentEvent;
use proto::{AgentId, StatusUuid, TaskId};

impl Master {
    /// An acknowledgement for an agent that is not connected is dropped: the agent will repeat the
    /// update.
    pub(crate) fn acknowledge(
        &mut self,
        framework: FrameworkOrd,
        agent_id: &AgentId,
        task_id: TaskId,
        uuid: StatusUuid,
        out: &mut Vec<Effect>,
    ) {
        let Some(agent) = self.agent_ord(agent_id) else { return };
        if !self.agents[agent].is_connected() {
            return;
        }
        self.counters.acknowledgements += 1;
        let record = &self.frameworks[framework];
        let framework_id = record.id.clone();
        let task = record.tasks.get(&task_id).filter(|task| task.agent == agent);
        let ends = task.is_some_and(|task| {
            let last = task.status.as_ref().filter(|status| status.uuid == Some(uuid));
            last.is_some_and(|status| status.state.is_terminal()) && task.state.is_terminal()
        });
        let task_in_event = task_id.clone();
        self.send(
            agent,
            AgentEvent::Acknowledge { framework_id, task_id: task_in_event, uuid },
            out,
        );
        if ends {
            let task = self.remove_task(framework, &task_id);
            self.complete_task(framework, task_id, task);
        }
    }
}
