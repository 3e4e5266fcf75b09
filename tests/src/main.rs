//! The simulator's command line: one seed or many, the trace on demand, and how to repeat a failure.

use sim::{Log, Masters, Report, Setup, World};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str =
    "usage: sim [SEED] [--seed-from S] [--runs N] [--minutes M] [--masters KIND] [--log]";
/// Lines of the trace that are shown with a failure.
const LINES: usize = 40;
/// Widest text of a violation.
const WIDTH: usize = 600;

struct Arguments {
    first: u64,
    runs: u64,
    minutes: u64,
    masters: Option<Masters>,
    log: bool,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("'{text}' is no number\n{USAGE}"))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { first: 1, runs: 1, minutes: 10, masters: None, log: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a number\n{USAGE}"));
        match word.as_str() {
            "--seed-from" => arguments.first = number(&value()?)?,
            "--runs" => arguments.runs = number(&value()?)?,
            "--minutes" => arguments.minutes = number(&value()?)?.clamp(1, 100_000),
            "--masters" => {
                let kind = value()?.parse();
                arguments.masters = Some(kind.map_err(|problem| format!("{problem}\n{USAGE}"))?);
            }
            "--log" => arguments.log = true,
            word => arguments.first = number(word)?,
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments, seed: u64, log: Log, thorough: bool) -> Report {
    let Arguments { minutes, masters, .. } = *arguments;
    let (faults, listed, plant) = (None, None, None);
    World::new(Setup { seed, minutes, log, faults, masters, listed, thorough, plant }).run()
}

/// Says what broke, shows how it came to it, and how to see it again.
fn explain(out: &mut impl Write, report: &Report, arguments: &Arguments) -> std::io::Result<()> {
    let Some(failure) = &report.failure else { return Ok(()) };
    let again = run(arguments, report.seed, Log::Last(LINES), true);
    for line in &again.lines {
        writeln!(out, "{line}")?;
    }
    let (seed, at, step) = (report.seed, failure.at.as_secs_f64(), failure.step);
    let what: String = failure.violation.to_string().chars().take(WIDTH).collect();
    writeln!(out, "seed {seed}: {what} ({})", report.summary)?;
    writeln!(out, "  at {at:.6} s, step {step}, hash {:016x}", report.hash)?;
    let minutes = match arguments.minutes {
        10 => String::new(),
        minutes => format!(" --minutes {minutes}"),
    };
    writeln!(out, "  repeat: cargo xtask sim {seed}{minutes} --log")
}

fn simulate(out: &mut impl Write, arguments: &Arguments) -> std::io::Result<bool> {
    let (mut simulated, mut failed) = (Duration::ZERO, 0);
    for seed in (0..arguments.runs).map(|n| arguments.first.wrapping_add(n)) {
        let log = if arguments.log { Log::Print } else { Log::Off };
        let report = run(arguments, seed, log, arguments.log);
        simulated += report.simulated;
        if report.failure.is_some() {
            failed += 1;
            explain(out, &report, arguments)?;
        } else if arguments.log || arguments.runs == 1 {
            let (steps, hash) = (report.steps, report.hash);
            let took = report.simulated.as_secs();
            let summary = &report.summary;
            writeln!(
                out,
                "seed {seed}: fine, {steps} steps in {took} s, hash {hash:016x} ({summary})"
            )?;
        }
    }
    let (seeds, seconds) = (arguments.runs, simulated.as_secs());
    writeln!(out, "total seeds={seeds} simulated_seconds={seconds} failed={failed}")?;
    Ok(failed == 0)
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            return ExitCode::from(2);
        }
    };
    match simulate(&mut std::io::stdout().lock(), &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}
