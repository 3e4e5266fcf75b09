//! Quota, with the scenarios of the allocator tests of Apache Mesos under their names.

use crate::testing::*;
use crate::{Effect, Input, Options, RequestId};
use proto::scheduler::{CallBody, Event};
use proto::{
    Capability, Disk, DiskKind, DiskSource, Domain, Flavor, Piece, Reservation, ReservationKind,
    ResourceName, Resources, Special, TaskState, Value,
};
use std::sync::Arc;
use std::time::Duration;

fn flavored(name: &str, units: u64, flavor: Flavor) -> Piece {
    Piece { name: ResourceName::new(name), flavor, value: Value::Scalar(units * 1000) }
}

fn reserved(cpus: u64, mem: u64, to: &str) -> Resources {
    let reservation = Reservation {
        kind: ReservationKind::Static,
        role: role(to),
        principal: None,
        labels: Vec::new(),
    };
    let special = Special { reservations: vec![reservation], ..Special::default() };
    let flavor = Flavor::new(false, special);
    [flavored("cpus", cpus, flavor.clone()), flavored("mem", mem, flavor)].into_iter().collect()
}

/// Offers that stand: role, agent, cpus.
fn offers(c: &Cluster) -> Vec<(String, String, u64)> {
    let text = |offer: &crate::offer::OfferRecord| {
        let agent = c.master.agents[offer.agent].id.as_str().to_owned();
        (offer.role.as_str().to_owned(), agent, offer.resources.cpus() / 1000)
    };
    c.master.offers.values().map(text).collect()
}

fn cpus_of(c: &Cluster, name: &str) -> u64 {
    offers(c).iter().filter(|(role, ..)| role == name).map(|(.., cpus)| cpus).sum()
}

fn framework(c: &mut Cluster, name: &str) -> FrameworkSide {
    c.framework_from(framework_info(name, &[name], &[]))
}

#[test]
fn quota_provides_guarantee() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    c.quota(&[("q", "cpus:2;mem:1024", "")]);
    c.agent(cpus_mem(1, 512));
    c.agent(cpus_mem(1, 512));
    assert_eq!(offers(&c), [], "all of it is kept");
    framework(&mut c, "q");
    assert_eq!(cpus_of(&c, "q"), 2);
    c.agent(cpus_mem(1, 512));
    assert_eq!(cpus_of(&c, "other"), 1, "what is more is free for all");
}

#[test]
fn quota_provides_limit() {
    let mut c = Cluster::default();
    framework(&mut c, "q");
    c.quota(&[("q", "", "cpus:2;mem:1024")]);
    for _ in 0..3 {
        c.agent(cpus_mem(1, 512));
    }
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn limits_hold_at_every_role_above() {
    for limited in ["a", "a/b", "a/b/c"] {
        let mut c = Cluster::default();
        c.quota(&[(limited, "", "cpus:3;mem:300")]);
        framework(&mut c, "a/b/c");
        for _ in 0..5 {
            c.agent(cpus_mem(1, 100));
        }
        assert_eq!(cpus_of(&c, "a/b/c"), 3, "limited at {limited}");
    }
}

#[test]
fn siblings_share_the_limit_above() {
    let mut c = Cluster::default();
    c.quota(&[("a", "", "cpus:4;mem:400")]);
    framework(&mut c, "a/x");
    framework(&mut c, "a/y");
    for _ in 0..6 {
        c.agent(cpus_mem(1, 100));
    }
    assert_eq!((cpus_of(&c, "a/x"), cpus_of(&c, "a/y")), (2, 2));
}

#[test]
fn remove_quota() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    c.quota(&[("q", "cpus:2;mem:1024", "")]);
    c.agent(cpus_mem(2, 1024));
    assert_eq!(offers(&c), []);
    c.quota(&[("q", "", "")]);
    assert_eq!(cpus_of(&c, "other"), 2, "at once");
    assert!(c.master.registry().quotas().is_empty());
}

