//! Explanations: counts, near misses, what would help, and what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fenzo::{
    AttributeTest, Change, Constraint, Fitness, Lease, Milli, Obstacle, Reason, Remedy, Resource,
    Resources, TaskClass, TaskRequest, TaskScheduler, Time,
};

use super::{class, lease, tasks};

fn scheduler() -> TaskScheduler {
    TaskScheduler::builder().fitness(Fitness::cpu_packer()).build().unwrap()
}

fn three() -> Vec<Lease> {
    (0..3_usize)
        .map(|n| {
            lease(&format!("l{n}"), &format!("h{n}"), n as u64 + 2)
                .with_attribute("zone", if n == 0 { "east" } else { "west" })
        })
        .collect()
}

#[test]
fn what_closures_refuse_is_counted_also_where_good_enough_is_enough() {
    for enough in [None, Some(1.0)] {
        let mut builder = TaskScheduler::builder().fitness(Fitness::cpu_packer());
        if let Some(enough) = enough {
            builder = builder.good_enough(enough);
        }
        let few = Constraint::custom("few", |_, host| host.id().as_str() < "h0010");
        let wanting = class("g", 1).with_hard(few);
        let hosts = (0..2000).map(|n| lease(&format!("l{n:04}"), &format!("h{n:04}"), 2));
        let all = tasks("t", 60, wanting);
        let result = builder.build().unwrap().schedule_once(Time::ZERO, &all, hosts.collect());
        assert_eq!((result.placed(), result.failed()), (20, 40));
        let refused = Reason::Constraint("few".to_owned());
        let reasons = &result.failures[0].explanation.reasons;
        assert_eq!(reasons.get(&refused), Some(&1990), "{enough:?}: {reasons:?}");
    }
}

#[test]
fn single_changes_are_named_with_the_least_of_each() {
    let wanting = class("g", 5).with_hard(Constraint::equals("zone", "west"));
    let result = scheduler().schedule_once(Time::ZERO, &tasks("t", 1, wanting), three());
    let why = &result.failures[0].explanation;
    let more = Change::More { resource: Resource::Cpus, amount: Milli::whole(1) };
    assert_eq!(why.remedies, [Remedy { change: more, host: "h2".into(), hosts: 2 }]);
    assert_eq!(why.remedies[0].to_string(), "1 cpus more on h2, or less wanted (2 hosts in all)");
    assert_eq!(why.nearest.as_ref().unwrap().host, "h2".into());
    let near: Vec<&str> = why.also_near.iter().map(|near| near.host.as_str()).collect();
    assert_eq!(near, ["h1", "h0"]);

    let nowhere = class("g", 3).with_hard(Constraint::equals("zone", "south"));
    let result = scheduler().schedule_once(Time::ZERO, &tasks("t", 1, nowhere), three());
    let change = Change::Without(Reason::Constraint("zone = south".to_owned()));
    let why = &result.failures[0].explanation;
    assert_eq!(why.remedies, [Remedy { change, host: "h1".into(), hosts: 2 }]);
    assert_eq!(
        why.remedies[0].to_string(),
        "h1 without \"constraint: zone = south\" (2 hosts in all)"
    );

    // Two things stand in the way everywhere: no single change helps.
    let both = class("g", 9).with_hard(Constraint::equals("zone", "south"));
    let result = scheduler().schedule_once(Time::ZERO, &tasks("t", 1, both), three());
    assert_eq!(result.failures[0].explanation.remedies, []);
}

#[test]
fn the_full_list_is_given_on_demand() {
    let mut scheduler = scheduler();
    scheduler.schedule_once(Time::ZERO, &[], three());
    let wanting = class("g", 4).with_hard(Constraint::equals("zone", "west"));
    let list = scheduler.explain_in_full(&tasks("t", 1, wanting)[0]);
    let lacks = |free: u64| Obstacle::Lacks {
        resource: Resource::Cpus,
        wanted: Milli::whole(4),
        free: Milli::whole(free),
    };
    let zone = Obstacle::Constraint("zone = west".to_owned());
    let wanted =
        [("h0".into(), vec![lacks(2), zone]), ("h1".into(), vec![lacks(3)]), ("h2".into(), vec![])];
    assert_eq!(list, wanted);
    assert_eq!(scheduler.leases_held(), 3);
}

#[test]
fn a_class_is_explained_once_however_often_it_fails() {
    let balanced = Arc::new(class("g", 1).with_hard(Constraint::balanced("zone")));
    // A zone without room: after each placement elsewhere the class may fit again, and fails again.
    let leases = vec![
        lease("l0", "h0", 40).with_attribute("zone", "east"),
        lease("l1", "h1", 0).with_attribute("zone", "west"),
    ];
    let other = Arc::new(class("g", 1));
    let batch: Vec<TaskRequest> = (0..40)
        .map(|n| TaskRequest::new(format!("t{n:02}"), if n % 2 == 0 { &balanced } else { &other }))
        .collect();
    let result = scheduler().schedule_once(Time::ZERO, &batch, leases);
    assert_eq!((result.placed(), result.failed(), result.failures.len()), (21, 19, 1));
}

