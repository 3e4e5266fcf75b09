//! The world: one thread, one clock, one heap of events, and every node of a cluster.
//!
//! Events happen in the order of (time, number), and everything that is left to chance comes from
//! the run's seed, so a run is a function of its setup. It must never read a real clock, draw real
//! entropy or iterate anything without an order.

use crate::clocks::Clocks;
use crate::cluster;
use crate::faults::{Fault, Faults};
use crate::network::{Conn, Direction, Due, Network, Peer};
use crate::node::FrameworkNode;
use crate::node::agent::AgentNode;
use crate::node::master::MasterNode;
use crate::node::operator::OperatorNode;
use crate::oracle::{Oracle, Violation, restless};
use crate::prng::Prng;
use crate::trace::{Log, Trace};
use proto::agent_link::{AgentCall, Command};
use proto::scheduler::{self, Call};
use proto::{ContainerId, TaskOutcome, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// What a run is a function of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The seed.
    pub seed: u64,
    /// How long faults may happen, in simulated minutes.
    pub minutes: u64,
    /// Where the trace goes.
    pub log: Log,
    /// Instead of the faults that the seed draws.
    pub faults: Option<Faults>,
    /// The master's invariants are looked at after each step, also after those that decide
    /// nothing: slow, and names the step at which one broke.
    pub thorough: bool,
    /// A defect of the shells that the judge must notice.
    pub plant: Option<Plant>,
}

/// A planted defect: persists of these nodes are no barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Of the master.
    LeakyMaster,
    /// Of all agents.
    LeakyAgents,
    /// Of all drivers.
    LeakyDrivers,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub hash: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// What was broken, if anything was.
    pub failure: Option<Failure>,
    /// The last lines of the trace, if they were kept.
    pub lines: Vec<String>,
    /// What ran and what was done to it, for people.
    pub summary: String,
}

/// A broken invariant, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is broken.
    pub violation: Violation,
    /// When, since the start.
    pub at: Duration,
    /// At which step.
    pub step: u64,
}

/// A node with a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// The master.
    Master,
    /// An agent.
    Agent(usize),
    /// A framework of the driver.
    Framework(usize),
}

/// What travels on a stream.
#[derive(Clone, Debug)]
pub enum Packet {
    /// From an agent.
    AgentCall(AgentCall),
    /// To an agent.
    AgentEvent(Command),
    /// From a framework.
    Call(Call),
    /// To a framework.
    Event(scheduler::Event),
}

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A core's deadline.
    Wake {
        node: Node,
    },
    /// A flush is done.
    Flushed {
        node: Node,
        incarnation: u64,
    },
    /// Something may arrive.
    Arrive {
        conn: Conn,
        way: Direction,
    },
    /// A way is free again.
    Freed {
        peer: Peer,
    },
    /// A dialled connection opens, if it can.
    Dialled {
        conn: Conn,
    },
    /// A dialled connection has waited for too long.
    DialTimeout {
        conn: Conn,
    },
    /// An HTTP request arrives.
    Http {
        framework: usize,
        stream: Option<Conn>,
        call: Box<Call>,
    },
    /// The supervisor's word reaches the agent.
    SupervisorSays {
        agent: usize,
        incarnation: u64,
        input: Box<agent_core::Input>,
    },
    /// A process ends.
    ProcessEnds {
        agent: usize,
        boot: u64,
        container_id: ContainerId,
        outcome: Box<TaskOutcome>,
    },
    StartMaster,
    StartAgent(usize),
    StartDriver(usize),
    /// An HTTP framework does something by itself.
    RawActs(usize),
    /// The operator asks for something.
    OperatorActs,
    /// The drivers' owners look at their plans.
    Work,
    /// A fault.
    Fault {
        fault: Fault,
        mean: Duration,
    },
    /// Nothing goes wrong any more.
    Heal,
    /// The state is looked at as a whole.
    Audit,
}

#[derive(Debug)]
struct Scheduled {
    at: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) now: Time,
    pub(crate) random: Prng,
    pub(crate) faults: Faults,
    pub(crate) master: MasterNode,
    pub(crate) agents: Vec<AgentNode>,
    pub(crate) frameworks: Vec<FrameworkNode>,
    pub(crate) operator: OperatorNode,
    pub(crate) network: Network<Packet>,
    pub(crate) oracle: Oracle,
    pub(crate) trace: Trace,
    heap: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    wakes: BTreeMap<Node, Time>,
    pub(crate) clocks: Clocks,
    pub(crate) slow: BTreeMap<Node, Time>,
    failure: Option<Failure>,
    /// Events at the present instant.
    crowd: u32,
    pub(crate) converged: bool,
    pub(crate) healed_at: Option<Time>,
}

