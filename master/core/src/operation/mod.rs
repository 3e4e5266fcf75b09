//! Operations on resources: what is remembered of them, and how their frameworks learn how they
//! ended.
//!
//! Reservations are made when they are durable; volumes when their agent has answered. What is under
//! way, and what ended and is not acknowledged, is a fact of the registry: a master that restarts
//! goes on where it was. The last status of an operation with an id carries a uuid and is repeated,
//! with growing pauses, until it is acknowledged; all other statuses are sent once.
//!
//! `check` says whether a change makes sense, `change` does it in a `draft` of all changes of a call,
//! `volumes` speaks with the agent, `reconcile` answers who asks.

pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod draft;
pub(crate) mod reconcile;
pub(crate) mod volumes;
mod weight;

use self::weight::operation_bytes;
use crate::deadlines::Deadline;
use crate::effect::{Effect, Refusal};
use crate::registry::{KnownOperation, OperationEnd, RegistryOp};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::scheduler::Event;
use proto::{
    AgentId, FrameworkId, Operation, OperationId, OperationState, OperationStatus,
    ResourceOperation, Resources, StatusUuid, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The first pause before a status is repeated, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(600)];

/// When a framework's statuses are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) at: Time,
    pause: Duration,
}

/// An operation that its agent has not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// The first message on the agent's stream that spoke of it; 0 while there was none.
    pub(crate) sequence: u64,
    /// Whether what it puts there is kept on the agent until the answer comes.
    pub(crate) holds: bool,
}

/// Where the registry's operations are found.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    pub(crate) by_framework: BTreeMap<FrameworkId, BTreeSet<StatusUuid>>,
    /// What they weigh together.
    bytes: BTreeMap<FrameworkId, usize>,
    named: BTreeMap<(FrameworkId, OperationId), StatusUuid>,
    /// Those that are under way.
    pub(crate) pending: BTreeMap<AgentId, BTreeMap<StatusUuid, Awaited>>,
    /// Frameworks that an earlier master completed, and died before it disowned their operations.
    over: Vec<FrameworkId>,
    /// When those of frameworks that are not known to this master are forgotten.
    pub(crate) strays_at: Option<Time>,
    made: u64,
    volumes_sent: u64,
}

impl Operations {
    fn add(&mut self, uuid: StatusUuid, operation: &KnownOperation) {
        if let Some(framework_id) = &operation.framework_id {
            if self.by_framework.entry(framework_id.clone()).or_default().insert(uuid) {
                *self.bytes.entry(framework_id.clone()).or_default() +=
                    operation_bytes(&operation.operation);
            }
            if let Some(id) = &operation.operation.id {
                self.named.insert((framework_id.clone(), id.clone()), uuid);
            }
        }
        if operation.is_pending() {
            self.pending.entry(operation.agent_id.clone()).or_default().entry(uuid).or_default();
        } else {
            self.answered(&operation.agent_id, uuid);
        }
    }

    fn answered(&mut self, agent_id: &AgentId, uuid: StatusUuid) {
        if let Some(here) = self.pending.get_mut(agent_id) {
            here.remove(&uuid);
            if here.is_empty() {
                self.pending.remove(agent_id);
            }
        }
    }

    fn remove(&mut self, uuid: StatusUuid, operation: &KnownOperation) {
        self.answered(&operation.agent_id, uuid);
        let Some(framework_id) = &operation.framework_id else { return };
        if let Some(own) = self.by_framework.get_mut(framework_id) {
            if own.remove(&uuid)
                && let Some(bytes) = self.bytes.get_mut(framework_id)
            {
                *bytes -= operation_bytes(&operation.operation);
            }
            if own.is_empty() {
                self.by_framework.remove(framework_id);
                self.bytes.remove(framework_id);
            }
        }
        if let Some(id) = &operation.operation.id {
            self.named.remove(&(framework_id.clone(), id.clone()));
        }
    }

    /// The framework's operation of this id, if it is remembered.
    pub(crate) fn find(&self, framework_id: &FrameworkId, id: &OperationId) -> Option<StatusUuid> {
        self.named.get(&(framework_id.clone(), id.clone())).copied()
    }

