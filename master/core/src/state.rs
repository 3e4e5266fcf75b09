//! The master's state: its tables, their indexes, and how things are looked up.
//!
//! Each kind of entity keeps its own table right in its own folder (`framework`, `agent`, `offer`,
//! `task`); this file holds them together and decides nothing.

use crate::agent::Agent;
use crate::agent::doubted::Doubted;
use crate::allocator::Allocator;
use crate::deadlines::{Deadline, Deadlines};
use crate::effect::Effect;
use crate::framework::{Framework, PastFramework};
use crate::input::ConnectionId;
use crate::offer::OfferRecord;
use crate::operation::Operations;
use crate::options::Options;
use crate::publish::Publisher;
use crate::registry::{Registry, RegistryOp};
use crate::table::{AgentOrd, FrameworkOrd, Table};
use proto::scheduler::{Event, MasterInfo};
use proto::{AgentId, FrameworkId, TaskId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Totals since the master started, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Offers made.
    pub offers_made: u64,
    /// Offers that a framework declined.
    pub offers_declined: u64,
    /// Offers taken back, on a time-out or because the agent left.
    pub offers_rescinded: u64,
    /// Tasks sent to agents.
    pub tasks_launched: u64,
    /// Tasks refused with an update of the master.
    pub tasks_refused: u64,
    /// Status updates of agents taken.
    pub updates: u64,
    /// Status updates of agents that concern no task here.
    pub updates_ignored: u64,
    /// Acknowledgements passed on.
    pub acknowledgements: u64,
    /// Tasks that finished.
    pub tasks_finished: u64,
    /// Tasks that ended in any other way.
    pub tasks_failed: u64,
    /// Calls refused.
    pub calls_refused: u64,
    /// Operations on resources that ended, well or not.
    pub operations_ended: u64,
    /// Operations on resources that made no sense, or were not possible.
    pub operations_refused: u64,
    /// Volumes that agents could not make or delete.
    pub volume_failures: u64,
    /// SHUTDOWN calls for executors that are not known.
    pub shutdowns_dropped: u64,
    /// Allocation passes.
    pub allocation_passes: u64,
    /// Agents looked at in allocation passes.
    pub agents_considered: u64,
    /// Looks at agents for demands in allocation passes.
    pub demand_looks: u64,
    /// Times that an agent became unreachable.
    pub agents_unreachable: u64,
}

/// The master's core.
#[derive(Debug)]
pub struct Master {
    pub(crate) options: Options,
    pub(crate) info: MasterInfo,
    pub(crate) started: Time,
    /// The time of the step that is being taken; never goes back.
    pub(crate) now: Time,
    pub(crate) registry: Registry,

    pub(crate) frameworks: Table<FrameworkOrd, Framework>,
    pub(crate) framework_ids: BTreeMap<FrameworkId, FrameworkOrd>,
    pub(crate) streams: BTreeMap<ConnectionId, FrameworkOrd>,
    /// Frameworks that are over, with their tasks, oldest first.
    pub(crate) past: VecDeque<PastFramework>,

    pub(crate) agents: Table<AgentOrd, Agent>,
    pub(crate) agent_ids: BTreeMap<AgentId, AgentOrd>,
    pub(crate) links: BTreeMap<ConnectionId, AgentOrd>,
    /// Agents known from the registry that have not come back to this master yet.
    pub(crate) recovered: BTreeSet<AgentId>,
    /// Until when they count for limits, while they do.
    pub(crate) quota_recovery: Option<Time>,
    /// Tasks that may run on them.
    pub(crate) doubted: Doubted,
    /// Unreachable agents of which tasks were forgotten or were never known, and since when they are:
    /// such tasks may run there all the same.
    pub(crate) forgotten: BTreeMap<AgentId, Time>,
    /// Registrations by nonce, host and port, so that a repeated one gets the same id.
    pub(crate) nonces: BTreeMap<(u64, Arc<str>, u16), AgentId>,

    /// Tasks of unreachable agents, by agent.
    pub(crate) shelved: BTreeMap<AgentId, BTreeSet<(FrameworkOrd, TaskId)>>,

    pub(crate) inverse_offers: BTreeMap<u64, (AgentOrd, FrameworkOrd)>,
    /// Agents whose frameworks may have to be asked to leave.
    pub(crate) maybe_ask: BTreeSet<AgentOrd>,
    /// Draining agents that lost a task in this step: one of them may be empty.
    pub(crate) maybe_drained: BTreeSet<AgentId>,
    /// Before it no agent is given up.
    pub(crate) next_removal: Time,

    /// Where the registry's operations are found.
    pub(crate) operations: Operations,
    pub(crate) offers: BTreeMap<u64, OfferRecord>,
    pub(crate) allocator: Allocator,
    pub(crate) deadlines: Deadlines,
    pub(crate) publisher: Publisher,
    pub(crate) counters: Counters,

