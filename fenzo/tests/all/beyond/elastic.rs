//! Tasks that can use more than they demand.

use std::collections::BTreeMap;

use fenzo::{
    Backfill, Fitness, Limit, Measure, Milli, Resource, SchedulingResult, TaskRequest,
    TaskScheduler, Time,
};
use proptest::prelude::*;

use super::{class, lease, tasks};

fn elastic(name: &str, count: usize, min: u64, most: u64) -> Vec<TaskRequest> {
    tasks(name, count, class(name, min).with_most(Resource::Cpus, Milli::whole(most)))
}

fn granted(result: &SchedulingResult) -> BTreeMap<String, u64> {
    let tasks = result.assignments.iter().flat_map(|assignment| &assignment.tasks);
    tasks.map(|task| (task.request.id.to_string(), task.granted().cpus.thousandths())).collect()
}

fn grants<const N: usize>(all: [(&str, u64); N]) -> BTreeMap<String, u64> {
    all.into_iter().map(|(task, cpus)| (task.to_owned(), cpus)).collect()
}

#[test]
fn what_is_left_is_dealt_out_evenly() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let batch = [elastic("a", 1, 1, 3), elastic("b", 1, 2, 20), elastic("c", 1, 1, 20)].concat();
    let result = scheduler.schedule_once(Time::ZERO, &batch, vec![lease("l", "h", 14)]);
    // 10 are left: a takes 2 and is content, the others 4 each.
    assert_eq!(granted(&result), grants([("a0", 3000), ("b0", 6000), ("c0", 5000)]));
}

#[test]
fn nobody_grows_at_the_cost_of_a_later_task() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let batch = [elastic("a", 1, 1, 4), tasks("b", 3, class("b", 1))].concat();
    let result = scheduler.schedule_once(Time::ZERO, &batch, vec![lease("l", "h", 5)]);
    assert_eq!(result.placed(), 4);
    assert_eq!(granted(&result)["a0"], 2000);
}

#[test]
fn a_scalar_grows_as_well_and_one_that_nobody_offers_does_not() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let bandwidth = || Resource::Scalar("bandwidth".to_owned());
    let greedy = class("g", 1)
        .with_most(bandwidth(), Milli::whole(5))
        .with_most(Resource::Scalar("moon".to_owned()), Milli::whole(5))
        .with_most(Resource::Ports, Milli::whole(5));
    let mut offer = lease("l", "h", 1);
    offer.offered.scalars.insert("bandwidth".to_owned(), Milli::whole(3));
    let result = scheduler.schedule_once(Time::ZERO, &tasks("t", 1, greedy), vec![offer]);
    let task = &result.assignments[0].tasks[0];
    assert_eq!(task.granted().scalars, [("bandwidth".to_owned(), Milli::whole(3))].into());
    assert_eq!(task.ports, []);
}

#[test]
fn growth_stops_at_the_limit_of_the_group() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.set_limit("a", Limit::NONE.with(Measure::Cpus, Milli::whole(3)));
    let result =
        scheduler.schedule_once(Time::ZERO, &elastic("a", 2, 1, 9), vec![lease("l", "h", 20)]);
    assert_eq!(granted(&result).into_values().sum::<u64>(), 3000);
}

#[test]
fn what_a_group_at_its_limit_leaves_goes_to_others() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.set_limit("a", Limit::NONE);
    scheduler.set_limit("b", Limit::NONE.with(Measure::Cpus, Milli::whole(1)));
    let batch = [elastic("a", 1, 1, 6), elastic("b", 1, 1, 20)].concat();
    let result = scheduler.schedule_once(Time::ZERO, &batch, vec![lease("l", "h", 10)]);
    assert_eq!(granted(&result), grants([("a0", 6000), ("b0", 1000)]));
}

