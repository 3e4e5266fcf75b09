//! Laws that hold for every cluster and every batch, checked on random ones.

mod bad;
mod kept;
mod oracle;
mod queue;
mod shares;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, HostId, Lease, Resources, TaskClass, TaskRequest, TaskScheduler, Time,
};
use oracle::{Oracle, Rule};
use proptest::prelude::*;
use world::{batch, gangs, leases, packing, rule, running, schedule, scheduler};

fn fits(taken: &Resources, offered: &Resources) -> bool {
    let scalar = |name: &String| offered.scalars.get(name).copied().unwrap_or_default();
    taken.cpus <= offered.cpus
        && taken.mem <= offered.mem
        && taken.disk <= offered.disk
        && taken.network <= offered.network
        && taken.scalars.iter().all(|(name, amount)| *amount <= scalar(name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Which is also: a task that failed fits nowhere at that moment, and one that did not is on the best host.
    #[test]
    fn every_decision_is_the_oracles(
        rule in rule(),
        running in running(),
        tasks in batch("t", 24),
        leases in leases(),
    ) {
        let result = schedule(&rule, &running, &tasks, leases.clone());
        Oracle::new(&leases, &running, &rule, &result).replay(&tasks, &result);
    }

    /// Gangs are placed as a whole or not at all, where they belong, and leave nothing behind if they are not.
    #[test]
    fn every_gang_is_the_oracles(
        rule in rule(),
        running in running(),
        gangs in gangs(),
        leases in leases(),
    ) {
        let mut scheduler = scheduler(&rule, &running);
        let result = scheduler.schedule_gangs(Time::ZERO, &gangs, leases.clone());
        Oracle::new(&leases, &running, &rule, &result).replay_gangs(&gangs, &result);
    }

    /// A task that fits nowhere is told why, with every host counted for all that keeps the task from it.
    #[test]
    fn every_reason_is_the_oracles(
        rule in rule(),
        running in running(),
        tasks in batch("t", 3),
        leases in leases(),
    ) {
        for task in &tasks {
            let question = std::slice::from_ref(task);
            let result = scheduler(&rule, &running).what_if(question, leases.clone());
            if let Some(why) = result.why(&task.id) {
                Oracle::new(&leases, &running, &rule, &result).check_reasons(&task.class, why);
            }
        }
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
            let kept = rule.single_lease || host.leases.is_empty();
            prop_assert!(!used.contains(&&host.host) || kept);
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
                taken.add(task.granted());
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
        // Of several leases of a host that keeps a single one, the first is kept.
        let rule = Rule { single_lease: false, ..rule };
        let mut results = [leases, shuffled].map(|leases| schedule(&rule, &running, &tasks, leases));
        // What is given back is told in the order in which it came.
        results.iter_mut().for_each(|result| {
            result.expired.sort();
            result.ignored.sort();
        });
        prop_assert_eq!(&results[0], &results[1]);
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
