//! Laws that hold for every cluster and every batch, checked on random ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad;
mod oracle;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fenzo::{
    AttributeTest, Combination, Constraint, Fitness, GroupName, HostId, Lease, Level, Limit,
    Measure, Milli, PortRange, Resources, SchedulingResult, SoftConstraint, TaskClass, TaskRequest,
    TaskScheduler, Time,
};
use oracle::{Oracle, Rule};
use proptest::prelude::*;

fn resources() -> impl Strategy<Value = Resources> {
    let small = 0..12_u64;
    (small.clone(), small.clone(), small.clone(), small.clone(), 0..3_u64).prop_map(
        |(cpus, mem, disk, network, gpus)| {
            let quarter = |quarters| Milli::from_thousandths(quarters * 250);
            let mut scalars = BTreeMap::new();
            if gpus > 0 {
                scalars.insert("gpus".to_owned(), Milli::whole(gpus));
            }
            Resources {
                cpus: quarter(cpus),
                mem: quarter(mem),
                disk: quarter(disk),
                network: quarter(network),
                scalars,
            }
        },
    )
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let balanced = (1..3_u32, 0..4_u32).prop_map(|(max_skew, expected_values)| {
        Constraint::Balanced { name: "zone".into(), max_skew, expected_values }
    });
    let zones = ["z0", "z1"].map(Into::into);
    let level = prop_oneof![Just(Level::host()), Just(Level::attribute("zone"))];
    let at_places = (0..3_u8, level, 0..3_u8, 0..3_u32).prop_map(|(key, level, kind, max_skew)| {
        let key = format!("g{key}");
        match kind {
            0 => Constraint::affinity(key, level),
            1 => Constraint::anti_affinity(key, level),
            _ => Constraint::Spread { key: key.into(), level, max_skew },
        }
    });
    prop_oneof![
        Just(Constraint::UniqueHost),
        Just(Constraint::ExclusiveHost),
        Just(Constraint::unique_attribute("zone")),
        Just(Constraint::equals("zone", "z1")),
        Just(Constraint::equals(fenzo::HOSTNAME, "h1")),
        Just(Constraint::attribute("zone", AttributeTest::In(zones.into()))),
        Just(Constraint::attribute("zone", AttributeTest::Exists)),
        Just(Constraint::attribute("speed", AttributeTest::AtLeast(2000))),
        balanced.clone(),
        balanced,
        at_places.clone(),
        at_places.clone(),
        at_places,
    ]
}

fn class() -> impl Strategy<Value = Arc<TaskClass>> {
    let soft = (constraint(), 0..3_u32);
    let soft = soft.prop_map(|(constraint, weight)| constraint.soft(weight));
    let parts = (
        0..3_u8,
        resources(),
        0..3_u32,
        prop::collection::vec(constraint(), 0..3),
        prop::collection::vec(soft, 0..4),
    );
    parts.prop_map(
        |(group, mut demand, ports, hard, soft): (_, Resources, _, _, Vec<SoftConstraint>)| {
            // Tasks are smaller than hosts.
            for amount in [&mut demand.cpus, &mut demand.mem, &mut demand.disk, &mut demand.network]
            {
                *amount = Milli::from_thousandths(amount.thousandths() / 4);
            }
            let class = TaskClass::new(format!("g{group}"), demand).with_ports(ports);
            Arc::new(TaskClass { hard, soft, ..class })
        },
    )
}

fn batch(id: &'static str, size: usize) -> impl Strategy<Value = Vec<TaskRequest>> {
    let classes = prop::collection::vec(class(), 1..4);
    let order = prop::collection::vec(0..4_usize, 0..size);
    (classes, order).prop_map(move |(classes, order)| {
        let class = |class: usize| &classes[class % classes.len()];
        order
            .into_iter()
            .enumerate()
            .map(|(task, of)| TaskRequest::new(format!("{id}{task}"), class(of)))
            .collect()
    })
}

