//! A framework that decides everything by itself: offers come in, launches go out.
//!
//! Below it the driver subscribes, connects again, reconciles, records each launch before it
//! leaves and repeats kills. What is decided here is only when to call what.

use crate::core::{Bare, ConnectionId, Effect, Notice, Options, Order, Room, Signal, Want};
use crate::state::StateStore;
use crate::turn::{Core, Loop, RunError, directory, read_all};
use clock::Clock;
use proto::scheduler::{Event as MasterEvent, StateAsk, StateFence, StateOutcome};
use proto::{
    CommandInfo, FrameworkId, Offer, OfferId, Resources, Role, TaskBody, TaskId, TaskInfo,
    TaskPayload, TaskStatus, Time,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The newest format of the records that this version knows.
pub(crate) const FORMAT: u32 = 1;

/// What a framework is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// The master knows the framework. Comes again after each reconnection.
    Subscribed(FrameworkId),
    /// New offers: launch with each or decline it.
    Offers(Vec<Offer>),
    /// An offer is no longer valid.
    Rescinded(OfferId),
    /// A report on a task. It comes again until it is [acknowledged](Framework::acknowledge),
    /// also after a restart; a task is recorded until its end is acknowledged.
    Update(Box<TaskStatus>),
    /// The connection is gone, and with it all offers; the driver connects again by itself.
    Disconnected,
    /// The master refused a call: its name, and why.
    Refused(Arc<str>, Arc<str>),
}

/// Sets a framework up.
#[derive(Debug)]
pub struct Builder {
    options: Options,
    dir: PathBuf,
}

impl Builder {
    /// An address of a master, `host:port`. Several may be named; they are tried in turn.
    #[must_use]
    pub fn master(mut self, address: impl Into<Arc<str>>) -> Self {
        self.options.masters.push(address.into());
        self
    }

    /// The directory of the framework's records. Default: `tepui-<name>` in the current directory.
    #[must_use]
    pub fn store(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// The role in which it gets offers. Default: `*`.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.options.role = role;
        self
    }

    /// The user its tasks run as. Default: `root`.
    #[must_use]
    pub fn user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.options.user = user.into();
        self
    }

    /// How long its tasks outlive it. Default: a week.
    #[must_use]
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.options.failover_timeout = timeout;
        self
    }

    /// Opens the records and starts; SUBSCRIBED comes as the first event.
    ///
    /// # Errors
    /// When the records cannot be opened or read.
    pub async fn start(mut self) -> Result<Framework, RunError> {
        if self.options.masters.is_empty() {
            self.options.masters.push("127.0.0.1:5050".into());
        }
        let dir = self.dir;
        let opened = tokio::task::spawn_blocking(move || {
            let store = Arc::new(Store::open(&dir, store::Options::new("framework", FORMAT))?);
            let records = read_all(&*store)?;
            Ok::<_, RunError>((store, records))
        });
        let (storage, records) = opened.await.map_err(|_| RunError::Ended)??;
        let clock = Clock::start();
        let bare = Bare::recover(self.options, clock.now().as_nanos(), records)
            .map_err(|error| RunError::Record(error.to_string()))?;
        let (events_in, events) = mpsc::unbounded_channel();
        let (orders, orders_out) = mpsc::unbounded_channel();
        let core = BareCore { bare, events: events_in, states: BTreeMap::new(), next_request: 0 };
        let task = Loop::new(core, clock, directory(storage)?, orders_out).start()?;
        let framework = Framework { orders, events, task };
        framework.want(Want::Anything);
        Ok(framework)
    }
}

