//! A master of a few lines over real sockets: one agent, tasks that end as soon as they start.
//!
//! It keeps what a driver may rely on (updates come again until they are acknowledged, calls of an
//! old connection are not heard) and can break the connection when it is told to.

use grpc::{Incoming, Status, StreamHandler, StreamService};
use proto::scheduler::{
    Call, CallBody, Event, MasterInfo, StateAnswer, StateAsk, StateCall, StateEntry, StateFence,
    StateOutcome,
};
use proto::{
    AgentId, FrameworkId, Limits, MasterId, Offer, OfferId, Operation, Reason, Resources, Role,
    Source, StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus, Time,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Version, value and name of the write.
type KeptValue = (u64, Arc<[u8]>, Option<u64>);

#[derive(Default)]
struct State {
    connection: u64,
    events: Option<mpsc::UnboundedSender<Event>>,
    framework: Option<FrameworkId>,
    numbers: u64,
    offer: Option<(OfferId, Resources)>,
    suppressed: bool,
    used: Resources,
    tasks: BTreeMap<TaskId, (Resources, TaskStatus)>,
    log: Vec<String>,
    launches: BTreeMap<TaskId, u32>,
    break_after: Option<u32>,
    /// What it keeps: version, value and name of the write by key, and the newest version.
    kept: BTreeMap<Arc<str>, KeptValue>,
    version: u64,
    /// Whether the next write is done and its answer lost with the connection.
    loses_answer: bool,
}

#[derive(Clone)]
pub(crate) struct Master {
    state: Arc<Mutex<State>>,
    capacity: Resources,
    /// Whether tasks end by themselves.
    instant: bool,
}

impl Master {
    pub(crate) async fn start(cpus: u64, instant: bool) -> (Self, String) {
        Self::of(None, cpus, instant).await
    }

    /// A master of this cluster.
    pub(crate) async fn of(cluster: Option<&str>, cpus: u64, instant: bool) -> (Self, String) {
        let capacity = Resources::cpus_mem(cpus, 64_000_000);
        let master = Self { state: Arc::default(), capacity, instant };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = StreamService::<_, Call, Event>::new(master.clone(), Limits::DEFAULT)
            .of_cluster(cluster.map(Arc::from));
        let router = axum::Router::new().route_service(grpc::SCHEDULER_PATH, service);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (master, address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The connection breaks after so many more launches.
    pub(crate) fn break_after(&self, launches: u32) {
        self.state().break_after = Some(launches);
    }

    /// The next write is done, and its answer lost with the connection.
    pub(crate) fn lose_answer(&self) {
        self.state().loses_answer = true;
    }

    /// How often each task was launched.
    pub(crate) fn launches(&self) -> BTreeMap<TaskId, u32> {
        self.state().launches.clone()
    }

    /// Calls other than ACCEPT and ACKNOWLEDGE, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    pub(crate) fn living(&self) -> usize {
        self.state().tasks.len()
    }
}

impl StreamHandler<Call, Event> for Master {
    type Outgoing = UnboundedReceiverStream<Event>;

    fn connect(
        &self,
        _: axum::http::Extensions,
        mut incoming: Incoming<Call>,
    ) -> Result<Self::Outgoing, Status> {
        let (events, queue) = mpsc::unbounded_channel();
        let number = {
            let mut state = self.state();
            state.connection += 1;
            state.events = Some(events);
            state.offer = None;
            state.connection
        };
        let master = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(call)) = incoming.next().await {
                let mut state = master.state();
                if state.connection != number || state.events.is_none() {
                    break;
                }
                master.call(&mut state, call);
                master.offer(&mut state);
            }
            let mut state = master.state();
            if state.connection == number {
                state.events = None;
                state.offer = None;
            }
        });
        Ok(UnboundedReceiverStream::new(queue))
    }
}

