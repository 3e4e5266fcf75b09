//! `cargo xtask torture`: real processes in network namespaces under faults, and one page about it.
//!
//! It never runs on a machine that lacks what it takes without saying so. The contract with the
//! binary `torture`: `run --tepui PROGRAM --out DIR --minutes N --seed S` exits with 0 when all
//! invariants held, and leaves `torture.html` in DIR.

use std::process::Command;

use crate::options::Options;
use crate::workspace::{Workspace, in_ci};
use crate::{Failure, provide, step};

const MINUTES: u64 = 5;
const SEED: u64 = 1;

/// Builds what is needed and runs as long as asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &["--minutes", "--seed"], &["--release"])?;
    if let Some(word) = options.words.first() {
        return Err(Failure::Usage(format!("this command takes no `{word}`")));
    }
    ready()?;
    let mut build = vec!["build", "-p", "tepui", "-p", "torture"];
    let profile = if options.flag("--release") { "release" } else { "debug" };
    if options.flag("--release") {
        build.push("--release");
    }
    step::run("build torture", workspace.cargo(&build))?;
    let minutes = options.number("--minutes").unwrap_or(MINUTES);
    let seed = options.number("--seed").unwrap_or(SEED);
    step::shown("torture", command(workspace, profile, minutes, seed))
}

/// A run of the usual length with what the tests have built, for `ci`. Outside of it, a machine that
/// cannot do this is told so and no more.
pub(crate) fn after_tests(workspace: &Workspace) -> Result<(), Failure> {
    match ready() {
        Ok(()) => step::shown("torture", command(workspace, "debug", MINUTES, SEED)),
        Err(Failure::Failed(reason)) if !in_ci() => {
            println!("{reason}");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

fn ready() -> Result<(), Failure> {
    provide::torture::ready()
        .map_err(|reason| Failure::Failed(format!("torture: NOT RUN: {reason}")))
}

fn command(workspace: &Workspace, profile: &str, minutes: u64, seed: u64) -> Command {
    let built = workspace.target.join(profile);
    let out = workspace.target.join("torture");
    let mut command = Command::new(built.join("torture"));
    command.arg("run").arg("--tepui").arg(built.join("tepui")).arg("--out").arg(out);
    command.args(["--minutes", &minutes.to_string(), "--seed", &seed.to_string()]);
    command
}