/// The time that traces show as zero.
pub const START: Time = Time::from_millis(1_000_000_000_000);
/// More events than this at one instant are a cluster that spins.
const CROWD: u32 = 100_000;

impl World {
    /// The cluster of a setup, about to start.
    pub fn new(setup: Setup) -> Self {
        let root = Prng::new(setup.seed);
        let faults = setup.faults.clone();
        let faults = faults.unwrap_or_else(|| Faults::draw(&mut root.split("faults")));
        let end = START + Duration::from_secs(60 * setup.minutes);
        let mut network = Network::new(root.split("network"));
        let drawn = cluster::draw(&root, end, &mut network);
        let mut oracle = Oracle::default();
        oracle.stands(drawn.master.domain.clone());
        let mut world = Self {
            now: START,
            random: root.split("world"),
            faults,
            master: MasterNode::new(drawn.master),
            agents: drawn.agents,
            frameworks: drawn.frameworks,
            operator: OperatorNode::draw(root.split("operator")),
            network,
            oracle,
            trace: Trace::new(setup.log, START),
            heap: BinaryHeap::new(),
            scheduled: 0,
            wakes: BTreeMap::new(),
            clocks: Clocks::default(),
            slow: BTreeMap::new(),
            failure: None,
            crowd: 0,
            converged: false,
            healed_at: None,
            setup,
        };
        world.plant();
        world.schedule_start(end);
        world
    }

    fn plant(&mut self) {
        match self.setup.plant {
            None => {}
            Some(Plant::LeakyMaster) => self.master.outbox.leak(),
            Some(Plant::LeakyAgents) => {
                self.agents.iter_mut().for_each(|agent| agent.outbox.leak());
            }
            Some(Plant::LeakyDrivers) => {
                let drivers = self.frameworks.iter_mut().filter_map(FrameworkNode::driver_mut);
                drivers.for_each(|driver| driver.outbox.leak());
            }
        }
    }

    fn schedule_start(&mut self, end: Time) {
        self.schedule(START, Event::StartMaster);
        for i in 0..self.agents.len() {
            let at = START + self.random.millis(0, 2000);
            self.schedule(at, Event::StartAgent(i));
        }
        for i in 0..self.frameworks.len() {
            let at = START + self.random.millis(0, 2000);
            let event = match self.frameworks[i] {
                FrameworkNode::Driver(_) => Event::StartDriver(i),
                FrameworkNode::Raw(_) => Event::RawActs(i),
            };
            self.schedule(at, event);
        }
        for (fault, mean) in self.faults.timed().to_vec() {
            let wait = self.random.wait(mean);
            self.schedule(START + wait, Event::Fault { fault, mean });
        }
        self.schedule(START + Duration::from_secs(1), Event::OperatorActs);
        self.schedule(START + Duration::from_secs(1), Event::Work);
        self.schedule(START + Duration::from_secs(5), Event::Audit);
        self.schedule(end, Event::Heal);
    }

    /// Runs until the cluster has converged after the fault phase, or something is broken.
    pub fn run(mut self) -> Report {
        while self.failure.is_none() && !self.converged {
            if !self.advance() {
                break;
            }
        }
        self.report()
    }

