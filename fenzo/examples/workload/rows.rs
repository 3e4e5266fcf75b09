//! What the table says beside growth: churn, memory of failures, packing of a batch and of a real trace.

use std::hint::black_box;

use fenzo::{
    DeviceMix, Fitness, Lease, Packing, SchedulingResult, TaskRequest, TaskScheduler, Time,
};

use crate::generate::{Config, Tasks, leases};
use crate::trace::{self, GPU, Trace};
use crate::{Options, Stopwatch, churn, status_kb};

/// Milliseconds of processor time that Netflix Fenzo took for a round of churn with 5,000 hosts.
const NETFLIX_CHURN: f64 = 79.7;

/// Seeds of the trace are this and those that follow.
const FIRST_SEED: u64 = 42;
const SEEDS: u64 = 10;

fn scheduler(packing: Packing) -> TaskScheduler {
    let builder = TaskScheduler::builder().fitness(Fitness::cpu_memory_packer());
    builder.packing(packing).build().expect("a packer can be built")
}

fn churning() {
    const ROUNDS: usize = 1000;
    let options = Options { hosts: 5000, tasks: 100, ..Options::default() };
    let mut scheduler = scheduler(Packing::InTurn);
    let tasks = Tasks::new(options.config, false, 1, options.task_seed);
    let seconds = churn::rounds(&options, ROUNDS, &mut scheduler, tasks).processor;
    let round = seconds * 1e3 / ROUNDS as f64;
    println!(
        "churn, 5,000 hosts, 100 tasks a round: Java {NETFLIX_CHURN} ms, here {round:.3} ms, {:.0}x",
        NETFLIX_CHURN / round
    );
}

/// Memory that explanations of tasks which fit nowhere hold, while the result is held.
fn failing(count: usize, with_sets: bool) {
    let mut scheduler = scheduler(Packing::InTurn);
    // Some hosts have a named set, as network interfaces are; no task asks for a member.
    let some = |(number, lease): (usize, Lease)| match with_sets && number % 10 == 0 {
        true => lease.with_set("interfaces", 4, 8),
        false => lease,
    };
    let leases = leases(10_000, 42).into_iter().enumerate().map(some).collect();
    scheduler.schedule_once(Time::ZERO, &[], leases);
    let tasks: Vec<TaskRequest> =
        Tasks::new(Config::BinPack, false, 100, 1337).take(count).collect();
    let before = status_kb("VmRSS:");
    let stopwatch = Stopwatch::start();
    let result: SchedulingResult = scheduler.schedule_once(Time::ZERO, &tasks, vec![]);
    let (_, seconds) = stopwatch.read();
    let more = status_kb("VmRSS:").saturating_sub(before);
    println!(
        "{count} tasks that fit nowhere, 10,000 hosts{}: {} failed, {:.1} us a task, {more} KB more",
        if with_sets { ", one in ten with a named set" } else { "" },
        result.failed(),
        seconds * 1e6 / count as f64,
    );
    black_box(result);
}

fn look_ahead(hosts: usize, count: usize, equal_jobs: bool) {
    let work = Options::default().work;
    let mut scheduler = scheduler(Packing::LookAhead { work });
    let tasks: Vec<TaskRequest> =
        Tasks::new(Config::BinPack, equal_jobs, 1, 1337).take(count).collect();
    let stopwatch = Stopwatch::start();
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases(hosts, 42));
    let (_, seconds) = stopwatch.read();
    let report = result.packing.expect("looking ahead tells what it came to");
    let used = result.assignments.len();
    println!(
        "look-ahead, {hosts} hosts, {count} tasks{}: in turn {}, here {used}, lower bound {}, \
         {:.4} of it, {seconds:.2} s",
        if equal_jobs { " in jobs" } else { "" },
        report.in_turn,
        report.lower_bound,
        used as f64 / f64::from(report.lower_bound.max(1)),
    );
}

/// The mean share of all GPUs that is allocated, in hundredths, and pods a processor second.
fn openb(trace: &Trace, fitness: fn(&DeviceMix) -> Fitness) -> (f64, f64) {
    let (mut allocated, mut pods, mut seconds) = (0.0, 0, 0.0);
    for seed in FIRST_SEED..FIRST_SEED + SEEDS {
        let (tasks, leases) = (trace.tasks(seed), trace.leases(seed));
        let builder = TaskScheduler::builder().fitness(fitness(&trace.mix())).single_lease();
        let mut scheduler = builder.build().expect("the fitness is sound");
        let stopwatch = Stopwatch::start();
        let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
        seconds += stopwatch.read().1;
        pods += tasks.len();
        let placed = result.assignments.iter().flat_map(|assignment| &assignment.tasks);
        let shares = placed.flat_map(|task| &task.devices).map(|used| used.share.thousandths());
        allocated += 100.0 * shares.sum::<u64>() as f64 / trace.capacity() as f64;
    }
    (allocated / SEEDS as f64, pods as f64 / seconds)
}

pub(crate) fn print() {
    println!();
    churning();
    failing(1000, false);
    failing(10_000, false);
    failing(10_000, true);
    look_ahead(10_000, 10_000, false);
    look_ahead(10_000, 10_000, true);
    println!("\nthe trace openb: share of all {GPU}s that is allocated, mean of {SEEDS} seeds");
    for variant in trace::names() {
        let Some(trace) = Trace::read(variant) else { continue };
        let (fgd, _) = openb(&trace, Fitness::fragmentation);
        let (waste, rate) = openb(&trace, Fitness::expected_waste);
        println!(
            "{variant:11} fragmentation gradient descent {fgd:.2} %, expected waste {waste:.2} %, \
             {rate:.0} pods/s"
        );
    }
}
