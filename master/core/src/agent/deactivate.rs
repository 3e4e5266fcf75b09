//! DEACTIVATE_AGENT and REACTIVATE_AGENT: whether an agent is offered to anybody.
//!
//! What runs on a deactivated agent runs on. It stays deactivated, over restarts of its own and of
//! the master, until an operator reactivates it.

use crate::effect::{Effect, Refusal};
use crate::registry::RegistryOp;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::AgentId;
use proto::operator::Response;

impl Master {
    pub(crate) fn deactivate_agent(
        &mut self,
        agent_id: &AgentId,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let facts = self.admitted(agent_id, 400)?;
        if !facts.deactivated {
            self.persist(RegistryOp::DeactivateAgent { agent_id: agent_id.clone() }, out);
        }
        if let Some(ord) = self.agent_ord(agent_id) {
            self.offer_no_more(ord, out);
        }
        Ok(Response::Ok)
    }

    /// Makes an agent that was deactivated or drained one to be offered again.
    pub(crate) fn reactivate_agent(
        &mut self,
        agent_id: &AgentId,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let facts = self.admitted(agent_id, 400)?;
        if facts.drain.as_ref().is_some_and(|drain| !drain.drained) {
            return Err(Refusal::StillDraining(agent_id.clone()));
        }
        if facts.deactivated || facts.drain.is_some() {
            self.persist(RegistryOp::ReactivateAgent { agent_id: agent_id.clone() }, out);
        }
        if let Some(ord) = self.agent_ord(agent_id) {
            self.agents[ord].deactivated = false;
            self.agents[ord].draining = false;
            self.index_free(ord);
            self.touch(ord);
        }
        Ok(Response::Ok)
    }

    /// Takes an agent's offers back and makes no new ones.
    pub(crate) fn offer_no_more(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        self.agents[ord].deactivated = true;
        self.index_free(ord);
        self.rescind_agent_offers(ord, out);
    }
}
