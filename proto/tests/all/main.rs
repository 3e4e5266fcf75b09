//! What the vocabulary and its wire forms promise, in one program, so that it is linked once.
//!
//! What counts all memory of a process (`allocation`) is a program of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod algebra;
mod fresh;
mod golden;
mod golden_operator;
mod launch_refusals;
mod numbers;
mod refusals;
mod reservations;
mod round_trip;
mod rules;
mod task_states;