#[test]
fn those_at_the_limit_of_their_group_have_no_share_of_what_is_left() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.set_limit("a", Limit::NONE);
    scheduler.set_limit("c", Limit::NONE);
    scheduler.set_limit("b", Limit::NONE.with(Measure::Cpus, Milli::whole(2)));
    let batch = [elastic("a", 1, 1, 15), elastic("c", 1, 1, 16), elastic("b", 2, 1, 20)].concat();
    let result = scheduler.schedule_once(Time::ZERO, &batch, vec![lease("l", "h", 11)]);
    // 7 are left, of which b may have nothing: all of it goes to the others, and evenly.
    assert_eq!(granted(&result), grants([("a0", 4500), ("b0", 1000), ("b1", 1000), ("c0", 4500)]));
}

#[test]
fn what_was_granted_is_what_runs() {
    let mut scheduler = TaskScheduler::builder().single_lease().build().unwrap();
    let first =
        scheduler.schedule_once(Time::ZERO, &elastic("a", 1, 1, 3), vec![lease("l", "h", 4)]);
    scheduler.task_launched(&first.assignments[0].tasks[0], &"h".into());
    let used = scheduler.hosts().next().unwrap().used;
    assert_eq!(used.cpus, Milli::whole(3));
    let second = scheduler.schedule_once(Time::ZERO, &tasks("b", 2, class("b", 1)), vec![]);
    assert_eq!((second.placed(), second.failed()), (1, 1));
}

#[test]
fn a_question_is_answered_with_growth_and_leaves_none() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let answer = scheduler.what_if(&elastic("a", 1, 1, 3), vec![lease("l", "h", 9)]);
    assert_eq!(granted(&answer), grants([("a0", 3000)]));
    assert_eq!(scheduler.leases_held(), 0);
}

#[test]
fn what_is_kept_for_the_head_is_nobodys_to_grow_into() {
    let builder = TaskScheduler::builder().backfill(Backfill::default());
    let mut scheduler = builder.build().unwrap();
    let running = &tasks("r", 1, class("r", 3))[0];
    scheduler.task_assigned(running, &"h".into());
    scheduler.expect_end(&running.id, Time::from_secs(10));
    let batch = [tasks("head", 1, class("head", 8)), elastic("a", 1, 1, 9)].concat();
    let result = scheduler.schedule_once(Time::ZERO, &batch, vec![lease("l", "h", 7)]);
    // 10 in all, of which the head needs 8: two are for others.
    assert_eq!(granted(&result), grants([("a0", 2000)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Within its bounds, within what the host has, and max-min fair: who has less than another and could use
    /// more finds nothing left.
    #[test]
    fn growth_is_bounded_and_fair(
        hosts in prop::collection::vec(1..30_u64, 1..4),
        wishes in prop::collection::vec((1..6_u64, 0..12_u64), 1..12),
    ) {
        let fitness = Fitness::cpu_spreader();
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        let leases = hosts.iter().enumerate().map(|(n, cpus)| lease(&format!("l{n}"), &format!("h{n}"), *cpus));
        let batch: Vec<TaskRequest> = wishes
            .iter()
            .enumerate()
            .flat_map(|(n, (min, more))| elastic(&format!("t{n}-"), 1, *min, min + more))
            .collect();
        let result = scheduler.schedule_once(Time::ZERO, &batch, leases.collect());
        for assignment in &result.assignments {
            let number: usize = assignment.host.as_str()[1..].parse().unwrap();
            let left = hosts[number] * 1000
                - assignment.tasks.iter().map(|task| task.granted().cpus.thousandths()).sum::<u64>();
            let growth = |task: &fenzo::PlacedTask| {
                let class = &task.request.class;
                let (min, got) = (class.demand.cpus.thousandths(), task.granted().cpus.thousandths());
                (got - min, class.most[&Resource::Cpus].thousandths() - min)
            };
            for task in &assignment.tasks {
                let (grown, room) = growth(task);
                prop_assert!(grown <= room);
                if grown < room {
                    prop_assert_eq!(left, 0);
                    let most = assignment.tasks.iter().map(|other| growth(other).0).max();
                    prop_assert!(most.unwrap() <= grown + assignment.tasks.len() as u64);
                }
            }
        }
    }
}
