//! The master's order to run tasks: refused with a reason, or recorded and handed to the
//! supervisor.

use crate::effect::{CheckpointOp, Effect, Note};
use crate::gpus::Gpus;
use crate::input::{Launch, TaskRecord};
use crate::state::{Agent, Framework, Task, TaskKey};
use crate::status_updates::Report;
use crate::volumes::{Unusable, claim};
use proto::{FrameworkId, FrameworkInfo, Reason, Role, TaskId, TaskInfo, TaskState, Time};
use std::sync::Arc;

/// Why a task is not launched.
#[derive(Clone)]
pub(crate) struct Refusal {
    state: TaskState,
    reason: Reason,
    message: String,
}

impl Refusal {
    pub(crate) fn new(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into() }
    }

    /// Why a whole group is not launched, for a task of it.
    pub(crate) fn of_group(self, task_id: &TaskId) -> Self {
        Self { message: format!("Task '{task_id}' of the group: {}", self.message), ..self }
    }
}

impl Agent {
    pub(crate) fn run(
        &mut self,
        now: Time,
        framework: Arc<FrameworkInfo>,
        role: &Role,
        tasks: Vec<TaskInfo>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework_id) = framework.id.clone() else {
            let message = "a launch for a framework without an id".into();
            effects.push(Effect::Note(Note::Ignored { message }));
            return;
        };
        self.remember_framework(&framework_id, framework, effects);
        for task in tasks {
            let key = (framework_id.clone(), task.task_id.clone());
            if self.task(&key).is_some() {
                let message = format!("a second launch of task {} of {}", key.1, key.0).into();
                effects.push(Effect::Note(Note::Ignored { message }));
                continue;
            }
            match self.admit(&key, &task) {
                Err(refusal) => self.refuse_launch(now, &key, refusal, effects),
                Ok(gpus) => self.launch(&key, role, (task, gpus), effects),
            }
        }
    }

    /// The framework's description, kept and checkpointed when it is new or changed.
    pub(crate) fn remember_framework(
        &mut self,
        framework_id: &FrameworkId,
        info: Arc<FrameworkInfo>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.frameworks.contains_key(framework_id) {
            self.make_room(effects);
        }
        let framework = self.frameworks.entry(framework_id.clone()).or_default();
        if framework.info.as_deref() != Some(&*info) {
            framework.info = Some(info.clone());
            framework.recorded = false;
        }
        if !framework.recorded {
            framework.recorded = true;
            effects.push(Effect::Record(CheckpointOp::PutFramework(info)));
        }
    }

    /// Forgets a framework without tasks when too many are remembered.
    fn make_room(&mut self, effects: &mut Vec<Effect>) {
        let idle = |framework: &Framework| !framework.is_busy();
        if self.frameworks.values().filter(|f| idle(f)).count() < self.options.idle_frameworks_max {
            return;
        }
        let oldest = self.frameworks.iter().find(|(_, f)| idle(f)).map(|(id, _)| id.clone());
        if let Some(id) = oldest {
            self.frameworks.remove(&id);
            effects.push(Effect::Record(CheckpointOp::DeleteFramework(id)));
        }
    }

    /// What a task is given of what has names, or what keeps it from being launched.
    fn admit(&self, key: &TaskKey, task: &TaskInfo) -> Result<Gpus, Refusal> {
        match self.refusal(key, task) {
            Some(refusal) => Err(refusal),
            None => Ok(self.gpus_for(std::iter::once(task))?.pop().unwrap_or_default()),
        }
    }

    /// What keeps any task from being launched.
    pub(crate) fn refusal_of_any(&self, key: &TaskKey, task: &TaskInfo) -> Option<Refusal> {
        use TaskState::{Dropped, Killed};
        if self.tombstones.contains(key) {
            let message = "Killed before it was launched";
            return Some(Refusal::new(Killed, Reason::TaskKilledDuringLaunch, message));
        }
        if self.frameworks.get(&key.0).is_some_and(|framework| framework.shutdown) {
            let message = "Its framework was removed";
            return Some(Refusal::new(Dropped, Reason::FrameworkRemoved, message));
        }
        if self.agent_id() != Some(&task.agent_id) {
            let message = format!("The task is for agent {}", task.agent_id);
            return Some(Refusal::new(Dropped, Reason::AgentUnknown, message));
        }
        None
    }

    fn refusal(&self, key: &TaskKey, task: &TaskInfo) -> Option<Refusal> {
        use TaskState::{Dropped, Error};
        if let Some(refusal) = self.refusal_of_any(key, task) {
            return Some(refusal);
        }
        if task.executor.is_some() {
            let message = "A task of a custom executor needs an order of its own";
            return Some(Refusal::new(Error, Reason::TaskInvalid, message));
        }
        if let Some(refusal) = self.refusal_of_command(task) {
            return Some(refusal);
        }
        self.free.shortfall(&claim(&task.resources)).map(|shortfall| {
            let message = format!("The task does not fit on its agent: {shortfall}");
            Refusal::new(Dropped, Reason::ResourcesUnknown, message)
        })
    }

    /// What keeps a task from being launched that is to have a container of its own.
    pub(crate) fn refusal_of_command(&self, task: &TaskInfo) -> Option<Refusal> {
        use TaskState::Error;
        if task.payload.has_container {
            let message = "This agent cannot run containers with networks of their own, except \
                           those of Docker";
            return Some(Refusal::new(Error, Reason::TaskInvalid, message));
        }
        if !task.payload.has_command {
            return Some(Refusal::new(Error, Reason::TaskInvalid, "The task has no command"));
        }
        self.unusable_volume(&task.resources).map(volume_refusal)
    }

    pub(crate) fn refuse_launch(
        &mut self,
        now: Time,
        key: &TaskKey,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        self.counters.refused += 1;
        let message: Arc<str> = refusal.message.into();
        effects.push(Effect::Note(Note::LaunchRefused {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
            message: message.clone(),
        }));
        let framework = self.frameworks.entry(key.0.clone()).or_default();
        let dropped = refusal.state == TaskState::Dropped;
        let state = if dropped { framework.word(refusal.state) } else { refusal.state };
        framework.tasks.insert(key.1.clone(), Task::phantom());
        self.report(now, key, Report::of_agent(state, refusal.reason, message), effects);
    }

    /// Records the task and hands it to the supervisor, which keeps the record with the
    /// container: so the launch does not have to wait for the disk.
    fn launch(
        &mut self,
        key: &TaskKey,
        role: &Role,
        (task, gpus): (TaskInfo, Gpus),
        effects: &mut Vec<Effect>,
    ) {
        let container_id = self.random.container_id();
        let Some(framework) = self.frameworks.get_mut(&key.0) else { return };
        let Some(info) = framework.info.clone() else { return };
        let launch = Launch {
            container_id: container_id.clone(),
            framework: info,
            framework_id: key.0.clone(),
            role: role.clone(),
            task: Arc::new(task),
            gpus,
        };
        let mut task = Task::launching(&launch);
        if let Some(launched) = &mut task.launched {
            launched.holds = self.free.subtract(&claim(&launch.task.resources)).is_ok();
        }
        framework.tasks.insert(key.1.clone(), task);
        self.containers.insert(container_id, key.clone());
        self.counters.launched += 1;
        effects.push(Effect::Record(CheckpointOp::PutTask(task_record(&launch))));
        effects.push(Effect::Launch(Box::new(launch)));
    }
}

fn volume_refusal(unusable: Unusable) -> Refusal {
    use TaskState::{Dropped, Error, Failed};
    match unusable {
        Unusable::Impossible(message) => Refusal::new(Error, Reason::TaskInvalid, message),
        Unusable::Unknown(message) => Refusal::new(Dropped, Reason::ResourcesUnknown, message),
        Unusable::Failed(message) => Refusal::new(Failed, Reason::ContainerLaunchFailed, message),
    }
}

/// The checkpoint record of a launch.
pub(crate) fn task_record(launch: &Launch) -> TaskRecord {
    TaskRecord {
        container_id: launch.container_id.clone(),
        framework_id: launch.framework_id.clone(),
        role: launch.role.clone(),
        task: launch.task.clone(),
        gpus: launch.gpus.clone(),
    }
}

#[cfg(test)]
mod tests;
