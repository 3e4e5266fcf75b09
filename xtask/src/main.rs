//! `cargo xtask`: the project's own commands, the same on a desk and in continuous integration.
//!
//! ```text
//! cargo xtask check                  formatting, clippy, tidy
//! cargo xtask tidy                   the tidy rules alone (seconds, builds nothing)
//! cargo xtask test [GROUP..]         every test of the workspace, or the groups named
//! cargo xtask prepare [GROUP..]      install what groups need, print their variables
//! cargo xtask sim [SEED] [--runs N] [--minutes M] [--seed-from S] [--log]
//! cargo xtask bench [NAME..]         benchmarks: print figures, judge nothing
//! cargo xtask fuzz [TARGET..] [--minutes N]
//! cargo xtask torture [--minutes N] [--seed S] [--release]
//! cargo xtask ci                     check, test, sim
//! ```
//!
//! # Test groups
//!
//! `groups::GROUPS` is the table. Plain tests (`unit`, `docs`) run anywhere. A test that needs
//! something a machine may lack (a Python client, a guest kernel, cgroups to write to) is marked
//! `#[ignore = "group NAME: what it needs"]` and lives in a module called `NAME`, so that its
//! path contains `NAME::`. `cargo xtask test` installs what the group needs where it may, hands
//! the paths over in `TEPUI_*` variables and runs `--ignored NAME::` over the workspace. A group
//! that cannot run is named at the end with the reason, and fails the command when `CI=true` or
//! when it was asked for by name. An ignored test of no group fails the command too, so no test
//! is ever forgotten.
//!
//! This package must never be linked by another, and never depends on one of ours.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool for developers talks on its terminal"
)]

mod bench;
mod check;
mod ci;
mod fuzz;
mod groups;
mod libtest;
mod options;
mod provide;
mod sim;
mod step;
mod test;
mod tidy;
mod torture;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check                        formatting, clippy, tidy
  tidy                         the tidy rules alone
  test [GROUP..]               every test, or only the groups named
  prepare [GROUP..]            install what test groups need; prints their variables
  sim [SEED] [--runs N] [--minutes M] [--seed-from S] [--log]
                               the simulator, seeds spread over the cores
  bench [NAME..]               benchmarks; prints figures
  fuzz [TARGET..] [--minutes N]  the fuzz targets, N minutes each (default 10)
  torture [--minutes N] [--seed S] [--release]
                               a real cluster in network namespaces under faults; one page
  ci                           check, test, sim: what continuous integration runs

CI=true makes a test group that cannot run a failure, and builds with --locked.";

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The person asked for something that does not exist; exit code 2.
    Usage(String),
    /// The work failed; the details are already on the terminal; exit code 1.
    Failed(String),
}

impl Failure {
    /// The sentence for the terminal.
    pub(crate) fn into_reason(self) -> String {
        match self {
            Self::Usage(reason) | Self::Failed(reason) => reason,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problem)) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(problem)) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Failure::Usage("which command?".to_owned()));
    };
    if matches!(command.as_str(), "help" | "-h" | "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let workspace = Workspace::load()?;
    match command.as_str() {
        "check" => options::none(rest).and_then(|()| check::run(&workspace)),
        "tidy" => options::none(rest).and_then(|()| check::tidy(&workspace)),
        "test" => test::run(&workspace, rest),
        "prepare" => test::prepare(&workspace, rest),
        "sim" => sim::run(&workspace, rest),
        "bench" => bench::run(&workspace, rest),
        "fuzz" => fuzz::run(&workspace, rest),
        "torture" => torture::run(&workspace, rest),
        "ci" => options::none(rest).and_then(|()| ci::run(&workspace)),
        other => Err(Failure::Usage(format!("no command `{other}`"))),
    }
}
