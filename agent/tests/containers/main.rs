//! Real containers: a real supervisor process, real tasks, real cgroups where they are permitted.
//!
//! A program of its own, as it is copied into guest machines.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test's support code is a test, too.

mod beside;
mod enclosed;
mod escapes;
mod escapes_alone;
mod extras;
mod groups;
mod guest;
mod leaks;
#[path = "../left/mod.rs"]
#[allow(dead_code, reason = "tests of whole agents use more of it")]
mod left;
mod life;
mod limits;
mod network;
mod network_walls;
mod plants;
mod quota;
mod restart;
mod rig;
mod sessions;
mod usage;
mod v2;