#[test]
fn multiple_frameworks_in_role_with_quota() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:4;mem:400", "cpus:4;mem:400")]);
    framework(&mut c, "q");
    framework(&mut c, "q");
    framework(&mut c, "other");
    for _ in 0..6 {
        c.agent(cpus_mem(1, 100));
    }
    assert_eq!((cpus_of(&c, "q"), cpus_of(&c, "other")), (4, 2));
    let each: Vec<usize> = c.master.frameworks.iter().map(|(_, f)| f.offers.len()).collect();
    assert_eq!(each, [2, 2, 2]);
}

#[test]
fn quota_allocation_granularity() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:1;mem:100", "cpus:1;mem:100")]);
    framework(&mut c, "q");
    c.agent(cpus_mem(4, 400));
    assert_eq!(offers(&c), [("q".to_owned(), "m-S0".to_owned(), 1)], "an agent is divided");
    framework(&mut c, "other");
    assert_eq!(cpus_of(&c, "other"), 3);
}

#[test]
fn quota_allocation_granularity_unchoppable_resource() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:1;mem:100;disk:100", "cpus:1;mem:100;disk:100")]);
    framework(&mut c, "q");
    let source = DiskSource::new(DiskKind::Mount, "/mnt");
    let disk = Disk { source: Some(source), ..Disk::default() };
    let flavor = Flavor::new(false, Special { disk: Some(disk), ..Special::default() });
    let mut all = cpus_mem(2, 200);
    all.add_piece(flavored("disk", 200, flavor));
    c.agent(all);
    let resources: Vec<String> =
        c.master.offers.values().map(|offer| offer.resources.to_string()).collect();
    assert_eq!(resources, ["cpus:1; mem:100"], "a mounted disk is offered whole or not at all");
}

#[test]
fn quota_role_allocate_non_quota_resource() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:1", "cpus:1")]);
    framework(&mut c, "q");
    c.agent(cpus_mem(1, 512));
    let mem: u64 = c.master.offers.values().map(|offer| offer.resources.mem()).sum();
    assert_eq!(mem, 512_000, "a name without a limit has none");
}

#[test]
fn quota_against_starvation() {
    let mut c = Cluster::default();
    let other = framework(&mut c, "other");
    framework(&mut c, "q");
    let agent = c.agent(cpus_mem(2, 200));
    c.agent(cpus_mem(2, 200));
    let offer = c.master.offers.values().find(|offer| offer.role == role("other")).unwrap();
    let (offer, agent_id) = (offer.id.clone(), c.master.agents[offer.agent].id.clone());
    let task = task_info("t", agent_id.as_str(), cpus_mem(2, 200));
    c.launch(&other, &[offer.as_str()], vec![task]);
    c.quota(&[("q", "cpus:4;mem:400", "")]);
    assert_eq!(cpus_of(&c, "q"), 2);
    // What ends goes to the role that was promised it, though the other one has less.
    c.update(&agent, &other, "t", TaskState::Finished, 1);
    assert_eq!((cpus_of(&c, "q"), cpus_of(&c, "other")), (4, 0));
}

#[test]
fn quota_absent_framework_whole_agent() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    framework(&mut c, "other");
    c.agent(cpus_mem(2, 200));
    c.agent(cpus_mem(2, 200));
    let left: Vec<u64> = offers(&c).iter().map(|(.., cpus)| *cpus).collect();
    assert_eq!(left, [2], "one whole agent is kept, the other is free for all");
}

#[test]
fn multi_quota_absent_frameworks() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:1;mem:100", ""), ("r", "cpus:1;mem:100", "")]);
    framework(&mut c, "other");
    c.agent(cpus_mem(2, 200));
    assert_eq!(offers(&c), []);
    c.agent(cpus_mem(2, 200));
    assert_eq!(cpus_of(&c, "other"), 2);
}

