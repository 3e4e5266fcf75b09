//! How many hosts are looked at, and how often closures are asked: what must not grow, and what must not depend on
//! how a state came about.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::{Bounds, Choice, INDEX_ENTRIES, Pass, run, what_if};
use crate::cluster::{Cluster, Running};
use crate::constraint::Constraint;
use crate::fitness::{Combination, Fitness};
use crate::lease::Lease;
use crate::limit::Limits;
use crate::quantity::Milli;
use crate::request::{TaskClass, TaskRequest};
use crate::resources::{Resource, Resources};
use crate::result::{Reason, SetUse};

static NO_LIMITS: Limits = Limits::none();
const UNBOUNDED: Bounds<'static> =
    Bounds { limits: &NO_LIMITS, placements: usize::MAX, evaluations: u64::MAX, outlook: None };

fn choice(fitness: Fitness, good_enough: Option<f64>) -> Choice {
    Choice { fitness, good_enough, combination: Combination::Whole, filter: None }
}

fn add(cluster: &mut Cluster, host: usize, cpus: u64) {
    let id = format!("h{host:05}");
    let zone = format!("z{}", host % 3);
    let lease = Lease::new(id.as_str(), id.as_str(), Resources::cpus_mem(cpus, 1000));
    cluster.add_lease(lease.with_attribute("zone", zone)).unwrap();
}

fn tasks(class: &Arc<TaskClass>, count: usize) -> Vec<TaskRequest> {
    (0..count).map(|n| TaskRequest::new(format!("{}-{n}", class.group), class)).collect()
}

/// A closure that passes one host in a hundred, and counts how often it is asked.
fn picky(asked: &Arc<AtomicU32>) -> Constraint {
    let asked = Arc::clone(asked);
    Constraint::custom("picky", move |_, host| {
        asked.fetch_add(1, Relaxed);
        host.id().as_str().ends_with("00")
    })
}

/// What changed since a class failed is not looked at again for each task of it.
#[test]
fn a_class_that_fits_after_a_failure_does_not_look_at_all_that_changed() {
    const HOSTS: usize = 600;
    let choice = choice(Fitness::cpu_spreader(), None);
    let mut cluster = Cluster::new(choice.fitness.weights(), false);
    (0..HOSTS).for_each(|host| add(&mut cluster, host, 2));
    let company = Constraint::custom("in company", |_, host| host.tasks() > 0);
    let class = |group: &str| TaskClass::new(group, Resources::cpus_mem(1, 1));
    let shy = Arc::new(class("shy").with_hard(company));
    let plain = Arc::new(class("plain"));
    let mut all = tasks(&shy, HOSTS + 1);
    let plain = tasks(&plain, HOSTS);
    all.splice(1..1, plain);
    let result = run(&mut cluster, &choice, UNBOUNDED, &all);
    assert_eq!((result.placed(), result.failed()), (2 * HOSTS, 1));
    assert!(result.evaluations < 20 * HOSTS as u64, "{}", result.evaluations);
}

/// A spreader's best hosts are those that a closure refuses: they are asked about once, and what was refused
/// explains the failure at last.
#[test]
fn what_a_closure_refuses_is_remembered() {
    const HOSTS: u32 = 3000;
    let demand = Resources::cpus_mem(1, 1);
    let lacks = (Reason::Lacks(Resource::Cpus), 30);
    for (good_enough, ranked) in
        [(None, true), (None, false), (Some(2.0), true), (Some(2.0), false)]
    {
        for balanced in [false, true] {
            let asked = Arc::new(AtomicU32::new(0));
            let mut class = TaskClass::new("picky", demand.clone()).with_hard(picky(&asked));
            if balanced {
                class = class.with_hard(Constraint::balanced("zone"));
            }
            let choice = choice(Fitness::cpu_spreader(), good_enough);
            let weights = choice.fitness.weights().filter(|_| ranked);
            let mut cluster = Cluster::new(weights, false);
            (0..HOSTS as usize).for_each(|host| add(&mut cluster, host, 10));
            let result = run(&mut cluster, &choice, UNBOUNDED, &tasks(&Arc::new(class), 310));
            assert_eq!((result.placed(), result.failed()), (300, 10));
            let reasons = &result.failures[0].explanation.reasons;
            let refused = (Reason::Constraint("picky".into()), HOSTS - 30);
            assert_eq!(reasons.get(&lacks.0), Some(&lacks.1), "{good_enough:?} {ranked}");
            assert_eq!(reasons.get(&refused.0), Some(&refused.1), "{good_enough:?} {ranked}");
            // Without a ranking each host is looked at once more to find the nearest.
            let most = if ranked { 2 * HOSTS + 1000 } else { 3 * HOSTS + 1000 };
            assert!(asked.load(Relaxed) < most, "{asked:?} {good_enough:?} {ranked} {balanced}");
        }
    }
}

