//! The loop of every framework's shell: step all that has come, make the records of it durable
//! together, then let go of what waited behind them.
//!
//! It decides nothing. Effects leave in their order, and none before the records of its step and
//! of all steps before are durable; meanwhile the next inputs are stepped.

pub(crate) mod keeper;

use crate::connection::{Connection, Happening};
use crate::core::{ConnectionId, Effect, JournalError, Notice, Room, TAKEN_OVER};
use clock::Clock;
use grpc::ClientOptions;
use keeper::{Keeper, Replica};
use proto::Time;
use proto::scheduler::{CallBody, Event, StateAsk, StateFence};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::{CommitResult, GroupCommit, Pace, Storage, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A core that the loop can drive.
pub(crate) trait Core: Send + 'static {
    /// What its owner asks of it.
    type Order: Send + 'static;

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>);
    fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>);
    fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    );
    fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: Event,
        effects: &mut Vec<Effect>,
    );
    fn order(&mut self, now: Time, order: Self::Order, effects: &mut Vec<Effect>);
    fn deadline(&self) -> Option<Time>;
    /// Takes an effect that is for the owner: an answer or a notice. An error ends the loop.
    fn deliver(&mut self, effect: Effect) -> Result<(), RunError>;
    /// Asks the masters something of the framework's state; the answer comes as an effect.
    fn ask_state(&mut self, now: Time, request: u64, ask: StateAsk, effects: &mut Vec<Effect>);
    /// How things stand with records at the masters: what must hold for it to subscribe, and how
    /// much room they have.
    fn kept(&mut self, fence: Option<StateFence>, room: Room);
}

/// Why a framework ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while the framework ran.
    #[error("the framework's records cannot be written: {0}")]
    Commit(Arc<StoreError>),
    /// A record cannot be read.
    #[error(
        "the framework's records cannot be read: {0}; restore the directory from a copy, or move it away to start anew"
    )]
    Record(String),
    /// What the masters keep of it cannot be read.
    #[error(
        "what the masters keep of the framework cannot be read: {0}; start anew under another framework id, and tear this one down"
    )]
    Kept(#[from] JournalError),
    /// The masters do not even take the first record.
    #[error("the masters take no records of the framework: {0}")]
    NoRoom(Arc<str>),
    /// Another instance of it goes on.
    #[error(
        "another instance of this framework has taken over and goes on with all that was acknowledged, or the masters were recovered without their newest records (start it again then); this one ends"
    )]
    TakenOver,
    /// The system gives no thread.
    #[error("no thread for the framework")]
    Thread(#[source] std::io::Error),
    /// The master ended the framework.
    #[error("the master ended the framework: {0}")]
    Stopped(Arc<str>),
    /// The framework's loop has ended.
    #[error("the framework has ended")]
    Ended,
}

impl RunError {
    /// Whether it is another one's doing, so that starting again changes nothing: another instance,
    /// another process with the directory, or an operator who ended the framework.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::TakenOver | Self::Stopped(_) | Self::Store(_))
    }
}

/// Events that may wait for the loop.
const INBOX: usize = 16 * 1024;
/// Inputs stepped before their records are handed to the disk.
const TURN: usize = 1024;
/// Commits under way before the loop waits for the disk: one is being written, the next gathers
/// all that comes meanwhile.
const COMMITS: u64 = 2;
/// Events in a millisecond from which on turns wait for company: a task alone makes fewer.
const CROWD: u32 = 3;

pub(crate) struct Loop<C: Core> {
    core: C,
    clock: Clock,
    client: ClientOptions,
    connection: Option<Connection>,
    /// Whether a master was reached that may have the records.
    was_connected: bool,
    keeper: Keeper,
    events: mpsc::Receiver<(u64, Happening)>,
    events_in: mpsc::Sender<(u64, Happening)>,
    orders: mpsc::UnboundedReceiver<C::Order>,
    commits: mpsc::UnboundedReceiver<CommitResult>,
    commits_in: mpsc::UnboundedSender<CommitResult>,
    /// How many batches were handed in, and how many are durable.
    submitted: u64,
    durable: u64,
    pace: Pace,
    /// Effects with the batch that they wait for.
    held: VecDeque<(u64, Effect)>,
    /// Tasks of connections that say farewell.
    leaving: Vec<JoinHandle<()>>,
    ended: bool,
}

/// How long the last records may take to their masters when the owner has gone.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// A record as a core reads it: key and value.
pub(crate) type Stored = (Vec<u8>, Vec<u8>);

/// Reads all records of a framework.
pub(crate) fn read_all(storage: &dyn Storage) -> Result<Vec<Stored>, RunError> {
    storage
        .scan(&[])
        .map(|record| match record {
            Ok(record) => Ok((record.key, record.value)),
            Err(damaged) => {
                let key = damaged.key.unwrap_or_default();
                Err(RunError::Record(format!("'{}' {}", key.escape_ascii(), damaged.problem)))
            }
        })
        .collect()
}

