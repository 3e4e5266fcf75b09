//! Devices by id, the fitnesses for them, and looking ahead.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod devices;
mod look_ahead;
mod openb;
