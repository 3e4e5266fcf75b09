//! Taking executors back after the agent was started anew: the supervisor knows them, the
//! checkpoint knows their tasks.

use super::{Executor, Wait, custom};
use crate::effect::Effect;
use crate::input::{Container, Launch, TaskRecord, UpdatesRecord};
use crate::state::{Agent, Phase, Task, TaskKey};
use crate::task::supervisor_lost;
use crate::volumes::claim;
use proto::{ContainerId, TaskState, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether a launch is that of an executor: the task in its place names it.
fn is_of_executor(launch: &Launch) -> bool {
    custom(&launch.task).is_some()
}

impl Agent {
    /// Containers of executors, and the others. What is left of a lost supervisor's has no launch,
    /// and is known by the records of its tasks.
    pub(crate) fn split(
        &self,
        mut containers: Vec<Container>,
        records: &BTreeMap<TaskKey, TaskRecord>,
    ) -> (Vec<Container>, Vec<Container>) {
        for container in containers.iter_mut().filter(|container| container.launch.is_none()) {
            container.launch = self.executor_on_record(&container.container_id, records);
        }
        containers
            .into_iter()
            .partition(|container| container.launch.as_ref().is_some_and(is_of_executor))
    }

    fn executor_on_record(
        &self,
        container_id: &ContainerId,
        records: &BTreeMap<TaskKey, TaskRecord>,
    ) -> Option<Launch> {
        let record = records.values().find(|record| record.container_id == *container_id)?;
        let info = custom(&record.task)?;
        let task = info.as_task(self.agent_id()?.clone(), info.resources.clone()).ok()?;
        Some(Launch {
            container_id: container_id.clone(),
            framework: self.frameworks.get(&record.framework_id)?.info.clone()?,
            framework_id: record.framework_id.clone(),
            role: record.role.clone(),
            task: Arc::new(task),
            gpus: Vec::new(),
        })
    }

    /// Takes an executor back, with those of its tasks that are on record. It has some time to
    /// subscribe anew.
    pub(crate) fn adopt_executor(
        &mut self,
        now: Time,
        container: Container,
        records: &mut BTreeMap<TaskKey, TaskRecord>,
        updates: &mut BTreeMap<TaskKey, UpdatesRecord>,
        effects: &mut Vec<Effect>,
    ) {
        let Container { container_id, launch, sandbox, address, exited, remains, .. } = container;
        let kill_requested = container.kill_requested;
        let Some(launch) = launch else { return };
        let Some(info) = launch.task.executor.clone() else { return };
        let (framework_id, role) = (launch.framework_id.clone(), launch.role.clone());
        if self.frameworks.get(&framework_id).is_none_or(|framework| framework.info.is_none()) {
            self.remember_framework(&framework_id, launch.framework.clone(), effects);
        }
        let framework = self.frameworks.entry(framework_id.clone()).or_default();
        framework.executors.insert(info.executor_id.clone(), container_id.clone());
        let executor = Executor {
            framework_id: framework_id.clone(),
            role,
            phase: Phase::Running,
            sandbox: Some(sandbox),
            address,
            stream: None,
            has_heard: true,
            waits: None,
            ending: false,
            doom: None,
            holds: self.free.subtract(&info.resources).is_ok(),
            tasks: Vec::new(),
            info: Arc::new(info),
        };
        self.executors.insert(container_id.clone(), executor);
        let own: Vec<TaskKey> = records
            .iter()
            .filter(|(_, record)| record.container_id == container_id)
            .map(|(key, _)| key.clone())
            .collect();
        let mut reported = false;
        for key in own {
            let Some(record) = records.remove(&key) else { continue };
            let history = updates.remove(&key);
            let history = history.filter(|h| h.container_id.as_ref() == Some(&container_id));
            reported |= history.is_some();
            self.adopt_executor_task(&key, record, history, &launch, effects);
        }
        match exited {
            Some(exited) => {
                if remains {
                    self.end_executor_remains(now, &container_id, effects);
                }
                self.executor_exited(now, &container_id, exited, effects);
            }
            None if remains => self.end_executor_remains(now, &container_id, effects),
            None if kill_requested => self.expect_executor_death(now, &container_id),
            None => {
                // One that may never have subscribed has as long as at its start.
                let pause = match reported {
                    true => self.options.executor_reregistration_timeout,
                    false => self.options.executor_registration_timeout,
                };
                let wait = match reported {
                    true => Wait::Reregistration,
                    false => Wait::Registration,
                };
                self.wait_for(&container_id, Some((now + pause, wait)));
            }
        }
    }

    /// Ends the executors that a new supervisor does not know; says how many tasks ended with them.
    pub(crate) fn executors_lost(
        &mut self,
        now: Time,
        known: &BTreeSet<ContainerId>,
        effects: &mut Vec<Effect>,
    ) -> usize {
        let lost = |(id, executor): (&ContainerId, &Executor)| {
            (executor.phase != Phase::Ended && !known.contains(id)).then(|| id.clone())
        };
        let lost: Vec<ContainerId> = self.executors.iter().filter_map(lost).collect();
        let mut tasks = 0;
        for container_id in lost {
            tasks += self.executors.get(&container_id).map_or(0, |e| self.living(e).count());
            self.executor_lost(now, &container_id, &supervisor_lost(), effects);
        }
        tasks
    }

    /// A new supervisor knows an executor.
    pub(crate) fn executor_found(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        container: Container,
        effects: &mut Vec<Effect>,
    ) {
        let at = (container.sandbox, container.address);
        self.executor_launched(now, container_id, at, effects);
        if container.remains {
            self.end_executor_remains(now, container_id, effects);
        }
        if let Some(exited) = container.exited {
            self.executor_exited(now, container_id, exited, effects);
        }
    }

    fn adopt_executor_task(
        &mut self,
        key: &TaskKey,
        record: TaskRecord,
        history: Option<UpdatesRecord>,
        executor: &Launch,
        effects: &mut Vec<Effect>,
    ) {
        let container_id: ContainerId = record.container_id.clone();
        let mut task = Task::launching(&Launch {
            container_id: container_id.clone(),
            framework: executor.framework.clone(),
            framework_id: key.0.clone(),
            role: record.role,
            task: record.task,
            gpus: record.gpus,
        });
        if let Some(history) = history {
            task.state = history.state;
            task.stream.pending = history.pending.into();
            task.stream.recent = history.recent.into();
        }
        let over = task.state.is_terminal();
        task.phase = match (over, task.state) {
            (true, _) => Phase::Ended,
            (false, TaskState::Staging) => Phase::Launching,
            (false, _) => Phase::Running,
        };
        if let Some(launched) = &mut task.launched {
            let claimed = claim(&launched.info.resources);
            launched.holds = !over && self.free.subtract(&claimed).is_ok();
        }
        let delivered = over && task.stream.pending.is_empty();
        if let Some(framework) = self.frameworks.get_mut(&key.0) {
            framework.tasks.insert(key.1.clone(), task);
        }
        if let Some(executor) = self.executors.get_mut(&container_id) {
            executor.tasks.push(key.1.clone());
        }
        if delivered {
            self.complete(key, effects);
        }
    }
}
