//! Room, leases and their life: the basic, scalar and rejection scenarios.

use std::collections::BTreeSet;
use std::time::Duration;

use fenzo::{
    Fitness, Lease, LeaseProblem, Milli, Obstacle, PortRange, Reason, Resource, Resources,
    TaskScheduler, Time,
};

use crate::scenarios::{
    assign, class, consumed, host, hosts, lease, run, scheduler, tasks, thousandths,
};

#[test]
fn test_scheduler_1() {
    let mut requests = tasks("a", 1, class(1, 10));
    requests.extend(tasks("b", 1, class(2, 10)));
    requests.extend(tasks("c", 1, class(1, 10)));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![lease("l", "h", 4, 100)]);
    assert_eq!((result.placed(), hosts(&result)), (3, vec!["h"]));
    assert_eq!(result.assignments[0].leases.len(), 1);
}

#[test]
fn test_insufficient_cpus() {
    let requests = tasks("t", 1, class(5, 10));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![lease("l", "a1", 4, 100)]);
    assert_eq!(result.placed(), 0);
    let why = result.why(&requests[0].id).unwrap();
    assert_eq!(why.reasons[&Reason::Lacks(Resource::Cpus)], 1);
    assert_eq!(why.nearest.as_ref().unwrap().to_string(), "host a1: wanted 5 cpus, 4 free");
}

#[test]
fn test_insufficient_cpus_2() {
    let mut requests = tasks("two", 2, class(2, 10));
    requests.extend(tasks("one", 1, class(1, 10)));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![lease("l", "h", 4, 100)]);
    assert_eq!((result.placed(), result.failed()), (2, 1));
}

#[test]
fn test_insufficient_memory_disk_and_network() {
    let offered = Resources {
        disk: Milli::whole(1000),
        network: Milli::whole(1024),
        ..Resources::cpus_mem(40, 100)
    };
    let placed = |demand: Resources| {
        let class = fenzo::TaskClass::new("g", demand);
        let leases = vec![Lease::new("l", "h", offered.clone())];
        run(&mut scheduler(Fitness::Any), &tasks("t", 3, class), leases).placed()
    };
    assert_eq!(placed(Resources::cpus_mem(1, 95)), 1);
    assert_eq!(placed(Resources { disk: Milli::whole(800), ..Resources::cpus_mem(1, 1) }), 1);
    assert_eq!(placed(Resources { network: Milli::whole(512), ..Resources::cpus_mem(1, 1) }), 2);
}

#[test]
fn test_insufficient_ports() {
    let requests = tasks("t", 3, class(1, 10).with_ports(6));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![lease("l", "h", 4, 100)]);
    assert_eq!(result.placed(), 1);
    let why = &result.failures[0].explanation;
    let lacks = Obstacle::Lacks {
        resource: Resource::Ports,
        wanted: Milli::whole(6),
        free: Milli::whole(4),
    };
    assert_eq!(why.nearest.as_ref().unwrap().obstacles, [lacks]);
}

#[test]
fn test_ports_used_across_ranges() {
    let mut offer = lease("l", "h", 4, 100);
    offer.ports = vec![PortRange::new(1, 4).unwrap(), PortRange::new(6, 10).unwrap()];
    let result =
        run(&mut scheduler(Fitness::Any), &tasks("t", 1, class(1, 1).with_ports(6)), vec![offer]);
    assert_eq!(result.assignments[0].tasks[0].ports, [1, 2, 3, 4, 6, 7]);
}

#[test]
fn test_repeated_ports_usage() {
    let mut scheduler = scheduler(Fitness::Any);
    let mut offer = lease("l", "h", 20, 100);
    let mut seen = BTreeSet::new();
    for round in 0..5 {
        let requests = tasks(&format!("t{round}-"), 1, class(1, 1).with_ports(2));
        let result = run(&mut scheduler, &requests, vec![offer.clone()]);
        seen.extend(result.assignments[0].tasks[0].ports.iter().copied());
        assign(&mut scheduler, &result);
        offer = consumed(&format!("l{round}"), &offer, &result.assignments[0]);
    }
    assert_eq!(seen, (1..=10).collect());
}

#[test]
fn test_multiple_offers_on_one_host() {
    let leases = vec![lease("l1", "h", 2, 20), lease("l2", "h", 2, 60)];
    let result = run(&mut scheduler(Fitness::Any), &tasks("t", 4, class(1, 40)), leases);
    assert_eq!((result.placed(), hosts(&result)), (2, vec!["h"]));
    assert_eq!(result.assignments[0].leases, ["l1".into(), "l2".into()]);
}

