//! Quota: what roles are guaranteed, and what they may have at the most.
//!
//! Both hold for a role with everything below it. A role consumes what is reserved to it or below,
//! used or not, and what is allocated of the rest, offers included. A limit is enforced at every
//! role above an allocation. For guarantees, so much of what is free is kept back (headroom) as
//! they lack: `required`, which counts a guarantee within another one once.

use super::amounts::{Amounts, Bounds};
use super::sorter::{NodeQuota, Sorter};
use crate::registry::Quota;
use crate::table::{RoleOrd, SeatOrd};
use proto::{Quantities, Role};
use std::cell::RefCell;

/// How a role stands to its quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) consumed: Quantities,
    /// What is missing from the guarantee.
    pub(crate) lacking: Quantities,
}

/// What the quotas above a seat say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// What is lacking from guarantees, as far as this seat may have it.
    pub(crate) lacking: Amounts,
    /// What each limit above leaves.
    rooms: Vec<(RoleOrd, Bounds)>,
}

impl Allowance {
    /// As much of `amounts` as all limits allow.
    pub(crate) fn cut(&self, amounts: &Amounts) -> Amounts {
        self.rooms.iter().fold(amounts.clone(), |cut, (_, room)| room.cut(&cut))
    }

    /// The roles whose limits stand against `amounts`.
    pub(crate) fn cutting(&self, amounts: &Amounts) -> impl Iterator<Item = RoleOrd> {
        let cuts = |(_, room): &&(RoleOrd, Bounds)| {
            room.iter().any(|(kind, most)| amounts.get(kind) > most)
        };
        self.rooms.iter().filter(cuts).map(|(ord, _)| *ord)
    }
}

impl Sorter {
    /// Sets or removes a role's quota.
    pub(crate) fn set_quota(&mut self, role: &Role, quota: Option<&Quota>) {
        let ord = match (quota, self.by_role.get(role)) {
            (None, None) => return,
            (None, Some(ord)) => *ord,
            (Some(_), _) => self.node_of(role),
        };
        let unknown = self.unknown_reserved(role);
        let quota = quota.map(|quota| {
            let limits: Vec<(usize, u64)> =
                quota.limits.iter().map(|(name, most)| (self.kinds.number(name), *most)).collect();
            NodeQuota {
                guarantee: self.kinds.amounts(&quota.guarantees),
                limit: Bounds::from_pairs(limits),
                lacking: Amounts::default(),
                full: false,
                unknown,
                cuts: RefCell::default(),
            }
        });
        self.lift(ord);
        self.quotas += usize::from(quota.is_some());
        self.quotas -= usize::from(self.nodes[ord].quota.is_some());
        self.nodes[ord].quota = quota;
        self.reckon_up(ord);
        self.settle(ord);
        if self.nodes[ord].quota.is_none() {
            self.end_service(ord);
            self.drop_node_if_idle(ord);
        }
    }

    /// What an offer must hold changed, as far as it is scalars.
    pub(crate) fn set_least(&mut self, least: Vec<Amounts>) {
        self.least = least;
        let limited: Vec<RoleOrd> = self.by_role.values().copied().collect();
        for ord in limited {
            if let Some(quota) = &self.nodes[ord].quota {
                // Who met a limit may have room in the new sense.
                quota.open();
                self.lift(ord);
                self.reckon_up(ord);
                self.settle(ord);
                self.eased.insert(ord);
            }
        }
    }

    /// Reservations of an agent for a role come or go: they consume its quota.
    pub(crate) fn change_reserved(&mut self, role: &Role, amounts: &Amounts, more: bool) {
        let ord = self.node_of(role);
        self.lift(ord);
        let mut at = Some(ord);
        while let Some(ord) = at {
            let node = &mut self.nodes[ord];
            if more {
                node.consumed.add(amounts);
                self.surpassed |= node.surpasses();
            } else {
                node.consumed.subtract(amounts);
                if node.quota.as_ref().is_some_and(NodeQuota::waits) {
                    self.eased.insert(ord);
                }
            }
            at = self.parent(ord);
        }
        self.reckon_up(ord);
        self.settle(ord);
        self.drop_node_if_idle(ord);
    }

