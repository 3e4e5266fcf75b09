//! The store from outside, in one program, so that it is linked once. What runs in a guest machine
//! as well (`power_loss`) is a program of its own.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod group_commit;
mod open;
