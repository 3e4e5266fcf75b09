//! Scenarios of the sorter tests of Apache Mesos, under their names: the order of the tree of roles
//! by itself.

use crate::allocator::sorter::{Sorter, Walk};
use crate::table::{FrameworkOrd, Ordinal};
use crate::testing::*;
use proto::{Flavor, Piece, ResourceName, Resources, Value};
use std::collections::BTreeMap;

/// A sorter with one framework in each role, whose total is 100 cpus and 100 MB.
struct Roles {
    sorter: Sorter,
    names: Vec<&'static str>,
}

impl Roles {
    fn new(names: &[&'static str]) -> Self {
        let mut sorter = Sorter::new(BTreeMap::new(), &BTreeMap::new(), &[]);
        let total = sorter.parts(&cpus_mem(100, 100));
        sorter.add_total(&total);
        let mut roles = Self { sorter, names: Vec::new() };
        for name in names {
            roles.add(name);
        }
        roles
    }

    fn add(&mut self, name: &'static str) {
        let ord = FrameworkOrd::from_index(self.names.len());
        self.names.push(name);
        self.sorter.subscribe(&role(name), ord, true);
    }

    fn ord(&self, name: &str) -> FrameworkOrd {
        FrameworkOrd::from_index(self.names.iter().position(|other| *other == name).unwrap())
    }

    fn allocate(&mut self, name: &str, resources: &Resources) {
        let parts = self.sorter.parts(resources);
        let seat = self.sorter.seat_in(self.ord(name), &role(name)).unwrap();
        self.sorter.allocate(seat, &parts);
    }

    fn cpus(&mut self, name: &str, cpus: u64) {
        self.allocate(name, &cpus_mem(cpus, 0));
    }

    fn release(&mut self, name: &str, resources: &Resources) {
        let parts = self.sorter.parts(resources);
        self.sorter.release(&role(name), self.ord(name), &parts);
    }

    fn eligible(&mut self, name: &str, eligible: bool) {
        self.sorter.subscribe(&role(name), self.ord(name), eligible);
    }

    fn leave(&mut self, name: &str) {
        let seat = self.sorter.seat_in(self.ord(name), &role(name)).unwrap();
        self.sorter.unsubscribe(seat);
    }

    fn order(&mut self) -> Vec<&'static str> {
        self.sorter.refresh();
        let mut order = Vec::new();
        self.sorter.first(Walk::All, |seat| {
            order.push(self.names[self.sorter.seat(seat).framework.index()]);
            false
        });
        order
    }
}

#[test]
fn drf() {
    let mut roles = Roles::new(&["a", "b", "c"]);
    roles.allocate("a", &cpus_mem(5, 5));
    roles.allocate("b", &cpus_mem(6, 6));
    assert_eq!(roles.order(), ["c", "a", "b"]);
    roles.allocate("c", &cpus_mem(1, 10));
    assert_eq!(roles.order(), ["a", "b", "c"], "its dominant resource is memory");
    roles.release("b", &cpus_mem(6, 6));
    assert_eq!(roles.order(), ["b", "a", "c"]);
    roles.leave("a");
    assert_eq!(roles.order(), ["b", "c"]);
    roles.eligible("b", false);
    assert_eq!(roles.order(), ["c"]);
}

#[test]
fn wdrf() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.sorter.set_weight(&role("b"), 2000);
    roles.cpus("a", 5);
    roles.cpus("b", 8);
    assert_eq!(roles.order(), ["b", "a"], "a half of eight is less than five");
    roles.cpus("b", 4);
    assert_eq!(roles.order(), ["a", "b"]);
}

#[test]
fn update_weight() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.cpus("a", 5);
    roles.cpus("b", 6);
    assert_eq!(roles.order(), ["a", "b"]);
    roles.sorter.set_weight(&role("b"), 2000);
    assert_eq!(roles.order(), ["b", "a"]);
}

#[test]
fn allocation_count_tie_break() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.cpus("a", 1);
    roles.release("a", &cpus_mem(1, 0));
    assert_eq!(roles.order(), ["b", "a"], "both have nothing, and b was never served");
    for _ in 0..2 {
        roles.cpus("b", 1);
        roles.release("b", &cpus_mem(1, 0));
    }
    assert_eq!(roles.order(), ["a", "b"]);
}

#[test]
fn shallow_hierarchy() {
    let mut roles = Roles::new(&["a/b", "c/d"]);
    roles.cpus("a/b", 5);
    roles.cpus("c/d", 4);
    assert_eq!(roles.order(), ["c/d", "a/b"]);
    roles.add("e");
    assert_eq!(roles.order(), ["e", "c/d", "a/b"]);
}

#[test]
fn deep_hierarchy() {
    let mut roles = Roles::new(&["a/b/c/d", "a/b/e", "f"]);
    roles.cpus("a/b/c/d", 1);
    roles.cpus("a/b/e", 3);
    roles.cpus("f", 3);
    assert_eq!(roles.order(), ["f", "a/b/c/d", "a/b/e"], "a has four, of which c has one");
}