    pub(crate) next_framework: u64,
    pub(crate) next_agent: u64,
    pub(crate) next_offer: u64,
}

impl Master {
    /// A master that begins to lead with the registry's facts. `info.id` must be new: the ids of
    /// frameworks, agents and offers derive from it.
    pub fn new(options: Options, info: MasterInfo, registry: Registry, now: Time) -> Self {
        let mut m = Self {
            allocator: Allocator::new(&registry, &options),
            options,
            info,
            started: now,
            now,
            frameworks: Table::new(),
            framework_ids: BTreeMap::new(),
            streams: BTreeMap::new(),
            past: VecDeque::new(),
            agents: Table::new(),
            agent_ids: BTreeMap::new(),
            links: BTreeMap::new(),
            recovered: BTreeSet::new(),
            quota_recovery: None,
            doubted: Doubted::default(),
            forgotten: BTreeMap::new(),
            nonces: BTreeMap::new(),
            shelved: BTreeMap::new(),
            inverse_offers: BTreeMap::new(),
            maybe_ask: BTreeSet::new(),
            maybe_drained: BTreeSet::new(),
            next_removal: Time::ZERO,
            operations: Operations::default(),
            offers: BTreeMap::new(),
            deadlines: Deadlines::default(),
            publisher: Publisher::default(),
            counters: Counters::default(),
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            registry,
        };
        m.recover_agents();
        m.recover_frameworks();
        m.recover_operations();
        // What is so from the beginning is in the first snapshot.
        m.publisher = Publisher::new(m.options.publish_interval);
        m
    }

    fn recover_agents(&mut self) {
        for (id, agent) in self.registry.agents() {
            if let Some(nonce) = agent.nonce {
                let key = (nonce, agent.info.hostname.clone(), agent.info.port);
                self.nonces.insert(key, id.clone());
            }
            match agent.unreachable {
                None => _ = self.recovered.insert(id.clone()),
                // What runs there was told to another master.
                Some(since) => _ = self.forgotten.insert(id.clone(), since),
            }
        }
        if !self.recovered.is_empty() {
            let at = self.now + self.options.agent_reregister_timeout;
            self.deadlines.set(at, Deadline::RecoveryOver);
        }
        self.begin_quota_recovery();
    }

    fn recover_frameworks(&mut self) {
        let held: Vec<_> = self.registry.frameworks().values().cloned().collect();
        for held in held {
            // While no master led, the scheduler could not come back: it gets some time for it.
            let grace = held.info.failover_timeout.min(self.options.framework_reregister_timeout);
            // A wall clock that was set back between two lives must not lengthen the wait.
            let longest = self.now + held.info.failover_timeout;
            let deadline = held.deadline.min(longest).max(self.now + grace);
            let ord = self.add_framework(held.info, held.registered);
            self.set_failover_deadline(ord, Some(deadline));
        }
        let kept = self.registry.kept().of().values();
        let kept: Vec<_> = kept.map(|state| (state.info.clone(), state.registered)).collect();
        for (info, registered) in kept {
            if info.id.as_ref().is_none_or(|id| self.framework_ord(id).is_some()) {
                continue;
            }
            // It was connected when the last master died: it is waited for as one of which only
            // tasks are known, so that its state does not outlive it for ever.
            let patience = info.failover_timeout.max(self.options.framework_reregister_timeout);
            let ord = self.add_framework(info, registered);
            self.set_failover_deadline(ord, Some(self.now + patience));
        }
        let past = self.registry.completed().iter().cloned();
        self.past = past.map(PastFramework::without_tasks).collect();
    }

    /// When the next `Input::Tick` is due.
    pub fn deadline(&self) -> Option<Time> {
        let offers = self.first_offer_ends().map(|(at, _)| at);
        let others = [self.deadlines.next(), self.allocator.due, self.publisher.due];
        others.into_iter().chain([offers]).flatten().min()
    }

    /// The durable facts, as if every `Persist` so far were durable.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The master as frameworks see it.
    pub fn info(&self) -> &MasterInfo {
        &self.info
    }

    /// Changes the registry, durably.
    pub(crate) fn persist(&mut self, op: RegistryOp, out: &mut Vec<Effect>) {
        self.registry.apply(&op);
        self.publisher.fact(&op);
        out.push(Effect::Persist(op));
    }

    pub(crate) fn framework_ord(&self, id: &FrameworkId) -> Option<FrameworkOrd> {
        self.framework_ids.get(id).copied()
    }

    pub(crate) fn agent_ord(&self, id: &AgentId) -> Option<AgentOrd> {
        self.agent_ids.get(id).copied()
    }

    /// Sends an event to a framework; to nobody when it is not connected.
    pub(crate) fn tell(&self, framework: FrameworkOrd, event: Event, out: &mut Vec<Effect>) {
        if let Some(connection) = self.frameworks[framework].connection {
            out.push(Effect::ToFramework { connection, event });
        }
    }
}
