//! A master and its two agents, of a few lines over real sockets.
//!
//! What becomes of a task stands in its name: `fails` exits with 3, `hungry` takes 40 of 32 bytes,
//! `waits` runs until it is
//! killed, anything else succeeds.

use grpc::{Incoming, OperatorHandler, OperatorService, Status, StreamHandler, StreamService};
use proto::operator::{self, AgentStanding, AgentView};
use proto::scheduler::{Call, CallBody, Event, MasterInfo};
use proto::{
    AgentId, AgentInfo, Domain, Exit, FrameworkId, LimitHit, Limits, MasterId, Offer, OfferId,
    Operation, Resources, Source, StatusUuid, TaskId, TaskInfo, TaskOutcome, TaskState, TaskStatus,
    Time,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// What the agent that is offered has.
const CPUS: u64 = 4000;
const MEM: u64 = 8_000_000;

#[derive(Default)]
struct State {
    connection: u64,
    events: Option<mpsc::UnboundedSender<Event>>,
    subscribed: Option<proto::FrameworkInfo>,
    numbers: u64,
    offer: Option<OfferId>,
    suppressed: bool,
    used: Resources,
    tasks: BTreeMap<TaskId, (Resources, TaskStatus)>,
    launched: Vec<TaskInfo>,
}

#[derive(Clone, Default)]
pub(crate) struct Master(Arc<Mutex<State>>);

impl Master {
    pub(crate) async fn start() -> (Self, String) {
        let master = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = StreamService::<_, Call, Event>::new(master.clone(), Limits::DEFAULT);
        let operator = OperatorService::new(master.clone(), Limits::DEFAULT);
        let router = axum::Router::new()
            .route_service(grpc::SCHEDULER_PATH, service)
            .route_service(grpc::OPERATOR_PATH, operator);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (master, address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// All tasks that were launched, in order.
    pub(crate) fn launched(&self) -> Vec<TaskInfo> {
        self.state().launched.clone()
    }

    /// What the framework said of itself.
    pub(crate) fn subscribed(&self) -> Option<proto::FrameworkInfo> {
        self.state().subscribed.clone()
    }
}

fn framework_id() -> FrameworkId {
    FrameworkId::new("m-0000").unwrap()
}

fn agent_id(number: u32) -> AgentId {
    AgentId::new(format!("m-S{number}")).unwrap()
}

fn capacity() -> Resources {
    Resources::cpus_mem(CPUS, MEM)
}

impl OperatorHandler for Master {
    async fn call(&self, call: operator::Call) -> Result<operator::Response, Status> {
        match call {
            operator::Call::GetAgents => {
                let used = self.state().used.clone();
                let agent = |(number, resources): (u32, Resources)| AgentView {
                    info: AgentInfo {
                        id: Some(agent_id(number)),
                        hostname: format!("agent-{number}").into(),
                        port: 5051,
                        resources,
                        attributes: Vec::new(),
                        domain: Some(Domain { region: "r".into(), zone: "a".into() }),
                    },
                    standing: AgentStanding::Active,
                    version: "0".into(),
                    registered: Time::ZERO,
                    reregistered: None,
                    allocated: if number == 0 { used.clone() } else { Resources::default() },
                    offered: Resources::default(),
                    deactivated: false,
                    drain: None,
                    unreachable: None,
                    disk_pressed: false,
                };
                let agents = [(0, capacity()), (1, Resources::cpus_mem(1000, 1_000_000))];
                Ok(operator::Response::Agents(agents.into_iter().map(agent).collect()))
            }
            operator::Call::Explain(_) => {
                Ok(operator::Response::Explanation(vec!["The master has its reasons.".into()]))
            }
            _ => Err(Status::unimplemented("not here")),
        }
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
                if state.connection != number {
                    return;
                }
                state.call(call);
                state.offer();
            }
            let mut state = master.state();
            if state.connection == number {
                state.events = None;
            }
        });
        Ok(UnboundedReceiverStream::new(queue))
    }
}

