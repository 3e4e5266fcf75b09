//! Scenarios of the allocator tests of Apache Mesos, under their names: resources that frameworks
//! and operators change.

use crate::testing::*;
use proto::operator::Call;
use proto::{
    Capability, Flavor, Piece, Ranges, ResourceChange, ResourceName, Resources, Special, Value,
};

/// A framework of role `eng`, one agent that was offered to it, and the first offer.
fn cluster(total: Resources) -> (Cluster, FrameworkSide, AgentSide) {
    let mut c = Cluster::default();
    let capabilities = &[Capability::SharedResources, Capability::ReservationRefinement];
    let eng = c.framework_from(framework_info("f", &["eng"], capabilities));
    let agent = c.agent(total);
    (c, eng, agent)
}

/// All that stands in offers.
fn offered(c: &Cluster) -> Resources {
    c.master.offers.values().fold(Resources::new(), |all, offer| all.plus(&offer.resources))
}

fn newest(c: &Cluster) -> String {
    c.master.offers.values().next_back().unwrap().id.as_str().to_owned()
}

fn share_milli(c: &Cluster) -> u64 {
    c.master.allocator.sorter.share_milli(&role("eng"))
}

#[test]
fn update_allocation() {
    let (mut c, eng, _) = cluster(cpus_mem(4, 1024));
    let mine = reserved(&cpus_mem(1, 256), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", mine.clone())]);
    assert_eq!(offered(&c), mine.plus(&cpus_mem(3, 768)), "offered again as it is now");
    assert_eq!(share_milli(&c), 1000);
}

#[test]
fn update_allocation_remove_resources() {
    let (mut c, eng, _) = cluster(cpus_mem(4, 1024));
    let mine = reserved(&cpus_mem(1, 256), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", mine.clone())]);
    let offer = newest(&c);
    c.accept(&eng, &[&offer], vec![unreserve("", mine)]);
    assert_eq!(offered(&c), cpus_mem(4, 1024), "nothing of the reservation is left");
    assert_eq!(share_milli(&c), 1000);
}

#[test]
fn update_allocation_shared_persistent_volume() {
    let disk = all(&[space("eng", 100)]);
    let (mut c, eng, agent) =
        cluster(cpus_mem(4, 1024).plus(&Resources::scalars([("disk", 100_000)])));
    let volume = shared_volume("v", "eng", 100);
    let operations = vec![reserve("", disk.clone()), create("", std::slice::from_ref(&volume))];
    c.accept(&eng, &["m-O0"], operations);
    c.applied(&agent, 1, &[]);
    assert_eq!(offered(&c), cpus_mem(4, 1024).plus(&all(std::slice::from_ref(&volume))));
    let offer = newest(&c);
    c.accept(&eng, &[&offer], vec![destroy("", &[volume])]);
    c.applied(&agent, 2, &[]);
    assert_eq!(offered(&c), cpus_mem(4, 1024).plus(&disk), "the space of the volume is back");
}

#[test]
fn update_available_success() {
    let (mut c, _, agent) = cluster(cpus_mem(4, 1024));
    let mine = reserved(&cpus_mem(1, 256), &["eng"]);
    let change = ResourceChange::Reserve { source: Resources::new(), resources: mine.clone() };
    c.operator(Call::ChangeResources { agent_id: agent.id, change });
    assert_eq!(offered(&c), mine.plus(&cpus_mem(3, 768)));
}

#[test]
fn update_available_fail() {
    let (mut c, eng, agent) = cluster(cpus_mem(4, 1024));
    c.launch(&eng, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(4, 1024))]);
    let mine = reserved(&cpus_mem(1, 256), &["eng"]);
    let change = ResourceChange::Reserve { source: Resources::new(), resources: mine };
    let lines = c.operator(Call::ChangeResources { agent_id: agent.id, change });
    assert!(lines.iter().any(|line| line.contains("refused (409)")), "{lines:?}");
    assert_eq!(c.master.agents.iter().next().unwrap().1.info.resources, cpus_mem(4, 1024));
}

#[test]
fn non_scalar_reservation_tracking() {
    let special = Special { reservations: vec![static_reservation("eng")], ..Special::default() };
    let flavor = Flavor::new(false, special);
    let (name, value) = (ResourceName::new("ports"), Value::Ranges(Ranges::new([(100, 199)])));
    let ports: Resources = [Piece { name, flavor, value }].into_iter().collect();
    let mut c = Cluster::default();
    c.quota(&[("eng", "cpus:1;mem:64", "cpus:1;mem:64")]);
    let agent = c.agent(cpus_mem(1, 64).plus(&ports));
    c.framework_from(framework_info("f", &["eng"], &[]));
    assert_eq!(offered(&c), cpus_mem(1, 64).plus(&ports), "ports consume nothing of the quota");
    // Nor does anything of them stay behind when the agent goes.
    c.order(crate::Order::MarkAgentGone(agent.id));
    let standing = c.master.allocator.sorter.standing(&role("eng")).unwrap();
    assert!(standing.consumed.is_empty(), "{standing:?}");
}
