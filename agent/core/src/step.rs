//! The one verb and the one question of the core.

use crate::effect::Effect;
use crate::input::{Input, Launch};
use crate::state::{Agent, Counters, KillCause, Phase, Timer};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{ContainerId, ExecutorId, FrameworkId, Resources, TaskId, TaskState, Time};
use std::sync::Arc;

/// A task as the outside may see it.
#[derive(Clone, Debug)]
pub struct TaskView<'a> {
    /// Whose.
    pub framework_id: &'a FrameworkId,
    /// Its id.
    pub task_id: &'a TaskId,
    /// Its name; empty for a task of which only updates are left.
    pub name: &'a str,
    /// The newest state that an update was made for.
    pub state: TaskState,
    /// Its container; that of its executor for a task of a custom one.
    pub container_id: Option<&'a ContainerId>,
    /// Its custom executor.
    pub executor_id: Option<&'a ExecutorId>,
    /// The executor of its group.
    pub group: Option<&'a ExecutorId>,
    /// What it holds of the agent; absent once it ended.
    pub resources: Option<&'a Resources>,
    /// Its working directory while it runs.
    pub sandbox: Option<&'a Arc<str>>,
    /// Updates that wait for their acknowledgement.
    pub pending_updates: usize,
}

impl Agent {
    /// Takes one input and appends what follows from it. Never fails: what makes no sense is
    /// ignored, with a note where people should know.
    pub fn step(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        effects.append(&mut self.start);
        match input {
            Input::Tick => {}
            Input::LinkUp { link } => self.link_up(now, link, effects),
            Input::Cluster { link, cluster_id } => self.reached(now, link, cluster_id, effects),
            Input::LinkDown { link, reason } => self.link_down(now, link, reason, effects),
            Input::Redirected { link, reason } => self.redirected(now, link, reason, effects),
            Input::FromMaster { link, epoch, event } => {
                if self.link.is_current(link) && self.obeys(now, epoch, effects) {
                    self.heard(now);
                    match self.waits_for_volumes(&event) {
                        true => self.postpone(event),
                        false => self.hear(now, event, effects),
                    }
                }
            }
            Input::Launched { container_id, sandbox, address } => {
                self.launched(now, container_id, (sandbox, address), effects);
            }
            Input::LaunchFailed { container_id, message, exit } => {
                self.launch_failed(now, &container_id, (message, exit), effects);
            }
            Input::Exited { container_id, exited } => {
                self.container_exited(now, &container_id, exited, effects);
            }
            Input::Looked { container_id, subject, number, seen } => {
                self.looked(now, &container_id, (subject, number), &seen, effects);
            }
            Input::Executor { container_id, input } => {
                self.executor_input(now, &container_id, input, effects);
            }
            Input::LimitsChanged { container_id, limits } => {
                self.limits_changed(&container_id, &limits, effects);
            }
            Input::Supervisor { containers } => {
                self.supervisor_restarted(now, containers, effects);
            }
            Input::DiskUsage { used_ppm, making_room } => {
                self.disk_usage(now, used_ppm, making_room, effects);
            }
            Input::SandboxCollected { container_id } => {
                self.sandbox_collected(container_id, effects);
            }
            Input::SandboxCollectFailed { container_id } => {
                self.sandbox_collect_failed(now, container_id);
            }
            Input::VolumesMade { number, failures } => {
                self.volumes_made(number, failures, effects);
                while let Some(event) = self.next_postponed() {
                    self.hear(now, event, effects);
                }
            }
            Input::VolumesDeleted { number, failures } => {
                self.volumes_deleted(number, failures, effects);
            }
        }
        self.unblock_volumes(effects);
        self.tick(now, effects);
    }

