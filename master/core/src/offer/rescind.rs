//! The master takes offers back: because they were not answered in time, or because what they
//! promise is no longer there.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::Role;
use proto::scheduler::Event;

impl Master {
    pub(crate) fn rescind(&mut self, number: u64, out: &mut Vec<Effect>) {
        let offer = self.remove_offer(number);
        self.counters.offers_rescinded += 1;
        self.tell(offer.framework, Event::Rescind(offer.id), out);
    }

    /// The offer was not answered in time. What it held is offered anew, maybe to others.
    pub(crate) fn offer_timed_out(&mut self, number: u64, out: &mut Vec<Effect>) {
        self.rescind(number, out);
    }

    /// Takes back all offers of an agent.
    pub(crate) fn rescind_agent_offers(&mut self, agent: AgentOrd, out: &mut Vec<Effect>) {
        for number in self.agents[agent].offers.clone() {
            self.rescind(number, out);
        }
    }

    /// Takes back a framework's offers in roles that it leaves.
    pub(crate) fn rescind_role_offers(
        &mut self,
        framework: FrameworkOrd,
        roles: &[Role],
        out: &mut Vec<Effect>,
    ) {
        for number in self.frameworks[framework].offers.clone() {
            if roles.contains(&self.offers[&number].role) {
                self.rescind(number, out);
            }
        }
    }

    /// Takes back all offers of a framework whose stream they were sent on is gone: there is
    /// nobody to tell.
    pub(crate) fn recover_framework_offers(&mut self, framework: FrameworkOrd) {
        for number in self.frameworks[framework].offers.clone() {
            self.remove_offer(number);
        }
    }
}
