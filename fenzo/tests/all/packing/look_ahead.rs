//! Looking ahead is never worse than placing in turn, and breaks no rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, Lease, Limit, Measure, Milli, Packing, Resources, SchedulingResult,
    TaskClass, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

fn lease(number: usize, cpus: u64, mem: u64) -> Lease {
    let name = format!("h{number:02}");
    let zone = format!("z{}", number % 2);
    Lease::new(name.as_str(), name.as_str(), Resources::cpus_mem(cpus, mem))
        .with_attribute("zone", zone)
}

fn scheduler(packing: Packing) -> TaskScheduler {
    let builder = TaskScheduler::builder().fitness(Fitness::cpu_memory_packer());
    builder.packing(packing).build().unwrap()
}

const AHEAD: Packing = Packing::LookAhead { work: 1_000_000 };

fn tasks(sizes: &[(u64, u64, u8)]) -> Vec<TaskRequest> {
    let class = |(cpus, mem, rule): &(u64, u64, u8)| {
        let class = TaskClass::new(format!("g{rule}"), Resources::cpus_mem(*cpus, *mem));
        match rule {
            0 => class.with_hard(Constraint::equals("zone", "z1")),
            1 => class.with_hard(Constraint::UniqueHost),
            2 => class.with_soft(Constraint::equals("zone", "z0").soft(1)),
            _ => class,
        }
    };
    let request =
        |(number, size)| TaskRequest::new(format!("t{number:02}"), &Arc::new(class(size)));
    sizes.iter().enumerate().map(request).collect()
}

/// Checks capacity and rules of a result task by task.
fn check(result: &SchedulingResult, leases: &[Lease]) -> Result<(), TestCaseError> {
    for assignment in &result.assignments {
        let lease = leases.iter().find(|lease| lease.host == assignment.host).unwrap();
        let mut taken = Resources::default();
        let mut unique = 0;
        for task in &assignment.tasks {
            let class = &task.request.class;
            taken.add(&class.demand);
            unique += u32::from(class.group.as_str() == "g1");
            let in_zone = lease.attributes.get("zone") == Some(&"z1".into());
            prop_assert!(class.group.as_str() != "g0" || in_zone);
        }
        prop_assert!(lease.offered.covers(&taken) && unique <= 1, "{}", assignment.host);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_places_no_fewer_and_as_many_on_no_more_hosts(
        hosts in prop::collection::vec((1..12_u64, 1..12_u64), 0..8),
        sizes in prop::collection::vec((0..6_u64, 0..6_u64, 0..9_u8), 0..24),
    ) {
        let leases: Vec<Lease> =
            hosts.iter().enumerate().map(|(host, (cpus, mem))| lease(host, *cpus, *mem)).collect();
        let tasks = tasks(&sizes);
        let place = |packing| scheduler(packing).schedule_once(Time::ZERO, &tasks, leases.clone());
        let (in_turn, ahead) = (place(Packing::InTurn), place(AHEAD));
        check(&ahead, &leases)?;
        prop_assert_eq!(ahead.placed() + ahead.failed(), tasks.len());
        prop_assert!(ahead.placed() >= in_turn.placed());
        let (used, before) = (ahead.assignments.len(), in_turn.assignments.len());
        prop_assert!(ahead.placed() > in_turn.placed() || used <= before);
        let report = ahead.packing.unwrap();
        prop_assert_eq!((report.hosts as usize, report.in_turn as usize), (used, before));
        prop_assert!(report.lower_bound <= report.hosts, "{:?}", report);
        prop_assert_eq!(in_turn.packing, None);
        prop_assert_eq!(place(AHEAD), ahead);
    }
}

#[test]
fn small_tasks_that_come_first_do_not_spoil_it() {
    // In turn the small ones fill a host and a half, and each large one needs a host of its own.
    let leases: Vec<Lease> = (0..6).map(|host| lease(host, 8, 8)).collect();
    let sizes: Vec<(u64, u64, u8)> = [(3, 3, 9); 4].into_iter().chain([(5, 5, 9); 4]).collect();
    let tasks = tasks(&sizes);
    let place = |packing| scheduler(packing).schedule_once(Time::ZERO, &tasks, leases.clone());
    assert_eq!(place(Packing::InTurn).assignments.len(), 6);
    let ahead = place(AHEAD);
    let report = ahead.packing.unwrap();
    assert_eq!((report.hosts, report.in_turn, report.lower_bound), (4, 6, 4));
}

#[test]
fn what_is_left_of_a_limit_is_kept_to() {
    let mut scheduler = scheduler(AHEAD);
    scheduler.set_limit("g9", Limit::NONE.with(Measure::Cpus, Milli::whole(5)));
    let leases = (0..3).map(|host| lease(host, 8, 8)).collect();
    let result = scheduler.schedule_once(Time::ZERO, &tasks(&[(3, 3, 9); 4]), leases);
    assert_eq!((result.placed(), result.failed()), (1, 3));
}

#[test]
fn without_work_it_is_as_in_turn() {
    let leases: Vec<Lease> = (0..6).map(|host| lease(host, 8, 8)).collect();
    let tasks = tasks(&[(3, 3, 9), (5, 5, 9), (3, 3, 9), (5, 5, 9)]);
    let place = |packing| scheduler(packing).schedule_once(Time::ZERO, &tasks, leases.clone());
    let on = |result: &SchedulingResult| -> BTreeMap<String, usize> {
        let hosts = result.assignments.iter();
        hosts.map(|host| (host.host.to_string(), host.tasks.len())).collect()
    };
    assert_eq!(on(&place(Packing::LookAhead { work: 0 })), on(&place(Packing::InTurn)));
}
