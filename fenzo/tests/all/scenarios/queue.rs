//! Tiers, buckets and shares of the queue, and the loop that runs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fenzo::{
    Lease, Problem, QueueError, QueuedTask, Reason, Resources, SchedulingResult, SchedulingService,
    ServiceOptions, TaskClass, TaskQueue, TaskRequest, TaskScheduler, TaskState, TierSla, Time,
};

fn units(count: u64) -> Resources {
    Resources::cpus_mem(count, count * 100)
}

fn task(id: String, demand: Resources) -> TaskRequest {
    TaskRequest::new(id, &Arc::new(TaskClass::new("g", demand)))
}

/// Queues tasks of one unit in a bucket; names go on from those that were queued before.
fn fill(queue: &mut TaskQueue, tier: usize, bucket: &str, count: usize) {
    for _ in 0..count {
        let id = format!("{bucket}{}-{}", tier, queue.tasks().count());
        queue.queue(QueuedTask::new(task(id, units(1)), tier, bucket)).unwrap();
    }
}

fn note(queue: &mut TaskQueue, bucket: &str, demand: Resources) {
    let id = format!("{bucket}-{}", queue.tasks().count());
    queue.note_running(QueuedTask::new(task(id, demand), 0, bucket)).unwrap();
}

/// Offers hosts of `units` units each, once.
fn schedule(queue: &mut TaskQueue, hosts: &[u64]) -> SchedulingResult {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let lease =
        |(n, size): (usize, &u64)| Lease::new(format!("l{n}"), format!("h{n}"), units(*size));
    let leases: Vec<Lease> = hosts.iter().enumerate().map(lease).collect();
    scheduler.schedule_queue(Time::ZERO, queue, leases)
}

fn by_bucket(result: &SchedulingResult) -> BTreeMap<char, usize> {
    let mut counts = BTreeMap::new();
    for placed in result.assignments.iter().flat_map(|assignment| &assignment.tasks) {
        *counts.entry(placed.request.id.as_str().chars().next().unwrap()).or_default() += 1;
    }
    counts
}

fn sla(guarantees: [(&str, u64); 3]) -> TierSla {
    guarantees
        .into_iter()
        .fold(TierSla::new(), |sla, (bucket, count)| sla.with_guarantee(bucket, units(count)))
}

#[test]
fn test_adding_tasks() {
    let mut queue = TaskQueue::tiered(3);
    for (tier, count) in [(0, 3), (1, 3), (2, 1)] {
        fill(&mut queue, tier, "A", count);
    }
    assert_eq!(schedule(&mut queue, &[10]).placed(), 7);
    assert!(queue.tasks().all(|(_, state)| state == TaskState::Launched));
    let again = QueuedTask::new(task("A0-0".into(), units(1)), 0, "A");
    assert_eq!(queue.queue(again.clone()), Err(QueueError::Duplicate("A0-0".into())));
    let nowhere = QueuedTask { tier: 3, ..again };
    assert_eq!(queue.queue(nowhere), Err(QueueError::NoSuchTier { tier: 3, tiers: 3 }));
}

#[test]
fn test_add_running_tasks() {
    let mut queue = TaskQueue::tiered(1);
    fill(&mut queue, 0, "A", 2);
    note(&mut queue, "A", units(1));
    assert_eq!((schedule(&mut queue, &[10]).placed(), queue.queued()), (2, 0));
}

#[test]
fn test_tier_slas() {
    let mut queue = TaskQueue::tiered(1);
    queue.set_sla(0, Some(sla([("A", 10), ("B", 20), ("C", 10)]))).unwrap();
    for bucket in ["A", "B", "C"] {
        fill(&mut queue, 0, bucket, 25);
    }
    let result = schedule(&mut queue, &[40]);
    assert_eq!(by_bucket(&result), [('A', 10), ('B', 20), ('C', 10)].into());
}

