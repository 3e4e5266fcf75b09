//! `cargo xtask sim`: builds the simulator with its own profile and spreads seeds over the cores.
//!
//! The simulator is one thread by design, so that a seed tells the same story everywhere; only
//! whole seeds run side by side, each share in a process of its own. The contract with the
//! binary `sim`: it takes `[SEED] [--seed-from S] [--runs N] [--minutes M] [--log]`, ends with
//! the line `total seeds=N simulated_seconds=T failed=F`, and exits with 1 when a seed failed.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::workspace::Workspace;
use crate::{Failure, step};

const RUNS: u64 = 2_000;
const MINUTES: u64 = 10;
/// Shares per core: small enough that no core waits long for the last one.
const SHARES: u64 = 16;
const PROGRESS: Duration = Duration::from_secs(10);

/// Many seeds, or one when a seed or `--log` is given.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &["--runs", "--minutes", "--seed-from"], &["--log"])?;
    let minutes = options.number("--minutes").unwrap_or(MINUTES);
    let seed = match options.words.as_slice() {
        [] if options.flag("--log") => Some(options.number("--seed-from").unwrap_or(1)),
        [] => None,
        [word] => Some(parse_seed(word)?),
        _ => return Err(Failure::Usage("sim takes one seed".to_owned())),
    };
    let Some(seed) = seed else {
        let first = options.number("--seed-from").unwrap_or(1);
        let runs = options.number("--runs").unwrap_or(RUNS);
        return many(workspace, Seeds { first, runs, minutes });
    };
    if options.words.is_empty() && options.number("--runs").is_some_and(|runs| runs != 1) {
        return Err(Failure::Usage("--log shows one seed; leave --runs out".to_owned()));
    }
    build(workspace)?;
    let mut command = program(workspace);
    command.arg(seed.to_string()).args(["--minutes", &minutes.to_string()]);
    if let Some(runs) = options.number("--runs") {
        command.args(["--runs", &runs.to_string()]);
    }
    if options.flag("--log") {
        command.arg("--log");
    }
    step::shown(&format!("sim {seed}"), command)
}

/// The first `count` seeds, ten simulated minutes each.
pub(crate) fn seeds(workspace: &Workspace, count: u64) -> Result<(), Failure> {
    many(workspace, Seeds { first: 1, runs: count, minutes: MINUTES })
}

fn parse_seed(word: &str) -> Result<u64, Failure> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| Failure::Usage(format!("a seed is a whole number, got `{word}`")))
}

fn build(workspace: &Workspace) -> Result<(), Failure> {
    if !workspace.has_binary("sim", "sim") {
        return Err(Failure::Failed("package `sim` has no binary `sim`".to_owned()));
    }
    let build = workspace.cargo(&["build", "--profile", "sim", "-p", "sim", "--bin", "sim"]);
    step::run("build sim", build).map(|_| ())
}

fn program(workspace: &Workspace) -> Command {
    let mut command = Command::new(workspace.target.join("sim/sim"));
    command.current_dir(&workspace.root);
    command
}

/// A run of consecutive seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seeds {
    first: u64,
    runs: u64,
    minutes: u64,
}

impl Seeds {
    /// Cuts into shares of nearly equal size.
    fn shares(self, cores: u64) -> Vec<Self> {
        let size = self.runs.div_ceil(cores.max(1) * SHARES).max(1);
        let count = self.runs.div_ceil(size);
        let share = |at: u64| Self {
            first: self.first.wrapping_add(at * size),
            runs: size.min(self.runs - at * size),
            minutes: self.minutes,
        };
        (0..count).map(share).collect()
    }
}

/// Sums over shares.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Totals {
    seeds: u64,
    simulated_seconds: f64,
    failed: u64,
}

/// What one share's process left.
enum Share {
    Fine(Totals),
    /// Some seed failed, or the process did; with its output.
    Bad(Totals, String),
}

fn many(workspace: &Workspace, seeds: Seeds) -> Result<(), Failure> {
    if seeds.runs == 0 {
        return Err(Failure::Usage("--runs 0 would check nothing".to_owned()));
    }
    build(workspace)?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let started = Instant::now();
    let queue = Mutex::new(seeds.shares(cores).into_iter());
    let sums = Mutex::new((Totals::default(), started));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(share) = take(&queue) {
                    let result = run_share(program(workspace), share);
                    account(&sums, &result, seeds.runs, started);
                }
            });
        }
    });
    let (totals, _) = sums.into_inner().expect("no worker panics while it holds the sums");
    println!(
        "sim: {} seeds, {:.1} simulated hours, {} of wall time on {cores} cores, {} failed",
        totals.seeds,
        totals.simulated_seconds / 3600.0,
        step::seconds(started.elapsed()),
        totals.failed
    );
    verdict(totals, seeds.runs)
}

fn verdict(totals: Totals, wanted: u64) -> Result<(), Failure> {
    if totals.failed > 0 {
        return Err(Failure::Failed(format!("{} seeds failed", totals.failed)));
    }
    if totals.seeds != wanted {
        return Err(Failure::Failed(format!("{} of {wanted} seeds ran", totals.seeds)));
    }
    Ok(())
}

fn take(queue: &Mutex<std::vec::IntoIter<Seeds>>) -> Option<Seeds> {
    queue.lock().expect("no worker panics while it holds the queue").next()
}

fn account(sums: &Mutex<(Totals, Instant)>, result: &Share, wanted: u64, started: Instant) {
    let mut guard = sums.lock().expect("no worker panics while it holds the sums");
    let (totals, spoken) = &mut *guard;
    let (Share::Fine(more) | Share::Bad(more, _)) = result;
    totals.seeds += more.seeds;
    totals.simulated_seconds += more.simulated_seconds;
    totals.failed += more.failed;
    if let Share::Bad(_, output) = result {
        println!("{}", output.trim_end());
    }
    if spoken.elapsed() >= PROGRESS {
        *spoken = Instant::now();
        println!(
            "sim: {} of {wanted} seeds, {}, {} failed",
            totals.seeds,
            step::seconds(started.elapsed()),
            totals.failed
        );
    }
}

fn run_share(mut command: Command, share: Seeds) -> Share {
    command
        .args(["--seed-from", &share.first.to_string()])
        .args(["--runs", &share.runs.to_string()])
        .args(["--minutes", &share.minutes.to_string()])
        .stdin(Stdio::null());
    let broken = |why: String| {
        let totals = Totals { failed: 1, ..Totals::default() };
        Share::Bad(totals, format!("{share:?}: {why}"))
    };
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return broken(format!("cannot start the simulator: {error}")),
    };
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    match totals(&text) {
        Some(totals) if output.status.success() && totals.failed == 0 => Share::Fine(totals),
        Some(totals) if totals.failed > 0 => Share::Bad(totals, text),
        _ => broken(format!(
            "the simulator ended with {} and no fitting total\n{text}",
            output.status
        )),
    }
}

/// Reads the `total` line.
fn totals(output: &str) -> Option<Totals> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix("total "))?;
    let field = |name: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
    };
    Some(Totals {
        seeds: field("seeds")?.parse().ok()?,
        simulated_seconds: field("simulated_seconds")?.parse().ok()?,
        failed: field("failed")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
