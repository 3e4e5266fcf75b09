//! Limits of what groups of tasks take in all.

use std::sync::Arc;

use fenzo::{
    Fitness, Limit, Measure, Milli, Reason, Resource, Resources, TaskClass, TaskRequest,
    TaskScheduler,
};

use super::{assign, lease, run, scheduler};

fn limit(cpus: u64, mem: u64) -> Limit {
    Limit::NONE.with(Measure::Cpus, Milli::whole(cpus)).with(Measure::Memory, Milli::whole(mem))
}

fn of(group: &str, count: usize) -> Vec<TaskRequest> {
    let class = Arc::new(TaskClass::new(group, Resources::cpus_mem(1, 1000)));
    (0..count).map(|n| TaskRequest::new(format!("{group}-{n}"), &class)).collect()
}

fn limited(limits: &[(&str, Limit)]) -> TaskScheduler {
    let mut scheduler = scheduler(Fitness::Any);
    for (group, limit) in limits {
        assert_eq!(scheduler.set_limit(*group, *limit), None);
    }
    scheduler
}

fn hosts() -> Vec<fenzo::Lease> {
    (0..10).map(|n| lease(&format!("l{n}"), &format!("h{n}"), 4, 4000)).collect()
}

const OVER: Reason = Reason::OverLimit(Resource::Cpus);

#[test]
fn test_no_res_allocs_means_unlimited() {
    assert_eq!(run(&mut limited(&[]), &of("any", 40), hosts()).placed(), 40);
}

#[test]
fn test_single_app_rsv() {
    let mut scheduler = limited(&[("grp1", limit(4, 4000))]);
    let result = run(&mut scheduler, &of("grp1", 5), hosts());
    assert_eq!((result.placed(), result.failed()), (4, 1));
    assert_eq!(result.failures[0].explanation.reasons[&OVER], 10);
}

#[test]
fn test_two_app_rsv() {
    let mut scheduler = limited(&[("grp1", limit(4, 4000)), ("grp2", limit(8, 8000))]);
    let requests = [of("grp1", 5), of("grp2", 5)].concat();
    let result = run(&mut scheduler, &requests, hosts());
    assert_eq!((result.placed(), result.failed()), (9, 1));
    assert_eq!(result.failures[0].tasks, ["grp1-4".into()]);
}

#[test]
fn test_res_allocs_modification() {
    let mut scheduler = limited(&[("grp1", limit(4, 4000))]);
    let result = run(&mut scheduler, &of("grp1", 4), hosts());
    assign(&mut scheduler, &result);
    let more = || vec![TaskRequest::new("more", &of("grp1", 1)[0].class)];
    assert_eq!(run(&mut scheduler, &more(), vec![]).failed(), 1);
    assert_eq!(scheduler.set_limit("grp1", limit(5, 5000)), Some(limit(4, 4000)));
    assert_eq!(run(&mut scheduler, &more(), vec![]).placed(), 1);
}

#[test]
fn test_absent_res_allocs() {
    let mut scheduler = limited(&[("grp1", limit(4, 4000))]);
    let result = run(&mut scheduler, &of("unknown", 1), hosts());
    assert_eq!(result.failures[0].explanation.reasons[&OVER], 10);
    // Even if it asks for nothing.
    let nothing = Arc::new(TaskClass::new("unknown", Resources::default()));
    assert_eq!(run(&mut scheduler, &[TaskRequest::new("t", &nothing)], vec![]).failed(), 1);
}

#[test]
fn test_adding_new_res_allocs() {
    let mut scheduler = limited(&[("grp1", limit(4, 4000))]);
    assert_eq!(run(&mut scheduler, &of("grp3", 1), hosts()).placed(), 0);
    scheduler.set_limit("grp3", limit(1, 1000));
    assert_eq!(run(&mut scheduler, &of("grp3", 1), vec![]).placed(), 1);
    assert_eq!(scheduler.remove_limit(&"grp3".into()), Some(limit(1, 1000)));
    assert_eq!(scheduler.limit(&"grp3".into()), None);
}

#[test]
fn a_limit_of_memory_counts_what_runs_and_what_the_run_has_placed() {
    let memory = Limit::NONE.with(Measure::Memory, Milli::whole(3500));
    let mut scheduler = limited(&[("grp1", memory)]);
    scheduler.task_assigned(&of("grp1", 1)[0], &"h0".into());
    let requests: Vec<_> = of("grp1", 5).split_off(1);
    let result = run(&mut scheduler, &requests, hosts());
    assert_eq!((result.placed(), result.failed()), (2, 2));
    let over = Reason::OverLimit(Resource::Memory);
    assert_eq!(result.failures[0].explanation.reasons[&over], 10);
}

#[test]
fn test_add() {
    assert_eq!(limit(1, 2).plus(&limit(3, 4)), limit(4, 6));
    assert_eq!(limit(1, 2).plus(&Limit::NONE), Limit::NONE);
}

#[test]
fn test_subtract() {
    assert_eq!(limit(3, 4).minus(&limit(1, 5)), limit(2, 0));
    assert_eq!(Limit::NONE.minus(&limit(1, 1)), Limit::NONE);
}

#[test]
fn test_ceiling_of() {
    assert_eq!(limit(1, 5).ceiling(&limit(3, 4)), limit(3, 5));
}

#[test]
fn test_is_bounded() {
    assert!(limit(2, 2).covers(&Resources::cpus_mem(2, 1)));
    assert!(!limit(2, 2).covers(&Resources::cpus_mem(2, 3)));
    assert!(Limit::NONE.covers(&Resources::cpus_mem(1 << 40, 1)));
    assert!(Limit::NOTHING.covers(&Resources::default()));
}