#[test]
fn a_port_that_two_leases_name_is_handed_out_once() {
    let leases = vec![lease("l1", "h", 2, 20), lease("l2", "h", 2, 20)];
    let requests = tasks("t", 4, class(1, 1).with_ports(4));
    assert_eq!(run(&mut scheduler(Fitness::Any), &requests, leases).placed(), 2);
}

#[test]
fn test_multiple_hosts_and_tasks() {
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h2", 4, 100)];
    let result = run(&mut scheduler(Fitness::Any), &tasks("t", 8, class(1, 1)), leases);
    let counts: Vec<usize> = result.assignments.iter().map(|host| host.tasks.len()).collect();
    assert_eq!(counts, [4, 4]);
}

#[test]
fn test_offer_reuse() {
    let mut scheduler = scheduler(Fitness::Any);
    let leases = vec![lease("l1", "h1", 4, 100)];
    assert_eq!(run(&mut scheduler, &tasks("big", 1, class(5, 1)), leases).placed(), 0);
    assert_eq!(scheduler.leases_held(), 1);
    assert_eq!(run(&mut scheduler, &tasks("fits", 1, class(4, 1)), vec![]).placed(), 1);
    assert_eq!(scheduler.leases_held(), 0);
}

#[test]
fn test_offer_expiry() {
    let mut scheduler =
        TaskScheduler::builder().lease_expiry(Duration::from_secs(10)).build().unwrap();
    let offer =
        |id: &str, host: &str, at| lease(id, host, 4, 100).with_offered_at(Time::from_secs(at));
    let offers = vec![offer("young", "h1", 5), offer("old", "h2", 1)];
    let result = scheduler.schedule_once(Time::from_secs(6), &[], offers);
    assert_eq!(result.expired, []);
    assert_eq!(scheduler.next_expiry(), Some(Time::from_secs(11)));
    // What is used at the last moment does not expire.
    let result = scheduler.schedule_once(Time::from_secs(11), &tasks("t", 1, class(1, 1)), vec![]);
    assert_eq!((hosts(&result), &result.expired), (vec!["h1"], &vec!["old".into()]));
    assert_eq!((scheduler.leases_held(), scheduler.next_expiry()), (0, None));
}

#[test]
fn test_vm_cleanup_at_beginning() {
    let mut scheduler = scheduler(Fitness::Any);
    run(&mut scheduler, &[], vec![lease("l1", "h", 4, 100), lease("l2", "h", 4, 100)]);
    assert_eq!(scheduler.expire_host(&host("h")), ["l1".into(), "l2".into()]);
    let requests = tasks("t", 1, class(1, 1));
    let result = run(&mut scheduler, &requests, vec![]);
    assert_eq!(result.failures[0].explanation.to_string(), "no host offers anything");
    let result = run(&mut scheduler, &requests, vec![lease("l3", "h", 4, 100)]);
    assert_eq!(result.assignments[0].leases, ["l3".into()]);
}

#[test]
fn test_expiry_of_lease() {
    let mut scheduler = scheduler(Fitness::Any);
    run(&mut scheduler, &[], vec![lease("l1", "h", 4, 100), lease("l2", "h", 4, 100)]);
    assert!(scheduler.expire_lease(&"l1".into()));
    assert!(!scheduler.expire_lease(&"l1".into()), "a lease is dropped once");
    let result = run(&mut scheduler, &tasks("t", 8, class(1, 1)), vec![]);
    assert_eq!((result.placed(), &result.assignments[0].leases), (4, &vec!["l2".into()]));
}

#[test]
fn expire_all_gives_every_lease_back_oldest_first() {
    let mut scheduler = scheduler(Fitness::Any);
    let offer = |id: &str, at| lease(id, "h", 4, 100).with_offered_at(Time::from_secs(at));
    run(&mut scheduler, &[], vec![offer("b", 2), offer("c", 3), offer("a", 3)]);
    assert_eq!(scheduler.expire_all(), ["b".into(), "a".into(), "c".into()]);
    assert_eq!(scheduler.leases_held(), 0);
}

#[test]
fn a_second_lease_of_one_id_is_ignored_and_said_so() {
    let mut scheduler = scheduler(Fitness::Any);
    let leases = vec![lease("l", "h1", 1, 100), lease("l", "h2", 4, 100)];
    let result = run(&mut scheduler, &tasks("t", 2, class(1, 1)), leases);
    assert_eq!((result.placed(), hosts(&result)), (1, vec!["h1"]));
    assert_eq!(result.ignored, [("l".into(), LeaseProblem::Held)]);
}

