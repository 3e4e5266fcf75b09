//! Named sets: network interfaces that serve one combination of security groups at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fenzo::{
    Autoscaler, Fitness, HostId, Lease, PlacedTask, QueuedTask, Reason, Resources, ScaleAction,
    ScaleOptions, ScaleRule, SchedulingResult, SchedulingService, ServiceOptions, SetMember,
    SetUse, TaskClass, TaskQueue, TaskRequest, TaskScheduler, Time,
};

use super::{run, scheduler, thousandths};

fn host(id: &str, name: &str, addresses: u32) -> Lease {
    Lease::new(id, name, Resources::cpus_mem(4, 4000)).with_set("ENIs", 3, addresses)
}

/// Small tasks, one for each value, that want so many addresses.
fn wanting(name: &str, values: &[&str], addresses: u32) -> Vec<TaskRequest> {
    let class = |value: &&str| Arc::new(small().with_set("ENIs", *value, addresses));
    let task = |(n, value)| TaskRequest::new(format!("{name}{n}"), &class(value));
    values.iter().enumerate().map(task).collect()
}

fn small() -> TaskClass {
    let demand = Resources { cpus: thousandths(100), ..Resources::default() };
    TaskClass::new("g", demand)
}

fn placed(result: &SchedulingResult) -> Vec<PlacedTask> {
    result.assignments.iter().flat_map(|assignment| assignment.tasks.clone()).collect()
}

/// How many tasks use each member.
fn users(result: &SchedulingResult) -> BTreeMap<u32, usize> {
    let mut users = BTreeMap::new();
    for used in placed(result).iter().flat_map(|task| &task.sets) {
        *users.entry(used.member).or_default() += 1;
    }
    users
}

fn lacks() -> Reason {
    Reason::LacksSet("ENIs".into())
}

fn launch(scheduler: &mut TaskScheduler, result: &SchedulingResult) {
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            scheduler.task_launched(task, &assignment.host);
        }
    }
}

#[test]
fn test_simple_resource_set_allocation() {
    let requests = wanting("t", &["sg1", "sg2", "sg1", "sg2"], 1);
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![host("l", "hostA", 4)]);
    assert_eq!(users(&result), [(0, 2), (1, 2)].into());
}

#[test]
fn test_res_set_allocation_failure() {
    let requests = wanting("t", &["sg1", "sg2", "sg3", "sg1", "sg4"], 1);
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![host("l", "hostA", 4)]);
    assert_eq!((result.placed(), result.failed()), (4, 1));
    assert_eq!(result.failures[0].tasks, ["t4".into()]);
    assert_eq!(result.failures[0].explanation.reasons, [(lacks(), 1)].into());
}

#[test]
fn test_res_set_alloc_fillup_sub_res() {
    let requests = wanting("t", &["sg1", "sg1", "sg1", "sg1"], 2);
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![host("l", "hostA", 2)]);
    assert_eq!(users(&result), [(0, 1), (1, 1), (2, 1)].into());
    assert_eq!(result.failures[0].explanation.reasons[&lacks()], 1);
}

#[test]
fn test_res_set_alloc_fill_with_0_subres_requests() {
    let mut requests = wanting("full", &["sg1", "sg1"], 2);
    requests.extend(wanting("zero", &["sg2"; 20], 0));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![host("l", "hostA", 2)]);
    assert_eq!((users(&result), result.failed()), ([(0, 1), (1, 1), (2, 20)].into(), 0));
}

#[test]
fn test_no_res_set_req_job() {
    let mut requests = wanting("t", &["sg1", "sg2"], 1);
    requests.push(TaskRequest::new("plain", &Arc::new(small())));
    requests.extend(wanting("late", &["sg3"], 1));
    let result = run(&mut scheduler(Fitness::Any), &requests, vec![host("l", "hostA", 4)]);
    assert_eq!((result.placed(), result.failed()), (3, 1));
    assert_eq!(placed(&result)[2].sets[0].value, None);
}

fn restored(member: u32, value: &str) -> Vec<SetUse> {
    vec![SetUse { name: "ENIs".into(), value: Some(value.into()), member, amount: 1 }]
}

