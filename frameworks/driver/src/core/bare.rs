//! A framework that decides everything by itself, with the driver's promises below it.
//!
//! It records each task before its launch leaves and forgets it when its end is acknowledged, so
//! that after a restart every living task is asked for, and a task that nobody knows is killed.

use super::boundary::{ConnectionId, Effect, Notice};
use super::demand::Want;
use super::driver::{Driver, Signal};
use super::options::Options;
use super::record::{self, Record, RecordError};
use proto::scheduler::{Event, StateAsk};
use proto::{OfferId, Reason, Source, TaskId, TaskInfo, TaskState, TaskStatus, Time};
use std::sync::Arc;
use std::time::Duration;

/// What the framework decides.
#[derive(Clone, Debug)]
pub enum Order {
    /// Launch tasks with offers of one agent; what remains is refused for so long.
    Launch {
        /// The offers.
        offers: Vec<OfferId>,
        /// The tasks.
        tasks: Vec<TaskInfo>,
        /// For what remains.
        refuse: Duration,
    },
    /// Give offers back; they are refused for so long.
    Decline {
        /// The offers.
        offers: Vec<OfferId>,
        /// For what they hold.
        refuse: Duration,
    },
    /// Kill a task, again and again until it has ended.
    Kill {
        /// The task.
        task: TaskId,
        /// Between TERM and KILL, in place of what the task says.
        grace: Option<Duration>,
    },
    /// An update is safe with the framework.
    Acknowledge(Box<TaskStatus>),
    /// What is wanted from now on.
    Want(Want),
    /// Read or write what the masters keep for the framework.
    State {
        /// Comes back with what became of it.
        request: u64,
        /// What is asked for.
        ask: StateAsk,
    },
    /// End the framework: its tasks are killed and its id is used up.
    Teardown,
}

/// See the module.
#[derive(Debug)]
pub struct Bare {
    driver: Driver,
}

impl Bare {
    /// The framework whose records these are; without any, a new one.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn recover(
        options: Options,
        seed: u64,
        stored: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RecordError> {
        let (mut framework_id, mut living) = (None, Vec::new());
        for (key, value) in stored {
            match record::read(&key, &value)? {
                Record::Framework(id) => framework_id = Some(id),
                Record::Task { task, agent } => living.push((task, agent)),
                Record::NextGroup(_)
                | Record::Group { .. }
                | Record::Standing { .. }
                | Record::Forgotten(_)
                | Record::Unit { .. }
                | Record::Attempt { .. }
                | Record::Host { .. } => {}
            }
        }
        Ok(Self { driver: Driver::new(options, seed, framework_id, living) })
    }

    /// The driver below.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<Time> {
        self.driver.deadline()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let signals = self.driver.tick(now, effects);
        self.pass_on(signals, effects);
    }

    /// The connection is open.
    pub fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>) {
        self.driver.connected(now, connection, effects);
    }

    /// The connection could not be opened, or it broke.
    pub fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        let signals = self.driver.closed(now, connection, leader);
        self.pass_on(signals, effects);
    }

    /// An event from the master.
    pub fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: Event,
        effects: &mut Vec<Effect>,
    ) {
        let signals = self.driver.event(now, connection, event, effects);
        self.pass_on(signals, effects);
    }

    /// Does what the framework decided.
    pub fn order(&mut self, now: Time, order: Order, effects: &mut Vec<Effect>) {
        match order {
            Order::Launch { offers, tasks, refuse } => {
                self.launch(now, offers, tasks, refuse, effects);
            }
            Order::Decline { offers, refuse } => self.driver.decline(offers, refuse, effects),
            Order::Kill { task, grace } => self.driver.kill(now, &task, grace, effects),
            Order::Acknowledge(status) => self.acknowledge(*status, effects),
            Order::Want(want) => self.driver.set_want(now, want, effects),
            Order::State { request, ask } => self.driver.ask_state(request, ask, effects),
            Order::Teardown => {
                let writes = self.driver.teardown(effects);
                effects.push(Effect::Persist(writes));
            }
        }
    }

    fn launch(
        &mut self,
        now: Time,
        offers: Vec<OfferId>,
        tasks: Vec<TaskInfo>,
        refuse: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let writes = tasks.iter().map(|task| record::task(&task.task_id, &task.agent_id));
        let writes: Vec<_> = writes.collect();
        let ids: Vec<(TaskId, _)> =
            tasks.iter().map(|task| (task.task_id.clone(), task.agent_id.clone())).collect();
        let mut calls = Vec::new();
        if self.driver.launch(offers, tasks, refuse, &mut calls) {
            effects.push(Effect::Persist(writes));
            effects.append(&mut calls);
            return;
        }
        // An offer is gone: each task has its end all the same, as the master would have said.
        for (task, agent) in ids {
            let mut status = TaskStatus::new(task, TaskState::Dropped, Source::Master, now);
            status.reason = Some(Reason::InvalidOffers);
            status.message = Some("an offer was no longer valid".into());
            status.agent_id = Some(agent);
            let signal = Box::new(Signal::Update(Box::new(status)));
            effects.push(Effect::Notice(Notice::Signal(signal)));
        }
    }

    fn acknowledge(&mut self, status: TaskStatus, effects: &mut Vec<Effect>) {
        let TaskStatus { task_id, agent_id, uuid, state, .. } = status;
        if is_over(state) && self.driver.agent_of(&task_id).is_some() {
            effects.push(Effect::Persist(vec![record::no_task(&task_id)]));
            self.driver.ended(&task_id);
        }
        self.driver.acknowledge(task_id, agent_id, uuid, effects);
    }

    fn pass_on(&mut self, signals: Vec<Signal>, effects: &mut Vec<Effect>) {
        for signal in signals {
            if let Signal::Update(status) = &signal
                && self.driver.agent_of(&status.task_id).is_none()
            {
                self.stray((**status).clone(), effects);
                continue;
            }
            effects.push(Effect::Notice(Notice::Signal(Box::new(signal))));
        }
    }

    /// A task that is not recorded: it is killed if it lives, and nobody waits for its updates.
    fn stray(&mut self, status: TaskStatus, effects: &mut Vec<Effect>) {
        let TaskStatus { task_id, agent_id, uuid, state, .. } = status;
        if !is_over(state) && state != TaskState::Killing && state != TaskState::Unreachable {
            self.driver.kill_stray(task_id.clone(), agent_id.clone(), effects);
            effects.push(Effect::Notice(Notice::Stray(task_id.clone())));
        }
        self.driver.acknowledge(task_id, agent_id, uuid, effects);
    }
}

/// Whether a task in this state is over for its framework. What the master never heard of is.
fn is_over(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::Unknown
}

#[cfg(test)]
mod tests;