impl Master {
    fn call(&self, state: &mut State, call: Call) {
        match call.body {
            CallBody::Subscribe(subscribe) => {
                if is_fenced(state, subscribe.fence.as_ref()) {
                    send(state, Event::Error(Arc::from("another scheduler has taken over")));
                    return;
                }
                state.log.push(format!("SUBSCRIBE {:?}", call.framework_id));
                state.suppressed = !subscribe.suppressed_roles.is_empty();
                let id = call
                    .framework_id
                    .or_else(|| state.framework.clone())
                    .unwrap_or_else(|| FrameworkId::new("m-0000").unwrap());
                state.framework = Some(id.clone());
                send(state, subscribed(id));
                let again: Vec<TaskStatus> =
                    state.tasks.values().map(|(_, status)| status.clone()).collect();
                for status in again.into_iter().filter(|status| status.uuid.is_some()) {
                    send(state, Event::Update(status));
                }
            }
            CallBody::Accept { offer_ids, operations, .. } => {
                for operation in operations {
                    if let Operation::Launch(tasks) = operation {
                        for task in tasks {
                            self.launch(state, &offer_ids, task);
                        }
                    }
                }
                state.offer = None;
            }
            CallBody::Decline { .. } => {
                state.log.push("DECLINE".into());
                state.offer = None;
            }
            CallBody::Suppress { .. } => {
                state.log.push("SUPPRESS".into());
                state.suppressed = true;
            }
            CallBody::Revive { .. } => {
                state.log.push("REVIVE".into());
                state.suppressed = false;
            }
            CallBody::Acknowledge { task_id, uuid, .. } => {
                let over = state.tasks.get(&task_id).is_some_and(|(_, status)| {
                    status.uuid == Some(uuid) && status.state.is_terminal()
                });
                if over && let Some((resources, _)) = state.tasks.remove(&task_id) {
                    state.used.subtract(&resources).unwrap();
                }
            }
            CallBody::Kill { task_id, .. } => {
                state.log.push(format!("KILL {task_id}"));
                self.end(state, &task_id, TaskState::Killed);
            }
            CallBody::Reconcile { tasks } => {
                for (task, _) in tasks {
                    if !state.tasks.contains_key(&task) {
                        let mut gone =
                            TaskStatus::new(task, TaskState::Gone, Source::Master, Time::ZERO);
                        gone.reason = Some(Reason::Reconciliation);
                        send(state, Event::Update(gone));
                    }
                }
            }
            CallBody::State(call) => keep(state, call),
            other => state.log.push(other.name().to_owned()),
        }
    }

    fn launch(&self, state: &mut State, offers: &[OfferId], task: TaskInfo) {
        let held = state.offer.as_ref().is_some_and(|(id, _)| offers == [id.clone()]);
        assert!(held, "an offer that is not held");
        if let Some(left) = &mut state.break_after {
            if *left == 0 {
                // The call is lost with the connection.
                state.break_after = None;
                state.events = None;
                return;
            }
            *left -= 1;
        }
        if state.events.is_none() {
            return;
        }
        *state.launches.entry(task.task_id.clone()).or_default() += 1;
        state.used.add(&task.resources);
        let id = task.task_id.clone();
        let status = TaskStatus::new(id.clone(), TaskState::Staging, Source::Agent, Time::ZERO);
        state.tasks.insert(id.clone(), (task.resources, status));
        if self.instant {
            self.end(state, &id, TaskState::Finished);
        }
    }

    fn end(&self, state: &mut State, task: &TaskId, to: TaskState) {
        state.numbers += 1;
        let number = state.numbers;
        let Some((_, status)) = state.tasks.get_mut(task) else { return };
        if !status.state.is_terminal() {
            status.state = to;
            status.agent_id = Some(AgentId::new("m-S0").unwrap());
            let mut uuid = [0; 16];
            uuid[..8].copy_from_slice(&number.to_be_bytes());
            status.uuid = Some(StatusUuid(uuid));
        }
        let status = status.clone();
        send(state, Event::Update(status));
    }