/// Hosts are cut into blocks as they came; that must not be seen in how much work a run does, which decides where
/// a bounded one ends.
#[test]
fn work_does_not_depend_on_how_the_state_came_about() {
    const HOSTS: usize = 400;
    let cpus = |host: usize| 4 + (host * 7 % 13) as u64;
    let classes: Vec<Arc<TaskClass>> = (0..9_u64)
        .map(|n| {
            let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(1 + n % 4, n + 1));
            Arc::new(match n % 3 {
                0 => class,
                1 => class.with_soft(Constraint::UniqueHost.soft(1)),
                _ => class.with_hard(Constraint::equals("zone", "z1")),
            })
        })
        .collect();
    let all: Vec<TaskRequest> =
        (0..700).map(|n| TaskRequest::new(format!("t{n}"), &classes[n * 5 % 9])).collect();
    for fitness in [Fitness::cpu_packer(), Fitness::cpu_memory_spreader()] {
        let choice = choice(fitness, None);
        let mut forward = Cluster::new(choice.fitness.weights(), false);
        (0..HOSTS).for_each(|host| add(&mut forward, host, cpus(host)));
        let mut backward = Cluster::new(choice.fitness.weights(), false);
        (HOSTS..2 * HOSTS).for_each(|host| add(&mut backward, host, 1));
        what_if(&mut backward, &choice, UNBOUNDED, &tasks(&classes[0], 50));
        for host in HOSTS..2 * HOSTS {
            backward.remove_lease(&format!("h{host:05}").as_str().into());
        }
        (0..HOSTS).rev().for_each(|host| add(&mut backward, host, cpus(host)));
        let first = what_if(&mut forward, &choice, UNBOUNDED, &all);
        let other = what_if(&mut backward, &choice, UNBOUNDED, &all);
        assert_eq!(first.assignments, other.assignments);
        assert_eq!(first.evaluations, other.evaluations, "{:?}", choice.fitness);
        // Asking moves hosts to and fro.
        let again = what_if(&mut forward, &choice, UNBOUNDED, &all);
        assert_eq!(first.evaluations, again.evaluations, "{:?}", choice.fitness);
    }
}

/// Hosts with named sets, of which one kind is full.
fn with_sets(hosts: usize) -> Cluster {
    let mut cluster = Cluster::new(Fitness::cpu_packer().weights(), false);
    let old = Arc::new(TaskClass::new("old", Resources::default()));
    for host in 0..hosts {
        let id = format!("h{host:05}");
        let lease = Lease::new(id.as_str(), id.as_str(), Resources::cpus_mem(10, 1000));
        if host % 2 == 0 {
            cluster.add_lease(lease.with_set("enis", 4, 30)).unwrap();
            continue;
        }
        cluster.add_lease(lease.with_set("enis", 1, 2)).unwrap();
        let value = Some("old".to_owned());
        let sets = vec![SetUse { name: "enis".into(), value, member: 0, amount: 2 }];
        let running = Running { class: Arc::clone(&old), ports: vec![], sets, devices: vec![] };
        cluster.add_task(format!("old-{host}").into(), running, &id.as_str().into());
    }
    cluster
}

/// Small members suit best, but where all are in use they promise nothing.
#[test]
fn members_that_are_all_in_use_do_not_lengthen_the_search() {
    let mut cluster = with_sets(2000);
    let all: Vec<TaskRequest> = (0..300)
        .map(|n| {
            let class = TaskClass::new("g", Resources::cpus_mem(1, 1));
            let class = class.with_set("enis", format!("v{}", n % 40), 1);
            TaskRequest::new(format!("t{n}"), &Arc::new(class))
        })
        .collect();
    let choice = choice(Fitness::cpu_packer(), None);
    let result = run(&mut cluster, &choice, UNBOUNDED, &all);
    assert_eq!(result.placed(), 300);
    assert!(result.evaluations < 300 * 100, "{}", result.evaluations);
}

