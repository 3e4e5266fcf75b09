//! The master's order to run a group: all of its tasks, or none.

use super::{Group, GroupKey};
use crate::effect::{CheckpointOp, Effect, Note};
use crate::gpus::Gpus;
use crate::input::Launch;
use crate::state::{Agent, Task, TaskKey};
use crate::task::{Refusal, task_record};
use crate::volumes::claim;
use proto::{ExecutorId, ExecutorInfo, FrameworkInfo, Reason, Role, TaskInfo, TaskState, Time};
use std::sync::Arc;

/// Ports that lead to a group are its own: the executor's, or those of a task.
pub(super) fn check_ports(info: &ExecutorInfo, tasks: &[TaskInfo]) -> Result<(), String> {
    let asked = info.container().map_err(|error| format!("The executor of the group: {error}"))?;
    let Some(network) = asked.and_then(|asked| asked.network) else { return Ok(()) };
    let mut own = info.resources.ranges("ports");
    tasks.iter().for_each(|task| own.add(&task.resources.ranges("ports")));
    let is_own = |port: u16| {
        own.pairs().iter().any(|(first, last)| (*first..=*last).contains(&u64::from(port)))
    };
    match network.port_mappings.iter().find(|mapping| !is_own(mapping.host_port)) {
        None => Ok(()),
        Some(mapping) => Err(format!(
            "Port {} is not among the resources of the group's executor and tasks \
             (executor.container.network_infos.port_mappings.host_port)",
            mapping.host_port
        )),
    }
}

impl Agent {
    /// Launches the tasks, which name the same executor of type DEFAULT, as one group. The framework
    /// is remembered already. Where one of them cannot be launched, none is, and each is answered
    /// for.
    pub(crate) fn run_group(
        &mut self,
        now: Time,
        framework: &Arc<FrameworkInfo>,
        role: &Role,
        tasks: Vec<TaskInfo>,
        start: &[ExecutorId],
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework_id) = framework.id.clone() else { return };
        let Some(info) = tasks.first().and_then(|task| task.executor.clone()) else { return };
        let group = (framework_id.clone(), info.executor_id.clone());
        if tasks.iter().any(|task| self.is_known(&group, task)) {
            let message = format!("a second launch of group {} of {framework_id}", group.1).into();
            effects.push(Effect::Note(Note::Ignored { message }));
            return;
        }
        let gpus = match self.check_group(&group, &info, &tasks, start) {
            Ok(gpus) => gpus,
            Err(refusal) => {
                for task in tasks {
                    let key = (framework_id.clone(), task.task_id);
                    self.refuse_launch(now, &key, refusal.clone(), effects);
                }
                if start.contains(&group.1) && !self.groups.contains_key(&group) {
                    self.tell_executor_ended(&group.0, &group.1, None, effects);
                }
                return;
            }
        };
        let tasks = tasks.into_iter().zip(gpus).collect();
        self.launch_group(&group, info, (framework, role), tasks, effects);
    }

    fn is_known(&self, group: &GroupKey, task: &TaskInfo) -> bool {
        self.task(&(group.0.clone(), task.task_id.clone())).is_some()
    }

    fn check_group(
        &self,
        group: &GroupKey,
        info: &ExecutorInfo,
        tasks: &[TaskInfo],
        start: &[ExecutorId],
    ) -> Result<Vec<Gpus>, Refusal> {
        use TaskState::{Dropped, Error};
        let busy = self.is_group_known(group)
            || self.groups.contains_key(group)
            || self.executor_container(&group.0, &group.1).is_some();
        if busy {
            let message = format!(
                "Executor {} has tasks whose updates are not acknowledged: an executor id is one \
                 group at a time",
                group.1
            );
            return Err(Refusal::new(Dropped, Reason::ExecutorTerminated, message));
        }
        if !start.contains(&group.1) {
            let message = format!("Executor {} has ended", group.1);
            return Err(Refusal::new(Dropped, Reason::ExecutorTerminated, message));
        }
        let mut wanted = info.resources.clone();
        for task in tasks {
            let key: TaskKey = (group.0.clone(), task.task_id.clone());
            let refusal = self.refusal_of_any(&key, task).or_else(|| self.refusal_of_command(task));
            if let Some(refusal) = refusal {
                return Err(refusal.of_group(&task.task_id));
            }
            if task.executor.as_ref().is_none_or(|own| own.executor_id != group.1) {
                let message = format!("Task '{}' names another executor", task.task_id);
                return Err(Refusal::new(Error, Reason::TaskGroupInvalid, message));
            }
            wanted.add(&claim(&task.resources));
        }
        check_ports(info, tasks)
            .map_err(|message| Refusal::new(Error, Reason::TaskGroupInvalid, message))?;
        match self.free.shortfall(&wanted) {
            None => self.gpus_for(tasks.iter()),
            Some(shortfall) => {
                let message = format!("The group does not fit on its agent: {shortfall}");
                Err(Refusal::new(Dropped, Reason::ResourcesUnknown, message))
            }
        }
    }

    fn launch_group(
        &mut self,
        group: &GroupKey,
        info: ExecutorInfo,
        (framework, role): (&Arc<FrameworkInfo>, &Role),
        tasks: Vec<(TaskInfo, Gpus)>,
        effects: &mut Vec<Effect>,
    ) {
        let holds = self.free.subtract(&info.resources).is_ok();
        let ids = tasks.iter().map(|(task, _)| task.task_id.clone()).collect();
        let own = Group { role: role.clone(), info: Arc::new(info), holds, tasks: ids };
        self.groups.insert(group.clone(), own);
        let launches: Vec<Launch> = tasks
            .into_iter()
            .map(|(task, gpus)| Launch {
                container_id: self.random.container_id(),
                framework: framework.clone(),
                framework_id: group.0.clone(),
                role: role.clone(),
                task: Arc::new(task),
                gpus,
            })
            .collect();
        // All of them are durable before any of them is launched.
        let records = launches.iter().map(|launch| CheckpointOp::PutTask(task_record(launch)));
        effects.extend(records.map(Effect::Persist));
        for launch in launches {
            let mut task = Task::launching(&launch);
            if let Some(launched) = &mut task.launched {
                launched.holds = self.free.subtract(&claim(&launch.task.resources)).is_ok();
            }
            let key = (group.0.clone(), launch.task.task_id.clone());
            if let Some(framework) = self.frameworks.get_mut(&group.0) {
                framework.tasks.insert(key.1.clone(), task);
            }
            self.containers.insert(launch.container_id.clone(), key);
            self.counters.launched += 1;
            effects.push(Effect::Launch(Box::new(launch)));
        }
    }
}
