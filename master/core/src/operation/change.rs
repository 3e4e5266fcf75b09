//! Changes of what an agent has: reservations and volumes, by frameworks and by operators.
//!
//! A change takes from what is free and puts what it makes there, so that later operations of the
//! same ACCEPT can use it. What an ACCEPT changes is written and told once, whatever the number of
//! its operations. Volumes that grow or shrink are nobody's until their agent has answered.

use super::Awaited;
use super::check::Change;
use super::draft::{Draft, Outcome};
use crate::agent::has_shared;
use crate::effect::Effect;
use crate::registry::{Holdings, KnownOperation, OperationEnd, RegistryOp, changed_of, is_changed};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{
    Conversion, OperationState, Piece, ResourceChange, ResourceOperation, Resources, StatusUuid,
};

impl Master {
    /// Begins to change what an agent has: `settle` ends it, in the same step.
    pub(crate) fn draft(&self, agent: AgentOrd) -> Draft {
        Draft::new(agent, &self.agents[agent].info.resources, self.doomed(agent))
    }

    /// Notes a change that was checked: what it consumes is free on the agent.
    pub(crate) fn change(
        &mut self,
        by: Option<FrameworkOrd>,
        draft: &mut Draft,
        operation: ResourceOperation,
        checked: &Change,
    ) {
        let agent = draft.agent;
        draft.note(&operation.change, &checked.after);
        self.convert(draft, &checked.conversion);
        let at_agent = is_at_agent(&operation.change);
        let holds = !operation.change.is_speculative();
        draft.tells |= at_agent;
        if at_agent || (by.is_some() && operation.id.is_some()) {
            let uuid = self.new_operation_uuid();
            let framework_id = by.map(|framework| self.frameworks[framework].id.clone());
            let agent_id = self.agents[agent].id.clone();
            let done = || OperationEnd { state: OperationState::Finished, message: None };
            let end = (!at_agent).then(done);
            let known = KnownOperation { framework_id, agent_id, operation, end };
            self.operations.add(uuid, &known);
            draft.outcomes.push(Outcome::Made(uuid, known));
            if holds {
                self.hold(agent, uuid, &checked.conversion.converted);
            }
        }
    }

    /// Takes what is free and puts something else there. Keeps M5.
    pub(super) fn convert(&mut self, draft: &mut Draft, conversion: &Conversion) {
        let Conversion { consumed, converted } = conversion;
        if !std::mem::replace(&mut draft.converted, true) {
            self.count_reserved(draft.agent, false);
        }
        let record = &mut self.agents[draft.agent];
        let before = &record.info.resources;
        record.configured.get_or_insert_with(|| Box::new(before.clone()));
        for all in [&mut record.info.resources, &mut record.free] {
            all.subtract(consumed).expect("what is changed was seen to be free");
            all.add(converted);
        }
        record.has_shared |= has_shared(converted);
    }

    /// Makes the changes of a call facts and tells of them: the agent's holdings once, its
    /// operations, how those ended that are done, and the agent's volumes once.
    pub(crate) fn settle(&mut self, draft: Draft, out: &mut Vec<Effect>) {
        let Draft { agent, converted, confirmed, doomed, outcomes, tells, .. } = draft;
        if converted {
            self.account(agent);
        }
        if converted || confirmed {
            self.persist_holdings(agent, doomed, out);
        }
        let mut told = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            match outcome {
                Outcome::Made(uuid, operation) => {
                    if !operation.is_pending() {
                        told.push(Ok(uuid));
                    }
                    let known = self.registry.operations().contains_key(&uuid);
                    assert!(!known, "an operation is a fact when its draft is settled, not before");
                    self.persist(RegistryOp::PutOperation { uuid, operation }, out);
                }
                Outcome::Refused(by, id, problem) => told.push(Err((by, id, problem))),
            }
        }
        for told in told {
            match told {
                Ok(uuid) => {
                    self.counters.operations_ended += 1;
                    self.tell_end(uuid, out);
                }
                Err((by, id, problem)) => {
                    let agent_id = Some(self.agents[agent].id.clone());
                    self.refuse_operation(by, id, agent_id, &problem, out);
                }
            }
        }
        if tells {
            self.tell_volumes(agent, out);
        }
        if converted {
            self.touch(agent);
        }
    }

    /// Reckons anew what follows from what the agent has and has free. Keeps M27.
    fn account(&mut self, agent: AgentOrd) {
        let record = &mut self.agents[agent];
        let total = &record.info.resources;
        record.has_shared = has_shared(total);
        if !total.pieces().iter().any(is_changed) {
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
    fn persist_holdings(&mut self, agent: AgentOrd, doomed: Vec<Piece>, out: &mut Vec<Effect>) {
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

    /// Keeps what an operation put there until the agent answers, if it is free. What is free is
    /// indexed by the caller.
    fn hold(&mut self, agent: AgentOrd, uuid: StatusUuid, converted: &Resources) {
        let record = &mut self.agents[agent];
        if record.free.subtract(converted).is_err() {
            return;
        }
        record.pending.add(converted);
        let here = self.operations.pending.entry(record.id.clone()).or_default();
        here.entry(uuid).or_default().holds = true;
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

    /// Gives free what an operation kept, and says whether it kept something. What is free is
    /// indexed by the caller.
    pub(super) fn let_go(
        &mut self,
        agent: AgentOrd,
        uuid: StatusUuid,
        converted: &Resources,
    ) -> bool {
        let record = &mut self.agents[agent];
        let here = self.operations.pending.get_mut(&record.id);
        let Some(awaited) = here.and_then(|here| here.get_mut(&uuid)) else { return false };
        if !std::mem::take(&mut awaited.holds) {
            return false;
        }
        record.pending.subtract(converted).expect("what is kept is pending: M5");
        record.free.add(converted);
        true
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
            let holds = |piece: &Piece| !offered.of_flavor(&piece.name, &piece.flavor).is_empty();
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
