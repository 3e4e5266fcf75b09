//! Leases over several runs: rejection of offers, one lease a host, disabled and inactive hosts.

use std::collections::BTreeSet;
use std::time::Duration;

use fenzo::{
    Combination, Constraint, Fitness, HostId, Lease, LeaseId, LeaseProblem, Measure, Milli,
    PlacedTask, Problem, Reason, Resources, SchedulingResult, TaskClass, TaskRequest,
    TaskScheduler, TaskSchedulerBuilder, Time,
};

use super::{class, lease, run, scheduler, tasks};

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn expiring(secs: u64) -> TaskSchedulerBuilder {
    TaskScheduler::builder().lease_expiry(Duration::from_secs(secs))
}

fn many(from: usize, count: usize) -> Vec<Lease> {
    let one = |host: usize| lease(&format!("l{host:03}"), &format!("h{host:03}"), 4, 100);
    (from..from + count).map(one).collect()
}

/// Notes the tasks of a run as running, with their ports.
fn launch(scheduler: &mut TaskScheduler, result: &SchedulingResult) {
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            assert_eq!(scheduler.task_launched(task, &assignment.host), None);
        }
    }
}

#[test]
fn test_offer_expiry_on_several_vms() {
    let mut scheduler = expiring(1).build().unwrap();
    assert_eq!(scheduler.schedule_once(at(0), &[], many(0, 10)).expired, []);
    assert_eq!(scheduler.schedule_once(at(1), &[], vec![]).expired.len(), 10);
}

#[test]
fn test_offers_are_rejected() {
    let mut scheduler = expiring(2).reject_limit(4).build().unwrap();
    scheduler.schedule_once(at(0), &[], many(0, 3));
    assert_eq!(scheduler.schedule_once(at(3), &[], vec![]).expired.len(), 3);
}

#[test]
fn test_offers_reject_limit() {
    let mut scheduler = expiring(3).reject_limit(2).build().unwrap();
    scheduler.schedule_once(at(0), &[], many(0, 10));
    let mut rejected = Vec::new();
    for secs in 3..12 {
        rejected.push(scheduler.schedule_once(at(secs), &[], vec![]).expired.len());
    }
    assert_eq!(rejected, [2, 0, 0, 2, 0, 0, 2, 0, 0], "two hosts within three seconds");
}

#[test]
fn test_partial_offer_reject() {
    let mut scheduler = expiring(2).reject_limit(4).build().unwrap();
    let result = run(&mut scheduler, &tasks("t", 1, class(1, 10)), many(0, 1));
    launch(&mut scheduler, &result);
    scheduler.schedule_once(at(0), &[], vec![lease("left", "h000", 3, 90)]);
    assert_eq!(scheduler.schedule_once(at(3), &[], vec![]).expired, [LeaseId::from("left")]);
}

#[test]
fn test_timed_offer_rejects() {
    let mut scheduler = expiring(10).build().unwrap();
    let later = |lease: Lease| lease.with_offered_at(at(5));
    scheduler.schedule_once(at(0), &[], many(0, 100));
    scheduler.schedule_once(at(5), &[], many(100, 100).into_iter().map(later).collect());
    let mut rejected = 0;
    for (secs, sum) in [(9, 0), (10, 100), (14, 100), (15, 200)] {
        rejected += scheduler.schedule_once(at(secs), &[], vec![]).expired.len();
        assert_eq!(rejected, sum, "after {secs} seconds");
    }
}

#[test]
fn test_reject_all_offers_of_vm() {
    let mut scheduler = expiring(2).reject_limit(1).build().unwrap();
    let of = |host: &str| (0..3).map(|n| lease(&format!("{host}-{n}"), host, 1, 10)).collect();
    let leases: [Vec<Lease>; 2] = [of("h1"), of("h2")];
    scheduler.schedule_once(at(0), &[], leases.concat());
    let rejected = scheduler.schedule_once(at(2), &[], vec![]).expired;
    assert_eq!(rejected, ["h1-0", "h1-1", "h1-2"].map(LeaseId::from));
    assert_eq!(scheduler.leases_held(), 3);
}

