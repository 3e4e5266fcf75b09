//! Agents: their record, and what it holds and has free.
//!
//! One file per message or command: `register`, `reregister`, `disconnect`, `ping`, `unreachable`;
//! `disk_pressure`; `deactivate`, `drain`, `gone`; `removal`, the pace of giving agents up; and `doubted`, tasks that
//! may run on agents that are yet to come back. Only agents that registered with this master are in
//! the table; recovered and unreachable ones are in the registry alone.

pub(crate) mod deactivate;
pub(crate) mod disconnect;
pub(crate) mod disk_pressure;
pub(crate) mod doubted;
pub(crate) mod drain;
pub(crate) mod gone;
pub(crate) mod ping;
pub(crate) mod register;
pub(crate) mod removal;
pub(crate) mod reregister;
pub(crate) mod unreachable;

use crate::allocator::Mark;
use crate::allocator::amounts::Parts;
use crate::allocator::filters::AgentFilters;
use crate::allocator::held::Sort;
use crate::deadlines::Deadline;
use crate::effect::Effect;
use crate::executor::Executor;
use crate::input::ConnectionId;
use crate::maintenance::inverse::Asked;
use crate::operation::volumes::VolumeKey;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::agent_link::AgentEvent;
use proto::{
    AgentId, AgentInfo, Attribute, ExecutorId, Resources, Shortfall, TaskId, Time, Unavailability,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A registered agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    /// With its id, and with what is reserved and made on it in its resources.
    pub(crate) info: AgentInfo,
    /// What its configuration says that it has; absent when nothing is reserved or made on it at
    /// run time, and it has just that.
    pub(crate) configured: Option<Box<Resources>>,
    /// Whether something that it has is shared.
    pub(crate) has_shared: bool,
    pub(crate) attributes: Arc<[Attribute]>,
    pub(crate) version: Arc<str>,
    /// Its stream; it is connected while it has one.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) registered: Time,
    pub(crate) reregistered: Option<Time>,
    pub(crate) ping: ping::Ping,
    /// The next ping, or the end of waiting.
    pub(crate) deadline: Time,
    /// Whether an operator wants no offers of it; as the registry says.
    pub(crate) deactivated: bool,
    /// Whether it is being drained, or is drained; as the registry says.
    pub(crate) draining: bool,
    /// When its machine is away, if that is planned.
    pub(crate) unavailability: Option<Unavailability>,
    /// Frameworks that were asked to leave, or have answered, because it will be away.
    pub(crate) asked: BTreeMap<FrameworkOrd, Asked>,
    /// When the longest grace of its drain ends.
    pub(crate) drain_deadline: Option<Time>,
    pub(crate) has_gpus: bool,
    /// The scalars of all that it has.
    pub(crate) parts: Parts,
    /// What living tasks hold.
    pub(crate) used: Resources,
    /// What is in offers.
    pub(crate) offered: Resources,
    /// Volumes that grow or shrink, and what is freed by that: nobody's until the agent answers.
    pub(crate) pending: Resources,
    /// All that is neither used nor offered nor pending; and one of each that is shared, however
    /// many use it.
    pub(crate) free: Resources,
    /// The free disk that is not offered while the agent's disk is about to be full; absent when it
    /// is not.
    pub(crate) withheld: Option<Box<Resources>>,
    /// Destroyed volumes that it was told of on this stream, by the first message that did.
    pub(crate) dooming: BTreeMap<VolumeKey, u64>,
    /// The scalars of what is free.
    pub(crate) free_parts: Arc<Parts>,
    /// What of it is counted as available in the cluster.
    pub(crate) counted: Arc<Parts>,
    pub(crate) tasks: BTreeSet<(FrameworkOrd, TaskId)>,
    /// Custom executors that run here, or are being started.
    pub(crate) executors: BTreeMap<(FrameworkOrd, ExecutorId), Executor>,
    /// The numbers of its offers, in order: mostly there is one.
    pub(crate) offers: Vec<u64>,
    pub(crate) filters: AgentFilters,
    /// Its place among the agents with something to offer.
    pub(crate) free_key: Option<(u64, u64, AgentOrd)>,
    pub(crate) mark: Mark,
    /// Its sort and number among the agents that headroom alone keeps from being offered.
    pub(crate) held: Option<(Sort, u64)>,
}

impl Agent {
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether it missed a ping.
    pub(crate) fn is_suspect(&self) -> bool {
        self.connection.is_some() && self.ping.missed > 0
    }

