//! Why a role gets no (more) offers.

use super::Why;
use crate::framework::Framework;
use crate::offer::OfferRecord;
use crate::state::Master;
use crate::table::SeatOrd;
use proto::{Resources, Role};

/// Frameworks of a role that are asked about at the most: the rules are mostly the same for all.
const ASKED: usize = 10;

fn within(role: &Role, above: &Role) -> bool {
    role == above || role.is_below(above)
}

impl Master {
    /// Why a role, with all below, gets no (more) offers: how it stands first.
    pub fn explain_role(&self, role: &Role) -> Vec<Why> {
        let subscribed =
            |framework: &&Framework| framework.info.roles.iter().any(|own| within(own, role));
        let frameworks: Vec<&Framework> =
            self.frameworks.iter().map(|(_, framework)| framework).filter(subscribed).collect();
        let is_known = self.allocator.sorter.standing(role).is_some();
        let mut reasons = Vec::new();
        if is_known {
            reasons.push(self.explain_standing(role));
        }
        if frameworks.is_empty() {
            reasons.push(Why::RoleUnused(role.clone()));
            return reasons;
        }
        if let Some(none) = self.explain_no_agents() {
            reasons.push(none);
            return reasons;
        }
        let before = reasons.len();
        let disconnected = frameworks.iter().filter(|f| !f.is_connected()).count();
        let is_suppressed = |framework: &&&Framework| {
            let mut own = framework.info.roles.iter().filter(|own| within(own, role));
            framework.is_connected() && own.all(|own| framework.suppressed.contains(own))
        };
        let suppressed = frameworks.iter().filter(is_suppressed).count();
        if disconnected + suppressed > 0 {
            let (role, frameworks) = (role.clone(), frameworks.len());
            reasons.push(Why::RoleFrameworks { role, frameworks, disconnected, suppressed });
        }
        if disconnected + suppressed == frameworks.len() {
            return reasons;
        }
        let in_role = |offer: &&OfferRecord| within(&offer.role, role);
        let mut resources = Resources::new();
        let offers = self.offers.values().filter(in_role);
        let offers = offers.inspect(|offer| resources.add(&offer.resources)).count();
        if offers > 0 {
            reasons.push(Why::RoleHoldsOffers { role: role.clone(), offers, resources });
        }
        self.explain_against(&self.seats_asked(role), &mut reasons);
        self.explain_withheld(&mut reasons);
        reasons.extend(self.explain_order(role, |_, first| within(first, role)));
        if reasons.len() == before {
            reasons.push(Why::Nothing);
        }
        reasons
    }

    fn explain_standing(&self, role: &Role) -> Why {
        let sorter = &self.allocator.sorter;
        let standing = sorter.standing(role);
        let (consumed, lacking) = standing.map(|s| (s.consumed, s.lacking)).unwrap_or_default();
        let quota = self.registry.quotas().get(role).cloned().unwrap_or_default();
        Why::RoleStands {
            role: role.clone(),
            share_milli: sorter.share_milli(role),
            weight_milli: self.registry.weight_milli(role),
            consumed,
            guarantee: quota.guarantees,
            lacking,
            limits: quota.limits.into_iter().collect(),
        }
    }

    /// The seats in the role and below that offers can be made to; some of them.
    fn seats_asked(&self, role: &Role) -> Vec<SeatOrd> {
        let sorter = &self.allocator.sorter;
        let mut seats = Vec::new();
        for (ord, framework) in self.frameworks.iter() {
            let own = framework.info.roles.iter().filter(|own| within(own, role));
            for own in own.filter(|own| framework.is_eligible_in(own)) {
                seats.extend(sorter.seat_in(ord, own));
                if seats.len() == ASKED {
                    return seats;
                }
            }
        }
        seats
    }
}