/// Classes with rules that all fail, explained one by one and in bulk.
#[test]
fn many_classes_are_told_the_same_as_few() {
    let hosts = || {
        (0..40_u64).map(|n| {
            lease(&format!("l{n:02}"), &format!("h{n:02}"), n % 4 + 1)
                .with_attribute("zone", format!("z{}", n % 3))
        })
    };
    let rules = |n: usize| match n % 8 {
        0 => Constraint::equals("zone", "z1"),
        1 => Constraint::equals(fenzo::HOSTNAME, format!("h{n:02}")),
        2 => {
            Constraint::attribute("zone", AttributeTest::NotIn(["z0", "z2"].map(Into::into).into()))
        }
        3 => Constraint::UniqueHost,
        4 => Constraint::ExclusiveHost,
        5 => Constraint::affinity("nobody", fenzo::Level::attribute("zone")),
        6 => Constraint::balanced("zone"),
        _ => Constraint::equals("planet", "mars"),
    };
    let job = |n: usize| {
        let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(5 + n as u64 % 3, 1));
        TaskRequest::new(format!("t{n:02}"), &Arc::new(class.with_hard(rules(n))))
    };
    let all: Vec<TaskRequest> = (0..70).map(job).collect();
    let bulk = scheduler().schedule_once(Time::ZERO, &all, hosts().collect());
    assert_eq!((bulk.placed(), bulk.failed()), (0, 70));
    for task in &all {
        let alone =
            scheduler().schedule_once(Time::ZERO, std::slice::from_ref(task), hosts().collect());
        let (alone, bulk) = (alone.why(&task.id).unwrap(), bulk.why(&task.id).unwrap());
        assert_eq!((alone.hosts, &alone.reasons), (bulk.hosts, &bulk.reasons), "{}", task.id);
        let obstacles =
            |why: &fenzo::Explanation| why.nearest.as_ref().map(|near| near.obstacles.len());
        assert_eq!(obstacles(alone), obstacles(bulk), "{}", task.id);
    }
}

/// A closure is not asked again in order to explain.
#[test]
fn what_closures_refuse_is_told_however_many_classes_fail() {
    let asked = Arc::new(AtomicUsize::new(0));
    let job = |n: usize| {
        let asked = Arc::clone(&asked);
        let never = Constraint::custom(format!("never {n}"), move |_, _| {
            asked.fetch_add(1, Ordering::Relaxed);
            false
        });
        let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(1, 1)).with_hard(never);
        TaskRequest::new(format!("t{n:03}"), &Arc::new(class))
    };
    let all: Vec<TaskRequest> = (0..200).map(job).collect();
    let hosts = (0..1000).map(|n| lease(&format!("l{n:04}"), &format!("h{n:04}"), 4));
    let result = scheduler().schedule_once(Time::ZERO, &all, hosts.collect());
    assert_eq!(result.failed(), 200);
    for (n, task) in all.iter().enumerate() {
        let why = result.why(&task.id).unwrap();
        let reason = Reason::Constraint(format!("never {n}"));
        assert_eq!((why.hosts, &why.reasons), (1000, &[(reason, 1000)].into()), "{n}");
        assert!(why.nearest.is_some());
    }
    // Each is asked once about every host; the first classes once more.
    assert!(asked.load(Ordering::Relaxed) < 250_000, "{asked:?}");
}

/// Looking for reasons is work: it ends a run, and of what fails hosts are counted but none is named.
#[test]
fn explaining_is_bounded_by_the_work_limit() {
    let run = |hard: Option<Constraint>, limit: u64| {
        let job = |n: usize| {
            let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(5, 1));
            let class = hard.iter().cloned().fold(class, TaskClass::with_hard);
            TaskRequest::new(format!("t{n:03}"), &Arc::new(class))
        };
        let all: Vec<TaskRequest> = (0..300).map(job).collect();
        let hosts = (0..100).map(|n| lease(&format!("l{n:03}"), &format!("h{n:03}"), 4));
        let fitness = Fitness::cpu_packer();
        let scheduler = TaskScheduler::builder().fitness(fitness).work_limit(limit);
        scheduler.build().unwrap().schedule_once(Time::ZERO, &all, hosts.collect())
    };
    let lacks = [(Reason::Lacks(Resource::Cpus), 100)].into();
    // What balance refuses is told at once, and the run ends.
    let balanced = run(Some(Constraint::balanced("zone")), 1000);
    assert_eq!((balanced.failed(), balanced.untried.len()), (10, 290));
    // What room refuses is told at the end.
    let result = run(None, 1000);
    assert_eq!((result.failed(), result.evaluations), (300, 0));
    assert!(result.failures.iter().all(|failure| failure.explanation.reasons == lacks));
    let named = |result: &fenzo::SchedulingResult| {
        result.failures.iter().filter(|failure| failure.explanation.nearest.is_some()).count()
    };
    assert!(named(&result) < 100);
    assert_eq!(named(&run(None, u64::MAX)), 300);
}