/// A running framework. Dropping it closes the connection; its tasks live on for the failover
/// time-out, and the next start with the same directory takes them over.
#[derive(Debug)]
pub struct Framework {
    orders: mpsc::UnboundedSender<Asked>,
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Framework {
    /// Sets a framework up under this name.
    pub fn builder(name: &str) -> Builder {
        Builder {
            options: Options::new(name, Vec::new()),
            dir: PathBuf::from(format!("tepui-{name}")),
        }
    }

    /// The next event; `None` once the framework was torn down.
    ///
    /// # Errors
    /// Why the framework ended: the master ended it, or its records cannot be written.
    pub async fn next_event(&mut self) -> Result<Option<Event>, RunError> {
        if let Some(event) = self.events.recv().await {
            return Ok(Some(event));
        }
        match (&mut self.task).await {
            Ok(result) => result.map(|()| None),
            Err(_) => Err(RunError::Ended),
        }
    }

    fn order(&self, order: Order) {
        // When the loop has ended, `next_event` says why.
        let _ = self.orders.send(Asked::Order(order));
    }

    /// What the masters keep for the framework. The handle does not keep the framework going.
    pub fn state(&self) -> StateStore {
        let orders = self.orders.downgrade();
        StateStore::new(move |ask, reply| {
            let orders = orders.upgrade();
            orders.is_some_and(|orders| orders.send(Asked::State(ask, reply)).is_ok())
        })
    }

    /// Launches tasks with an offer; they are recorded before the call leaves. What remains of
    /// the offer comes back at once. If the offer is gone, each task is reported as dropped.
    pub fn launch(&self, offer: &Offer, tasks: Vec<TaskInfo>) {
        let offers = vec![offer.id.clone()];
        self.order(Order::Launch { offers, tasks, refuse: Duration::ZERO });
    }

    /// Gives an offer back; what it holds is not offered again for so long.
    pub fn decline(&self, offer: &Offer, refuse: Duration) {
        self.order(Order::Decline { offers: vec![offer.id.clone()], refuse });
    }

    /// Kills a task, again and again until its end is acknowledged.
    pub fn kill(&self, task: &TaskId) {
        self.order(Order::Kill { task: task.clone(), grace: None });
    }

    /// Confirms an update: what it said is safe with the framework.
    pub fn acknowledge(&self, status: &TaskStatus) {
        self.order(Order::Acknowledge(Box::new(status.clone())));
    }

    /// Says what is wanted: with nothing wanted, the master makes no offers.
    pub fn want(&self, want: Want) {
        self.order(Order::Want(want));
    }

    /// Ends the framework: the master kills its tasks and its id is used up.
    ///
    /// # Errors
    /// When its records cannot be written.
    pub async fn teardown(self) -> Result<(), RunError> {
        self.order(Order::Teardown);
        self.stop().await
    }

    /// Closes the connection; the tasks live on for the failover time-out.
    ///
    /// # Errors
    /// When its records cannot be written.
    pub async fn stop(self) -> Result<(), RunError> {
        drop(self.orders);
        self.task.await.map_err(|_| RunError::Ended)?
    }
}

/// A task that runs a command line on the agent of an offer.
pub fn command_task(offer: &Offer, id: TaskId, command: &str, resources: Resources) -> TaskInfo {
    let body = TaskBody {
        command: Some(CommandInfo {
            shell: true,
            value: Some(command.into()),
            ..CommandInfo::default()
        }),
        ..TaskBody::default()
    };
    TaskInfo {
        name: id.as_str().into(),
        task_id: id,
        agent_id: offer.agent_id.clone(),
        resources,
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&body),
    }
}

/// What comes from the handles.
enum Asked {
    Order(Order),
    State(StateAsk, oneshot::Sender<StateOutcome>),
}

struct BareCore {
    bare: Bare,
    events: mpsc::UnboundedSender<Event>,
    states: BTreeMap<u64, oneshot::Sender<StateOutcome>>,
    next_request: u64,
}

impl Core for BareCore {
    type Order = Asked;

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.bare.tick(now, effects);
    }

    fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>) {
        self.bare.connected(now, connection, effects);
    }

    fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        self.bare.closed(now, connection, leader, effects);
    }

    fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: MasterEvent,
        effects: &mut Vec<Effect>,
    ) {
        self.bare.event(now, connection, event, effects);
    }

    fn order(&mut self, now: Time, asked: Asked, effects: &mut Vec<Effect>) {
        let order = match asked {
            Asked::Order(order) => order,
            Asked::State(ask, reply) => {
                self.next_request += 1;
                self.states.insert(self.next_request, reply);
                Order::State { request: self.next_request, ask }
            }
        };
        self.bare.order(now, order, effects);
    }

    fn deadline(&self) -> Option<Time> {
        self.bare.deadline()
    }

    fn ask_state(&mut self, now: Time, request: u64, ask: StateAsk, effects: &mut Vec<Effect>) {
        self.bare.order(now, Order::State { request, ask }, effects);
    }

    /// Its records are never at the masters.
    fn kept(&mut self, _: Option<StateFence>, _: Room) {}

    fn deliver(&mut self, effect: Effect) -> Result<(), RunError> {
        let signal = match effect {
            Effect::Notice(Notice::Signal(signal)) => signal,
            Effect::State { request, outcome } => {
                if let Some(reply) = self.states.remove(&request) {
                    // Who asked may have gone; what was done stays done.
                    let _ = reply.send(outcome);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let event = match *signal {
            Signal::Subscribed(id) => Event::Subscribed(id),
            Signal::Disconnected => Event::Disconnected,
            Signal::Offers(offers) => Event::Offers(offers),
            Signal::Rescinded(offer) => Event::Rescinded(offer),
            Signal::Update(status) => Event::Update(status),
            Signal::Refused { call, message, .. } => Event::Refused(call, message),
            Signal::Stopped(message) => return Err(RunError::Stopped(message)),
            Signal::Message { .. } => return Ok(()),
        };
        // Nobody listens once the handle is dropped; the loop ends with its orders.
        let _ = self.events.send(event);
        Ok(())
    }
}
