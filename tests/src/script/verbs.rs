//! The commands of a transcript, each a verb of the stage.

use super::stage::{Actor, Done, Message, Player, Stage, bad};
use super::words::{Words, bundle, number};
use crate::node::raw::task_info;
use agent_core::{Agent, Input as AgentInput};
use master_core::{ConnectionId, Input, RequestId};
use proto::scheduler::{Call, CallBody, Demand, Subscribe};
use proto::{
    AgentId, AgentInfo, Capability, ContainerId, Exit, Filters, FrameworkInfo, OfferId, Operation,
    Role, TaskId, TaskInfo, TaskOutcome,
};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Stage {
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
        recovered.supervisor_continued =
            recovered.agent.as_ref().is_none_or(|record| record.boot_id == options.boot_id);
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

    pub(super) fn end(&mut self, name: &str, id: &ContainerId, exit: Exit) {
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
            offer_constraints: None,
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
            let (deadline, priority) = (None, 0);
            demands.push(Demand {
                role: None,
                agent_id: None,
                resources,
                count,
                deadline,
                priority,
            });
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