#[test]
fn test_initing_scheduler_with_previous_tasks() {
    let mut scheduler = scheduler(Fitness::Any);
    let running = wanting("old", &["sg1", "sg1", "sg2"], 1);
    for (task, (member, value)) in running.iter().zip([(0, "sg1"), (0, "sg1"), (1, "sg2")]) {
        scheduler.task_restored(task, &"hostA".into(), vec![], restored(member, value), vec![]);
    }
    run(&mut scheduler, &wanting("x", &["sg3"], 1), vec![]);
    let first = wanting("a", &["sg5", "sg1", "sg3"], 1);
    let result = run(&mut scheduler, &first, vec![host("l", "hostA", 4)]);
    assert_eq!((result.placed(), result.failed()), (2, 1));
    launch(&mut scheduler, &result);
    let result =
        run(&mut scheduler, &wanting("b", &["sg2", "sg3"], 1), vec![host("m", "hostA", 4)]);
    assert_eq!((placed(&result).len(), placed(&result)[0].sets[0].member), (1, 1));
}

#[test]
fn test_two_host_assignment() {
    let leases = vec![host("l1", "hostA", 2), host("l2", "hostB", 2)];
    let result = run(&mut scheduler(Fitness::Any), &wanting("t", &["sg1"; 4], 2), leases);
    let counts: Vec<usize> = result.assignments.iter().map(|host| host.tasks.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 4);
    assert!(counts.iter().all(|count| *count <= 3) && counts.len() == 2);
}

#[test]
fn test_re_assignment() {
    let mut scheduler = scheduler(Fitness::Any);
    let result = run(&mut scheduler, &wanting("t", &["sg1"; 3], 2), vec![host("l", "hostA", 2)]);
    launch(&mut scheduler, &result);
    let next = wanting("next", &["sg2"], 1);
    assert_eq!(run(&mut scheduler, &next, vec![host("m", "hostA", 2)]).placed(), 0);
    assert!(scheduler.task_unassigned(&"t1".into(), &"hostA".into()));
    let result = run(&mut scheduler, &next, vec![]);
    assert_eq!(placed(&result)[0].sets[0].member, 1);
}

#[test]
fn what_tasks_without_a_request_have_bound_is_free_after_them() {
    let mut scheduler = scheduler(Fitness::Any);
    let plain = [TaskRequest::new("plain", &Arc::new(small()))];
    let result = run(&mut scheduler, &plain, vec![host("l", "hostA", 4)]);
    launch(&mut scheduler, &result);
    let three = wanting("t", &["sg1", "sg2", "sg3"], 1);
    assert_eq!(scheduler.what_if(&three, vec![host("m", "hostA", 4)]).placed(), 2);
    scheduler.task_unassigned(&"plain".into(), &"hostA".into());
    assert_eq!(run(&mut scheduler, &three, vec![host("m", "hostA", 4)]).placed(), 3);
}

#[test]
fn test_scale_up() {
    let mut autoscaler = Autoscaler::new("group", ScaleOptions::default()).unwrap();
    autoscaler.set_rule(Time::ZERO, ScaleRule::new("g", 1, 1)).unwrap();
    let mut scheduler = scheduler(Fitness::Any);
    let of = |id: &str, name: &str| host(id, name, 1).with_attribute("group", "g");
    run(&mut scheduler, &[], vec![of("l1", "hostA"), of("l2", "hostB")]);
    let first = wanting("a", &["sg1"; 3], 1);
    let result = run(&mut scheduler, &first, vec![]);
    launch(&mut scheduler, &result);
    assert_eq!(autoscaler.decide(Time::ZERO, &mut scheduler, &[]), [], "hostB is idle");
    let result = run(&mut scheduler, &wanting("b", &["sg1"; 4], 1), vec![]);
    launch(&mut scheduler, &result);
    assert_eq!((result.placed(), result.failed()), (3, 1));
    let lacking = wanting("c", &["sg2"; 4], 1);
    let up = ScaleAction::Up { group: "g".into(), hosts: 2 };
    assert_eq!(autoscaler.decide(Time::ZERO, &mut scheduler, &lacking), [up]);
}

