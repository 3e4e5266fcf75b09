//! The tree of roles: who is served first, by dominant-resource fairness.
//!
//! Roles form a tree by their paths; a role that frameworks subscribe to, or hold resources in, has
//! their seats. The children of a node are ordered by (share, allocations,
//! who was there first); a share is the
//! largest fraction of the cluster's scalars that is allocated below, offers included, divided by
//! the weight. Only what can be offered something stands in an order, so suppressed and
//! disconnected frameworks cost nothing; roles at their limit, woken frameworks and roles that lack
//! a guarantee stand in orders of their own, so that nobody walks past the others to find them.
//!
//! Every change moves its seat and the nodes above it, O(depth * log n); only a change of the
//! cluster's total or of a weight orders everything anew, at the next pass.

mod line;
mod order;
mod seats;

use super::amounts::{Amounts, Bounds, Kinds, Parts};
use super::missing::Missing;
use super::room::Cut;
use crate::registry::{DEFAULT_WEIGHT_MILLI, Quota};
use crate::table::{FrameworkOrd, OrdSet, RoleOrd, SeatOrd, Table};
use line::Line;
pub(crate) use order::Walk;
use order::{Key, Listed, Rank, SeatKey};
use proto::{Quantities, ResourceName, Resources, Role};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A framework in a role.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) framework: FrameworkOrd,
    pub(crate) node: RoleOrd,
    allocated: Amounts,
    rank: Rank,
    /// Offers and tasks that are counted here.
    holdings: u64,
    subscribed: bool,
    eligible: bool,
    pub(crate) woken: bool,
    /// Filters of an older epoch do not count.
    pub(crate) epoch: u32,
}

/// A role, or the root above all.
#[derive(Debug)]
pub(crate) struct Node {
    /// Absent at the root.
    role: Option<Role>,
    parent: Option<RoleOrd>,
    children: BTreeSet<RoleOrd>,
    seats: BTreeSet<SeatOrd>,
    /// Eligible seats, and the woken ones among them.
    seat_orders: [Line<SeatKey>; 2],
    /// What the role's own frameworks hold: they are a child among the roles below.
    own: Amounts,
    own_rank: Rank,
    own_listed: Listed,
    orders: [Line<Key>; order::ORDERS],
    /// The role's and everything below.
    allocated: Amounts,
    rank: Rank,
    listed: Listed,
    weight_milli: u64,
    pub(super) quota: Option<NodeQuota>,
    /// Reservations, allocated or not, and what is allocated of the rest, here and below.
    pub(super) consumed: Amounts,
    /// What must be kept free for guarantees here and below.
    pub(super) required: Amounts,
    /// The sum of the children's `required`.
    pub(super) required_below: Amounts,
}

/// A role's quota, and how it stands.
#[derive(Debug)]
pub(super) struct NodeQuota {
    pub(super) guarantee: Amounts,
    pub(super) limit: Bounds,
    /// What is missing from the guarantee.
    pub(super) lacking: Amounts,
    /// Whether so little room is left that nothing worth an offer fits into it.
    pub(super) full: bool,
    /// What is reserved to it and below on agents that are yet to come back.
    pub(super) unknown: Amounts,
    /// What the limit stood against, of agents of each sort.
    pub(super) cuts: RefCell<[Cut; 2]>,
}

/// The order of roles and of frameworks, and the quotas.
#[derive(Debug)]
pub(crate) struct Sorter {
    pub(super) kinds: Kinds,
    total: Amounts,
    pub(super) nodes: Table<RoleOrd, Node>,
    pub(super) root: RoleOrd,
    pub(crate) by_role: BTreeMap<Role, RoleOrd>,
    seats: Table<SeatOrd, Seat>,
    seat_of: BTreeMap<(FrameworkOrd, RoleOrd), SeatOrd>,
    weights: BTreeMap<Role, u64>,
    /// What an offer must hold at the least, as far as it is scalars; see `Minimum`.
    pub(super) least: Vec<Amounts>,
    /// Roles with a quota.
    pub(super) quotas: usize,
    /// Roles whose consumption fell while something waited for that.
    pub(super) eased: BTreeSet<RoleOrd>,
    /// Roles for whose room the free agents are being gone through.
    pub(super) rounds: BTreeSet<RoleOrd>,
    /// Whether a role came to consume more than its limit, or still more.
    pub(crate) surpassed: bool,
    /// Agents that are yet to come back.
    pub(super) missing: Missing,
    /// Whether the total or a weight changed since everything was ordered.
    stale: bool,
    /// The seats whose epochs began last, in that order, and how many began before those.
    begun: Vec<SeatOrd>,
    begun_before: u64,
    /// Seats that may be offered something.
    eligible: OrdSet<SeatOrd>,
}

