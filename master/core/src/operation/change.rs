//! Changes of what an agent has: reservations and volumes, by frameworks and by operators.
//!
//! A change takes from what is free and puts what it makes there, so that later operations of the
//! same ACCEPT can use it. Volumes that grow or shrink are nobody's until their agent has answered.

use super::Awaited;
use crate::agent::has_shared;
use crate::effect::Effect;
use crate::registry::{Holdings, KnownOperation, OperationEnd, RegistryOp, changed_of};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{
    Conversion, OperationState, Piece, ResourceChange, ResourceOperation, Resources, StatusUuid,
};

impl Master {
    /// Does a change that was checked: what it consumes is free on the agent.
    pub(crate) fn change(
        &mut self,
        by: Option<FrameworkOrd>,
        agent: AgentOrd,
        operation: ResourceOperation,
        conversion: &Conversion,
        out: &mut Vec<Effect>,
    ) {
        let mut doomed = self.doomed(agent);
        if let ResourceChange::Destroy { volumes } = &operation.change {
            doomed.extend(volumes.pieces().iter().cloned());
        }
        self.convert(agent, conversion);
        self.persist_holdings(agent, doomed, out);
        let at_agent = is_at_agent(&operation.change);
        let holds = !operation.change.is_speculative();
        if at_agent || (by.is_some() && operation.id.is_some()) {
            let uuid = self.new_operation_uuid();
            let framework_id = by.map(|framework| self.frameworks[framework].id.clone());
            let agent_id = self.agents[agent].id.clone();
            let done = || OperationEnd { state: OperationState::Finished, message: None };
            let end = (!at_agent).then(done);
            self.remember_operation(
                uuid,
                KnownOperation { framework_id, agent_id, operation, end },
                out,
            );
            if holds {
                self.hold(agent, uuid, &conversion.converted);
            }
            if !at_agent {
                self.counters.operations_ended += 1;
                self.tell_end(uuid, out);
            }
        }
        if at_agent {
            self.tell_volumes(agent, out);
        }
        self.touch(agent);
    }

    /// Takes what is free and puts something else there. Keeps M5 and M27.
    pub(super) fn convert(&mut self, agent: AgentOrd, conversion: &Conversion) {
        let Conversion { consumed, converted } = conversion;
        self.count_reserved(agent, false);
        let record = &mut self.agents[agent];
        let before = &record.info.resources;
        record.configured.get_or_insert_with(|| Box::new(before.clone()));
        for all in [&mut record.info.resources, &mut record.free] {
            all.subtract(consumed).expect("what is changed was seen to be free");
            all.add(converted);
        }
        let total = &record.info.resources;
        record.has_shared = has_shared(total);
        if changed_of(total).is_empty() {
            record.configured = None;
        }
        let parts = self.allocator.sorter.parts(total);
        if parts.all != record.parts.all {
            self.allocator.sorter.remove_total(&record.parts);
            self.allocator.sorter.add_total(&parts);
        }
        record.parts = parts;
        self.count_reserved(agent, true);
        self.index_free(agent);
        self.publisher.load(agent, self.now);
    }

    /// Makes durable what is reserved and made on the agent.
    pub(super) fn persist_holdings(
        &mut self,
        agent: AgentOrd,
        doomed: Vec<Piece>,
        out: &mut Vec<Effect>,
    ) {
        let record = &self.agents[agent];
        let changed = changed_of(&record.info.resources);
        let agent_id = record.id.clone();
        let holdings = Holdings { changed, doomed };
        self.persist(RegistryOp::SetHoldings { agent_id, holdings }, out);
    }

    /// The agent's destroyed volumes whose content may still be there.
    pub(super) fn doomed(&self, agent: AgentOrd) -> Vec<Piece> {
        let facts = self.registry.agents().get(&self.agents[agent].id);
        facts.map(|facts| facts.doomed.clone()).unwrap_or_default()
    }

    /// Keeps what an operation put there until the agent answers, if it is free.
    fn hold(&mut self, agent: AgentOrd, uuid: StatusUuid, converted: &Resources) {
        let record = &mut self.agents[agent];
        if record.free.subtract(converted).is_err() {
            return;
        }
        record.pending.add(converted);
        let here = self.operations.pending.entry(record.id.clone()).or_default();
        here.entry(uuid).or_default().holds = true;
        self.index_free(agent);
        self.publisher.load(agent, self.now);
    }

    /// Keeps what operations under way put on an agent that came back.
    pub(crate) fn hold_awaited(&mut self, agent: AgentOrd) {
        for uuid in self.awaited_on(&self.agents[agent].id) {
            let known = &self.registry.operations()[&uuid].operation;
            let converted = match known.change.conversion() {
                Ok(conversion) if !known.change.is_speculative() => conversion.converted,
                Ok(_) | Err(_) => Resources::new(),
            };
            let here = self.operations.pending.entry(self.agents[agent].id.clone()).or_default();
            here.insert(uuid, Awaited::default());
            if !converted.is_empty() {
                self.hold(agent, uuid, &converted);
            }
        }
    }

    /// Gives free what an operation kept.
    pub(super) fn let_go(&mut self, agent: AgentOrd, uuid: StatusUuid, converted: &Resources) {
        let record = &mut self.agents[agent];
        let here = self.operations.pending.get_mut(&record.id);
        let Some(awaited) = here.and_then(|here| here.get_mut(&uuid)) else { return };
        if !std::mem::take(&mut awaited.holds) {
            return;
        }
        record.pending.subtract(converted).expect("what is kept is pending: M5");
        record.free.add(converted);
        self.index_free(agent);
        self.publisher.load(agent, self.now);
        self.touch(agent);
    }

    /// Takes back the offers of an agent that hold something of `resources`.
    pub(crate) fn rescind_holders(
        &mut self,
        agent: AgentOrd,
        resources: &Resources,
        out: &mut Vec<Effect>,
    ) {
        if resources.is_empty() {
            return;
        }
        for number in self.agents[agent].offers.clone() {
            let offered = &self.offers[&number].resources;
            let holds = |piece: &Piece| {
                let same = |own: &Piece| own.name == piece.name && own.flavor == piece.flavor;
                offered.pieces().iter().any(same)
            };
            if resources.pieces().iter().any(holds) {
                self.rescind(number, out);
            }
        }
    }
}

/// Whether the agent has to do something for the change.
fn is_at_agent(change: &ResourceChange) -> bool {
    match change {
        ResourceChange::Reserve { .. } | ResourceChange::Unreserve { .. } => false,
        ResourceChange::Create { .. }
        | ResourceChange::Destroy { .. }
        | ResourceChange::Grow { .. }
        | ResourceChange::Shrink { .. } => true,
    }
}
