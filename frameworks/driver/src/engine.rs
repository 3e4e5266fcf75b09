//! The engines at work: groups of units, each unit run to its end or kept running.
//!
//! A handle that can be cloned and asked from anywhere; what it promises is durable when it
//! answers. One loop owns the core.

use crate::core::{
    Answer, Attempt, ConnectionId, Effect, FreeAgent, GroupId, GroupSpec, Input, JournalError,
    Notice, Options, Prospect, Refusal, Room, Scheduler, attempts_prefix, framework_record,
    read_attempt, read_last_attempt, unit_record_key,
};
use crate::framework::FORMAT;
use crate::state::StateStore;
use crate::takeover::take_over;
use crate::turn::keeper::{Copy, Keeper, Replica};
use crate::turn::{Core, Loop, RunError, Stored, directory, read_all};
use clock::Clock;
use proto::scheduler::{Event as MasterEvent, StateAsk, StateFence, StateOutcome};
use proto::{FrameworkId, Time};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use store::{Storage, Store};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Notices that a slow watcher may lag behind before it loses some.
const NOTICES: usize = 16 * 1024;

type Ask = Box<dyn FnOnce(u64) -> Input + Send>;
type Read = Box<dyn FnOnce(&mut Scheduler, Time) + Send>;

enum Order {
    Ask(Ask, oneshot::Sender<Answer>),
    Read(Read),
    State(StateAsk, oneshot::Sender<StateOutcome>),
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It is refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The framework has ended; its task says why.
    #[error("the framework has ended")]
    Ended,
}

/// A handle on a running framework of groups.
#[derive(Clone)]
pub struct Engine {
    orders: mpsc::UnboundedSender<Order>,
    notices: broadcast::Sender<Notice>,
    records: Reading,
}

/// Where records are read again.
#[derive(Clone)]
enum Reading {
    Directory(Arc<Store>),
    Copy(Copy),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the records in `dir` (of a framework of this `kind`), takes up all work that is
    /// recorded there, and starts. The task ends when the last handle is dropped, when the master
    /// ends the framework, or when the records cannot be written.
    ///
    /// # Errors
    /// When the records cannot be opened or read.
    pub async fn start(
        options: Options,
        dir: &Path,
        kind: &'static str,
    ) -> Result<(Self, JoinHandle<Result<(), RunError>>), RunError> {
        let dir = dir.to_owned();
        let clock = Clock::start();
        let opened = tokio::task::spawn_blocking(move || {
            let storage = Arc::new(Store::open(&dir, store::Options::new(kind, FORMAT))?);
            let records = read_all(&*storage)?;
            let scheduler = Scheduler::recover(options, clock.now().as_nanos(), records)
                .map_err(|error| RunError::Record(error.to_string()))?;
            Ok::<_, RunError>((storage, scheduler))
        });
        let (storage, scheduler) = opened.await.map_err(|_| RunError::Ended)??;
        let records = Reading::Directory(Arc::clone(&storage));
        Self::run(scheduler, clock, directory(storage)?, records)
    }

    /// Takes the framework with this id over, whatever machine it ran on before, and goes on with
    /// all that the masters keep of it: its records are there, and nowhere else. What it answers
    /// is durable on a majority of masters. An instance that still runs elsewhere ends, and
    /// nothing that it acknowledged is lost.
    ///
    /// It waits for a leading master as long as it takes. While none leads, nothing is answered
    /// that needs a record; tasks run on. The id and its records go when the framework is torn
    /// down or nobody comes back within its failover timeout.
    ///
    /// The records may take [`Scheduler::ROOM_BYTES`]: what does not fit is refused when it is
    /// submitted, and the ends of what was taken on always fit.
    ///
    /// # Errors
    /// When what is kept there cannot be read, or the masters refuse the framework.
    pub async fn start_at_masters(
        options: Options,
        id: &FrameworkId,
    ) -> Result<(Self, JoinHandle<Result<(), RunError>>), RunError> {
        let (journal, records) = take_over(options.clone(), id).await?;
        let clock = Clock::start();
        let stored = records.clone().into_iter().chain([framework_record(id)]);
        let scheduler = Scheduler::recover(options, clock.now().as_nanos(), stored)
            .map_err(|error| RunError::Kept(JournalError::of_record(&error)))?;
        let copy = Copy::new(records);
        let keeper = Keeper::Masters(Box::new(Replica::new(journal, copy.clone())));
        Self::run(scheduler, clock, keeper, Reading::Copy(copy))
    }

