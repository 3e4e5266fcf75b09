//! Status updates: for each task a queue, delivered at least once and in order.
//!
//! One update of a task is under way at a time; it is in the checkpoint before it is sent, sent
//! again with growing pauses, and again on each new stream, until its acknowledgement comes. Then
//! the next one follows at once. An acknowledgement of anything else is ignored.

use crate::effect::{CheckpointOp, Effect};
use crate::input::UpdatesRecord;
use crate::random::update_uuid;
use crate::state::{Agent, Phase, Task, TaskKey, Timer};
use proto::agent_link::AgentCall;
use proto::{
    ExecutorId, FrameworkId, Reason, Source, StatusUuid, TaskOutcome, TaskState, TaskStatus, Time,
    Transition,
};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The update queue of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// Not acknowledged, oldest first.
    pub(crate) pending: VecDeque<Arc<TaskStatus>>,
    /// Of the last updates of a custom executor, newest last: it repeats those of which it did not
    /// hear that they are on record.
    pub(crate) recent: VecDeque<StatusUuid>,
    /// Set while the oldest is under way on the current stream.
    pub(crate) in_flight: Option<InFlight>,
}

/// Updates of a custom executor that are known again once they are acknowledged.
pub(crate) const RECENT: usize = 16;

/// The delivery of a queue's oldest update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    /// When it is sent again.
    pub(crate) retry_at: Time,
    /// The pause after that.
    pub(crate) pause: Duration,
}

/// What an update says, before it has a place in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) state: TaskState,
    pub(crate) source: Source,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) outcome: Option<TaskOutcome>,
}

impl Report {
    /// A report of the agent itself.
    pub(crate) fn of_agent(state: TaskState, reason: Reason, message: impl Into<Arc<str>>) -> Self {
        Self {
            state,
            source: Source::Agent,
            reason: Some(reason),
            message: Some(message.into()),
            outcome: None,
        }
    }

    /// A report in the place of a command's executor.
    pub(crate) fn of_command(state: TaskState) -> Self {
        Self { state, source: Source::Executor, reason: None, message: None, outcome: None }
    }
}

/// Whether an update tells what is seen of a task whose state is as it was, and nothing else.
pub(crate) fn is_sight(status: &TaskStatus) -> bool {
    let told = [
        Reason::TaskCheckStatusUpdated,
        Reason::TaskHealthCheckStatusUpdated,
        Reason::TaskUnkillable,
    ];
    !status.state.is_terminal() && status.reason.is_some_and(|reason| told.contains(&reason))
}

/// Each kind occurs at most once in the life of a container.
fn kind(state: TaskState) -> u8 {
    if state.is_terminal() { 0 } else { 1 + state as u8 }
}

impl Agent {
    /// Queues an update of a task, checkpoints the queue, and sends what can be sent.
    pub(crate) fn report(
        &mut self,
        now: Time,
        key: &TaskKey,
        report: Report,
        effects: &mut Vec<Effect>,
    ) {
        let uuid = match self.task(key) {
            None => return,
            Some(task) if task.is_abandoned() => return,
            Some(task) if task.state.transition(report.state) != Transition::Advance => return,
            // The container of a custom executor is that of all its tasks.
            Some(task) if task.is_employed() => None,
            Some(task) => task.container_id().map(|id| update_uuid(id, kind(report.state))),
        };
        let uuid = uuid.unwrap_or_else(|| self.random.uuid());
        self.count_end(report.state);
        self.queue(now, key, report, uuid, effects);
    }

    /// Queues an update of a task whose state is as it was. One that waits behind the one that is
    /// under way, and is nothing but that, is out of date: so a task that is seen otherwise each
    /// time fills no queue while nobody takes its updates.
    pub(crate) fn report_again(
        &mut self,
        now: Time,
        key: &TaskKey,
        report: Report,
        effects: &mut Vec<Effect>,
    ) {
        let uuid = self.random.uuid();
        let Some(task) = self.task_mut(key).filter(|task| !task.is_abandoned()) else { return };
        let pending = &mut task.stream.pending;
        if pending.len() > 1 && pending.back().is_some_and(|newest| is_sight(newest)) {
            pending.pop_back();
        }
        self.queue(now, key, report, uuid, effects);
    }

