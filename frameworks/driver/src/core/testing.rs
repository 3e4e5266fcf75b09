//! A bench for tests of steps: one scheduler, told what a master would tell it.

use super::*;
use proto::scheduler::{CallBody, Event, MasterInfo};
use proto::{
    AgentId, Attribute, FrameworkId, MasterId, Offer, OfferId, Operation, Reason, Resources, Role,
    Source, StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus, Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) struct Bench {
    pub(crate) core: Scheduler,
    pub(crate) now: Time,
    /// Effects of the last input, in order.
    pub(crate) effects: Vec<Effect>,
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) connection: ConnectionId,
    numbers: u64,
}

pub(crate) fn template(cpus: u64, mem: u64) -> Template {
    Template {
        resources: BTreeMap::from([("cpus".into(), cpus), ("mem".into(), mem)]),
        command: Command { shell: true, value: "true".into(), ..Command::default() },
        ..Template::default()
    }
}

pub(crate) fn batch(name: &str, count: u32) -> GroupSpec {
    GroupSpec::new(name, Kind::Ledger, count, template(1000, 64_000))
}

pub(crate) fn service(name: &str, count: u32) -> GroupSpec {
    GroupSpec::new(name, Kind::Replica, count, template(1000, 64_000))
}

pub(crate) fn options() -> Options {
    Options::new("bench", vec!["a:5050".into(), "b:5050".into()])
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: Options) -> Self {
        let core = Scheduler::recover(options, 1, []).unwrap();
        let (effects, store) = (Vec::new(), BTreeMap::new());
        let now = Time::from_millis(1_000_000);
        Self { core, now, effects, store, connection: 0, numbers: 0 }
    }

    /// A bench whose framework is subscribed.
    pub(crate) fn subscribed() -> Self {
        let mut bench = Self::new();
        bench.connect();
        bench
    }

    pub(crate) fn step(&mut self, input: Input) -> &[Effect] {
        self.effects.clear();
        self.core.step(self.now, input, &mut self.effects);
        for effect in &self.effects {
            let Effect::Persist(writes) = effect else { continue };
            for write in writes {
                match &write.value {
                    Some(value) => self.store.insert(write.key.clone(), value.clone()),
                    None => self.store.remove(&write.key),
                };
            }
        }
        self.core.check().unwrap();
        &self.effects
    }

    /// Connects and subscribes; the effects are those of SUBSCRIBED.
    pub(crate) fn connect(&mut self) {
        while self.dialled().is_none() {
            self.now = self.now.max(self.core.deadline().expect("it waits to connect"));
            self.step(Input::Tick);
        }
        self.connection = self.dialled().unwrap();
        self.step(Input::Connected { connection: self.connection });
        self.event(subscribed("f-0000"));
    }

    pub(crate) fn dialled(&self) -> Option<ConnectionId> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Connect { connection, .. } => Some(*connection),
            _ => None,
        })
    }

    pub(crate) fn event(&mut self, event: Event) -> &[Effect] {
        let connection = self.connection;
        self.step(Input::Event { connection, event })
    }

    /// Lets time pass to the next deadline after `wait`, ticking on the way.
    pub(crate) fn pass(&mut self, wait: Duration) {
        let end = self.now + wait;
        let mut all = Vec::new();
        while let Some(due) = self.core.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            all.extend_from_slice(self.step(Input::Tick));
        }
        self.now = end;
        self.effects = all;
    }

    /// Does what is due now.
    pub(crate) fn settle(&mut self) {
        self.pass(Duration::ZERO);
    }

    pub(crate) fn submit(&mut self, spec: GroupSpec) -> GroupId {
        self.step(Input::Submit { request: 7, spec: Box::new(spec) });
        let id = self.effects.iter().find_map(|effect| match effect {
            Effect::Answer { request: 7, answer: Answer::Submitted(id) } => Some(id.clone()),
            _ => None,
        });
        id.expect("submitted")
    }

    pub(crate) fn offer(&mut self, agent: &str, cpus: u64) -> OfferId {
        self.numbers += 1;
        let id = OfferId::new(format!("O{}", self.numbers)).unwrap();
        self.event(Event::Offers(vec![offer(id.as_str(), agent, cpus)]));
        id
    }

    /// Submits, offers and settles: as many units as fit are launched.
    pub(crate) fn launch(&mut self, spec: GroupSpec, cpus: u64) -> (GroupId, Vec<TaskInfo>) {
        let id = self.submit(spec);
        self.settle();
        self.offer("S1", cpus);
        self.settle();
        (id, self.launched())
    }

    /// Tasks in the last effects.
    pub(crate) fn launched(&self) -> Vec<TaskInfo> {
        let mut all = Vec::new();
        for body in self.calls() {
            let CallBody::Accept { operations, .. } = body else { continue };
            for operation in operations {
                if let Operation::Launch(tasks) = operation {
                    all.extend(tasks.iter().cloned());
                }
            }
        }
        all
    }

    /// Calls in the last effects.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &CallBody> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { call, .. } => Some(&call.body),
            _ => None,
        })
    }

    /// Names of the calls in the last effects.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.calls().map(CallBody::name).collect()
    }

    pub(crate) fn update(&mut self, task: &TaskId, state: TaskState) -> &[Effect] {
        let status = self.status(task, state);
        self.event(Event::Update(status))
    }

    /// The first unit of the group fails so often on an agent, by the agent's own fault.
    pub(crate) fn fail_on(&mut self, agent: &str, group: &GroupId, times: u32) {
        for attempt in 0..times {
            self.offer(agent, 1000);
            self.settle();
            let mut failed = self.status(&task_id(group, 0, attempt), TaskState::Failed);
            failed.agent_id = Some(AgentId::new(agent).unwrap());
            failed.reason = Some(Reason::ContainerLaunchFailed);
            self.event(Event::Update(failed));
            self.pass(Duration::from_secs(5));
        }
    }

    pub(crate) fn status(&mut self, task: &TaskId, state: TaskState) -> TaskStatus {
        self.numbers += 1;
        let mut status = TaskStatus::new(task.clone(), state, Source::Executor, self.now);
        status.agent_id = Some(AgentId::new("S1").unwrap());
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.numbers.to_be_bytes());
        status.uuid = Some(StatusUuid(uuid));
        status
    }

    /// The process dies and starts again from its records.
    pub(crate) fn restart(&mut self) {
        let options = self.core.driver.options().clone();
        self.core = Scheduler::recover(options, 2, self.store.clone()).unwrap();
        self.core.check().unwrap();
        self.effects.clear();
    }
}

pub(crate) fn subscribed(id: &str) -> Event {
    Event::Subscribed {
        framework_id: FrameworkId::new(id).unwrap(),
        heartbeat_interval: Duration::from_secs(15),
        master: MasterInfo {
            id: MasterId::new("m").unwrap(),
            hostname: "h".into(),
            ip: 0,
            port: 5050,
            version: "1.11.0".into(),
        },
    }
}

pub(crate) fn offer(id: &str, agent: &str, cpus: u64) -> Offer {
    Offer {
        id: OfferId::new(id).unwrap(),
        framework_id: FrameworkId::new("f-0000").unwrap(),
        agent_id: AgentId::new(agent).unwrap(),
        hostname: "host".into(),
        port: 5051,
        role: Role::any(),
        resources: Resources::cpus_mem(cpus, 10_000_000),
        attributes: [Attribute::text("zone", agent)].into(),
        domain: None,
        executor_ids: Vec::new(),
        unavailability: None,
    }
}
