//! Plans of preemption against every set there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Constraint, GroupName, HostId, Lease, Level, Limit, Measure, Milli, Preemptible, Resources,
    TaskClass, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

use super::{class, lease};

#[derive(Clone, Debug)]
struct Ran {
    request: TaskRequest,
    host: usize,
    of: Preemptible,
}

fn name(host: usize) -> HostId {
    HostId::from(format!("h{host}"))
}

/// A scheduler in which these run, and what they leave of hosts of 6 cpus is on offer.
fn with<'a>(running: impl Iterator<Item = &'a Ran> + Clone) -> (TaskScheduler, Vec<Lease>) {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    for ran in running.clone() {
        scheduler.task_assigned(&ran.request, &name(ran.host));
    }
    let leases = (0..3).map(|host| {
        let on = running.clone().filter(|ran| ran.host == host);
        let used: u64 = on.map(|ran| ran.request.class.demand.cpus.thousandths() / 1000).sum();
        let zone = if host == 2 { "b" } else { "a" };
        let offer = lease(&format!("l{host}"), name(host).as_str(), 6 - used);
        offer.with_attribute("zone", zone)
    });
    (scheduler, leases.collect())
}

fn rule(kind: u8) -> Option<Constraint> {
    let zone = || Level::attribute("zone");
    match kind {
        0..=3 => None,
        4 => Some(Constraint::UniqueHost),
        5 => Some(Constraint::unique_attribute("zone")),
        6 => Some(Constraint::ExclusiveHost),
        7 => Some(Constraint::balanced("zone")),
        8 => Some(Constraint::anti_affinity("g1", zone())),
        9 => Some(Constraint::anti_affinity("g1", Level::host())),
        10 => Some(Constraint::affinity("g1", zone())),
        11 => Some(Constraint::spread("g1", Level::host())),
        _ => Some(Constraint::equals("zone", "b")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The plan costs as little as the cheapest of all sets that help, and there is one if any set helps.
    #[test]
    fn no_set_is_cheaper_than_the_plan(
        running in prop::collection::vec((0..3_usize, 1..5_u64, 0..3_u8, 0..4_i32, 0..3_u64, 0..12_u8), 1..9),
        (cpus, group, kind, budget) in (1..7_u64, 0..3_u8, 0..13_u8, 0..4_usize),
    ) {
        // A task that is to be near its own kind may be the first of it: nobody is ended for that.
        let group = if kind == 10 && group == 1 { 2 } else { group };
        let mut left = [6; 3];
        let mut all: Vec<Ran> = Vec::new();
        for (n, (host, cpus, group, priority, lost_work, alone)) in running.into_iter().enumerate() {
            if left[host] < cpus {
                continue;
            }
            left[host] -= cpus;
            let of = class(&format!("g{group}"), cpus);
            let of = if alone == 0 { of.with_hard(Constraint::ExclusiveHost) } else { of };
            let request = TaskRequest::new(format!("r{n}"), &Arc::new(of));
            let of = Preemptible { task: request.id.clone(), priority, lost_work };
            all.push(Ran { request, host, of });
        }
        let wanted = TaskClass { hard: rule(kind).into_iter().collect(), ..class(&format!("g{group}"), cpus) };
        let task = TaskRequest::new("new", &Arc::new(wanted));
        let budgets: BTreeMap<GroupName, usize> = [("g0".into(), budget)].into();
        let candidates: Vec<Preemptible> = all.iter().map(|ran| ran.of.clone()).collect();

        let (mut scheduler, leases) = with(all.iter());
        scheduler.schedule_once(Time::ZERO, &[], leases);
        let before: Vec<_> = scheduler.hosts().collect();
        let plan = scheduler.preemption_plan(&task, 3, &candidates, &budgets);
        prop_assert_eq!(scheduler.hosts().collect::<Vec<_>>(), before);

        let mut cheapest: Option<(usize, Option<i32>, u64)> = None;
        for set in 0_u32..1 << all.len() {
            let ended = |n: &usize| set & (1 << n) != 0;
            let chosen: Vec<&Ran> = (0..all.len()).filter(ended).map(|n| &all[n]).collect();
            let of_group = chosen.iter().filter(|ran| ran.request.class.group == "g0".into()).count();
            if chosen.iter().any(|ran| ran.of.priority >= 3) || of_group > budget {
                continue;
            }
            let cost = (
                chosen.len(),
                chosen.iter().map(|ran| ran.of.priority).max(),
                chosen.iter().map(|ran| ran.of.lost_work).sum(),
            );
            if cheapest.is_some_and(|least| least <= cost) {
                continue;
            }
            let rest = all.iter().enumerate().filter(|(n, _)| set & (1 << n) == 0).map(|(_, ran)| ran);
            let (mut scheduler, leases) = with(rest);
            if scheduler.schedule_once(Time::ZERO, std::slice::from_ref(&task), leases).placed() == 1 {
                cheapest = Some(cost);
            }
        }
        let found = plan.as_ref().map(|plan| (plan.tasks.len(), plan.priority, plan.lost_work));
        prop_assert_eq!(found, cheapest, "{:?} for {:?} among {:?}", plan, task, all);
        prop_assert!(plan.is_none_or(|plan| plan.exact));
    }
}

/// Sets of many on hosts of many: the answer is still proven to be the least there is.
#[test]
fn many_small_tasks_are_ended_for_a_large_one() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let mut candidates = Vec::new();
    for host in 0..20 {
        for n in 0..40_u64 {
            let id = format!("r{host:02}-{n:02}");
            let request = TaskRequest::new(id.as_str(), &Arc::new(class("small", 1)));
            scheduler.task_assigned(&request, &name(host));
            let lost_work = (n * 7 + host as u64) % 40;
            candidates.push(Preemptible { task: id.as_str().into(), priority: 0, lost_work });
        }
        let offer = Lease::new(format!("l{host}"), name(host), Resources::cpus_mem(0, 1000));
        scheduler.schedule_once(Time::ZERO, &[], vec![offer]);
    }
    let task = TaskRequest::new("new", &Arc::new(class("large", 12)));
    let plan = scheduler.preemption_plan(&task, 1, &candidates, &BTreeMap::new()).unwrap();
    assert_eq!((plan.tasks.len(), plan.priority), (12, Some(0)));
    // Of every host the twelve that lose least: those that lose 0 to 11.
    assert_eq!((plan.lost_work, plan.host), ((0..12).sum(), "h0".into()));
}

/// What ends for a limit alone may run anywhere: nobody else is ended with it, and nothing more is promised.
#[test]
fn where_a_limit_stands_in_the_way_no_more_is_ended_than_lifts_it() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.set_limit("g", Limit::NONE.with(Measure::Cpus, Milli::whole(6)));
    let mut candidates = Vec::new();
    for id in ["v1", "v2"] {
        scheduler.task_assigned(&TaskRequest::new(id, &Arc::new(class("g", 2))), &name(1));
        candidates.push(Preemptible { task: id.into(), priority: 0, lost_work: 0 });
    }
    let leases = vec![lease("l1", "h1", 0), lease("l2", "h2", 3)];
    scheduler.schedule_once(Time::ZERO, &[], leases);
    let task = TaskRequest::new("new", &Arc::new(class("g", 3)));
    let plan = scheduler.preemption_plan(&task, 1, &candidates, &BTreeMap::new()).unwrap();
    assert_eq!((plan.tasks.len(), plan.host, plan.exact), (1, "h2".into(), false));
    let gone = scheduler.overlay().without_task(&plan.tasks[0]);
    assert_eq!(gone.place(std::slice::from_ref(&task)).host_of(&task.id), Some(&name(2)));
}

