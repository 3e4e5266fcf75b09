//! Input that is wrong in every way there is: an error with a name, and a state as it was.
//!
//! Amounts below nothing cannot be written down: quantities are unsigned. The rest is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    BuildError, Constraint, Fitness, HostId, HostStatus, Lease, LeaseProblem, Measure, Milli,
    Problem, QueueError, QueuedTask, Reason, Resource, Resources, TaskClass, TaskQueue,
    TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

fn lease(id: &str, host: &str) -> Lease {
    Lease::new(id, host, Resources::cpus_mem(4, 4000)).with_attribute("zone", "east")
}

fn class(cpus: u64) -> TaskClass {
    TaskClass::new("g", Resources::cpus_mem(cpus, 100))
}

fn task(id: &str, class: TaskClass) -> TaskRequest {
    TaskRequest::new(id, &Arc::new(class))
}

fn scheduler() -> TaskScheduler {
    let mut scheduler = TaskScheduler::builder().fitness(Fitness::cpu_packer()).build().unwrap();
    scheduler.task_assigned(&task("old", class(1)), &"h1".into());
    scheduler.schedule_once(Time::ZERO, &[], vec![lease("l1", "h1"), lease("l2", "h2")]);
    scheduler
}

fn state(scheduler: &TaskScheduler) -> Vec<HostStatus> {
    scheduler.hosts().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However great the amounts: nothing wraps around, nothing is over-committed, nobody panics.
    #[test]
    fn absurd_amounts_are_only_amounts(
        offers in prop::collection::vec((0..3_u8, absurd()), 0..6),
        demands in prop::collection::vec(absurd(), 0..6),
        running in prop::collection::vec((0..3_u8, absurd()), 0..4),
        spread in any::<bool>(),
        single in any::<bool>(),
    ) {
        let fitness = match spread {
            true => Fitness::cpu_memory_spreader(),
            false => Fitness::cpu_memory_network_packer(),
        };
        let builder = TaskScheduler::builder().fitness(fitness);
        let builder = if single { builder.single_lease() } else { builder };
        let mut scheduler = builder.build().unwrap();
        for (number, (host, demand)) in running.into_iter().enumerate() {
            let id = format!("r{number}");
            let running = task(&id, TaskClass::new("g", demand));
            scheduler.task_assigned(&running, &HostId::from(format!("h{host}")));
        }
        let offer = |(number, (host, offered)): (usize, (u8, Resources))| {
            Lease::new(format!("l{number}"), format!("h{host}"), offered)
        };
        let leases: Vec<Lease> = offers.into_iter().enumerate().map(offer).collect();
        let tasks: Vec<TaskRequest> = demands
            .into_iter()
            .enumerate()
            .map(|(number, demand)| task(&format!("t{number}"), TaskClass::new("g", demand)))
            .collect();
        let result = scheduler.schedule_once(Time::ZERO, &tasks, leases.clone());
        prop_assert_eq!(result.placed() + result.failed(), tasks.len());
        for assignment in &result.assignments {
            let of = |lease: &&Lease| assignment.leases.contains(&lease.id);
            let offered: u128 =
                leases.iter().filter(of).map(|l| u128::from(l.offered.cpus.thousandths())).sum();
            let taken: u128 = assignment
                .tasks
                .iter()
                .map(|task| u128::from(task.request.class.demand.cpus.thousandths()))
                .sum();
            prop_assert!(taken <= offered, "{} of {}", taken, offered);
        }
    }
}

fn absurd() -> impl Strategy<Value = Resources> {
    let amount = || {
        prop_oneof![
            Just(0),
            Just(1_u64),
            0..1_000_000_u64,
            any::<u64>(),
            Just(u64::MAX / 2),
            Just(u64::MAX / 2 + 1),
            Just(u64::MAX),
        ]
    };
    (amount(), amount(), amount(), amount(), amount()).prop_map(
        |(cpus, mem, disk, network, gpus)| {
            let of = Milli::from_thousandths;
            let scalars = BTreeMap::from([("gpus".to_owned(), of(gpus))]);
            Resources {
                cpus: of(cpus),
                mem: of(mem),
                disk: of(disk),
                network: of(network),
                scalars,
            }
        },
    )
}

