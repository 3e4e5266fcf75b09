//! The world: one thread, one clock, one heap of events, and every node of a cluster.
//!
//! Events happen in the order of (time, number), and everything that is left to chance comes from
//! the run's seed, so a run is a function of its setup. It must never read a real clock, draw real
//! entropy or iterate anything without an order.

use crate::clocks::Clocks;
use crate::cluster;
use crate::events::Scheduled;
pub(crate) use crate::events::{Event, Node, Packet};
use crate::faults::Faults;
use crate::group::{Group, Happening, Masters};
use crate::measures::{Measured, Measures};
use crate::network::{Direction, Due, Network};
use crate::node::FrameworkNode;
use crate::node::agent::AgentNode;
use crate::node::master::MasterNode;
use crate::node::operator::OperatorNode;
use crate::oracle::{Oracle, Violation, restless};
use crate::prng::Prng;
use crate::streams::DIAL_TIMEOUT;
use crate::trace::{Log, Trace};
use proto::Time;
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
    /// Instead of the masters that the seed draws.
    pub masters: Option<Masters>,
    /// The only master that agents and frameworks know of from the start; all of them otherwise.
    pub listed: Option<usize>,
    /// The master's invariants are looked at after each step, also after those that decide
    /// nothing: slow, and names the step at which one broke.
    pub thorough: bool,
    /// A defect of the shells that the judge must notice.
    pub plant: Option<Plant>,
}

/// A planted defect of what stands for the shells: the judge must notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Persists of the masters are no barriers.
    LeakyMaster,
    /// Persists of all agents are none.
    LeakyAgents,
    /// Persists of all drivers are none.
    LeakyDrivers,
    /// Agents do not look at the epoch of who speaks to them, and masters do not notice that they
    /// lost the lead, as when they are stopped and go on.
    DeafAgents,
    /// A master leads as soon as it has proposed that it begins an epoch.
    EpochNotAwaited,
    /// A master that is elected does not ask whether what it has is new.
    ReadNotAwaited,
    /// A master that loses the lead keeps its core and its streams.
    CoreKept,
    /// A master that believes that it leads answers without asking whether it does.
    StaleAnswers,
    /// What was dropped is taken for agreed upon.
    DroppedIsDone,
    /// A member acknowledges entries before they are durable.
    EarlyWrites,
    /// A member that lost the end of its log says nothing of it.
    SilentlyTorn,
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
    /// Who led when.
    pub measured: Measured,
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

/// The world.
#[derive(Debug)]
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) now: Time,
    pub(crate) random: Prng,
    pub(crate) faults: Faults,
    pub(crate) masters: Vec<MasterNode>,
    pub(crate) group: Option<Group>,
    /// Whether the words of the registrars are being taken.
    pub(crate) listening: bool,
    pub(crate) measures: Measures,
    who: Masters,
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
        let masters = setup.masters;
        let masters = masters.unwrap_or_else(|| Masters::draw(&mut root.split("masters")));
        let faults = setup.faults.clone();
        let faults = faults.unwrap_or_else(|| Faults::draw(&mut root.split("faults"), masters));
        let end = START + Duration::from_secs(60 * setup.minutes);
        let mut network = Network::new(root.split("network"));
        let count = masters.count();
        let listed = setup.listed.map_or((0..count).collect(), |only| vec![only]);
        let drawn = cluster::draw(&root, (count, &listed), end, &mut network);
        let master = |host| MasterNode::new(host, masters, drawn.master.clone());
        let mut oracle = Oracle::default();
        oracle.stands(drawn.master.domain.clone());
        let mut world = Self {
            now: START,
            random: root.split("world"),
            faults,
            masters: (0..count).map(master).collect(),
            group: Group::new(masters, root.split("group")),
            listening: false,
            measures: Measures::default(),
            who: masters,
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
            Some(Plant::LeakyMaster) => {
                self.masters.iter_mut().for_each(|master| master.outbox.leak());
            }
            Some(Plant::LeakyAgents) => {
                self.agents.iter_mut().for_each(|agent| agent.outbox.leak());
            }
            Some(Plant::LeakyDrivers) => {
                let drivers = self.frameworks.iter_mut().filter_map(FrameworkNode::driver_mut);
                drivers.for_each(|driver| driver.outbox.leak());
            }
            plant => {
                if let Some(group) = &mut self.group {
                    group.ground.plant = plant;
                }
            }
        }
    }

    fn schedule_start(&mut self, end: Time) {
        for host in 0..self.masters.len() {
            self.schedule(START, Event::StartMaster(host));
        }
        if self.group.is_some() {
            self.schedule(START, Event::Group(Box::new(Happening::Review)));
        }
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

    fn report(mut self) -> Report {
        if let Some(group) = &self.group {
            let measured = &mut self.measures.measured;
            measured.elections = group.elections();
            measured.points = group.ground.points.hit.clone();
        }
        let summary = format!(
            "{}, {} agents, {} frameworks, faults: {}",
            self.who,
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
            measured: self.measures.measured,
        }
    }

    /// Notes the first broken invariant; the run ends.
    pub(crate) fn violated(&mut self, violation: Violation) {
        if self.failure.is_none() {
            let (at, step) = (self.now.since(START), self.trace.steps());
            self.failure = Some(Failure { violation, at, step });
        }
    }

    /// Which master's process an event is for.
    fn host_of(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Wake { node: Node::Master(host) }
            | Event::Flushed { node: Node::Master(host), .. }
            | Event::Http { host, .. }
            | Event::LeadAgain { host } => Some(*host),
            Event::Arrive { conn, way: Direction::Up } | Event::Dialled { conn } => {
                self.network.host(*conn)
            }
            Event::Group(happening) => happening.host(),
            _ => None,
        }
    }

    /// Whether the event waits for a process that is stopped.
    fn hold(&mut self, event: Event) -> Option<Event> {
        let Some(group) = &self.group else { return Some(event) };
        let stopped = |host: &usize| group.ground.hosts[*host].paused;
        let Some(host) = self.host_of(&event).filter(stopped) else { return Some(event) };
        if let Event::Dialled { conn } = event {
            // Whoever dials does not wait for ever.
            self.schedule_in(DIAL_TIMEOUT, Event::DialTimeout { conn });
        }
        self.masters[host].held.push(event);
        None
    }

    fn handle(&mut self, event: Event) {
        let Some(event) = self.hold(event) else { return };
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
            Event::DialTimeout { conn } => self.dial_failed(conn, None),
            Event::Http { framework, host, stream, call } => {
                self.http(framework, host, stream, call);
            }
            Event::SupervisorSays { agent, incarnation, input } => {
                if self.agents[agent].incarnation == incarnation {
                    self.step_agent(agent, *input);
                }
            }
            Event::ProcessEnds { agent, boot, container_id, outcome } => {
                self.process_ends(agent, boot, container_id, *outcome);
            }
            Event::Group(happening) => {
                if let Some(group) = &mut self.group {
                    group.happens(self.now, *happening);
                    self.listen();
                }
            }
            Event::StartMaster(host) => self.start_master(host),
            Event::Resume { host, incarnation } => {
                if self.masters[host].incarnation == incarnation {
                    self.resume_master(host);
                }
            }
            Event::LeadAgain { host } => self.lead_again(host),
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
            Node::Master(host) => {
                self.masters[host].core.as_ref().and_then(master_core::Master::deadline)
            }
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
            Node::Master(host) => self.step_master(host, master_core::Input::Tick),
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
            Node::Master(host) if self.masters[host].incarnation == incarnation => {
                self.master_flushed(host);
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
            Node::Master(_) | Node::Agent(_) => {}
        }
    }
}
