//! Groups of tasks (LAUNCH_GROUP of executors of type DEFAULT): launched as one, ended as one.
//!
//! There is no process of an executor: each task is a container like that of a plain task, and the
//! group is kept here. An executor id is one group at a time. What a group holds beside its tasks
//! is the executor's, until the last task has ended.

mod run;
#[cfg(test)]
mod tests;

use crate::effect::Effect;
use crate::state::{Agent, KillCause, Phase, Task, TaskKey};
use proto::agent_link::AgentExecutor;
use proto::{
    ExecutorId, ExecutorInfo, ExecutorKind, FrameworkId, Resources, Role, TaskId, TaskInfo,
    TaskState, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A framework's group.
pub(crate) type GroupKey = (FrameworkId, ExecutorId);

/// A group that has a living task.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) role: Role,
    pub(crate) info: Arc<ExecutorInfo>,
    /// Whether the executor's resources are taken from `Agent::free`.
    pub(crate) holds: bool,
    /// Its living tasks.
    pub(crate) tasks: BTreeSet<TaskId>,
}

/// The executor of a task's group; none for a task that is in no group.
pub fn group_executor(task: &TaskInfo) -> Option<&ExecutorInfo> {
    task.executor.as_ref().filter(|info| info.kind() == ExecutorKind::Default)
}

impl Agent {
    /// The groups that have not ended, by framework and executor.
    pub fn groups(&self) -> impl Iterator<Item = (&FrameworkId, &ExecutorId)> {
        self.groups.keys().map(|(framework_id, executor_id)| (framework_id, executor_id))
    }

    /// What the executors of groups hold beside their tasks.
    pub fn held_by_groups(&self) -> impl Iterator<Item = &Resources> {
        self.groups.values().filter(|group| group.holds).map(|group| &group.info.resources)
    }

    /// The group of a task that lives.
    pub(crate) fn group_of(&self, key: &TaskKey) -> Option<GroupKey> {
        let info = group_executor(&self.task(key)?.launched.as_ref()?.info)?;
        let group = (key.0.clone(), info.executor_id.clone());
        self.groups.get(&group).filter(|own| own.tasks.contains(&key.1)).map(|_| group)
    }

    /// Kills the living tasks of a group.
    pub(crate) fn kill_group(
        &mut self,
        now: Time,
        group: &GroupKey,
        (cause, grace): (KillCause, Option<Duration>),
        effects: &mut Vec<Effect>,
    ) {
        let Some(own) = self.groups.get(group) else { return };
        for task_id in own.tasks.clone() {
            let key = (group.0.clone(), task_id);
            let Some(task) = self.task(&key) else { continue };
            if cause == KillCause::Group && task.kill.is_some() {
                // It has the grace that it was given.
                continue;
            }
            let Some(launched) = &task.launched else { continue };
            let grace = grace.unwrap_or_else(|| self.kill_grace(&launched.info));
            self.order_kill(now, &key, cause, grace, effects);
        }
    }

    /// A task has ended. With one that did not finish, all of its group are killed; with the last
    /// one the group ends.
    pub(crate) fn leave_group(
        &mut self,
        now: Time,
        key: &TaskKey,
        group: &GroupKey,
        effects: &mut Vec<Effect>,
    ) {
        let finished = self.task(key).is_some_and(|task| task.state == TaskState::Finished);
        let Some(own) = self.groups.get_mut(group) else { return };
        own.tasks.remove(&key.1);
        if !own.tasks.is_empty() {
            if !finished {
                self.kill_group(now, group, (KillCause::Group, None), effects);
            }
            return;
        }
        if let Some(own) = self.groups.remove(group)
            && own.holds
        {
            self.free.add(&own.info.resources);
        }
        let (framework_id, executor_id) = group.clone();
        effects.push(Effect::GroupEnded { framework_id, executor_id });
        self.tell_executor_ended(&group.0, &group.1, Some(0), effects);
    }

    /// The groups of the tasks that were taken back. One of which a task is known to have ended in
    /// another way than well, or never to have begun, is ended now.
    pub(crate) fn recover_groups(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
        let mut doomed = BTreeSet::new();
        for (framework_id, framework) in &self.frameworks {
            for (task_id, task) in &framework.tasks {
                let Some(launched) = &task.launched else { continue };
                let Some(info) = group_executor(&launched.info) else { continue };
                let key = (framework_id.clone(), info.executor_id.clone());
                if task.phase == Phase::Ended {
                    if task.state != TaskState::Finished {
                        doomed.insert(key);
                    }
                    continue;
                }
                let group = groups.entry(key).or_insert_with(|| Group {
                    role: launched.role.clone(),
                    info: Arc::new(info.clone()),
                    holds: false,
                    tasks: BTreeSet::new(),
                });
                group.tasks.insert(task_id.clone());
            }
        }
        for group in groups.values_mut() {
            group.holds = self.free.subtract(&group.info.resources).is_ok();
        }
        self.groups = groups;
        for group in doomed {
            self.kill_group(now, &group, (KillCause::Group, None), effects);
        }
    }

    /// Executors of groups as the master is told of them.
    pub(crate) fn agent_groups(&self) -> impl Iterator<Item = AgentExecutor> {
        self.groups.iter().map(|((framework_id, _), group)| AgentExecutor {
            framework_id: framework_id.clone(),
            role: group.role.clone(),
            info: ExecutorInfo {
                resources: match group.holds {
                    true => group.info.resources.clone(),
                    false => Resources::new(),
                },
                ..ExecutorInfo::clone(&group.info)
            },
        })
    }

    /// Whether a task of an executor id is known, if only by updates that nobody acknowledged: such
    /// an id names no other group yet, or what is left of one would be taken for the other's.
    fn is_group_known(&self, group: &GroupKey) -> bool {
        let of_it = |task: &Task| {
            let launched = task.launched.as_ref();
            let info = launched.and_then(|launched| launched.info.executor.as_ref());
            info.is_some_and(|info| info.executor_id == group.1)
        };
        let framework = self.frameworks.get(&group.0);
        framework.is_some_and(|framework| framework.tasks.values().any(of_it))
    }
}
