//! The allocator alone: the master's core in this process, on one thread, fed by hand.
//!
//! Times are processor time of this thread, so that a busy machine disturbs less. The floor builds
//! the same offers and decides nothing. The workloads are those of the allocator benchmarks of
//! Apache Mesos, with its sizes.

mod limited;
mod workload;
mod world;

use crate::stats::{growth_exponent, median, percentile};
use limited::Limited;
use workload::{Case, Freed, Shape};

const RUNS: usize = 5;

/// Prints every table; `part` names one of them.
pub(crate) fn run(part: Option<&str>) {
    let parts: [(&str, fn()); 7] = [
        ("cycle", cycles),
        ("decline", declines),
        ("quota", quotas),
        ("suppressed", suppressed),
        ("freed", freed),
        ("limited", limits),
        ("memory", memory),
    ];
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run();
        }
    }
}

/// Several runs of one size; the median of each figure, in milliseconds.
fn medians<const N: usize>(mut one: impl FnMut() -> [f64; N]) -> [f64; N] {
    let runs: Vec<[f64; N]> = (0..RUNS).map(|_| one()).collect();
    std::array::from_fn(|at| median(&runs.iter().map(|run| run[at]).collect::<Vec<_>>()))
}

fn cycles() {
    println!("everything free, offers built, one role (processor ms, median of {RUNS}):");
    println!("   agents frameworks    floor     ours    floor   again  us/offer");
    let mut by_agents = Vec::new();
    for agents in [1_000, 5_000, 10_000, 20_000, 50_000] {
        by_agents.push((agents as f64, cycle_row(agents, 1_000, Shape::Plain)));
    }
    let mut by_frameworks = Vec::new();
    for frameworks in [1, 50, 200, 1_000, 6_000] {
        by_frameworks.push((frameworks as f64, cycle_row(10_000, frameworks, Shape::Plain)));
    }
    println!("  growth in agents {:.2}", growth_exponent(&by_agents));
    println!("  growth in frameworks {:.2}", growth_exponent(&by_frameworks));
    println!("one role for each framework, then 100 roles of a tree three deep:");
    cycle_row(10_000, 1_000, Shape::RoleEach);
    cycle_row(10_000, 1_000, Shape::Tree);
}

fn cycle_row(agents: usize, frameworks: usize, shape: Shape) -> f64 {
    let [before, ours, after, again] = medians(|| workload::cycle(agents, frameworks, shape));
    println!(
        "  {agents:>7} {frameworks:>10} {before:>8.2} {ours:>8.2} {after:>8.2} {again:>7.2} {:>9.2}",
        ours * 1e3 / agents as f64
    );
    ours
}

fn declines() {
    println!("DeclineOffers: a part of each agent in use, every offer declined for ever:");
    println!("                              allocate                           decline");
    println!("   agents frameworks rounds     first   median      p99      max   median      max");
    // After as many rounds as there are frameworks nothing is left that was not refused.
    for (agents, frameworks, rounds) in
        [(1_000, 1_000, 2_000), (10_000, 200, 400), (10_000, 1_000, 1_000), (10_000, 1_000, 2_000)]
    {
        let (allocate, decline) = workload::decline(agents, frameworks, rounds);
        let max = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
        println!(
            "  {agents:>7} {frameworks:>10} {rounds:>6}  {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}",
            allocate[0],
            median(&allocate),
            percentile(&allocate, 0.99),
            max(&allocate),
            median(&decline),
            max(&decline)
        );
    }
}

fn quotas() {
    println!("LargeAndSmallQuota (processor ms, median of {RUNS}):");
    println!("   agents  roles  offers     ours  nothing left");
    let mut points = Vec::new();
    for (small, large) in [(25, 5), (250, 50), (1_250, 250), (2_500, 500), (5_000, 1_000)] {
        let agents = small / 5 + large * 5;
        let [offers, ours, again] = medians(|| workload::quota(small, large));
        println!("  {agents:>7} {:>6} {offers:>7} {ours:>8.2} {again:>13.3}", small + large);
        points.push((agents as f64, ours));
    }
    println!("  growth {:.2}", growth_exponent(&points));
}

fn suppressed() {
    println!("every framework suppressed, every agent marked:");
    for (agents, frameworks) in [(10_000, 1_000), (50_000, 6_000)] {
        let [ours] = medians(|| [workload::suppressed(agents, frameworks)]);
        println!("  {agents:>7} {frameworks:>10} {ours:>8.2} ms");
    }
}

fn freed() {
    println!(
        "one offer declined unfiltered and made again (processor us, medians: decline, pass, p99 of passes):"
    );
    let mut points = Vec::new();
    for agents in [1_000, 5_000, 10_000, 50_000] {
        let figure = workload::freed(agents, 1_000, Case::Free);
        freed_row(agents, &figure);
        points.push((agents as f64, figure.decline + figure.pass));
    }
    println!("  growth {:.2}", growth_exponent(&points));
    println!("the others idle and refused by all:");
    freed_row(50_000, &workload::freed(50_000, 1_000, Case::Idle));
}

fn freed_row(agents: usize, figure: &Freed) {
    let Freed { decline, pass, p99 } = figure;
    println!("  {agents:>7} agents x 1000 frameworks: {decline:>6.2} {pass:>6.2} {p99:>6.2}");
}

fn limits() {
    println!(
        "a role at its limit, every agent free (processor us, medians): a task ends until its"
    );
    println!("agent is offered; that is refused until another agent is offered:");
    let shapes = [
        ("plain agents", limited::plain_agent()),
        ("agents that have revocable cpus besides", limited::mixed_agent()),
    ];
    for (what, agent) in shapes {
        println!(" {what}:");
        let (mut ends, mut refusals) = (Vec::new(), Vec::new());
        for agents in [5_000, 10_000, 20_000, 50_000] {
            let Limited { ended, refused } = limited::limited(agents, &agent);
            println!("  {agents:>7} agents: {ended:>8.2} {refused:>8.2}");
            ends.push((agents as f64, ended));
            refusals.push((agents as f64, refused));
        }
        let (ends, refusals) = (growth_exponent(&ends), growth_exponent(&refusals));
        println!("  growth {ends:.2}, {refusals:.2}");
    }
}

fn memory() {
    println!("memory of the core (resident, MB = 10^6 bytes, each in a process of its own):");
    for (agents, tasks) in [(10_000, 0), (50_000, 0), (10_000, 100_000)] {
        let program = std::env::current_exe().expect("this program has a path");
        let status = std::process::Command::new(program)
            .args(["allocator-memory", &agents.to_string(), &tasks.to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the measuring process failed");
    }
}

/// The process that `memory` starts.
pub(crate) fn measure_memory(agents: usize, tasks: usize) {
    let grown = workload::memory(agents, tasks);
    println!("  {agents:>7} agents, {tasks:>7} tasks: {:>7.1} MB", grown as f64 / 1e6);
}
