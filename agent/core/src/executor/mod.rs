//! Custom executors: programs of a framework that run its tasks, one for each executor id.
//!
//! An executor is a container like that of a task, with a stream of events from this agent and
//! calls in answer (`call`). Its tasks have no container of their own: they are what the executor
//! says, and end with it. One file per verb: `run`, `call`, `exit`, `shutdown`,
//! `outlive`, `recovery`.

mod call;
mod exit;
mod outlive;
mod recovery;
mod run;
mod shutdown;
#[cfg(test)]
mod tests;

use crate::effect::Effect;
use crate::input::Launch;
use crate::state::{Agent, Phase, Task, TaskKey};
use crate::volumes::claim;
use proto::agent_link::{AgentCall, AgentExecutor};
use proto::executor::Event;
use proto::{
    ContainerId, ExecutorId, ExecutorInfo, ExecutorKind, FrameworkId, Reason, Resources, Role,
    TaskId, TaskInfo, TaskState, Time,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What an executor says, or what becomes of its stream.
#[derive(Clone, Debug)]
pub enum ExecutorInput {
    /// It opened a stream. `Effect::CloseExecutor` ends the one that it had before.
    Subscribed {
        /// The stream's number, which the shell chose and never chooses again.
        stream: u64,
        /// Its tasks of which no update was acknowledged.
        tasks: Vec<TaskId>,
        /// Its updates that were not acknowledged, oldest first.
        updates: Vec<proto::executor::Update>,
    },
    /// It reports on a task.
    Update(Box<proto::executor::Update>),
    /// Bytes for its framework.
    Message(Arc<[u8]>),
    /// Its stream is closed. One that is not its newest is ignored.
    Closed {
        /// Which.
        stream: u64,
    },
}

/// An executor that runs, or that has ended and has tasks whose updates are not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) framework_id: FrameworkId,
    pub(crate) role: Role,
    pub(crate) info: Arc<ExecutorInfo>,
    pub(crate) phase: Phase,
    pub(crate) sandbox: Option<Arc<str>>,
    /// Its own; absent in the host's network.
    pub(crate) address: Option<Ipv4Addr>,
    /// The stream on which it hears.
    pub(crate) stream: Option<u64>,
    /// Whether it may have heard of its tasks: before its first stream it has not.
    pub(crate) has_heard: bool,
    /// What it is waited for, and until when.
    pub(crate) waits: Option<(Time, Wait)>,
    /// It is to end: it gets no more tasks.
    pub(crate) ending: bool,
    /// What is said of its tasks when it has ended, if that is not how it ended.
    pub(crate) doom: Option<(TaskState, Reason, Arc<str>)>,
    /// Whether its resources are taken from `Agent::free`.
    pub(crate) holds: bool,
    /// Its tasks that are not forgotten, in the order of their launches.
    pub(crate) tasks: Vec<TaskId>,
}

/// What an executor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// Its first stream.
    Registration,
    /// Its stream to an agent that was started anew.
    Reregistration,
    /// Its end, after it was asked for it.
    Shutdown,
    /// Its end, after its processes were killed.
    Death,
}

/// An executor as the outside may see it.
#[derive(Clone, Debug)]
pub struct ExecutorView<'a> {
    /// Whose.
    pub framework_id: &'a FrameworkId,
    /// What the framework says of it.
    pub info: &'a ExecutorInfo,
    /// Its container.
    pub container_id: &'a ContainerId,
    /// Its working directory, once it runs.
    pub sandbox: Option<&'a Arc<str>>,
    /// What it and its living tasks hold.
    pub resources: Resources,
    /// Whether it hears.
    pub subscribed: bool,
}

/// The custom executor of a task; none for one that is a command, or in a group.
pub(crate) fn custom(task: &TaskInfo) -> Option<&ExecutorInfo> {
    task.executor.as_ref().filter(|info| info.kind() == ExecutorKind::Custom)
}

