//! `tepui completions SHELL`: a completion script on standard output.

use crate::failure::Failure;
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints the script for `shell`.
pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Arguments::command(), "tepui", &mut script);
    output::print_bytes(&script);
    Ok(())
}