#[test]
fn test_tier_slas_2() {
    let mut queue = TaskQueue::tiered(1);
    queue.set_sla(0, Some(sla([("A", 10), ("B", 20), ("C", 10)]))).unwrap();
    for bucket in ["A", "B", "C"] {
        fill(&mut queue, 0, bucket, 50);
    }
    schedule(&mut queue, &[40]);
    queue.set_sla(0, Some(sla([("A", 20), ("B", 20), ("C", 40)]))).unwrap();
    let result = schedule(&mut queue, &[40]);
    assert_eq!(by_bucket(&result), [('A', 10), ('C', 30)].into());
}

#[test]
fn test_tier_slas_with_previously_running() {
    let mut queue = TaskQueue::tiered(1);
    queue.set_sla(0, Some(sla([("A", 10), ("B", 20), ("C", 10)]))).unwrap();
    note(&mut queue, "A", units(5));
    note(&mut queue, "C", units(3));
    for bucket in ["A", "B", "C"] {
        fill(&mut queue, 0, bucket, 25);
    }
    let result = schedule(&mut queue, &[32]);
    assert_eq!(by_bucket(&result), [('A', 5), ('B', 20), ('C', 7)].into());
}

#[test]
fn test_tier_slas_with_one_bucket_with_no_tasks() {
    let mut queue = TaskQueue::tiered(1);
    let of = sla([("A", 10), ("B", 0), ("C", 10)]).with_capacity(units(40));
    queue.set_sla(0, Some(of)).unwrap();
    for bucket in ["A", "C"] {
        fill(&mut queue, 0, bucket, 25);
    }
    let result = schedule(&mut queue, &[40]);
    assert_eq!(by_bucket(&result), [('A', 20), ('C', 20)].into());
}

fn tier() -> TaskQueue {
    let mut queue = TaskQueue::tiered(1);
    let of = sla([("A", 2), ("B", 4), ("U", 4)]).with_capacity(units(10));
    queue.set_sla(0, Some(of)).unwrap();
    queue
}

#[test]
fn test_task_are_launched_in_correct_order() {
    let mut queue = tier();
    fill(&mut queue, 0, "A", 2);
    fill(&mut queue, 0, "B", 5);
    let result = schedule(&mut queue, &[20]);
    assert_eq!(by_bucket(&result), [('A', 2), ('B', 4)].into());
    assert_eq!(result.failures[0].explanation.reasons[&Reason::KeptForOthers], 1);
}

#[test]
fn test_tasks_in_queue_without_sla_consume_remaining_capacity_only() {
    let mut queue = TaskQueue::tiered(1);
    let of = sla([("A", 2), ("B", 4), ("U", 4)]).with_capacity(units(12));
    queue.set_sla(0, Some(of)).unwrap();
    for (bucket, count) in [("E", 5), ("A", 2), ("B", 4)] {
        fill(&mut queue, 0, bucket, count);
    }
    let result = schedule(&mut queue, &[20]);
    assert_eq!(by_bucket(&result), [('A', 2), ('B', 4), ('E', 2)].into());
}

#[test]
fn test_removing_queue_with_guarantees_releases_its_resources() {
    let mut queue = tier();
    fill(&mut queue, 0, "E", 2);
    assert_eq!(schedule(&mut queue, &[20]).placed(), 0);
    let without = sla([("A", 2), ("B", 4), ("C", 0)]).with_capacity(units(10));
    queue.set_sla(0, Some(without)).unwrap();
    assert_eq!(schedule(&mut queue, &[20]).placed(), 2);
}

#[test]
fn test_effective_usage_is_the_greater_of_guarantee_and_use() {
    let has_room = |used: u64| {
        let mut queue = TaskQueue::tiered(1);
        let of = TierSla::new().with_guarantee("A", units(2)).with_capacity(units(2));
        queue.set_sla(0, Some(of)).unwrap();
        note(&mut queue, "A", units(used));
        fill(&mut queue, 0, "A", 1);
        schedule(&mut queue, &[20]).placed() == 1
    };
    assert_eq!([0, 1, 2, 3].map(has_room), [true, true, false, false]);
}

