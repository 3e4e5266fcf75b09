//! RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES, DESTROY_VOLUMES, GROW_VOLUME and
//! SHRINK_VOLUME: an operator changes what an agent has.
//!
//! What is in offers is taken back for it, no more than it takes; what tasks use is never touched.

use crate::effect::{Effect, Refusal};
use crate::operation::check::{ChangeRefused, is_there};
use crate::state::Master;
use crate::table::AgentOrd;
use proto::operator::Response;
use proto::{AgentId, Piece, ResourceChange, ResourceOperation, Resources};

impl Master {
    pub(super) fn change_resources(
        &mut self,
        agent_id: AgentId,
        change: ResourceChange,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        self.admitted(&agent_id, 400)?;
        let Some(agent) = self.agent_ord(&agent_id) else {
            return Err(Refusal::AgentAway(agent_id));
        };
        let refuse = |refused| Refusal::Change { agent_id: agent_id.clone(), refused };
        let mut draft = self.draft(agent);
        let checked = self.check_change(&draft, &change).map_err(refuse)?;
        let offers = self.offers_in_the_way(agent, &checked.conversion.consumed).map_err(refuse)?;
        for number in offers {
            self.rescind(number, out);
        }
        if let ResourceChange::Destroy { volumes } = &change {
            self.rescind_holders(agent, &volumes.shared(), out);
        }
        let operation = ResourceOperation { id: None, allocation_role: None, change };
        self.change(None, &mut draft, operation, &checked);
        self.settle(draft, out);
        Ok(Response::Ok)
    }

    /// The offers to take back so that all of `wanted` is free: none when it is, one when one is
    /// enough, and those that hold something of it, the newest first, until it is.
    fn offers_in_the_way(
        &self,
        agent: AgentOrd,
        wanted: &Resources,
    ) -> Result<Vec<u64>, ChangeRefused> {
        let record = &self.agents[agent];
        if record.free.contains(wanted) {
            return Ok(Vec::new());
        }
        let helps = |number: &u64| {
            let offered = self.offers[number].resources.pieces();
            let same = |a: &Piece, b: &Piece| a.name == b.name && a.flavor == b.flavor;
            wanted.pieces().iter().any(|piece| offered.iter().any(|own| same(own, piece)))
        };
        let helpful: Vec<u64> = record.offers.iter().rev().copied().filter(|n| helps(n)).collect();
        let with =
            |free: &Resources, number: &u64| free.plus(&self.offers[number].resources.non_shared());
        if let Some(one) = helpful.iter().find(|n| with(&record.free, n).contains(wanted)) {
            return Ok(vec![*one]);
        }
        let (mut free, mut chosen) = (record.free.clone(), Vec::new());
        for number in helpful {
            free = with(&free, &number);
            chosen.push(number);
            if free.contains(wanted) {
                break;
            }
        }
        is_there(wanted, &free)?;
        Ok(chosen)
    }
}
