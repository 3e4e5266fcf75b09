//! Scenarios of the allocator tests of Apache Mesos, under their names: fairness, filters, what
//! comes and goes. Those of quota are in `quota`, those of reservations in `reservations`.

use crate::testing::*;
use crate::{Input, Options, Order, RequestId};
use proto::scheduler::CallBody;
use proto::{
    Capability, Disk, DiskKind, DiskSource, Flavor, Piece, ResourceName, Resources, Special,
    TaskState, Value,
};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn framework(c: &mut Cluster, roles: &[&str]) -> FrameworkSide {
    c.framework_from(framework_info("f", roles, &[]))
}

/// The agents in standing offers to the framework, in the order of the offers.
fn agents_of(c: &Cluster, side: &FrameworkSide) -> Vec<String> {
    let ord = c.master.framework_ids[&side.id];
    let own = c.master.offers.values().filter(|offer| offer.framework == ord);
    own.map(|offer| c.master.agents[offer.agent].id.as_str().to_owned()).collect()
}

/// The ids of the standing offers to the framework.
fn offers_of(c: &Cluster, side: &FrameworkSide) -> Vec<String> {
    let ord = c.master.framework_ids[&side.id];
    let own = c.master.offers.values().filter(|offer| offer.framework == ord);
    own.map(|offer| offer.id.as_str().to_owned()).collect()
}

fn decline(c: &mut Cluster, side: &FrameworkSide, refuse: Duration) {
    let ids = offers_of(c, side);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    c.decline(side, &ids, refuse);
}

fn set_weight(c: &mut Cluster, of: &str, weight_milli: u64) {
    let request = RequestId(0);
    c.feed(Input::SetWeight { request, role: role(of), weight_milli });
}

fn suppress(c: &mut Cluster, side: &FrameworkSide) {
    c.call(side, CallBody::Suppress { roles: vec![] });
}

fn revive(c: &mut Cluster, side: &FrameworkSide) {
    c.call(side, CallBody::Revive { roles: vec![] });
}

fn share_milli(c: &Cluster, of: &str) -> u64 {
    c.master.allocator.sorter.share_milli(&role(of))
}

#[test]
fn unreserved_drf() {
    let mut c = Cluster::default();
    let first = framework(&mut c, &["r1"]);
    c.agent(cpus_mem(2, 1024));
    assert_eq!(agents_of(&c, &first), ["m-S0"]);
    let second = framework(&mut c, &["r2"]);
    c.agent(cpus_mem(1, 512));
    c.agent(cpus_mem(3, 2048));
    // r1 has a third of the cpus, r2 a sixth and then two thirds.
    assert_eq!(agents_of(&c, &second), ["m-S1", "m-S2"]);
    let third = framework(&mut c, &["r1"]);
    c.agent(cpus_mem(4, 4096));
    assert_eq!(agents_of(&c, &third), ["m-S3"], "r1 is poorer, and third is within r1");
}

#[test]
fn reserved_drf() {
    let mut c = Cluster::default();
    let first = framework(&mut c, &["r1"]);
    c.agent(cpus_mem(2, 512).push_reservation(&static_reservation("r1")));
    assert_eq!(agents_of(&c, &first), ["m-S0"]);
    let second = framework(&mut c, &["r2"]);
    c.agent(cpus_mem(1, 512));
    assert_eq!(agents_of(&c, &second), ["m-S1"], "what is reserved counts towards the share");
}

#[test]
fn nested_role_drf() {
    let mut c = Cluster::default();
    let ab = framework(&mut c, &["a/b"]);
    c.agent(cpus_mem(1, 512));
    let de = framework(&mut c, &["d/e"]);
    c.agent(cpus_mem(1, 512));
    let ac = framework(&mut c, &["a/c"]);
    c.agent(cpus_mem(1, 512));
    let all = [agents_of(&c, &ab), agents_of(&c, &de), agents_of(&c, &ac)];
    assert_eq!(all, [["m-S0"], ["m-S1"], ["m-S2"]]);
    // a has two thirds now, d one, whatever a/c alone has.
    c.agent(cpus_mem(1, 512));
    assert_eq!(agents_of(&c, &de), ["m-S1", "m-S3"]);
}

#[test]
fn same_share_fairness() {
    let mut c = Cluster::default();
    let (first, second) = (framework(&mut c, &["*"]), framework(&mut c, &["*"]));
    c.agent(cpus_mem(2, 1024));
    let mut counts = [0, 0];
    for _ in 0..10 {
        for (at, side) in [&first, &second].into_iter().enumerate() {
            if !offers_of(&c, side).is_empty() {
                counts[at] += 1;
                decline(&mut c, side, Duration::ZERO);
                break;
            }
        }
    }
    assert_eq!(counts, [5, 5]);
}

