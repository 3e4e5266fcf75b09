//! Places the workload that Fenzo was measured with and prints what came of it as `key=value` pairs.
//!
//! `cargo run --release -p fenzo --example workload -- --config binpack --hosts 10000 --tasks 10000`
//!
//! Options: `--config default|binpack|con-0.9|spread`, `--hosts N`, `--tasks N`, `--shape het|job`,
//! `--host-seed S`, `--task-seed S`, `--big K` (cpus times K), `--placements FILE` (a csv of task and host),
//! `--churn ROUNDS` with `--preload PERCENT`: a cluster that is kept that full, where each round as many tasks
//! end as start; its checksum is over the tasks of the rounds that are counted. `--pack look-ahead` packs all tasks at once, with `--work N` comparisons, and prints the lower
//! bound of the hosts beside those used.
//!
//! `--table` alone prints what each configuration costs over cluster sizes, beside a floor and beside Netflix
//! Fenzo, whose figures (`netflix.csv`) were taken on another machine of the kind; and how well batches and the
//! trace `openb` are packed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program that measures: it reads the clock and prints"
)]

mod churn;
mod generate;
mod rows;
mod table;
#[cfg(test)]
mod tests;
#[path = "../openb/trace.rs"]
#[allow(dead_code, reason = "the example openb uses more of it")]
mod trace;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use fenzo::{
    HostId, Packing, PackingReport, SchedulingResult, TaskId, TaskRequest, TaskScheduler, Time,
};
use generate::{Config, Tasks, checksum, leases};
use rustix::time::{ClockId, clock_gettime};

#[derive(Clone)]
struct Options {
    config: Config,
    hosts: usize,
    tasks: usize,
    equal_jobs: bool,
    big: u64,
    host_seed: u64,
    task_seed: u64,
    placements: Option<String>,
    churn: Option<usize>,
    preload: u64,
    look_ahead: bool,
    work: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Config::BinPack,
            hosts: 1000,
            tasks: 1000,
            equal_jobs: false,
            big: 1,
            host_seed: 42,
            task_seed: 1337,
            placements: None,
            churn: None,
            preload: 70,
            look_ahead: false,
            work: 300_000_000,
        }
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut preload_given, mut work_given) = (false, false);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            let number =
                || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
            let count =
                || value.parse::<usize>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--config" => {
                    options.config =
                        Config::named(&value).ok_or(format!("unknown config {value}"))?;
                }
                "--hosts" => options.hosts = count()?,
                "--tasks" => options.tasks = count()?,
                "--shape" => match value.as_str() {
                    "het" => options.equal_jobs = false,
                    "job" => options.equal_jobs = true,
                    _ => return Err(format!("unknown shape {value}")),
                },
                "--pack" => match value.as_str() {
                    "in-turn" => options.look_ahead = false,
                    "look-ahead" => options.look_ahead = true,
                    _ => return Err(format!("unknown packing {value}")),
                },
                "--work" => (options.work, work_given) = (number()?, true),
                "--big" => options.big = number()?,
                "--host-seed" => options.host_seed = number()?,
                "--task-seed" => options.task_seed = number()?,
                "--placements" => options.placements = Some(value),
                "--churn" => options.churn = Some(count()?),
                "--preload" => (options.preload, preload_given) = (number()?, true),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        options.check(preload_given, work_given)?;
        Ok(options)
    }

    /// Refuses what would be ignored, and what no machine has room for.
    fn check(&self, preload_given: bool, work_given: bool) -> Result<(), String> {
        if self.churn.is_some() && self.placements.is_some() {
            return Err("--placements is of one run: it does not go with --churn".to_owned());
        }
        if self.churn.is_none() && preload_given {
            return Err("--preload is of a churn: it goes with --churn".to_owned());
        }
        if !self.look_ahead && work_given {
            return Err("--work is of looking ahead: it goes with --pack look-ahead".to_owned());
        }
        let bounds = [
            ("--hosts", self.hosts as u64, 1_000_000),
            ("--tasks", self.tasks as u64, 10_000_000),
            ("--preload", self.preload, 100),
            ("--big", self.big, 1_000_000),
        ];
        match bounds.into_iter().find(|(_, given, most)| given > most) {
            Some((name, given, most)) => Err(format!("{name} {given}: at most {most}")),
            None => Ok(()),
        }
    }
}

/// Wall and processor time since it was started.
struct Stopwatch {
    wall: Instant,
    processor: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { processor: processor_seconds(), wall: Instant::now() }
    }

    fn read(&self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), processor_seconds() - self.processor)
    }
}

/// Processor time of this process, which has one thread, to the nanosecond.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A figure of this process that the kernel tells in kilobytes.
fn status_kb(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    kilobytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
}

fn peak_rss_mb() -> u64 {
    status_kb("VmHWM:") / 1024
}

fn host_number(host: &HostId) -> u64 {
    host.as_str()["host".len()..].parse().expect("hosts are numbered")
}

/// The number of the host that each task of a run was placed on.
fn hosts_of(result: &SchedulingResult) -> BTreeMap<&TaskId, u64> {
    let mut host_of = BTreeMap::new();
    for assignment in &result.assignments {
        let host = host_number(&assignment.host);
        host_of.extend(assignment.tasks.iter().map(|task| (&task.request.id, host)));
    }
    host_of
}

fn once(options: &Options, scheduler: &mut TaskScheduler, tasks: Tasks) -> Result<(), String> {
    let tasks: Vec<TaskRequest> = tasks.take(options.tasks).collect();
    let leases = leases(options.hosts, options.host_seed);
    let stopwatch = Stopwatch::start();
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
    let (seconds, processor) = stopwatch.read();
    let host_of = hosts_of(&result);
    let hosts = || tasks.iter().map(|task| host_of.get(&task.id).copied());
    let packing =
        result.packing.map_or(String::new(), |PackingReport { lower_bound, in_turn, .. }| {
            let ratio = result.assignments.len() as f64 / f64::from(lower_bound.max(1));
            format!(" lower_bound={lower_bound} in_turn={in_turn} ratio={ratio:.4}")
        });
    println!(
        "assigned={} unassigned={} hosts_used={} checksum={:016x} seconds={seconds:.6} \
         cpu_seconds={processor:.6} evaluations={} peak_rss_mb={}{packing}",
        result.placed(),
        result.failed(),
        result.assignments.len(),
        checksum(hosts()),
        result.evaluations,
        peak_rss_mb(),
    );
    if let Some(path) = &options.placements {
        let line = |(task, host): (usize, Option<u64>)| match host {
            Some(host) => format!("{task},{host}\n"),
            None => format!("{task},-1\n"),
        };
        let text: String = std::iter::once("task,host\n".to_owned())
            .chain(hosts().enumerate().map(line))
            .collect();
        std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

fn run() -> Result<(), String> {
    if std::env::args().skip(1).eq(["--table"]) {
        table::print();
        return Ok(());
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let mut scheduler = TaskScheduler::builder()
        .fitness(options.config.fitness())
        .packing(match options.look_ahead {
            true => Packing::LookAhead { work: options.work },
            false => Packing::InTurn,
        })
        .build()
        .map_err(|error| error.to_string())?;
    let tasks = Tasks::new(options.config, options.equal_jobs, options.big, options.task_seed);
    match options.churn {
        Some(rounds) => {
            let churned = churn::rounds(&options, rounds, &mut scheduler, tasks);
            println!("rounds={rounds} {churned} peak_rss_mb={}", peak_rss_mb());
        }
        None => once(&options, &mut scheduler, tasks)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("workload: {problem}");
            ExitCode::from(2)
        }
    }
}
