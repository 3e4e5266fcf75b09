//! RECONCILE_OPERATIONS: how operations stand.
//!
//! | the operation | answer |
//! | --- | --- |
//! | is known | its newest state; RECOVERING or UNREACHABLE while its agent is, if it is under way |
//! | its agent may come back; or is not named, and any may | RECOVERING: ask again later |
//! | its agent is unreachable | UNREACHABLE |
//! | its agent is gone for ever | GONE_BY_OPERATOR |
//! | anything else | UNKNOWN |
//!
//! Answers have no uuid and are sent once.

use super::said;
use crate::effect::{Effect, Refusal};
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Event;
use proto::{AgentId, OperationId, OperationState, OperationStatus, StatusUuid};
use std::sync::Arc;

/// Operations of one call at the most.
const LIMIT: usize = 10_000;

impl Master {
    /// RECONCILE_OPERATIONS. An empty list asks for all that are known.
    pub(crate) fn reconcile_operations(
        &self,
        framework: FrameworkOrd,
        operations: Vec<(OperationId, Option<AgentId>)>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if operations.len() > LIMIT {
            let (asked, waiting) = (operations.len(), 0);
            return Err(Refusal::TooMuchToReconcile { asked, waiting, limit: LIMIT });
        }
        let own = &self.frameworks[framework].id;
        if operations.is_empty() {
            for uuid in self.operations.of(own) {
                self.answer_for(framework, uuid, out);
            }
        }
        for (operation_id, agent_id) in operations {
            if let Some(uuid) = self.operations.find(own, &operation_id) {
                self.answer_for(framework, uuid, out);
                continue;
            }
            let state = self.unknown_operation(agent_id.as_ref());
            let message = "Reconciliation: Operation is unknown";
            let status = said(Some(operation_id), state, message, agent_id);
            self.tell(framework, Event::UpdateOperationStatus(status), out);
        }
        Ok(())
    }

    /// The newest status of an operation that is known, if it has an id.
    fn answer_for(&self, framework: FrameworkOrd, uuid: StatusUuid, out: &mut Vec<Effect>) {
        let known = &self.registry.operations()[&uuid];
        if known.operation.id.is_none() {
            return;
        }
        let mut status = OperationStatus { uuid: None, ..known.status(uuid) };
        if known.is_pending() {
            let away = self.unknown_operation(Some(&known.agent_id));
            if matches!(away, OperationState::Recovering | OperationState::Unreachable) {
                status.state = away;
            }
        }
        status.message.get_or_insert_with(|| Arc::from("Reconciliation: Latest operation status"));
        self.tell(framework, Event::UpdateOperationStatus(status), out);
    }

    fn unknown_operation(&self, agent_id: Option<&AgentId>) -> OperationState {
        let may_return = match agent_id {
            Some(agent_id) => self.recovered.contains(agent_id),
            None => !self.recovered.is_empty(),
        };
        let facts = agent_id.and_then(|id| self.registry.agents().get(id));
        if may_return {
            OperationState::Recovering
        } else if facts.is_some_and(|agent| agent.unreachable.is_some()) {
            OperationState::Unreachable
        } else if agent_id.is_some_and(|id| self.is_gone(id)) {
            OperationState::GoneByOperator
        } else {
            OperationState::Unknown
        }
    }
}