#[test]
fn test_randomized_offer_rejection() {
    // Oldest first is fairer than at random: every host has its turn.
    let mut scheduler = expiring(1).reject_limit(1).build().unwrap();
    scheduler.schedule_once(at(0), &[], many(0, 6));
    let mut hosts = BTreeSet::new();
    for secs in 1..7 {
        hosts.extend(scheduler.schedule_once(at(secs), &[], vec![]).expired);
    }
    assert_eq!(hosts.len(), 6);
}

fn in_group(id: &str, host: &str, cpus: u64, group: &str) -> Lease {
    lease(id, host, cpus, 100).with_attribute("asg", group)
}

#[test]
fn test_inactive_vm_group() {
    let mut scheduler = scheduler(Fitness::Any);
    scheduler.set_active_groups("asg", ["test1".into()].into());
    let inactive = vec![in_group("l2", "h2", 4, "test2")];
    let result = run(&mut scheduler, &tasks("t", 1, class(1, 1)), inactive);
    assert_eq!((result.placed(), result.expired), (0, vec!["l2".into()]));
    let active = vec![in_group("l1", "h1", 4, "test1")];
    assert_eq!(run(&mut scheduler, &tasks("t", 1, class(1, 1)), active).placed(), 1);
    // Without a list, all are active; a host without the attribute is of no group.
    scheduler.set_active_groups("asg", BTreeSet::new());
    let inactive = vec![in_group("l3", "h2", 4, "test2"), lease("l4", "h4", 4, 100)];
    assert_eq!(run(&mut scheduler, &tasks("u", 8, class(1, 1)), inactive).placed(), 8);
}

#[test]
fn test_offers_reject_on_inactive_vms() {
    let mut scheduler = scheduler(Fitness::Any);
    let group = |n: usize| in_group(&format!("l{n}"), &format!("h{n}"), 4, &format!("g{}", n % 2));
    scheduler.schedule_once(at(0), &[], (0..20).map(group).collect());
    let rejected = scheduler.set_active_groups("asg", ["g0".into()].into());
    assert_eq!((rejected.len(), scheduler.leases_held()), (10, 10));
}

#[test]
fn test_active_asgs_of_two_types() {
    let mut scheduler = scheduler(Fitness::cpu_memory_packer());
    scheduler.set_active_groups("asg", ["small".into(), "big".into()].into());
    let leases = vec![in_group("l1", "h1", 8, "small"), in_group("l2", "h2", 16, "big")];
    let mut requests = tasks("small", 1, class(1, 1));
    requests.extend(tasks("big", 1, class(16, 1)));
    let result = run(&mut scheduler, &requests, leases);
    assert_eq!((result.host_of(&"small0".into()), result.failed()), (Some(&"h1".into()), 0));
    assert_eq!(result.host_of(&"big0".into()), Some(&"h2".into()));
}

#[test]
fn a_disabled_host_gets_nothing_until_its_time_has_come() {
    let mut scheduler = scheduler(Fitness::Any);
    let host = HostId::from("h000");
    scheduler.schedule_once(at(0), &[], many(0, 1));
    assert_eq!(scheduler.disable_host(&host, at(10)), ["l000".into()]);
    let result = scheduler.schedule_once(at(9), &tasks("t", 1, class(1, 1)), many(0, 1));
    assert_eq!((result.placed(), result.expired.len()), (0, 1));
    let result = scheduler.schedule_once(at(10), &tasks("t", 1, class(1, 1)), many(0, 1));
    assert_eq!(result.placed(), 1);
    scheduler.disable_host(&host, at(100));
    assert!(scheduler.enable_host(&host) && !scheduler.enable_host(&host));
    assert_eq!(run(&mut scheduler, &tasks("u", 1, class(1, 1)), many(0, 1)).placed(), 1);
}

