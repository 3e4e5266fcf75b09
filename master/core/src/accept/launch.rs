//! LAUNCH: each task is checked in order against what remains of the offers; a wrong one is
//! answered with TASK_ERROR and the others go on.

use crate::agent::take;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::{Report, Task};
use proto::agent_link::AgentEvent;
use proto::{
    AgentId, ExecutorId, ExecutorInfo, Reason, Resources, Role, TaskId, TaskInfo, TaskState,
};
use std::sync::Arc;

/// What an agent is to run of one LAUNCH.
#[derive(Debug, Default)]
pub(super) struct Launches {
    /// Command tasks.
    plain: Vec<TaskInfo>,
    /// Tasks of custom executors.
    by_executors: Vec<TaskInfo>,
    /// Those of these executors that are to be started.
    start: Vec<ExecutorId>,
}

impl Launches {
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.by_executors.len()
    }
}

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
    ) -> Launches {
        let mut run = Launches { plain: Vec::with_capacity(tasks.len()), ..Launches::default() };
        for task in tasks {
            match self.validate(framework, agent, role, &task, remaining) {
                Ok(()) => self.launch_task(framework, agent, role, task, remaining, &mut run),
                Err(invalid) => {
                    let (id, agent_id) = (&task.task_id, Some(task.agent_id.clone()));
                    self.refuse_task(framework, id, agent_id, &invalid.to_string(), out);
                }
            }
        }
        self.counters.tasks_launched += run.len() as u64;
        run
    }

    /// Takes what a task that was checked uses, with its executor if that is to be started.
    pub(super) fn launch_task(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        mut task: TaskInfo,
        remaining: &mut Resources,
        run: &mut Launches,
    ) {
        if let Some(executor) = &mut task.executor {
            executor.framework_id = Some(self.frameworks[framework].id.clone());
            let executor = Arc::new(executor.clone());
            if self.employ(framework, agent, role, &executor, remaining) {
                run.start.push(executor.executor_id.clone());
            }
        }
        take(remaining, &task.resources).expect("the task was checked to fit");
        let record = Task::launched(agent, role.clone(), &task, self.now);
        self.insert_task(framework, task.task_id.clone(), record);
        self.take_up(framework, &task.task_id, &task.resources);
        self.publish_task(framework, &task.task_id);
        match task.executor {
            Some(_) => run.by_executors.push(task),
            None => run.plain.push(task),
        }
    }

    /// Sets aside what an executor uses, unless it is there; says whether it is to be started.
    fn employ(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        executor: &Arc<ExecutorInfo>,
        remaining: &mut Resources,
    ) -> bool {
        let key = (framework, executor.executor_id.clone());
        let new = !self.agents[agent].executors.contains_key(&key);
        if new {
            take(remaining, &executor.resources).expect("the executor was checked to fit");
            self.add_executor(agent, framework, executor.clone(), role.clone());
        }
        new
    }

    /// What the agent is told of a LAUNCH.
    pub(super) fn orders(
        &self,
        framework: FrameworkOrd,
        role: &Role,
        run: Launches,
    ) -> impl Iterator<Item = AgentEvent> {
        let info = &self.frameworks[framework].info;
        let (framework, role) = (info.clone(), role.clone());
        let plain = (!run.plain.is_empty()).then_some(run.plain).map(|tasks| {
            let (framework, role) = (framework.clone(), role.clone());
            AgentEvent::Run { framework, role, tasks }
        });
        let start = run.start;
        let tasks = (!run.by_executors.is_empty()).then_some(run.by_executors);
        let custom =
            tasks.map(|tasks| AgentEvent::RunByExecutors { framework, role, tasks, start });
        plain.into_iter().chain(custom)
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