/// Thousands of tasks on one host, of which about half must end: the work is bounded whatever their number.
#[test]
fn a_crowded_host_gets_a_plan_that_ends_nobody_in_vain() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let (mut candidates, mut amounts) = (Vec::new(), BTreeMap::new());
    for n in 0..3000_u64 {
        let (cpus, mem) = (1 + n * 7919 % 5, 1 + n * 104_729 % 13);
        let request = TaskRequest::new(
            format!("r{n:04}"),
            &Arc::new(TaskClass::new("small", Resources::cpus_mem(cpus, mem))),
        );
        scheduler.task_assigned(&request, &name(0));
        let priority = i32::try_from(n % 7).unwrap();
        let task = request.id.clone();
        amounts.insert(task.clone(), (cpus, mem));
        candidates.push(Preemptible { task, priority, lost_work: n * 31 % 101 });
    }
    let offer = Lease::new("l", name(0), Resources::cpus_mem(0, 0));
    scheduler.schedule_once(Time::ZERO, &[], vec![offer]);
    for (cpus, mem) in [(4500, 10_500), (300, 50)] {
        let wanted = Arc::new(TaskClass::new("large", Resources::cpus_mem(cpus, mem)));
        let task = TaskRequest::new("new", &wanted);
        let plan = scheduler.preemption_plan(&task, 10, &candidates, &BTreeMap::new()).unwrap();
        let freed = |without: Option<usize>| {
            let rest = plan.tasks.iter().enumerate().filter(|(n, _)| Some(*n) != without);
            rest.fold((0, 0), |sum, (_, task)| (sum.0 + amounts[task].0, sum.1 + amounts[task].1))
        };
        let enough = |(freed, memory): (u64, u64)| freed >= cpus && memory >= mem;
        assert!(enough(freed(None)));
        assert!((0..plan.tasks.len()).all(|n| !enough(freed(Some(n)))));
        let budgets: BTreeMap<GroupName, usize> = [("small".into(), plan.tasks.len() - 1)].into();
        let fewer = scheduler.preemption_plan(&task, 10, &candidates, &budgets);
        assert!(fewer.is_none_or(|fewer| fewer.tasks.len() < plan.tasks.len()));
    }
}

