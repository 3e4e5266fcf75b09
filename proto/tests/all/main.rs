//! What the vocabulary and its wire forms promise, in one program, so that it is linked once.
//!
//! What counts all memory of a process (`allocation`) is a program of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod algebra;
mod checks;
mod executors;
mod fresh;
mod golden;
mod golden_operator;
mod launch_refusals;
mod numbers;
mod refusals;
mod reservations;
mod round_trip;
mod rules;
mod secrets;
mod task_states;

/// What we share with Mesos.
const MESOS: [&str; 8] = [
    "mesos/v1/mesos.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/agent/agent.proto",
];

/// What is ours alone.
const TEPUI: [&str; 2] = ["tepui/v1/agent_link.proto", "tepui/v1/payload.proto"];
