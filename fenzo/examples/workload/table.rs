//! The whole table: each configuration over cluster sizes, with the exponent by which the cost of one placement
//! grows with the number of hosts.
//!
//! The floor is measured in the same run, before and after: reading once what every host has free, which is the
//! least that looking at each host for each task would cost.

use std::hint::black_box;

use fenzo::{TaskRequest, TaskScheduler, Time};

use crate::Stopwatch;
use crate::generate::{Config, Tasks, leases};

const SIZES: [usize; 4] = [100, 1000, 10_000, 50_000];

/// Microseconds of processor time to read five amounts of each of so many hosts.
fn floor(hosts: usize) -> f64 {
    const ROUNDS: usize = 200;
    let free: Vec<[u64; 5]> = (0..hosts as u64).map(|host| [host; 5]).collect();
    let stopwatch = Stopwatch::start();
    for round in 0..ROUNDS as u64 {
        let demand = black_box([round; 5]);
        let fits = |free: &&[u64; 5]| free.iter().zip(&demand).all(|(free, amount)| free >= amount);
        black_box(free.iter().filter(fits).count());
    }
    stopwatch.read().0 * 1e6 / ROUNDS as f64
}

/// Microseconds for each of `count` tasks, the best of several runs.
fn cell(config: Config, hosts: usize, count: usize, big: u64) -> f64 {
    let tasks: Vec<TaskRequest> = Tasks::new(config, false, big, 1337).take(count).collect();
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let builder = TaskScheduler::builder().fitness(config.fitness());
        let mut scheduler = builder.build().expect("the configurations can be built");
        // Taking the leases in is a run of its own: what is measured is placing.
        scheduler.schedule_once(Time::ZERO, &[], leases(hosts, 42));
        let stopwatch = Stopwatch::start();
        black_box(scheduler.schedule_once(Time::ZERO, &tasks, vec![]));
        best = best.min(stopwatch.read().0);
    }
    best * 1e6 / count as f64
}

/// The time of a run in which nothing has changed, in microseconds.
fn idle(hosts: usize) -> f64 {
    const ROUNDS: usize = 1000;
    let mut scheduler = TaskScheduler::builder().build().expect("the defaults can be built");
    scheduler.schedule_once(Time::ZERO, &[], leases(hosts, 42));
    let stopwatch = Stopwatch::start();
    for _ in 0..ROUNDS {
        black_box(scheduler.schedule_once(Time::ZERO, &[], vec![]));
    }
    stopwatch.read().0 * 1e6 / ROUNDS as f64
}

fn row(name: &str, figures: [f64; 4]) {
    let growth = (figures[3] / figures[0]).ln() / (500.0_f64).ln();
    print!("{name:26}");
    for figure in figures {
        print!(" {figure:11.3}");
    }
    println!(" {growth:9.2}");
}

/// Prints the table: microseconds a task, but for the floor and the run without changes.
pub(crate) fn print() {
    print!("{:26}", "us, by hosts");
    for hosts in SIZES {
        print!(" {hosts:11}");
    }
    println!(" {:>9}", "exponent");
    row("floor: look at all hosts", SIZES.map(floor));
    for (name, config) in [
        ("default", Config::Default),
        ("binpack", Config::BinPack),
        ("con-0.9", Config::Constrained),
        ("spread", Config::Spread),
    ] {
        row(name, SIZES.map(|hosts| cell(config, hosts, hosts.min(10_000), 1)));
    }
    row("fits nowhere", SIZES.map(|hosts| cell(Config::BinPack, hosts, 10_000, 100)));
    row("a run without changes", SIZES.map(idle));
    row("floor again", SIZES.map(floor));
}