fn single() -> TaskScheduler {
    TaskScheduler::builder().single_lease().build().unwrap()
}

#[test]
fn test_single_offer_multiple_iterations() {
    let mut scheduler = single();
    let result = run(&mut scheduler, &tasks("a", 1, class(1, 10)), many(0, 1));
    launch(&mut scheduler, &result);
    let result = run(&mut scheduler, &tasks("b", 3, class(1, 10)), vec![]);
    assert_eq!(result.placed(), 3);
    launch(&mut scheduler, &result);
    assert_eq!(run(&mut scheduler, &tasks("c", 1, class(1, 10)), vec![]).failed(), 1);
    assert!(scheduler.task_unassigned(&"b1".into(), &"h000".into()));
    assert_eq!(run(&mut scheduler, &tasks("c", 2, class(1, 10)), vec![]).placed(), 1);
}

#[test]
fn test_with_initial_jobs_already_on_host() {
    let mut scheduler = single();
    scheduler.task_assigned(&tasks("early", 1, class(1, 10))[0], &"h000".into());
    let result = run(&mut scheduler, &tasks("t", 4, class(1, 10)), many(0, 1));
    assert_eq!((result.placed(), result.failed()), (3, 1));
}

#[test]
fn test_multiple_offers() {
    let mut scheduler = single();
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h1", 4, 100)];
    let result = run(&mut scheduler, &tasks("t", 5, class(1, 10)), leases);
    assert_eq!(
        (result.placed(), result.ignored),
        (4, vec![("l2".into(), LeaseProblem::HostHasOne)])
    );
    assert_eq!(result.assignments[0].leases, ["l1".into()]);
}

#[test]
fn test_insufficient_scalar_resources_with_single_lease_mode() {
    let gpus = |amount: u64| [("gpu".to_owned(), fenzo::Milli::whole(amount))].into();
    let mut offer = lease("l", "h", 40, 1000);
    offer.offered.scalars = gpus(4);
    let mut wants = class(1, 10);
    wants.demand.scalars = gpus(1);
    let mut scheduler = single();
    let result = run(&mut scheduler, &tasks("t", 5, wants.clone()), vec![offer]);
    let lacks = Reason::Lacks(fenzo::Resource::Scalar("gpu".into()));
    assert_eq!((result.placed(), result.failures[0].explanation.reasons[&lacks]), (4, 1));
    launch(&mut scheduler, &result);
    assert_eq!(run(&mut scheduler, &tasks("u", 1, wants), vec![]).placed(), 0);
}

#[test]
fn test_removing_lease_and_adding_back_same_lease_with_single_lease_mode() {
    let mut scheduler = single();
    assert_eq!(run(&mut scheduler, &tasks("t", 1, class(1, 10)), many(0, 1)).placed(), 1);
    assert_eq!(scheduler.expire_all(), ["l000".into()]);
    assert_eq!(run(&mut scheduler, &tasks("t", 1, class(1, 10)), vec![]).placed(), 0);
    assert_eq!(run(&mut scheduler, &tasks("t", 1, class(1, 10)), many(0, 1)).placed(), 1);
}

#[test]
fn ports_of_running_tasks_are_not_handed_out_where_a_lease_stays() {
    let mut scheduler = single();
    let ports = |placed: &[PlacedTask]| -> Vec<u16> {
        placed.iter().flat_map(|task| task.ports.iter().copied()).collect()
    };
    let result = run(&mut scheduler, &tasks("a", 2, class(1, 10).with_ports(3)), many(0, 1));
    let first = ports(&result.assignments[0].tasks);
    launch(&mut scheduler, &result);
    let result = run(&mut scheduler, &tasks("b", 2, class(1, 10).with_ports(3)), vec![]);
    assert_eq!(
        (result.placed(), result.failed()),
        (1, 1),
        "ten ports are three times three and one"
    );
    assert!(ports(&result.assignments[0].tasks).iter().all(|port| !first.contains(port)));
}

