//! Power loss: a guest machine is killed while it writes; what it acknowledged must be there.
//!
//! A program of its own, small, as it is copied into that machine.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may unwrap and say what they saw"
)]

mod boot;
mod guest;
mod machine;
mod program;

/// Not a test of its own: this very executable is the program in the guest, and is told so.
#[test]
fn in_the_guest() {
    let Ok(arguments) = std::env::var(machine::ARGUMENTS) else { return };
    // Away from what the test harness wrote on this line.
    println!();
    program::run(&arguments).unwrap();
}