    fn run(
        scheduler: Scheduler,
        clock: Clock,
        keeper: Keeper,
        records: Reading,
    ) -> Result<(Self, JoinHandle<Result<(), RunError>>), RunError> {
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (notices, _) = broadcast::channel(NOTICES);
        let core = EngineCore {
            scheduler,
            answers: BTreeMap::new(),
            states: BTreeMap::new(),
            next_request: 0,
            notices: notices.clone(),
        };
        let task = Loop::new(core, clock, keeper, orders_out).start()?;
        Ok((Self { orders, notices, records }, task))
    }

    async fn ask(
        &self,
        ask: impl FnOnce(u64) -> Input + Send + 'static,
    ) -> Result<Answer, AskError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Ask(Box::new(ask), reply)).map_err(|_| AskError::Ended)?;
        match answer.await {
            Ok(Answer::Refused(refusal)) => Err(AskError::Refused(refusal)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(AskError::Ended),
        }
    }

    /// Takes a group on. It is durable when this returns. With the token of a group that was
    /// taken on before, that group's id is returned and nothing changes.
    ///
    /// # Errors
    /// When the group is refused.
    pub async fn submit(&self, spec: GroupSpec) -> Result<GroupId, AskError> {
        let spec = Box::new(spec);
        match self.ask(move |request| Input::Submit { request, spec }).await? {
            Answer::Submitted(id) | Answer::AlreadySubmitted(id) => Ok(id),
            Answer::Done | Answer::Refused(_) => Err(AskError::Ended),
        }
    }

    /// Ends a group, or one unit of it; a replica is replaced.
    ///
    /// # Errors
    /// When there is none such.
    pub async fn kill(&self, group: GroupId, index: Option<u32>) -> Result<(), AskError> {
        self.ask(move |request| Input::Kill { request, group, index }).await.map(|_| ())
    }

    /// Sets how many replicas a group keeps.
    ///
    /// # Errors
    /// When it is no living group of replicas.
    pub async fn scale(&self, group: GroupId, count: u32) -> Result<(), AskError> {
        self.ask(move |request| Input::Scale { request, group, count }).await.map(|_| ())
    }

    /// Forgets an ended group and all that is recorded of it.
    ///
    /// # Errors
    /// When there is none such, or it has not ended.
    pub async fn forget(&self, group: GroupId) -> Result<(), AskError> {
        self.ask(move |request| Input::Forget { request, group }).await.map(|_| ())
    }

    /// Looks at the scheduler as it is now, with the time. The look holds up all work: be quick.
    ///
    /// # Errors
    /// When the framework has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Scheduler, Time) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        self.look(move |scheduler, now| look(scheduler, now)).await
    }

    /// What would become of a waiting unit now, were all of these agents on offer: a trial, which
    /// changes nothing. `None` if the unit does not wait for a place. It holds up all work for the
    /// time that it takes to look at them.
    ///
    /// # Errors
    /// When the framework has ended.
    pub async fn prospect(
        &self,
        group: GroupId,
        index: u32,
        agents: Arc<[FreeAgent]>,
    ) -> Result<Option<Prospect>, AskError> {
        self.look(move |scheduler, now| scheduler.prospect(&group, index, now, &agents)).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Scheduler, Time) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |scheduler, now| {
            // Who asked may have gone.
            let _ = reply.send(look(scheduler, now));
        });
        self.orders.send(Order::Read(read)).map_err(|_| AskError::Ended)?;
        answer.await.map_err(|_| AskError::Ended)
    }

    /// What the masters keep for the framework. The handle does not keep the framework going.
    pub fn state(&self) -> StateStore {
        let orders = self.orders.downgrade();
        StateStore::new(move |ask, reply| {
            let orders = orders.upgrade();
            orders.is_some_and(|orders| orders.send(Order::State(ask, reply)).is_ok())
        })
    }

    /// What happens from now on; whatever a notice rests on is durable. A watcher that lags too
    /// far behind is told how much it lost.
    pub fn watch(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// All ended attempts of a unit, oldest first, from the records. Blocks on the disk.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn attempts(&self, group_number: u32, index: u32) -> Result<Vec<Attempt>, RunError> {
        let mut all = Vec::new();
        for (key, value) in self.records.under(&attempts_prefix(group_number, index))? {
            let attempt = read_attempt(&key, &value);
            all.push(attempt.map_err(|error| RunError::Record(error.to_string()))?);
        }
        let key = unit_record_key(group_number, index);
        let last = self.records.get(&key)?;
        if let Some(value) = last {
            let last = read_last_attempt(&key, &value);
            all.extend(last.map_err(|error| RunError::Record(error.to_string()))?);
        }
        Ok(all)
    }
}