#[test]
fn test_lease_expiry() {
    let mut scheduler = scheduler(Fitness::Any);
    let result =
        run(&mut scheduler, &wanting("t", &["sg1", "sg2"], 1), vec![host("l", "hostA", 4)]);
    launch(&mut scheduler, &result);
    run(&mut scheduler, &[], vec![host("m", "hostA", 4)]);
    scheduler.expire_all();
    let new = wanting("new", &["sg3", "sg4"], 1);
    let result = run(&mut scheduler, &new, vec![host("n", "hostA", 4)]);
    assert_eq!((result.placed(), result.failed()), (1, 1));
}

#[test]
fn test_lease_expiry_clears_resource_sets() {
    let mut scheduler = scheduler(Fitness::Any);
    run(&mut scheduler, &[], vec![host("l", "hostA", 4)]);
    scheduler.expire_all();
    run(&mut scheduler, &[], vec![]);
    let other = Lease::new("m", "hostA", Resources::cpus_mem(4, 4000)).with_set("NewENIs", 3, 4);
    let class = Arc::new(small().with_set("NewENIs", "sg1", 1));
    let mut requests: Vec<_> = (0..2).map(|n| TaskRequest::new(format!("n{n}"), &class)).collect();
    requests.extend(wanting("old", &["sg1"], 1));
    let result = run(&mut scheduler, &requests, vec![other]);
    assert_eq!((result.placed(), result.failed()), (2, 1));
    assert_eq!(result.failures[0].explanation.reasons, [(lacks(), 1)].into());
}

#[test]
fn test_resource_status_values_of_sets() {
    let mut scheduler = scheduler(Fitness::Any);
    let result =
        run(&mut scheduler, &wanting("t", &["sg1", "sg2"], 1), vec![host("l", "hostA", 4)]);
    launch(&mut scheduler, &result);
    let status = scheduler.hosts().next().unwrap();
    assert_eq!(status.set_members, [("ENIs".to_owned(), (2, 1))].into());
}

#[test]
fn test_non_existent_resource_set_request() {
    let bare = Lease::new("l", "hostA", Resources::cpus_mem(4, 4000));
    let result = run(&mut scheduler(Fitness::Any), &wanting("t", &["sg1"], 1), vec![bare]);
    assert_eq!(result.failures[0].explanation.reasons, [(lacks(), 1)].into());
    let nearest = result.failures[0].explanation.nearest.as_ref().unwrap();
    assert_eq!(nearest.to_string(), "host hostA: no member of ENIs free or of its value");
}

#[test]
fn test_one_task_with_resource_set() {
    let scheduler = scheduler(Fitness::Any);
    let mut service =
        SchedulingService::new(scheduler, TaskQueue::tiered(1), ServiceOptions::default());
    let task = wanting("t", &["sg1"], 1).remove(0);
    service.queue(QueuedTask::new(task, 0, "A")).unwrap();
    service.add_lease(host("l", "hostA", 4));
    let result = service.tick(Time::ZERO).unwrap();
    let used = &placed(&result)[0].sets;
    assert_eq!((used.len(), used[0].value.as_deref()), (1, Some("sg1")));
    let status = service.scheduler().hosts().next().unwrap();
    assert_eq!((status.host, status.set_members["ENIs"]), (HostId::from("hostA"), (1, 2)));
}

#[test]
fn a_fuller_member_of_the_value_is_better_than_an_emptier_host() {
    // Both hosts are alike but for a member of hostB that serves sg1 already.
    let mut scheduler = scheduler(Fitness::Any);
    let old = wanting("old", &["sg1"], 1).remove(0);
    scheduler.task_restored(&old, &"hostB".into(), vec![], restored(0, "sg1"), vec![]);
    let leases = vec![host("l1", "hostA", 4), host("l2", "hostB", 4)];
    let result = run(&mut scheduler, &wanting("t", &["sg1", "sg2"], 1), leases);
    let hosts: BTreeSet<&str> = result.assignments.iter().map(|of| of.host.as_str()).collect();
    assert_eq!(hosts, ["hostA", "hostB"].into());
    assert_eq!(result.host_of(&"t0".into()), Some(&"hostB".into()));
}