#[test]
fn multi_quota_with_frameworks() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", ""), ("r", "cpus:2;mem:200", "")]);
    framework(&mut c, "q");
    framework(&mut c, "r");
    for _ in 0..4 {
        c.agent(cpus_mem(1, 100));
    }
    assert_eq!((cpus_of(&c, "q"), cpus_of(&c, "r")), (2, 2));
}

#[test]
fn reservation_within_quota() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "cpus:2;mem:200")]);
    framework(&mut c, "q");
    c.agent(cpus_mem(4, 400).plus(&reserved(1, 100, "q")));
    // The reservation is offered, and one cpu besides.
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn quota_set_aside_reserved_resources() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    // What is reserved to another role is none of the guarantee's.
    c.agent(reserved(4, 400, "r"));
    c.agent(cpus_mem(2, 200));
    assert_eq!(offers(&c), []);
}

#[test]
fn quota_headroom_when_reservations_exceed_quota() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    c.agent(reserved(4, 400, "q"));
    c.agent(cpus_mem(2, 200));
    assert_eq!(cpus_of(&c, "other"), 2, "nothing lacks");
}

#[test]
fn quota_with_ancestor_reservations() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    framework(&mut c, "other");
    // Reserved to the role above: it consumes that role's quota, and frameworks below get it.
    c.agent(reserved(2, 200, "q"));
    c.agent(cpus_mem(1, 100));
    assert_eq!(cpus_of(&c, "other"), 1);
    framework(&mut c, "q/below");
    assert_eq!(cpus_of(&c, "q/below"), 2);
}

#[test]
fn quota_with_nested_role_reservation() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    framework(&mut c, "other");
    c.agent(reserved(2, 200, "q/below"));
    c.agent(cpus_mem(1, 100));
    assert_eq!(cpus_of(&c, "other"), 1, "what is reserved below is the role's");
}

#[test]
fn quota_with_nested_role_allocation() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "cpus:2;mem:200")]);
    framework(&mut c, "q/below");
    c.agent(cpus_mem(1, 100));
    framework(&mut c, "q");
    c.agent(cpus_mem(2, 200));
    // Both together have what is guaranteed to q, and no more.
    assert_eq!(cpus_of(&c, "q/below") + cpus_of(&c, "q"), 2);
}

#[test]
fn quota_headroom_with_nested_role_allocation() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "")]);
    framework(&mut c, "q/below");
    c.agent(cpus_mem(1, 100));
    assert_eq!(cpus_of(&c, "q/below"), 1);
    c.call(&FrameworkSide { ..side(&c, "q/below") }, CallBody::Suppress { roles: vec![] });
    framework(&mut c, "other");
    c.agent(cpus_mem(1, 100));
    assert_eq!(cpus_of(&c, "other"), 0, "one is still kept");
    c.agent(cpus_mem(1, 100));
    assert_eq!(cpus_of(&c, "other"), 1);
}

fn side(c: &Cluster, name: &str) -> FrameworkSide {
    let (_, found) = c.master.frameworks.iter().find(|(_, f)| &*f.info.name == name).unwrap();
    FrameworkSide {
        id: found.id.clone(),
        connection: found.connection.unwrap(),
        info: proto::FrameworkInfo::clone(&found.info),
    }
}

#[test]
fn a_guarantee_within_a_guarantee_is_kept_once() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    c.quota(&[("q", "cpus:3;mem:300", ""), ("q/a", "cpus:2;mem:200", "")]);
    for _ in 0..4 {
        c.agent(cpus_mem(1, 100));
    }
    assert_eq!(cpus_of(&c, "other"), 1, "three are kept, not five");
    // Of the three, two are for q/a: q/b is served with the third, and by fairness no more.
    framework(&mut c, "q/b");
    assert_eq!(cpus_of(&c, "q/b"), 1);
    framework(&mut c, "q/a");
    assert_eq!(cpus_of(&c, "q/a"), 2);
}

