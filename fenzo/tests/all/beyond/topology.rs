//! Hosts, racks and zones: where tasks gather, where they keep apart, and gangs at one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, Gang, GangMiss, Lease, Level, Reason, Resources, SchedulingResult,
    TaskClass, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

use super::{class, lease, tasks};

fn scheduler() -> TaskScheduler {
    TaskScheduler::builder().fitness(Fitness::cpu_packer()).build().unwrap()
}

fn rack() -> Level {
    Level::path(["zone", "rack"])
}

/// Two zones of two racks of `hosts` hosts; racks have the same names in both zones.
fn building(hosts: usize, cpus: u64) -> Vec<Lease> {
    (0..4 * hosts)
        .map(|n| {
            let (zone, rack) = (n / (2 * hosts), n / hosts % 2);
            lease(&format!("l{n:02}"), &format!("h{n:02}"), cpus)
                .with_attribute("zone", format!("z{zone}"))
                .with_attribute("rack", format!("r{rack}"))
        })
        .collect()
}

/// How many tasks of a name are in each rack, counted from 0.
fn by_rack(result: &SchedulingResult, name: &str, hosts: usize) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for assignment in &result.assignments {
        let number: usize = assignment.host.as_str()[1..].parse().unwrap();
        let of = |task: &&fenzo::PlacedTask| task.request.id.as_str().starts_with(name);
        let count = assignment.tasks.iter().filter(of).count();
        if count > 0 {
            *counts.entry(number / hosts).or_default() += count;
        }
    }
    counts
}

fn run(
    scheduler: &mut TaskScheduler,
    batch: &[TaskRequest],
    leases: Vec<Lease>,
) -> SchedulingResult {
    scheduler.schedule_once(Time::ZERO, batch, leases)
}

#[test]
fn tasks_gather_at_one_place_of_their_own() {
    let together = class("web", 2).with_hard(Constraint::affinity("web", rack()));
    let result = run(&mut scheduler(), &tasks("web", 5, together), building(2, 4));
    // A rack has room for four; the first went anywhere.
    assert_eq!((by_rack(&result, "web", 2), result.failed()), ([(0, 4)].into(), 1));
    let why = &result.failures[0].explanation;
    let rule = Reason::Constraint("a rack of zone where web is".to_owned());
    assert_eq!(why.reasons[&rule], 6);
}

#[test]
fn a_task_goes_where_another_kind_is_and_waits_for_it() {
    let near = class("cache", 1).with_hard(Constraint::affinity("web", Level::attribute("zone")));
    let mut scheduler = scheduler();
    let result = run(&mut scheduler, &tasks("cache", 1, near.clone()), building(1, 4));
    assert_eq!(result.failed(), 1);
    let web = TaskRequest::new("web", &Arc::new(class("web", 1)));
    scheduler.task_assigned(&web, &"h03".into());
    let result = run(&mut scheduler, &tasks("cache", 1, near), vec![]);
    assert_eq!(by_rack(&result, "cache", 1), [(3, 1)].into(), "the fuller host of the zone");
}

#[test]
fn what_fails_for_want_of_company_is_tried_again_in_the_same_run() {
    let near = Arc::new(class("cache", 1).with_hard(Constraint::affinity("web", Level::host())));
    let web = Arc::new(class("web", 1));
    let batch = [
        TaskRequest::new("cache0", &near),
        TaskRequest::new("web0", &web),
        TaskRequest::new("cache1", &near),
    ];
    let result = run(&mut scheduler(), &batch, building(1, 4));
    assert_eq!(result.host_of(&"cache1".into()), result.host_of(&"web0".into()));
    assert_eq!((result.placed(), result.failed()), (2, 1));
}