    /// The framework's operations.
    pub(crate) fn of(&self, framework_id: &FrameworkId) -> Vec<StatusUuid> {
        self.by_framework.get(framework_id).into_iter().flatten().copied().collect()
    }

    /// Whether the agent has not answered all operations on it.
    pub(crate) fn is_awaited(&self, agent_id: &AgentId) -> bool {
        self.pending.contains_key(agent_id)
    }
}

impl Master {
    /// Takes up the operations that an earlier master left.
    pub(crate) fn recover_operations(&mut self) {
        for (uuid, operation) in self.registry.operations() {
            self.operations.add(*uuid, operation);
        }
        let known = self.operations.by_framework.keys();
        self.operations.over = known.filter(|id| self.registry.is_completed(id)).cloned().collect();
        if !self.registry.operations().is_empty() {
            let at = self.now + self.options.framework_reregister_timeout;
            self.operations.strays_at = Some(at);
            self.deadlines.set(at, Deadline::StrayOperations);
        }
    }

    /// With the first step: an earlier master may have died between the end of a framework and that
    /// of its operations.
    pub(crate) fn disown_what_is_over(&mut self, out: &mut Vec<Effect>) {
        for framework_id in std::mem::take(&mut self.operations.over) {
            self.disown_operations(&framework_id, out);
        }
    }

    /// Frameworks had their time to come back: nobody waits for the operations of those that did
    /// not.
    pub(crate) fn forget_strays(&mut self, out: &mut Vec<Effect>) {
        self.operations.strays_at = None;
        let strays: Vec<FrameworkId> = self.operations.by_framework.keys().cloned().collect();
        for framework_id in strays {
            if self.framework_ord(&framework_id).is_none() {
                self.disown_operations(&framework_id, out);
            }
        }
    }

    /// A framework is over: nobody waits for its operations. Those under way go on.
    pub(crate) fn disown_operations(&mut self, framework_id: &FrameworkId, out: &mut Vec<Effect>) {
        for uuid in self.operations.of(framework_id) {
            let known = self.registry.operations()[&uuid].clone();
            if known.is_pending() {
                let agent = self.operations.pending.get(&known.agent_id);
                let awaited = agent.and_then(|here| here.get(&uuid)).copied().unwrap_or_default();
                self.operations.remove(uuid, &known);
                let operation = ResourceOperation { id: None, ..known.operation };
                let disowned = KnownOperation { framework_id: None, operation, ..known };
                let agent_id = disowned.agent_id.clone();
                self.remember_operation(uuid, disowned, out);
                self.operations.pending.entry(agent_id).or_default().insert(uuid, awaited);
            } else {
                self.forget_operation(uuid, out);
            }
        }
    }

    /// Remembers an operation durably, in the place of what was known of it.
    fn remember_operation(
        &mut self,
        uuid: StatusUuid,
        operation: KnownOperation,
        out: &mut Vec<Effect>,
    ) {
        self.operations.add(uuid, &operation);
        self.persist(RegistryOp::PutOperation { uuid, operation }, out);
    }

    fn forget_operation(&mut self, uuid: StatusUuid, out: &mut Vec<Effect>) {
        if let Some(operation) = self.registry.operations().get(&uuid) {
            self.operations.remove(uuid, operation);
            self.persist(RegistryOp::RemoveOperation { uuid }, out);
        }
    }

    /// An operation that was under way ended.
    fn end_operation(&mut self, uuid: StatusUuid, end: OperationEnd, out: &mut Vec<Effect>) {
        let known = self.registry.operations().get(&uuid).filter(|known| known.is_pending());
        let Some(known) = known.cloned() else { return };
        self.counters.operations_ended += 1;
        self.maybe_drained.insert(known.agent_id.clone());
        let is_told = known.framework_id.is_some() && known.operation.id.is_some();
        if is_told {
            self.remember_operation(uuid, KnownOperation { end: Some(end), ..known }, out);
            self.tell_end(uuid, out);
        } else {
            self.forget_operation(uuid, out);
        }
    }

    /// The framework of a remembered operation, and what it is told.
    fn told(&self, uuid: StatusUuid) -> Option<(FrameworkOrd, OperationStatus)> {
        let known = self.registry.operations().get(&uuid)?;
        let framework = self.framework_ord(known.framework_id.as_ref()?)?;
        known.operation.id.as_ref()?;
        Some((framework, known.status(uuid)))
    }