    fn offer(&self, state: &mut State) {
        let mut free = self.capacity.clone();
        free.subtract(&state.used).unwrap();
        let ready = state.events.is_some() && state.framework.is_some() && !state.suppressed;
        if !ready || state.offer.is_some() || free.cpus() == 0 {
            return;
        }
        state.numbers += 1;
        let id = OfferId::new(format!("m-O{}", state.numbers)).unwrap();
        state.offer = Some((id.clone(), free.clone()));
        let offer = Offer {
            id,
            framework_id: state.framework.clone().unwrap(),
            agent_id: AgentId::new("m-S0").unwrap(),
            hostname: "host".into(),
            port: 5051,
            role: Role::any(),
            resources: free,
            attributes: [].into(),
            domain: None,
            executor_ids: Vec::new(),
            unavailability: None,
        };
        send(state, Event::Offers(vec![offer]));
    }
}

fn send(state: &State, event: Event) {
    if let Some(events) = &state.events {
        // A broken stream loses it, as a network does.
        let _ = events.send(event);
    }
}

fn subscribed(id: FrameworkId) -> Event {
    Event::Subscribed {
        framework_id: id,
        heartbeat_interval: Duration::from_secs(15),
        master: MasterInfo {
            id: MasterId::new("m").unwrap(),
            hostname: "localhost".into(),
            ip: 0,
            port: 5050,
            version: "1.11.0".into(),
        },
    }
}

/// Whether another instance has moved what the fence names.
fn is_fenced(state: &State, fence: Option<&StateFence>) -> bool {
    let version = |key| state.kept.get(key).map_or(0, |held: &KeptValue| held.0);
    fence.is_some_and(|fence| version(&fence.key) != fence.version)
}

/// Reads or writes what is kept for the framework, as a master does.
fn keep(state: &mut State, StateCall { number, ask }: StateCall) {
    state.log.push(ask.name().to_owned());
    let has = |state: &State, key: &Arc<str>| state.kept.get(key).map_or(0, |held| held.0);
    let entry = |(key, held): (&Arc<str>, &KeptValue)| StateEntry {
        key: key.clone(),
        version: held.0,
        value: held.1.clone(),
    };
    let outcome = match ask {
        StateAsk::Put { key, write, .. }
            if write.is_some() && state.kept.get(&key).is_some_and(|held| held.2 == write) =>
        {
            StateOutcome::Done { version: has(state, &key), key }
        }
        StateAsk::Put { fence: Some(StateFence { key, version }), .. }
            if has(state, &key) != version =>
        {
            StateOutcome::Conflict { version: has(state, &key), key }
        }
        StateAsk::Put { key, version, .. } | StateAsk::Delete { key, version }
            if has(state, &key) != version =>
        {
            StateOutcome::Conflict { version: has(state, &key), key }
        }
        StateAsk::Put { value, .. } if value.len() > 64 << 10 => {
            StateOutcome::Refused { message: Arc::from("the value is too large") }
        }
        StateAsk::Put { key, value, write, .. } => {
            state.version += 1;
            state.kept.insert(key.clone(), (state.version, value, write));
            StateOutcome::Done { key, version: state.version }
        }
        StateAsk::Delete { key, .. } => {
            state.version += 1;
            state.kept.remove(&key);
            StateOutcome::Done { key, version: 0 }
        }
        StateAsk::Get { key } => {
            StateOutcome::Found(state.kept.get_key_value(&key).map(entry).into_iter().collect())
        }
        StateAsk::List { prefix } => {
            let under = state.kept.iter().filter(|(key, _)| key.starts_with(&*prefix));
            StateOutcome::Found(under.map(entry).collect())
        }
    };
    if std::mem::take(&mut state.loses_answer) {
        state.events = None;
        return;
    }
    send(state, Event::State(StateAnswer { number, outcome }));
}
