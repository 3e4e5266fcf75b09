//! The end of a container, and what is said of it.

use crate::effect::{CheckpointOp, Effect};
use crate::input::{Exited, SandboxRecord};
use crate::state::{Agent, KillCause, Phase, Task, TaskKey, Timer};
use crate::status_updates::Report;
use proto::{ContainerId, Exit, LimitHit, Reason, TaskState, Time};
use std::sync::Arc;
use std::time::Duration;

impl Agent {
    pub(crate) fn container_exited(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        exited: Exited,
        effects: &mut Vec<Effect>,
    ) {
        if self.executors.contains_key(container_id) {
            self.executor_exited(now, container_id, exited, effects);
            return;
        }
        if self.strays.remove(container_id) {
            effects.push(Effect::Forget { container_id: container_id.clone() });
            return;
        }
        let Some(key) = self.key_of(container_id) else { return };
        let Some(task) = self.task(&key) else { return };
        if task.phase == Phase::Ended {
            return;
        }
        if task.phase == Phase::Launching {
            // Its answer was lost with a supervisor's connection: it did run.
            let sandbox = exited.sandbox.clone().unwrap_or_else(|| Arc::from(""));
            self.container_launched(now, container_id, (now, None), (sandbox, None), effects);
        }
        let report = self.task(&key).map(|task| end_report(task, &exited));
        self.end(now, &key, report, exited.sandbox, effects);
    }

    /// A task is over. Its resources are free; its last update is on its way; its sandbox waits
    /// for its removal. A task that nobody is to hear of is forgotten at once.
    pub(crate) fn end(
        &mut self,
        now: Time,
        key: &TaskKey,
        report: Option<Report>,
        sandbox: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        self.end_looking(key);
        let group = self.group_of(key);
        let Some(task) = self.task_mut(key) else { return };
        task.phase = Phase::Ended;
        let completion = task.completion.take().map(|at| (at, Timer::Completion));
        let death = task.death.take().map(|at| (at, Timer::Death));
        let abandoned = task.is_abandoned();
        let mut ended = None;
        if let Some(launched) = &mut task.launched {
            launched.sandbox = None;
            let held = std::mem::take(&mut launched.holds);
            ended = Some((launched.container_id.clone(), held.then(|| launched.info.clone())));
        }
        for (at, timer) in completion.into_iter().chain(death) {
            self.timers.remove(&(at, timer, key.0.clone(), key.1.clone()));
        }
        if let Some((container_id, held)) = ended {
            if let Some(info) = held {
                self.free.add(&crate::volumes::claim(&info.resources));
            }
            if let Some(path) = sandbox {
                let record = SandboxRecord {
                    container_id,
                    framework_id: key.0.clone(),
                    task_id: key.1.clone(),
                    path,
                    ended: now,
                };
                effects.push(Effect::Record(CheckpointOp::PutSandbox(record.clone())));
                self.sandboxes.insert(record);
            }
        }
        if let Some(report) = report {
            self.report(now, key, report, effects);
        }
        if let Some(group) = group {
            self.leave_group(now, key, &group, effects);
        }
        if abandoned {
            self.complete(key, effects);
        }
    }

    /// Nothing is left to do for an ended task: its records go, and the supervisor may forget it.
    pub(crate) fn complete(&mut self, key: &TaskKey, effects: &mut Vec<Effect>) {
        self.cancel_retry(key);
        let executor = self.executor_of(key);
        let Some(framework) = self.frameworks.get_mut(&key.0) else { return };
        let Some(task) = framework.tasks.remove(&key.1) else { return };
        // First the supervisor forgets, then the checkpoint: the other way round a crash in between
        // would leave a container without its history, and its life would be told once more.
        if let Some(launched) = task.launched
            && self.containers.remove(&launched.container_id).is_some()
        {
            effects.push(Effect::Forget { container_id: launched.container_id });
        }
        if let Some(container_id) = executor {
            self.executor_task_gone(&container_id, &key.1, effects);
        }
        effects.push(Effect::Record(CheckpointOp::DeleteTask {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
        }));
        self.forget_idle(&key.0, effects);
        self.left(effects);
    }

    /// Drops a framework that was shut down and has no task any more, or whose description is
    /// unknown; others are kept, up to a limit, because they will be back.
    pub(crate) fn forget_idle(
        &mut self,
        framework_id: &proto::FrameworkId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        if framework.is_busy() {
            return;
        }
        if framework.shutdown || framework.info.is_none() || self.leaving {
            if framework.recorded {
                let op = CheckpointOp::DeleteFramework(framework_id.clone());
                effects.push(Effect::Record(op));
            }
            self.frameworks.remove(framework_id);
        }
    }
}

