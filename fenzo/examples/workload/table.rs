//! The whole table: each configuration over cluster sizes, with the exponent by which the cost of one placement
//! grows with the number of hosts, and what Netflix Fenzo took beside it.
//!
//! The floor is measured in the same run, before and after: reading once what every host has free, which is the
//! least that looking at each host for each task would cost.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, HostView, Measure, Milli, Resources, SchedulingResult, TaskClass,
    TaskRequest, TaskScheduler, Time,
};

use crate::generate::{Config, Tasks, checksum, leases};
use crate::{Options, Stopwatch, churn, host_number, rows};

const SIZES: [usize; 5] = [100, 1000, 5000, 10_000, 50_000];

const NETFLIX: &str = include_str!("netflix.csv");

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

/// Microseconds for each of some tasks, the best of several runs.
fn each(fitness: &Fitness, hosts: usize, tasks: &[TaskRequest]) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let builder = TaskScheduler::builder().fitness(fitness.clone());
        let mut scheduler = builder.build().expect("the configurations can be built");
        // Taking the leases in is a run of its own: what is measured is placing.
        scheduler.schedule_once(Time::ZERO, &[], leases(hosts, 42));
        let stopwatch = Stopwatch::start();
        black_box(scheduler.schedule_once(Time::ZERO, tasks, vec![]));
        best = best.min(stopwatch.read().0);
    }
    best * 1e6 / tasks.len() as f64
}

fn cell(config: Config, hosts: usize, count: usize, big: u64) -> f64 {
    let tasks: Vec<TaskRequest> = Tasks::new(config, false, big, 1337).take(count).collect();
    each(&config.fitness(), hosts, &tasks)
}

/// What closures say where constraints and fitness could say it as well, so that they have work to do.
#[derive(Clone, Copy)]
enum Closure {
    /// A hard one for each task: two thirds of the hosts, and not too many tasks.
    Hard,
    /// A wish as well: few tasks.
    HardAndSoft,
    /// The packer as a closure.
    Fitness,
    /// A hard one that passes one host in a hundred, beside a spreader: the best hosts are refused.
    Picky,
    /// The same with each task in a group of its own, so that no two are of one class.
    PickyApart,
}

fn with_closure(closure: Closure, hosts: usize) -> f64 {
    let hard = Constraint::custom("not in zoneB, few tasks", |_, host| {
        host.attributes().get("zone").is_some_and(|zone| *zone != "zoneB".into())
            && host.tasks() < 40
    });
    // It costs little itself: what is measured is asking.
    let picky = |_: &TaskClass, host: &HostView<'_>| host.id().as_str().ends_with("00");
    let picky = Constraint::custom("one host in 100", picky);
    let soft = Constraint::scored("few tasks", |_, host| 1.0 / (1.0 + f64::from(host.tasks())));
    let packer = Fitness::custom(|class, host| {
        let part = |measure, more: fenzo::Milli| {
            let used = host.used(measure).saturating_add(more).thousandths();
            used as f64 / host.total(measure).thousandths().max(1) as f64
        };
        let demand = &class.demand;
        (part(Measure::Cpus, demand.cpus) + part(Measure::Memory, demand.mem)) / 2.0
    });
    let count = match closure {
        Closure::Picky => 10_000,
        Closure::Hard | Closure::HardAndSoft | Closure::Fitness | Closure::PickyApart => {
            hosts.min(1000)
        }
    };
    let tasks = Tasks::new(Config::BinPack, false, 1, 1337).take(count);
    let with = |task: TaskRequest| {
        let mut class = TaskClass::clone(&task.class);
        let class = match closure {
            Closure::Hard => class.with_hard(hard.clone()),
            Closure::HardAndSoft => class.with_hard(hard.clone()).with_soft(soft.clone().soft(1)),
            Closure::Fitness => class,
            Closure::Picky | Closure::PickyApart => {
                if matches!(closure, Closure::PickyApart) {
                    class.group = task.id.as_str().into();
                }
                // Small enough that the few hosts have room for all.
                class.demand =
                    Resources { cpus: Milli::from_thousandths(10), ..Resources::default() };
                class.with_hard(picky.clone())
            }
        };
        TaskRequest::new(task.id, &Arc::new(class))
    };
    let tasks: Vec<TaskRequest> = tasks.map(with).collect();
    let fitness = match closure {
        Closure::Hard | Closure::HardAndSoft => Fitness::cpu_memory_packer(),
        Closure::Fitness => packer,
        Closure::Picky | Closure::PickyApart => Fitness::cpu_memory_spreader(),
    };
    each(&fitness, hosts, &tasks)
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

/// The time of a round of churn, in microseconds of processor time.
fn churning(hosts: usize) -> f64 {
    const ROUNDS: usize = 200;
    let options = Options { hosts, tasks: 100, ..Options::default() };
    let fitness = options.config.fitness();
    let mut scheduler =
        TaskScheduler::builder().fitness(fitness).build().expect("a packer can be built");
    let tasks = Tasks::new(options.config, false, 1, options.task_seed);
    churn::rounds(&options, ROUNDS, &mut scheduler, tasks).processor * 1e6 / ROUNDS as f64
}

/// The slope of the best straight line through the logarithms.
fn growth(figures: [f64; SIZES.len()]) -> f64 {
    let points: Vec<(f64, f64)> =
        SIZES.iter().zip(figures).map(|(hosts, cost)| ((*hosts as f64).ln(), cost.ln())).collect();
    let count = points.len() as f64;
    let middle = points.iter().map(|point| point.0).sum::<f64>() / count;
    let height = points.iter().map(|point| point.1).sum::<f64>() / count;
    let rise: f64 = points.iter().map(|(at, cost)| (at - middle) * (cost - height)).sum();
    rise / points.iter().map(|(at, _)| (at - middle) * (at - middle)).sum::<f64>()
}

fn row(name: &str, figures: [f64; SIZES.len()]) {
    print!("{name:30}");
    for figure in figures {
        print!(" {figure:11.3}");
    }
    println!(" {:9.2}", growth(figures));
}

/// One run with everything in it, as Netflix Fenzo was measured: seconds of the processor, and what came of it.
fn whole_run(config: Config, hosts: usize, count: usize) -> (f64, SchedulingResult, u64) {
    let tasks: Vec<TaskRequest> = Tasks::new(config, false, 1, 1337).take(count).collect();
    let leases = leases(hosts, 42);
    let builder = TaskScheduler::builder().fitness(config.fitness());
    let mut scheduler = builder.build().expect("the configurations can be built");
    let stopwatch = Stopwatch::start();
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
    let (_, processor) = stopwatch.read();
    let mut host_of = BTreeMap::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            host_of.insert(&task.request.id, host_number(&assignment.host));
        }
    }
    let sum = checksum(tasks.iter().map(|task| host_of.get(&task.id).copied()));
    (processor, result, sum)
}

