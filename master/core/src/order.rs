//! What an operator orders of agents, and how it is answered.
//!
//! One line for each order; behind each line a file.

use crate::effect::{Effect, Refusal};
use crate::input::RequestId;
use crate::state::Master;
use proto::AgentId;
use proto::operator::Response;
use std::sync::Arc;
use std::time::Duration;

/// An order about an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// No offers of it; what runs there runs on.
    DeactivateAgent(AgentId),
    /// Offers again, of an agent that was deactivated or is drained.
    ReactivateAgent(AgentId),
    /// It will never be back.
    MarkAgentGone(AgentId),
    /// No offers of it, and its tasks are killed.
    DrainAgent {
        /// Which.
        agent_id: AgentId,
        /// The longest that a task may take to end, whatever its own grace.
        max_grace: Option<Duration>,
        /// Whether it is marked gone once it is empty.
        mark_gone: bool,
    },
}

impl Order {
    /// Mesos' name of the call.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DeactivateAgent(_) => "DEACTIVATE_AGENT",
            Self::ReactivateAgent(_) => "REACTIVATE_AGENT",
            Self::MarkAgentGone(_) => "MARK_AGENT_GONE",
            Self::DrainAgent { .. } => "DRAIN_AGENT",
        }
    }
}

impl Master {
    pub(crate) fn order(&mut self, request: RequestId, order: Order, out: &mut Vec<Effect>) {
        let name = Arc::from(order.name());
        let answer = self.obey(order, out);
        self.answer_operator(request, name, answer, out);
    }

    pub(crate) fn obey(
        &mut self,
        order: Order,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        match order {
            Order::DeactivateAgent(agent_id) => self.deactivate_agent(&agent_id, out),
            Order::ReactivateAgent(agent_id) => self.reactivate_agent(&agent_id, out),
            Order::MarkAgentGone(agent_id) => self.mark_agent_gone(&agent_id, out),
            Order::DrainAgent { agent_id, max_grace, mark_gone } => {
                self.drain_agent(&agent_id, max_grace, mark_gone, out)
            }
        }
    }
}