#[test]
fn keys_keep_tasks_of_different_groups_apart() {
    let mut scheduler = scheduler();
    let noisy = |group: &str| {
        let apart = Constraint::anti_affinity("noisy", rack());
        class(group, 1).with_key("noisy").with_hard(apart)
    };
    let batch: Vec<_> =
        ["a", "b", "c", "d", "e"].iter().flat_map(|g| tasks(g, 1, noisy(g))).collect();
    let result = run(&mut scheduler, &batch, building(2, 4));
    assert_eq!((result.placed(), result.assignments.len()), (4, 4));
    for assignment in &result.assignments {
        scheduler.task_launched(&assignment.tasks[0], &assignment.host);
    }
    // What runs counts as what was placed, until it has ended.
    let next = tasks("f", 1, noisy("f"));
    assert_eq!(run(&mut scheduler, &next, building(2, 4)).placed(), 0);
    assert!(scheduler.task_unassigned(&"c0".into(), &result.assignments[2].host));
    assert_eq!(run(&mut scheduler, &next, vec![]).host_of(&"f0".into()).unwrap().as_str(), "h04");
    // On hosts, at last.
    let alone = class("g", 1).with_hard(Constraint::anti_affinity("noisy", Level::host()));
    let result = run(&mut scheduler, &tasks("g", 1, alone), vec![]);
    assert_eq!(result.host_of(&"g0".into()).unwrap().as_str(), "h01");
}

#[test]
fn wishes_are_graded() {
    // Rather not where three of the kind are than where one is.
    let mut scheduler = scheduler();
    for (id, host) in [
        ("a0", "h00"),
        ("a1", "h00"),
        ("a2", "h00"),
        ("a3", "h01"),
        ("a4", "h02"),
        ("a5", "h03"),
        ("a6", "h03"),
    ] {
        scheduler.task_assigned(&TaskRequest::new(id, &Arc::new(class("a", 1))), &host.into());
    }
    let mut goes = |rule: Constraint| {
        let wish = class("b", 1).with_soft(rule.soft(1));
        let answer = scheduler.what_if(&tasks("b", 1, wish), building(1, 4));
        answer.assignments[0].host.to_string()
    };
    assert_eq!(goes(Constraint::anti_affinity("a", rack())), "h01");
    assert_eq!(goes(Constraint::anti_affinity("a", Level::host())), "h01");
    assert_eq!(goes(Constraint::affinity("a", Level::path(["zone", "rack"]))), "h00");
    assert_eq!(goes(Constraint::spread("a", Level::attribute("zone"))), "h03");
    assert_eq!(goes(Constraint::spread("a", Level::host())), "h01");
}

#[test]
fn a_gang_goes_to_one_rack_the_fullest_that_has_room() {
    let mut scheduler = scheduler();
    // Rack 0 has 5 cpus left, rack 1 has 6, the others 8.
    for (id, host) in [("x0", "h00"), ("x1", "h00"), ("x2", "h01"), ("x3", "h02"), ("x4", "h03")] {
        scheduler.task_assigned(&TaskRequest::new(id, &Arc::new(class("x", 1))), &host.into());
    }
    let mut leases = building(2, 4);
    for (lease, cpus) in leases.iter_mut().zip([2, 3, 3, 3]) {
        lease.offered = Resources::cpus_mem(cpus, 1000);
    }
    let gang = |min| Gang::at_least(min, tasks("g", 6, class("g", 1)));
    let result = scheduler.schedule_gangs(Time::ZERO, &[gang(6).within(rack())], leases.clone());
    assert_eq!(by_rack(&result, "g", 2), [(1, 6)].into());
    // Ten in one rack are too many: eight is the most, and enough.
    let ten = Gang::at_least(7, tasks("t", 10, class("t", 1))).within(rack());
    let result = self::scheduler().schedule_gangs(Time::ZERO, &[ten], leases);
    assert_eq!((by_rack(&result, "t", 2), result.failed()), ([(2, 8)].into(), 2));
    assert_eq!(result.failures[0].explanation.reasons[&Reason::Elsewhere], 6);
}

