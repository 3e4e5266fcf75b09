//! REQUEST: a framework states what it wants, so that offers go where they fit.

use crate::allocator::demand::Credit;
use crate::effect::Refusal;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Demand;

impl Master {
    /// Replaces the framework's demand. An empty list takes it back: offers come as they come.
    pub(crate) fn request(
        &mut self,
        ord: FrameworkOrd,
        demands: Vec<Demand>,
    ) -> Result<(), Refusal> {
        let limit = self.options.demands;
        if demands.len() > limit {
            return Err(Refusal::TooManyDemands { given: demands.len(), limit });
        }
        let subscribed = &self.frameworks[ord].info.roles;
        for (index, demand) in demands.iter().enumerate() {
            if demand.count == 0 || demand.resources.is_empty() {
                return Err(Refusal::DemandEmpty { index });
            }
            if let Some(role) = demand.role.as_ref().filter(|role| !subscribed.contains(*role)) {
                let subscribed = subscribed.iter().cloned().collect();
                return Err(Refusal::RoleNotSubscribed { role: role.clone(), subscribed });
            }
        }
        self.restate_demand(ord, demands);
        self.credit_offers_anew(ord);
        self.wake(ord);
        Ok(())
    }

    /// Offers that stand already count towards the new demand.
    fn credit_offers_anew(&mut self, ord: FrameworkOrd) {
        for number in self.frameworks[ord].offers.clone() {
            let offer = &self.offers[&number];
            let agent_id = &self.agents[offer.agent].id;
            let demand = &self.frameworks[ord].demand;
            let credit: Credit = demand.credit_for(&offer.resources, agent_id, &offer.role);
            self.frameworks[ord].demand.credit(&credit);
            if let Some(offer) = self.offers.get_mut(&number) {
                offer.credit = credit;
            }
        }
    }
}