    /// Tells a framework how its operation ended, until it acknowledges.
    fn tell_end(&mut self, uuid: StatusUuid, out: &mut Vec<Effect>) {
        let Some((framework, status)) = self.told(uuid) else { return };
        self.tell(framework, Event::UpdateOperationStatus(status), out);
        self.repeat_from(framework, PAUSES[0]);
    }

    fn repeat_from(&mut self, framework: FrameworkOrd, pause: Duration) {
        let at = self.now + pause;
        let record = &self.frameworks[framework];
        let sooner = record.repeat.is_none_or(|repeat| repeat.at > at);
        if record.is_connected() && sooner {
            self.set_repeat(framework, Some(Repeat { at, pause }));
        }
    }

    /// Sets or clears the time at which the framework's statuses are repeated. Keeps M9.
    pub(crate) fn set_repeat(&mut self, framework: FrameworkOrd, repeat: Option<Repeat>) {
        let old = std::mem::replace(&mut self.frameworks[framework].repeat, repeat);
        if let Some(old) = old {
            self.deadlines.clear(old.at, Deadline::OperationStatuses(framework));
        }
        if let Some(repeat) = repeat {
            self.deadlines.set(repeat.at, Deadline::OperationStatuses(framework));
        }
    }

    /// The framework's operations that ended and are not acknowledged.
    fn unacknowledged(&self, framework: FrameworkOrd) -> Vec<StatusUuid> {
        let mut own = self.operations.of(&self.frameworks[framework].id);
        own.retain(|uuid| !self.registry.operations()[uuid].is_pending());
        own
    }

    /// Sends what is not acknowledged, to a framework that has just subscribed.
    pub(crate) fn tell_ends(&mut self, framework: FrameworkOrd, out: &mut Vec<Effect>) {
        for uuid in self.unacknowledged(framework) {
            self.tell_end(uuid, out);
        }
    }

    /// Sends what is still not acknowledged, and waits longer the next time.
    pub(crate) fn repeat_statuses(&mut self, framework: FrameworkOrd, out: &mut Vec<Effect>) {
        let last = self.frameworks[framework].repeat.take();
        let waiting = self.unacknowledged(framework);
        for uuid in &waiting {
            if let Some((framework, status)) = self.told(*uuid) {
                self.tell(framework, Event::UpdateOperationStatus(status), out);
            }
        }
        if let (Some(last), false) = (last, waiting.is_empty()) {
            self.repeat_from(framework, (last.pause * 2).min(PAUSES[1]));
        }
    }

    /// A framework has the last status of its operation, which is forgotten then.
    pub(crate) fn acknowledge_operation(
        &mut self,
        framework: FrameworkOrd,
        uuid: StatusUuid,
        id: &OperationId,
        out: &mut Vec<Effect>,
    ) {
        let record = &self.frameworks[framework];
        let meant = self.registry.operations().get(&uuid).is_some_and(|known| {
            !known.is_pending()
                && known.framework_id.as_ref() == Some(&record.id)
                && known.operation.id.as_ref() == Some(id)
        });
        if !meant {
            return;
        }
        self.counters.acknowledgements += 1;
        self.forget_operation(uuid, out);
        let own = self.operations.by_framework.get(&self.frameworks[framework].id);
        let waits = |uuid: &StatusUuid| !self.registry.operations()[uuid].is_pending();
        if !own.into_iter().flatten().any(waits) {
            self.set_repeat(framework, None);
        }
    }

    /// Says once that an operation never was one, to a framework that gave it an id.
    pub(crate) fn refuse_operation(
        &mut self,
        framework: FrameworkOrd,
        id: Option<OperationId>,
        agent_id: Option<AgentId>,
        problem: &str,
        out: &mut Vec<Effect>,
    ) {
        self.counters.operations_refused += 1;
        if id.is_some() {
            let status = said(id, OperationState::Error, problem, agent_id);
            self.tell(framework, Event::UpdateOperationStatus(status), out);
        }
    }