/// A scheduler of single leases, the host "h1" with these tasks and perhaps a lease of so many cpus.
fn single(running: &[(&str, u64)], lease_cpus: Option<u64>) -> (TaskScheduler, Vec<Preemptible>) {
    let mut scheduler = TaskScheduler::builder().single_lease().build().unwrap();
    let mut candidates = Vec::new();
    for (id, cpus) in running {
        let task = TaskRequest::new(*id, &Arc::new(class("low", *cpus)));
        scheduler.task_assigned(&task, &"h1".into());
        candidates.push(Preemptible { task: (*id).into(), priority: 0, lost_work: 1 });
    }
    let leases = lease_cpus.map(|cpus| lease("l1", "h1", cpus)).into_iter().collect();
    scheduler.schedule_once(Time::ZERO, &[], leases);
    (scheduler, candidates)
}

#[test]
fn with_single_leases_a_plan_counts_what_runs_beyond_the_lease() {
    let big = TaskRequest::new("big", &Arc::new(class("high", 4)));
    for (running, lease_cpus, wanted) in [
        // More runs than there is: its end leaves less than it took.
        (&[("v1", 4)][..], Some(2), None),
        (&[("v1", 4)][..], Some(4), Some(1)),
        (&[("v1", 3), ("v2", 3)][..], Some(5), Some(2)),
        (&[("v1", 3), ("v2", 3)][..], Some(7), Some(1)),
        // Without a lease all that is known to be there is what runs.
        (&[("v1", 4), ("v2", 1)][..], None, Some(1)),
        (&[("v1", 2), ("v2", 1)][..], None, None),
    ] {
        let (mut scheduler, candidates) = single(running, lease_cpus);
        let plan = scheduler.preemption_plan(&big, 1, &candidates, &BTreeMap::new());
        assert_eq!(
            plan.as_ref().map(|plan| plan.tasks.len()),
            wanted,
            "{running:?} {lease_cpus:?}"
        );
        let ended = plan.map_or(vec![], |plan| plan.tasks);
        let overlay =
            ended.iter().fold(scheduler.overlay(), |overlay, task| overlay.without_task(task));
        let placed = overlay.place(std::slice::from_ref(&big)).placed();
        assert_eq!(placed, usize::from(wanted.is_some()), "{running:?} {lease_cpus:?}");
    }
}
