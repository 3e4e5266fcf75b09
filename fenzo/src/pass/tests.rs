//! The index and the ranking against the scan: the same placements, whatever the classes, constraints and thresholds are.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::class::Class;
use super::explain;
use super::survey::Survey;
use super::{Bounds, Choice, INDEX_ENTRIES, Pass, run, what_if};
use crate::cluster::{Cluster, Running};
use crate::constraint::{Constraint, SoftConstraint};
use crate::fitness::{Combination, Fitness};
use crate::lease::Lease;
use crate::limit::Limits;
use crate::quantity::{Milli, Time};
use crate::request::{TaskClass, TaskRequest};
use crate::resources::{Measure, PortRange, Resources};
use crate::result::{Explanation, Reason};

static NO_LIMITS: Limits = Limits::none();
const UNBOUNDED: Bounds<'static> =
    Bounds { limits: &NO_LIMITS, placements: usize::MAX, evaluations: u64::MAX, outlook: None };

fn resources(cpus: u64, mem: u64) -> Resources {
    Resources {
        cpus: Milli::from_thousandths(cpus * 100),
        mem: Milli::from_thousandths(mem * 1000),
        ..Resources::default()
    }
}

fn constraint() -> impl Strategy<Value = Constraint> {
    prop_oneof![
        Just(Constraint::UniqueHost),
        Just(Constraint::ExclusiveHost),
        Just(Constraint::balanced("zone")),
        Just(Constraint::balanced("rack")),
        Just(Constraint::unique_attribute("rack")),
        Just(Constraint::equals("zone", "z1")),
        Just(Constraint::custom("not alone", |class, host| {
            host.tasks_of(&class.group) > 0 || host.free(Measure::Cpus) > Milli::whole(2)
        })),
    ]
}

fn soft() -> impl Strategy<Value = SoftConstraint> {
    (constraint(), 0..3_u32).prop_map(|(constraint, weight)| constraint.soft(weight))
}

prop_compose! {
    fn class()(
        group in 0..3_u8,
        cpus in 1..20_u64,
        mem in 1..20_u64,
        ports in 0..3_u32,
        hard in prop::collection::vec(constraint(), 0..3),
        soft in prop::collection::vec(soft(), 0..3),
    ) -> Arc<TaskClass> {
        let group = format!("g{group}");
        let class = TaskClass::new(group, resources(cpus, mem)).with_ports(ports);
        Arc::new(TaskClass { hard, soft, ..class })
    }
}

prop_compose! {
    fn cluster()(
        hosts in prop::collection::vec((1..60_u64, 1..60_u64, 0..3_u8, 0..4_u8, 0..2_u8), 1..14),
        running in prop::collection::vec((0..14_usize, class()), 0..5),
    ) -> Cluster {
        let mut cluster = Cluster::default();
        for (host, (cpus, mem, zone, rack, more)) in hosts.iter().enumerate() {
            let name = format!("h{host:02}");
            for part in 0..=*more {
                let mut lease = Lease::new(format!("{name}-{part}"), name.as_str(), resources(*cpus, *mem))
                    .with_attribute("zone", format!("z{zone}"))
                    .with_ports(PortRange::new(10, 12).unwrap())
                    .with_offered_at(Time::from_secs(u64::from(part)));
                if *rack > 0 {
                    lease = lease.with_attribute("rack", format!("r{rack}"));
                }
                cluster.add_lease(lease).unwrap();
            }
        }
        for (task, (host, class)) in running.into_iter().enumerate() {
            cluster.add_task(format!("running-{task}").into(), Running::new(&class), &format!("h{host:02}").as_str().into());
        }
        cluster
    }
}

