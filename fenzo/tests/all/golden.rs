//! Placements of a fixed workload against those that Netflix Fenzo makes, task by task.
//!
//! The files in `golden/` name the host of every task, and the checksums stand for larger ones. Both were taken
//! from Netflix Fenzo 1.1 (Apache-2.0) at commit b9e76c7, every host evaluated for every task, on the workload
//! that `examples/workload` generates. What they must never become is figures
//! copied from a run of ours.

#[path = "../../examples/workload/generate.rs"]
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

/// Checks the cells of a configuration: those that are told as files, and all larger ones.
fn check_cells(name: &str) {
    let mut cells = 0;
    for line in include_str!("golden/cells.csv").lines().skip(2) {
        let fields: Vec<&str> = line.split(',').collect();
        let [config, hosts, count, placed, used, sum] = fields[..] else { panic!("{line}") };
        if config != name {
            continue;
        }
        let number = |field: &str| -> usize { field.parse().unwrap() };
        let outcome = run(Config::named(name).unwrap(), number(hosts), number(count), false);
        assert_eq!(outcome.hosts.iter().flatten().count(), number(placed), "{line}");
        assert_eq!(outcome.hosts_used, number(used), "{line}");
        let ours = checksum(outcome.hosts.into_iter());
        assert_eq!(format!("{ours:016x}"), sum, "{line}: placements differ");
        cells += 1;
    }
    assert_eq!(cells, 12, "hosts and tasks from 100 to 10,000");
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
    check_cells("default");
}

#[test]
fn the_cpu_and_memory_packer_places_as_fenzo_does() {
    check_cells("binpack");
}

#[test]
fn hard_zone_balance_with_soft_unique_hosts_places_as_fenzo_does() {
    check_cells("con-0.9");
}

#[test]
fn jobs_of_equal_tasks_are_placed_as_fenzo_places_them() {
    let sum = |config, count| checksum(run(config, 1000, count, true).hosts.into_iter());
    assert_eq!(sum(Config::BinPack, 1000), 0x1428_1a25_6337_0636);
    assert_eq!(sum(Config::BinPack, 10_000), 0xba01_3be0_7481_1e4e);
    assert_eq!(sum(Config::Constrained, 1000), 0x1c56_62f2_6fa0_607e);
    assert_eq!(sum(Config::Constrained, 10_000), 0x3882_1f1c_6d3b_6b08);
}