    /// Takes from what is free. What is shared stays there for others.
    pub(crate) fn take_free(&mut self, resources: &Resources) -> Result<(), Shortfall> {
        match self.has_shared {
            false => self.free.subtract(resources),
            true => self.free.subtract(&resources.non_shared()),
        }
    }

    /// Moves resources from free to used. Keeps M5.
    pub(crate) fn use_free(&mut self, resources: &Resources) {
        self.take_free(resources).expect("a task uses what is free: M5");
        self.used.add(resources);
    }

    fn give_free(&mut self, resources: &Resources) {
        match self.has_shared {
            false => self.free.add(resources),
            true => self.free.add(&resources.non_shared()),
        }
    }

    /// Whether what it has free may be offered.
    pub(crate) fn is_offerable(&self) -> bool {
        self.connection.is_some() && self.ping.missed == 0 && !self.deactivated
    }
}

pub(crate) fn has_shared(resources: &Resources) -> bool {
    resources.pieces().iter().any(|piece| piece.flavor.is_shared())
}

/// Takes some resources away. What is shared stays for others.
pub(crate) fn take(from: &mut Resources, resources: &Resources) -> Result<(), Shortfall> {
    match has_shared(resources) {
        false => from.subtract(resources),
        true => match from.shortfall(resources) {
            None => from.subtract(&resources.non_shared()),
            Some(short) => Err(short),
        },
    }
}

impl Master {
    /// Adds an agent that nothing runs on and that is not connected yet.
    pub(crate) fn add_agent(
        &mut self,
        id: AgentId,
        info: AgentInfo,
        version: Arc<str>,
        registered: Time,
    ) -> AgentOrd {
        let parts = self.allocator.sorter.parts(&info.resources);
        self.allocator.sorter.add_total(&parts);
        let deactivated = self.registry.agents().get(&id).is_some_and(|facts| facts.deactivated);
        let ord = self.agents.insert(Agent {
            id: id.clone(),
            attributes: Arc::from(info.attributes.as_slice()),
            version,
            connection: None,
            registered,
            reregistered: None,
            ping: ping::Ping::default(),
            deadline: Time::ZERO,
            deactivated,
            draining: false,
            unavailability: self.registry.maintenance().unavailability(&info),
            asked: BTreeMap::new(),
            drain_deadline: None,
            has_gpus: info.resources.scalar("gpus") > 0,
            free_parts: Arc::new(parts.clone()),
            counted: self.allocator.nothing.clone(),
            parts,
            used: Resources::new(),
            offered: Resources::new(),
            pending: Resources::new(),
            free: info.resources.clone(),
            withheld: None,
            dooming: BTreeMap::new(),
            configured: None,
            has_shared: has_shared(&info.resources),
            info,
            tasks: BTreeSet::new(),
            executors: BTreeMap::new(),
            offers: Vec::new(),
            filters: AgentFilters::default(),
            free_key: None,
            mark: Mark::None,
            held: None,
        });
        let known = self.agent_ids.insert(id, ord);
        assert!(known.is_none(), "an agent is added once");
        self.count_reserved(ord, true);
        self.publisher.load(ord, self.now);
        ord
    }

    /// Takes an agent that holds no offers and no tasks any more out of the tables.
    pub(crate) fn drop_agent(&mut self, ord: AgentOrd) {
        self.clear_executors(ord);
        self.unbind_agent(ord);
        self.clear_agent_filters(ord);
        self.set_drain_deadline(ord, None);
        self.index_free(ord);
        self.allocator.forget(ord);
        self.count_reserved(ord, false);
        self.let_go_awaited(ord);
        let agent = self.agents.remove(ord);
        let empty = agent.offers.is_empty() && agent.tasks.is_empty() && agent.asked.is_empty();
        assert!(empty, "an agent leaves empty");
        self.deadlines.clear(agent.deadline, Deadline::Agent(ord));
        self.allocator.sorter.remove_total(&agent.parts);
        self.agent_ids.remove(&agent.id);
        self.publisher.forget_agent(ord);
        self.publisher.agent(&agent.id);
    }

    /// Gives an agent its stream, and takes it from whoever had it before.
    pub(crate) fn bind_agent(
        &mut self,
        ord: AgentOrd,
        connection: ConnectionId,
        out: &mut Vec<Effect>,
    ) {
        if let Some(other) = self.links.get(&connection).copied()
            && other != ord
        {
            self.disconnect_agent(other, out);
        }
        if let Some(old) = self.unbind_agent(ord)
            && old != connection
        {
            out.push(Effect::CloseAgent { connection: old });
        }
        self.agents[ord].connection = Some(connection);
        self.agents[ord].dooming.clear();
        // It says it anew if it is so.
        self.agents[ord].offer_all();
        self.links.insert(connection, ord);
        self.publisher.agent(&self.agents[ord].id);
        self.start_pinging(ord);
        self.index_free(ord);
    }