#[test]
fn hierarchical_allocation() {
    let mut roles = Roles::new(&["a", "b/c", "b/d"]);
    roles.cpus("a", 3);
    roles.cpus("b/c", 2);
    assert_eq!(roles.order(), ["b/d", "b/c", "a"]);
    roles.cpus("b/d", 4);
    assert_eq!(roles.order(), ["a", "b/c", "b/d"], "what is allocated counts at every role above");
    roles.release("b/d", &cpus_mem(4, 0));
    assert_eq!(roles.order(), ["b/d", "b/c", "a"]);
}

#[test]
fn hierarchical_iteration_order() {
    let mut roles = Roles::new(&["a/b", "c", "d", "d/e"]);
    roles.cpus("a/b", 1);
    roles.cpus("c", 2);
    roles.cpus("d", 3);
    roles.cpus("d/e", 4);
    assert_eq!(roles.order(), ["a/b", "c", "d", "d/e"], "a role's own stand among those below");
}

#[test]
fn add_child_to_leaf() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.cpus("a", 1);
    roles.cpus("b", 2);
    roles.add("a/c");
    roles.cpus("a/c", 3);
    assert_eq!(roles.order(), ["b", "a", "a/c"]);
}

#[test]
fn add_child_to_internal() {
    let mut roles = Roles::new(&["x/a", "x/b"]);
    roles.cpus("x/a", 1);
    roles.cpus("x/b", 2);
    roles.add("x");
    assert_eq!(roles.order(), ["x", "x/a", "x/b"]);
    roles.cpus("x", 5);
    assert_eq!(roles.order(), ["x/a", "x/b", "x"]);
}

#[test]
fn add_child_to_inactive_leaf() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.cpus("a", 1);
    roles.eligible("a", false);
    roles.add("a/c");
    assert_eq!(roles.order(), ["b", "a/c"]);
}

#[test]
fn remove_leaf_collapse_parent() {
    let mut roles = Roles::new(&["a", "b", "a/c"]);
    roles.cpus("a", 1);
    roles.cpus("b", 2);
    roles.cpus("a/c", 3);
    roles.release("a/c", &cpus_mem(3, 0));
    roles.leave("a/c");
    assert_eq!(roles.order(), ["a", "b"]);
    assert!(roles.sorter.standing(&role("a/c")).is_none(), "the role is forgotten");
}

#[test]
fn remove_leaf_collapse_parent_inactive() {
    let mut roles = Roles::new(&["a", "b", "a/c"]);
    roles.eligible("a", false);
    roles.leave("a/c");
    assert_eq!(roles.order(), ["b"]);
    roles.eligible("a", true);
    assert_eq!(roles.order(), ["a", "b"]);
}

#[test]
fn change_weight_on_subtree() {
    let mut roles = Roles::new(&["a/x", "b/y"]);
    roles.cpus("a/x", 4);
    roles.cpus("b/y", 6);
    assert_eq!(roles.order(), ["a/x", "b/y"]);
    roles.sorter.set_weight(&role("b"), 2000);
    assert_eq!(roles.order(), ["b/y", "a/x"], "the weight of a role above counts");
}

#[test]
fn split_resource_shares() {
    let mut roles = Roles::new(&["a", "b"]);
    // The same amount, in one piece and in two.
    roles.cpus("a", 5);
    roles.cpus("b", 2);
    roles.cpus("b", 2);
    assert_eq!(roles.order(), ["b", "a"]);
    roles.cpus("b", 2);
    assert_eq!(roles.order(), ["a", "b"]);
}

#[test]
fn update_total() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.allocate("a", &cpus_mem(20, 1));
    roles.allocate("b", &cpus_mem(1, 10));
    assert_eq!(roles.order(), ["b", "a"]);
    // With many more cpus, it is the memory that is dear.
    let more = roles.sorter.parts(&cpus_mem(900, 0));
    roles.sorter.add_total(&more);
    assert_eq!(roles.order(), ["a", "b"]);
    roles.sorter.remove_total(&more);
    assert_eq!(roles.order(), ["b", "a"]);
}

#[test]
fn multiple_slaves() {
    let mut roles = Roles::new(&["a", "b"]);
    let second = roles.sorter.parts(&cpus_mem(100, 100));
    roles.sorter.add_total(&second);
    roles.cpus("a", 10);
    roles.cpus("a", 10);
    roles.cpus("b", 15);
    assert_eq!(roles.order(), ["b", "a"], "allocations on all agents add up");
}

#[test]
fn multiple_slaves_update_allocation() {
    let mut roles = Roles::new(&["a", "b"]);
    roles.cpus("a", 10);
    roles.cpus("a", 10);
    roles.cpus("b", 15);
    let reserved = reserved(&cpus_mem(10, 0), &["a"]);
    roles.release("a", &cpus_mem(10, 0));
    roles.allocate("a", &reserved);
    assert_eq!(roles.order(), ["b", "a"], "to reserve what it holds changes no share");
}

#[test]
fn revocable_resources() {
    let mut roles = Roles::new(&["a", "b"]);
    let flavor = Flavor { revocable: true, special: None };
    let name = ResourceName::new("cpus");
    let revocable = Piece { name, flavor, value: Value::Scalar(10_000) };
    roles.allocate("a", &[revocable].into_iter().collect());
    roles.cpus("b", 5);
    assert_eq!(roles.order(), ["b", "a"], "they count towards the share");
}
