//! The orders of the tree: how nodes and seats stand in them, move, and are walked.

use super::line::Line;
use super::{Node, Sorter};
use crate::registry::DEFAULT_WEIGHT_MILLI;
use crate::table::{FrameworkOrd, OrdSet, RoleOrd, SeatOrd};

/// The place among siblings: a dominant share divided by a weight, then how often something was
/// allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The bits of a share: those of numbers that are not negative are ordered as they are.
    share: u64,
    pub(super) count: u64,
}

impl Rank {
    fn set_share(&mut self, share: f64) {
        self.share = share.to_bits();
    }
}

/// A child in its parent's order: the role's own frameworks (first among equals), or a role below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Child {
    Own,
    Role(RoleOrd),
}

pub(super) type Key = (Rank, Child);
pub(super) type SeatKey = (Rank, FrameworkOrd, SeatOrd);

/// The orders of a node's children. A child with something eligible below stands in exactly one of
/// the first two.
pub(super) const ORDERS: usize = 4;
/// Limits leave room for an offer.
const OPEN: usize = 0;
/// They do not: only what no quota counts can be offered.
const FULL: usize = 1;
/// Open, and something below is woken.
const WOKEN: usize = 2;
/// A guarantee is lacking in the child or below.
const HUNGRY: usize = 3;

/// The orders that a child stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed([bool; ORDERS]);

/// Which seats a walk visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// All that are eligible.
    All,
    /// Those whose limits leave room.
    Open,
    /// Those that were woken, and whose limits leave room.
    Woken,
    /// Those that a guarantee is lacking for, in their role or above.
    Hungry,
}