#[test]
fn coarse_grained() {
    let mut c = Cluster::default();
    let first = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    let second = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    for side in [&first, &second] {
        let ord = c.master.framework_ids[&side.id];
        let own: Vec<_> = c.master.offers.values().filter(|o| o.framework == ord).collect();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].resources, cpus_mem(2, 1024), "agents are offered whole");
    }
}

#[test]
fn no_double_accounting() {
    let mut c = Cluster::default();
    let mut side = framework(&mut c, &["*"]);
    let mut agent = c.agent(cpus_mem(2, 1024));
    c.launch(&side, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(1, 512))]);
    c.update(&agent, &side, "t", TaskState::Running, 1);
    c.restart_master();
    let tasks = vec![agent_task(&side, "t", cpus_mem(1, 512), TaskState::Running)];
    c.reregister(&mut agent, tasks, &[&side]);
    suppress_and_return(&mut c, &mut side);
    assert_eq!(share_milli(&c, "*"), 500, "the task counts once, by agent and framework");
}

/// The framework comes back and gives back what it is offered.
fn suppress_and_return(c: &mut Cluster, side: &mut FrameworkSide) {
    c.resubscribe(side);
    decline(c, side, LONG);
}

#[test]
fn update_weight() {
    let mut c = Cluster::default();
    let (first, second) = (framework(&mut c, &["r1"]), framework(&mut c, &["r2"]));
    set_weight(&mut c, "r2", 2000);
    for _ in 0..6 {
        c.agent(cpus_mem(1, 512));
    }
    assert_eq!(agents_of(&c, &first).len(), 2);
    assert_eq!(agents_of(&c, &second).len(), 4);
    set_weight(&mut c, "r1", 4000);
    for _ in 0..3 {
        c.agent(cpus_mem(1, 512));
    }
    assert_eq!(agents_of(&c, &first).len(), 5, "with twice the weight of r2 it catches up");
}

#[test]
fn drf_with_quota() {
    let mut c = Cluster::default();
    let with = framework(&mut c, &["q"]);
    let without = framework(&mut c, &["r"]);
    c.quota(&[("q", "cpus:1;mem:512", "")]);
    c.agent(cpus_mem(1, 512));
    assert_eq!(agents_of(&c, &with), ["m-S0"], "the guarantee comes first");
    c.agent(cpus_mem(8, 512));
    assert_eq!(agents_of(&c, &without), ["m-S1"], "then the smaller share");
}

#[test]
fn disproportionate_quota_vs_allocation() {
    let mut c = Cluster::default();
    let with = framework(&mut c, &["q"]);
    c.quota(&[("q", "cpus:4;mem:512", "")]);
    // More memory than is guaranteed, but not the cpus.
    c.agent(cpus_mem(1, 4096));
    framework(&mut c, &["r"]);
    c.agent(cpus_mem(3, 512));
    assert_eq!(agents_of(&c, &with), ["m-S0", "m-S1"], "what lacks is served all the same");
}

#[test]
fn offer_filter() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    decline(&mut c, &side, Duration::from_secs(10));
    c.advance_alive(Duration::from_secs(9));
    assert!(agents_of(&c, &side).is_empty());
    c.advance_alive(Duration::from_secs(1));
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
}

#[test]
fn small_offer_filter_timeout() {
    // The filter ends long before the next pass, and then does not count.
    let options = Options { allocation_delay: Duration::from_secs(3), ..Options::default() };
    let mut c = Cluster::new(options);
    let side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    c.advance_alive(Duration::from_secs(3));
    decline(&mut c, &side, Duration::from_secs(1));
    c.advance_alive(Duration::from_secs(2));
    assert!(agents_of(&c, &side).is_empty());
    c.advance_alive(Duration::from_secs(2));
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
}

#[test]
fn remove_filters() {
    let mut c = Cluster::default();
    let mut side = framework(&mut c, &["*"]);
    let agent = c.agent(cpus_mem(2, 1024));
    decline(&mut c, &side, LONG);
    // They end with the stream of the framework.
    c.resubscribe(&mut side);
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
    decline(&mut c, &side, LONG);
    // And with the agent.
    c.close_agent(&agent);
    c.advance(Duration::from_secs(10));
    c.agent(cpus_mem(2, 1024));
    assert_eq!(agents_of(&c, &side), ["m-S1"]);
}

#[test]
fn revive_offers() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    decline(&mut c, &side, LONG);
    assert!(agents_of(&c, &side).is_empty());
    revive(&mut c, &side);
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
}

#[test]
fn suppress_and_revive_offers() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    suppress(&mut c, &side);
    decline(&mut c, &side, Duration::ZERO);
    c.advance_alive(Duration::from_secs(30));
    assert!(agents_of(&c, &side).is_empty());
    revive(&mut c, &side);
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
}

