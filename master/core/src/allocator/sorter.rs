//! Dominant-resource fairness: who is served first.
//!
//! Roles form a tree by their paths; each role that frameworks subscribe to, or hold resources in,
//! has a leaf with their seats. The children of a node are ordered by (share, allocations, name);
//! a share is the largest fraction of the cluster's scalars that is allocated below, offers
//! included, divided by the weight. Only what can be offered something stands in an order, so
//! suppressed and disconnected frameworks cost nothing.
//!
//! Every change moves its seat and the nodes above it, O(depth * log n); only a change of the
//! cluster's total or of a weight orders everything anew, at the next pass.

use crate::registry::DEFAULT_WEIGHT_MILLI;
use crate::table::{FrameworkOrd, RoleOrd, Table};
use proto::{FrameworkId, Quantities, ResourceName, Role};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// A dominant share divided by a weight; totally ordered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share(pub(crate) f64);

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Share {}
impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What is allocated, and how often something was.
#[derive(Clone, Debug, Default)]
struct Tally {
    allocated: Quantities,
    count: u64,
    share: Share,
}

impl Tally {
    fn rank(&self) -> (Share, u64) {
        (self.share, self.count)
    }
}

/// A framework in a role.
#[derive(Debug)]
struct Seat {
    id: FrameworkId,
    tally: Tally,
    subscribed: bool,
    eligible: bool,
}

/// The frameworks of one role.
#[derive(Debug, Default)]
struct Leaf {
    seats: BTreeMap<FrameworkOrd, Seat>,
    order: BTreeSet<(Share, u64, FrameworkId, FrameworkOrd)>,
    tally: Tally,
}

/// A child in its parent's order: the role's own frameworks (first among equals), or a role below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Child {
    Own,
    Role(Role, RoleOrd),
}

#[derive(Debug)]
struct Node {
    /// Absent at the root.
    role: Option<Role>,
    parent: Option<RoleOrd>,
    children: BTreeSet<RoleOrd>,
    order: BTreeSet<(Share, u64, Child)>,
    leaf: Leaf,
    /// The leaf and all below.
    tally: Tally,
    weight_milli: u64,
}

/// The order of roles and of frameworks.
#[derive(Debug)]
pub(crate) struct Sorter {
    total: Quantities,
    nodes: Table<RoleOrd, Node>,
    root: RoleOrd,
    by_role: BTreeMap<Role, RoleOrd>,
    seats_of: BTreeMap<FrameworkOrd, BTreeSet<Role>>,
    weights: BTreeMap<Role, u64>,
    /// Whether the total or a weight changed since everything was ordered.
    stale: bool,
}

/// The largest fraction of `total` that `allocated` is; what the cluster has not counts nothing.
fn dominant(allocated: &Quantities, total: &Quantities) -> f64 {
    let fraction = |(name, milli): (&ResourceName, u64)| match total.get(name) {
        0 => 0.0,
        all => milli as f64 / all as f64,
    };
    allocated.iter().map(fraction).fold(0.0, f64::max)
}

impl Sorter {
    pub(crate) fn new(weights: BTreeMap<Role, u64>) -> Self {
        let mut nodes = Table::new();
        let root = nodes.insert(Node::new(None, None, DEFAULT_WEIGHT_MILLI));
        Self {
            total: Quantities::default(),
            nodes,
            root,
            by_role: BTreeMap::new(),
            seats_of: BTreeMap::new(),
            weights,
            stale: false,
        }
    }

    /// Adds an agent's scalars to the cluster.
    pub(crate) fn add_total(&mut self, quantities: &Quantities) {
        self.total.add_all(quantities);
        self.stale = true;
    }

    /// Takes an agent's scalars from the cluster.
    pub(crate) fn remove_total(&mut self, quantities: &Quantities) {
        self.total.subtract_all(quantities);
        self.stale = true;
    }

    pub(crate) fn total(&self) -> &Quantities {
        &self.total
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight_milli: u64) {
        self.weights.insert(role.clone(), weight_milli);
        if let Some(ord) = self.by_role.get(role) {
            self.nodes[*ord].weight_milli = weight_milli;
        }
        self.stale = true;
    }

    /// The framework subscribes to the role; `eligible` says whether it may be offered anything.
    pub(crate) fn subscribe(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        id: &FrameworkId,
        eligible: bool,
    ) {
        let node = self.node_of(role);
        self.seat(node, role, framework, id);
        let seat = self.seat_mut(node, framework);
        seat.subscribed = true;
        self.set_eligible(node, framework, eligible);
    }

    /// The framework leaves the role; what it still holds there keeps counting.
    pub(crate) fn unsubscribe(&mut self, role: &Role, framework: FrameworkOrd) {
        let Some(&node) = self.by_role.get(role) else { return };
        if !self.nodes[node].leaf.seats.contains_key(&framework) {
            return;
        }
        self.set_eligible(node, framework, false);
        self.seat_mut(node, framework).subscribed = false;
        self.drop_if_idle(node, role, framework);
    }

