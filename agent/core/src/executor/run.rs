//! The master's order to have tasks run by their executors, which are started when they are not
//! there.

use super::Executor;
use crate::effect::{CheckpointOp, Effect, Note};
use crate::group::group_executor;
use crate::input::Launch;
use crate::state::{Agent, Phase, Task, TaskKey};
use crate::task::{Refusal, task_record};
use crate::volumes::{Volume, claim};
use proto::Time;
use proto::executor::Event;
use proto::{
    ContainerId, ExecutorId, ExecutorInfo, FrameworkInfo, Reason, Role, TaskInfo, TaskState,
};
use std::sync::Arc;

impl Agent {
    /// Has tasks run by their executors; those of the agent's own executor (DEFAULT) as a group. Of
    /// those that are not there, the ones in `start` may be started: the master has set aside what
    /// they use.
    pub(crate) fn run_by_executors(
        &mut self,
        now: Time,
        framework: Arc<FrameworkInfo>,
        role: &Role,
        tasks: Vec<TaskInfo>,
        start: &[ExecutorId],
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework_id) = framework.id.clone() else {
            let message = "a launch for a framework without an id".into();
            effects.push(Effect::Note(Note::Ignored { message }));
            return;
        };
        self.remember_framework(&framework_id, framework.clone(), effects);
        if tasks.iter().any(|task| group_executor(task).is_some()) {
            self.run_group(now, &framework, role, tasks, start, effects);
            return;
        }
        for task in tasks {
            let key = (framework_id.clone(), task.task_id.clone());
            if self.task(&key).is_some() {
                let message = format!("a second launch of task {} of {}", key.1, key.0).into();
                effects.push(Effect::Note(Note::Ignored { message }));
                continue;
            }
            match self.place(&key, role, &task, start, effects) {
                Ok(container_id) => self.hand_over(&key, role, task, &container_id, effects),
                Err(refusal) => self.refuse_launch(now, &key, refusal, effects),
            }
        }
        for executor_id in start {
            if self.executor_container(&framework_id, executor_id).is_none() {
                self.tell_executor_ended(&framework_id, executor_id, None, effects);
            }
        }
    }

    /// The executor for a task: the one that is there, or a new one.
    fn place(
        &mut self,
        key: &TaskKey,
        role: &Role,
        task: &TaskInfo,
        start: &[ExecutorId],
        effects: &mut Vec<Effect>,
    ) -> Result<ContainerId, Refusal> {
        use TaskState::{Dropped, Error};
        if let Some(refusal) = self.refusal_of_any(key, task) {
            return Err(refusal);
        }
        let Some(info) = &task.executor else {
            return Err(Refusal::new(Error, Reason::TaskInvalid, "The task has no executor"));
        };
        let pieces = task.resources.pieces().iter().chain(info.resources.pieces());
        if pieces.into_iter().any(|piece| Volume::of(piece).is_some()) {
            let message = "Custom executors cannot use persistent volumes";
            return Err(Refusal::new(Error, Reason::TaskInvalid, message));
        }
        if let Some(refusal) = self.refusal_of_gpus([&task.resources, &info.resources]) {
            return Err(refusal);
        }
        let short = |shortfall: proto::Shortfall| {
            let message = format!("The task does not fit on its agent: {shortfall}");
            Refusal::new(Dropped, Reason::ResourcesUnknown, message)
        };
        let mut wanted = claim(&task.resources).into_owned();
        if let Some(container_id) = self.executor_container(&key.0, &info.executor_id) {
            if self.executors.get(container_id).is_some_and(|executor| executor.ending) {
                let message = format!("Executor {} is ending", info.executor_id);
                return Err(Refusal::new(Dropped, Reason::ExecutorTerminated, message));
            }
            return match self.free.shortfall(&wanted) {
                Some(shortfall) => Err(short(shortfall)),
                None => Ok(container_id.clone()),
            };
        }
        if !start.contains(&info.executor_id) {
            let message = format!("Executor {} has ended", info.executor_id);
            return Err(Refusal::new(Dropped, Reason::ExecutorTerminated, message));
        }
        wanted.add(&info.resources);
        if let Some(shortfall) = self.free.shortfall(&wanted) {
            return Err(short(shortfall));
        }
        let started = info.as_task(task.agent_id.clone(), wanted).map_err(|error| {
            let message = format!("Its executor cannot be run: {error}");
            Refusal::new(Error, Reason::TaskInvalid, message)
        })?;
        self.start_executor(key, role, info, (task, started), effects)
    }

    /// Orders the start of an executor. The record of its first task is durable before, so that no
    /// crash leaves an executor that nobody wanted.
    fn start_executor(
        &mut self,
        key: &TaskKey,
        role: &Role,
        info: &ExecutorInfo,
        (first, started): (&TaskInfo, TaskInfo),
        effects: &mut Vec<Effect>,
    ) -> Result<ContainerId, Refusal> {
        let container_id = self.random.container_id();
        let framework = self.frameworks.get_mut(&key.0);
        let Some((framework, described)) = framework.and_then(|f| Some((f.info.clone()?, f)))
        else {
            let message = "Its framework is not known here";
            return Err(Refusal::new(TaskState::Dropped, Reason::FrameworkRemoved, message));
        };
        described.executors.insert(info.executor_id.clone(), container_id.clone());
        let launch = |task: TaskInfo| Launch {
            container_id: container_id.clone(),
            framework: framework.clone(),
            framework_id: key.0.clone(),
            role: role.clone(),
            task: Arc::new(task),
            gpus: Vec::new(),
        };
        let record = task_record(&launch(first.clone()));
        effects.push(Effect::Persist(CheckpointOp::PutTask(record)));
        effects.push(Effect::Launch(Box::new(launch(started))));
        let executor = Executor {
            framework_id: key.0.clone(),
            role: role.clone(),
            info: Arc::new(info.clone()),
            phase: Phase::Launching,
            sandbox: None,
            address: None,
            stream: None,
            has_heard: false,
            waits: None,
            ending: false,
            doom: None,
            holds: self.free.subtract(&info.resources).is_ok(),
            tasks: Vec::new(),
        };
        self.executors.insert(container_id.clone(), executor);
        Ok(container_id)
    }

    /// Gives a task to its executor. It is on record before the executor hears of it.
    fn hand_over(
        &mut self,
        key: &TaskKey,
        role: &Role,
        task: TaskInfo,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework) = self.frameworks.get_mut(&key.0) else { return };
        let Some(info) = framework.info.clone() else { return };
        let launch = Launch {
            container_id: container_id.clone(),
            framework: info,
            framework_id: key.0.clone(),
            role: role.clone(),
            task: Arc::new(task),
            gpus: Vec::new(),
        };
        let mut task = Task::launching(&launch);
        if let Some(launched) = &mut task.launched {
            launched.holds = self.free.subtract(&claim(&launch.task.resources)).is_ok();
        }
        framework.tasks.insert(key.1.clone(), task);
        self.counters.launched += 1;
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        executor.tasks.push(key.1.clone());
        // That of the first task is written already.
        if executor.phase != Phase::Launching || executor.tasks.len() > 1 {
            effects.push(Effect::Persist(CheckpointOp::PutTask(task_record(&launch))));
        }
        self.resize(container_id, effects);
        let event = Event::Launch(Box::new(TaskInfo::clone(&launch.task)));
        self.tell_executor(container_id, event, effects);
    }
}
