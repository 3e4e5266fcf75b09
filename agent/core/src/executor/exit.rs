//! The start and the end of an executor, and what its end means to its tasks.

use super::Wait;
use crate::effect::{CheckpointOp, Effect};
use crate::input::{Exited, SandboxRecord};
use crate::state::{Agent, Phase, TaskKey};
use crate::status_updates::Report;
use crate::task::{exit_message, limit_message, limit_reason};
use proto::{ContainerId, Exit, Reason, TaskId, TaskState, Time};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What wait(2) would have said; -1 when that is not known.
fn wait_status(exited: &Exited) -> i32 {
    match exited.outcome.exit {
        Some(Exit::Code(code)) => code << 8,
        Some(Exit::Signal(signal)) => signal,
        None => -1,
    }
}

fn terminated(exited: &Exited) -> Report {
    let (reason, how) = match (&exited.outcome.limit, exited.outcome.exit) {
        (Some(limit), _) => (limit_reason(limit), limit_message(limit, exited.victim.as_deref())),
        (None, Some(exit)) => (Reason::ExecutorTerminated, exit_message(exit)),
        (None, None) => {
            (Reason::ExecutorTerminated, "The executor's exit status is unknown".to_owned())
        }
    };
    let how = how.replacen("Command", "Executor", 1);
    Report {
        outcome: Some(exited.outcome.clone()),
        ..Report::of_agent(TaskState::Failed, reason, how)
    }
}

impl Agent {
    /// The first process of an executor was executed: it has some time to subscribe.
    pub(crate) fn executor_launched(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        (sandbox, address): (Arc<str>, Option<Ipv4Addr>),
        effects: &mut Vec<Effect>,
    ) {
        let until = now + self.options.executor_registration_timeout;
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        if executor.phase != Phase::Launching {
            return;
        }
        executor.phase = Phase::Running;
        executor.sandbox = Some(sandbox);
        executor.address = address;
        if executor.stream.is_none() && executor.waits.is_none() && !executor.ending {
            self.wait_for(container_id, Some((until, Wait::Registration)));
        }
        self.resize(container_id, effects);
    }

    /// An executor could not be started, and nothing of it remains.
    pub(crate) fn executor_launch_failed(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        message: &str,
        effects: &mut Vec<Effect>,
    ) {
        let message = format!("Executor could not be started: {message}");
        let report = Report::of_agent(TaskState::Failed, Reason::ContainerLaunchFailed, message);
        self.executor_over(now, container_id, &report, (-1, None, false), effects);
    }

    /// An executor has ended, and its tasks with it.
    pub(crate) fn executor_exited(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        exited: Exited,
        effects: &mut Vec<Effect>,
    ) {
        let report = terminated(&exited);
        let status = wait_status(&exited);
        self.executor_over(now, container_id, &report, (status, exited.sandbox, true), effects);
    }

    /// The supervisor of an executor was lost, and the executor with it.
    pub(crate) fn executor_lost(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        report: &Report,
        effects: &mut Vec<Effect>,
    ) {
        let executor = self.executors.get_mut(container_id);
        let sandbox = executor.and_then(|executor| executor.sandbox.take());
        self.executor_over(now, container_id, report, (-1, sandbox, false), effects);
    }

    /// Ends an executor: what it held is free, its living tasks end with it, and the master hears
    /// of both. The supervisor, if it is `known` there, forgets it once no task of it is left.
    fn executor_over(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        report: &Report,
        (status, sandbox, known): (i32, Option<Arc<str>>, bool),
        effects: &mut Vec<Effect>,
    ) {
        self.wait_for(container_id, None);
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        if executor.phase == Phase::Ended {
            return;
        }
        executor.phase = Phase::Ended;
        if let Some(stream) = executor.stream.take() {
            let container_id = container_id.clone();
            effects.push(Effect::CloseExecutor { container_id, stream });
        }
        if std::mem::take(&mut executor.holds) {
            self.free.add(&executor.info.resources);
        }
        let doom = executor.doom.take().map(|(state, reason, message)| Report {
            outcome: report.outcome.clone(),
            ..Report::of_agent(state, reason, message)
        });
        let report = doom.as_ref().unwrap_or(report);
        let (framework_id, tasks) = (executor.framework_id.clone(), executor.tasks.clone());
        let executor_id = executor.info.executor_id.clone();
        if let Some(framework) = self.frameworks.get_mut(&framework_id)
            && framework.executors.get(&executor_id) == Some(container_id)
        {
            framework.executors.remove(&executor_id);
        }
        if let (Some(path), Ok(task_id)) = (sandbox, TaskId::new(executor_id.as_str())) {
            let (container_id, framework_id) = (container_id.clone(), framework_id.clone());
            let record = SandboxRecord { container_id, framework_id, task_id, path, ended: now };
            effects.push(Effect::Record(CheckpointOp::PutSandbox(record.clone())));
            self.sandboxes.insert(record);
        }
        if !known {
            self.executors.remove(container_id);
        }
        for task_id in tasks {
            let key: TaskKey = (framework_id.clone(), task_id);
            if self.task(&key).is_some_and(|task| task.phase != Phase::Ended) {
                self.end(now, &key, Some(report.clone()), None, effects);
            }
        }
        self.tell_executor_ended(&framework_id, &executor_id, Some(status), effects);
        self.forget_executor(container_id, effects);
        self.forget_idle(&framework_id, effects);
        self.left(effects);
    }

    /// An ended executor without tasks is forgotten; before, a crash would find tasks on record
    /// whose end is not, and an executor that nobody knows.
    fn forget_executor(&mut self, container_id: &ContainerId, effects: &mut Vec<Effect>) {
        let executor = self.executors.get(container_id);
        if executor.is_some_and(|e| e.phase == Phase::Ended && e.tasks.is_empty()) {
            self.executors.remove(container_id);
            effects.push(Effect::Forget { container_id: container_id.clone() });
        }
    }

    /// A task of an executor is forgotten.
    pub(crate) fn executor_task_gone(
        &mut self,
        container_id: &ContainerId,
        task_id: &TaskId,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(executor) = self.executors.get_mut(container_id) {
            executor.tasks.retain(|id| id != task_id);
            self.forget_executor(container_id, effects);
        }
    }
}