    fn queue(
        &mut self,
        now: Time,
        key: &TaskKey,
        report: Report,
        uuid: StatusUuid,
        effects: &mut Vec<Effect>,
    ) {
        let agent_id = self.identity.as_ref().map(|identity| identity.agent_id.clone());
        let address = self.task(key).and_then(|task| self.address_of(task, report.state));
        let Some(task) = self.task_mut(key) else { return };
        let watch = task.watch.as_deref();
        let healthy = watch.and_then(|watch| match report.state.is_terminal() {
            true => watch.doomed.then_some(false),
            false => watch.healthy,
        });
        let check_status = watch.and_then(|watch| watch.status);
        let own =
            || ExecutorId::new(key.1.as_str()).ok().filter(|_| report.source == Source::Executor);
        let status = TaskStatus {
            reason: report.reason,
            message: report.message,
            agent_id,
            executor_id: task.executor_id().cloned().or_else(own),
            uuid: Some(uuid),
            container_id: task.container_id().cloned(),
            address,
            outcome: report.outcome,
            healthy,
            check_status,
            ..TaskStatus::new(key.1.clone(), report.state, report.source, now)
        };
        self.queue_status(now, key, status, effects);
    }

    /// Where a task is reached that runs with this update, or did before it: at an address of its own
    /// or of its executor, or at its host's.
    fn address_of(&self, task: &Task, next: TaskState) -> Option<Ipv4Addr> {
        if task.state == TaskState::Staging && next != TaskState::Running {
            return None;
        }
        let launched = task.launched.as_ref()?;
        let executor = self.executors.get(&launched.container_id);
        let own = launched.address.or_else(|| executor?.address);
        own.or(self.options.address)
    }

    /// Queues an update as it is.
    pub(crate) fn queue_status(
        &mut self,
        now: Time,
        key: &TaskKey,
        status: TaskStatus,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task_mut(key) else { return };
        task.state = status.state;
        task.stream.pending.push_back(Arc::new(status));
        effects.push(Effect::Persist(CheckpointOp::PutUpdates(record(key, task))));
        self.send_next(now, key, effects);
    }

    /// Sends the oldest update of a task unless it is under way already.
    pub(crate) fn send_next(&mut self, now: Time, key: &TaskKey, effects: &mut Vec<Effect>) {
        if self.link.is_registered() && self.task(key).is_some_and(|t| t.stream.in_flight.is_none())
        {
            let pause = self.options.update_retry;
            self.send(now, key, pause, effects);
        }
    }

    fn send(&mut self, now: Time, key: &TaskKey, pause: Duration, effects: &mut Vec<Effect>) {
        let link = self.link.number();
        let longest = self.options.update_retry_max;
        let Some(task) = self.task_mut(key) else { return };
        let Some(status) = task.stream.pending.front() else { return };
        effects.push(Effect::ToMaster {
            link,
            call: AgentCall::Update {
                framework_id: key.0.clone(),
                status: Box::new(TaskStatus::clone(status)),
                latest_state: task.state,
            },
        });
        // A pause of nothing would never end.
        let pause = pause.max(Duration::from_millis(1));
        let retry_at = now + pause;
        let again = task.stream.in_flight.is_some();
        task.stream.in_flight =
            Some(InFlight { retry_at, pause: pause.saturating_mul(2).min(longest) });
        self.timers.insert((retry_at, Timer::Retry, key.0.clone(), key.1.clone()));
        match again {
            true => self.counters.updates_resent += 1,
            false => self.counters.updates_sent += 1,
        }
    }

    /// The pause after an update is over without an acknowledgement.
    pub(crate) fn retry(&mut self, now: Time, key: &TaskKey, effects: &mut Vec<Effect>) {
        let in_flight = self.task(key).and_then(|task| task.stream.in_flight);
        if let Some(in_flight) = in_flight {
            self.send(now, key, in_flight.pause, effects);
        }
    }