    /// Refuses a call with more operations, or more bytes of them, than are remembered for one
    /// framework.
    pub(crate) fn check_room_for_operations(
        &self,
        framework: FrameworkOrd,
        operations: &[Operation],
    ) -> Result<(), Refusal> {
        let changes = |operation: &&Operation| matches!(operation, Operation::Change(_));
        let asked = operations.iter().filter(changes).count();
        let own = self.operations.by_framework.get(&self.frameworks[framework].id);
        let (known, limit) = (own.map_or(0, BTreeSet::len), self.options.operations);
        if known + asked > limit {
            return Err(Refusal::TooManyOperations { asked, known, limit });
        }
        let weight = |operation: &Operation| match operation {
            Operation::Change(change) => operation_bytes(change),
            Operation::Launch(_)
            | Operation::Unreadable(_)
            | Operation::LaunchGroup(_)
            | Operation::Invalid(_)
            | Operation::NotBuilt(_) => 0,
        };
        let asked = operations.iter().map(weight).sum();
        let known = self.operations.bytes.get(&self.frameworks[framework].id);
        let (known, limit) = (known.copied().unwrap_or(0), self.options.operations_bytes);
        if known + asked > limit {
            return Err(Refusal::OperationsTooLarge { asked, known, limit });
        }
        Ok(())
    }

    /// The operations that an agent has not answered.
    pub(crate) fn awaited_on(&self, agent_id: &AgentId) -> Vec<StatusUuid> {
        self.operations.pending.get(agent_id).into_iter().flatten().map(|(uuid, _)| *uuid).collect()
    }

    /// An agent is given up until it comes back: what is under way there may still end.
    pub(crate) fn operations_unreachable(&self, agent_id: &AgentId, out: &mut Vec<Effect>) {
        let message = "Agent became unreachable; it did not answer in time";
        for uuid in self.awaited_on(agent_id) {
            if let Some((framework, status)) = self.told(uuid) {
                let (id, agent_id) = (status.operation_id, status.agent_id);
                let status = said(id, OperationState::Unreachable, message, agent_id);
                self.tell(framework, Event::UpdateOperationStatus(status), out);
            }
        }
    }

    /// An agent will never be back: what was under way there is over.
    pub(crate) fn operations_gone(
        &mut self,
        agent_id: &AgentId,
        message: &str,
        out: &mut Vec<Effect>,
    ) {
        for uuid in self.awaited_on(agent_id) {
            if let Some((framework, status)) = self.told(uuid) {
                let (id, agent_id) = (status.operation_id, status.agent_id);
                let status = said(id, OperationState::GoneByOperator, message, agent_id);
                self.tell(framework, Event::UpdateOperationStatus(status), out);
            }
            self.counters.operations_ended += 1;
            self.forget_operation(uuid, out);
        }
    }

    /// What is under way on an agent that leaves the table keeps nothing there.
    pub(crate) fn let_go_awaited(&mut self, ord: AgentOrd) {
        let here = self.operations.pending.get_mut(&self.agents[ord].id);
        for awaited in here.into_iter().flat_map(BTreeMap::values_mut) {
            *awaited = Awaited::default();
        }
        self.agents[ord].pending = Resources::new();
    }

    /// A number that no operation had before: the master's id is new at each start.
    fn new_operation_uuid(&mut self) -> StatusUuid {
        let bytes = self.info.id.as_str().bytes();
        let seed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        loop {
            self.operations.made += 1;
            let made = self.operations.made;
            let mut uuid = [0; 16];
            uuid[..8].copy_from_slice(&mixed(seed ^ made).to_be_bytes());
            uuid[8..]
                .copy_from_slice(&mixed(seed.rotate_left(32).wrapping_add(made)).to_be_bytes());
            if !self.registry.operations().contains_key(&StatusUuid(uuid)) {
                return StatusUuid(uuid);
            }
        }
    }
}

/// A status that is sent once.
pub(crate) fn said(
    operation_id: Option<OperationId>,
    state: OperationState,
    message: &str,
    agent_id: Option<AgentId>,
) -> OperationStatus {
    OperationStatus {
        operation_id,
        state,
        message: Some(Arc::from(message)),
        converted: Resources::new(),
        uuid: None,
        agent_id,
    }
}

/// The finalizer of splitmix64: every number gives another one.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