#[test]
fn suppress_and_revive_offers_with_multi_role() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["r1", "r2"]);
    c.call(&side, CallBody::Suppress { roles: vec![role("r1")] });
    c.agent(cpus_mem(2, 1024));
    let roles = |c: &Cluster| {
        c.master.offers.values().map(|offer| offer.role.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(roles(&c), ["r2"]);
    c.call(&side, CallBody::Suppress { roles: vec![role("r2")] });
    decline(&mut c, &side, Duration::ZERO);
    assert!(roles(&c).is_empty());
    c.call(&side, CallBody::Revive { roles: vec![role("r1")] });
    assert_eq!(roles(&c), ["r1"]);
}

#[test]
fn deactivate_and_reactivate_framework() {
    let mut c = Cluster::default();
    let mut side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    c.close_framework(&side);
    assert!(agents_of(&c, &side).is_empty(), "its offers are recovered");
    c.agent(cpus_mem(2, 1024));
    assert!(agents_of(&c, &side).is_empty());
    c.resubscribe(&mut side);
    assert_eq!(agents_of(&c, &side), ["m-S0", "m-S1"]);
}

#[test]
fn add_agent_with_unknown_framework_and_maintenance() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    let mut agent = c.agent_from(agent_info("a", cpus_mem(2, 1024)));
    c.launch(&side, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(2, 1024))]);
    c.update(&agent, &side, "t", TaskState::Running, 1);
    super::inverse::plan(&mut c, 5000);
    c.restart_master();
    // Nobody is asked to leave: the framework is known from its task alone.
    let tasks = vec![agent_task(&side, "t", cpus_mem(2, 1024), TaskState::Running)];
    let lines = c.reregister(&mut agent, tasks, &[&side]);
    assert!(!lines.iter().any(|line| line.contains("INVERSE_OFFERS")), "{lines:?}");
    let mut side = side;
    let lines = c.resubscribe(&mut side);
    assert!(lines.iter().any(|line| line.contains("INVERSE_OFFERS")), "{lines:?}");
}

#[test]
fn maintenance_inverse_offers() {
    let mut c = Cluster::default();
    let (first, second) = (framework(&mut c, &["*"]), framework(&mut c, &["*"]));
    c.agent_from(agent_info("a", cpus_mem(2, 1024)));
    c.agent_from(agent_info("b", cpus_mem(2, 1024)));
    c.launch(&first, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(2, 1024))]);
    c.launch(&second, &["m-O1"], vec![task_info("t2", "m-S1", cpus_mem(2, 1024))]);
    let lines = super::inverse::plan(&mut c, 2000);
    let asked: Vec<_> = lines.iter().filter(|line| line.contains("INVERSE_OFFERS")).collect();
    assert_eq!(asked.len(), 1, "only who works on the machine: {lines:?}");
    assert!(asked[0].starts_with(&first.connection.to_string()), "{lines:?}");
}

#[test]
fn reservations() {
    let mut c = Cluster::default();
    let mine = cpus_mem(2, 512).push_reservation(&static_reservation("r1"));
    c.agent(mine.plus(&cpus_mem(1, 256)));
    let other = framework(&mut c, &["r2"]);
    let own = framework(&mut c, &["r1"]);
    let of = |side: &FrameworkSide| {
        let ord = c.master.framework_ids[&side.id];
        let own = c.master.offers.values().filter(|offer| offer.framework == ord);
        own.fold(Resources::new(), |all, offer| all.plus(&offer.resources))
    };
    assert_eq!(of(&other), cpus_mem(1, 256));
    assert_eq!(of(&own), mine);
}

#[test]
fn reservation_unallocated() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:512", "")]);
    // Nobody is there to use it, and yet the guarantee is met by it.
    c.agent(cpus_mem(2, 512).push_reservation(&static_reservation("q")));
    let other = framework(&mut c, &["r"]);
    c.agent(cpus_mem(1, 256));
    assert_eq!(agents_of(&c, &other), ["m-S1"]);
}

#[test]
fn reservation_allocated() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:4;mem:1024", "")]);
    let own = framework(&mut c, &["q"]);
    c.agent(cpus_mem(2, 512).push_reservation(&static_reservation("q")));
    assert_eq!(agents_of(&c, &own), ["m-S0"]);
    // What is offered of the reservation does not count twice: two cpus are still kept.
    let other = framework(&mut c, &["r"]);
    suppress(&mut c, &own);
    c.agent(cpus_mem(2, 512));
    assert!(agents_of(&c, &other).is_empty());
    c.agent(cpus_mem(1, 256));
    assert_eq!(agents_of(&c, &other), ["m-S2"]);
}

#[test]
fn non_quota_role_reservation_with_quota_role() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:512", "")]);
    let other = framework(&mut c, &["r"]);
    c.agent(cpus_mem(2, 512).push_reservation(&static_reservation("r")));
    assert_eq!(agents_of(&c, &other), ["m-S0"], "what is reserved is not kept for guarantees");
    let own = framework(&mut c, &["q"]);
    assert!(agents_of(&c, &own).is_empty());
}

