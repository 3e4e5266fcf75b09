//! `cargo xtask ci`: everything that must hold before a change is kept.
//!
//! Two profiles are built and no more: `dev` for clippy, every test and the torture of real
//! processes, `sim` for the simulator, whose seeds are many.

use std::time::{Duration, Instant};

use crate::workspace::Workspace;
use crate::{Failure, check, sim, step, test, torture};

const SEEDS: u64 = 500;

type Stage = (&'static str, fn(&Workspace) -> Result<(), Failure>);

const STAGES: [Stage; 4] = [
    ("check", check::run),
    ("test", test::run_without_simulator),
    ("torture", torture::after_tests),
    ("sim", |workspace| sim::seeds(workspace, SEEDS)),
];

/// Runs the stages in order; a later stage still runs after a failure, so that one run tells all.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut results: Vec<(&str, Duration, Result<(), Failure>)> = Vec::new();
    for (name, stage) in STAGES {
        println!("\n==== {name} ====");
        let started = Instant::now();
        let result = stage(workspace);
        results.push((name, started.elapsed(), result));
    }
    println!("\n{:10} {:>13}  result", "stage", "time");
    for (name, time, result) in &results {
        let text = match result {
            Ok(()) => "ok".to_owned(),
            Err(Failure::Failed(reason) | Failure::Usage(reason)) => format!("FAILED: {reason}"),
        };
        println!("{name:10} {:>13}  {text}", step::seconds(*time));
    }
    let total = results.iter().map(|(_, time, _)| *time).sum();
    println!("{:10} {:>13}", "total", step::seconds(total));
    match results.iter().filter(|(_, _, result)| result.is_err()).count() {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} stages failed", results.len()))),
    }
}