impl Sorter {
    /// Orders everything anew when the total or a weight changed.
    pub(crate) fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.refresh_node(self.root);
        }
    }

    fn refresh_node(&mut self, ord: RoleOrd) {
        let children: Vec<RoleOrd> = self.nodes[ord].children.iter().copied().collect();
        for child in &children {
            self.refresh_node(*child);
        }
        let node = &mut self.nodes[ord];
        node.orders = Default::default();
        node.seat_orders = Default::default();
        let own: Vec<SeatOrd> = node.seats.iter().copied().collect();
        for seat in own {
            let seat_record = &mut self.seats[seat];
            seat_record.rank.set_share(seat_record.allocated.dominant(&self.total));
            self.line_up(seat);
        }
        self.rank(ord);
        self.rank_own(ord);
        self.list_own(ord);
        for child in children {
            self.list(child);
        }
    }

    /// Changes what a seat holds, and its own share of its role. The node must have been lifted.
    pub(super) fn reseat(&mut self, seat: SeatOrd, by: impl Fn(&mut super::Amounts, &mut Rank)) {
        self.step_out(seat);
        let record = &mut self.seats[seat];
        by(&mut record.allocated, &mut record.rank);
        record.rank.set_share(record.allocated.dominant(&self.total));
        let ord = record.node;
        self.line_up(seat);
        let node = &mut self.nodes[ord];
        by(&mut node.own, &mut node.own_rank);
        self.rank_own(ord);
    }

    /// Puts a seat into the orders of its role, as it is.
    pub(super) fn line_up(&mut self, seat: SeatOrd) {
        let record = &self.seats[seat];
        if record.eligible {
            let key = (record.rank, record.framework, seat);
            let orders = &mut self.nodes[record.node].seat_orders;
            if record.woken {
                orders[1].insert(key);
            }
            orders[0].insert(key);
        }
    }

    /// Takes a seat out of the orders of its role.
    pub(super) fn step_out(&mut self, seat: SeatOrd) {
        let record = &self.seats[seat];
        if record.eligible {
            let key = (record.rank, record.framework, seat);
            let orders = &mut self.nodes[record.node].seat_orders;
            orders[0].remove(&key);
            if record.woken {
                orders[1].remove(&key);
            }
        }
    }

    fn rank_own(&mut self, ord: RoleOrd) {
        // As a child among the roles below, the role's own frameworks have the default weight.
        let node = &mut self.nodes[ord];
        node.own_rank.set_share(node.own.dominant(&self.total));
    }

    /// Reckons a node's share. Its place in its parent's orders must have been lifted.
    pub(in crate::allocator) fn rank(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        let weight = node.weight_milli as f64 / DEFAULT_WEIGHT_MILLI as f64;
        node.rank.set_share(node.allocated.dominant(&self.total) / weight);
    }

    /// Takes a node's own frameworks, the node and all above out of the orders, before their ranks
    /// change.
    pub(in crate::allocator) fn lift(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        let listed = std::mem::take(&mut node.own_listed);
        unlist(&mut node.orders, listed, (node.own_rank, Child::Own));
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            let node = &mut self.nodes[at];
            let listed = std::mem::take(&mut node.listed);
            let key = node.key(at);
            unlist(&mut self.nodes[parent].orders, listed, key);
            at = parent;
        }
    }

    /// Puts back what `lift` took out, as far as there is something eligible below.
    pub(in crate::allocator) fn settle(&mut self, ord: RoleOrd) {
        self.list_own(ord);
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            self.list(at);
            at = parent;
        }
    }

    fn list_own(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        let mut listed = [false; ORDERS];
        listed[OPEN] = !node.seat_orders[0].is_empty();
        listed[WOKEN] = !node.seat_orders[1].is_empty();
        node.own_listed = Listed(listed);
        enlist(&mut node.orders, node.own_listed, &(node.own_rank, Child::Own));
    }

    fn list(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        let Some(parent) = node.parent else { return };
        let full = node.quota.as_ref().is_some_and(|quota| quota.full);
        let lacks = node.quota.as_ref().is_some_and(|quota| !quota.lacking.is_zero());
        let open = !full && !node.orders[OPEN].is_empty();
        let mut listed = [false; ORDERS];
        listed[OPEN] = open;
        let populated = !node.orders[OPEN].is_empty() || !node.orders[FULL].is_empty();
        listed[FULL] = populated && !open;
        listed[WOKEN] = open && !node.orders[WOKEN].is_empty();
        let eligible = listed[OPEN] || listed[FULL];
        listed[HUNGRY] = eligible && (lacks || !node.orders[HUNGRY].is_empty());
        node.listed = Listed(listed);
        let key = node.key(ord);
        enlist(&mut self.nodes[parent].orders, Listed(listed), &key);
    }

    /// Whether somebody in the role or below may be offered anything.
    pub(in crate::allocator) fn is_populated(&self, ord: RoleOrd) -> bool {
        let orders = &self.nodes[ord].orders;
        !orders[OPEN].is_empty() || !orders[FULL].is_empty()
    }

    /// Whether a guarantee is lacking that somebody can be offered something for.
    pub(crate) fn has_hungry(&self) -> bool {
        !self.nodes[self.root].orders[HUNGRY].is_empty()
    }

    /// Walks eligible seats, the poorest first, until `stop` says true. Returns the seat at which
    /// it stopped.
    pub(crate) fn first(
        &self,
        walk: Walk,
        mut stop: impl FnMut(SeatOrd) -> bool,
    ) -> Option<SeatOrd> {
        self.first_below(self.root, walk, &mut stop)
    }

    /// As `first`, but past the seats in `refusing`. When few are left, they alone are looked at:
    /// O(seats / 64 + left * depth), and else O(seats passed over), so that a pass costs about as
    /// much as the offers that it makes.
    pub(crate) fn first_but(
        &self,
        walk: Walk,
        refusing: &OrdSet<SeatOrd>,
        mut stop: impl FnMut(SeatOrd) -> bool,
    ) -> Option<SeatOrd> {
        if refusing.is_empty() {
            return self.first(walk, stop);
        }
        let left = self.eligible.count_without(refusing);
        if left == 0 {
            return None;
        }
        let is_few = left * left <= self.eligible.len() / 8 || left == 1;
        if is_few && matches!(walk, Walk::All | Walk::Open) {
            return self.few(walk, refusing).into_iter().find(|seat| stop(*seat));
        }
        self.first(walk, |seat| !refusing.contains(seat) && stop(seat))
    }

    /// The eligible seats that are not in `refusing`, poorest first.
    fn few(&self, walk: Walk, refusing: &OrdSet<SeatOrd>) -> Vec<SeatOrd> {
        let left = self.eligible.without(refusing);
        let path = |seat| Some((self.path(seat, walk == Walk::All)?, seat));
        let mut paths: Vec<(Vec<Key>, SeatOrd)> = left.filter_map(path).collect();
        paths.sort_unstable_by(|(a, first), (b, second)| {
            let own = |seat: &SeatOrd| (self.seats[*seat].rank, self.seats[*seat].framework);
            a.cmp(b).then_with(|| own(first).cmp(&own(second)))
        });
        paths.into_iter().map(|(_, seat)| seat).collect()
    }

    /// Where the seat's role stands in the orders, from the root on; none when a limit above
    /// leaves no room and `full` does not want such.
    fn path(&self, seat: SeatOrd, full: bool) -> Option<Vec<Key>> {
        let mut at = self.seats[seat].node;
        let mut path = vec![(self.nodes[at].own_rank, Child::Own)];
        while let Some(parent) = self.nodes[at].parent {
            let node = &self.nodes[at];
            if !full && node.quota.as_ref().is_some_and(|quota| quota.full) {
                return None;
            }
            path.push(node.key(at));
            at = parent;
        }
        path.reverse();
        Some(path)
    }

    fn first_below<F: FnMut(SeatOrd) -> bool>(
        &self,
        ord: RoleOrd,
        walk: Walk,
        stop: &mut F,
    ) -> Option<SeatOrd> {
        let node = &self.nodes[ord];
        match walk {
            Walk::All => {
                let (mut open, mut full) = (node.orders[OPEN].iter(), node.orders[FULL].iter());
                let (mut left, mut right) = (open.next(), full.next());
                loop {
                    let next = match (left, right) {
                        (Some(a), Some(b)) if b < a => std::mem::replace(&mut right, full.next()),
                        (Some(_), _) => std::mem::replace(&mut left, open.next()),
                        (None, _) => std::mem::replace(&mut right, full.next()),
                    };
                    let found = self.first_in(ord, &next?.1, walk, stop);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            Walk::Open => self.first_of(ord, OPEN, walk, stop),
            Walk::Woken => self.first_of(ord, WOKEN, walk, stop),
            Walk::Hungry => self.first_of(ord, HUNGRY, walk, stop),
        }
    }

    fn first_of<F: FnMut(SeatOrd) -> bool>(
        &self,
        ord: RoleOrd,
        order: usize,
        walk: Walk,
        stop: &mut F,
    ) -> Option<SeatOrd> {
        let order: &Line<Key> = &self.nodes[ord].orders[order];
        order.iter().find_map(|(_, child)| self.first_in(ord, child, walk, stop))
    }

    fn first_in<F: FnMut(SeatOrd) -> bool>(
        &self,
        ord: RoleOrd,
        child: &Child,
        walk: Walk,
        stop: &mut F,
    ) -> Option<SeatOrd> {
        match child {
            Child::Role(below) => {
                // What lies below a role that lacks is all for that role.
                let quota = self.nodes[*below].quota.as_ref();
                let lacks = quota.is_some_and(|quota| !quota.lacking.is_zero());
                let walk = if walk == Walk::Hungry && lacks { Walk::All } else { walk };
                self.first_below(*below, walk, stop)
            }
            Child::Own => {
                let order = &self.nodes[ord].seat_orders[usize::from(walk == Walk::Woken)];
                order.iter().map(|(_, _, seat)| *seat).find(|seat| stop(*seat))
            }
        }
    }
}

impl Node {
    fn key(&self, ord: RoleOrd) -> Key {
        (self.rank, Child::Role(ord))
    }
}

fn enlist(orders: &mut [Line<Key>; ORDERS], listed: Listed, key: &Key) {
    for (order, listed) in orders.iter_mut().zip(listed.0) {
        if listed {
            order.insert(*key);
        }
    }
}

fn unlist(orders: &mut [Line<Key>; ORDERS], listed: Listed, key: Key) {
    for (order, listed) in orders.iter_mut().zip(listed.0) {
        if listed {
            order.remove(&key);
        }
    }
}