#[test]
fn a_gang_that_fits_in_no_rack_fails_or_goes_wider() {
    let gang = || Gang::all(tasks("g", 10, class("g", 1)));
    let result = scheduler().schedule_gangs(Time::ZERO, &[gang().within(rack())], building(2, 4));
    assert_eq!((result.placed(), result.failed()), (0, 10));
    assert_eq!(result.failures[0].gang, Some(GangMiss { placed: 0, min: 10 }));
    let wider = gang().preferring(rack()).within(Level::attribute("zone"));
    let result = scheduler().schedule_gangs(Time::ZERO, &[wider], building(2, 4));
    let racks = by_rack(&result, "g", 2);
    assert_eq!((racks.values().sum::<usize>(), racks.len()), (10, 2));
    assert!(racks.keys().all(|rack| *rack < 2) || racks.keys().all(|rack| *rack >= 2));
    let anywhere = Gang::all(tasks("g", 20, class("g", 1))).preferring(rack());
    let result = scheduler().schedule_gangs(Time::ZERO, &[anywhere], building(2, 4));
    assert_eq!(result.placed(), 20);
}

#[test]
fn what_a_gang_tried_is_open_to_the_next() {
    let large = Gang::all(tasks("large", 10, class("g", 1))).within(rack());
    let small = Gang::all(tasks("small", 8, class("g", 1))).within(rack());
    let result = scheduler().schedule_gangs(Time::ZERO, &[large, small], building(2, 4));
    assert_eq!((result.placed(), result.failed()), (8, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every rule holds for every task at the moment it was placed; what failed would break one everywhere.
    #[test]
    fn rules_about_places_hold(
        batch in prop::collection::vec((0..3_u8, 0..5_u8, 0..3_u8, 0..3_usize), 1..25),
        packs in any::<bool>(),
    ) {
        let levels = [Level::host(), rack(), Level::attribute("zone")];
        let rule = |kind: u8, key: u8, level: usize| {
            let (key, level) = (format!("g{key}"), levels[level].clone());
            match kind {
                0 => None,
                1 => Some(Constraint::affinity(key, level)),
                2 => Some(Constraint::anti_affinity(key, level)),
                3 => Some(Constraint::spread(key, level)),
                _ => Some(Constraint::Spread { key: key.into(), level, max_skew: 2 }),
            }
        };
        let place = |host: usize, level: usize| [host, host / 2, host / 4][level];
        let places = |level: usize| [8, 4, 2][level];
        let batch: Vec<(TaskRequest, u8, u8, u8, usize)> = batch
            .into_iter()
            .enumerate()
            .map(|(n, (group, kind, key, level))| {
                let of = class(&format!("g{group}"), 1);
                let of = TaskClass { hard: rule(kind, key, level).into_iter().collect(), ..of };
                (TaskRequest::new(format!("t{n}"), &Arc::new(of)), group, kind, key, level)
            })
            .collect();
        let fitness = if packs { Fitness::cpu_packer() } else { Fitness::cpu_spreader() };
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        let requests: Vec<TaskRequest> = batch.iter().map(|(task, ..)| task.clone()).collect();
        let result = run(&mut scheduler, &requests, building(2, 3));
        let mut on: Vec<(u8, usize)> = Vec::new();
        for (task, group, kind, key, level) in &batch {
            let admits = |host: usize| {
                let at = |there: usize| {
                    on.iter().filter(|(g, h)| g == key && place(*h, *level) == there).count()
                };
                let here = at(place(host, *level));
                let fewest = (0..places(*level)).map(at).min().unwrap();
                let total = on.iter().filter(|(g, _)| g == key).count();
                let room = on.iter().filter(|(_, h)| *h == host).count() < 3;
                room && match kind {
                    0 => true,
                    1 => here > 0 || (key == group && total == 0),
                    2 => here == 0,
                    3 => here < fewest + 1,
                    _ => here < fewest + 2,
                }
            };
            match result.host_of(&task.id) {
                Some(host) => {
                    let host: usize = host.as_str()[1..].parse().unwrap();
                    prop_assert!(admits(host), "{:?} on {}: {:?}", task, host, on);
                    on.push((*group, host));
                }
                None => prop_assert!(!(0..8).any(admits), "{:?} fits: {:?}", task, on),
            }
        }
    }
}