/// The keeper of records in a directory.
pub(crate) fn directory(store: Arc<Store>) -> Result<Keeper, RunError> {
    let committer = GroupCommit::start(Arc::clone(&store) as Arc<dyn Storage>);
    Ok(Keeper::Directory(store, committer.map_err(RunError::Thread)?))
}

/// Whether an effect goes before the records of its turn when those are kept at the masters: what
/// makes the connection that they need, and what says that there will be none any more. None of
/// it promises anything that is not durable.
fn goes_first(effect: &Effect) -> bool {
    match effect {
        Effect::Connect { .. } | Effect::Disconnect { .. } | Effect::Notice(Notice::Stopped(_)) => {
            true
        }
        Effect::Send { call, .. } => {
            matches!(call.body, CallBody::Subscribe(_) | CallBody::State(_))
        }
        Effect::Persist(_) | Effect::Answer { .. } | Effect::Notice(_) | Effect::State { .. } => {
            false
        }
    }
}

impl<C: Core> Loop<C> {
    pub(crate) fn new(
        core: C,
        clock: Clock,
        keeper: Keeper,
        orders: mpsc::UnboundedReceiver<C::Order>,
    ) -> Self {
        let (events_in, events) = mpsc::channel(INBOX);
        let (commits_in, commits) = mpsc::unbounded_channel();
        Self {
            core,
            clock,
            client: ClientOptions::default(),
            connection: None,
            was_connected: false,
            keeper,
            events,
            events_in,
            orders,
            commits,
            commits_in,
            submitted: 0,
            durable: 0,
            pace: Pace::new(CROWD),
            held: VecDeque::new(),
            leaving: Vec::new(),
            ended: false,
        }
    }

