//! The loop of every framework's shell: step all that has come, make the records of it durable
//! together, then let go of what waited behind them.
//!
//! It decides nothing. Effects leave in their order, and none before the records of its step and
//! of all steps before are durable; meanwhile the next inputs are stepped.

use crate::connection::{Connection, Happening};
use crate::core::{ConnectionId, Effect, Write};
use clock::Clock;
use grpc::ClientOptions;
use proto::Time;
use proto::scheduler::Event;
use std::collections::VecDeque;
use std::sync::Arc;
use store::{Batch, CommitResult, GroupCommit, Pace, Storage, Store, StoreError};
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
    store: Arc<Store>,
    events: mpsc::Receiver<(u64, Happening)>,
    events_in: mpsc::Sender<(u64, Happening)>,
    orders: mpsc::UnboundedReceiver<C::Order>,
    commits: mpsc::UnboundedReceiver<CommitResult>,
    commits_in: mpsc::UnboundedSender<CommitResult>,
    committer: GroupCommit,
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

/// A record as a core reads it: key and value.
type Stored = (Vec<u8>, Vec<u8>);

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

impl<C: Core> Loop<C> {
    pub(crate) fn new(
        core: C,
        clock: Clock,
        store: Arc<Store>,
        orders: mpsc::UnboundedReceiver<C::Order>,
    ) -> Result<Self, RunError> {
        let (events_in, events) = mpsc::channel(INBOX);
        let (commits_in, commits) = mpsc::unbounded_channel();
        Ok(Self {
            core,
            clock,
            client: ClientOptions::default(),
            connection: None,
            was_connected: false,
            store: Arc::clone(&store),
            events,
            events_in,
            orders,
            commits,
            commits_in,
            committer: GroupCommit::start(store).map_err(RunError::Thread)?,
            submitted: 0,
            durable: 0,
            pace: Pace::new(CROWD),
            held: VecDeque::new(),
            leaving: Vec::new(),
            ended: false,
        })
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
        while !self.ended {
            self.wait(&mut happenings, &mut orders).await?;
            self.pace.note(happenings.len(), clock::moment());
            let now = self.clock.now();
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
            self.perform(&mut effects);
            self.release()?;
        }
        self.finish().await
    }

    /// Waits for something to do and takes all that is there. In a crowd the next turn comes no
    /// sooner than its records may be committed.
    async fn wait(
        &mut self,
        happenings: &mut Vec<(u64, Happening)>,
        orders: &mut Vec<C::Order>,
    ) -> Result<(), RunError> {
        let deadline = self.core.deadline();
        let timer = deadline.map(|deadline| self.clock.instant(deadline));
        let pause = self.pace.pause(clock::moment()).map(tokio::time::Instant::from_std);
        let busy = pause.is_some() || self.disk_is_busy();
        tokio::select! {
            biased;
            Some(result) = self.commits.recv() => self.committed(result)?,
            count = self.events.recv_many(happenings, TURN), if !busy => debug_assert!(count > 0),
            order = self.orders.recv(), if !busy => match order {
                Some(order) => orders.push(order),
                None => self.ended = true,
            },
            () = sleep_until(timer), if timer.is_some() && !busy => {}
            () = sleep_until(pause), if pause.is_some() => {}
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

    fn disk_is_busy(&self) -> bool {
        self.submitted - self.durable >= COMMITS
    }

    fn committed(&mut self, result: CommitResult) -> Result<(), RunError> {
        result.map_err(RunError::Commit)?;
        self.durable += 1;
        Ok(())
    }

    /// All records of a turn are one batch; everything else of the turn waits for it.
    fn perform(&mut self, effects: &mut Vec<Effect>) {
        let mut batch = Batch::new();
        for effect in effects.iter_mut() {
            if let Effect::Persist(writes) = effect {
                for Write { key, value } in writes.drain(..) {
                    match value {
                        Some(value) => batch.put(key, value),
                        None => batch.delete(key),
                    }
                }
            }
        }
        if !batch.is_empty() {
            self.submitted += 1;
            self.pace.began(clock::moment());
            let commits = self.commits_in.clone();
            self.committer.submit(batch, move |result| {
                // Nobody listens any more once the loop has ended.
                let _ = commits.send(result);
            });
        }
        let behind = self.submitted;
        let others = effects.drain(..).filter(|effect| !matches!(effect, Effect::Persist(_)));
        self.held.extend(others.map(|effect| (behind, effect)));
    }

    fn release(&mut self) -> Result<(), RunError> {
        while self.held.front().is_some_and(|(behind, _)| *behind <= self.durable) {
            let Some((_, effect)) = self.held.pop_front() else { break };
            match effect {
                Effect::Connect { connection, master } => {
                    tracing::debug!(%master, connection, "connecting");
                    let (client, inbox) = (self.client.clone(), self.events_in.clone());
                    let store = Arc::clone(&self.store);
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
                Effect::Answer { .. } | Effect::Notice(_) | Effect::State { .. } => {
                    self.core.deliver(effect)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for the disk, lets go of what waited, and says farewell.
    async fn finish(mut self) -> Result<(), RunError> {
        while self.durable < self.submitted {
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
