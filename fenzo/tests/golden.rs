//! Placements of a fixed workload against those that Netflix Fenzo makes, task by task.
//!
//! The files in `golden/` name the host of every task, and the checksums stand for larger ones. Both were taken
//! from Netflix Fenzo 1.1 (Apache-2.0) at commit b9e76c7, every host evaluated for every task, on the workload
//! that `examples/workload` generates. What they must never become is figures
//! copied from a run of ours.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../examples/workload/generate.rs"]
mod generate;

use std::collections::BTreeMap;

use fenzo::{TaskRequest, TaskScheduler, Time};
use generate::{Config, Tasks, checksum, leases};

struct Outcome {
    hosts_used: usize,
    /// The number of each task's host, in the order of tasks.
    hosts: Vec<Option<u64>>,
}

fn run(config: Config, hosts: usize, count: usize, equal_jobs: bool) -> Outcome {
    let tasks: Vec<TaskRequest> = Tasks::new(config, equal_jobs, 1, 1337).take(count).collect();
    let mut scheduler = TaskScheduler::builder().fitness(config.fitness()).build().unwrap();
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases(hosts, 42));
    assert_eq!(result.placed() + result.failed(), tasks.len());
    let mut host_of = BTreeMap::new();
    for assignment in &result.assignments {
        let number: u64 = assignment.host.as_str()[4..].parse().unwrap();
        for task in &assignment.tasks {
            host_of.insert(task.request.id.clone(), number);
        }
    }
    let hosts = tasks.iter().map(|task| host_of.get(&task.id).copied()).collect();
    Outcome { hosts_used: result.assignments.len(), hosts }
}

type Cell = (usize, usize, usize, usize, u64);

fn check(cells: &[Cell], config: Config) {
    for (hosts, count, placed, used, sum) in cells {
        let outcome = run(config, *hosts, *count, false);
        let label = format!("{hosts} hosts, {count} tasks");
        assert_eq!(outcome.hosts.iter().flatten().count(), *placed, "{label}");
        assert_eq!(outcome.hosts_used, *used, "{label}");
        assert_eq!(checksum(outcome.hosts.into_iter()), *sum, "{label}: placements differ");
    }
}

/// Checks the placements of one file, task by task.
fn check_file(name: &str, hosts: usize, count: usize, file: &str) {
    let config = Config::named(name).unwrap();
    let outcome = run(config, hosts, count, false);
    let mut lines = file.lines();
    assert_eq!(lines.next(), Some("task,host"));
    for (task, host) in outcome.hosts.iter().enumerate() {
        let line = lines.next().unwrap_or("a line for each task");
        let host = host.map_or("-1".to_owned(), |host| host.to_string());
        assert_eq!(line, format!("{task},{host}"), "{name}, {hosts} hosts, {count} tasks");
    }
    assert_eq!(lines.next(), None);
}

macro_rules! check_files {
    ($name:literal) => {
        check_file($name, 100, 100, include_str!(concat!("golden/", $name, "-het-100x100.csv")));
        check_file($name, 100, 1000, include_str!(concat!("golden/", $name, "-het-100x1000.csv")));
        check_file($name, 1000, 100, include_str!(concat!("golden/", $name, "-het-1000x100.csv")));
        check_file(
            $name,
            1000,
            1000,
            include_str!(concat!("golden/", $name, "-het-1000x1000.csv")),
        );
    };
}

#[test]
fn every_task_is_where_fenzo_puts_it() {
    check_files!("default");
    check_files!("binpack");
    check_files!("con-0.9");
    check_files!("spread");
}

#[test]
fn without_fitness_the_first_host_that_fits_is_taken() {
    let cells = [
        (100, 10_000, 953, 100, 0xbcfb_a5e5_27e7_1c87),
        (1000, 10_000, 9397, 1000, 0x4fdf_df1d_cd56_8589),
        (10_000, 10_000, 10_000, 1069, 0xf9b7_f372_0ea5_af8d),
    ];
    check(&cells, Config::Default);
}

#[test]
fn the_cpu_and_memory_packer_places_as_fenzo_does() {
    let cells = [
        (100, 10_000, 941, 100, 0x9335_bc87_f79e_b946),
        (1000, 10_000, 9345, 1000, 0xa3a6_49fe_0bd6_dd0e),
        (10_000, 10_000, 10_000, 1430, 0xa5d4_d812_13ff_b6c4),
    ];
    check(&cells, Config::BinPack);
}

#[test]
fn hard_zone_balance_with_soft_unique_hosts_places_as_fenzo_does() {
    let cells = [
        (100, 10_000, 950, 100, 0x244a_5199_ffce_54bf),
        (1000, 10_000, 9341, 998, 0x061b_0076_2130_47ea),
        (10_000, 10_000, 10_000, 1428, 0xae44_1285_6769_a52a),
    ];
    check(&cells, Config::Constrained);
}

#[test]
fn jobs_of_equal_tasks_are_placed_as_fenzo_places_them() {
    let sum = |config, count| checksum(run(config, 1000, count, true).hosts.into_iter());
    assert_eq!(sum(Config::BinPack, 1000), 0x1428_1a25_6337_0636);
    assert_eq!(sum(Config::BinPack, 10_000), 0xba01_3be0_7481_1e4e);
    assert_eq!(sum(Config::Constrained, 1000), 0x1c56_62f2_6fa0_607e);
    assert_eq!(sum(Config::Constrained, 10_000), 0x3882_1f1c_6d3b_6b08);
}