impl Sorter {
    pub(crate) fn new(
        weights: BTreeMap<Role, u64>,
        quotas: &BTreeMap<Role, Quota>,
        least: &[Quantities],
    ) -> Self {
        let mut nodes = Table::new();
        let root = nodes.insert(Node::new(None, None, DEFAULT_WEIGHT_MILLI));
        let mut kinds = Kinds::default();
        let least = least.iter().map(|bundle| kinds.amounts(bundle)).collect();
        let mut sorter = Self {
            kinds,
            total: Amounts::default(),
            nodes,
            root,
            by_role: BTreeMap::new(),
            seats: Table::new(),
            seat_of: BTreeMap::new(),
            weights,
            least,
            quotas: 0,
            eased: BTreeSet::new(),
            rounds: BTreeSet::new(),
            surpassed: false,
            missing: Missing::default(),
            stale: false,
            begun: Vec::new(),
            begun_before: 0,
            eligible: OrdSet::default(),
        };
        for (role, quota) in quotas {
            sorter.set_quota(role, Some(quota));
        }
        sorter
    }

    /// Adds an agent's scalars to the cluster.
    pub(crate) fn add_total(&mut self, parts: &Parts) {
        self.total.add(&parts.all);
        self.stale = true;
    }

    /// Takes an agent's scalars from the cluster.
    pub(crate) fn remove_total(&mut self, parts: &Parts) {
        self.total.subtract(&parts.all);
        self.stale = true;
    }

    pub(crate) fn total(&self) -> Quantities {
        self.kinds.quantities(&self.total)
    }

    pub(crate) fn total_amounts(&self) -> &Amounts {
        &self.total
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight_milli: u64) {
        self.weights.insert(role.clone(), weight_milli);
        if let Some(ord) = self.by_role.get(role) {
            self.nodes[*ord].weight_milli = weight_milli;
        }
        self.stale = true;
    }

