//! What containers use.

use std::time::Duration;

/// What a container uses at this moment, and has used since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Cpu time consumed since the task began.
    pub cpu_time: Duration,
    /// Memory in use, in bytes, with what is cached of files on its behalf.
    pub memory_bytes: u64,
    /// The memory limit in force, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// False where there are no cgroups and the figures are those of the first process alone.
    pub whole_container: bool,
    /// The part of the memory that belongs to no file: what programs have allocated.
    pub anonymous_bytes: u64,
    /// The part of the cpu time that the kernel spent on its behalf.
    pub system_time: Duration,
    /// The ceiling of cpu time in force, in microseconds in each period of 100 ms.
    pub cpu_quota_us: Option<u64>,
    /// Periods of 100 ms in which it ran while a ceiling of cpu time was in force.
    pub periods: u64,
    /// Those of them in which it was held back, because it had used up its quota.
    pub throttled_periods: u64,
    /// How long its processes were held back, each for itself.
    pub throttled_time: Duration,
    /// Bytes that its processes, and those they waited for, had read from disks.
    pub read_bytes: u64,
    /// Bytes that they caused to be written to disks.
    pub written_bytes: u64,
    /// How long its processes had to wait for what is scarce. cgroup v2 alone tells.
    pub pressure: Option<Pressure>,
    /// What has passed its link, if it has a network of its own.
    pub traffic: Option<Traffic>,
}

/// What has passed a task's link, with headers of Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes that it sent.
    pub sent_bytes: u64,
    /// Bytes that it received.
    pub received_bytes: u64,
}

/// For how long some process of a container could not go on, for want of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Waiting for a cpu.
    pub cpu: Duration,
    /// Waiting for memory: reclaiming, or reading back what was evicted.
    pub memory: Duration,
    /// Waiting for disks.
    pub io: Duration,
}