impl Agent {
    /// The executors that have not ended.
    pub fn executors(&self) -> impl Iterator<Item = ExecutorView<'_>> {
        let living = self.executors.iter().filter(|(_, executor)| executor.phase != Phase::Ended);
        living.map(|(container_id, executor)| ExecutorView {
            framework_id: &executor.framework_id,
            info: &executor.info,
            container_id,
            sandbox: executor.sandbox.as_ref(),
            resources: self.size_of(executor).0,
            subscribed: executor.stream.is_some(),
        })
    }

    /// The container of an executor that has not ended.
    pub fn executor_container(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> Option<&ContainerId> {
        self.frameworks.get(framework_id)?.executors.get(executor_id)
    }

    /// Whether an executor has a stream: before, it may do nothing but subscribe.
    pub fn is_subscribed(&self, container_id: &ContainerId) -> bool {
        self.executors.get(container_id).is_some_and(|executor| executor.stream.is_some())
    }

    /// Whether so many updates of a task wait for their acknowledgement that an executor may make
    /// no more.
    pub fn is_crowded(&self, framework_id: &FrameworkId, task_id: &TaskId) -> bool {
        let key = (framework_id.clone(), task_id.clone());
        let most = self.options.executor_updates_max;
        self.task(&key).is_some_and(|task| task.stream.pending.len() >= most)
    }

    /// Says something to an executor that hears.
    fn tell_executor(&self, container_id: &ContainerId, event: Event, effects: &mut Vec<Effect>) {
        let executor = self.executors.get(container_id);
        if let Some(stream) = executor.and_then(|executor| executor.stream) {
            let container_id = container_id.clone();
            effects.push(Effect::ToExecutor { container_id, stream, event: Box::new(event) });
        }
    }

    /// Says to the master, if it hears, that an executor is not there (any more).
    pub(crate) fn tell_executor_ended(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        status: Option<i32>,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_registered() {
            let (framework_id, executor_id) = (framework_id.clone(), executor_id.clone());
            let call = AgentCall::ExecutorEnded { framework_id, executor_id, status };
            effects.push(Effect::ToMaster { link: self.link.number(), call });
        }
    }

    /// Sets until when an executor is waited for.
    fn wait_for(&mut self, container_id: &ContainerId, waits: Option<(Time, Wait)>) {
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        if let Some((at, _)) = std::mem::replace(&mut executor.waits, waits) {
            self.executor_timers.remove(&(at, container_id.clone()));
        }
        if let Some((at, _)) = waits {
            self.executor_timers.insert((at, container_id.clone()));
        }
    }

    /// The living tasks of an executor.
    fn living<'a>(
        &'a self,
        executor: &'a Executor,
    ) -> impl Iterator<Item = (&'a TaskId, &'a Task)> {
        let framework = self.frameworks.get(&executor.framework_id);
        let tasks = executor.tasks.iter();
        tasks
            .filter_map(move |id| Some((id, framework?.tasks.get(id)?)))
            .filter(|(_, task)| task.phase != Phase::Ended)
    }

    /// What an executor and its living tasks may use together, and the limits of both: where one
    /// of them has a limit above its request, the others' requests are theirs.
    fn size_of(&self, executor: &Executor) -> (Resources, BTreeMap<Arc<str>, Option<u64>>) {
        let mut all = executor.info.resources.clone();
        let mut limits = BTreeMap::new();
        let infos =
            || self.living(executor).filter_map(|(_, task)| Some(&task.launched.as_ref()?.info));
        for info in infos() {
            all.add(&claim(&info.resources));
            limits.extend(info.limits.keys().map(|name| (name.clone(), Some(0))));
        }
        for (name, sum) in &mut limits {
            let own = Some(executor.info.resources.scalar(name));
            let tasks = infos().map(|info| match info.limits.get(name) {
                Some(limit) => *limit,
                None => Some(info.resources.scalar(name)),
            });
            *sum = tasks.fold(own, |sum, limit| Some(sum?.saturating_add(limit?)));
        }
        (all, limits)
    }

    /// Gives an executor's container what it and its tasks may use now.
    fn resize(&self, container_id: &ContainerId, effects: &mut Vec<Effect>) {
        let Some(executor) = self.executors.get(container_id) else { return };
        if executor.phase == Phase::Running {
            let (resources, limits) = self.size_of(executor);
            let container_id = container_id.clone();
            effects.push(Effect::Resize { container_id, resources, limits });
        }
    }

    /// What was ordered for a custom executor that runs, with what it and its tasks may use now.
    pub(crate) fn launch_of_executor(&self, container_id: &ContainerId) -> Option<Launch> {
        let executor = self.executors.get(container_id).filter(|e| e.phase == Phase::Running)?;
        let (resources, _) = self.size_of(executor);
        let task = executor.info.as_task(self.agent_id()?.clone(), resources).ok()?;
        Some(Launch {
            container_id: container_id.clone(),
            framework: self.frameworks.get(&executor.framework_id)?.info.clone()?,
            framework_id: executor.framework_id.clone(),
            role: executor.role.clone(),
            task: Arc::new(task),
            gpus: Vec::new(),
        })
    }

    /// Executors as the master is told of them.
    pub(crate) fn agent_executors(&self) -> Vec<AgentExecutor> {
        let living = self.executors.values().filter(|executor| executor.phase != Phase::Ended);
        let told = living.map(|executor| AgentExecutor {
            framework_id: executor.framework_id.clone(),
            role: executor.role.clone(),
            info: ExecutorInfo {
                resources: match executor.holds {
                    true => executor.info.resources.clone(),
                    false => Resources::new(),
                },
                ..ExecutorInfo::clone(&executor.info)
            },
        });
        told.chain(self.agent_groups()).collect()
    }

    /// The container of the custom executor that has a task.
    pub(crate) fn executor_of(&self, key: &TaskKey) -> Option<ContainerId> {
        let launched = self.task(key)?.launched.as_ref()?;
        custom(&launched.info).map(|_| launched.container_id.clone())
    }

    pub(crate) fn executor_deadline(&self) -> Option<Time> {
        self.executor_timers.first().map(|(at, _)| *at)
    }
}