#[test]
fn test_insufficient_scalar_resources() {
    let gpus = |host: &str, gpus: u64, foo: u64| {
        let mut lease = lease(host, host, 10, 100);
        lease.offered.scalars.insert("gpus".into(), Milli::whole(gpus));
        lease.offered.scalars.insert("foo".into(), Milli::whole(foo));
        lease
    };
    let wants = |gpus: u64, foo: u64| {
        let mut class = class(1, 1);
        class.demand.scalars.insert("gpus".into(), Milli::whole(gpus));
        class.demand.scalars.insert("foo".into(), Milli::whole(foo));
        class
    };
    let placed = |count, class, leases| {
        let result = run(&mut scheduler(Fitness::Any), &tasks("t", count, class), leases);
        let lacks: Vec<Reason> =
            result.failures.iter().flat_map(|f| f.explanation.reasons.keys().cloned()).collect();
        (result.placed(), result.failed(), lacks)
    };
    let lacks = |name: &str| Reason::Lacks(Resource::Scalar(name.into()));
    assert_eq!(placed(1, wants(5, 0), vec![gpus("h", 4, 0)]), (0, 1, vec![lacks("gpus")]));
    assert_eq!(placed(5, wants(1, 0), vec![gpus("h", 4, 0)]), (4, 1, vec![lacks("gpus")]));
    let two = || vec![gpus("h1", 4, 2), gpus("h2", 4, 2)];
    assert_eq!(placed(8, wants(1, 0), two()), (8, 0, vec![]));
    assert_eq!(placed(8, wants(1, 1), two()), (4, 4, vec![lacks("foo")]));
    assert_eq!(placed(1, wants(1, 0), vec![lease("l", "h", 4, 4)]), (0, 1, vec![lacks("gpus")]));
}

#[test]
fn thousandths_add_up_exactly() {
    let tenth = Resources { cpus: thousandths(100), ..Resources::default() };
    let requests = tasks("t", 11, fenzo::TaskClass::new("g", tenth));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![lease("l", "h", 1, 1)]);
    assert_eq!((result.placed(), result.failed()), (10, 1));
}

#[test]
fn failures_take_room_for_classes_and_not_for_tasks_times_hosts() {
    let leases = (0..50).map(|h| lease(&format!("l{h}"), &format!("h{h}"), 4, 100)).collect();
    let result = run(&mut scheduler(Fitness::cpu_packer()), &tasks("t", 5000, class(5, 1)), leases);
    assert_eq!((result.failures.len(), result.failed()), (1, 5000));
    assert_eq!(result.evaluations, 0, "no host is looked at when what is free says enough");
    assert_eq!(result.failures[0].explanation.reasons[&Reason::Lacks(Resource::Cpus)], 50);
}

#[test]
fn test_multiport_job() {
    let result = run(
        &mut scheduler(Fitness::Any),
        &tasks("t", 2, class(1, 10).with_ports(3)),
        vec![lease("l", "h", 4, 100)],
    );
    assert_eq!((result.placed(), result.assignments.len()), (2, 1));
}

#[test]
fn test_multiport_job_2() {
    let mut scheduler = scheduler(Fitness::Any);
    let first = lease("l1", "h", 4, 100);
    let requests = tasks("t", 1, class(1, 10).with_ports(3));
    let result = run(&mut scheduler, &requests, vec![first.clone()]);
    let left = consumed("l2", &first, &result.assignments[0]);
    let requests = tasks("u", 1, class(1, 10).with_ports(3));
    let again = run(&mut scheduler, &requests, vec![left]);
    let ports = |result: &fenzo::SchedulingResult| result.assignments[0].tasks[0].ports.clone();
    assert_eq!((ports(&result).len(), ports(&again).len()), (3, 3));
    assert!(ports(&again).iter().all(|port| !ports(&result).contains(port)));
}

#[test]
fn test_port_allocation() {
    let mut scheduler = scheduler(Fitness::Any);
    let requests = tasks("t", 1, class(1, 10).with_ports(1));
    let first = run(&mut scheduler, &requests, vec![lease("l1", "h", 4, 100)]);
    let mut after = lease("l2", "h", 3, 90);
    after.ports = vec![PortRange::new(2, 10).unwrap()];
    let requests = tasks("u", 1, class(1, 10).with_ports(1));
    let second = run(&mut scheduler, &requests, vec![after]);
    assert_eq!(first.assignments[0].tasks[0].ports, [1]);
    assert_eq!(second.assignments[0].tasks[0].ports, [2]);
}