#[test]
fn unknown_attributes_scalars_and_sets_fail_the_task_that_names_them() {
    let mut scheduler = scheduler();
    let mut gpus = class(1);
    gpus.demand.scalars.insert("gpus".into(), Milli::whole(1));
    let rack = Constraint::equals("rack", "r1");
    let tasks = [
        task("rack", class(1).with_hard(rack.clone())),
        task("balanced", class(1).with_hard(Constraint::balanced("rack"))),
        task("gpus", gpus),
        task("set", class(1).with_set("ENIs", "sg1", 1)),
        task("wish", class(1).with_soft(rack.clone().soft(1))),
        task("plain", class(1)),
    ];
    let result = scheduler.schedule_once(Time::ZERO, &tasks, vec![]);
    assert_eq!((result.placed(), result.failed()), (2, 4), "{:?}", result.failures);
    let reasons = |id: &str| &result.why(&id.into()).unwrap().reasons;
    assert_eq!(reasons("rack")[&Reason::Constraint(rack.to_string())], 2);
    assert_eq!(reasons("gpus")[&Reason::Lacks(Resource::Scalar("gpus".into()))], 2);
    assert_eq!(reasons("set")[&Reason::LacksSet("ENIs".into())], 2);
}

#[test]
fn weights_that_make_no_mean_build_no_scheduler() {
    let of = |fitness| TaskScheduler::builder().fitness(fitness).build().unwrap_err();
    let part = || Fitness::Pack(vec![Measure::Cpus]);
    for fitness in [
        Fitness::Weighted(vec![]),
        Fitness::Weighted(vec![(0, part()), (0, part())]),
        Fitness::Weighted(vec![(1, Fitness::Pack(vec![]))]),
        Fitness::Spread(vec![]),
    ] {
        assert!(matches!(of(fitness), BuildError::Fitness(_)));
    }
    // What they add up to is nobody's business: they are brought to one.
    let heavy = Fitness::Weighted(vec![(u32::MAX, part()), (u32::MAX, Fitness::Any)]);
    let mut scheduler = TaskScheduler::builder().fitness(heavy).build().unwrap();
    let result = scheduler.schedule_once(Time::ZERO, &[task("t", class(1))], vec![lease("l", "h")]);
    let score = result.assignments[0].tasks[0].score;
    assert!((score.calculator - 0.625).abs() < 1e-12);
}

#[test]
fn an_id_that_comes_twice_is_refused_the_second_time() {
    let mut scheduler = scheduler();
    let before = state(&scheduler);
    let twice = [task("t", class(9)), task("t", class(1)), task("old", class(1))];
    let result = scheduler.schedule_once(Time::ZERO, &twice, vec![lease("l1", "h3")]);
    let refused = vec![("t".into(), Problem::Repeated), ("old".into(), Problem::Running)];
    assert_eq!((result.placed(), result.failed(), result.refused), (0, 1, refused));
    let held = [("l1".into(), LeaseProblem::Held)];
    assert_eq!(result.ignored, held, "a lease of that id is held, of another host even");
    assert_eq!(state(&scheduler), before);

    let mut queue = TaskQueue::tiered(1);
    queue.queue(QueuedTask::new(task("t", class(1)), 0, "b")).unwrap();
    let again = queue.queue(QueuedTask::new(task("t", class(2)), 0, "c"));
    assert_eq!(again, Err(QueueError::Duplicate("t".into())));
    let nowhere = queue.queue(QueuedTask::new(task("u", class(1)), 7, "b"));
    assert_eq!(nowhere, Err(QueueError::NoSuchTier { tier: 7, tiers: 1 }));
    assert_eq!((queue.queued(), queue.tasks().count()), (1, 1));
}

#[test]
fn what_is_not_there_is_not_taken_away() {
    let mut scheduler = scheduler();
    let before = state(&scheduler);
    assert!(!scheduler.task_unassigned(&"old".into(), &"h2".into()), "it runs on h1");
    assert!(!scheduler.task_unassigned(&"nobody".into(), &"h1".into()));
    assert!(!scheduler.task_unassigned(&"old".into(), &"gone".into()));
    assert!(!scheduler.expire_lease(&"no such lease".into()));
    assert_eq!(scheduler.expire_host(&"gone".into()), []);
    assert_eq!(state(&scheduler), before);

    assert!(scheduler.task_unassigned(&"old".into(), &"h1".into()));
    let after = state(&scheduler);
    assert!(!scheduler.task_unassigned(&"old".into(), &"h1".into()), "twice");
    assert_eq!(state(&scheduler), after);
}

#[test]
fn an_offer_of_a_host_that_is_gone_is_given_back() {
    let mut scheduler = scheduler();
    let until = Time::from_secs(100);
    assert_eq!(scheduler.disable_host(&"h2".into(), until), ["l2".into()]);
    let before = state(&scheduler);
    let late = vec![lease("late", "h2")];
    let result = scheduler.schedule_once(Time::from_secs(1), &[task("t", class(4))], late);
    assert_eq!((result.placed(), result.expired), (1, vec!["late".into()]));
    assert_eq!(result.ignored, [("late".into(), LeaseProblem::HostDisabled)]);
    assert_eq!(result.assignments[0].host, "h1".into());
    assert_eq!(scheduler.leases_held(), 0);
    assert_eq!(before.len(), 1, "h2 is nowhere any more");
    assert!(scheduler.hosts().all(|host| host.host != "h2".into()));
}