#[test]
fn framework_loop() {
    // One that wants nothing of the first agent does not keep the next one from the second.
    let mut c = Cluster::default();
    let picky = framework(&mut c, &["a"]);
    let other = framework(&mut c, &["b"]);
    c.agent(cpus_mem(2, 512).push_reservation(&static_reservation("b")));
    assert_eq!(agents_of(&c, &other), ["m-S0"]);
    c.agent(cpus_mem(2, 512));
    assert_eq!(agents_of(&c, &picky), ["m-S1"]);
}

#[test]
fn quota_allocation_multiple_disk() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:100;disk:500", "")]);
    let own = framework(&mut c, &["q"]);
    let source = DiskSource::new(DiskKind::Path, "/mnt");
    let disk = Disk { source: Some(source), ..Disk::default() };
    let flavor = Flavor::new(false, Special { disk: Some(disk), ..Special::default() });
    let mut all = cpus_mem(1, 100);
    for flavor in [flavor, Flavor::default()] {
        let name = ResourceName::new("disk");
        all.add_piece(Piece { name, flavor, value: Value::Scalar(300_000) });
    }
    c.agent(all);
    let standing = c.master.allocator.sorter.standing(&role("q")).unwrap();
    assert_eq!(standing.lacking.get(&ResourceName::new("disk")), 0, "both disks count");
    assert_eq!(agents_of(&c, &own), ["m-S0"]);
}

#[test]
fn recover_resources() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    let agent = c.agent(cpus_mem(2, 1024));
    c.launch(&side, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(2, 1024))]);
    assert!(agents_of(&c, &side).is_empty());
    c.update(&agent, &side, "t", TaskState::Finished, 1);
    assert_eq!(agents_of(&c, &side), ["m-S0"]);
}

#[test]
fn allocatable() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    c.agent(Resources::cpus_mem(9, 31_000));
    c.agent(Resources::cpus_mem(10, 31_000));
    c.agent(Resources::cpus_mem(9, 32_000));
    c.agent(Resources::cpus_mem(10, 32_000));
    assert_eq!(agents_of(&c, &side), ["m-S1", "m-S2", "m-S3"], "either amount is enough");
}

#[test]
fn update_slave_total_resources() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    let mut agent = c.agent(cpus_mem(2, 1024));
    decline(&mut c, &side, LONG);
    agent.info.resources = cpus_mem(4, 2048);
    c.close_agent(&agent);
    c.reregister(&mut agent, vec![], &[]);
    assert_eq!(agents_of(&c, &side), ["m-S0"], "it is more than was refused");
    assert_eq!(c.master.allocator.sorter.total(), cpus_mem(4, 2048).quantities());
}

#[test]
fn remove_slave_recover_resources() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    let agent = c.agent(cpus_mem(2, 1024));
    c.agent(cpus_mem(2, 1024));
    assert_eq!(share_milli(&c, "*"), 1000);
    c.close_agent(&agent);
    c.advance_alive(Duration::from_secs(10));
    // Half of the cluster is gone, with what was offered of it.
    assert_eq!(share_milli(&c, "*"), 1000);
    assert_eq!(agents_of(&c, &side), ["m-S1"]);
    c.order(Order::MarkAgentGone(agent_id("m-S1")));
    assert_eq!(share_milli(&c, "*"), 0);
}

fn with_revocable() -> Resources {
    let mut all = cpus_mem(1, 512);
    let flavor = Flavor { revocable: true, special: None };
    let name = ResourceName::new("cpus");
    all.add_piece(Piece { name, flavor, value: Value::Scalar(2000) });
    all
}

#[test]
fn oversubscribed_not_allocated() {
    let mut c = Cluster::default();
    let plain = framework(&mut c, &["*"]);
    c.agent(with_revocable());
    let offer = c.master.offers.values().next().unwrap();
    assert_eq!(offer.resources, cpus_mem(1, 512), "{:?}", agents_of(&c, &plain));
}

#[test]
fn recover_oversubscribed_resources() {
    let mut c = Cluster::default();
    let info = framework_info("f", &["*"], &[Capability::RevocableResources]);
    let side = c.framework_from(info);
    let agent = c.agent(with_revocable());
    // A task has cpus of one kind.
    let revocable =
        with_revocable().filtered(|piece| piece.flavor.revocable || piece.name.as_str() == "mem");
    c.launch(&side, &["m-O0"], vec![task_info("t", "m-S0", revocable)]);
    assert!(agents_of(&c, &side).is_empty());
    c.update(&agent, &side, "t", TaskState::Finished, 1);
    assert_eq!(c.master.offers.values().next().unwrap().resources, with_revocable());
}
