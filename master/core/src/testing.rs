//! One door for tests, transcripts and the simulator: a small cluster around a core, and effects as
//! text.
//!
//! `Cluster` feeds inputs, takes the allocation passes that are due, checks every invariant after
//! each step, and answers with the effects, one line each. Ids are short: the master is `m`, so the
//! first framework is `m-0000`, the first agent `m-S0`, the first offer `m-O0`.

mod build;
mod operations;
mod render;

pub use build::*;
pub use operations::*;
pub use render::render;

use crate::invariants;
use crate::{Book, ConnectionId, Effect, Input, Master, Options, Order, Registry, RequestId};
use proto::agent_link::{AgentCall, AgentTask};
use proto::scheduler::{Call, CallBody, MasterInfo, Subscribe};
use proto::{
    AgentId, AgentInfo, Capability, ExecutorId, Filters, FrameworkId, FrameworkInfo, MasterId,
    Operation, Reason, Resources, Source, TaskInfo, TaskState, TaskStatus, Time,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A framework's end of its stream.
#[derive(Clone, Debug)]
pub struct FrameworkSide {
    /// Its id.
    pub id: FrameworkId,
    /// Its stream.
    pub connection: ConnectionId,
    /// What it says of itself.
    pub info: FrameworkInfo,
}

/// An agent's end of its stream.
#[derive(Clone, Debug)]
pub struct AgentSide {
    /// Its id.
    pub id: AgentId,
    /// Its stream.
    pub connection: ConnectionId,
    /// What it says of itself, with its id.
    pub info: AgentInfo,
}

/// A core, a clock, and what the core asked for.
#[derive(Debug)]
pub struct Cluster {
    /// The core.
    pub master: Master,
    /// The clock.
    pub now: Time,
    /// The effects of the last input, in order.
    pub effects: Vec<Effect>,
    /// What was published, put together.
    pub book: Book,
    options: Options,
    next: u64,
    masters: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Cluster {
    /// An empty cluster at 1000 s.
    pub fn new(options: Options) -> Self {
        Self::with_registry(options, Registry::new())
    }

    /// A master that begins to lead with these facts.
    pub fn with_registry(options: Options, registry: Registry) -> Self {
        let now = Time::from_millis(1_000_000);
        let master = Master::new(options.clone(), master_info("m"), registry, now);
        let book = book_of(&master, &options);
        Self { master, now, effects: Vec::new(), book, options, next: 0, masters: 0 }
    }

    /// The master dies and another one begins with the same registry, under the id `m1`, `m2` and
    /// so on. All streams are gone.
    pub fn restart_master(&mut self) {
        self.masters += 1;
        let info = master_info(&format!("m{}", self.masters));
        let registry = self.master.registry().clone();
        self.master = Master::new(self.options.clone(), info, registry, self.now);
        self.book = book_of(&self.master, &self.options);
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A stream that was never used.
    pub fn connection(&mut self) -> ConnectionId {
        ConnectionId(self.fresh())
    }

    /// Takes one step and checks the invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn step(&mut self, input: Input) {
        let told = format!("{input:?}");
        let before = self.effects.len();
        let facts = self.master.registry().clone();
        self.master.step(self.now, input, &mut self.effects);
        for effect in &self.effects[before..] {
            if let Effect::Publish(change) = effect {
                self.book.apply(change.clone());
            }
        }
        let mut violations = invariants::check(&self.master);
        violations.extend(invariants::lost_volumes(&facts, self.master.registry()));
        if self.options.publish_interval.is_some() {
            violations.extend(self.master.differences(&self.book));
        }
        assert!(violations.is_empty(), "after {told}: {violations:#?}");
    }

    /// Feeds one input, then lets pass what is due now; answers with the effects, one line each.
    pub fn feed(&mut self, input: Input) -> Vec<String> {
        self.effects.clear();
        self.step(input);
        self.settle();
        self.lines()
    }

    /// The effects since the last input, one line each; what was published is in `book`.
    pub fn lines(&self) -> Vec<String> {
        let told = |effect: &&Effect| !matches!(effect, Effect::Publish(_));
        self.effects.iter().filter(told).map(render).collect()
    }

    fn settle(&mut self) {
        while self.master.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.step(Input::Tick);
        }
    }

    /// Lets time pass, deadline by deadline. Pings and heartbeats are left out of the answer.
    pub fn advance(&mut self, time: Duration) -> Vec<String> {
        self.effects.clear();
        let end = self.now + time;
        while let Some(deadline) = self.master.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.step(Input::Tick);
        }
        self.now = end;
        let noise = |line: &String| line.contains("PING") || line.contains("HEARTBEAT");
        self.lines().into_iter().filter(|line| !noise(line)).collect()
    }

    /// As `advance`, with every agent answering its pings.
    pub fn advance_alive(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.now < end {
            let part = end.since(self.now).min(Duration::from_millis(500));
            all.extend(self.advance(part));
            for connection in self.agent_connections() {
                let call = AgentCall::Pong { sequence: 0 };
                all.extend(self.feed(Input::AgentCall { connection, call }));
            }
        }
        all
    }

    fn agent_connections(&self) -> Vec<ConnectionId> {
        self.master.links.keys().copied().collect()
    }

    /// A new agent `h<n>` registers.
    pub fn agent(&mut self, resources: Resources) -> AgentSide {
        let host = format!("h{}", self.next);
        self.agent_from(agent_info(&host, resources))
    }

    /// A new agent registers.
    ///
    /// # Panics
    /// When it is not admitted.
    pub fn agent_from(&mut self, info: AgentInfo) -> AgentSide {
        let connection = self.connection();
        let nonce = connection.0;
        let call = AgentCall::Register { info: info.clone(), version: Arc::from("0.1.0"), nonce };
        self.feed(Input::AgentCall { connection, call });
        let ord = self.master.links.get(&connection).expect("the agent is admitted");
        let id = self.master.agents[*ord].id.clone();
        AgentSide { info: AgentInfo { id: Some(id.clone()), ..info }, id, connection }
    }

    /// An agent says something.
    pub fn agent_call(&mut self, agent: &AgentSide, call: AgentCall) -> Vec<String> {
        self.feed(Input::AgentCall { connection: agent.connection, call })
    }

    /// An agent comes back on a new stream with these tasks.
    pub fn reregister(
        &mut self,
        agent: &mut AgentSide,
        tasks: Vec<AgentTask>,
        frameworks: &[&FrameworkSide],
    ) -> Vec<String> {
        agent.connection = self.connection();
        let describe = |side: &&FrameworkSide| FrameworkInfo {
            id: Some(side.id.clone()),
            ..side.info.clone()
        };
        let call = AgentCall::Reregister {
            info: agent.info.clone(),
            version: Arc::from("0.1.0"),
            tasks,
            frameworks: frameworks.iter().map(describe).collect(),
            executors: Vec::new(),
        };
        self.agent_call(agent, call)
    }

    /// An agent's stream ends.
    pub fn close_agent(&mut self, agent: &AgentSide) -> Vec<String> {
        self.feed(Input::AgentClosed { connection: agent.connection })
    }

    /// An agent reports a state, which is also the newest, under the uuid of `byte`.
    pub fn update(
        &mut self,
        agent: &AgentSide,
        framework: &FrameworkSide,
        id: &str,
        state: TaskState,
        byte: u8,
    ) -> Vec<String> {
        self.update_late(agent, framework, id, (state, state), byte)
    }

    /// As `update`, with the reported and the newest state.
    pub fn update_late(
        &mut self,
        agent: &AgentSide,
        framework: &FrameworkSide,
        id: &str,
        (state, latest_state): (TaskState, TaskState),
        byte: u8,
    ) -> Vec<String> {
        let mut status = TaskStatus::new(task_id(id), state, Source::Executor, self.now);
        status.agent_id = Some(agent.id.clone());
        status.uuid = Some(uuid(byte));
        let framework_id = framework.id.clone();
        let call = AgentCall::Update { framework_id, status: Box::new(status), latest_state };
        self.agent_call(agent, call)
    }

    /// A framework `f<n>` of role `*`, partition-aware, subscribes.
    pub fn framework(&mut self) -> FrameworkSide {
        let name = format!("f{}", self.next);
        self.framework_from(framework_info(&name, &["*"], &[Capability::PartitionAware]))
    }

    /// A framework subscribes.
    ///
    /// # Panics
    /// When it is refused.
    pub fn framework_from(&mut self, info: FrameworkInfo) -> FrameworkSide {
        let connection = self.connection();
        self.subscribe(connection, None, info.clone());
        let ord = self.master.streams.get(&connection).expect("the framework is subscribed");
        FrameworkSide { id: self.master.frameworks[*ord].id.clone(), connection, info }
    }

    /// A SUBSCRIBE.
    pub fn subscribe(
        &mut self,
        connection: ConnectionId,
        framework_id: Option<FrameworkId>,
        info: FrameworkInfo,
    ) -> Vec<String> {
        let info = FrameworkInfo { id: framework_id.clone(), ..info };
        let call = Box::new(Subscribe {
            framework_info: info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
        });
        self.feed(Input::Subscribe { connection, framework_id, call, principal: None })
    }

    /// A framework subscribes again on a new stream.
    pub fn resubscribe(&mut self, framework: &mut FrameworkSide) -> Vec<String> {
        framework.connection = self.connection();
        let (id, info) = (framework.id.clone(), framework.info.clone());
        self.subscribe(framework.connection, Some(id), info)
    }

    /// A framework's stream ends.
    pub fn close_framework(&mut self, framework: &FrameworkSide) -> Vec<String> {
        self.feed(Input::FrameworkClosed { connection: framework.connection })
    }

    /// A framework calls.
    pub fn call(&mut self, framework: &FrameworkSide, body: CallBody) -> Vec<String> {
        let request = RequestId(self.fresh());
        let call = Call { framework_id: Some(framework.id.clone()), body };
        let connection = Some(framework.connection);
        let lines = self.feed(Input::Call { request, connection, call });
        // What was accepted is the rule; the number of the request tells nothing.
        let end = format!("{request} accepted");
        lines.into_iter().filter(|line| *line != end).collect()
    }

    /// A framework accepts offers and launches tasks, with a filter of 5 s on the rest.
    pub fn launch(
        &mut self,
        framework: &FrameworkSide,
        offers: &[&str],
        tasks: Vec<TaskInfo>,
    ) -> Vec<String> {
        let body = CallBody::Accept {
            offer_ids: offers.iter().map(|id| offer_id(id)).collect(),
            operations: vec![Operation::Launch(tasks)],
            filters: Filters::DEFAULT,
        };
        self.call(framework, body)
    }

    /// A framework declines offers.
    pub fn decline(
        &mut self,
        framework: &FrameworkSide,
        offers: &[&str],
        refuse: Duration,
    ) -> Vec<String> {
        let offer_ids = offers.iter().map(|id| offer_id(id)).collect();
        self.call(framework, CallBody::Decline { offer_ids, filters: Filters { refuse } })
    }

    /// A framework acknowledges.
    pub fn acknowledge(
        &mut self,
        framework: &FrameworkSide,
        agent: &AgentSide,
        id: &str,
        byte: u8,
    ) -> Vec<String> {
        let (agent_id, task_id, uuid) = (agent.id.clone(), task_id(id), uuid(byte));
        self.call(framework, CallBody::Acknowledge { agent_id, task_id, uuid })
    }

    /// An operator orders something of an agent.
    pub fn order(&mut self, order: Order) -> Vec<String> {
        let request = RequestId(self.fresh());
        self.feed(Input::Order { request, order })
    }

    /// An operator sets quotas: role, guarantees and limits in Mesos' short form, `cpus:2;mem:64`.
    /// A role with neither has none any more.
    pub fn set_quota(&mut self, quotas: &[(&str, &str, &str)], force: bool) -> Vec<String> {
        let one = |(name, guarantees, limits): &(&str, &str, &str)| {
            (role(name), quota(guarantees, limits))
        };
        let (request, quotas) = (RequestId(self.fresh()), quotas.iter().map(one).collect());
        self.feed(Input::SetQuota { request, quotas, force })
    }

    /// As `set_quota`, which must not be refused; whatever is consumed.
    ///
    /// # Panics
    /// When it is refused.
    pub fn quota(&mut self, quotas: &[(&str, &str, &str)]) -> Vec<String> {
        let lines = self.set_quota(quotas, true);
        assert!(!lines.iter().any(|line| line.contains("refused")), "{lines:?}");
        lines
    }

    /// An operator calls.
    pub fn operator(&mut self, call: proto::operator::Call) -> Vec<String> {
        let request = RequestId(self.fresh());
        self.feed(Input::Operator { request, call })
    }
}

fn book_of(master: &Master, options: &Options) -> Book {
    let mut book = Book::new(options.completed_tasks);
    master.snapshot().into_iter().for_each(|change| book.apply(change));
    book
}

fn master_info(id: &str) -> MasterInfo {
    MasterInfo {
        id: MasterId::new(id).expect("a test's id is valid"),
        hostname: Arc::from("localhost"),
        ip: 0,
        port: 5050,
        version: Arc::from("1.11.0"),
    }
}

/// A status as the agent would send it, for tests that need its parts.
pub fn status(id: &str, state: TaskState, reason: Option<Reason>) -> TaskStatus {
    let mut status = TaskStatus::new(task_id(id), state, Source::Agent, Time::ZERO);
    status.reason = reason;
    status
}

/// An executor's id.
pub fn executor_id(id: &str) -> ExecutorId {
    ExecutorId::new(id).expect("a test's id is valid")
}

/// Compares lines with what was expected, as text, so that a failure reads as a transcript.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn expect(lines: &[String], expected: &[&str]) {
    let (is, wanted) = (lines.join("\n"), expected.join("\n"));
    assert!(is == wanted, "expected:\n{wanted}\n\nbut it is:\n{is}\n");
}