/// What is said of a container that ended. A result that is not whole says so, however the command
/// ended.
fn end_report(task: &Task, exited: &Exited) -> Report {
    let mut report = how_it_ended(task, exited);
    if exited.lost_output > 0 {
        let said = report.message.as_deref().unwrap_or("Command ended");
        let lost = exited.lost_output;
        report.message =
            Some(format!("{said}; {lost} bytes of its output could not be stored").into());
    }
    report
}

fn how_it_ended(task: &Task, exited: &Exited) -> Report {
    if task.kill == Some(KillCause::SupervisorLost) {
        return supervisor_lost();
    }
    let mut report = Report::of_command(TaskState::Failed);
    report.outcome = Some(exited.outcome.clone());
    let longest = task.launched.as_ref().and_then(|l| l.info.max_completion_time);
    if let Some(limit) = &exited.outcome.limit {
        report.source = proto::Source::Agent;
        report.reason = Some(limit_reason(limit));
        report.message = Some(limit_message(limit, exited.victim.as_deref()).into());
        return report;
    }
    let Some(exit) = exited.outcome.exit else {
        report.source = proto::Source::Agent;
        report.reason = Some(Reason::ContainerLaunchFailed);
        report.message = Some("The command's exit status is unknown".into());
        return report;
    };
    if exited.kill_requested {
        // The cause is not in the checkpoint; how long the task ran tells as much.
        let wall_time = exited.outcome.usage.map_or(Duration::ZERO, |usage| usage.wall_time);
        if let Some(watch) = task.watch.as_ref().filter(|watch| watch.doomed) {
            report.reason = Some(Reason::TaskHealthCheckStatusUpdated);
            report.message = Some(watch.verdict().into());
            return report;
        }
        let too_long = match task.kill {
            Some(cause) => cause == KillCause::CompletionTime,
            None => longest.is_some_and(|longest| wall_time >= longest),
        };
        if too_long {
            let seconds = longest.unwrap_or(wall_time).as_secs_f64();
            report.source = proto::Source::Agent;
            report.reason = Some(Reason::MaxCompletionTimeReached);
            report.message =
                Some(format!("Command ran longer than its limit of {seconds} s").into());
        } else {
            report.state = TaskState::Killed;
            report.message = Some(exit_message(exit).into());
            if task.kill == Some(KillCause::Group) {
                let how = exit_message(exit);
                let text = format!("{how}: another task of its group did not finish");
                report.message = Some(text.into());
            }
            if task.kill == Some(KillCause::Drained) {
                report.source = proto::Source::Agent;
                report.reason = Some(Reason::AgentDraining);
            }
        }
        return report;
    }
    if exit == Exit::Code(0) {
        report.state = TaskState::Finished;
    }
    report.message = Some(exit_message(exit).into());
    report
}

pub(crate) fn supervisor_lost() -> Report {
    let message = "The process that supervised the task was lost, and its exit status with it";
    Report::of_agent(TaskState::Failed, Reason::SupervisorLost, message)
}

pub(crate) fn limit_reason(limit: &LimitHit) -> Reason {
    match &*limit.resource {
        "mem" => Reason::ContainerLimitationMemory,
        "disk" => Reason::ContainerLimitationDisk,
        _ => Reason::ContainerLimitation,
    }
}

pub(crate) fn limit_message(limit: &LimitHit, victim: Option<&str>) -> String {
    let megabytes = |bytes: u64| {
        let tenths = (bytes as f64 / 1_048_576.0 * 10.0).round() / 10.0;
        format!("{tenths} MB")
    };
    let mut message = match &*limit.resource {
        "mem" => format!(
            "Memory limit exceeded: used {} of {}",
            megabytes(limit.usage),
            megabytes(limit.limit)
        ),
        "disk" => format!(
            "Disk limit exceeded: used {} of {}",
            megabytes(limit.usage),
            megabytes(limit.limit)
        ),
        other => format!("Limit of {other} exceeded: used {} of {}", limit.usage, limit.limit),
    };
    if let Some(victim) = victim {
        message.push_str("; the kernel killed ");
        message.push_str(victim);
    }
    message
}

pub(crate) fn exit_message(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("Command exited with status {code}"),
        Exit::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("Command terminated with signal {name}"),
            None => format!("Command terminated with signal {signal}"),
        },
    }
}

/// What Linux and the shells call a signal.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        5 => "Trace/breakpoint trap",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        31 => "Bad system call",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