    fn hear(&mut self, now: Time, event: AgentEvent, effects: &mut Vec<Effect>) {
        match event {
            AgentEvent::Registered { agent_id, master_id, ping_timeout } => {
                self.registered(now, agent_id, master_id, ping_timeout, effects);
            }
            AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile } => {
                if self.registered(now, agent_id, master_id, ping_timeout, effects) {
                    self.reconcile(now, reconcile, effects);
                }
            }
            AgentEvent::Refused { message, gone } => self.refused(now, message, gone, effects),
            AgentEvent::Ping { sequence } => effects.push(Effect::ToMaster {
                link: self.link.number(),
                call: AgentCall::Pong { sequence },
            }),
            AgentEvent::Run { framework, role, tasks } => {
                self.run(now, framework, &role, tasks, effects);
            }
            AgentEvent::RunByExecutors { framework, role, tasks, start } => {
                self.run_by_executors(now, framework, &role, tasks, &start, effects);
            }
            AgentEvent::ShutdownExecutor { framework_id, executor_id } => {
                self.shutdown_executor(now, &framework_id, &executor_id, effects);
            }
            AgentEvent::Kill { framework_id, task_id, grace, draining } => {
                let cause = if draining { KillCause::Drained } else { KillCause::Requested };
                self.kill(now, (framework_id, task_id), cause, grace, effects);
            }
            AgentEvent::Acknowledge { framework_id, task_id, uuid } => {
                self.acknowledge(now, &(framework_id, task_id), uuid, effects);
            }
            AgentEvent::ShutdownFramework { framework_id } => {
                self.shutdown_framework(now, &framework_id, effects);
            }
            AgentEvent::UpdateFramework { framework } => {
                let known = framework.id.clone().filter(|id| self.frameworks.contains_key(id));
                if let Some(id) = known {
                    self.remember_framework(&id, framework, effects);
                    self.resend(now, &id, effects);
                }
            }
            AgentEvent::Message { framework_id, executor_id, data } => {
                self.message_to_executor(&framework_id, &executor_id, data, effects);
            }
            AgentEvent::Volumes { sequence, volumes, destroyed } => {
                self.apply_volumes(sequence, &volumes, &destroyed, effects);
            }
        }
    }

    /// Does all that is due.
    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.timers.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, timer, framework_id, task_id)) = self.timers.pop_first() else { break };
            let key = (framework_id, task_id);
            match timer {
                Timer::Retry => self.retry(now, &key, effects),
                Timer::Completion => self.completion_time_reached(now, &key, effects),
                Timer::Check(subject) => self.check_due(now, &key, subject, effects),
                Timer::Death => self.outlived_its_kill(now, &key, effects),
            }
        }
        while let Some((_, container_id)) =
            self.executor_timers.first().filter(|(at, _)| *at <= now).cloned()
        {
            self.executor_due(now, &container_id, effects);
        }
        self.link_tick(now, effects);
        self.tombstones.expire(now);
        if self.gc_deadline().is_some_and(|at| at <= now) {
            self.collect(now, effects);
        }
    }

    /// When the agent wants its next `Tick`.
    pub fn deadline(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let others = [
            self.link_deadline(),
            self.tombstones.deadline(),
            self.gc_deadline(),
            self.executor_deadline(),
        ];
        others.into_iter().flatten().chain(timer).min()
    }

    /// All tasks, in the order of their frameworks and ids.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView<'_>> {
        self.frameworks.iter().flat_map(|(framework_id, framework)| {
            framework.tasks.iter().map(move |(task_id, task)| {
                let launched = task.launched.as_ref();
                let employed = task.is_employed();
                TaskView {
                    framework_id,
                    task_id,
                    name: launched.map_or("", |launched| &launched.info.name),
                    state: task.state,
                    container_id: task.container_id(),
                    executor_id: task.executor_id().filter(|_| employed),
                    group: task.executor_id().filter(|_| !employed),
                    resources: launched.filter(|l| l.holds).map(|l| &l.info.resources),
                    sandbox: launched.and_then(|launched| launched.sandbox.as_ref()),
                    pending_updates: task.stream.pending.len(),
                }
            })
        })
    }

    /// What runs in a container was launched so; none when no task of ours runs in it.
    pub fn launch_of(&self, container_id: &ContainerId) -> Option<Launch> {
        let Some((framework_id, task_id)) = self.containers.get(container_id).cloned() else {
            return self.launch_of_executor(container_id);
        };
        let framework = self.frameworks.get(&framework_id)?;
        let task = framework.tasks.get(&task_id).filter(|task| task.phase == Phase::Running)?;
        let launched = task.launched.as_ref()?;
        Some(Launch {
            container_id: container_id.clone(),
            framework: framework.info.clone()?,
            framework_id,
            role: launched.role.clone(),
            task: launched.info.clone(),
            gpus: launched.gpus.clone(),
        })
    }

    /// What the agent says of itself; its id is [`Agent::agent_id`].
    pub fn info(&self) -> &proto::AgentInfo {
        &self.options.info
    }

    /// What the agent has to give, all in all.
    pub fn total(&self) -> &Resources {
        &self.options.info.resources
    }

    /// What no living task holds.
    pub fn free(&self) -> &Resources {
        &self.free
    }

    /// What the agent has done since it was started.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
