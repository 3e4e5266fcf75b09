//! Why a framework or a role gets no (more) offers: the allocator's reasons as values, with their
//! figures and counts.
//!
//! The same questions as in a pass, asked of everything that is free and everything that is not;
//! never on a hot path, and never of more than `against::LOOKS` pairs of an agent and a framework:
//! an explanation takes some milliseconds at the most, however big the cluster is.

mod against;
mod role;
mod text;
mod why;

pub use why::Why;

use crate::agent::Agent;
use crate::allocator::demand::fits;
use crate::allocator::sorter::Walk;
use crate::state::Master;
use crate::table::{FrameworkOrd, SeatOrd};
use proto::{FrameworkId, Piece, Resources, Role};

impl Master {
    /// Why a framework gets no (more) offers, the most telling first; none when it is unknown.
    pub fn explain_framework(&self, id: &FrameworkId) -> Option<Vec<Why>> {
        Some(self.explain(self.framework_ord(id)?))
    }

    pub(crate) fn explain(&self, ord: FrameworkOrd) -> Vec<Why> {
        let framework = &self.frameworks[ord];
        if !framework.is_connected() {
            return vec![Why::NotConnected { removed_at: framework.failover_deadline }];
        }
        let roles = &framework.info.roles;
        if roles.iter().all(|role| framework.suppressed.contains(role)) {
            return vec![Why::Suppressed(roles.iter().cloned().collect())];
        }
        if let Some(none) = self.explain_no_agents() {
            return vec![none];
        }
        let mut reasons = Vec::new();
        self.explain_demand(ord, &mut reasons);
        self.explain_offers(ord, &mut reasons);
        self.explain_agents(ord, &mut reasons);
        self.explain_share(ord, &mut reasons);
        if reasons.is_empty() {
            reasons.push(Why::Nothing);
        }
        reasons
    }

    fn explain_no_agents(&self) -> Option<Why> {
        if self.agents.iter().any(|(_, agent)| agent.is_connected()) {
            return None;
        }
        let agents = self.registry.agents().len();
        Some(if agents == 0 { Why::NoAgents } else { Why::NoAgentConnected { agents } })
    }

    fn explain_demand(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let demand = &self.frameworks[ord].demand;
        if !demand.is_stated() {
            return;
        }
        if demand.lacking().next().is_none() {
            reasons.push(Why::DemandMet);
        }
        let agents = || self.agents.iter().map(|(_, agent)| agent);
        for (bundle, lacking) in demand.lacking().take(10) {
            let wanted = bundle.resources.clone();
            let biggest = agents()
                .max_by_key(|agent| (agent.info.resources.cpus(), agent.info.resources.mem()));
            let is_had = |piece: &Piece| {
                let (name, flavor) = (&piece.name, &piece.flavor);
                agents().any(|agent| !agent.info.resources.of_flavor(name, flavor).is_empty())
            };
            if let Some(lacking) = wanted.pieces().iter().find(|piece| !is_had(piece)).cloned() {
                reasons.push(Why::KindMissing { wanted, lacking });
            } else if !agents().any(|agent| fits(&agent.info.resources, &wanted) > 0) {
                let biggest = biggest.map(|a| a.info.resources.clone()).unwrap_or_default();
                reasons.push(Why::BundleTooBig { wanted, biggest });
            } else if !agents().any(|agent| fits(&agent.free, &wanted) > 0) {
                let best = agents().max_by_key(|agent| (agent.free.cpus(), agent.free.mem()));
                let best_free = best.map(|agent| agent.free.clone()).unwrap_or_default();
                reasons.push(Why::BundleDoesNotFit { wanted, lacking, best_free });
            }
        }
    }

    fn explain_offers(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let own = &self.frameworks[ord].offers;
        if !own.is_empty() {
            let mut resources = Resources::new();
            for number in own {
                resources.add(&self.offers[number].resources);
            }
            reasons.push(Why::HoldsOffers { offers: own.len(), resources });
        }
        let others = self
            .frameworks
            .iter()
            .filter(|(other, framework)| *other != ord && !framework.offers.is_empty());
        let mut holders: Vec<(FrameworkId, usize)> =
            others.map(|(_, other)| (other.id.clone(), other.offers.len())).collect();
        if !holders.is_empty() {
            holders.sort_by_key(|(_, offers)| std::cmp::Reverse(*offers));
            let elsewhere = |offer: &&crate::offer::OfferRecord| offer.framework != ord;
            let agents: std::collections::BTreeSet<_> =
                self.offers.values().filter(elsewhere).map(|offer| offer.agent).collect();
            reasons.push(Why::OfferedElsewhere { agents: agents.len(), holders });
        }
    }

    fn explain_agents(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let sorter = &self.allocator.sorter;
        let framework = &self.frameworks[ord];
        let seat = |role: &Role| {
            let seat = sorter.seat_in(ord, role)?;
            framework.is_eligible_in(role).then_some(seat)
        };
        let seats: Vec<SeatOrd> = framework.info.roles.iter().filter_map(seat).collect();
        self.explain_against(&seats, reasons);
        self.explain_withheld(reasons);
    }

    /// Agents that are not offered from, or have nothing to offer.
    fn explain_withheld(&self, reasons: &mut Vec<Why>) {
        let registered = || self.agents.iter().map(|(_, agent)| agent);
        let is_silent = |agent: &&Agent| !agent.is_connected() || agent.is_suspect();
        let silent = registered().filter(is_silent).count();
        let deactivated = registered().filter(|a| !is_silent(a) && a.deactivated).count();
        if silent + deactivated > 0 {
            reasons.push(Why::Withheld { silent, deactivated });
        }
        if self.allocator.free.is_empty() {
            let best = registered().max_by_key(|agent| (agent.free.cpus(), agent.free.mem()));
            if let Some(best) = best {
                reasons.push(Why::NothingFree {
                    agents: self.agents.len(),
                    best: best.id.clone(),
                    best_free: best.free.clone(),
                });
            }
        }
    }

    fn explain_share(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let own = &self.frameworks[ord].info.roles;
        if let Some(role) = own.iter().next() {
            let is_own = |framework, first: &Role| framework == ord || own.contains(first);
            reasons.extend(self.explain_order(role, is_own));
        }
    }

    /// Who comes before the role, unless `is_own` says that it is the same.
    fn explain_order(
        &self,
        role: &Role,
        is_own: impl Fn(FrameworkOrd, &Role) -> bool,
    ) -> Option<Why> {
        let sorter = &self.allocator.sorter;
        let seat = sorter.first(Walk::All, |_| true)?;
        let (first, framework) = (sorter.role_of(seat), sorter.seat(seat).framework);
        if is_own(framework, first) {
            return None;
        }
        Some(Why::Behind {
            role: role.clone(),
            share_milli: sorter.share_milli(role),
            first: first.clone(),
            first_share_milli: sorter.share_milli(first),
        })
    }
}
