//! Packing and spreading.

use fenzo::{Fitness, Lease, Milli, Resources};

use crate::scenarios::{assign, class, consumed, hosts, lease, run, scheduler, tasks};

#[test]
fn test_cpu_bin_packing_1() {
    let mut scheduler = scheduler(Fitness::cpu_packer());
    let offer = lease("l2", "h2", 4, 100);
    let first = run(
        &mut scheduler,
        &tasks("a", 1, class(1, 1)),
        vec![offer.clone(), lease("l1", "h1", 4, 100)],
    );
    assert_eq!(hosts(&first), ["h1"], "a tie goes to the smaller name");
    let rest = consumed("l3", &lease("l1", "h1", 4, 100), &first.assignments[0]);
    let second = run(&mut scheduler, &tasks("b", 1, class(1, 1)), vec![rest]);
    assert_eq!(hosts(&second), ["h1"]);
}

#[test]
fn test_cpu_bin_packing_2() {
    let mut scheduler = scheduler(Fitness::cpu_packer());
    for (task, host) in tasks("one", 1, class(1, 1)).iter().zip(["h1"]) {
        scheduler.task_assigned(task, &host.into());
    }
    for (task, host) in tasks("two", 1, class(2, 1)).iter().zip(["h2"]) {
        scheduler.task_assigned(task, &host.into());
    }
    let leases = vec![lease("l1", "h1", 3, 100), lease("l2", "h2", 2, 100)];
    assert_eq!(hosts(&run(&mut scheduler, &tasks("new", 1, class(1, 1)), leases)), ["h2"]);
}

#[test]
fn a_finished_task_no_longer_counts_for_packing() {
    let mut scheduler = scheduler(Fitness::cpu_packer());
    let task = &tasks("old", 1, class(2, 1))[0];
    assert_eq!(scheduler.task_assigned(task, &"h2".into()), None);
    assert_eq!(scheduler.running_on(&task.id), Some(&"h2".into()));
    assert!(!scheduler.task_unassigned(&task.id, &"h1".into()), "it does not run there");
    assert!(scheduler.task_unassigned(&task.id, &"h2".into()));
    assert!(!scheduler.task_unassigned(&task.id, &"h2".into()));
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h2", 4, 100)];
    assert_eq!(hosts(&run(&mut scheduler, &tasks("new", 1, class(1, 1)), leases)), ["h1"]);
}

#[test]
fn of_two_running_tasks_the_one_that_stays_counts() {
    let mut scheduler = scheduler(Fitness::cpu_packer());
    let (big, small) = (&tasks("big", 1, class(8, 1))[0], &tasks("small", 1, class(1, 1))[0]);
    scheduler.task_assigned(big, &"h2".into());
    scheduler.task_assigned(small, &"h2".into());
    scheduler.task_assigned(&tasks("other", 1, class(2, 1))[0], &"h1".into());
    assert!(scheduler.task_unassigned(&big.id, &"h2".into()));
    let leases = vec![lease("l1", "h1", 2, 100), lease("l2", "h2", 3, 100)];
    assert_eq!(hosts(&run(&mut scheduler, &tasks("new", 1, class(1, 1)), leases)), ["h1"]);
}

fn sizes(big: Resources, small: &Resources) -> Vec<Lease> {
    let mut leases = Vec::new();
    for host in 0..10 {
        leases.push(Lease::new(format!("b{host}"), format!("big{host}"), big.clone()));
        leases.push(Lease::new(format!("s{host}"), format!("small{host}"), small.clone()));
    }
    leases
}

#[test]
fn test_cpu_memory_and_network_bin_packing_with_several_hosts() {
    let resources = |n: u64| Resources { network: Milli::whole(n), ..Resources::cpus_mem(n, n) };
    for fitness in [Fitness::cpu_packer(), Fitness::memory_packer(), Fitness::network_packer()] {
        let requests = tasks("t", 41, fenzo::TaskClass::new("g", resources(1)));
        let result = run(&mut scheduler(fitness), &requests, sizes(resources(8), &resources(4)));
        let used = hosts(&result);
        let small = used.iter().filter(|host| host.starts_with("small")).count();
        assert_eq!((used.len(), small), (11, 10), "{used:?}");
    }
}

#[test]
fn test_memory_bin_packing_2() {
    // Many cpus and little memory: memory decides.
    let leases = sizes(Resources::cpus_mem(4, 100), &Resources::cpus_mem(40, 50));
    let result =
        run(&mut scheduler(Fitness::memory_packer()), &tasks("t", 21, class(1, 25)), leases);
    let used = hosts(&result);
    assert_eq!(
        (used.len(), used.iter().filter(|host| host.starts_with("small")).count()),
        (11, 10)
    );
}

#[test]
fn test_asgs_of_two_types() {
    let mut scheduler = scheduler(Fitness::cpu_memory_packer());
    let mut leases: Vec<Lease> =
        (0..3).map(|h| lease(&format!("l{h}"), &format!("host{h}"), 8, 100)).collect();
    leases.push(lease("big", "bighost", 16, 100));
    let mut requests = tasks("small", 1, class(1, 1));
    requests.extend(tasks("large", 1, class(16, 1)));
    let result = run(&mut scheduler, &requests, leases);
    assert_eq!(result.failures, []);
    assert_eq!(result.host_of(&requests[0].id).unwrap().as_str(), "host0");
    assert_eq!(result.host_of(&requests[1].id).unwrap().as_str(), "bighost");
}

#[test]
fn test_spreaders_use_every_host_once() {
    let resources = |n: u64| Resources { network: Milli::whole(n), ..Resources::cpus_mem(n, n) };
    let spreaders = [
        Fitness::cpu_spreader(),
        Fitness::memory_spreader(),
        Fitness::network_spreader(),
        Fitness::cpu_memory_spreader(),
    ];
    for fitness in spreaders {
        let leases =
            (0..10).map(|h| Lease::new(format!("l{h}"), format!("h{h}"), resources(4))).collect();
        let requests = tasks("t", 10, fenzo::TaskClass::new("g", resources(1)));
        let mut scheduler = scheduler(fitness);
        let result = run(&mut scheduler, &requests, leases);
        assert_eq!(result.assignments.len(), 10);
        assign(&mut scheduler, &result);
    }
}

#[test]
fn a_spreader_fills_a_host_to_the_last_cpu_if_there_is_no_other() {
    let result = run(
        &mut scheduler(Fitness::cpu_spreader()),
        &tasks("t", 4, class(1, 1)),
        vec![lease("l", "h", 4, 100)],
    );
    assert_eq!(result.placed(), 4, "fitness 0 is no refusal");
    assert!(result.assignments[0].tasks[3].score.combined.abs() < f64::EPSILON);
}

#[test]
fn a_measure_of_which_a_host_has_nothing_counts_as_zero() {
    let leases = vec![lease("l1", "h1", 4, 0), lease("l2", "h2", 4, 0)];
    let result =
        run(&mut scheduler(Fitness::network_packer()), &tasks("t", 2, class(1, 0)), leases);
    assert_eq!((hosts(&result), result.placed()), (vec!["h1"], 2));
}