/// Leases of up to eight hosts, several of one host among them, and overlapping port ranges.
fn leases() -> impl Strategy<Value = Vec<Lease>> {
    let lease = (0..8_u8, resources(), 0..20_u64, 0..6_u64, 0..4_u8, 0..4_i64, 0..5_u64);
    prop::collection::vec(lease, 0..12).prop_map(|leases| {
        let build = |(position, (host, offered, port, ports, zone, speed, at)): (usize, _)| {
            let mut lease = Lease::new(format!("l{position}"), format!("h{host}"), offered)
                .with_offered_at(Time::from_secs(at));
            lease.ports.extend(PortRange::new(port, port + ports));
            if zone > 0 {
                lease = lease.with_attribute("zone", format!("z{zone}"));
            }
            lease.with_attribute("speed", fenzo::AttributeValue::whole(speed))
        };
        leases.into_iter().enumerate().map(build).collect()
    })
}

fn running() -> impl Strategy<Value = Vec<(TaskRequest, HostId)>> {
    (batch("running", 6), prop::collection::vec(0..10_u8, 6)).prop_map(|(tasks, hosts)| {
        let host = |host: u8| HostId::from(format!("h{host}"));
        tasks.into_iter().zip(hosts.into_iter().map(host)).collect()
    })
}

fn measures() -> impl Strategy<Value = Vec<Measure>> {
    prop::sample::subsequence(Measure::ALL.to_vec(), 1..=4)
}

