//! An agent: the core, its checkpoint, its link to the master, and the supervisor beside it.

use crate::network::{Conn, Direction, Peer};
use crate::node::checkpoint::Checkpoint;
use crate::node::disk::Disk;
use crate::node::supervisor::{Conduct, Supervisor};
use crate::oracle::Violation;
use crate::storage::Outbox;
use crate::streams::Dialled;
use crate::world::{Event, Node, Packet, Plant, World};
use agent_core::{Agent, Effect, Input, Launch, Options, Volume, VolumeOrder};
use proto::agent_link::Command;
use proto::{ContainerId, Exit, TaskOutcome, Time};
use std::sync::Arc;
use std::time::Duration;

/// One agent's host.
#[derive(Debug)]
pub(crate) struct AgentNode {
    pub(crate) name: String,
    pub(crate) options: Options,
    pub(crate) core: Option<Agent>,
    pub(crate) outbox: Outbox<Checkpoint, Effect>,
    pub(crate) incarnation: u64,
    /// Starts of the host so far.
    pub(crate) boot: u64,
    pub(crate) supervisor: Supervisor,
    pub(crate) disk: Disk,
    /// Whether the supervisor is the one that the last run of the agent used.
    supervisor_continued: bool,
    /// The core's number of the stream, and the stream.
    link: Option<(u64, Conn)>,
    /// Which of the masters is tried next, and whom one of them named as the leader.
    next: usize,
    leader: Option<usize>,
    /// When the supervisor's last word arrives.
    said: Time,
    /// The process is killed after this many more steps, in the middle of the last.
    pub(crate) crash_in: Option<u32>,
    /// So many of its next starts do not end well.
    pub(crate) doomed: u32,
}

impl AgentNode {
    /// A host that is not started yet.
    pub(crate) fn new(name: String, options: Options) -> Self {
        Self {
            name,
            options,
            core: None,
            outbox: Outbox::default(),
            incarnation: 0,
            boot: 0,
            supervisor: Supervisor::default(),
            disk: Disk::default(),
            supervisor_continued: true,
            link: None,
            next: 0,
            leader: None,
            said: Time::ZERO,
            crash_in: None,
            doomed: 0,
        }
    }
}

impl World {
    /// Starts the agent's process.
    pub(crate) fn start_agent(&mut self, i: usize) {
        if self.agents[i].core.is_some() {
            return;
        }
        let seed = self.random.number();
        self.clocks.start(Node::Agent(i));
        let now = self.clock(Node::Agent(i));
        let node = &mut self.agents[i];
        node.incarnation += 1;
        if node.doomed > 0 {
            node.doomed -= 1;
            node.crash_in = Some(self.random.between(1, 5) as u32);
        }
        node.options.boot_id = format!("boot-{}", node.boot).into();
        let mut recovered = node.outbox.durable().recovered();
        recovered.supervisor_continued = std::mem::replace(&mut node.supervisor_continued, true);
        recovered.containers = node.supervisor.report();
        for container in &mut recovered.containers {
            // Told in time since boot, and understood by the clock of this start.
            container.started = self.clocks.local(Node::Agent(i), container.started);
        }
        self.oracle.agent_started(i, &recovered);
        node.core = Some(Agent::new(node.options.clone(), seed, recovered, now));
        self.trace.happened(self.now, &self.agents[i].name, &"agent starts");
        self.step_agent(i, Input::Tick);
    }

    /// Kills the agent's process; the supervisor and the tasks go on.
    pub(crate) fn crash_agent(&mut self, i: usize) {
        let node = &mut self.agents[i];
        if node.core.take().is_none() {
            return;
        }
        node.incarnation += 1;
        node.crash_in = None;
        node.outbox.crash(&mut self.random);
        let link = node.link.take();
        self.trace.happened(self.now, &self.agents[i].name, &"agent is killed");
        self.clear_wake(Node::Agent(i));
        if let Some((_, conn)) = link {
            self.abandon(conn, Direction::Up);
        }
    }