impl State {
    fn call(&mut self, call: Call) {
        match call.body {
            CallBody::Subscribe(subscribe) => {
                self.suppressed = !subscribe.suppressed_roles.is_empty();
                self.subscribed = Some(subscribe.framework_info);
                self.send(subscribed());
            }
            CallBody::Accept { offer_ids, operations, .. } => {
                assert_eq!(self.offer.take().as_ref(), offer_ids.first());
                for operation in operations {
                    let Operation::Launch(tasks) = operation else { panic!("{operation:?}") };
                    tasks.into_iter().for_each(|task| self.launch(task));
                }
            }
            // Refused for a while: the tests need nothing from it until the next REVIVE.
            CallBody::Decline { .. } => self.offer = None,
            CallBody::Suppress { .. } => self.suppressed = true,
            CallBody::Revive { .. } => self.suppressed = false,
            CallBody::Acknowledge { task_id, uuid, .. } => {
                let over = self.tasks.get(&task_id).is_some_and(|(_, status)| {
                    status.uuid == Some(uuid) && status.state.is_terminal()
                });
                if over && let Some((resources, _)) = self.tasks.remove(&task_id) {
                    self.used.subtract(&resources).unwrap();
                }
            }
            CallBody::Kill { task_id, .. } => self.report(&task_id, TaskState::Killed, None),
            CallBody::Reconcile { tasks } => {
                for (task, _) in tasks {
                    if let Some((_, status)) = self.tasks.get(&task) {
                        self.send(Event::Update(status.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    fn launch(&mut self, task: TaskInfo) {
        let id = task.task_id.clone();
        self.used.add(&task.resources);
        let status = TaskStatus::new(id.clone(), TaskState::Staging, Source::Agent, Time::ZERO);
        self.tasks.insert(id.clone(), (task.resources.clone(), status));
        self.report(&id, TaskState::Running, None);
        if task.name.starts_with("fails") {
            self.report(&id, TaskState::Failed, Some(Exit::Code(3)));
        } else if task.name.starts_with("hungry") {
            self.report(&id, TaskState::Failed, Some(Exit::Signal(9)));
        } else if !task.name.starts_with("waits") {
            self.report(&id, TaskState::Finished, Some(Exit::Code(0)));
        }
        self.launched.push(task);
    }

    fn report(&mut self, task: &TaskId, to: TaskState, exit: Option<Exit>) {
        self.numbers += 1;
        let Some((_, status)) = self.tasks.get_mut(task) else { return };
        status.state = to;
        status.agent_id = Some(agent_id(0));
        let hungry = exit == Some(Exit::Signal(9));
        let limit = hungry.then(|| LimitHit { resource: "mem".into(), usage: 40, limit: 32 });
        status.outcome = exit.map(|exit| TaskOutcome { exit: Some(exit), limit, usage: None });
        status.message = exit.map(|exit| format!("It ended with {exit:?}").into());
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.numbers.to_be_bytes());
        status.uuid = Some(StatusUuid(uuid));
        let status = status.clone();
        self.send(Event::Update(status));
    }

    fn offer(&mut self) {
        let mut free = capacity();
        free.subtract(&self.used).unwrap();
        let Some(info) = &self.subscribed else { return };
        if self.suppressed || self.offer.is_some() || free.cpus() == 0 {
            return;
        }
        self.numbers += 1;
        let id = OfferId::new(format!("m-O{}", self.numbers)).unwrap();
        let offer = Offer {
            id: id.clone(),
            framework_id: framework_id(),
            agent_id: agent_id(0),
            hostname: "agent-0".into(),
            port: 5051,
            role: info.roles.first().unwrap().clone(),
            resources: free,
            attributes: [].into(),
            domain: Some(Domain { region: "r".into(), zone: "a".into() }),
            executor_ids: Vec::new(),
            unavailability: None,
        };
        self.offer = Some(id);
        self.send(Event::Offers(vec![offer]));
    }

    fn send(&self, event: Event) {
        if let Some(events) = &self.events {
            // A broken stream loses it, as a network does.
            let _ = events.send(event);
        }
    }
}

fn subscribed() -> Event {
    Event::Subscribed {
        framework_id: framework_id(),
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
