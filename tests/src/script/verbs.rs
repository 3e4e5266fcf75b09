//! The commands of a transcript, each a verb of the stage.

use super::describe;
use super::operations;
use super::stage::{Actor, Done, Message, Player, Stage, bad};
use super::words::{Words, bundle, number};
use crate::node::raw::habits::group;
use crate::node::raw::task_info;
use agent_core::{Agent, Input as AgentInput};
use master_core::{ConnectionId, Input, RequestId};
use proto::scheduler::{Call, CallBody, Demand};
use proto::{
    AgentId, ContainerId, ExecutorId, Exit, Filters, OfferId, Operation, Role, TaskId, TaskInfo,
    TaskOutcome,
};

impl Stage {
    fn actor(&mut self, name: &str) -> Result<&mut Actor, String> {
        self.agents.get_mut(name).ok_or(format!("there is no agent {name}"))
    }

    pub(super) fn agent(&mut self, name: &str, words: &Words<'_>) -> Done {
        let info = describe::agent(name, words)?;
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

    pub(super) fn player(&mut self, name: &str) -> Result<&mut Player, String> {
        self.frameworks.get_mut(name).ok_or(format!("there is no framework {name}"))
    }

    pub(super) fn call(&mut self, name: &str, body: CallBody) -> Done {
        let request = RequestId(self.fresh());
        let player = self.player(name)?;
        let call = Call { framework_id: player.info.id.clone(), body };
        let connection = Some(player.connection);
        self.queue.push_back(Message::ToMaster(Input::Call { request, connection, call }));
        Ok(())
    }

    pub(super) fn offers(words: &Words<'_>) -> Result<Vec<OfferId>, String> {
        let ids = words.pair("offers").ok_or("offers=ID,.. is missing")?;
        ids.split(',').map(|id| OfferId::new(id).map_err(bad)).collect()
    }

    pub(super) fn filters(words: &Words<'_>) -> Result<Filters, String> {
        Ok(Filters { refuse: words.seconds("refuse", 5)? })
    }

    /// `[on=AGENT] [task=ID:CPUS/MEM ..]`; with `from=KIND` what the tasks use is of that kind.
    fn tasks(words: &Words<'_>) -> Result<Vec<TaskInfo>, String> {
        let agent = AgentId::new(words.pair("on").unwrap_or("m-S0")).map_err(bad)?;
        let mut tasks: Vec<TaskInfo> = Vec::new();
        for task in words.pairs("task") {
            let (id, resources) = task.split_once(':').ok_or("a task is ID:CPUS/MEM")?;
            let mut resources = describe::of_kind(words, bundle(resources)?)?;
            resources.add(&operations::volume_of_tasks(words)?);
            tasks.push(task_info(id, &agent, resources));
        }
        Ok(tasks)
    }

    /// `offers=ID,.. [on=AGENT] [task=ID:CPUS/MEM ..] [group]`, and changes, which come first.
    pub(super) fn accept(&mut self, name: &str, words: &Words<'_>) -> Done {
        let tasks = Self::tasks(words)?;
        let mut operations = operations::changes(words)?;
        if words.has("group") {
            operations.push(group(tasks));
        } else if !tasks.is_empty() || operations.is_empty() {
            operations.push(Operation::Launch(tasks));
        }
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

    /// `2x1/64`: two bundles of one cpu and 64 MB. `within=S priority=N role=R on=AGENT` are said of
    /// all of them.
    pub(super) fn request(&mut self, name: &str, words: &Words<'_>) -> Done {
        let mut demands = Vec::new();
        let within = words.pair("within").map(|_| words.seconds("within", 0)).transpose()?;
        let role = words.pair("role").map(|role| Role::new(role).map_err(bad)).transpose()?;
        let agent_id = words.pair("on").map(|id| AgentId::new(id).map_err(bad)).transpose()?;
        let priority = words.pair("priority").map_or(Ok(0), number)?;
        for word in words.rest(2) {
            let (count, resources) = word.split_once('x').ok_or("a demand is COUNTxCPUS/MEM")?;
            let count = number(count)? as u32;
            let resources = bundle(resources)?;
            demands.push(Demand {
                role: role.clone(),
                agent_id: agent_id.clone(),
                resources,
                count,
                deadline: within.map(|within| self.now + within),
                priority: priority as i32,
            });
        }
        self.call(name, CallBody::Request { demands })
    }

    pub(super) fn kill(&mut self, name: &str, words: &Words<'_>) -> Done {
        let task_id = TaskId::new(words.word(2)?).map_err(bad)?;
        let agent_id = words.pair("on").map(|id| AgentId::new(id).map_err(bad)).transpose()?;
        self.call(name, CallBody::Kill { task_id, agent_id, grace: None })
    }

    /// `shutdown F EXECUTOR on=AGENT`.
    pub(super) fn shutdown(&mut self, name: &str, words: &Words<'_>) -> Done {
        let executor_id = ExecutorId::new(words.word(2)?).map_err(bad)?;
        let agent_id = AgentId::new(words.pair("on").unwrap_or("m-S0")).map_err(bad)?;
        self.call(name, CallBody::Shutdown { executor_id, agent_id })
    }

    /// `agree F offers=ID,..` and `object F offers=ID,..`: to inverse offers.
    pub(super) fn answer_inverse(&mut self, name: &str, agrees: bool, words: &Words<'_>) -> Done {
        let (inverse_offer_ids, filters) = (Self::offers(words)?, Self::filters(words)?);
        let body = if agrees {
            CallBody::AcceptInverseOffers { inverse_offer_ids, filters }
        } else {
            CallBody::DeclineInverseOffers { inverse_offer_ids, filters }
        };
        self.call(name, body)
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
