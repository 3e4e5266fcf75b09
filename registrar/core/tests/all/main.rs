//! A member of the group of masters from outside, and groups of them, in one program, so that it is
//! linked once.
#![allow(clippy::unwrap_used, reason = "what is not as the test made it fails the test")]

mod simulation;
mod snapshots;
mod wire;