impl Reading {
    /// The records whose keys begin so, in their order.
    fn under(&self, prefix: &[u8]) -> Result<Vec<Stored>, RunError> {
        match self {
            Self::Directory(store) => store
                .scan(prefix)
                .map(|record| match record {
                    Ok(record) => Ok((record.key, record.value)),
                    Err(damaged) => Err(RunError::Record(damaged.problem)),
                })
                .collect(),
            Self::Copy(copy) => {
                let records = copy.read();
                let under = records.range(prefix.to_vec()..);
                let under = under.take_while(|(key, _)| key.starts_with(prefix));
                Ok(under.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RunError> {
        match self {
            Self::Directory(store) => {
                store.get(key).map_err(|damaged| RunError::Record(damaged.problem))
            }
            Self::Copy(copy) => Ok(copy.read().get(key).cloned()),
        }
    }
}

struct EngineCore {
    scheduler: Scheduler,
    answers: BTreeMap<u64, oneshot::Sender<Answer>>,
    states: BTreeMap<u64, oneshot::Sender<StateOutcome>>,
    next_request: u64,
    notices: broadcast::Sender<Notice>,
}

impl Core for EngineCore {
    type Order = Order;

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.scheduler.step(now, Input::Tick, effects);
    }

    fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>) {
        self.scheduler.step(now, Input::Connected { connection }, effects);
    }

    fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        self.scheduler.step(now, Input::Closed { connection, leader }, effects);
    }

    fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: MasterEvent,
        effects: &mut Vec<Effect>,
    ) {
        self.scheduler.step(now, Input::Event { connection, event }, effects);
    }

    fn order(&mut self, now: Time, order: Order, effects: &mut Vec<Effect>) {
        match order {
            Order::Ask(ask, reply) => {
                let request = self.next_request;
                self.next_request += 1;
                self.answers.insert(request, reply);
                self.scheduler.step(now, ask(request), effects);
            }
            Order::Read(read) => read(&mut self.scheduler, now),
            Order::State(ask, reply) => {
                let request = self.next_request;
                self.next_request += 1;
                self.states.insert(request, reply);
                self.scheduler.step(now, Input::State { request, ask }, effects);
            }
        }
    }

    fn ask_state(&mut self, now: Time, request: u64, ask: StateAsk, effects: &mut Vec<Effect>) {
        self.scheduler.step(now, Input::State { request, ask }, effects);
    }

    fn kept(&mut self, fence: Option<StateFence>, room: Room) {
        self.scheduler.driver.set_fence(fence);
        self.scheduler.set_room(Some(room));
    }

    fn deadline(&self) -> Option<Time> {
        self.scheduler.deadline()
    }

    fn deliver(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            Effect::Answer { request, answer } => {
                if let Some(reply) = self.answers.remove(&request) {
                    // Who asked may have gone; what was done stays done.
                    let _ = reply.send(answer);
                }
            }
            Effect::State { request, outcome } => {
                if let Some(reply) = self.states.remove(&request) {
                    // Who asked may have gone; what was done stays done.
                    let _ = reply.send(outcome);
                }
            }
            Effect::Notice(Notice::Stopped(message)) => return Err(RunError::Stopped(message)),
            Effect::Notice(notice) => {
                if let Notice::Refused { call, code, message } = &notice {
                    tracing::warn!(%call, code, %message, "the master refused a call");
                }
                // Fails only when nobody watches.
                let _ = self.notices.send(notice);
            }
            Effect::Persist(_)
            | Effect::Connect { .. }
            | Effect::Disconnect { .. }
            | Effect::Send { .. } => {}
        }
        Ok(())
    }
}