#[test]
fn test_order_by_share() {
    let mut queue = TaskQueue::tiered(1);
    for (bucket, used) in [("A", 15), ("B", 6), ("C", 11)] {
        note(&mut queue, bucket, units(used));
        fill(&mut queue, 0, bucket, 3);
    }
    let mut order = Vec::new();
    for _ in 0..9 {
        order.extend(by_bucket(&schedule(&mut queue, &[1])).into_keys());
    }
    assert_eq!(order, ['B', 'B', 'B', 'C', 'C', 'C', 'A', 'A', 'A']);
}

#[test]
fn test_dominant_resource_usage_rebalancing() {
    // A is heavy on cpus and B on memory: what dominates changes as they are launched.
    let mut queue = TaskQueue::tiered(1);
    let big = Resources::cpus_mem(90, 90_000);
    queue.set_sla(0, Some(TierSla::new().with_capacity(big))).unwrap();
    for n in 0..30 {
        for (bucket, demand) in
            [("A", Resources::cpus_mem(9, 1000)), ("B", Resources::cpus_mem(1, 18_000))]
        {
            let queued = QueuedTask::new(task(format!("{bucket}{n}"), demand), 0, bucket);
            queue.queue(queued).unwrap();
        }
    }
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let lease = Lease::new("l", "h", Resources::cpus_mem(1000, 1_000_000));
    let result = scheduler.schedule_queue(Time::ZERO, &mut queue, vec![lease]);
    // 9 a + b <= 90 and a + 18 b <= 90: shares stay even while both fit.
    assert_eq!(by_bucket(&result), [('A', 9), ('B', 4)].into());
}

#[test]
fn a_tier_without_promises_is_not_bound_by_those_of_another() {
    let mut queue = TaskQueue::tiered(2);
    queue.set_sla(0, Some(sla([("A", 1), ("B", 1), ("C", 1)]))).unwrap();
    fill(&mut queue, 1, "Z", 4);
    assert_eq!(schedule(&mut queue, &[10]).placed(), 4);
}

#[test]
fn tasks_of_a_bucket_go_by_priority() {
    let mut queue = TaskQueue::tiered(1);
    for (id, priority) in [("low", 0), ("high", 5), ("mid", 2), ("high2", 5)] {
        let queued = QueuedTask::new(task(id.into(), units(1)), 0, "A").with_priority(priority);
        queue.queue(queued).unwrap();
    }
    let result = schedule(&mut queue, &[3]);
    let placed = result.assignments[0].tasks.iter();
    let order: Vec<&str> = placed.map(|task| task.request.id.as_str()).collect();
    assert_eq!(order, ["high", "high2", "mid"]);
}

fn service(hosts: &[u64]) -> SchedulingService {
    let scheduler = TaskScheduler::builder().build().unwrap();
    let options =
        ServiceOptions { interval: Duration::from_secs(1), max_delay: Duration::from_secs(5) };
    let mut service = SchedulingService::new(scheduler, TaskQueue::tiered(2), options);
    for (n, size) in hosts.iter().enumerate() {
        service.add_lease(Lease::new(format!("l{n}"), format!("h{n}"), units(*size)));
    }
    service
}

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn one(id: &str, tier: usize) -> QueuedTask {
    QueuedTask::new(task(id.into(), units(1)), tier, "A")
}

#[test]
fn what_a_run_did_not_come_to_has_its_turn_after_the_interval() {
    let scheduler = TaskScheduler::builder().batch_size(2).build().unwrap();
    let options =
        ServiceOptions { interval: Duration::from_secs(1), max_delay: Duration::from_secs(5) };
    let mut service = SchedulingService::new(scheduler, TaskQueue::tiered(2), options);
    service.add_lease(Lease::new("l", "h", units(4)));
    for id in ["a", "b", "c"] {
        service.queue(one(id, 0)).unwrap();
    }
    assert_eq!(service.tick(at(1)).unwrap().placed(), 2);
    assert_eq!(service.deadline(), at(2));
    service.add_lease(Lease::new("m", "i", units(4)));
    assert_eq!(service.tick(at(2)).unwrap().placed(), 1);
    assert_eq!(service.deadline(), at(7));
}