    /// Records of an agent that is not running become unreadable.
    pub(crate) fn damage_records(&mut self, i: usize) {
        let tasks = self.agents[i].outbox.durable_mut().damage(&mut self.random);
        let what = format_args!("records of {tasks:?} are damaged");
        self.trace.happened(self.now, &self.agents[i].name, &what);
        self.oracle.records_damaged(tasks);
    }

    /// The supervisor is lost with all its tasks.
    pub(crate) fn crash_supervisor(&mut self, i: usize) {
        self.trace.happened(self.now, &self.agents[i].name, &"supervisor is lost");
        self.lose_processes(i);
        if self.agents[i].core.is_some() {
            self.step_agent(i, Input::Supervisor { containers: Vec::new() });
        } else {
            self.agents[i].supervisor_continued = false;
        }
    }

    /// The host goes down with everything on it.
    pub(crate) fn crash_host(&mut self, i: usize) {
        self.crash_agent(i);
        self.trace.happened(self.now, &self.agents[i].name, &"host goes down");
        self.lose_processes(i);
        self.agents[i].boot += 1;
        self.agents[i].supervisor_continued = false;
    }

    fn lose_processes(&mut self, i: usize) {
        for id in self.agents[i].supervisor.lose_all() {
            self.oracle.process_ended(i, &id);
        }
        // Ends that are scheduled are for processes that are no more.
    }

    /// Feeds the core and performs what may be performed.
    pub(crate) fn step_agent(&mut self, i: usize, input: Input) {
        self.step_agent_told(i, None, input);
    }

