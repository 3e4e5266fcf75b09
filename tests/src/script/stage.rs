//! The cluster of a transcript: the real cores of a master and of agents, frameworks that do just
//! what they are told, and streams that deliver at once or, when cut, not at all.

use super::words::{Words, bundle, number};
use crate::node::agent::Checkpoint;
use crate::node::raw::task_info;
use crate::node::supervisor::Supervisor;
use crate::storage::Facts;
use agent_core::{Agent, Input as AgentInput};
use master_core::{ConnectionId, Effect, Input, Master, Options, Registry, RequestId};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::scheduler::{Call, CallBody, Demand, Event, MasterInfo, Subscribe};
use proto::{
    AgentId, AgentInfo, Capability, ContainerId, Exit, Filters, FrameworkInfo,
    MasterId, OfferId, Operation, Role, StatusUuid, TaskId, TaskInfo, TaskOutcome, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// An agent on the stage.
#[derive(Default)]
struct Actor {
    core: Option<Agent>,
    options: Option<agent_core::Options>,
    checkpoint: Checkpoint,
    supervisor: Supervisor,
    boots: u32,
    starts: u64,
    /// The core's number of the stream, and the stream.
    link: Option<(u64, ConnectionId)>,
    /// Nothing passes in either direction.
    cut: bool,
    /// What the master says is lost until the stream breaks.
    deaf: bool,
}

/// A framework on the stage.
struct Player {
    info: FrameworkInfo,
    connection: ConnectionId,
    /// The update of each task that was not acknowledged.
    updates: BTreeMap<TaskId, (AgentId, StatusUuid)>,
}

/// Messages on their way, in order.
enum Message {
    ToMaster(Input),
    ToAgent(String, AgentInput),
}

/// See the module.
pub(super) struct Stage {
    now: Time,
    options: Options,
    master: Option<Master>,
    registry: Registry,
    masters: u32,
    agents: BTreeMap<String, Actor>,
    frameworks: BTreeMap<String, Player>,
    names: BTreeMap<ConnectionId, String>,
    next: u64,
    queue: VecDeque<Message>,
    said: Vec<String>,
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

type Done = Result<(), String>;

fn bad(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Stage {
    /// What was said since it was last asked.
    pub(super) fn said(&mut self) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.said)
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn connection(&mut self, name: &str) -> ConnectionId {
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
        self.registry = Registry::new();
        self.masters = 0;
        self.start_master();
        Ok(())
    }

    fn start_master(&mut self) {
        let id = if self.masters == 0 { "m".to_owned() } else { format!("m{}", self.masters) };
        self.masters += 1;
        let info = MasterInfo {
            id: MasterId::new(id).expect("a letter and a number are an id"),
            hostname: Arc::from("master"),
            ip: 0,
            port: 5050,
            version: Arc::from("1.11.0"),
        };
        self.master = Some(Master::new(self.options.clone(), info, self.registry.clone(), self.now));
    }

    /// Everything that is under way or due happens.
    fn settle(&mut self) {
        loop {
            while let Some(message) = self.queue.pop_front() {
                match message {
                    Message::ToMaster(input) => self.step_master(input),
                    Message::ToAgent(name, input) => self.step_agent(&name, input),
                }
            }
            let now = self.now;
            let overdue = |deadline: Option<Time>| deadline.is_some_and(|at| at <= now);
            let agent = self.agents.iter().find(|(_, actor)| {
                overdue(actor.core.as_ref().and_then(Agent::deadline))
            });
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
            Effect::Accepted { .. } => return,
            Effect::ToFramework { connection, event } => {
                line = self.named(connection, &line);
                if event == Event::Heartbeat {
                    return;
                }
                self.framework_hears(connection, event);
            }
            Effect::CloseFramework { connection } => line = self.named(connection, &line),
            Effect::ToAgent { connection, event } => {
                line = self.named(connection, &line);
                let ping = matches!(event, AgentEvent::Ping { .. });
                let lost = self.agent_hears(connection, event);
                if ping {
                    return;
                }
                line.push_str(if lost { " (lost)" } else { "" });
            }
            Effect::CloseAgent { connection } => {
                line = self.named(connection, &line);
                self.break_link(connection);
            }
            Effect::Refused { .. } | Effect::Answer { .. } => {}
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
            _ => {}
        }
    }

    /// Passes an event on; true when it is lost on the way.
    fn agent_hears(&mut self, connection: ConnectionId, event: AgentEvent) -> bool {
        let Some(name) = self.names.get(&connection).cloned() else { return true };
        let Some(actor) = self.agents.get(&name) else { return true };
        let link = actor.link.filter(|(_, ours)| *ours == connection);
        let Some((link, _)) = link.filter(|_| !actor.cut && !actor.deaf) else { return true };
        self.queue.push_back(Message::ToAgent(name, AgentInput::FromMaster { link, event }));
        false
    }

    /// The agent's end of a stream breaks.
    fn break_link(&mut self, connection: ConnectionId) {
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

    fn step_agent(&mut self, name: &str, input: AgentInput) {
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
                let input = AgentInput::Launched { container_id, sandbox };
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
        let Some((_, connection)) = actor.link.filter(|(number, _)| *number == link) else { return };
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

    fn actor(&mut self, name: &str) -> Result<&mut Actor, String> {
        self.agents.get_mut(name).ok_or(format!("there is no agent {name}"))
    }

    pub(super) fn agent(&mut self, name: &str, words: &Words<'_>) -> Done {
        let info = AgentInfo {
            id: None,
            hostname: Arc::from(name),
            port: 5051,
            resources: words.resources()?,
            attributes: Vec::new(),
            domain: None,
        };
        let options = agent_core::Options::new(info, "1", "boot-0");
        self.agents.insert(name.to_owned(), Actor { options: Some(options), ..Actor::default() });
        self.start(name)
    }

    pub(super) fn start(&mut self, name: &str) -> Done {
        if name == "master" {
            self.start_master();
            return Ok(());
        }
        let seed = name.bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte));
        let now = self.now;
        let actor = self.actor(name)?;
        let mut options = actor.options.clone().ok_or("the agent has no options")?;
        options.boot_id = format!("boot-{}", actor.boots).into();
        let mut recovered = actor.checkpoint.recovered();
        recovered.supervisor_continued = recovered.agent.as_ref().is_none_or(|record| {
            record.boot_id == options.boot_id
        });
        recovered.containers = actor.supervisor.report();
        actor.starts += 1;
        actor.core = Some(Agent::new(options, seed + actor.starts, recovered, now));
        self.step_agent(name, AgentInput::Tick);
        Ok(())
    }

    pub(super) fn crash(&mut self, name: &str) -> Done {
        if name == "master" {
            self.master = None;
            let open: Vec<ConnectionId> =
                self.agents.values().filter_map(|actor| Some(actor.link?.1)).collect();
            for connection in open {
                self.break_link(connection);
            }
            return Ok(());
        }
        let actor = self.actor(name)?;
        actor.core = None;
        actor.deaf = false;
        if let Some((_, connection)) = actor.link.take() {
            self.queue.push_back(Message::ToMaster(Input::AgentClosed { connection }));
        }
        Ok(())
    }

    pub(super) fn reboot(&mut self, name: &str) -> Done {
        self.crash(name)?;
        let actor = self.actor(name)?;
        actor.supervisor.lose_all();
        actor.boots += 1;
        self.start(name)
    }

    pub(super) fn cut(&mut self, name: &str, cut: bool) -> Done {
        self.actor(name)?.cut = cut;
        Ok(())
    }

    pub(super) fn deafen(&mut self, name: &str) -> Done {
        self.actor(name)?.deaf = true;
        Ok(())
    }

    pub(super) fn break_stream(&mut self, name: &str) -> Done {
        let Some((_, connection)) = self.actor(name)?.link else {
            return Err(format!("{name} has no stream"));
        };
        self.queue.push_back(Message::ToMaster(Input::AgentClosed { connection }));
        self.break_link(connection);
        Ok(())
    }

    pub(super) fn exit(&mut self, name: &str, task: &str, words: &Words<'_>) -> Done {
        let code = words.pair("code").map_or(Ok(0), number)?;
        let living = self.actor(name)?.supervisor.living();
        let process = living.map(|p| &p.launch).find(|l| l.task.task_id.as_str() == task);
        let id = process.map(|launch| launch.container_id.clone());
        let id = id.ok_or(format!("{task} does not run on {name}"))?;
        self.end(name, &id, Exit::Code(code as i32));
        Ok(())
    }

    fn end(&mut self, name: &str, id: &ContainerId, exit: Exit) {
        let Some(actor) = self.agents.get_mut(name) else { return };
        let outcome = TaskOutcome { exit: Some(exit), limit: None, usage: None };
        if let Some(exited) = actor.supervisor.end(id, outcome) {
            let input = AgentInput::Exited { container_id: id.clone(), exited };
            self.queue.push_back(Message::ToAgent(name.to_owned(), input));
        }
    }

    /// A first SUBSCRIBE, or another instance of the same framework.
    pub(super) fn subscribe(&mut self, name: &str, words: &Words<'_>) -> Done {
        let connection = self.connection(name);
        let mut info = FrameworkInfo::new("nobody", name);
        if let Some(player) = self.frameworks.get(name) {
            info = player.info.clone();
            self.names.insert(player.connection, format!("{name} (before)"));
        }
        info.checkpoint = true;
        if words.pair("failover_timeout").is_some() || info.id.is_none() {
            info.failover_timeout = words.seconds("failover_timeout", 100)?;
        }
        if let Some(roles) = words.pair("roles") {
            let roles: Result<BTreeSet<Role>, String> =
                roles.split(',').map(|role| Role::new(role).map_err(bad)).collect();
            info.roles = roles?;
            info.single_role = info.roles.len() == 1;
            info.capabilities = info.capabilities.with(Capability::MultiRole);
        }
        if !words.has("legacy") {
            info.capabilities = info.capabilities.with(Capability::PartitionAware);
        }
        if words.has("killing") {
            info.capabilities = info.capabilities.with(Capability::TaskKillingState);
        }
        let framework_id = info.id.clone();
        let known = self.frameworks.remove(name);
        let updates = known.map(|player| player.updates).unwrap_or_default();
        self.frameworks.insert(name.to_owned(), Player { info: info.clone(), connection, updates });
        let call = Box::new(Subscribe {
            framework_info: info,
            suppressed_roles: BTreeSet::new(),
            has_offer_constraints: false,
        });
        let input = Input::Subscribe { connection, framework_id, call, principal: None };
        self.queue.push_back(Message::ToMaster(input));
        Ok(())
    }

    fn player(&mut self, name: &str) -> Result<&mut Player, String> {
        self.frameworks.get_mut(name).ok_or(format!("there is no framework {name}"))
    }

    fn call(&mut self, name: &str, body: CallBody) -> Done {
        let request = RequestId(self.fresh());
        let player = self.player(name)?;
        let call = Call { framework_id: player.info.id.clone(), body };
        let connection = Some(player.connection);
        self.queue.push_back(Message::ToMaster(Input::Call { request, connection, call }));
        Ok(())
    }

    fn offers(words: &Words<'_>) -> Result<Vec<OfferId>, String> {
        let ids = words.pair("offers").ok_or("offers=ID,.. is missing")?;
        ids.split(',').map(|id| OfferId::new(id).map_err(bad)).collect()
    }

    fn filters(words: &Words<'_>) -> Result<Filters, String> {
        Ok(Filters { refuse: words.seconds("refuse", 5)? })
    }

    /// `offers=ID,.. on=AGENT task=ID:CPUS/MEM ..`
    pub(super) fn accept(&mut self, name: &str, words: &Words<'_>) -> Done {
        let agent = AgentId::new(words.pair("on").unwrap_or("m-S0")).map_err(bad)?;
        let mut tasks: Vec<TaskInfo> = Vec::new();
        for task in words.pairs("task") {
            let (id, resources) = task.split_once(':').ok_or("a task is ID:CPUS/MEM")?;
            tasks.push(task_info(id, &agent, bundle(resources)?));
        }
        let operations = vec![Operation::Launch(tasks)];
        let (offer_ids, filters) = (Self::offers(words)?, Self::filters(words)?);
        self.call(name, CallBody::Accept { offer_ids, operations, filters })
    }

    pub(super) fn decline(&mut self, name: &str, words: &Words<'_>) -> Done {
        let (offer_ids, filters) = (Self::offers(words)?, Self::filters(words)?);
        self.call(name, CallBody::Decline { offer_ids, filters })
    }

    fn roles(words: &Words<'_>) -> Result<Vec<Role>, String> {
        words.rest(2).iter().map(|role| Role::new(*role).map_err(bad)).collect()
    }

    pub(super) fn revive(&mut self, name: &str, words: &Words<'_>) -> Done {
        self.call(name, CallBody::Revive { roles: Self::roles(words)? })
    }

    pub(super) fn suppress(&mut self, name: &str, words: &Words<'_>) -> Done {
        self.call(name, CallBody::Suppress { roles: Self::roles(words)? })
    }

    /// `2x1/64`: two bundles of one cpu and 64 MB.
    pub(super) fn request(&mut self, name: &str, words: &Words<'_>) -> Done {
        let mut demands = Vec::new();
        for word in words.rest(2) {
            let (count, resources) = word.split_once('x').ok_or("a demand is COUNTxCPUS/MEM")?;
            let count = number(count)? as u32;
            let resources = bundle(resources)?;
            demands.push(Demand { role: None, agent_id: None, resources, count });
        }
        self.call(name, CallBody::Request { demands })
    }

    pub(super) fn kill(&mut self, name: &str, words: &Words<'_>) -> Done {
        let task_id = TaskId::new(words.word(2)?).map_err(bad)?;
        let agent_id = words.pair("on").map(|id| AgentId::new(id).map_err(bad)).transpose()?;
        self.call(name, CallBody::Kill { task_id, agent_id, grace: None })
    }

    pub(super) fn acknowledge(&mut self, name: &str, task: &str) -> Done {
        let task_id = TaskId::new(task).map_err(bad)?;
        let known = self.player(name)?.updates.get(&task_id).cloned();
        let (agent_id, uuid) = known.ok_or(format!("{name} has no update of {task}"))?;
        self.call(name, CallBody::Acknowledge { agent_id, task_id, uuid })
    }

    /// Words `TASK` or `TASK@AGENT`; none means all.
    pub(super) fn reconcile(&mut self, name: &str, words: &Words<'_>) -> Done {
        let mut tasks = Vec::new();
        for word in words.rest(2) {
            let (task, agent) = word.split_once('@').map_or((*word, None), |(t, a)| (t, Some(a)));
            let agent = agent.map(|id| AgentId::new(id).map_err(bad)).transpose()?;
            tasks.push((TaskId::new(task).map_err(bad)?, agent));
        }
        self.call(name, CallBody::Reconcile { tasks })
    }

    pub(super) fn teardown(&mut self, name: &str) -> Done {
        self.call(name, CallBody::Teardown)
    }

    /// The framework's stream ends.
    pub(super) fn close(&mut self, name: &str) -> Done {
        let connection = self.player(name)?.connection;
        self.queue.push_back(Message::ToMaster(Input::FrameworkClosed { connection }));
        Ok(())
    }
}