#[test]
fn test_one_task_assignment() {
    let mut service = service(&[4]);
    service.queue(one("t", 0)).unwrap();
    let result = service.tick(at(1)).unwrap();
    assert_eq!(result.host_of(&"t".into()), Some(&"h0".into()));
    assert_eq!(service.tasks().state(&"t".into()), Some(TaskState::Launched));
    assert_eq!(service.scheduler().running_on(&"t".into()), Some(&"h0".into()));
}

#[test]
fn test_multiple_task_assignments() {
    let mut service = service(&[4]);
    let mut placed = 0;
    for round in 0..4 {
        service.queue(one(&format!("t{round}"), 0)).unwrap();
        let result = service.tick(at(1 + round)).unwrap();
        placed += result.placed();
        // What is left comes back as a new offer.
        service.add_lease(Lease::new(format!("left{round}"), "h0", units(3 - round.min(3))));
    }
    assert_eq!(placed, 4);
}

/// The loop runs every second; each time one more host has room for one of the waiting tasks.
#[test]
fn test_ordered_assignments() {
    let mut service = service(&[8, 8, 8, 8]);
    let task_of = |bucket: &str, id: &str, cpus| {
        let demand = Resources::cpus_mem(cpus, 10 * cpus);
        QueuedTask::new(task(format!("{bucket}{id}"), demand), 1, bucket)
    };
    for (bucket, count) in [("A", 15), ("B", 6), ("C", 11)] {
        for n in 0..count {
            service.queue(task_of(bucket, &n.to_string(), 1)).unwrap();
        }
    }
    assert_eq!(service.tick(at(1)).unwrap().placed(), 32);
    for bucket in ["A", "B", "C"] {
        service.queue(task_of(bucket, "next", 4)).unwrap();
    }
    let mut order = Vec::new();
    for now in 2..6 {
        service.add_lease(Lease::new(format!("next{now}"), format!("next{now}"), units(4)));
        let result = service.tick(at(now)).unwrap();
        order.extend(by_bucket(&result));
        if now == 2 {
            service.queue(task_of("B", "another", 4)).unwrap();
        }
    }
    assert_eq!(order, [('B', 1), ('B', 1), ('C', 1), ('A', 1)]);
    assert_eq!(service.tasks().queued(), 0);
}

#[test]
fn test_multi_tier_allocation() {
    let mut service = service(&[1]);
    for (id, tier) in [("later1", 1), ("first", 0), ("later2", 1)] {
        service.queue(one(id, tier)).unwrap();
    }
    let result = service.tick(at(1)).unwrap();
    assert_eq!((result.placed(), result.host_of(&"first".into()).is_some()), (1, true));
    assert_eq!(service.tasks().state(&"later1".into()), Some(TaskState::Queued));
}

#[test]
fn test_multi_res_allocation() {
    let mut service = service(&[]);
    service.add_lease(Lease::new("l", "h", Resources::cpus_mem(10, 10_000)));
    let running =
        |bucket: &str, demand| QueuedTask::new(task(format!("{bucket}r"), demand), 0, bucket);
    service.note_running(running("A", Resources::cpus_mem(4, 100)), &"other".into()).unwrap();
    service.note_running(running("B", Resources::cpus_mem(1, 9000)), &"other".into()).unwrap();
    for (id, bucket, cpus) in [("B0", "B", 8), ("A0", "A", 4), ("A1", "A", 4)] {
        let queued = QueuedTask::new(task(id.into(), Resources::cpus_mem(cpus, 10)), 0, bucket);
        service.queue(queued).unwrap();
    }
    let result = service.tick(at(1)).unwrap();
    assert_eq!(by_bucket(&result), [('A', 2)].into());
}