fn beside_netflix() {
    println!(
        "\n{:10} {:>7} {:>7} {:>12} {:>12} {:>7} {:>9}  placements",
        "one run", "hosts", "tasks", "Java, cpu ms", "here, cpu ms", "ratio", "placed/s"
    );
    for line in NETFLIX.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [config, hosts, tasks, java, _, sum] = fields[..] else { continue };
        let (Some(config), Ok(hosts), Ok(tasks), Ok(java)) =
            (Config::named(config), hosts.parse(), tasks.parse(), java.parse::<f64>())
        else {
            continue;
        };
        let (seconds, result, ours) = whole_run(config, hosts, tasks);
        let ours = if format!("{ours:016x}") == sum { "the same" } else { "DIFFERENT" };
        println!(
            "{:10} {hosts:7} {tasks:7} {java:12.0} {:12.2} {:6.0}x {:9.0}  {ours}",
            fields[0],
            seconds * 1e3,
            java / 1e3 / seconds,
            result.placed() as f64 / seconds,
        );
    }
    let (seconds, result, _) = whole_run(Config::BinPack, 50_000, 100_000);
    let placed = result.placed();
    println!(
        "binpack      50000  100000            - {:12.2}       - {:9.0}  {placed} placed",
        seconds * 1e3,
        placed as f64 / seconds,
    );
    println!("Java's figures were measured elsewhere, on a machine of this kind.");
}

/// Prints the table: microseconds a task, but for the floor, the run without changes and the round of churn.
pub(crate) fn print() {
    print!("{:30}", "us, by hosts");
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
    row("hard closures", SIZES.map(|hosts| with_closure(Closure::Hard, hosts)));
    row("hard and soft closures", SIZES.map(|hosts| with_closure(Closure::HardAndSoft, hosts)));
    row("picky closures, spread", SIZES.map(|hosts| with_closure(Closure::Picky, hosts)));
    row("the same, a class each", SIZES.map(|hosts| with_closure(Closure::PickyApart, hosts)));
    row("fitness as a closure", SIZES.map(|hosts| with_closure(Closure::Fitness, hosts)));
    row("a run without changes", SIZES.map(idle));
    row("a round of churn, 100 tasks", SIZES.map(churning));
    row("floor again", SIZES.map(floor));
    beside_netflix();
    rows::print();
}
