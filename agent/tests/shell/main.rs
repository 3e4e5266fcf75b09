//! The agent's shell with a scripted master and the real supervisor.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod cgroup;
mod checks;
mod containers;
mod disk;
mod docker;
mod executors;
mod fetch;
mod gpus;
mod groups;
mod kinds;
mod life;
mod limits;
mod logs;
mod matrix;
mod network;
mod ports;
mod redirect;
mod restart;
mod rig;
mod sessions;
mod start;
mod survival;
mod unkillable;
mod upgrade;
mod usage;
mod volumes;
