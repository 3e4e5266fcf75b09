//! LAUNCH: each task is checked in order against what remains of the offers; a wrong one is
//! answered with TASK_ERROR and the others go on.

use crate::agent::take;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::{Report, Task};
use proto::{AgentId, Reason, Resources, Role, TaskId, TaskInfo, TaskState};

impl Master {
    /// Launches what is right of `tasks`, and gives what the agent is to run.
    pub(super) fn launch(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        tasks: Vec<TaskInfo>,
        remaining: &mut Resources,
        out: &mut Vec<Effect>,
    ) -> Vec<TaskInfo> {
        let mut run = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.validate(framework, agent, role, &task, remaining) {
                Ok(()) => {
                    take(remaining, &task.resources).expect("the task was checked to fit");
                    let record = Task::launched(agent, role.clone(), &task, self.now);
                    self.insert_task(framework, task.task_id.clone(), record);
                    self.take_up(framework, &task.task_id, &task.resources);
                    self.publish_task(framework, &task.task_id);
                    run.push(task);
                }
                Err(invalid) => {
                    let (id, agent_id) = (&task.task_id, Some(task.agent_id.clone()));
                    self.refuse_task(framework, id, agent_id, &invalid.to_string(), out);
                }
            }
        }
        self.counters.tasks_launched += run.len() as u64;
        run
    }

    /// Answers for a task that is wrong.
    pub(super) fn refuse_task(
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
            reason: Some(Reason::TaskInvalid),
            message,
            agent_id,
            unreachable_time: None,
        };
        self.report(framework, task_id, report, out);
    }
}