#[test]
fn a_set_may_have_as_many_members_as_can_be_counted() {
    const LAST: u32 = u32::MAX - 1;
    let huge = |id: &str| {
        let lease = Lease::new(id, "hostA", Resources::cpus_mem(4, 4000));
        lease.with_set("ENIs", u32::MAX, u32::MAX)
    };
    let mut scheduler = scheduler(Fitness::Any);
    let before = &wanting("old", &["sg2", "sg1"], 1);
    for (task, member) in before.iter().zip([LAST, 0]) {
        let value = task.class.sets["ENIs"].value.clone();
        let used = SetUse { name: "ENIs".into(), value: Some(value), member, amount: u32::MAX };
        scheduler.task_restored(task, &"hostA".into(), vec![], vec![used], vec![]);
    }
    // The members in use are full; the first that nobody uses takes all that fit into it.
    let requests = wanting("t", &["sg1", "sg1", "sg2"], u32::MAX / 2);
    let result = run(&mut scheduler, &requests, vec![huge("l")]);
    assert_eq!((users(&result), result.failed()), ([(1, 2), (2, 1)].into(), 0));
    let host = scheduler.hosts().next().unwrap();
    assert_eq!(host.set_members["ENIs"], (2, u32::MAX - 2));
}

/// A scheduler whose members of sets are judged by a closure.
fn judging(judge: impl Fn(&SetMember<'_>) -> f64 + Send + Sync + 'static) -> TaskScheduler {
    TaskScheduler::builder().set_fitness(judge).build().unwrap()
}

#[test]
fn an_own_evaluator_chooses_members_and_hosts() {
    // Apart from each other, from the last member down, and rather on hostB.
    let mut scheduler = judging(|of| {
        let free = if of.used.is_some() { 0.1 } else { f64::from(of.member + 1) / 10.0 };
        if of.host.as_str() == "hostB" { free + 0.5 } else { free }
    });
    let requests = wanting("t", &["sg1", "sg1", "sg1", "sg1"], 1);
    let leases = vec![host("l1", "hostA", 4), host("l2", "hostB", 4)];
    let result = run(&mut scheduler, &requests, leases);
    let members: Vec<u32> = placed(&result).iter().map(|task| task.sets[0].member).collect();
    assert_eq!((result.assignments.len(), members), (1, vec![2, 1, 0, 0]));
}

#[test]
fn a_member_that_cannot_be_judged_is_not_used() {
    let mut scheduler = judging(|of| match (of.set, of.member, of.value) {
        (_, _, None) => f64::NAN,
        (_, 0, _) => panic!("on the first member"),
        (_, 1, _) => 0.0,
        _ => 7.0,
    });
    // The last member of the three serves sg1; nothing is left for sg2, nor for a task without a request.
    let mut requests = wanting("t", &["sg1", "sg1", "sg2"], 1);
    requests.push(TaskRequest::new("plain", &Arc::new(small())));
    let result = run(&mut scheduler, &requests, vec![host("l", "hostA", 4)]);
    assert_eq!((users(&result), result.failed()), ([(2, 2)].into(), 2));
    for failure in &result.failures {
        assert_eq!(failure.explanation.reasons, [(lacks(), 1)].into());
    }
    // What could not be judged concerns nobody else: the host is used by the next run.
    let next = run(&mut scheduler, &wanting("u", &["sg3"], 1), vec![host("next", "hostA", 4)]);
    assert_eq!(next.placed(), 1);
}

#[test]
fn a_closure_is_asked_about_no_more_members_than_it_has_to() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let mut scheduler = judging(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        1.0
    });
    let huge = Lease::new("l", "hostA", Resources::cpus_mem(4, 4000));
    let huge = huge.with_set("ENIs", u32::MAX, 1);
    let result = run(&mut scheduler, &wanting("t", &["sg1"], 1), vec![huge]);
    assert_eq!(users(&result), [(0, 1)].into());
    assert!(asked.load(Ordering::Relaxed) < 10_000);
}