    /// Reckons shares and quotas of a node and all above anew. They must have been lifted.
    pub(super) fn reckon_up(&mut self, ord: RoleOrd) {
        let mut at = ord;
        while let Some(parent) = self.parent(at) {
            self.rank(at);
            if self.quotas > 0 || !self.nodes[at].required.is_zero() {
                self.reckon_quota(at, parent);
            }
            at = parent;
        }
    }

    fn reckon_quota(&mut self, at: RoleOrd, parent: RoleOrd) {
        let full = self.room(&self.nodes[at]).is_some_and(|room| self.is_full(&room));
        let node = &mut self.nodes[at];
        let mut required = node.required_below.clone();
        if let Some(quota) = &mut node.quota {
            quota.lacking = quota.guarantee.less(&node.consumed);
            let was_full = std::mem::replace(&mut quota.full, full);
            if full && !was_full {
                quota.close();
            }
            required = required.greater(&quota.lacking);
        }
        if node.required != required {
            let old = std::mem::replace(&mut node.required, required.clone());
            let above = &mut self.nodes[parent].required_below;
            above.subtract(&old);
            above.add(&required);
        }
    }

    /// Whether nothing that is worth an offer fits into so much room.
    pub(super) fn is_full(&self, room: &Bounds) -> bool {
        let too_small = |bundle: &Amounts| room.iter().any(|(k, most)| bundle.get(k) > most);
        !self.least.is_empty() && self.least.iter().all(too_small)
    }

    /// What must be kept free for guarantees.
    pub(crate) fn kept_free(&self) -> &Amounts {
        &self.nodes[self.root].required_below
    }

    /// What the quotas above a seat say.
    pub(crate) fn allowance(&self, seat: SeatOrd) -> Allowance {
        let mut allowance = Allowance::default();
        if self.quotas == 0 {
            return allowance;
        }
        let mut at = Some(self.seat(seat).node);
        while let Some(ord) = at {
            let node = &self.nodes[ord];
            if let Some(quota) = &node.quota {
                // What roles below lack is theirs, and counted there.
                allowance.lacking.add(&quota.lacking.less(&node.required_below));
                let room = self.room(node).filter(|room| !room.is_none());
                allowance.rooms.extend(room.map(|room| (ord, room)));
            }
            at = self.parent(ord);
        }
        allowance
    }

    /// Whether the role lacks something of its guarantee.
    pub(crate) fn lacks(&self, ord: RoleOrd) -> bool {
        self.nodes[ord].quota.as_ref().is_some_and(|quota| !quota.lacking.is_zero())
    }

    /// Whether any role has a quota.
    pub(crate) fn has_quotas(&self) -> bool {
        self.quotas > 0
    }

    /// How the roles with a quota stand.
    pub(crate) fn standing(&self, role: &Role) -> Option<Standing> {
        let node = &self.nodes[*self.by_role.get(role)?];
        let lacking = node.quota.as_ref().map(|quota| self.kinds.quantities(&quota.lacking));
        Some(Standing {
            consumed: self.kinds.quantities(&node.consumed),
            lacking: lacking.unwrap_or_default(),
        })
    }

    /// Whether the role, or one above, consumes more than its limit of what is in `plain`, or may
    /// on agents that are yet to come back.
    pub(crate) fn exceeds(&self, role: &Role, plain: &Amounts) -> bool {
        self.any_above(role, |node| {
            node.quota.as_ref().is_some_and(|quota| {
                let most_used =
                    |kind| node.consumed.get(kind).saturating_add(self.unknown(node, kind));
                let over = |(kind, most)| plain.get(kind) > 0 && most_used(kind) > most;
                quota.limit.iter().any(over)
            })
        })
    }

    /// Whether anything is guaranteed to the role, or to one above.
    pub(crate) fn is_guaranteed(&self, role: &Role) -> bool {
        self.any_above(role, |node| {
            node.quota.as_ref().is_some_and(|quota| !quota.guarantee.is_zero())
        })
    }

    fn any_above(&self, role: &Role, which: impl Fn(&super::sorter::Node) -> bool) -> bool {
        let mut at = self.by_role.get(role).copied();
        while let Some(ord) = at {
            if which(&self.nodes[ord]) {
                return true;
            }
            at = self.parent(ord);
        }
        false
    }

    fn parent(&self, ord: RoleOrd) -> Option<RoleOrd> {
        self.nodes[ord].parent()
    }
}
