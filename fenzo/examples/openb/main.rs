//! Packs a real cluster's pods onto its GPUs and prints how much of all GPUs is allocated.
//!
//! `cargo run --release -p fenzo --example openb -- --variant default --seeds 10`
//!
//! Options: `--variant default|cpu100|cpu300|gpushare40|gpuspec33|multigpu50|all`, `--fitness
//! best-fit|fgd|expected-waste` (all three, if none is named), `--seeds N`, `--learn` (the expected waste is by
//! the pods that have come so far, not by those of the whole trace).
//!
//! Pods come in shuffled order until they ask for 130 % of the GPUs there are; none ends, and none that fits is
//! refused. Each is placed when it comes, without knowledge of those to come. What is counted is the sum of the
//! shares in use over that of all GPUs, as in the published simulator. The rate is by processor time.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program that measures: it reads the clock and prints"
)]

mod trace;

use std::process::ExitCode;

use fenzo::{DeviceMix, Fitness, HostAssignment, Lease, TaskRequest, TaskScheduler, Time};
use trace::{GPU, Trace};

/// The seeds are this and those that follow.
const FIRST_SEED: u64 = 42;

/// With `--learn`, the mix is renewed whenever so many pods have come.
const LEARN_EVERY: usize = 500;

const FITNESSES: [&str; 3] = ["best-fit", "fgd", "expected-waste"];

/// What came of the seeds.
#[derive(Default)]
struct Outcome {
    /// Hundredths of all GPUs, for each seed.
    allocated: Vec<f64>,
    pods: usize,
    /// Processor time.
    seconds: f64,
}

struct Options {
    variants: Vec<String>,
    fitnesses: Vec<String>,
    seeds: u64,
    learn: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            variants: vec!["default".to_owned()],
            fitnesses: FITNESSES.map(str::to_owned).to_vec(),
            seeds: 10,
            learn: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--learn" {
                options.learn = true;
                continue;
            }
            let value = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--variant" if value == "all" => {
                    options.variants = trace::names().map(str::to_owned).collect();
                }
                "--variant" => options.variants = vec![value],
                "--fitness" if FITNESSES.contains(&value.as_str()) => {
                    options.fitnesses = vec![value];
                }
                "--fitness" => return Err(format!("there is no fitness {value}")),
                "--seeds" => {
                    options.seeds = value.parse().map_err(|_| format!("{value} is no number"))?;
                }
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(options)
    }
}

fn fitness(name: &str, trace: &Trace, mix: &DeviceMix) -> Fitness {
    let (cpus, gpus) = trace.largest();
    match name {
        "best-fit" => Fitness::best_fit_devices(GPU, cpus, gpus),
        "fgd" => Fitness::fragmentation(mix),
        _ => Fitness::expected_waste(mix),
    }
}

/// Thousandths of GPUs that tasks use.
fn in_use(assignments: &[HostAssignment]) -> u64 {
    let tasks = assignments.iter().flat_map(|assignment| &assignment.tasks);
    tasks.flat_map(|task| &task.devices).map(|used| used.share.thousandths()).sum()
}

fn scheduler(fitness: Fitness) -> TaskScheduler {
    let builder = TaskScheduler::builder().fitness(fitness).single_lease();
    builder.build().expect("the fitness is sound")
}

/// Processor time of this process, which has one thread, as the kernel counts it.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// All pods in one run, which places each in its turn; what of GPUs they use.
fn place(scheduler: &mut TaskScheduler, tasks: &[TaskRequest], leases: Vec<Lease>) -> u64 {
    in_use(&scheduler.schedule_once(Time::ZERO, tasks, leases).assignments)
}

/// The same in runs of some pods, each with a mix of those that came before.
fn place_learning(
    fitness: impl Fn(&DeviceMix) -> Fitness,
    tasks: &[TaskRequest],
    leases: &[Lease],
) -> u64 {
    let (mut mix, mut allocated) = (DeviceMix::new(GPU), 0);
    let mut running: Vec<HostAssignment> = Vec::new();
    for batch in tasks.chunks(LEARN_EVERY) {
        let mut scheduler = scheduler(fitness(&mix));
        for assignment in &running {
            for task in &assignment.tasks {
                scheduler.task_launched(task, &assignment.host);
            }
        }
        let result = scheduler.schedule_once(Time::ZERO, batch, leases.to_vec());
        allocated += in_use(&result.assignments);
        running.extend(result.assignments);
        for task in batch {
            mix.add(&task.class, 1);
        }
    }
    allocated
}

fn measure(trace: &Trace, name: &str, options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in FIRST_SEED..FIRST_SEED + options.seeds {
        let (tasks, leases) = (trace.tasks(seed), trace.leases(seed));
        let mut scheduler = scheduler(fitness(name, trace, &trace.mix()));
        let start = processor_seconds();
        let allocated = if options.learn {
            place_learning(|mix| fitness(name, trace, mix), &tasks, &leases)
        } else {
            place(&mut scheduler, &tasks, leases)
        };
        outcome.seconds += processor_seconds() - start;
        outcome.pods += tasks.len();
        outcome.allocated.push(100.0 * allocated as f64 / trace.capacity() as f64);
    }
    outcome
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{:<11} {:<15} {:>7} {:>9}  GPUs allocated, seed by seed",
        "variant", "fitness", "mean", "pods/s"
    );
    for variant in &options.variants {
        let Some(trace) = Trace::read(variant) else {
            println!("there is no variant {variant}");
            return ExitCode::FAILURE;
        };
        for name in &options.fitnesses {
            let Outcome { allocated, pods, seconds } = measure(&trace, name, &options);
            let mean = allocated.iter().sum::<f64>() / allocated.len().max(1) as f64;
            let rate = pods as f64 / seconds.max(f64::EPSILON);
            let each: Vec<String> = allocated.iter().map(|one| format!("{one:.2}")).collect();
            println!("{variant:<11} {name:<15} {mean:>6.2}% {rate:>9.0}  {}", each.join(" "));
        }
    }
    ExitCode::SUCCESS
}
