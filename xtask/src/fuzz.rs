//! `cargo xtask fuzz`: runs the targets of `fuzz/` with cargo-fuzz, one after the other.
//!
//! cargo-fuzz wants unstable compiler flags; RUSTC_BOOTSTRAP=1 lets the stable toolchain take
//! them, for the fuzzed build alone.

use std::process::Command;

use crate::options::Options;
use crate::workspace::{Workspace, cargo};
use crate::{Failure, step};

const MINUTES: u64 = 10;

/// Runs the targets named, or all that `cargo fuzz list` knows.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &["--minutes"], &[])?;
    let minutes = options.number("--minutes").unwrap_or(MINUTES);
    if !workspace.root.join("fuzz/Cargo.toml").exists() {
        return Err(Failure::Failed("there is no fuzz/Cargo.toml".to_owned()));
    }
    let known = targets(workspace)?;
    if let Some(unknown) = options.words.iter().find(|word| !known.contains(word)) {
        return Err(Failure::Usage(format!(
            "no fuzz target `{unknown}`; there are: {}",
            known.join(", ")
        )));
    }
    let chosen = if options.words.is_empty() { known } else { options.words };
    for target in &chosen {
        let limit = format!("-max_total_time={}", minutes * 60);
        let mut command = fuzz(workspace);
        command.args(["run", target, "--", &limit, "-print_final_stats=1"]);
        step::run(&format!("fuzz {target}"), command)?;
    }
    println!("{} targets, {minutes} minutes each, nothing found", chosen.len());
    Ok(())
}

fn fuzz(workspace: &Workspace) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(&workspace.root).env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
    command
}

fn targets(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut version = fuzz(workspace);
    version.arg("--version");
    if step::quiet(version).is_err() {
        return Err(Failure::Failed(
            "cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`, and a C++ compiler \
             for libFuzzer (Debian: g++)"
                .to_owned(),
        ));
    }
    let mut list = fuzz(workspace);
    list.arg("list");
    let output = step::quiet(list)
        .map_err(|output| Failure::Failed(format!("cargo fuzz list failed:\n{output}")))?;
    let targets: Vec<String> =
        output.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if targets.is_empty() {
        return Err(Failure::Failed("fuzz/ has no targets".to_owned()));
    }
    Ok(targets)
}
