//! LAUNCH: each task is checked in order against what remains of the offers; a wrong one is
//! answered with TASK_ERROR and the others go on.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::{Report, Task};
use proto::agent_link::AgentEvent;
use proto::{Reason, Resources, Role, TaskInfo, TaskState};

impl Master {
    /// Launches what is right of `tasks`, and says how many that were.
    pub(super) fn launch(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        tasks: Vec<TaskInfo>,
        remaining: &mut Resources,
        out: &mut Vec<Effect>,
    ) -> usize {
        let mut run = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.validate(framework, agent, role, &task, remaining) {
                Ok(()) => {
                    remaining.subtract(&task.resources).expect("the task was checked to fit");
                    let record = Task::launched(agent, role.clone(), &task, self.now);
                    self.insert_task(framework, task.task_id.clone(), record);
                    self.take_up(framework, &task.task_id, &task.resources);
                    run.push(task);
                }
                Err(invalid) => {
                    self.counters.tasks_refused += 1;
                    let message = invalid.to_string();
                    let report = Report {
                        state: TaskState::Error,
                        reason: Some(Reason::TaskInvalid),
                        message: &message,
                        agent_id: Some(task.agent_id.clone()),
                        unreachable_time: None,
                    };
                    self.report(framework, &task.task_id, report, out);
                }
            }
        }
        let launched = run.len();
        self.counters.tasks_launched += launched as u64;
        if launched > 0 {
            let info = self.frameworks[framework].info.clone();
            let event = AgentEvent::Run { framework: info, role: role.clone(), tasks: run };
            self.send(agent, event, out);
        }
        launched
    }
}