    /// Runs on a thread of its own until the owner has gone or the store fails.
    ///
    /// Loop, connection and timers share that thread: what one hands to another needs no other
    /// thread to be woken, and what has come together is stepped and recorded together.
    pub(crate) fn start(self) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RunError::Thread)?;
        Ok(tokio::task::spawn_blocking(move || runtime.block_on(self.run())))
    }

    async fn run(mut self) -> Result<(), RunError> {
        let mut effects = Vec::new();
        let mut happenings = Vec::with_capacity(TURN);
        let mut orders = Vec::new();
        let mut last = None;
        while !self.ended || self.has_records_for_masters(&mut last) {
            self.wait(last, &mut happenings, &mut orders).await?;
            self.pace.note(happenings.len(), clock::moment());
            let now = self.clock.now();
            if let Keeper::Masters(replica) = &self.keeper {
                self.core.kept(replica.journal.fence(), replica.room());
            }
            for order in orders.drain(..) {
                self.core.order(now, order, &mut effects);
            }
            for (connection, happening) in happenings.drain(..) {
                match happening {
                    Happening::Connected => {
                        self.was_connected = true;
                        self.core.connected(now, connection, &mut effects);
                    }
                    Happening::Event(event) => {
                        self.core.event(now, connection, event, &mut effects);
                    }
                    Happening::Closed { leader } => {
                        self.core.closed(now, connection, leader, &mut effects);
                    }
                    // At the start that is the operator's mistake, and for the operator to see at
                    // once. Later it is the masters' trouble, which tasks should survive.
                    Happening::OtherCluster(error) if self.was_connected => {
                        tracing::error!("{error}");
                        self.core.closed(now, connection, None, &mut effects);
                    }
                    Happening::OtherCluster(error) => return Err(error.into()),
                }
            }
            if self.core.deadline().is_some_and(|deadline| deadline <= now) {
                self.core.tick(now, &mut effects);
            }
            self.perform(now, &mut effects)?;
            self.release()?;
        }
        self.finish().await
    }

    /// Waits for something to do and takes all that is there. In a crowd the next turn comes no
    /// sooner than its records may be committed.
    async fn wait(
        &mut self,
        last: Option<tokio::time::Instant>,
        happenings: &mut Vec<(u64, Happening)>,
        orders: &mut Vec<C::Order>,
    ) -> Result<(), RunError> {
        let deadline = self.core.deadline();
        let timer = deadline.map(|deadline| self.clock.instant(deadline));
        let pause = self.pace.pause(clock::moment()).map(tokio::time::Instant::from_std);
        let busy = pause.is_some() || self.disk_is_busy();
        let retry = match &self.keeper {
            Keeper::Masters(replica) => replica.retry_at(),
            Keeper::Directory(..) | Keeper::Nobody => None,
        };
        tokio::select! {
            biased;
            Some(result) = self.commits.recv() => self.committed(result)?,
            count = self.events.recv_many(happenings, TURN), if !busy => debug_assert!(count > 0),
            order = self.orders.recv(), if !busy && !self.ended => match order {
                Some(order) => orders.push(order),
                None => self.ended = true,
            },
            () = sleep_until(timer), if timer.is_some() && !busy => {}
            () = sleep_until(pause), if pause.is_some() => {}
            () = sleep_until(retry), if retry.is_some() => {}
            () = sleep_until(last), if last.is_some() => {}
        }
        while let Ok(result) = self.commits.try_recv() {
            self.committed(result)?;
        }
        if self.disk_is_busy() || self.pace.pause(clock::moment()).is_some() {
            return Ok(());
        }
        while orders.len() < TURN
            && let Ok(order) = self.orders.try_recv()
        {
            orders.push(order);
        }
        while happenings.len() < TURN
            && let Ok(happening) = self.events.try_recv()
        {
            happenings.push(happening);
        }
        Ok(())
    }

    /// Whoever waits for masters goes on with events and orders: without events there would be no
    /// masters. What is not durable is no more than what they had told and were asked before.
    fn disk_is_busy(&self) -> bool {
        !self.keeper.is_at_masters() && self.submitted - self.durable >= COMMITS
    }

    /// Whether there is still something to bring to the masters, and time to do so.
    fn has_records_for_masters(&self, last: &mut Option<tokio::time::Instant>) -> bool {
        let until = *last.get_or_insert_with(|| tokio::time::Instant::now() + LAST_RECORDS);
        self.keeper.is_at_masters()
            && self.durable < self.submitted
            && tokio::time::Instant::now() < until
    }

    fn committed(&mut self, result: CommitResult) -> Result<(), RunError> {
        result.map_err(RunError::Commit)?;
        self.durable += 1;
        Ok(())
    }

    /// All records of a turn are one batch; everything else of the turn waits for it.
    fn perform(&mut self, now: Time, effects: &mut Vec<Effect>) -> Result<(), RunError> {
        self.sort(effects)?;
        let Keeper::Masters(replica) = &mut self.keeper else { return Ok(()) };
        for (request, ask) in replica.asks(tokio::time::Instant::now()) {
            self.core.ask_state(now, request, ask, effects);
        }
        self.sort(effects)?;
        if let Keeper::Masters(replica) = &self.keeper {
            self.durable = replica.journal.durable();
        }
        Ok(())
    }

    /// Hands records to their keeper and answers to the journal, and puts everything else in line,
    /// or does it where it may not wait.
    fn sort(&mut self, effects: &mut Vec<Effect>) -> Result<(), RunError> {
        let mut writes = Vec::new();
        for effect in effects.iter_mut() {
            if let Effect::Persist(more) = effect {
                writes.append(more);
            }
        }
        if !writes.is_empty() {
            self.submitted += 1;
            self.pace.began(clock::moment());
            self.keeper.commit(writes, &self.commits_in);
        }
        let behind = self.submitted;
        for effect in effects.drain(..) {
            match effect {
                Effect::Persist(_) => {}
                Effect::State { request, outcome } if Replica::asked(request) => {
                    if let Keeper::Masters(replica) = &mut self.keeper {
                        let now = tokio::time::Instant::now();
                        let answered = replica.answered(request, outcome, now);
                        answered.map_err(|_| RunError::TakenOver)?;
                    }
                }
                effect if self.keeper.is_at_masters() && goes_first(&effect) => {
                    self.carry_out(effect)?;
                }
                effect => self.held.push_back((behind, effect)),
            }
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), RunError> {
        while self.held.front().is_some_and(|(behind, _)| *behind <= self.durable) {
            let Some((_, effect)) = self.held.pop_front() else { break };
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            Effect::Connect { connection, master } => {
                tracing::debug!(%master, connection, "connecting");
                let (client, inbox) = (self.client.clone(), self.events_in.clone());
                let store = self.keeper.store().cloned();
                let opened = Connection::open(connection, master, client, store, inbox);
                self.connection = Some(opened);
            }
            Effect::Disconnect { connection } => {
                if let Some(open) = self.connection.take_if(|open| open.number == connection) {
                    self.leaving.retain(|task| !task.is_finished());
                    self.leaving.push(open.close());
                }
            }
            Effect::Send { connection, call } => {
                if let Some(open) = self.connection.as_ref()
                    && open.number == connection
                {
                    open.send(*call);
                }
            }
            Effect::Persist(_) => {}
            Effect::Notice(Notice::Stopped(why))
                if self.keeper.is_at_masters() && &*why == TAKEN_OVER =>
            {
                return Err(RunError::TakenOver);
            }
            Effect::Answer { .. } | Effect::Notice(_) | Effect::State { .. } => {
                self.core.deliver(effect)?;
            }
        }
        Ok(())
    }

    /// Waits for the disk, lets go of what waited, and says farewell.
    async fn finish(mut self) -> Result<(), RunError> {
        while !self.keeper.is_at_masters() && self.durable < self.submitted {
            let Some(result) = self.commits.recv().await else { break };
            self.committed(result)?;
        }
        self.release()?;
        if let Some(open) = self.connection.take() {
            self.leaving.push(open.close());
        }
        // Those who leave must be able to report.
        self.events.close();
        for task in self.leaving {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "a connection's task failed");
            }
        }
        Ok(())
    }
}

async fn sleep_until(timer: Option<tokio::time::Instant>) {
    if let Some(timer) = timer {
        tokio::time::sleep_until(timer).await;
    }
}