    /// The roles in which the framework has a seat.
    pub(crate) fn roles_of(&self, framework: FrameworkOrd) -> Vec<Role> {
        self.seats_of.get(&framework).into_iter().flatten().cloned().collect()
    }

    /// All roles in use, in the order of their names, with their share and what is allocated.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&Role, f64, &Quantities)> {
        self.by_role.iter().map(|(role, ord)| {
            let node = &self.nodes[*ord];
            (role, dominant(&node.tally.allocated, &self.total), &node.tally.allocated)
        })
    }

    /// The frameworks that are subscribed to the role, by ordinal.
    pub(crate) fn subscribers(&self, role: &Role) -> Vec<FrameworkOrd> {
        let Some(&node) = self.by_role.get(role) else { return Vec::new() };
        let seats = self.nodes[node].leaf.seats.iter();
        seats.filter(|(_, seat)| seat.subscribed).map(|(ord, _)| *ord).collect()
    }

    /// Counts what is allocated anew: an offer.
    pub(crate) fn allocate(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        id: &FrameworkId,
        quantities: &Quantities,
    ) {
        self.charge(role, framework, id, quantities, 1);
    }

    /// Counts what was allocated before: a task that was launched from an offer, or came back.
    pub(crate) fn hold(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        id: &FrameworkId,
        quantities: &Quantities,
    ) {
        self.charge(role, framework, id, quantities, 0);
    }

    fn charge(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        id: &FrameworkId,
        quantities: &Quantities,
        allocations: u64,
    ) {
        let node = self.node_of(role);
        self.seat(node, role, framework, id);
        self.change(node, framework, |tally| {
            tally.allocated.add_all(quantities);
            tally.count += allocations;
        });
    }

    /// Takes an allocation back.
    pub(crate) fn release(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        quantities: &Quantities,
    ) {
        let node = *self.by_role.get(role).expect("what is released was allocated");
        self.change(node, framework, |tally| tally.allocated.subtract_all(quantities));
        self.drop_if_idle(node, role, framework);
    }

    /// Orders everything anew when the total or a weight changed.
    pub(crate) fn refresh(&mut self) {
        if !self.stale {
            return;
        }
        self.stale = false;
        self.refresh_node(self.root);
    }

    fn refresh_node(&mut self, ord: RoleOrd) {
        let children: Vec<RoleOrd> = self.nodes[ord].children.iter().copied().collect();
        for child in children {
            self.refresh_node(child);
        }
        let total = &self.total;
        let leaf = &mut self.nodes[ord].leaf;
        leaf.order.clear();
        for (framework, seat) in &mut leaf.seats {
            seat.tally.share = Share(dominant(&seat.tally.allocated, total));
            if seat.eligible {
                let (share, count) = seat.tally.rank();
                leaf.order.insert((share, count, seat.id.clone(), *framework));
            }
        }
        // As a child among the roles below, the role's own frameworks have the default weight.
        leaf.tally.share = Share(dominant(&leaf.tally.allocated, total));
        self.reckon(ord);
        let mut order = BTreeSet::new();
        let node = &self.nodes[ord];
        if !node.leaf.order.is_empty() {
            order.insert((node.leaf.tally.share, node.leaf.tally.count, Child::Own));
        }
        for child in &node.children {
            let below = &self.nodes[*child];
            if !below.order.is_empty() {
                let (share, count) = below.tally.rank();
                let role = below.role.clone().expect("only the root has no role");
                order.insert((share, count, Child::Role(role, *child)));
            }
        }
        self.nodes[ord].order = order;
    }

    /// Walks the eligible (role, framework) pairs, the poorest first, until `stop` says true.
    /// Returns the pair at which it stopped.
    pub(crate) fn first<F>(&self, mut stop: F) -> Option<(&Role, FrameworkOrd)>
    where
        F: FnMut(&Role, FrameworkOrd) -> bool,
    {
        self.first_below(self.root, &mut stop)
    }

    fn first_below<F>(&self, ord: RoleOrd, stop: &mut F) -> Option<(&Role, FrameworkOrd)>
    where
        F: FnMut(&Role, FrameworkOrd) -> bool,
    {
        let node = &self.nodes[ord];
        for (_, _, child) in &node.order {
            let found = match child {
                Child::Role(_, below) => self.first_below(*below, stop),
                Child::Own => {
                    let role = node.role.as_ref().expect("the root has no frameworks");
                    let mut frameworks = node.leaf.order.iter().map(|(_, _, _, ord)| *ord);
                    frameworks.find(|framework| stop(role, *framework)).map(|ord| (role, ord))
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The seats, and what each counts (for the invariants).
    pub(crate) fn seats(&self) -> impl Iterator<Item = (&Role, FrameworkOrd, &Quantities)> {
        self.nodes.iter().flat_map(|(_, node)| {
            node.leaf.seats.iter().filter_map(move |(framework, seat)| {
                Some((node.role.as_ref()?, *framework, &seat.tally.allocated))
            })
        })
    }

    fn node_of(&mut self, role: &Role) -> RoleOrd {
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

    fn seat(&mut self, node: RoleOrd, role: &Role, framework: FrameworkOrd, id: &FrameworkId) {
        self.nodes[node].leaf.seats.entry(framework).or_insert_with(|| Seat {
            id: id.clone(),
            tally: Tally::default(),
            subscribed: false,
            eligible: false,
        });
        let roles = self.seats_of.entry(framework).or_default();
        if !roles.contains(role) {
            roles.insert(role.clone());
        }
    }

    fn seat_mut(&mut self, node: RoleOrd, framework: FrameworkOrd) -> &mut Seat {
        self.nodes[node].leaf.seats.get_mut(&framework).expect("the framework has a seat here")
    }

    fn set_eligible(&mut self, node: RoleOrd, framework: FrameworkOrd, eligible: bool) {
        if self.seat_mut(node, framework).eligible == eligible {
            return;
        }
        self.lift(node);
        let leaf = &mut self.nodes[node].leaf;
        let seat = leaf.seats.get_mut(&framework).expect("the framework has a seat here");
        seat.eligible = eligible;
        let (share, count) = seat.tally.rank();
        let key = (share, count, seat.id.clone(), framework);
        if eligible {
            leaf.order.insert(key);
        } else {
            leaf.order.remove(&key);
        }
        self.settle(node);
    }

    fn change(&mut self, ord: RoleOrd, framework: FrameworkOrd, mut by: impl FnMut(&mut Tally)) {
        self.lift(ord);
        let total = &self.total;
        let leaf = &mut self.nodes[ord].leaf;
        let seat = leaf.seats.get_mut(&framework).expect("the framework has a seat here");
        let (share, count) = seat.tally.rank();
        by(&mut seat.tally);
        seat.tally.share = Share(dominant(&seat.tally.allocated, total));
        if seat.eligible {
            leaf.order.remove(&(share, count, seat.id.clone(), framework));
            let (share, count) = seat.tally.rank();
            leaf.order.insert((share, count, seat.id.clone(), framework));
        }
        by(&mut leaf.tally);
        leaf.tally.share = Share(dominant(&leaf.tally.allocated, total));
        let mut at = Some(ord);
        while let Some(ord) = at {
            by(&mut self.nodes[ord].tally);
            self.reckon(ord);
            at = self.nodes[ord].parent;
        }
        self.settle(ord);
    }

    /// Takes a node's leaf, the node and all above out of the orders, before their ranks change.
    fn lift(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        node.order.remove(&(node.leaf.tally.share, node.leaf.tally.count, Child::Own));
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            let node = &self.nodes[at];
            let (share, count) = node.tally.rank();
            let role = node.role.clone().expect("only the root has no role");
            self.nodes[parent].order.remove(&(share, count, Child::Role(role, at)));
            at = parent;
        }
    }

    /// Puts back what `lift` took out, as far as there is something eligible below.
    fn settle(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        if !node.leaf.order.is_empty() {
            node.order.insert((node.leaf.tally.share, node.leaf.tally.count, Child::Own));
        }
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            let node = &self.nodes[at];
            if !node.order.is_empty() {
                let (share, count) = node.tally.rank();
                let role = node.role.clone().expect("only the root has no role");
                self.nodes[parent].order.insert((share, count, Child::Role(role, at)));
            }
            at = parent;
        }
    }

    /// Reckons a node's share. Its place in its parent's order must have been lifted.
    fn reckon(&mut self, ord: RoleOrd) {
        let node = &mut self.nodes[ord];
        let weight = node.weight_milli as f64 / DEFAULT_WEIGHT_MILLI as f64;
        node.tally.share = Share(dominant(&node.tally.allocated, &self.total) / weight);
    }

    /// Removes a seat that holds nothing and is not subscribed, and the nodes that it kept.
    fn drop_if_idle(&mut self, ord: RoleOrd, role: &Role, framework: FrameworkOrd) {
        let seat = self.seat_mut(ord, framework);
        if seat.subscribed || !seat.tally.allocated.is_empty() {
            return;
        }
        self.nodes[ord].leaf.seats.remove(&framework);
        if let Some(roles) = self.seats_of.get_mut(&framework) {
            roles.remove(role);
            if roles.is_empty() {
                self.seats_of.remove(&framework);
            }
        }
        let mut at = ord;
        while let Some(parent) = self.nodes[at].parent {
            let node = &self.nodes[at];
            if !node.leaf.seats.is_empty() || !node.children.is_empty() {
                break;
            }
            let node = self.nodes.remove(at);
            self.nodes[parent].children.remove(&at);
            self.by_role.remove(&node.role.expect("only the root has no role"));
            at = parent;
        }
    }
}

impl Node {
    fn new(role: Option<Role>, parent: Option<RoleOrd>, weight_milli: u64) -> Self {
        Self {
            role,
            parent,
            children: BTreeSet::new(),
            order: BTreeSet::new(),
            leaf: Leaf::default(),
            tally: Tally::default(),
            weight_milli,
        }
    }
}