    /// Nothing is under way any more: the stream to the master is gone.
    pub(crate) fn stop_sending(&mut self) {
        for framework in self.frameworks.values_mut() {
            for task in framework.tasks.values_mut() {
                task.stream.in_flight = None;
            }
        }
        self.timers.retain(|(_, timer, _, _)| *timer != Timer::Retry);
    }

    /// Sends the oldest update of each task: a new stream to the master is there.
    pub(crate) fn send_all(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let waiting: Vec<TaskKey> = self
            .frameworks
            .iter()
            .flat_map(|(id, framework)| framework.tasks.iter().map(move |task| (id, task)))
            .filter(|(_, (_, task))| !task.stream.pending.is_empty())
            .map(|(id, (task_id, _))| (id.clone(), task_id.clone()))
            .collect();
        for key in &waiting {
            self.send_next(now, key, effects);
        }
    }

    /// Sends the oldest update of each task of a framework anew: its scheduler came back, and what
    /// was under way to the one before is lost. Waiting for the retry would hold resources idle.
    pub(crate) fn resend(&mut self, now: Time, id: &FrameworkId, effects: &mut Vec<Effect>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let waiting: Vec<TaskKey> = framework
            .tasks
            .iter()
            .filter(|(_, task)| !task.stream.pending.is_empty())
            .map(|(task_id, _)| (id.clone(), task_id.clone()))
            .collect();
        for key in &waiting {
            self.cancel_retry(key);
            self.send_next(now, key, effects);
        }
    }

    /// The framework has an update.
    pub(crate) fn acknowledge(
        &mut self,
        now: Time,
        key: &TaskKey,
        uuid: StatusUuid,
        effects: &mut Vec<Effect>,
    ) {
        let expected = self
            .task(key)
            .and_then(|task| task.stream.pending.front())
            .is_some_and(|status| status.uuid == Some(uuid));
        if !expected {
            self.counters.acknowledgements_ignored += 1;
            return;
        }
        self.counters.updates_acknowledged += 1;
        self.cancel_retry(key);
        let Some(task) = self.task_mut(key) else { return };
        task.stream.pending.pop_front();
        if task.stream.pending.is_empty() && task.phase == Phase::Ended {
            self.complete(key, effects);
        } else {
            effects.push(Effect::Record(CheckpointOp::PutUpdates(record(key, task))));
            self.send_next(now, key, effects);
        }
    }

    /// Forgets that the oldest update of a task is under way.
    pub(crate) fn cancel_retry(&mut self, key: &TaskKey) {
        let Some(task) = self.task_mut(key) else { return };
        if let Some(in_flight) = task.stream.in_flight.take() {
            self.timers.remove(&(in_flight.retry_at, Timer::Retry, key.0.clone(), key.1.clone()));
        }
    }

    /// How many updates wait for their acknowledgement.
    pub fn pending_updates(&self) -> usize {
        let tasks = self.frameworks.values().flat_map(|framework| framework.tasks.values());
        tasks.map(|task| task.stream.pending.len()).sum()
    }

    pub(crate) fn count_end(&mut self, state: TaskState) {
        match state {
            TaskState::Finished => self.counters.finished += 1,
            TaskState::Failed => self.counters.failed += 1,
            TaskState::Killed => self.counters.killed += 1,
            TaskState::Lost
            | TaskState::Error
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator => self.counters.lost += 1,
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Unreachable
            | TaskState::Unknown => {}
        }
    }
}

/// The checkpoint record of a task's queue.
pub(crate) fn record(key: &TaskKey, task: &Task) -> UpdatesRecord {
    UpdatesRecord {
        framework_id: key.0.clone(),
        task_id: key.1.clone(),
        container_id: task.container_id().cloned(),
        state: task.state,
        pending: task.stream.pending.iter().cloned().collect(),
        address: task.launched.as_ref().and_then(|launched| launched.address),
        seen: task.watch.as_ref().map(|watch| watch.record()),
        recent: task.stream.recent.iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests;