/// Classes that fit nowhere are counted together on hosts that have named sets as well, and the counts are those of a
/// look at every host.
#[test]
fn many_classes_fail_at_a_small_price_where_hosts_have_sets() {
    const HOSTS: u32 = 2000;
    let class = |n: u64| {
        // Some lack room, others a member; there are 4 of them on each host that has any left.
        let cpus = if n.is_multiple_of(2) { 20 } else { 1 };
        let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(cpus, n + 1));
        match n % 3 {
            0 => class,
            1 => class.with_set("enis", "v", 31),
            _ => class.with_set("disks", "v", 1),
        }
    };
    let all: Vec<TaskRequest> =
        (0..600).map(|n| TaskRequest::new(format!("t{n}"), &Arc::new(class(n)))).collect();
    let choice = choice(Fitness::cpu_packer(), None);
    let mut cluster = with_sets(HOSTS as usize);
    let mut pass = Pass::new(&mut cluster, &choice, UNBOUNDED, &all, INDEX_ENTRIES);
    pass.place_all(&all);
    let looks = pass.looks;
    let result = pass.finish();
    // Those that need one cpu and no set fit.
    assert_eq!((result.placed(), result.failed()), (100, 500));
    assert!(looks < 30 * u64::from(HOSTS) + 600 * 300, "{looks}");
    for failure in &result.failures {
        let n: u64 = failure.tasks[0].as_str()[1..].parse().unwrap();
        let reasons = &failure.explanation.reasons;
        let lacks = |set: &str| reasons.get(&Reason::LacksSet(set.into())).copied();
        let cpus = reasons.get(&Reason::Lacks(Resource::Cpus)).copied();
        assert_eq!(cpus.unwrap_or(0) == HOSTS, n.is_multiple_of(2), "{reasons:?}");
        match n % 3 {
            0 => assert_eq!((lacks("enis"), lacks("disks")), (Some(HOSTS / 2), None)),
            1 => assert_eq!((lacks("enis"), lacks("disks")), (Some(HOSTS), None)),
            _ => assert_eq!((lacks("enis"), lacks("disks")), (None, Some(HOSTS))),
        }
    }
}

/// Hosts that could share a member of a set are looked at beforehand, and again with all others: what a closure says of
/// them counts once.
#[test]
fn what_a_closure_refuses_beside_sets_is_counted_once() {
    const HOSTS: u32 = 1100;
    let mut cluster = Cluster::new(Fitness::cpu_packer().weights(), false);
    let old = Arc::new(TaskClass::new("old", Resources::default()));
    for host in 0..HOSTS as usize {
        let id = format!("h{host:05}");
        let lease = Lease::new(id.as_str(), id.as_str(), Resources::cpus_mem(10, 1000));
        cluster.add_lease(lease.with_set("enis", 2, 30)).unwrap();
        if host < 200 {
            let value = Some("v".to_owned());
            let sets = vec![SetUse { name: "enis".into(), value, member: 0, amount: 2 }];
            let running = Running { class: Arc::clone(&old), ports: vec![], sets, devices: vec![] };
            cluster.add_task(format!("old-{host}").into(), running, &id.as_str().into());
        }
    }
    let class = TaskClass::new("g", Resources::cpus_mem(1, 1)).with_set("enis", "v", 1);
    let class = Arc::new(class.with_hard(Constraint::custom("never", |_, _| false)));
    let choice = choice(Fitness::cpu_packer(), None);
    let result = run(&mut cluster, &choice, UNBOUNDED, &tasks(&class, 1));
    let reasons = &result.failures[0].explanation.reasons;
    assert_eq!(reasons, &[(Reason::Constraint("never".into()), HOSTS)].into());
}

