//! Simulated agents: streams of this process that register, come back with their tasks, and answer
//! pings.
//!
//! Many share one connection: a process may have 20,000 descriptors here, on both sides, and a
//! real agent's connection is made by another machine's processor. To the master each is an agent
//! with a stream of its own. What an agent says when it comes back is encoded before it counts.

use crate::raw::Raw;
use crate::streams::Streams;
use proto::agent_link::{AgentCall, AgentTask};
use proto::{
    AgentId, AgentInfo, Attribute, Flavor, FrameworkId, FrameworkInfo, Piece, Ranges, ResourceName,
    Resources, Role, TaskId, TaskState, Value,
};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// Agents on one connection; the master takes 128.
pub(crate) const SHARE: u32 = 100;

/// Frameworks that an agent's tasks belong to, when it has so many tasks.
const OWNERS: u32 = 5;

/// Frameworks that tasks belong to.
const FRAMEWORKS: u32 = 50;

/// All agents, and how far they are.
pub(crate) struct Crowd {
    tasks: u32,
    ids: RefCell<Vec<Option<AgentId>>>,
    /// What each says when it comes back.
    returns: RefCell<Vec<Raw>>,
    arrived: Cell<u32>,
    awaited: Cell<u32>,
    /// Why an agent is not there: an agent alone cannot end the program.
    failed: RefCell<Option<String>>,
    /// All have arrived, or one failed.
    all: Notify,
}

impl Crowd {
    /// Agents that run so many tasks each.
    pub(crate) fn new(tasks: u32) -> Rc<Self> {
        Rc::new(Self {
            tasks,
            ids: RefCell::default(),
            returns: RefCell::default(),
            arrived: Cell::new(0),
            awaited: Cell::new(u32::MAX),
            failed: RefCell::default(),
            all: Notify::new(),
        })
    }

    /// So many agents have registered at some time.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.ids.borrow().len()).expect("their numbers are u32")
    }

    /// Registers further agents, until there are `count`; those with tasks bring them when they come
    /// back.
    pub(crate) async fn grow(self: &Rc<Self>, address: &str, count: u32) {
        let from = self.len();
        self.ids.borrow_mut().resize(count as usize, None);
        let mut next = from;
        while next < count {
            // New agents are facts, which take their time.
            let some = next..count.min(next + 20 * SHARE);
            next = some.end;
            self.connect(address, some).await;
        }
        if self.returns.borrow().len() < count as usize {
            let new = (from..count).map(|n| self.said_on_return(n));
            self.returns.borrow_mut().extend(new);
        }
    }

    /// All agents connect, and register or come back; ends when the last is answered.
    pub(crate) async fn connect(self: &Rc<Self>, address: &str, agents: Range<u32>) {
        self.arrived.set(0);
        self.awaited.set(agents.len().try_into().expect("their numbers are u32"));
        let mut from = agents.start;
        while from < agents.end {
            let some = from..agents.end.min(from + SHARE);
            from = some.end;
            tokio::task::spawn_local(Rc::clone(self).share(address.to_owned(), some));
        }
        while self.arrived.get() < self.awaited.get() {
            self.all.notified().await;
            if let Some(problem) = &*self.failed.borrow() {
                panic!("an agent is not there: {problem}");
            }
        }
    }

    /// Bytes that the agents say when they come back.
    pub(crate) fn bytes(&self) -> usize {
        self.returns.borrow().iter().map(|call| call.0.len()).sum()
    }

    /// Agents of one connection, until it ends.
    async fn share(self: Rc<Self>, address: String, agents: Range<u32>) {
        let calls: Vec<Raw> = agents.clone().map(|n| self.call(n)).collect();
        let arrive = |place: usize, id| self.arrive(agents.start as usize + place, id);
        let lived = match Streams::connect(&address, &calls).await {
            Ok(streams) => streams.live(arrive).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(problem) = lived {
            self.failed.borrow_mut().get_or_insert(problem);
            self.all.notify_one();
        }
    }

    /// How an agent returns, or registers when it never did.
    fn call(&self, n: u32) -> Raw {
        let known = self.returns.borrow().get(n as usize).cloned();
        known.unwrap_or_else(|| registration(n))
    }

    fn arrive(&self, n: usize, new: Option<AgentId>) {
        if new.is_some() {
            self.ids.borrow_mut()[n] = new;
        }
        self.arrived.set(self.arrived.get() + 1);
        if self.arrived.get() == self.awaited.get() {
            self.all.notify_one();
        }
    }

    fn said_on_return(&self, n: u32) -> Raw {
        let id = self.ids.borrow()[n as usize].clone();
        let owners = if self.tasks == 0 { 0 } else { OWNERS.min(self.tasks) };
        let owners: Vec<FrameworkInfo> = (0..owners).map(|at| framework(n + at)).collect();
        Raw::of(&AgentCall::Reregister {
            info: info(n, id),
            version: Arc::from("1"),
            tasks: (0..self.tasks).map(|at| task(n, at, &owners)).collect(),
            frameworks: owners,
            executors: Vec::new(),
        })
    }
}

fn registration(n: u32) -> Raw {
    let (version, nonce) = (Arc::from("1"), u64::from(n));
    Raw::of(&AgentCall::Register { info: info(n, None), version, nonce })
}

/// An agent as those of Mesos' benchmarks: 24 cpus, and what an agent finds besides.
pub(crate) fn info(n: u32, id: Option<AgentId>) -> AgentInfo {
    let scalars = [("cpus", 24_000), ("mem", 98_304_000), ("disk", 1_024_000_000)];
    let mut resources = Resources::scalars(scalars);
    resources.add_piece(Piece {
        name: ResourceName::new("ports"),
        flavor: Flavor::default(),
        value: Value::Ranges(Ranges::new([(31_000, 32_000)])),
    });
    AgentInfo {
        id,
        hostname: Arc::from(format!("agent-{n:05}.example.org")),
        port: 5051,
        resources,
        attributes: vec![Attribute::text("rack", format!("r{}", n / 40))],
        domain: None,
    }
}

pub(crate) fn framework(n: u32) -> FrameworkInfo {
    let id = FrameworkId::new(format!("bench-{:04}", n % FRAMEWORKS)).expect("an id");
    FrameworkInfo { id: Some(id), ..FrameworkInfo::new("root", "bench") }
}

pub(crate) fn task(agent: u32, at: u32, owners: &[FrameworkInfo]) -> AgentTask {
    let owner = &owners[at as usize % owners.len()];
    AgentTask {
        framework_id: owner.id.clone().expect("it has one"),
        task_id: TaskId::new(format!("task-{agent:05}-{at:03}")).expect("an id"),
        name: Arc::from("serve"),
        resources: Resources::cpus_mem(1_000, 1_024_000),
        role: Role::any(),
        state: TaskState::Running,
        status: None,
        executor_id: None,
        shown: None,
    }
}