    /// `told` is the epoch of the master that says it, if one does.
    fn step_agent_told(&mut self, i: usize, told: Option<u64>, input: Input) {
        let node = &mut self.agents[i];
        let Some(core) = &mut node.core else { return };
        self.trace.input(self.now, &node.name, &input);
        let mut effects = Vec::new();
        let now = self.clocks.local(Node::Agent(i), self.now);
        core.step(now, input, &mut effects);
        self.trace.effects(&effects, |effect| format!("{effect:?}"));
        if let Err(broken) = core.check(now) {
            let what = format!("{}: {}", node.name, broken.text);
            self.violated(Violation { id: broken.id, what });
            return;
        }
        let crashes = node.crash_in.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        if crashes {
            effects.truncate(self.random.index(effects.len() + 1));
        }
        self.oracle.agent_stepped(i, core, &effects);
        if let Some(epoch) = told {
            self.oracle.agent_hears(i, epoch, &effects);
        }
        let outbox = &mut self.agents[i].outbox;
        let mut forgets = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(op) => outbox.persist(op),
                Effect::Record(op) => outbox.record(op),
                // The supervisor has it before what follows is written, as in the shell, whose
                // orders leave before the commit of their round begins.
                effect @ Effect::Forget { .. } => forgets.push(effect),
                effect => outbox.push(effect),
            }
        }
        forgets.into_iter().for_each(|effect| self.perform_of_agent(i, effect));
        self.pump_agent(i);
        if crashes {
            self.crash_agent(i);
            let down = self.random.millis(50, 5000);
            self.schedule_in(down, Event::StartAgent(i));
            return;
        }
        let deadline = self.agents[i].core.as_ref().and_then(Agent::deadline);
        self.arrange_wake(Node::Agent(i), deadline);
    }

    /// Performs what waits no longer, and flushes what is written.
    pub(crate) fn pump_agent(&mut self, i: usize) {
        while let Some(effect) = self.agents[i].outbox.ready() {
            self.oracle.agent_says(i, &effect);
            self.perform_of_agent(i, effect);
        }
        if self.agents[i].outbox.begin_flush() {
            let incarnation = self.agents[i].incarnation;
            self.flush_later(Node::Agent(i), incarnation);
        }
    }

    fn perform_of_agent(&mut self, i: usize, effect: Effect) {
        match effect {
            Effect::Launch(launch) => self.launch(i, *launch),
            Effect::Kill { container_id, grace } => self.kill(i, &container_id, grace),
            Effect::Forget { container_id } => {
                if self.agents[i].supervisor.alive(&container_id).is_none() {
                    self.agents[i].supervisor.forget(&container_id);
                }
            }
            Effect::Connect { link } => {
                let listed = self.listed(self.agents[i].next);
                let host = self.agents[i].leader.unwrap_or(listed);
                let conn = self.dial(Peer::Agent(i), host);
                self.agents[i].link = Some((link, conn));
            }
            Effect::Disconnect { link } => {
                if let Some((_, conn)) = self.agents[i].link.take_if(|(number, _)| *number == link)
                {
                    self.hang_up(conn, Direction::Up);
                }
            }
            Effect::ToMaster { link, call } => {
                let current = self.agents[i].link.filter(|(number, _)| *number == link);
                if let Some((_, conn)) = current {
                    self.send(conn, Direction::Up, Packet::AgentCall(call));
                }
            }
            Effect::CollectSandbox { container_id, .. } => {
                let input = Input::SandboxCollected { container_id };
                self.answer_agent(i, input);
            }
            Effect::Look(look) => self.look(i, &look),
            // No framework here has executors of its own.
            Effect::Resize { .. }
            | Effect::ToExecutor { .. }
            | Effect::CloseExecutor { .. }
            | Effect::GroupEnded { .. } => {}
            Effect::ApplyVolumes(order) => self.apply_volumes(i, &order),
            // For people.
            Effect::Note(_) => {}
            Effect::Persist(_) | Effect::Record(_) => {
                unreachable!("writes are taken out before they are queued")
            }
        }
    }

    /// Volumes are made and deleted; the answers come later.
    fn apply_volumes(&mut self, i: usize, order: &VolumeOrder) {
        let one_in = (!self.faults.healed()).then_some(30);
        let done = self.agents[i].disk.apply(order, &mut self.random, one_in);
        for volume in &done.deleted {
            self.oracle.volume_deleted(&order.agent_id, volume);
        }
        let incarnation = self.agents[i].incarnation;
        let number = order.number;
        let made = Input::VolumesMade { number, failures: done.not_made };
        let deleted = Input::VolumesDeleted { number, failures: done.not_deleted };
        let first = self.now + self.random.millis(0, 50);
        let then = first + self.random.millis(0, 2_000);
        for (at, input) in [(first, made), (then, deleted)] {
            let input = Box::new(input);
            self.schedule(at, Event::SupervisorSays { agent: i, incarnation, input });
        }
    }

    /// What the volumes of a task hold when it starts.
    fn look_into_volumes(&mut self, i: usize, launch: &Launch) {
        let agent = &launch.task.agent_id;
        for volume in launch.task.resources.pieces().iter().filter_map(Volume::of) {
            let content = self.agents[i].disk.content(agent, &volume);
            self.oracle.volume_used(agent, &volume, content);
        }
    }

    fn launch(&mut self, i: usize, launch: Launch) {
        let conduct = Conduct::of(self.setup.seed, launch.task.task_id.as_str());
        let container_id = launch.container_id.clone();
        if let Some(message) = conduct.unable {
            self.answer_agent(i, Input::LaunchFailed { container_id, message, exit: None });
            return;
        }
        let capacity = self.agents[i].options.info.resources.clone();
        self.look_into_volumes(i, &launch);
        self.oracle.process_started(i, &launch, &capacity);
        let sandbox = self.agents[i].supervisor.start(self.now, launch);
        if let Some((lasts, outcome)) = conduct.end {
            self.end_later(i, container_id.clone(), lasts, outcome);
        }
        self.answer_agent(i, Input::Launched { container_id, sandbox, address: None });
    }

    fn kill(&mut self, i: usize, container_id: &ContainerId, grace: Duration) {
        let Some(process) = self.agents[i].supervisor.alive(container_id) else { return };
        let launch = &process.launch;
        let leads = self.masters.iter().any(|master| master.core.is_some());
        self.oracle.process_killed(launch, leads);
        let conduct = Conduct::of(self.setup.seed, launch.task.task_id.as_str());
        self.agents[i].supervisor.ask_to_end(container_id);
        let signalled =
            |signal| TaskOutcome { exit: Some(Exit::Signal(signal)), limit: None, usage: None };
        match conduct.obeys {
            Some(takes) if takes < grace => {
                self.end_later(i, container_id.clone(), takes, signalled(15));
            }
            _ => self.end_later(i, container_id.clone(), grace, signalled(9)),
        }
    }

    fn end_later(
        &mut self,
        i: usize,
        container_id: ContainerId,
        after: Duration,
        outcome: TaskOutcome,
    ) {
        let boot = self.agents[i].boot;
        let outcome = Box::new(outcome);
        self.schedule_in(after, Event::ProcessEnds { agent: i, boot, container_id, outcome });
    }

    /// A process ends, if it is still the one that was meant.
    pub(crate) fn process_ends(
        &mut self,
        i: usize,
        boot: u64,
        container_id: ContainerId,
        outcome: TaskOutcome,
    ) {
        if self.agents[i].boot != boot {
            return;
        }
        let Some(exited) = self.agents[i].supervisor.end(&container_id, outcome) else { return };
        self.trace.happened(self.now, &self.agents[i].name, &format_args!("{container_id} ends"));
        self.oracle.process_ended(i, &container_id);
        self.answer_agent(i, Input::Exited { container_id, exited });
    }

    /// What the supervisor says; lost when the agent is not there, told again at its start.
    pub(super) fn answer_agent(&mut self, i: usize, input: Input) {
        let incarnation = self.agents[i].incarnation;
        let at = self.now + self.random.millis(0, 3);
        // One socket: what was said first arrives first.
        let at = at.max(self.agents[i].said);
        self.agents[i].said = at;
        self.schedule(at, Event::SupervisorSays { agent: i, incarnation, input: Box::new(input) });
    }

    /// The stream that was dialled is open, or could not be opened.
    pub(crate) fn agent_dialled(&mut self, i: usize, conn: Conn, how: Dialled) {
        let Some((link, _)) = self.agents[i].link.filter(|(_, ours)| *ours == conn) else {
            self.hang_up(conn, Direction::Up);
            return;
        };
        match how {
            Dialled::Open => self.step_agent(i, Input::LinkUp { link }),
            Dialled::Refused(leader) => {
                self.agent_loses(i, link, leader, "the master cannot be reached");
            }
        }
    }

    /// The stream is gone. The next attempt goes to the leader if it was named, and otherwise to
    /// another master.
    fn agent_loses(&mut self, i: usize, link: u64, leader: Option<usize>, reason: &str) {
        let node = &mut self.agents[i];
        node.link = None;
        if node.leader.take().is_none() {
            node.next += 1;
        }
        node.leader = leader;
        let reason = Arc::from(reason);
        let input = match leader {
            Some(_) => Input::Redirected { link, reason },
            None => Input::LinkDown { link, reason },
        };
        self.step_agent(i, input);
    }

    /// Something arrived from the master.
    pub(crate) fn agent_hears(&mut self, i: usize, conn: Conn, packet: Option<Packet>) {
        let Some((link, _)) = self.agents[i].link.filter(|(_, ours)| *ours == conn) else { return };
        match packet {
            Some(Packet::AgentEvent(Command { epoch, event })) => {
                let deaf = self.setup.plant == Some(Plant::DeafAgents);
                let said = if deaf { 1 } else { epoch };
                self.step_agent_told(
                    i,
                    Some(epoch),
                    Input::FromMaster { link, epoch: said, event },
                );
            }
            Some(Packet::AgentCall(_) | Packet::Call(_) | Packet::Event(_)) => {}
            Some(Packet::NotLeading(leader)) => {
                self.hang_up(conn, Direction::Up);
                self.agent_loses(i, link, leader, "the master does not lead");
            }
            None => self.agent_loses(i, link, None, "the stream broke"),
        }
    }
}