    /// Takes an agent's stream from it.
    pub(crate) fn unbind_agent(&mut self, ord: AgentOrd) -> Option<ConnectionId> {
        let connection = self.agents[ord].connection.take();
        if let Some(connection) = &connection {
            self.links.remove(connection);
            self.publisher.agent(&self.agents[ord].id);
        }
        connection
    }

    /// Sets the agent's deadline. Keeps M9.
    pub(crate) fn set_agent_deadline(&mut self, ord: AgentOrd, at: Time) {
        let old = std::mem::replace(&mut self.agents[ord].deadline, at);
        self.deadlines.clear(old, Deadline::Agent(ord));
        self.deadlines.set(at, Deadline::Agent(ord));
    }

    /// Sends a message to an agent; to nobody when it is not connected.
    pub(crate) fn send(&self, agent: AgentOrd, event: AgentEvent, out: &mut Vec<Effect>) {
        if let Some(connection) = self.agents[agent].connection {
            self.tell_agent(connection, event, out);
        }
    }

    /// Sends a message to the agent at the other end of a stream, under this master's epoch.
    pub(crate) fn tell_agent(
        &self,
        connection: ConnectionId,
        event: AgentEvent,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::ToAgent { connection, epoch: self.registry.epoch(), event });
    }

    /// Gives an agent on which nothing is used and nothing offered a new total.
    pub(crate) fn set_total(
        &mut self,
        ord: AgentOrd,
        total: Resources,
        configured: Option<Box<Resources>>,
    ) {
        self.count_reserved(ord, false);
        let agent = &mut self.agents[ord];
        assert!(agent.used.is_empty() && agent.offered.is_empty(), "the account is empty");
        self.allocator.sorter.remove_total(&agent.parts);
        agent.parts = self.allocator.sorter.parts(&total);
        self.allocator.sorter.add_total(&agent.parts);
        agent.has_gpus = total.scalar("gpus") > 0;
        agent.has_shared = has_shared(&total);
        agent.free = total.clone();
        agent.pending = Resources::new();
        agent.withheld = None;
        agent.info.resources = total;
        agent.configured = configured;
        self.count_reserved(ord, true);
        self.hold_awaited(ord);
        self.index_free(ord);
        self.publisher.load(ord, self.now);
    }

    /// Moves resources of an agent from free to offered. Keeps M5.
    pub(crate) fn reserve_offered(&mut self, ord: AgentOrd, resources: &Resources) {
        let agent = &mut self.agents[ord];
        if agent.offered.is_empty() && !agent.has_shared && agent.free == *resources {
            // Most agents are offered whole: nothing needs to be reckoned.
            std::mem::swap(&mut agent.free, &mut agent.offered);
            self.index_free_as(ord, self.allocator.nothing.clone());
        } else {
            agent.take_free(resources).expect("only what is free is offered: M5");
            agent.offered.add(resources);
            self.index_free(ord);
        }
        self.publisher.load(ord, self.now);
    }

    /// Moves resources of an agent from offered to free. Keeps M5.
    pub(crate) fn free_offered(
        &mut self,
        ord: AgentOrd,
        resources: &Resources,
        parts: &Arc<Parts>,
    ) {
        let agent = &mut self.agents[ord];
        if agent.free.is_empty() && agent.offered == *resources && agent.withheld.is_none() {
            std::mem::swap(&mut agent.free, &mut agent.offered);
            self.index_free_as(ord, parts.clone());
        } else {
            agent.offered.subtract(resources).expect("what an offer holds is offered: M5");
            agent.give_free(resources);
            self.index_free(ord);
        }
        self.publisher.load(ord, self.now);
        self.touch(ord);
    }

    /// What of an agent is used has grown, and what is free has become less.
    pub(crate) fn index_used(&mut self, ord: AgentOrd) {
        self.index_free(ord);
        self.publisher.load(ord, self.now);
        self.may_ask(ord);
        self.eased();
    }

    /// Moves resources of an agent from used to free. Keeps M5.
    pub(crate) fn free_used(&mut self, ord: AgentOrd, resources: &Resources) {
        let agent = &mut self.agents[ord];
        agent.used.subtract(resources).expect("what a living task holds is used: M5");
        agent.give_free(resources);
        self.index_free(ord);
        self.publisher.load(ord, self.now);
        self.touch(ord);
    }
}
