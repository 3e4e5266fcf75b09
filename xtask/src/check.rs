//! `cargo xtask check`: formatting, clippy with warnings as errors, and the tidy rules.

use crate::Failure;
use crate::step;
use crate::tidy;
use crate::workspace::Workspace;

/// All three, also after one has failed: a person wants every complaint at once.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    let results = [
        step::run("fmt", workspace.cargo(&["fmt", "--all", "--check"])).map(|_| ()),
        tidy(workspace),
        step::run("clippy", workspace.cargo(&clippy)).map(|_| ()),
    ];
    let failed: Vec<String> =
        results.into_iter().filter_map(Result::err).map(Failure::into_reason).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
}

/// The tidy rules alone.
pub(crate) fn tidy(workspace: &Workspace) -> Result<(), Failure> {
    let violations = tidy::check(workspace)?;
    for violation in &violations {
        println!("tidy: {violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: ok");
            Ok(())
        }
        1 => Err(Failure::Failed("tidy found 1 violation".to_owned())),
        count => Err(Failure::Failed(format!("tidy found {count} violations"))),
    }
}