#[test]
fn a_lease_that_is_held_stays_held_though_it_comes_again_for_a_disabled_host() {
    let mut scheduler = scheduler(Fitness::Any);
    scheduler.schedule_once(at(0), &[], vec![lease("l", "a", 4, 4)]);
    scheduler.disable_host(&"b".into(), at(10));
    let again = || vec![lease("l", "b", 4, 4)];
    let held = [("l".into(), LeaseProblem::Held)];
    let asked = scheduler.what_if(&[], again());
    assert_eq!((asked.expired.len(), &*asked.ignored), (0, held.as_slice()));
    let result = scheduler.schedule_once(at(1), &[], again());
    assert_eq!((result.expired.len(), &*result.ignored), (0, held.as_slice()));
    assert_eq!(scheduler.leases_held(), 1);
}

#[test]
fn test_task_batch_size() {
    let mut scheduler = TaskScheduler::builder().batch_size(2).build().unwrap();
    let result = run(&mut scheduler, &tasks("t", 5, class(1, 10)), many(0, 1));
    assert_eq!((result.placed(), result.failed(), result.untried.len()), (2, 0, 3));
    assert_eq!(run(&mut scheduler, &tasks("u", 1, class(1, 10)), many(0, 1)).placed(), 1);
    assert_eq!(run(&mut scheduler, &[], many(0, 1)).placed(), 0);
}

#[test]
fn a_run_ends_when_its_work_is_done_up() {
    let fitness = Fitness::custom(|_, host| f64::from(host.tasks()));
    let mut scheduler = TaskScheduler::builder().fitness(fitness).work_limit(100).build().unwrap();
    let each = |n: usize| tasks(&format!("t{n}"), 1, class(1, n as u64 + 1));
    let requests: Vec<TaskRequest> = (0..10).flat_map(each).collect();
    // Each task looks at 40 hosts: the third is begun, the fourth is not.
    let result = run(&mut scheduler, &requests, many(0, 40));
    assert_eq!((result.placed(), result.untried.len()), (3, 7));
}

#[test]
fn tasks_that_run_or_repeat_an_id_are_refused_and_change_nothing() {
    let mut scheduler = scheduler(Fitness::Any);
    scheduler.task_assigned(&tasks("old", 1, class(1, 1))[0], &"h000".into());
    let mut requests = tasks("new", 2, class(1, 1));
    requests.extend(tasks("new", 1, class(2, 2)));
    requests.extend(tasks("old", 1, class(1, 1)));
    let result = run(&mut scheduler, &requests, many(0, 1));
    let refused = [("new0".into(), Problem::Repeated), ("old0".into(), Problem::Running)];
    assert_eq!((result.placed(), result.refused), (2, refused.to_vec()));
    assert_eq!(scheduler.running_on(&"old0".into()), Some(&"h000".into()));
}

#[test]
fn test_assignable_vms_evaluator() {
    let only = |_: &fenzo::TaskClass, host: &fenzo::HostView<'_>| host.id().as_str() == "h007";
    let mut scheduler =
        TaskScheduler::builder().host_filter("only the seventh", only).build().unwrap();
    let result = run(&mut scheduler, &tasks("t", 5, class(4, 1)), many(0, 10));
    assert_eq!((result.placed(), result.failed()), (1, 4));
    let explanation = &result.failures[0].explanation;
    assert_eq!(explanation.hosts, 10);
    assert_eq!(explanation.reasons[&Reason::Constraint("only the seventh".into())], 9);
}

