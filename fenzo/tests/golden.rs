//! Placements of a fixed workload against those that Netflix Fenzo makes, by checksum.
//!
//! The workload is integer arithmetic from a small generator, so it is the same everywhere. The checksums were
//! taken from Fenzo 1.1 itself (every host evaluated for every task). What they must never become is figures
//! copied from a run of ours.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, Lease, Milli, PortRange, Resources, TaskClass, TaskRequest, TaskScheduler,
    Time,
};

/// Knuth's MMIX generator, top 31 bits.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn leases(hosts: usize) -> Vec<Lease> {
    let mut generator = Generator(42);
    let shapes = [
        (16, 65_536, 2000, 512_000),
        (32, 131_072, 4000, 1_024_000),
        (36, 73_728, 4000, 512_000),
        (16, 249_856, 4000, 1_024_000),
    ];
    let lease = |host: usize| {
        let shape = match generator.below(100) {
            0..50 => 0,
            50..80 => 1,
            80..95 => 2,
            _ => 3,
        };
        let (cpus, mem, network, disk) = shapes[shape];
        let offered = Resources {
            network: Milli::whole(network),
            disk: Milli::whole(disk),
            ..Resources::cpus_mem(cpus, mem)
        };
        let name = format!("host{host:05}");
        Lease::new(format!("offer-{name}"), name, offered)
            .with_ports(PortRange::new(31_000, 31_999).unwrap())
            .with_attribute("zone", ["zoneA", "zoneB", "zoneC"][host % 3])
    };
    (0..hosts).map(lease).collect()
}

/// Tasks in jobs of 20. `equal_jobs`: the tasks of a job are equal; else each task is drawn anew.
fn tasks(tasks: usize, equal_jobs: bool, constrained: bool) -> Vec<TaskRequest> {
    const CPUS: [u64; 16] = [
        500, 500, 500, 500, 1000, 1000, 1000, 1000, 2000, 2000, 2000, 2000, 4000, 4000, 4000, 8000,
    ];
    let mut generator = Generator(1337);
    let mut class = Arc::new(TaskClass::new("", Resources::default()));
    let mut requests = Vec::new();
    for task in 0..tasks {
        if !equal_jobs || task % 20 == 0 {
            let cpus = CPUS[generator.below(16) as usize];
            let mem = cpus * 2 * (512 + 64 * generator.below(49));
            let demand = Resources {
                cpus: Milli::from_thousandths(cpus),
                mem: Milli::from_thousandths(mem),
                network: Milli::whole(10 * generator.below(20)),
                disk: Milli::whole(1024 * (1 + generator.below(16))),
                scalars: BTreeMap::new(),
            };
            let ports = u32::try_from(generator.below(3)).unwrap();
            let mut next = TaskClass::new(format!("job{}", task / 20), demand).with_ports(ports);
            if constrained {
                let expected_values = 3;
                let zones =
                    Constraint::Balanced { name: "zone".into(), max_skew: 1, expected_values };
                next = next.with_hard(zones).with_soft(Constraint::UniqueHost.soft(1));
            }
            class = Arc::new(next);
        }
        requests.push(TaskRequest::new(format!("task{task:06}"), &class));
    }
    requests
}

struct Outcome {
    placed: usize,
    hosts: usize,
    checksum: u64,
}

fn run(hosts: usize, fitness: Fitness, tasks: &[TaskRequest]) -> Outcome {
    let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
    let result = scheduler.schedule_once(Time::ZERO, tasks, leases(hosts));
    assert_eq!(result.placed() + result.failed(), tasks.len());
    let mut host_of = BTreeMap::new();
    for assignment in &result.assignments {
        let number: u64 = assignment.host.as_str()[4..].parse().unwrap();
        for task in &assignment.tasks {
            host_of.insert(task.request.id.clone(), number + 1);
        }
    }
    let mut checksum = 0xcbf2_9ce4_8422_2325_u64;
    for task in tasks {
        let host = host_of.get(&task.id).copied().unwrap_or(0);
        checksum = (checksum ^ host).wrapping_mul(0x0100_0000_01b3);
    }
    Outcome { placed: result.placed(), hosts: result.assignments.len(), checksum }
}