/// Which hosts are looked at to explain many failures, and so which are named and where a bounded run ends, depends on
/// the state alone as well.
#[test]
fn explanations_do_not_depend_on_how_the_state_came_about() {
    const HOSTS: usize = 400;
    let add = |cluster: &mut Cluster, host: usize| {
        let id = format!("h{host:05}");
        // Alike in what they are ranked by, so that hosts that lack much and little stand side by side.
        let disk = Milli::whole(5000 * (1 + host * 37 % 101) as u64);
        let offered = Resources { disk, ..Resources::cpus_mem(4, 100) };
        let lease = Lease::new(id.as_str(), id.as_str(), offered);
        cluster.add_lease(lease).unwrap();
    };
    let all: Vec<TaskRequest> = (0..60_u64)
        .map(|n| {
            let disk = Milli::whole(510_000 + 10_000 * n);
            let demand = Resources { disk, ..Resources::cpus_mem(4 + n % 2, 100 + n % 3) };
            let class = TaskClass::new(format!("g{n}"), demand);
            TaskRequest::new(format!("t{n}"), &Arc::new(class))
        })
        .collect();
    for fitness in [Fitness::cpu_packer(), Fitness::cpu_memory_spreader()] {
        let choice = choice(fitness, None);
        let mut forward = Cluster::new(choice.fitness.weights(), false);
        (0..HOSTS).for_each(|host| add(&mut forward, host));
        let mut backward = Cluster::new(choice.fitness.weights(), false);
        (0..2 * HOSTS).rev().for_each(|host| add(&mut backward, host));
        backward.begin();
        for host in (HOSTS..2 * HOSTS).chain((0..HOSTS).filter(|host| host % 5 == 0)) {
            backward.remove_lease(&format!("h{host:05}").as_str().into());
        }
        backward.begin();
        (0..HOSTS).filter(|host| host % 5 == 0).for_each(|host| add(&mut backward, host));
        let explained = |cluster: &mut Cluster| {
            let mut pass = Pass::new(cluster, &choice, UNBOUNDED, &all, INDEX_ENTRIES);
            pass.place_all(&all);
            let looks = pass.looks;
            let result = pass.finish();
            assert_eq!(result.failed(), 60);
            (looks, result.failures)
        };
        let (looks, failures) = explained(&mut forward);
        let (other, others) = explained(&mut backward);
        assert_eq!(failures, others);
        assert_eq!(looks, other, "{:?}", choice.fitness);
    }
}

/// Values that no host has any more do not keep a class from an index.
#[test]
fn values_of_the_past_do_not_lengthen_the_search() {
    const HOSTS: usize = 2000;
    let asked = Arc::new(AtomicU32::new(0));
    let class = TaskClass::new("picky", Resources::cpus_mem(1, 1)).with_hard(picky(&asked));
    let all = tasks(&Arc::new(class.with_hard(Constraint::balanced("zone"))), 150);
    let choice = choice(Fitness::cpu_spreader(), None);
    let mut cluster = Cluster::new(choice.fitness.weights(), false);
    (0..HOSTS).for_each(|host| add(&mut cluster, host, 10));
    // The hosts of an earlier day, each in a zone of its own; the question makes zones a column.
    for host in 0..200 {
        let id = format!("old{host}");
        let lease = Lease::new(id.as_str(), id.as_str(), Resources::cpus_mem(1, 1));
        cluster.add_lease(lease.with_attribute("zone", id.as_str())).unwrap();
    }
    what_if(&mut cluster, &choice, UNBOUNDED, &all[..1]);
    for host in 0..200 {
        assert!(cluster.remove_lease(&format!("old{host}").as_str().into()));
    }
    asked.store(0, Relaxed);
    let result = run(&mut cluster, &choice, UNBOUNDED, &all);
    assert_eq!(result.placed(), 150);
    assert!(asked.load(Relaxed) < 3 * HOSTS as u32, "{asked:?}");
}

/// A spreader says 0 of a host that a task would fill, and nothing else is against it.
#[test]
fn hosts_that_are_refused_for_their_fitness_are_counted_however_many_classes_fail() {
    const HOSTS: u32 = 100;
    let fenzo1 = |fitness| Choice { combination: Combination::Fenzo1, ..choice(fitness, None) };
    let unfit = fenzo1(Fitness::cpu_spreader());
    let nan = choice(Fitness::custom(|_, _| f64::NAN), None);
    for choice in [unfit, nan] {
        let mut cluster = Cluster::new(choice.fitness.weights(), false);
        (0..HOSTS as usize).for_each(|host| add(&mut cluster, host, 4));
        let class = |n: u32| {
            let class = TaskClass::new(format!("g{n}"), Resources::cpus_mem(4, 1));
            Arc::new(match n % 3 {
                0 => class,
                1 => class.with_hard(Constraint::UniqueHost),
                _ => class.with_hard(Constraint::balanced("zone")),
            })
        };
        let all: Vec<TaskRequest> =
            (0..60).map(|n| TaskRequest::new(format!("t{n}"), &class(n))).collect();
        let result = run(&mut cluster, &choice, UNBOUNDED, &all);
        assert_eq!(result.failures.len(), 60);
        for failure in &result.failures {
            assert_eq!(failure.explanation.reasons, [(Reason::ZeroFitness, HOSTS)].into());
        }
    }
}
