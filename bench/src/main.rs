//! Figures, honestly: the floor, ours, the floor again, in one run, medians of several runs, the
//! ratio, and the fitted growth exponent. Nothing here is a test: it prints, people judge.
//!
//! `cargo xtask bench` builds and runs it; `bench NAME` runs one part.
#![expect(clippy::print_stderr, reason = "printing is what it is for")]

#[macro_use]
mod out;
mod reads;

mod allocator;
mod calm;
mod cluster;
mod containers;
mod cpu;
mod crowd;
mod failover;
mod flood;
mod floor;
mod framework;
mod idle;
mod latency;
mod launches;
mod lean;
mod master;
mod masters;
mod memory;
mod offers;
mod outage;
mod parts;
mod plain;
mod raw;
mod registrar;
mod running;
mod snapshot;
mod stats;
mod streams;
mod tasks;
mod walls;
mod wire;

fn main() {
    if !out::to_the_end(part) {
        // As a program that the broken pipe had ended.
        std::process::exit(141);
    }
}

/// The part that the words name.
fn part() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["allocator"] => allocator::run(None),
        ["allocator", part] => allocator::run(Some(part)),
        ["allocator-memory", agents, tasks] => {
            let number = |word: &str| word.parse().expect("a number");
            allocator::measure_memory(number(agents), number(tasks));
        }
        ["floors"] => floors(),
        ["tasks"] => tasks::run(false),
        ["tasks", "masters"] => launches::run(),
        ["tasks", "--large"] => tasks::run(true),
        ["latency"] => latency::run(),
        ["running"] => running::run(),
        ["idle"] => idle::run(),
        ["flood"] => flood::run(),
        ["containers"] => containers::run(),
        ["offers"] => offers::run(),
        ["memory"] => memory::run(),
        ["reads"] => reads::run(),
        ["reads", "memory"] => reads::memory::run(),
        ["masters"] => masters::run(None),
        ["masters", "calm"] => calm::run(),
        ["masters", "outage"] => outage::run(),
        ["masters", agents] => masters::run(Some(agents.parse().expect("a number of agents"))),
        ["registrar"] => registrar::run(),
        ["registrar", "snapshot"] => snapshot::run(),
        ["registrar", "day"] => snapshot::day(None),
        ["registrar", "day", commits] => snapshot::day(Some(commits.parse().expect("a number"))),
        ["wire"] => wire::run(None),
        ["wire", agents, frameworks] => {
            let (agents, frameworks) = (agents.parse(), frameworks.parse());
            wire::run(Some((agents.expect("a number"), frameworks.expect("a number"))));
        }
        ["failover"] => failover::run(&[]),
        ["failover", agents] => failover::run(&[agents.parse().expect("a number of agents")]),
        // The floor's server, for the parts above.
        ["plain", address, path] => plain::serve(address, path),
        // Processes of that one.
        ["reads-agents", address, from, to, connections, tasks] => {
            let numbers = [from, to, connections, tasks].map(|n| n.parse().expect("a number"));
            reads::agents::run(address, numbers);
        }
        ["reads-readers", address, path, priority] => reads::readers::run(address, path, priority),
        ["reads-floor", file] => reads::floor::run(file),
        _ => {
            eprintln!(
                "bench: name one of: allocator [PART], floors, tasks [--large|masters], latency, running, idle, flood, containers, offers, masters [AGENTS|calm|outage], memory, reads [memory], registrar [snapshot|day [COMMITS]], wire [AGENTS FRAMEWORKS], failover [AGENTS]"
            );
            std::process::exit(2);
        }
    }
}

fn floors() {
    println!("floors (3 runs):");
    for _ in 0..3 {
        let cgroups = floor::cgroup_rate(2_000, 8);
        println!(
            "  spawn and wait, 2 at a time: {:.0}/s; with five cgroups, 8 at a time: {}",
            floor::spawn_rate(5_000, 2),
            cgroups.map_or("not permitted here".to_owned(), |rate| format!("{rate:.0}/s")),
        );
    }
}
