//! Operations on resources, as far as frameworks ask after them.
//!
//! Reservations and volumes are not built yet, so no operation is ever known here: what is asked
//! is answered from what is known of the agent alone.
//!
//! | the operation's agent | answer |
//! | --- | --- |
//! | may come back; or is not named, and any may | RECOVERING: ask again later |
//! | is unreachable | UNREACHABLE |
//! | is gone for ever | GONE_BY_OPERATOR |
//! | anything else | UNKNOWN |

use crate::effect::{Effect, Refusal};
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Event;
use proto::{AgentId, OperationId, OperationState, OperationStatus, Resources};
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
        for (operation_id, agent_id) in operations {
            let status = OperationStatus {
                operation_id: Some(operation_id),
                state: self.unknown_operation(agent_id.as_ref()),
                message: Some(Arc::from("Reconciliation: Operation is unknown")),
                converted: Resources::new(),
                uuid: None,
                agent_id,
            };
            self.tell(framework, Event::UpdateOperationStatus(status), out);
        }
        Ok(())
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
