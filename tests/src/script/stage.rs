//! The cluster of a transcript: the real cores of a master and of agents, frameworks that do just
//! what they are told, and streams that deliver at once or, when cut, not at all.

use super::describe::domain;
use super::words::Words;
use crate::node::checkpoint::Checkpoint;
use crate::node::supervisor::Supervisor;
use crate::storage::Facts;
use agent_core::{Agent, Input as AgentInput};
use master_core::{ConnectionId, Effect, Input, Master, Options, Registry};
use proto::agent_link::{AgentCall, AgentEvent, Command};
use proto::scheduler::{Event, MasterInfo};
use proto::{
    AgentId, Exit, FrameworkInfo, MasterId, OperationId, StatusUuid, TaskId, Time, operator,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// An agent on the stage.
#[derive(Default)]
pub(super) struct Actor {
    pub(super) core: Option<Agent>,
    pub(super) options: Option<agent_core::Options>,
    pub(super) checkpoint: Checkpoint,
    pub(super) supervisor: Supervisor,
    pub(super) boots: u32,
    pub(super) starts: u64,
    /// The core's number of the stream, and the stream.
    pub(super) link: Option<(u64, ConnectionId)>,
    /// Nothing passes in either direction.
    pub(super) cut: bool,
    /// What the master says is lost until the stream breaks.
    pub(super) deaf: bool,
}

/// A framework on the stage.
pub(super) struct Player {
    pub(super) info: FrameworkInfo,
    pub(super) connection: ConnectionId,
    /// The update of each task that was not acknowledged.
    pub(super) updates: BTreeMap<TaskId, (AgentId, StatusUuid)>,
    /// The status of each operation that is to be acknowledged.
    pub(super) operations: BTreeMap<OperationId, (Option<AgentId>, StatusUuid)>,
}

/// Messages on their way, in order.
pub(super) enum Message {
    ToMaster(Input),
    ToAgent(String, AgentInput),
}

/// See the module.
pub(super) struct Stage {
    pub(super) now: Time,
    pub(super) options: Options,
    pub(super) master: Option<Master>,
    pub(super) registry: Registry,
    pub(super) masters: u32,
    pub(super) agents: BTreeMap<String, Actor>,
    pub(super) frameworks: BTreeMap<String, Player>,
    pub(super) names: BTreeMap<ConnectionId, String>,
    pub(super) next: u64,
    pub(super) queue: VecDeque<Message>,
    pub(super) said: Vec<String>,
}

impl Default for Stage {
    fn default() -> Self {
        let mut stage = Self {
            now: Time::from_millis(1_000_000),
            options: Options::default(),
            master: None,
            registry: Registry::new(),
            masters: 0,
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
            queue: VecDeque::new(),
            said: Vec::new(),
        };
        stage.start_master();
        stage
    }
}

pub(super) type Done = Result<(), String>;

/// An answer in words, when it has any that are better than its parts.
fn answer(response: &operator::Response) -> Option<String> {
    match response {
        operator::Response::MaintenanceStatus(status) => {
            let draining = status.draining.iter().map(|machine| {
                let said = |status: &proto::InverseOfferStatus| {
                    format!(" ({} {:?})", status.framework_id, status.answer)
                };
                let said: String = machine.statuses.iter().map(said).collect();
                format!(" {} draining{said}", machine.machine)
            });
            let down = status.down.iter().map(|machine| format!(" {machine} down"));
            Some(format!("answer:{}", draining.chain(down).collect::<String>()))
        }
        operator::Response::Explanation(sentences) => {
            Some(format!("answer: {}", sentences.join(" | ")))
        }
        _ => None,
    }
}

pub(super) fn bad(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Stage {
    /// What was said since it was last asked.
    pub(super) fn said(&mut self) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.said)
    }

    pub(super) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn connection(&mut self, name: &str) -> ConnectionId {
        let connection = ConnectionId(self.fresh());
        self.names.insert(connection, name.to_owned());
        connection
    }

    pub(super) fn options(&mut self, words: &Words<'_>) -> Done {
        let default = Options::default();
        self.options.agent_reregister_timeout = words.seconds("agent_reregister_timeout", 600)?;
        self.options.agent_timeout = words.seconds("agent_timeout", 5)?;
        let offer = words.seconds("offer_timeout", 60)?;
        self.options.offer_timeout = default.offer_timeout.map(|_| offer);
        self.options.domain = words.pair("domain").map(domain).transpose()?;
        self.registry = Registry::new();
        self.masters = 0;
        self.start_master();
        Ok(())
    }

    pub(super) fn start_master(&mut self) {
        let id = if self.masters == 0 { "m".to_owned() } else { format!("m{}", self.masters) };
        self.masters += 1;
        let info = MasterInfo {
            id: MasterId::new(id).expect("a letter and a number are an id"),
            hostname: Arc::from("master"),
            ip: 0,
            port: 5050,
            version: Arc::from("1.11.0"),
        };
        self.master =
            Some(Master::new(self.options.clone(), info, self.registry.clone(), self.now));
    }

    /// Everything that is under way or due happens.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(message) = self.queue.pop_front() {
                match message {
                    Message::ToMaster(input) => self.step_master(input),
                    Message::ToAgent(name, input) => self.step_agent(&name, input),
                }
            }
            let now = self.now;
            let overdue = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
            let agent = self
                .agents
                .iter()
                .find(|(_, actor)| overdue(actor.core.as_ref().and_then(Agent::deadline)));
            if let Some(name) = agent.map(|(name, _)| name.clone()) {
                self.step_agent(&name, AgentInput::Tick);
            } else if overdue(self.master.as_ref().and_then(Master::deadline)) {
                self.step_master(Input::Tick);
            } else {
                return;
            }
        }
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.settle();
        let end = self.now + time;
        loop {
            let agents = self.agents.values().filter_map(|actor| actor.core.as_ref()?.deadline());
            let master = self.master.as_ref().and_then(Master::deadline);
            let Some(next) = agents.chain(master).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = end;
    }

    fn step_master(&mut self, input: Input) {
        let Some(master) = &mut self.master else { return };
        let mut effects = Vec::new();
        master.step(self.now, input, &mut effects);
        let violations = master_core::invariants::check(master);
        assert!(violations.is_empty(), "{violations:#?}");
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let mut line = master_core::testing::render(&effect);
        match effect {
            Effect::Persist(op) => self.registry.apply(&op),
            Effect::Accepted { .. } | Effect::Publish(_) => return,
            Effect::ToFramework { connection, event } => {
                line = self.named(connection, &line);
                if event == Event::Heartbeat {
                    return;
                }
                self.framework_hears(connection, event);
            }
            Effect::CloseFramework { connection } => line = self.named(connection, &line),
            Effect::ToAgent { connection, epoch, event } => {
                line = self.named(connection, &line);
                let ping = matches!(event, AgentEvent::Ping { .. });
                let lost = self.agent_hears(connection, Command { epoch, event });
                if ping {
                    return;
                }
                line.push_str(if lost { " (lost)" } else { "" });
            }
            Effect::CloseAgent { connection } => {
                line = self.named(connection, &line);
                self.break_link(connection);
            }
            Effect::Refused { .. } => {}
            Effect::Answer { response, .. } => line = answer(&response).unwrap_or(line),
        }
        self.said.push(line);
    }

    /// The line with the stream's name in place of its number.
    fn named(&self, connection: ConnectionId, line: &str) -> String {
        let name = self.names.get(&connection).map_or("?", String::as_str);
        line.replacen(&connection.to_string(), name, 1)
    }

    fn framework_hears(&mut self, connection: ConnectionId, event: Event) {
        let Some(player) = self.frameworks.values_mut().find(|p| p.connection == connection) else {
            return;
        };
        match event {
            Event::Subscribed { framework_id, .. } => player.info.id = Some(framework_id),
            Event::Update(status) => {
                if let (Some(uuid), Some(agent)) = (status.uuid, status.agent_id) {
                    player.updates.insert(status.task_id, (agent, uuid));
                }
            }
            Event::UpdateOperationStatus(status) => {
                if let (Some(id), Some(uuid)) = (status.operation_id, status.uuid) {
                    player.operations.insert(id, (status.agent_id, uuid));
                }
            }
            _ => {}
        }
    }

    /// Passes an event on; true when it is lost on the way.
    fn agent_hears(&mut self, connection: ConnectionId, command: Command) -> bool {
        let Some(name) = self.names.get(&connection).cloned() else { return true };
        let Some(actor) = self.agents.get(&name) else { return true };
        let link = actor.link.filter(|(_, ours)| *ours == connection);
        let Some((link, _)) = link.filter(|_| !actor.cut && !actor.deaf) else { return true };
        let Command { epoch, event } = command;
        let input = AgentInput::FromMaster { link, epoch, event };
        self.queue.push_back(Message::ToAgent(name, input));
        false
    }

    /// The agent's end of a stream breaks.
    pub(super) fn break_link(&mut self, connection: ConnectionId) {
        let Some(name) = self.names.get(&connection).cloned() else { return };
        let Some(actor) = self.agents.get_mut(&name) else { return };
        let Some((link, _)) = actor.link.filter(|(_, ours)| *ours == connection) else { return };
        if actor.cut {
            return;
        }
        actor.link = None;
        actor.deaf = false;
        let reason = Arc::from("the stream broke");
        self.queue.push_back(Message::ToAgent(name, AgentInput::LinkDown { link, reason }));
    }

    pub(super) fn step_agent(&mut self, name: &str, input: AgentInput) {
        let Some(actor) = self.agents.get_mut(name) else { return };
        let Some(core) = &mut actor.core else { return };
        let mut effects = Vec::new();
        core.step(self.now, input, &mut effects);
        core.check(self.now).unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
        for effect in effects {
            self.perform_of_agent(name, effect);
        }
    }

    fn perform_of_agent(&mut self, name: &str, effect: agent_core::Effect) {
        use agent_core::Effect as E;
        let now = self.now;
        let Some(actor) = self.agents.get_mut(name) else { return };
        match effect {
            E::Persist(op) | E::Record(op) => actor.checkpoint.apply(op),
            E::Launch(launch) => {
                let task = launch.task.task_id.clone();
                let container_id = launch.container_id.clone();
                let sandbox = actor.supervisor.start(now, *launch);
                self.said.push(format!("{name}: starts {task}"));
                let input = AgentInput::Launched { container_id, sandbox, address: None };
                self.queue.push_back(Message::ToAgent(name.to_owned(), input));
            }
            E::Kill { container_id, grace } => {
                let Some(process) = actor.supervisor.alive(&container_id) else { return };
                let task = process.launch.task.task_id.clone();
                self.said.push(format!("{name}: kills {task}, grace {grace:?}"));
                actor.supervisor.ask_to_end(&container_id);
                self.end(name, &container_id, Exit::Signal(15));
            }
            E::Forget { container_id } => actor.supervisor.forget(&container_id),
            E::Connect { link } => self.connect(name, link),
            E::Disconnect { .. } => {
                let cut = actor.cut;
                if let Some((_, connection)) = actor.link.take() {
                    actor.deaf = false;
                    if !cut {
                        let input = Input::AgentClosed { connection };
                        self.queue.push_back(Message::ToMaster(input));
                    }
                }
            }
            E::ToMaster { link, call } => self.agent_says(name, link, call),
            E::Look(look) => {
                let container_id = look.launch.container_id.clone();
                let (subject, number) = (look.subject, look.number);
                let seen = agent_core::Seen::Connected;
                let input = AgentInput::Looked { container_id, subject, number, seen };
                self.queue.push_back(Message::ToAgent(name.to_owned(), input));
            }
            E::ApplyVolumes(order) => {
                let (number, failures) = (order.number, Vec::new());
                let made = AgentInput::VolumesMade { number, failures: failures.clone() };
                let deleted = AgentInput::VolumesDeleted { number, failures };
                for input in [made, deleted] {
                    self.queue.push_back(Message::ToAgent(name.to_owned(), input));
                }
            }
            // No framework here has executors of its own.
            E::Resize { .. }
            | E::ToExecutor { .. }
            | E::CloseExecutor { .. }
            | E::GroupEnded { .. } => {}
            E::CollectSandbox { .. } | E::Note(_) => {}
        }
    }

    fn connect(&mut self, name: &str, link: u64) {
        let reachable = self.master.is_some();
        let connection = self.connection(name);
        let Some(actor) = self.agents.get_mut(name) else { return };
        let input = if reachable && !actor.cut {
            actor.link = Some((link, connection));
            AgentInput::LinkUp { link }
        } else {
            AgentInput::LinkDown { link, reason: Arc::from("nobody answers") }
        };
        self.queue.push_back(Message::ToAgent(name.to_owned(), input));
    }

    fn agent_says(&mut self, name: &str, link: u64, call: AgentCall) {
        let Some(actor) = self.agents.get(name) else { return };
        let Some((_, connection)) = actor.link.filter(|(number, _)| *number == link) else {
            return;
        };
        let lost = actor.cut;
        let line = match &call {
            AgentCall::Pong { .. } => None,
            AgentCall::Register { .. } => Some("REGISTER".to_owned()),
            AgentCall::Reregister { tasks, .. } => {
                let tasks = tasks.iter().map(|task| format!(" {} {}", task.task_id, task.state));
                Some(format!("REREGISTER{}", tasks.collect::<String>()))
            }
            AgentCall::Update { status, .. } => {
                Some(format!("UPDATE {} {}", status.task_id, status.state))
            }
            AgentCall::Message { .. } => Some("MESSAGE".to_owned()),
            AgentCall::ExecutorEnded { executor_id, status, .. } => {
                Some(format!("EXECUTOR ENDED {executor_id} {status:?}"))
            }
            AgentCall::DiskPressure { pressed } => Some(format!("DISK PRESSED {pressed}")),
            AgentCall::VolumesApplied { sequence, failures } => {
                let failed = failures.iter().map(|failure| format!(" {} failed", failure.id));
                Some(format!("VOLUMES APPLIED {sequence}{}", failed.collect::<String>()))
            }
        };
        if let Some(line) = line {
            let lost = if lost { " (lost)" } else { "" };
            self.said.push(format!("{name} -> {line}{lost}"));
        }
        if !lost {
            let input = Input::AgentCall { connection, call };
            self.queue.push_back(Message::ToMaster(input));
        }
    }
}