#[test]
fn what_a_role_frees_below_its_limit_is_offered_to_it_again() {
    let mut c = Cluster::default();
    c.quota(&[("q", "", "cpus:1;mem:100")]);
    let q = framework(&mut c, "q");
    let first = c.agent(cpus_mem(1, 100));
    c.agent(cpus_mem(1, 100));
    c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(1, 100))]);
    assert_eq!(offers(&c), []);
    c.close_agent(&first);
    c.advance_alive(Duration::from_secs(6));
    // Its task is gone with its agent: the other agent was refused for the limit, and no longer is.
    assert_eq!(cpus_of(&c, "q"), 1);
}

#[test]
fn rescind_offers_enforcing_limits() {
    let mut c = Cluster::default();
    framework(&mut c, "q/below");
    for _ in 0..3 {
        c.agent(cpus_mem(1, 100));
    }
    let lines = c.set_quota(&[("q", "", "cpus:1;mem:100")], false);
    assert_eq!(lines.iter().filter(|line| line.contains("RESCIND")).count(), 2, "{lines:?}");
    assert_eq!(cpus_of(&c, "q/below"), 1);
}

#[test]
fn rescind_offers_for_update_quota_guarantees() {
    let mut c = Cluster::default();
    framework(&mut c, "other");
    for _ in 0..3 {
        c.agent(cpus_mem(1, 100));
    }
    let lines = c.set_quota(&[("q", "cpus:2;mem:200", "")], false);
    assert_eq!(lines.iter().filter(|line| line.contains("RESCIND")).count(), 2, "{lines:?}");
    assert_eq!(cpus_of(&c, "other"), 1);
}

#[test]
fn validate_limit_against_consumed() {
    let mut c = Cluster::default();
    let q = framework(&mut c, "q");
    c.agent(cpus_mem(4, 400));
    c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(4, 400))]);
    let lines = c.set_quota(&[("q", "", "cpus:2")], false);
    let refused = "UPDATE_QUOTA refused (400): the quota of role 'q' limits cpus to 2, and 4 is in \
                   use; set it with force all the same";
    expect(&lines, &[refused]);
    c.quota(&[("q", "", "cpus:2")]);
}

#[test]
fn update_quota_too_large() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 400));
    let lines = c.set_quota(&[("q", "cpus:5", "")], false);
    assert!(lines[0].contains("of which the cluster has 4"), "{lines:?}");
    assert!(c.master.registry().quotas().is_empty());
}

#[test]
fn update_quota_multiple_roles_is_all_or_nothing() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 400));
    let lines = c.set_quota(&[("q", "cpus:1", ""), ("r", "cpus:3", "cpus:2")], false);
    assert!(lines[0].contains("'r' guarantees cpus:3, more than its limit 2"), "{lines:?}");
    assert!(c.master.registry().quotas().is_empty());
    let lines = c.set_quota(&[("q", "cpus:1", ""), ("q", "cpus:1", "")], false);
    assert!(lines[0].contains("is given twice"), "{lines:?}");
    let lines = c.set_quota(&[("*", "cpus:1", "")], true);
    assert!(lines[0].contains("everybody's"), "{lines:?}");
    let lines = c.set_quota(&[("q", "cpus:1", ""), ("q/x", "cpus:2", "")], true);
    assert!(lines[0].contains("less than the roles below it together (2)"), "{lines:?}");
    let lines = c.set_quota(&[("q", "", "cpus:1"), ("q/x", "", "cpus:2")], true);
    assert!(lines[0].contains("less than that of role 'q/x' (2)"), "{lines:?}");
}

#[test]
fn quotas_survive_the_master() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:200", "cpus:3")]);
    c.restart_master();
    framework(&mut c, "other");
    c.agent(cpus_mem(2, 200));
    assert_eq!(offers(&c), []);
}