#[test]
fn fenzo_1_never_scores_above_its_share_and_refuses_fitness_zero() {
    let compatible = |fitness: Fitness, threshold: f64| {
        let builder = TaskScheduler::builder().fitness(fitness).good_enough(threshold);
        builder.combination(Combination::Fenzo1).build().unwrap()
    };
    let mut packer = compatible(Fitness::cpu_packer(), 0.9);
    let leases = || vec![lease("l1", "h1", 4, 10), lease("l2", "h2", 1, 10)];
    let result = run(&mut packer, &tasks("t", 1, class(1, 1)), leases());
    let score = result.assignments[0].tasks[0].score;
    assert!((score.combined - 0.85).abs() < 1e-12, "a full host scores {}", score.combined);
    // A spreader says 0 of a host that the task would fill.
    let mut spreader = compatible(Fitness::cpu_spreader(), 1.0);
    let result = run(&mut spreader, &tasks("t", 2, class(4, 1)), leases());
    assert_eq!((result.placed(), result.failed()), (0, 2));
    let reasons = &result.failures[0].explanation.reasons;
    assert_eq!(reasons[&Reason::ZeroFitness], 1);
}

#[test]
fn test_resource_status_values() {
    let mut scheduler = scheduler(Fitness::Any);
    let mut part = class(0, 0);
    part.demand.cpus = super::thousandths(200);
    scheduler.task_assigned(&tasks("t", 1, part)[0], &"h1".into());
    let mut left = lease("l", "h1", 0, 10);
    left.offered.cpus = super::thousandths(3800);
    scheduler.schedule_once(at(0), &[], vec![left]);
    let status: Vec<_> = scheduler.hosts().collect();
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].used.cpus, super::thousandths(200));
    assert_eq!(status[0].offered.cpus, super::thousandths(3800));
    assert_eq!(status[0].known().cpus, super::thousandths(4000));
    assert!(!status[0].is_idle());
}

#[test]
fn test_insufficient_cpus_is_told_where_no_host_exists() {
    let result = run(&mut scheduler(Fitness::Any), &tasks("t", 3, class(1, 1)), vec![]);
    assert_eq!((result.failures.len(), result.failed()), (1, 3));
    assert_eq!(result.failures[0].explanation.to_string(), "no host offers anything");
}

#[test]
fn exclusive_hosts_are_exclusive_within_a_run() {
    let alone = class(1, 1).with_hard(Constraint::ExclusiveHost);
    let mut requests = tasks("alone", 1, alone);
    requests.extend(tasks("other", 1, class(1, 1)));
    let result = run(&mut scheduler(Fitness::Any), &requests, many(0, 1));
    assert_eq!((result.placed(), result.failed()), (1, 1));
    assert_eq!(result.failures[0].explanation.reasons[&Reason::HeldExclusively], 1);
}

#[test]
fn a_closure_sees_what_is_left_in_this_run() {
    let roomy = |_: &fenzo::TaskClass, host: &fenzo::HostView<'_>| {
        host.free(Measure::Cpus) >= fenzo::Milli::whole(3)
    };
    let class = class(1, 1).with_hard(Constraint::custom("three cpus left", roomy));
    let result = run(&mut scheduler(Fitness::Any), &tasks("t", 4, class), many(0, 1));
    assert_eq!(result.placed(), 2);
}

/// Java keeps one of several amounts of a name, whichever comes last.
#[test]
fn several_amounts_of_one_name_in_an_offer_add_up() {
    let gpus = |gpus| Resources {
        scalars: [("gpus".to_owned(), Milli::whole(gpus))].into(),
        ..Resources::cpus_mem(1, 100)
    };
    let reserved_and_not = Lease::new("l", "h", gpus(1)).with_more(&gpus(2));
    let offered = &reserved_and_not.offered;
    assert_eq!((offered.cpus, offered.mem), (Milli::whole(2), Milli::whole(200)));
    let task = TaskClass::new("g", Resources { cpus: Milli::whole(2), ..gpus(3) });
    let result = run(&mut scheduler(Fitness::Any), &tasks("t", 1, task), vec![reserved_and_not]);
    assert_eq!(result.placed(), 1);
}
