//! Executors that are to end, tasks of executors that are to be killed, and waiting that is over.

use super::Wait;
use crate::effect::{Effect, Note};
use crate::state::{Agent, KillCause, Phase, TaskKey};
use crate::status_updates::Report;
use proto::executor::Event;
use proto::{ContainerId, ExecutorId, FrameworkId, Reason, TaskState, Time};
use std::sync::Arc;
use std::time::Duration;

impl Agent {
    /// Its framework wants an executor gone, or a group.
    pub(crate) fn shutdown_executor(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(container_id) = self.executor_container(framework_id, executor_id).cloned() {
            self.shut_down(now, &container_id, effects);
        }
        let group = (framework_id.clone(), executor_id.clone());
        self.kill_group(now, &group, (KillCause::Requested, None), effects);
    }

    /// Asks an executor to end; after its grace it is ended. One that does not hear is ended by
    /// signals.
    pub(crate) fn shut_down(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        let default = self.options.executor_shutdown_grace;
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        if executor.phase == Phase::Ended || std::mem::replace(&mut executor.ending, true) {
            return;
        }
        let grace = executor.info.shutdown_grace().ok().flatten().unwrap_or(default);
        if executor.stream.is_some() {
            self.tell_executor(container_id, Event::Shutdown, effects);
            self.wait_for(container_id, Some((now + grace, Wait::Shutdown)));
        } else {
            self.kill_executor(now, container_id, grace, effects);
        }
    }

    /// Ends all executors of a framework, or of all frameworks.
    pub(crate) fn shut_down_all(
        &mut self,
        now: Time,
        framework_id: Option<&FrameworkId>,
        effects: &mut Vec<Effect>,
    ) {
        let own = |executor: &&super::Executor| {
            framework_id.is_none_or(|id| *id == executor.framework_id)
        };
        let all = self.executors.iter().filter(|(_, executor)| own(executor));
        let all: Vec<ContainerId> = all.map(|(id, _)| id.clone()).collect();
        for container_id in all {
            match framework_id {
                Some(_) => self.shut_down(now, &container_id, effects),
                None => self.destroy_executor(now, &container_id, effects),
            }
        }
    }

    /// Ends an executor at once.
    fn destroy_executor(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        if executor.phase != Phase::Ended {
            executor.ending = true;
            self.kill_executor(now, container_id, Duration::ZERO, effects);
        }
    }

    /// What an executor was waited for has not come.
    pub(crate) fn executor_due(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(executor) = self.executors.get(container_id) else { return };
        let Some((_, wait)) = executor.waits else { return };
        let framework = self.frameworks.get(&executor.framework_id);
        let gone = framework.map_or(TaskState::Gone, |f| f.word(TaskState::Gone));
        let said = |text: &str| -> Arc<str> { format!("Executor {text}").into() };
        let doom = match wait {
            Wait::Registration => Some((
                TaskState::Failed,
                Reason::ExecutorRegistrationTimeout,
                said("did not subscribe within its time"),
            )),
            Wait::Reregistration => Some((
                gone,
                Reason::ExecutorReregistrationTimeout,
                said("did not subscribe again within its time after the agent was started anew"),
            )),
            Wait::Shutdown => None,
            Wait::Death => return self.executor_outlived_its_kill(now, container_id, effects),
        };
        if let (Some(executor), Some(doom)) = (self.executors.get_mut(container_id), doom) {
            executor.doom = Some(doom);
        }
        self.destroy_executor(now, container_id, effects);
    }

    /// A task of an executor is to be killed: the executor's business, if it has heard of the task.
    pub(crate) fn kill_by_executor(
        &mut self,
        now: Time,
        key: &TaskKey,
        container_id: &ContainerId,
        (cause, grace): (KillCause, Option<Duration>),
        effects: &mut Vec<Effect>,
    ) {
        let has_heard = self.executors.get(container_id).is_some_and(|e| e.has_heard);
        let Some(task) = self.task_mut(key) else { return };
        task.doom(cause);
        if has_heard {
            let event = Event::Kill { task_id: key.1.clone(), grace };
            self.tell_executor(container_id, event, effects);
            return;
        }
        let (reason, message) = match cause {
            KillCause::Drained => {
                (Reason::AgentDraining, "Killed before it was launched: the agent is drained")
            }
            KillCause::Requested
            | KillCause::CompletionTime
            | KillCause::Unhealthy
            | KillCause::SupervisorLost
            | KillCause::Group
            | KillCause::Abandoned => {
                (Reason::TaskKilledDuringLaunch, "Killed before it was launched")
            }
        };
        let report = Report::of_agent(TaskState::Killed, reason, message);
        self.end(now, key, Some(report), None, effects);
        self.resize(container_id, effects);
        let executor = self.executors.get(container_id);
        if executor.is_some_and(|executor| self.living(executor).next().is_none()) {
            // It would come to find nothing to do.
            self.shut_down(now, container_id, effects);
        }
    }

    /// Bytes of a framework for its executor.
    pub(crate) fn message_to_executor(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        data: Arc<[u8]>,
        effects: &mut Vec<Effect>,
    ) {
        let container_id = self.executor_container(framework_id, executor_id).cloned();
        match container_id.filter(|id| self.is_subscribed(id)) {
            Some(container_id) => self.tell_executor(&container_id, Event::Message(data), effects),
            None => {
                let message = format!("a message for executor {executor_id}, which does not hear");
                effects.push(Effect::Note(Note::Ignored { message: message.into() }));
            }
        }
    }
}