#[test]
fn framework_min_allocatable() {
    let mut c = Cluster::default();
    let mut info = framework_info("f", &["r"], &[]);
    info.min_allocatable.insert(role("r"), vec![quota("cpus:4", "").guarantees]);
    c.framework_from(info);
    c.agent(cpus_mem(2, 1024));
    assert_eq!(offers(&c), []);
    c.agent(cpus_mem(4, 64));
    assert_eq!(cpus_of(&c, "r"), 4);
}

#[test]
fn framework_empty_min_allocatable() {
    let mut c = Cluster::default();
    c.framework_from(framework_info("g", &["other"], &[]));
    c.agent(Resources::scalars([("disk", 10_000)]));
    assert_eq!(c.master.offers.len(), 0, "too small by the master's own minimum");
    let mut info = framework_info("f", &["r"], &[]);
    info.min_allocatable.insert(role("r"), Vec::new());
    c.framework_from(info);
    let roles: Vec<_> = c.master.offers.values().map(|offer| offer.role.clone()).collect();
    assert_eq!(roles, [role("r")]);
}

#[test]
fn agents_of_other_regions_are_for_those_who_are_aware() {
    let domain = |region: &str| Some(Domain { region: Arc::from(region), zone: Arc::from("z") });
    let mut c = Cluster::new(Options { domain: domain("here"), ..Options::default() });
    framework(&mut c, "local");
    let mut info = agent_info("far", cpus_mem(1, 100));
    info.domain = domain("there");
    c.agent_from(info);
    assert_eq!(offers(&c), []);
    c.framework_from(framework_info("aware", &["aware"], &[Capability::RegionAware]));
    assert_eq!(cpus_of(&c, "aware"), 1);
}

#[test]
fn revocable_resources_are_for_those_who_take_them() {
    let mut c = Cluster::default();
    framework(&mut c, "plain");
    let mut all = cpus_mem(1, 100);
    all.add_piece(flavored("cpus", 2, Flavor { revocable: true, special: None }));
    c.agent(all);
    assert_eq!(cpus_of(&c, "plain"), 1);
    let takes = &[Capability::RevocableResources];
    c.framework_from(framework_info("revocable", &["revocable"], takes));
    assert_eq!(cpus_of(&c, "revocable"), 2);
}

#[test]
fn an_unknown_quota_is_answered_once() {
    let mut c = Cluster::default();
    let quotas = vec![(role("q"), quota("cpus:1", ""))];
    c.feed(Input::SetQuota { request: RequestId(7), quotas, force: true });
    let answers = |effect: &&Effect| matches!(effect, Effect::Answer { .. });
    assert_eq!(c.effects.iter().filter(answers).count(), 1);
    assert!(
        !c.effects.iter().any(|effect| {
            matches!(effect, Effect::ToFramework { event: Event::Offers(_), .. })
        })
    );
}

#[test]
fn room_below_a_limit_serves_a_guarantee_that_it_kept_from_being_served() {
    let mut c = Cluster::default();
    let b = framework(&mut c, "p/b");
    let cpus = |count| cpus_mem(count, 0);
    let first = c.agent(cpus(1));
    c.agent(cpus(3));
    c.launch(&b, &["m-O0"], vec![task_info("t", "m-S0", cpus(1))]);
    c.launch(&b, &["m-O1"], vec![task_info("u", "m-S1", cpus(3))]);
    framework(&mut c, "p/g");
    c.quota(&[("p", "cpus:2", "cpus:4"), ("p/g", "cpus:2", ""), ("h", "cpus:1000", "")]);
    c.agent(cpus(8));
    assert_eq!(offers(&c), [], "there is no room, and all is kept");
    // What ends there is free for nobody.
    c.order(crate::Order::DeactivateAgent(first.id.clone()));
    c.update(&first, &b, "t", TaskState::Finished, 1);
    assert_eq!(cpus_of(&c, "p/g"), 1);
}