    /// Takes the next event; false when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(Reverse(next)) = self.heap.pop() else { return false };
        self.crowd = if next.at > self.now { 0 } else { self.crowd + 1 };
        self.now = self.now.max(next.at);
        if self.crowd > CROWD {
            let what = format!("{CROWD} events at one instant, the next is {:?}", next.event);
            self.violated(restless(what));
            return true;
        }
        self.handle(next.event);
        if let Some(violation) = self.oracle.take() {
            self.violated(violation);
        }
        true
    }

    fn report(self) -> Report {
        let summary = format!(
            "{} agents, {} frameworks, faults: {}",
            self.agents.len(),
            self.frameworks.len(),
            self.faults.names()
        );
        Report {
            seed: self.setup.seed,
            hash: self.trace.hash(),
            steps: self.trace.steps(),
            simulated: self.now.since(START),
            failure: self.failure,
            lines: self.trace.lines().map(str::to_owned).collect(),
            summary,
        }
    }

    /// Notes the first broken invariant; the run ends.
    pub(crate) fn violated(&mut self, violation: Violation) {
        if self.failure.is_none() {
            let (at, step) = (self.now.since(START), self.trace.steps());
            self.failure = Some(Failure { violation, at, step });
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake { node } => self.wake(node),
            Event::Flushed { node, incarnation } => self.flushed(node, incarnation),
            Event::Arrive { conn, way } => self.arrive(conn, way),
            Event::Freed { peer } => {
                for due in self.network.released(self.now, peer) {
                    self.schedule_arrival(Some(due));
                }
            }
            Event::Dialled { conn } => self.dialled(conn),
            Event::DialTimeout { conn } => self.dial_failed(conn),
            Event::Http { framework, stream, call } => self.http(framework, stream, call),
            Event::SupervisorSays { agent, incarnation, input } => {
                if self.agents[agent].incarnation == incarnation {
                    self.step_agent(agent, *input);
                }
            }
            Event::ProcessEnds { agent, boot, container_id, outcome } => {
                self.process_ends(agent, boot, container_id, *outcome);
            }
            Event::StartMaster => self.start_master(),
            Event::StartAgent(i) => self.start_agent(i),
            Event::StartDriver(i) => self.start_driver(i),
            Event::RawActs(i) => self.raw_acts(i),
            Event::OperatorActs => self.operator_acts(),
            Event::Work => {
                for i in 0..self.frameworks.len() {
                    self.work(i);
                }
                self.schedule_in(Duration::from_secs(1), Event::Work);
            }
            Event::Fault { fault, mean } => self.fault(fault, mean),
            Event::Heal => self.heal(),
            Event::Audit => self.audit(),
        }
    }

    pub(crate) fn schedule(&mut self, at: Time, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    pub(crate) fn schedule_in(&mut self, wait: Duration, event: Event) {
        self.schedule(self.now + wait, event);
    }

    pub(crate) fn schedule_arrival(&mut self, due: Option<Due>) {
        if let Some((at, conn, way)) = due {
            self.schedule(at, Event::Arrive { conn, way });
        }
    }

    /// The present time by a node's own clock.
    pub(crate) fn clock(&self, node: Node) -> Time {
        self.clocks.local(node, self.now)
    }

    /// Sees to it that the node is woken at its deadline, by its own clock.
    pub(crate) fn arrange_wake(&mut self, node: Node, deadline: Option<Time>) {
        let at = deadline.map(|at| self.clocks.global(node, at).max(self.now));
        let Some(at) = at else { return };
        if self.wakes.get(&node).is_none_or(|planned| at < *planned) {
            self.wakes.insert(node, at);
            self.schedule(at, Event::Wake { node });
        }
    }

    /// A node that is no more is not woken.
    pub(crate) fn clear_wake(&mut self, node: Node) {
        self.wakes.remove(&node);
    }

    fn wake(&mut self, node: Node) {
        if self.wakes.get(&node) != Some(&self.now) {
            return;
        }
        self.wakes.remove(&node);
        let deadline = match node {
            Node::Master => self.master.core.as_ref().and_then(master_core::Master::deadline),
            Node::Agent(i) => self.agents[i].core.as_ref().and_then(agent_core::Agent::deadline),
            Node::Framework(i) => {
                let core = self.frameworks[i].driver().and_then(|node| node.core.as_ref());
                core.and_then(driver::core::Scheduler::deadline)
            }
        };
        if deadline.is_none_or(|at| at > self.clock(node)) {
            self.arrange_wake(node, deadline);
            return;
        }
        match node {
            Node::Master => self.step_master(master_core::Input::Tick),
            Node::Agent(i) => self.step_agent(i, agent_core::Input::Tick),
            Node::Framework(i) => self.step_driver(i, driver::core::Input::Tick),
        }
    }

    /// A flush began: it is done when the disk is.
    pub(crate) fn flush_later(&mut self, node: Node, incarnation: u64) {
        let slow = self.slow.get(&node).is_some_and(|until| *until > self.now);
        let wait = if slow { self.random.millis(50, 3000) } else { self.random.millis(0, 3) };
        self.schedule_in(wait, Event::Flushed { node, incarnation });
    }

    fn flushed(&mut self, node: Node, incarnation: u64) {
        match node {
            Node::Master if self.master.incarnation == incarnation => {
                self.master_flushed();
            }
            Node::Agent(i) if self.agents[i].incarnation == incarnation => {
                self.agents[i].outbox.end_flush();
                self.pump_agent(i);
            }
            Node::Framework(i) => {
                let Some(driver) = self.frameworks[i].driver_mut() else { return };
                if driver.incarnation == incarnation {
                    driver.outbox.end_flush();
                    self.pump_driver(i);
                }
            }
            Node::Master | Node::Agent(_) => {}
        }
    }
}