#[test]
fn test_remove_from_queue() {
    let mut service = service(&[1]);
    service.queue(one("t", 0)).unwrap();
    service.tick(at(1)).unwrap();
    assert_eq!(service.remove(&"t".into()), Some(TaskState::Launched));
    assert_eq!(service.scheduler().running_on(&"t".into()), None);
    assert_eq!(service.remove(&"t".into()), None);
    service.queue(one("u", 0)).unwrap();
    assert_eq!(service.remove(&"u".into()), Some(TaskState::Queued));
    assert_eq!(service.tasks().queued(), 0);
}

#[test]
fn test_max_sched_iter_delay() {
    let mut service = service(&[4]);
    assert!(service.tick(at(10)).is_some());
    assert_eq!(service.deadline(), at(15));
    assert!(service.tick(at(14)).is_none() && service.tick(at(15)).is_some());
    service.queue(one("t", 0)).unwrap();
    assert_eq!(service.deadline(), at(16), "a new task wakes it, after the interval");
    assert!(service.tick(at(15)).is_none());
    assert_eq!(service.tick(at(16)).unwrap().placed(), 1);
    service.add_lease(Lease::new("more", "h9", units(1)));
    assert!(service.tick(at(17)).is_some());
}

#[test]
fn test_init_with_prev_running_tasks() {
    let mut service = service(&[]);
    service.note_running(one("old", 0), &"h7".into()).unwrap();
    let hosts: Vec<_> = service.scheduler().hosts().collect();
    assert_eq!((hosts.len(), &hosts[0].tasks), (1, &vec!["old".into()]));
}

#[test]
fn test_large_tasks_to_init_in_running_state() {
    let mut service = service(&[1]);
    for n in 0..500 {
        let host = format!("h{}", n % 40);
        service.note_running(one(&format!("old{n}"), n % 2), &host.into()).unwrap();
    }
    for round in 0..6 {
        assert!(service.tick(at(10 * round + 1)).is_some());
    }
    assert_eq!(service.scheduler().hosts().count(), 40);
}

#[test]
fn test_not_ready_task() {
    let mut service = service(&[4]);
    service.queue(one("t", 0).with_ready_at(at(4))).unwrap();
    let result = service.tick(at(1)).unwrap();
    assert_eq!((result.placed(), result.failed()), (0, 0));
    assert_eq!(service.deadline(), at(4), "it wakes when the task is ready");
    assert!(service.set_ready_at(&"t".into(), at(3)) && !service.set_ready_at(&"x".into(), at(3)));
    assert_eq!(service.tick(at(3)).unwrap().placed(), 1);
}

#[test]
fn a_bucket_lives_as_long_as_launched_tasks_that_take_no_measure() {
    let mut queue = TaskQueue::tiered(1);
    let free = |id: &str| QueuedTask::new(task(id.into(), Resources::default()), 0, "b");
    queue.note_running(free("one")).unwrap();
    queue.note_running(free("two")).unwrap();
    queue.queue(free("waits")).unwrap();
    assert_eq!(queue.remove(&"waits".into()), Some(TaskState::Queued));
    assert_eq!(queue.remove(&"one".into()), Some(TaskState::Launched));
    assert_eq!(queue.remove(&"two".into()), Some(TaskState::Launched));
    assert_eq!(queue.tasks().count(), 0);
}

#[test]
fn a_task_that_runs_is_not_placed_from_the_queue() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let runs = task("runs".into(), units(1));
    scheduler.task_assigned(&runs, &"h0".into());
    let mut queue = TaskQueue::tiered(1);
    for request in [runs, task("waits".into(), units(1))] {
        queue.queue(QueuedTask::new(request, 0, "b")).unwrap();
    }
    let result =
        scheduler.schedule_queue(Time::ZERO, &mut queue, vec![Lease::new("l", "h1", units(9))]);
    assert_eq!((result.placed(), result.failed()), (1, 0));
    assert_eq!(result.refused, [("runs".into(), Problem::Running)]);
    assert_eq!(result.host_of(&"waits".into()), Some(&"h1".into()));
    assert_eq!(queue.state(&"runs".into()), Some(TaskState::Queued));
}
