//! SHUTDOWN: a framework wants an executor gone, with all its tasks.
//!
//! A custom executor is asked by its agent to end. The executor of a command task goes by the
//! task's id. An executor that is not known here is
//! passed over, as in Mesos: it has ended, or its tasks are on an agent that is away.

use super::Kill;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::agent_link::AgentEvent;
use proto::{AgentId, ExecutorId, TaskId};

impl Master {
    pub(crate) fn shutdown_executor(
        &mut self,
        framework: FrameworkOrd,
        executor_id: &ExecutorId,
        agent_id: &AgentId,
        out: &mut Vec<Effect>,
    ) {
        let agent = self.agent_ord(agent_id);
        let custom = agent.filter(|agent| {
            let key = (framework, executor_id.clone());
            self.agents[*agent].executors.contains_key(&key)
        });
        if let Some(agent) = custom {
            let framework_id = self.frameworks[framework].id.clone();
            let executor_id = executor_id.clone();
            self.send(agent, AgentEvent::ShutdownExecutor { framework_id, executor_id }, out);
            return;
        }
        let record = &self.frameworks[framework];
        let own: Vec<TaskId> = record
            .tasks
            .iter()
            .filter(|(_, task)| Some(task.agent) == agent && !task.state.is_terminal())
            .filter(|(task_id, task)| {
                task.executor_id.is_none() && task_id.as_str() == executor_id.as_str()
            })
            .map(|(task_id, _)| task_id.clone())
            .collect();
        let Some(agent) = agent.filter(|_| !own.is_empty()) else {
            self.counters.shutdowns_dropped += 1;
            return;
        };
        for task_id in own {
            let record = &mut self.frameworks[framework];
            let task = record.tasks.get_mut(&task_id).expect("it was found in the table");
            task.kill = Some(Kill { grace: None });
            let framework_id = record.id.clone();
            let kill = AgentEvent::Kill { framework_id, task_id, grace: None, draining: false };
            self.send(agent, kill, out);
        }
    }
}
