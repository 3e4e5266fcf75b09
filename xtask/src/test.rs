//! `cargo xtask test`: runs the groups of the table and accounts for every test.
//!
//! It never counts a group that could not run as passed.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::groups::{self, Group, Run, Variables};
use crate::libtest;
use crate::options::Options;
use crate::sim;
use crate::step;
use crate::workspace::{Workspace, in_ci};

/// How a group ended.
enum Ended {
    /// With what it ran, for the table.
    Passed(String),
    Failed(String),
    /// It could not run here, and why.
    Absent(String),
}

/// Runs the groups named, or all.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &[])?;
    let groups = groups::select(&options.words)?;
    run_groups(workspace, &groups, !options.words.is_empty())
}

/// `cargo xtask prepare`: makes the machine ready for groups without running them, and prints
/// the variables that their tests read, in the form a shell takes.
pub(crate) fn prepare(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &[])?;
    let mut absent = Vec::new();
    for group in groups::select(&options.words)? {
        let Run::Marked { provide } = &group.run else { continue };
        match provide(workspace) {
            Ok(variables) => {
                println!("# {}: ready", group.name);
                for (name, value) in variables {
                    println!("export {name}='{value}'");
                }
            }
            Err(reason) => {
                println!("# {}: cannot run here: {reason}", group.name);
                absent.push(group.name);
            }
        }
    }
    if absent.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(format!("groups that cannot run here: {}", absent.join(", "))))
    }
}

/// Every group but the simulator's, for `ci`, which runs more seeds of its own.
pub(crate) fn run_without_simulator(workspace: &Workspace) -> Result<(), Failure> {
    let groups: Vec<&Group> =
        groups::GROUPS.iter().filter(|group| !matches!(group.run, Run::Simulator { .. })).collect();
    run_groups(workspace, &groups, false)
}

fn run_groups(workspace: &Workspace, groups: &[&Group], asked: bool) -> Result<(), Failure> {
    // Everything at once: the end-to-end tests start real binaries, which cargo test builds only
    // for their own package, and one set of features means that nothing is compiled twice.
    step::run("build", workspace.cargo(&["build", "--workspace", "--all-targets"]))?;
    let mut ends = Vec::new();
    for group in groups {
        let started = Instant::now();
        let end = run_group(workspace, group);
        ends.push((group.name, started.elapsed(), end));
    }
    if !asked {
        let started = Instant::now();
        let end = nothing_forgotten(workspace);
        ends.push(("(marked)", started.elapsed(), end));
    }
    report(&ends, asked || in_ci())
}

fn run_group(workspace: &Workspace, group: &Group) -> Ended {
    match &group.run {
        Run::Cargo { arguments, provide } => {
            let provided = provide.map_or(Ok(Vec::new()), |provide| provide(workspace));
            let mut command = test_command(workspace, arguments, &[]);
            command.envs(provided.iter().flatten().map(|(name, value)| (name, value)));
            match (ended(step::run(group.name, command)), provided) {
                (Ended::Passed(what), Err(reason)) => {
                    Ended::Absent(format!("a part of {what}: {reason}"))
                }
                (end, _) => end,
            }
        }
        Run::Marked { provide } => {
            println!("{}: preparing", group.name);
            match provide(workspace) {
                Ok(variables) => run_marked(workspace, group, variables),
                Err(reason) => Ended::Absent(reason),
            }
        }
        Run::Simulator { seeds } => match sim::seeds(workspace, *seeds) {
            Ok(()) => Ended::Passed(format!("{seeds} seeds")),
            Err(failure) => Ended::Failed(failure.into_reason()),
        },
    }
}

fn run_marked(workspace: &Workspace, group: &Group, variables: Variables) -> Ended {
    let filter = format!("{}::", group.name);
    let passed = ["--ignored", filter.as_str(), "--test-threads=1", "--no-capture"];
    let mut command = test_command(workspace, &groups::TARGETS, &passed);
    command.envs(variables);
    match ended(step::run(group.name, command)) {
        Ended::Passed(what) if what.starts_with("0 ") => {
            Ended::Absent(format!("no ignored test has `{filter}` in its path"))
        }
        end => end,
    }
}

fn ended(result: Result<step::Done, Failure>) -> Ended {
    match result {
        Ok(done) => Ended::Passed(format!("{} tests", libtest::counts(&done.output).passed)),
        Err(failure) => Ended::Failed(failure.into_reason()),
    }
}

/// `cargo test --workspace`: always the whole workspace, so that features and with them the
/// compiled dependencies are the same in every group.
fn test_command(workspace: &Workspace, arguments: &[&str], passed: &[&str]) -> Command {
    let mut all = vec!["test", "--workspace"];
    all.extend(arguments);
    if !passed.is_empty() {
        all.push("--");
        all.extend(passed);
    }
    let mut command = workspace.cargo(&all);
    command.env("TEPUI_BIN", binary(workspace));
    command
}

/// The binary under test.
fn binary(workspace: &Workspace) -> PathBuf {
    workspace.target.join("debug/tepui")
}

/// Every ignored test must belong to a group, or nothing ever runs it.
fn nothing_forgotten(workspace: &Workspace) -> Ended {
    let command = test_command(workspace, &groups::TARGETS, &["--list", "--ignored"]);
    match step::quiet(command) {
        Ok(output) => {
            let forgotten = without_group(&output);
            if forgotten.is_empty() {
                Ended::Passed("every ignored test has a group".to_owned())
            } else {
                Ended::Failed(format!("ignored tests of no group: {}", forgotten.join(", ")))
            }
        }
        Err(output) => Ended::Failed(format!("cannot list the tests:\n{output}")),
    }
}

fn without_group(list: &str) -> Vec<&str> {
    libtest::listed(list)
        .into_iter()
        .filter(|path| !groups::marked().any(|group| libtest::belongs(path, group)))
        .collect()
}

fn report(ends: &[(&str, Duration, Ended)], strict: bool) -> Result<(), Failure> {
    println!("\n{:10} {:>13}  result", "group", "time");
    let mut failed = Vec::new();
    for (name, time, end) in ends {
        let (text, fails) = match end {
            Ended::Passed(what) => (format!("ok, {what}"), false),
            Ended::Failed(reason) => (format!("FAILED: {reason}"), true),
            Ended::Absent(reason) => (format!("NOT RUN: {reason}"), strict),
        };
        println!("{name:10} {:>13}  {text}", step::seconds(*time));
        if fails {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(format!("test groups without success: {}", failed.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_without_a_group_is_found() {
        let list = "guest::power: test\nlonely: test\n";
        assert_eq!(without_group(list), ["lonely"]);
    }

    #[test]
    fn a_group_that_cannot_run_fails_only_when_strict() {
        let ends = [("guest", Duration::ZERO, Ended::Absent("no qemu".to_owned()))];
        assert!(report(&ends, false).is_ok());
        assert!(report(&ends, true).is_err());
    }

    #[test]
    fn a_failed_group_always_fails() {
        let ends = [("unit", Duration::ZERO, Ended::Failed("x".to_owned()))];
        assert!(report(&ends, false).is_err());
    }
}
