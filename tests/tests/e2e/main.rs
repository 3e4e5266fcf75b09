//! End to end: real processes of the one binary, killed, starved and cut off. What a test starts it
//! ends; what it makes it removes. Nothing here may depend on how fast the machine is.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test's support code is a test, too; figures and logs of a failure are its output"
)]

mod bad_input;
mod cgroup;
mod cluster;
mod demo;
mod disk;
mod drain;
mod ends;
mod executors;
mod framework;
mod groups;
mod http;
mod kill_agent;
mod kill_all;
mod kill_master;
#[path = "../../../agent/tests/left/mod.rs"]
#[allow(dead_code, reason = "the agent's own tests use more of it")]
mod left;
mod logs;
mod maintenance;
mod masters;
mod program;
mod protobuf;
mod python;
mod quota;
mod reconfiguration;
mod replicated_state;
mod run;
mod secrets;
mod sessions;
mod up;
mod upgrade;
mod volumes;