/// Every kind of fitness, and means of them.
fn fitness() -> impl Strategy<Value = Fitness> {
    let simple = prop_oneof![
        Just(Fitness::Any),
        Just(Fitness::cpu_memory_packer()),
        measures().prop_map(Fitness::Pack),
        measures().prop_map(Fitness::Spread),
    ];
    simple.prop_recursive(2, 6, 3, |part| {
        // The first has a weight, so that they do not all have none.
        let rest = prop::collection::vec((0..4_u32, part.clone()), 0..3);
        ((1..4_u32, part), rest).prop_map(|(first, mut parts)| {
            parts.insert(0, first);
            Fitness::Weighted(parts)
        })
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let combination = prop_oneof![Just(Combination::Whole), Just(Combination::Fenzo1)];
    let good_enough = prop_oneof![3 => Just(None), 1 => (0.03..0.97).prop_map(Some)];
    let limits = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((0..3_u8, 0..6_u64), 1..3),
    ];
    (fitness(), combination, good_enough, limits).prop_map(
        |(fitness, combination, good_enough, limits)| {
            let limits: BTreeMap<GroupName, Milli> = limits
                .into_iter()
                .map(|(group, most)| {
                    (format!("g{group}").into(), Milli::from_thousandths(most * 300))
                })
                .collect();
            Rule { fitness, combination, good_enough, limits: limits.into_iter().collect() }
        },
    )
}

fn packing() -> Rule {
    Rule {
        fitness: Fitness::cpu_memory_packer(),
        combination: Combination::Whole,
        good_enough: None,
        limits: Vec::new(),
    }
}

fn scheduler(rule: &Rule, running: &[(TaskRequest, HostId)]) -> TaskScheduler {
    let builder = TaskScheduler::builder().fitness(rule.fitness.clone());
    let builder = builder.combination(rule.combination);
    let builder = match rule.good_enough {
        Some(threshold) => builder.good_enough(threshold),
        None => builder,
    };
    let mut scheduler = builder.build().unwrap();
    for (group, most) in &rule.limits {
        scheduler.set_limit(group.clone(), Limit::NONE.with(Measure::Cpus, *most));
    }
    for (task, host) in running {
        scheduler.task_assigned(task, host);
    }
    scheduler
}

fn schedule(
    rule: &Rule,
    running: &[(TaskRequest, HostId)],
    tasks: &[TaskRequest],
    leases: Vec<Lease>,
) -> SchedulingResult {
    scheduler(rule, running).schedule_once(Time::ZERO, tasks, leases)
}

fn fits(taken: &Resources, offered: &Resources) -> bool {
    let scalar = |name: &String| offered.scalars.get(name).copied().unwrap_or_default();
    taken.cpus <= offered.cpus
        && taken.mem <= offered.mem
        && taken.disk <= offered.disk
        && taken.network <= offered.network
        && taken.scalars.iter().all(|(name, amount)| *amount <= scalar(name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Which is also: a task that failed fits nowhere at that moment, and one that did not is on the best host.
    #[test]
    fn every_decision_is_the_oracles(
        rule in rule(),
        running in running(),
        tasks in batch("t", 24),
        leases in leases(),
    ) {
        let result = schedule(&rule, &running, &tasks, leases.clone());
        Oracle::new(&leases, &running).replay(&tasks, &result, &rule);
    }

    /// A question changes nothing, however often it is asked, and its answer is what a run then does.
    #[test]
    fn solving_twice_changes_nothing(
        rule in rule(),
        running in running(),
        tasks in batch("t", 40),
        (held, disabled) in (leases(), 0..20_u8),
        mut more in leases(),
    ) {
        let mut scheduler = scheduler(&rule, &running);
        scheduler.schedule_once(Time::ZERO, &[], held);
        scheduler.disable_host(&format!("h{disabled}").into(), Time::from_secs(60));
        for lease in &mut more {
            // Of known hosts and new ones; one of an id that is held.
            if lease.id != "l0".into() {
                lease.id = format!("more {}", lease.id).into();
            }
        }
        let hosts: Vec<_> = scheduler.hosts().collect();
        let first = scheduler.what_if(&tasks, more.clone());
        prop_assert_eq!(&hosts, &scheduler.hosts().collect::<Vec<_>>());
        prop_assert_eq!(&first, &scheduler.what_if(&tasks, more.clone()));
        prop_assert_eq!(&hosts, &scheduler.hosts().collect::<Vec<_>>());
        let result = scheduler.schedule_once(Time::ZERO, &tasks, more);
        prop_assert_eq!(&first, &result);
        // What was placed and never launched is not there any more, but for its leases.
        let used: Vec<_> = result.assignments.iter().map(|of| &of.host).collect();
        for host in scheduler.hosts() {
            prop_assert!(!used.contains(&&host.host) || host.leases.is_empty());
        }
    }

    #[test]
    fn nothing_is_over_committed_and_ports_are_handed_out_once(
        rule in rule(),
        running in running(),
        tasks in batch("t", 60),
        leases in leases(),
    ) {
        let result = schedule(&rule, &running, &tasks, leases.clone());
        let mut hosts = BTreeSet::new();
        for assignment in &result.assignments {
            prop_assert!(hosts.insert(&assignment.host), "a host has one assignment");
            let mut offered = Resources::default();
            let mut on_offer = BTreeSet::new();
            for id in &assignment.leases {
                let lease = leases.iter().find(|lease| lease.id == *id).unwrap();
                prop_assert_eq!(&lease.host, &assignment.host);
                offered.add(&lease.offered);
                on_offer.extend(lease.ports.iter().flat_map(|range| range.begin()..=range.end()));
            }
            let mut taken = Resources::default();
            let mut ports = BTreeSet::new();
            for task in &assignment.tasks {
                taken.add(&task.request.class.demand);
                prop_assert_eq!(task.ports.len(), task.request.class.ports as usize);
                for port in &task.ports {
                    prop_assert!(ports.insert(*port), "port {} twice", port);
                    prop_assert!(on_offer.contains(port), "port {} is not on offer", port);
                }
            }
            prop_assert!(fits(&taken, &offered), "{:?} of {:?}", taken, offered);
        }
    }

    #[test]
    fn equal_inputs_give_equal_results_whatever_the_order_of_leases(
        rule in rule(),
        running in running(),
        tasks in batch("t", 40),
        (leases, shuffled) in leases().prop_flat_map(|l| (Just(l.clone()), Just(l).prop_shuffle())),
    ) {
        let result = schedule(&rule, &running, &tasks, leases);
        prop_assert_eq!(result, schedule(&rule, &running, &tasks, shuffled));
    }

    /// Hard or soft, whether or not the packer would rather fill one host.
    #[test]
    fn balance_keeps_the_skew_at_one_while_every_zone_has_room(
        zones in 2..5_usize,
        hosts in 4..12_usize,
        count in 0..40_usize,
        hard in any::<bool>(),
    ) {
        let zone = |host: usize| format!("z{}", host % zones);
        let lease = |host: usize| {
            let id = format!("h{host:02}");
            Lease::new(id.as_str(), id.as_str(), Resources::cpus_mem(40, 40)).with_attribute("zone", zone(host))
        };
        let hosts = hosts.max(zones);
        let class = TaskClass::new("g", Resources::cpus_mem(1, 1));
        let balanced = Constraint::balanced("zone");
        let class = Arc::new(if hard { class.with_hard(balanced) } else { class.with_soft(balanced.soft(1)) });
        let tasks: Vec<_> = (0..count).map(|t| TaskRequest::new(format!("t{t}"), &class)).collect();
        let result = schedule(&packing(), &[], &tasks, (0..hosts).map(lease).collect());
        prop_assert_eq!(result.placed(), count);
        let mut counts = vec![0_usize; zones];
        for assignment in &result.assignments {
            let host: usize = assignment.host.as_str()[1..].parse().unwrap();
            counts[host % zones] += assignment.tasks.len();
        }
        let skew = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        prop_assert!(skew <= 1, "{:?}", counts);
    }

    /// Rounds of placing, launching, finishing and offering again what is left.
    #[test]
    fn a_host_never_runs_more_than_it_has_over_many_rounds(
        sizes in prop::collection::vec(1..9_u64, 1..5),
        rounds in prop::collection::vec((1..4_u64, 1..8_usize, any::<prop::sample::Index>()), 1..12),
    ) {
        let fitness = Fitness::cpu_packer();
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        let host = |host: usize| HostId::from(format!("h{host}"));
        let mut free = sizes.clone();
        let mut offered = vec![false; sizes.len()];
        let mut running: Vec<(TaskRequest, usize)> = Vec::new();
        for (round, (cpus, count, finished)) in rounds.into_iter().enumerate() {
            let mut leases = Vec::new();
            for (number, free) in free.iter().enumerate() {
                if !offered[number] && *free > 0 {
                    let resources = Resources::cpus_mem(*free, 0);
                    leases.push(Lease::new(format!("o{round}-{number}"), host(number), resources));
                    offered[number] = true;
                }
            }
            let class = Arc::new(TaskClass::new("g", Resources::cpus_mem(cpus, 0)));
            let tasks: Vec<_> =
                (0..count).map(|task| TaskRequest::new(format!("{round}-{task}"), &class)).collect();
            for assignment in scheduler.schedule_once(Time::ZERO, &tasks, leases).assignments {
                let number = (0..sizes.len()).find(|n| host(*n) == assignment.host).unwrap();
                offered[number] = false;
                for task in assignment.tasks {
                    prop_assert!(free[number] >= cpus, "host {} is over-committed", number);
                    free[number] -= cpus;
                    prop_assert_eq!(scheduler.task_assigned(&task.request, &assignment.host), None);
                    running.push((task.request, number));
                }
            }
            if !running.is_empty() {
                let (task, number) = running.swap_remove(finished.index(running.len()));
                prop_assert!(scheduler.task_unassigned(&task.id, &host(number)));
                free[number] += task.class.demand.cpus.thousandths() / 1000;
                // What was freed comes with the rest in the next offer of the host.
                scheduler.expire_host(&host(number));
                offered[number] = false;
            }
        }
    }
}