type Cell = (usize, usize, usize, usize, u64);

fn check(cells: &[Cell], fitness: &Fitness, equal_jobs: bool, constrained: bool) {
    for (hosts, count, placed, used, checksum) in cells {
        let tasks = tasks(*count, equal_jobs, constrained);
        let outcome = run(*hosts, fitness.clone(), &tasks);
        let label = format!("{hosts} hosts, {count} tasks");
        assert_eq!((outcome.placed, outcome.hosts), (*placed, *used), "{label}");
        assert_eq!(outcome.checksum, *checksum, "{label}: placements differ");
    }
}

#[test]
fn without_fitness_the_first_host_that_fits_is_taken() {
    let cells = [
        (100, 100, 100, 9, 0xbc6c_fa6c_2f25_c13d),
        (100, 1000, 950, 100, 0xe5b0_d0aa_c99e_965d),
        (100, 10_000, 953, 100, 0xbcfb_a5e5_27e7_1c87),
        (1000, 1000, 1000, 106, 0x1852_ae7e_a621_2f42),
        (1000, 10_000, 9397, 1000, 0x4fdf_df1d_cd56_8589),
    ];
    check(&cells, &Fitness::Any, false, false);
}

#[test]
fn the_cpu_and_memory_packer_places_as_fenzo_does() {
    let cells = [
        (100, 100, 100, 11, 0x7e7b_18f2_2255_7b56),
        (100, 1000, 938, 100, 0x30ee_7661_2633_1398),
        (100, 10_000, 941, 100, 0x9335_bc87_f79e_b946),
        (1000, 1000, 1000, 140, 0x1b52_958c_c4b7_282b),
        (1000, 10_000, 9345, 1000, 0xa3a6_49fe_0bd6_dd0e),
    ];
    check(&cells, &Fitness::cpu_memory_packer(), false, false);
}

#[test]
fn hard_zone_balance_with_soft_unique_hosts_places_as_fenzo_does() {
    let cells = [
        (100, 100, 100, 20, 0x51f6_7d18_292f_cdde),
        (100, 1000, 934, 100, 0x1530_e21b_896f_7344),
        (100, 10_000, 950, 100, 0x244a_5199_ffce_54bf),
        (1000, 1000, 1000, 147, 0xcb31_1621_bc7e_a6d6),
        (1000, 10_000, 9341, 998, 0x061b_0076_2130_47ea),
    ];
    check(&cells, &Fitness::cpu_memory_packer(), false, true);
}

#[test]
fn the_cpu_and_memory_spreader_places_as_fenzo_does() {
    let cells = [
        (100, 100, 100, 66, 0x522c_646e_9565_1cd0),
        (100, 1000, 975, 100, 0xefcc_5121_ec01_4d4f),
        (1000, 1000, 1000, 664, 0xaa51_b9c3_fe1b_a169),
    ];
    check(&cells, &Fitness::cpu_memory_spreader(), false, false);
}

#[test]
fn jobs_of_equal_tasks_are_placed_as_fenzo_places_them() {
    // The index takes part here: twenty tasks are one class.
    let placements = |constrained, count| {
        run(1000, Fitness::cpu_memory_packer(), &tasks(count, true, constrained)).checksum
    };
    assert_eq!(placements(false, 1000), 0x1428_1a25_6337_0636);
    assert_eq!(placements(false, 10_000), 0xba01_3be0_7481_1e4e);
    assert_eq!(placements(true, 1000), 0x1c56_62f2_6fa0_607e);
    assert_eq!(placements(true, 10_000), 0x3882_1f1c_6d3b_6b08);
}
