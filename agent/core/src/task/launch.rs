//! The supervisor's answer to a launch: it runs, or it could not be started.

use crate::effect::Effect;
use crate::input::SeenRecord;
use crate::state::{Agent, KillCause, Phase, Timer};
use crate::status_updates::Report;
use proto::{Capability, ContainerId, Reason, TaskState, Time};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

impl Agent {
    /// The supervisor started a container. One whose task has ended meanwhile (the order was still
    /// on its way when its supervisor was lost, and another one followed it) runs for nobody: it
    /// is killed, or it would hold the host's resources for ever.
    pub(crate) fn launched(
        &mut self,
        now: Time,
        container_id: ContainerId,
        at: (Arc<str>, Option<Ipv4Addr>),
        effects: &mut Vec<Effect>,
    ) {
        if self.executors.contains_key(&container_id) {
            self.executor_launched(now, &container_id, at, effects);
            return;
        }
        let task = self.key_of(&container_id).and_then(|key| self.task(&key));
        if task.is_some_and(|task| task.phase != Phase::Ended) {
            self.container_launched(now, &container_id, (now, None), at, effects);
            return;
        }
        effects.push(Effect::Kill { container_id: container_id.clone(), grace: Duration::ZERO });
        self.strays.insert(container_id);
    }

    /// The container's first process was executed: TASK_RUNNING, and TASK_KILLING when a kill was
    /// ordered meanwhile. `started` is when: its run may be limited; `seen` is what an earlier run of
    /// the agent has seen of it. It runs in a sandbox, and at
    /// an address of its own if it has one.
    pub(crate) fn container_launched(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        (started, seen): (Time, Option<SeenRecord>),
        (sandbox, address): (Arc<str>, Option<Ipv4Addr>),
        effects: &mut Vec<Effect>,
    ) {
        let Some(key) = self.key_of(container_id) else { return };
        let Some(task) = self.task_mut(&key) else { return };
        if task.phase != Phase::Launching {
            return;
        }
        task.phase = Phase::Running;
        let kill = task.kill;
        let Some(launched) = &mut task.launched else { return };
        launched.sandbox = Some(sandbox);
        launched.address = address.or(launched.address);
        if let Some(longest) = launched.info.max_completion_time {
            // A start that has not come yet is of a clock that was set back since.
            let at = started.min(now) + longest;
            task.completion = Some(at);
            self.timers.insert((at, Timer::Completion, key.0.clone(), key.1.clone()));
        }
        self.begin_watch(&key, started.min(now), seen);
        self.report(now, &key, Report::of_command(TaskState::Running), effects);
        self.begin_looking(now, &key);
        let untold = [KillCause::Abandoned, KillCause::SupervisorLost];
        if kill.is_some_and(|cause| !untold.contains(&cause)) {
            self.report_killing(now, &key, effects);
        }
    }

    /// TASK_KILLING, for frameworks that understand it.
    pub(crate) fn report_killing(
        &mut self,
        now: Time,
        key: &crate::state::TaskKey,
        effects: &mut Vec<Effect>,
    ) {
        let understood = self
            .frameworks
            .get(&key.0)
            .is_some_and(|framework| framework.understands(Capability::TaskKillingState));
        if understood {
            self.report(now, key, Report::of_command(TaskState::Killing), effects);
        }
    }

    /// The container could not be started: TASK_FAILED, or TASK_KILLED when that was wanted. When
    /// the command itself is at fault, it is a command that failed, as it is for a shell.
    pub(crate) fn launch_failed(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        (message, exit): (Arc<str>, Option<proto::Exit>),
        effects: &mut Vec<Effect>,
    ) {
        if self.executors.contains_key(container_id) {
            self.executor_launch_failed(now, container_id, &message, effects);
            return;
        }
        let Some(key) = self.key_of(container_id) else { return };
        let Some(task) = self.task(&key) else { return };
        if task.phase != Phase::Launching {
            return;
        }
        let report = match task.kill {
            Some(KillCause::Requested) => Report::of_agent(
                TaskState::Killed,
                Reason::TaskKilledDuringLaunch,
                "Killed before it was launched",
            ),
            Some(KillCause::Group) => Report::of_agent(
                TaskState::Killed,
                Reason::TaskKilledDuringLaunch,
                "Killed before it was launched: another task of its group did not finish",
            ),
            Some(KillCause::Drained) => Report::of_agent(
                TaskState::Killed,
                Reason::AgentDraining,
                "Killed before it was launched: the agent is drained",
            ),
            Some(
                KillCause::CompletionTime
                | KillCause::Unhealthy
                | KillCause::SupervisorLost
                | KillCause::Abandoned,
            )
            | None => {
                let message = format!("Command could not be started: {message}");
                if exit.is_some() {
                    let mut report = Report::of_command(TaskState::Failed);
                    report.message = Some(message.into());
                    report.outcome =
                        Some(proto::TaskOutcome { exit, ..proto::TaskOutcome::default() });
                    report
                } else {
                    Report::of_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message)
                }
            }
        };
        // Nothing of it remains that the supervisor could forget.
        self.containers.remove(container_id);
        self.end(now, &key, Some(report), None, effects);
    }
}
