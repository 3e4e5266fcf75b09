//! Places the workload that Fenzo was measured with and prints what came of it as `key=value` pairs.
//!
//! `cargo run --release -p fenzo --example workload -- --config binpack --hosts 10000 --tasks 10000`
//!
//! Options: `--config default|binpack|con-0.9|spread`, `--hosts N`, `--tasks N`, `--shape het|job`,
//! `--host-seed S`, `--task-seed S`, `--big K` (cpus times K), `--placements FILE` (a csv of task and host),
//! `--churn ROUNDS` with `--preload PERCENT`: a cluster that is kept that full, where each round as many tasks
//! end as start. `--pack look-ahead` packs all tasks at once, with `--work N` comparisons, and prints the lower
//! bound of the hosts beside those used.
//!
//! `--table` alone prints what each configuration costs over cluster sizes, beside a floor.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program that measures: it reads the clock and prints"
)]

mod generate;
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use fenzo::{
    HostId, Lease, Packing, PackingReport, PortRange, Resources, SchedulingResult, TaskId,
    TaskRequest, TaskScheduler, Time,
};
use generate::{Config, Generator, Tasks, checksum, leases};

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

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
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
        };
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
                "--work" => options.work = number()?,
                "--big" => options.big = number()?,
                "--host-seed" => options.host_seed = number()?,
                "--task-seed" => options.task_seed = number()?,
                "--placements" => options.placements = Some(value),
                "--churn" => options.churn = Some(count()?),
                "--preload" => options.preload = number()?,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
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

/// Processor time of this process, which has one thread, as the kernel counts it.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

fn peak_rss_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    kilobytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn host_number(host: &HostId) -> u64 {
    host.as_str()["host".len()..].parse().expect("hosts are numbered")
}

fn once(options: &Options, scheduler: &mut TaskScheduler, tasks: Tasks) -> Result<(), String> {
    let tasks: Vec<TaskRequest> = tasks.take(options.tasks).collect();
    let leases = leases(options.hosts, options.host_seed);
    let stopwatch = Stopwatch::start();
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
    let (seconds, processor) = stopwatch.read();
    let mut host_of: BTreeMap<&TaskId, u64> = BTreeMap::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            host_of.insert(&task.request.id, host_number(&assignment.host));
        }
    }
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

/// The running tasks of a cluster, and what its hosts have left.
struct Running {
    tasks: Vec<(TaskRequest, HostId)>,
    left: BTreeMap<HostId, Lease>,
    returned: Vec<Lease>,
    offers: u64,
}

impl Running {
    fn offer(&mut self, mut lease: Lease, offered: Resources) {
        self.offers += 1;
        lease.id = format!("return-{}", self.offers).into();
        lease.offered = offered;
        self.returned.push(lease);
    }

    /// Notes what a run has placed; what a host has left comes back as one offer.
    fn launch(&mut self, scheduler: &mut TaskScheduler, result: SchedulingResult) {
        for assignment in result.assignments {
            let mut free = Resources::default();
            for lease in &assignment.leases {
                free.add(&self.take_held(lease));
            }
            for task in assignment.tasks {
                free = less(&free, &task.request.class.demand);
                scheduler.task_assigned(&task.request, &assignment.host);
                self.tasks.push((task.request, assignment.host.clone()));
            }
            let lease = self.left[&assignment.host].clone();
            self.offer(lease, free);
        }
    }

    /// What a lease offers is kept under its id for as long as the scheduler may hold it.
    fn take_held(&mut self, lease: &fenzo::LeaseId) -> Resources {
        let key = HostId::from(lease.as_str());
        self.left.remove(&key).expect("a lease in use was offered").offered
    }

    fn hold(&mut self, lease: &Lease) {
        self.left.insert(HostId::from(lease.id.as_str()), lease.clone());
    }

    fn end_one(&mut self, scheduler: &mut TaskScheduler, pick: usize) {
        let (task, host) = self.tasks.swap_remove(pick);
        scheduler.task_unassigned(&task.id, &host);
        let mut lease = self.left[&host].clone();
        lease.ports = PortRange::new(31_999, 31_999).into_iter().collect();
        self.offer(lease, task.class.demand.clone());
    }
}

fn less(from: &Resources, taken: &Resources) -> Resources {
    Resources {
        cpus: from.cpus.saturating_sub(taken.cpus),
        mem: from.mem.saturating_sub(taken.mem),
        disk: from.disk.saturating_sub(taken.disk),
        network: from.network.saturating_sub(taken.network),
        scalars: BTreeMap::new(),
    }
}

/// Rounds in which `tasks` tasks end and as many start, on a cluster that is `preload` percent full.
fn churn(options: &Options, rounds: usize, scheduler: &mut TaskScheduler, mut tasks: Tasks) {
    const WARM_UP: usize = 5;
    let leases = leases(options.hosts, options.host_seed);
    let cpus: u64 = leases.iter().map(|lease| lease.offered.cpus.thousandths()).sum();
    let preload = usize::try_from(cpus * options.preload / 100 / 2125).unwrap_or(0);
    let mut running =
        Running { tasks: Vec::new(), left: BTreeMap::new(), returned: Vec::new(), offers: 0 };
    for lease in &leases {
        running.left.insert(lease.host.clone(), lease.clone());
        running.hold(lease);
    }
    let first: Vec<TaskRequest> = tasks.by_ref().take(preload).collect();
    let result = scheduler.schedule_once(Time::ZERO, &first, leases);
    running.launch(scheduler, result);
    let mut generator = Generator(7);
    let (mut placed, mut failed, mut evaluations) = (0, 0, 0);
    let (mut seconds, mut processor, mut rounds_took) = (0.0, 0.0, Vec::new());
    for round in 0..rounds + WARM_UP {
        for _ in 0..options.tasks.min(running.tasks.len()) {
            let among = u64::try_from(running.tasks.len()).unwrap_or(u64::MAX);
            let pick = usize::try_from(generator.below(among)).unwrap_or(0);
            running.end_one(scheduler, pick);
        }
        let returned = std::mem::take(&mut running.returned);
        for lease in &returned {
            running.hold(lease);
        }
        let batch: Vec<TaskRequest> = tasks.by_ref().take(options.tasks).collect();
        let stopwatch = Stopwatch::start();
        let result = scheduler.schedule_once(Time::ZERO, &batch, returned);
        let (wall, cpu) = stopwatch.read();
        if round >= WARM_UP {
            (seconds, processor) = (seconds + wall, processor + cpu);
            rounds_took.push(wall);
            placed += result.placed();
            failed += result.failed();
            evaluations += result.evaluations;
        }
        running.launch(scheduler, result);
    }
    rounds_took.sort_by(f64::total_cmp);
    let median = rounds_took.get(rounds_took.len() / 2).copied().unwrap_or(0.0);
    println!(
        "rounds={rounds} preloaded={preload} assigned={placed} unassigned={failed} \
         seconds={seconds:.6} cpu_seconds={processor:.6} median_round={median:.6} \
         evaluations={evaluations} peak_rss_mb={}",
        peak_rss_mb(),
    );
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
        Some(rounds) => churn(&options, rounds, &mut scheduler, tasks),
        None => once(&options, &mut scheduler, tasks)?,
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("{problem}");
            ExitCode::from(2)
        }
    }
}