fn choice() -> impl Strategy<Value = Choice> {
    let fitness = prop_oneof![
        Just(Fitness::Any),
        Just(Fitness::cpu_memory_packer()),
        Just(Fitness::cpu_memory_spreader()),
        Just(Fitness::Weighted(vec![(1, Fitness::cpu_packer()), (2, Fitness::memory_spreader())])),
    ];
    let good_enough = prop_oneof![Just(None), (0..11_u8).prop_map(|t| Some(f64::from(t) / 10.0))];
    let combination = prop_oneof![Just(Combination::Whole), Just(Combination::Fenzo1)];
    (fitness, good_enough, combination).prop_map(|(fitness, good_enough, combination)| Choice {
        fitness,
        good_enough,
        combination,
        filter: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn index_and_ranking_place_as_the_scan_does(
        cluster in cluster(),
        classes in prop::collection::vec(class(), 1..4),
        order in prop::collection::vec(0..4_usize, 1..40),
        choice in choice(),
    ) {
        let tasks: Vec<TaskRequest> = order
            .iter()
            .enumerate()
            .map(|(id, class)| TaskRequest::new(format!("t{id}"), &classes[class % classes.len()]))
            .collect();
        let run = |weights: Option<[f64; 4]>, index_limit: usize| {
            let mut cluster = cluster.clone();
            cluster.rank_by(weights);
            let mut pass = Pass::new(&mut cluster, &choice, UNBOUNDED, &tasks, index_limit);
            pass.place_all(&tasks);
            pass.finish()
        };
        let scanned = run(None, 0);
        let indexed = run(None, INDEX_ENTRIES);
        let bounded = run(None, 20);
        let ranked = run(choice.fitness.weights(), 0);
        prop_assert_eq!(&scanned.assignments, &ranked.assignments);
        prop_assert_eq!(&scanned.failures, &ranked.failures);
        prop_assert_eq!(&scanned.assignments, &indexed.assignments);
        prop_assert_eq!(&scanned.failures, &indexed.failures);
        prop_assert_eq!(&scanned.assignments, &bounded.assignments);
        prop_assert_eq!(&scanned.failures, &bounded.failures);
    }
}

#[test]
fn the_room_of_a_finished_class_is_there_for_the_next() {
    let mut cluster = Cluster::default();
    for host in 0..10 {
        let id = format!("h{host}");
        cluster.add_lease(Lease::new(id.as_str(), id.as_str(), resources(1000, 1000))).unwrap();
    }
    let choice = Choice {
        fitness: Fitness::cpu_packer(),
        good_enough: None,
        combination: Combination::Whole,
        filter: None,
    };
    let mut tasks = Vec::new();
    for group in ["a", "b", "c"] {
        let class = Arc::new(TaskClass::new(group, resources(1, 1)));
        tasks.extend((0..20).map(|task| TaskRequest::new(format!("{group}{task}"), &class)));
    }
    // Room for one index: each class in turn looks at the ten hosts once, then at one host a task.
    let mut pass = Pass::new(&mut cluster, &choice, UNBOUNDED, &tasks, 10);
    pass.place_all(&tasks);
    let result = pass.finish();
    assert_eq!((result.placed(), result.evaluations), (60, 3 * (10 + 19)));
}

proptest! {
    #[test]
    fn a_question_changes_no_answer(
        cluster in cluster(),
        classes in prop::collection::vec(class(), 1..4),
        asked in prop::collection::vec(0..4_usize, 1..20),
        choice in choice(),
    ) {
        let tasks: Vec<TaskRequest> = asked
            .iter()
            .enumerate()
            .map(|(id, class)| TaskRequest::new(format!("t{id}"), &classes[class % classes.len()]))
            .collect();
        let mut cluster = cluster;
        cluster.rank_by(choice.fitness.weights());
        let mut asked = cluster.clone();
        let answer = what_if(&mut asked, &choice, UNBOUNDED, &tasks);
        prop_assert_eq!(asked.lease_count(), cluster.lease_count());
        let again = what_if(&mut asked, &choice, UNBOUNDED, &tasks);
        let done = run(&mut asked, &choice, UNBOUNDED, &tasks);
        prop_assert_eq!(&answer, &again);
        prop_assert_eq!(&answer, &done);
        prop_assert_eq!(&answer, &run(&mut cluster, &choice, UNBOUNDED, &tasks));
    }
}

/// A survey says what looking at every host says; which of the nearest hosts is named may differ.
#[test]
fn a_survey_counts_what_a_look_at_every_host_counts() {
    let mut cluster = Cluster::new(Fitness::cpu_memory_packer().weights(), false);
    for host in 0..500_u64 {
        let id = format!("h{host}");
        let offered = resources(host * 7 % 31 + 1, host * 5 % 17 + 1);
        cluster.add_lease(Lease::new(id.as_str(), id.as_str(), offered)).unwrap();
    }
    let held = TaskClass::new("held", Resources::default()).with_hard(Constraint::ExclusiveHost);
    let alone = Running::new(&Arc::new(held));
    cluster.add_task("alone".into(), alone, &"h7".into());
    cluster.begin();
    let mut survey = Survey::new(&cluster);
    for (cpus, mem, ports) in [(40, 1, 0), (1, 30, 0), (31, 18, 0), (40, 40, 2), (30, 16, 1)] {
        let class = TaskClass::new("g", resources(cpus, mem)).with_ports(ports);
        let class = Class::new(&class, None, &mut cluster);
        let looked = explain::explain(&class, &cluster, None);
        let (counted, looks) = survey.explain(&class, &cluster, cluster.ranking());
        assert!(0 < looks && looks <= 500);
        let (rough, none) = survey.explain(&class, &cluster, None);
        assert_eq!((rough.reasons, rough.nearest, none), (counted.reasons.clone(), None, 0));
        assert_eq!((looked.hosts, &looked.reasons), (counted.hosts, &counted.reasons));
        let nearest = |e: &Explanation| e.nearest.as_ref().map(|near| near.obstacles.clone());
        assert_eq!(nearest(&looked), nearest(&counted), "{cpus} {mem} {ports}");
    }
}

/// It keeps up with what is placed and taken back, and begins anew after much of it.
#[test]
fn a_survey_keeps_up_with_what_is_placed() {
    let mut cluster = Cluster::new(Fitness::cpu_memory_packer().weights(), false);
    for host in 0..60_u64 {
        let id = format!("h{host:02}");
        let zone = format!("z{}", host % 3);
        let offered = resources(host % 7 + 20, 100);
        let lease = Lease::new(id.as_str(), id.as_str(), offered).with_attribute("zone", zone);
        cluster.add_lease(lease).unwrap();
    }
    cluster.begin();
    let small = TaskClass::new("small", resources(1, 3)).with_hard(Constraint::balanced("zone"));
    let small = Class::new(&small, None, &mut cluster);
    let mut survey = Survey::new(&cluster);
    for step in 0..400_usize {
        let alone = step % 50 == 0;
        cluster.take(step * 7 % 60, small.group(), small.demand(), alone, Vec::new());
        if step % 5 == 0 {
            cluster.roll_back(step - step / 5, |_| small.demand());
        }
        let cpus = 15 + step as u64 % 12;
        let class = TaskClass::new("small", resources(cpus, 90));
        let class = class.with_hard(Constraint::balanced("zone"));
        let class = class.with_hard(Constraint::UniqueHost);
        let class = Class::new(&class, None, &mut cluster);
        survey.catch_up(&cluster);
        let (counted, _) = survey.explain(&class, &cluster, None);
        let mut looked = explain::explain(&class, &cluster, None);
        // A host that nothing is against is not asked for.
        looked.reasons.remove(&Reason::ZeroFitness);
        assert_eq!((looked.hosts, looked.reasons), (counted.hosts, counted.reasons), "{step}");
    }
}

/// Packers put hosts that are used first, and a group that shares no host is refused by more of them with each
/// task: they are not passed by again and again.
#[test]
fn tasks_that_share_no_host_do_not_pass_by_all_used_hosts_each() {
    let mut cluster = Cluster::default();
    for host in 0..600_u64 {
        let id = format!("h{host:03}");
        let offered = resources(host % 9 + 40, 100);
        cluster.add_lease(Lease::new(id.as_str(), id.as_str(), offered)).unwrap();
    }
    let alone =
        Arc::new(TaskClass::new("alone", resources(1, 1)).with_hard(Constraint::UniqueHost));
    let wish = TaskClass::new("wish", resources(1, 2));
    let wish = Arc::new(wish.with_soft(Constraint::UniqueHost.soft(1)));
    let other = Arc::new(TaskClass::new("other", resources(3, 3)));
    let tasks: Vec<TaskRequest> = (0..1800)
        .map(|n| TaskRequest::new(format!("t{n}"), [&alone, &wish, &other][n % 3]))
        .collect();
    let choice = Choice {
        fitness: Fitness::cpu_packer(),
        good_enough: None,
        combination: Combination::Whole,
        filter: None,
    };
    let run = |weights: Option<[f64; 4]>, index_limit: usize| {
        let mut cluster = cluster.clone();
        cluster.rank_by(weights);
        let mut pass = Pass::new(&mut cluster, &choice, UNBOUNDED, &tasks, index_limit);
        pass.place_all(&tasks);
        pass.finish()
    };
    let scanned = run(None, 0);
    let ranked = run(choice.fitness.weights(), INDEX_ENTRIES);
    assert_eq!(scanned.placed(), 1800);
    assert_eq!(scanned.assignments, ranked.assignments);
    let walked = run(choice.fitness.weights(), 0);
    assert_eq!(walked.assignments, ranked.assignments);
    assert!(ranked.evaluations < 30_000 && walked.evaluations > 100_000);
}

/// Hosts with sets stand in the ranking as others do, and those alike are passed over together.
#[test]
fn named_sets_make_no_task_look_at_every_host() {
    let mut cluster = Cluster::default();
    for host in 0..600_u64 {
        let id = format!("h{host:03}");
        let lease = Lease::new(id.as_str(), id.as_str(), resources(40, 100));
        let lease = match host % 3 {
            0 => lease.with_set("enis", 2, 6),
            1 => lease.with_set("enis", 4, 12),
            _ => lease,
        };
        cluster.add_lease(lease).unwrap();
    }
    let class = |n: usize| {
        let class = TaskClass::new(format!("g{}", n % 7), resources(1 + n as u64 % 4, 1));
        Arc::new(match n % 5 {
            0 => class,
            value => class.with_set("enis", format!("v{}", value % 3), 1),
        })
    };
    let tasks: Vec<TaskRequest> =
        (0..1200).map(|n| TaskRequest::new(format!("t{n}"), &class(n))).collect();
    for fitness in [Fitness::cpu_packer(), Fitness::cpu_memory_spreader(), Fitness::Any] {
        let filter = None;
        let combination = Combination::Whole;
        let choice = Choice { fitness, good_enough: None, combination, filter };
        let run = |weights: Option<[f64; 4]>| {
            let mut cluster = cluster.clone();
            cluster.rank_by(weights);
            run(&mut cluster, &choice, UNBOUNDED, &tasks)
        };
        let (scanned, ranked) = (run(None), run(choice.fitness.weights()));
        assert_eq!(ranked.assignments, scanned.assignments, "{:?}", choice.fitness);
        assert_eq!(ranked.placed(), tasks.len());
        let (few, many) = (ranked.evaluations, scanned.evaluations);
        assert!(few * 4 < many, "{:?}: {few} against {many}", choice.fitness);
    }
}

#[test]
fn a_closure_that_refused_all_hosts_is_asked_again_about_those_that_changed() {
    const HOSTS: usize = 2000;
    let mut cluster = Cluster::new(Fitness::cpu_packer().weights(), false);
    for host in 0..HOSTS {
        let id = format!("h{host:04}");
        cluster.add_lease(Lease::new(id.as_str(), id.as_str(), resources(40, 100))).unwrap();
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    // The one host that got a task is welcome once it has two.
    let closure = Constraint::custom("two tasks", move |_, host| {
        counter.fetch_add(1, Relaxed);
        host.tasks() >= 2
    });
    let picky = Arc::new(TaskClass::new("picky", resources(1, 1)).with_hard(closure));
    let plain = Arc::new(TaskClass::new("plain", resources(1, 1)));
    let of = |n: usize| if [5, 9].contains(&n) { &plain } else { &picky };
    let tasks: Vec<TaskRequest> =
        (0..12).map(|n| TaskRequest::new(format!("t{n:02}"), of(n))).collect();
    let choice = Choice {
        fitness: Fitness::cpu_packer(),
        good_enough: None,
        combination: Combination::Whole,
        filter: None,
    };
    let result = run(&mut cluster, &choice, UNBOUNDED, &tasks);
    assert_eq!((result.placed(), result.failed()), (4, 8));
    let refused = &result.failures[0].explanation.reasons;
    assert_eq!(refused[&Reason::Constraint("two tasks".into())], HOSTS as u32);
    assert!(asked.load(Relaxed) < HOSTS + 200, "{asked:?}");
}
