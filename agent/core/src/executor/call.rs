//! What an executor says: it subscribes, reports on its tasks, sends bytes to its framework.

use super::{ExecutorInput, Wait};
use crate::effect::Effect;
use crate::state::{Agent, Phase, TaskKey};
use crate::status_updates::RECENT;
use proto::agent_link::AgentCall;
use proto::executor::{Event, Subscribed, Update};
use proto::{
    AgentInfo, ContainerId, ExecutorInfo, FrameworkInfo, TaskId, TaskInfo, TaskState, Time,
    Transition,
};
use std::collections::BTreeSet;

impl Agent {
    pub(crate) fn executor_input(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        input: ExecutorInput,
        effects: &mut Vec<Effect>,
    ) {
        match input {
            ExecutorInput::Subscribed { stream, tasks, updates } => {
                let listed = tasks.into_iter().collect();
                self.executor_subscribed(now, container_id, stream, (listed, updates), effects);
            }
            ExecutorInput::Update(update) => {
                self.executor_update(now, container_id, *update, effects);
            }
            ExecutorInput::Message(data) => {
                let Some(executor) = self.executors.get(container_id) else { return };
                if self.is_registered() {
                    let framework_id = executor.framework_id.clone();
                    let executor_id = executor.info.executor_id.clone();
                    let call = AgentCall::Message { framework_id, executor_id, data };
                    effects.push(Effect::ToMaster { link: self.link.number(), call });
                }
            }
            ExecutorInput::Closed { stream } => {
                if let Some(executor) = self.executors.get_mut(container_id) {
                    executor.stream.take_if(|own| *own == stream);
                }
            }
        }
    }

    /// An executor opened a stream. It hears again of each task that it does not name and has
    /// never reported on, for it cannot have got that, and of each kill.
    fn executor_subscribed(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        stream: u64,
        (listed, updates): (BTreeSet<TaskId>, Vec<Update>),
        effects: &mut Vec<Effect>,
    ) {
        let agent = self.subscribed_agent();
        let executor = self.executors.get_mut(container_id).filter(|e| e.phase != Phase::Ended);
        let framework = executor.as_ref().and_then(|e| self.frameworks.get(&e.framework_id));
        let (Some(executor), Some(framework), Some(agent_info)) = (executor, framework, agent)
        else {
            let container_id = container_id.clone();
            effects.push(Effect::CloseExecutor { container_id, stream });
            return;
        };
        if let Some(stream) = executor.stream.replace(stream) {
            let container_id = container_id.clone();
            effects.push(Effect::CloseExecutor { container_id, stream });
        }
        executor.has_heard = true;
        let (framework_id, tasks) = (executor.framework_id.clone(), executor.tasks.clone());
        let (ending, waits) = (executor.ending, executor.waits);
        let framework_info = framework.info.as_deref().cloned();
        let framework_info =
            framework_info.unwrap_or_else(|| FrameworkInfo::new("", framework_id.as_str()));
        let event = Event::Subscribed(Box::new(Subscribed {
            executor_info: ExecutorInfo::clone(&executor.info),
            framework_info,
            agent_info,
            container_id: Some(container_id.clone()),
        }));
        let came = [Wait::Registration, Wait::Reregistration];
        if waits.is_some_and(|(_, wait)| came.contains(&wait)) {
            self.wait_for(container_id, None);
        }
        self.tell_executor(container_id, event, effects);
        for update in updates {
            self.executor_update(now, container_id, update, effects);
        }
        if ending {
            self.tell_executor(container_id, Event::Shutdown, effects);
            return;
        }
        for task_id in &tasks {
            self.catch_up(&(framework_id.clone(), task_id.clone()), container_id, &listed, effects);
        }
        for task_id in listed.into_iter().filter(|id| !tasks.contains(id)) {
            // Its end was told: nobody waits for it any more.
            self.tell_executor(container_id, Event::Kill { task_id, grace: None }, effects);
        }
    }

    fn subscribed_agent(&self) -> Option<AgentInfo> {
        let id = self.agent_id().cloned()?;
        Some(AgentInfo { id: Some(id), ..self.options.info.clone() })
    }

    /// Tells an executor what it missed of a task.
    fn catch_up(
        &self,
        key: &TaskKey,
        container_id: &ContainerId,
        listed: &BTreeSet<TaskId>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task(key).filter(|task| task.phase != Phase::Ended) else { return };
        let Some(launched) = &task.launched else { return };
        if task.state == TaskState::Staging && !listed.contains(&key.1) {
            let event = Event::Launch(Box::new(TaskInfo::clone(&launched.info)));
            self.tell_executor(container_id, event, effects);
        }
        if task.kill.is_some() {
            let event = Event::Kill { task_id: key.1.clone(), grace: None };
            self.tell_executor(container_id, event, effects);
        }
    }

    /// An executor reports on a task. It is told that this is on record, once it is; so is one that
    /// repeats itself, or speaks of a task that is over.
    fn executor_update(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        update: Update,
        effects: &mut Vec<Effect>,
    ) {
        let Some(executor) = self.executors.get(container_id) else { return };
        let executor_id = executor.info.executor_id.clone();
        let address = executor.address.or(self.options.address);
        let (uuid, mut status) = (update.uuid(), update.into_status());
        let key = (executor.framework_id.clone(), status.task_id.clone());
        let own = executor.tasks.contains(&key.1);
        let acknowledged = Event::Acknowledged { task_id: key.1.clone(), uuid };
        let most = self.options.executor_updates_max;
        let task = self.task_mut(&key).filter(|task| own && task.phase != Phase::Ended);
        if let Some(task) = task {
            let known = task.stream.recent.contains(&uuid)
                || task.stream.pending.iter().any(|pending| pending.uuid == Some(uuid));
            let stale = task.state.transition(status.state) == Transition::Stale;
            let crowded = task.stream.pending.len() >= most && !status.state.is_terminal();
            if !known && !stale && !crowded {
                task.stream.recent.push_back(uuid);
                if task.stream.recent.len() > RECENT {
                    task.stream.recent.pop_front();
                }
                if task.phase == Phase::Launching {
                    task.phase = Phase::Running;
                }
                let abandoned = task.is_abandoned();
                status.executor_id = Some(executor_id);
                status.agent_id = self.agent_id().cloned();
                status.container_id = Some(container_id.clone());
                // It may know better.
                status.address = status.address.or(address);
                let state = status.state;
                if state.is_terminal() {
                    self.end(now, &key, None, None, effects);
                }
                if !abandoned {
                    self.count_end(state);
                    self.queue_status(now, &key, status, effects);
                }
                if state.is_terminal() {
                    self.resize(container_id, effects);
                }
            }
        }
        self.tell_executor(container_id, acknowledged, effects);
    }
}