    /// All roles in use or with a quota, in the order of their names, with their share and what is
    /// allocated.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&Role, f64, Quantities)> {
        self.by_role.iter().map(|(role, ord)| {
            let allocated = &self.nodes[*ord].allocated;
            (role, allocated.dominant(&self.total), self.kinds.quantities(allocated))
        })
    }

    /// The dominant share of a role in use, in thousandths.
    pub(crate) fn share_milli(&self, role: &Role) -> u64 {
        let node = self.by_role.get(role).map(|ord| &self.nodes[*ord]);
        node.map_or(0, |node| (node.allocated.dominant(&self.total) * 1000.0) as u64)
    }

    /// The role of a node that is not the root.
    pub(crate) fn role_at(&self, ord: RoleOrd) -> &Role {
        self.nodes[ord].role.as_ref().expect("the root is no role")
    }

    /// The scalars of some resources, of names new and old.
    pub(crate) fn parts(&mut self, resources: &Resources) -> Parts {
        self.kinds.learn(resources);
        self.kinds.parts(resources)
    }

    /// The scalars of what a framework asks for; none when nobody can have it.
    pub(crate) fn asked(&self, resources: &Resources) -> Option<Amounts> {
        self.kinds.asked(resources)
    }

    /// The scalars that some resources cost whoever holds them: what is shared costs nobody, as
    /// there is no less of it for others.
    pub(crate) fn cost(&mut self, resources: &Resources) -> Parts {
        self.kinds.learn(resources);
        self.kinds.cost(resources)
    }

    /// As `cost`, of names that were seen.
    pub(crate) fn cost_of(&self, resources: &Resources) -> Parts {
        self.kinds.cost(resources)
    }

    pub(crate) fn amounts(&mut self, quantities: &Quantities) -> Amounts {
        self.kinds.amounts(quantities)
    }

    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        self.kinds.quantities(amounts)
    }

    /// The kind of a name that was seen.
    pub(crate) fn kind(&self, name: &ResourceName) -> Option<usize> {
        self.kinds.find(name)
    }

    /// The epoch of a seat that is taken. Numbers come again after 2^32 epochs.
    pub(crate) fn epoch(&self, seat: SeatOrd) -> Option<u32> {
        self.seats.get(seat).map(|seat| seat.epoch)
    }

    pub(crate) fn seat(&self, seat: SeatOrd) -> &Seat {
        &self.seats[seat]
    }

    /// The framework's seat in the role.
    pub(crate) fn seat_in(&self, framework: FrameworkOrd, role: &Role) -> Option<SeatOrd> {
        let node = self.by_role.get(role)?;
        self.seat_of.get(&(framework, *node)).copied()
    }

    /// The role of a seat.
    pub(crate) fn role_of(&self, seat: SeatOrd) -> &Role {
        let role = self.nodes[self.seats[seat].node].role.as_ref();
        role.expect("the root has no seats")
    }

    /// The framework's seats, with their roles.
    pub(crate) fn seats_of(&self, framework: FrameworkOrd) -> Vec<SeatOrd> {
        let first = (framework, crate::table::Ordinal::from_index(0));
        let own = self.seat_of.range(first..).take_while(|((owner, _), _)| *owner == framework);
        own.map(|(_, seat)| *seat).collect()
    }

    /// The frameworks that are subscribed to the role, by ordinal.
    pub(crate) fn subscribers(&self, role: &Role) -> Vec<FrameworkOrd> {
        let Some(&node) = self.by_role.get(role) else { return Vec::new() };
        let seats = self.nodes[node].seats.iter().map(|seat| &self.seats[*seat]);
        let mut all: Vec<_> = seats.filter(|s| s.subscribed).map(|s| s.framework).collect();
        all.sort_unstable();
        all
    }

    /// Counts what is allocated anew: an offer.
    pub(crate) fn allocate(&mut self, seat: SeatOrd, parts: &Parts) {
        self.charge(seat, parts, 1);
    }

    /// Counts what was allocated before: a task that was launched from an offer, or came back.
    pub(crate) fn hold(&mut self, role: &Role, framework: FrameworkOrd, parts: &Parts) {
        let node = self.node_of(role);
        let seat = self.take_seat(node, framework);
        self.charge(seat, parts, 0);
    }

    fn charge(&mut self, seat: SeatOrd, parts: &Parts, allocations: u64) {
        self.seats[seat].holdings += 1;
        let node = self.seats[seat].node;
        self.lift(node);
        self.reseat(seat, |allocated, rank| {
            allocated.add(&parts.all);
            rank.count += allocations;
        });
        let mut at = Some(node);
        while let Some(ord) = at {
            let node = &mut self.nodes[ord];
            node.allocated.add(&parts.all);
            node.rank.count += allocations;
            node.consumed.add(&parts.plain);
            self.surpassed |= node.surpasses();
            at = node.parent;
        }
        self.reckon_up(node);
        self.settle(node);
    }

    /// Takes an allocation back.
    pub(crate) fn release(&mut self, role: &Role, framework: FrameworkOrd, parts: &Parts) {
        let seat = self.seat_in(framework, role).expect("what is released was allocated");
        self.seats[seat].holdings -= 1;
        let node = self.seats[seat].node;
        self.lift(node);
        self.reseat(seat, |allocated, _| allocated.subtract(&parts.all));
        let mut at = Some(node);
        while let Some(ord) = at {
            let node = &mut self.nodes[ord];
            node.allocated.subtract(&parts.all);
            node.consumed.subtract(&parts.plain);
            if node.quota.as_ref().is_some_and(NodeQuota::waits) {
                self.eased.insert(ord);
            }
            at = self.nodes[ord].parent;
        }
        self.reckon_up(node);
        self.settle(node);
        self.drop_if_idle(seat);
    }

    /// The role's node; it and those above are made when they are not there.
    pub(super) fn node_of(&mut self, role: &Role) -> RoleOrd {
        if let Some(ord) = self.by_role.get(role) {
            return *ord;
        }
        let parent = match role.as_str().rsplit_once('/') {
            None => self.root,
            Some((above, _)) => {
                let above = Role::new(above).expect("a role's path begins with roles");
                self.node_of(&above)
            }
        };
        let weight = self.weights.get(role).copied().unwrap_or(DEFAULT_WEIGHT_MILLI);
        let ord = self.nodes.insert(Node::new(Some(role.clone()), Some(parent), weight));
        self.nodes[parent].children.insert(ord);
        self.by_role.insert(role.clone(), ord);
        ord
    }

    /// Removes a node that nothing needs, and those above that it kept.
    pub(super) fn drop_node_if_idle(&mut self, ord: RoleOrd) {
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            let node = &self.nodes[at];
            let needed = !node.seats.is_empty()
                || !node.children.is_empty()
                || node.quota.is_some()
                || !node.consumed.is_zero();
            if needed {
                break;
            }
            let node = self.nodes.remove(at);
            self.nodes[parent].children.remove(&at);
            self.end_service(at);
            self.by_role.remove(&node.role.expect("only the root has no role"));
            at = parent;
        }
    }
}

impl Node {
    /// Whether it consumes more than its limit.
    pub(super) fn surpasses(&self) -> bool {
        self.quota.as_ref().is_some_and(|quota| {
            quota.limit.iter().any(|(kind, most)| self.consumed.get(kind) > most)
        })
    }

    pub(super) fn parent(&self) -> Option<RoleOrd> {
        self.parent
    }

    fn new(role: Option<Role>, parent: Option<RoleOrd>, weight_milli: u64) -> Self {
        Self {
            role,
            parent,
            children: BTreeSet::new(),
            seats: BTreeSet::new(),
            seat_orders: Default::default(),
            own: Amounts::default(),
            own_rank: Rank::default(),
            own_listed: Listed::default(),
            orders: Default::default(),
            allocated: Amounts::default(),
            rank: Rank::default(),
            listed: Listed::default(),
            weight_milli,
            quota: None,
            consumed: Amounts::default(),
            required: Amounts::default(),
            required_below: Amounts::default(),
        }
    }
}
