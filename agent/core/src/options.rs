//! Every timing and limit of the agent's decisions, as values.
//!
//! Nothing here differs in tests: a test sets its own `Options`.

use proto::{AgentInfo, ClusterId};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// How one agent behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the agent says of itself. Its `id` is ignored: the checkpoint knows it.
    pub info: AgentInfo,
    /// The software version, told to the master.
    pub version: Arc<str>,
    /// Identity of this start of the host. When it differs from the checkpoint's, no task of the
    /// checkpoint can still be alive.
    pub boot_id: Arc<str>,
    /// The cluster that the agent's data belong to, if that is known; else it is the one of the
    /// checkpoint, or the first that admits the agent.
    pub cluster_id: Option<ClusterId>,
    /// First pause between two attempts to reach a master; doubled after each failure.
    pub connect_backoff: Duration,
    /// Longest pause between two attempts to reach a master.
    pub connect_backoff_max: Duration,
    /// How long a master may take to answer a (re-)registration before the agent reconnects.
    pub registration_timeout: Duration,
    /// How long after it was sent an update is sent again; doubled each time.
    pub update_retry: Duration,
    /// Longest pause between two attempts to deliver one update.
    pub update_retry_max: Duration,
    /// Between TERM and KILL for a task that does not say.
    pub kill_grace: Duration,
    /// How long a custom executor may take from its start to its first SUBSCRIBE.
    pub executor_registration_timeout: Duration,
    /// How long a custom executor may take to subscribe to an agent that was started anew.
    pub executor_reregistration_timeout: Duration,
    /// Between SHUTDOWN and KILL for a custom executor that does not say.
    pub executor_shutdown_grace: Duration,
    /// Updates of one task of a custom executor that may wait for their acknowledgement; while
    /// there are so many, others than its end are not taken.
    pub executor_updates_max: usize,
    /// The shortest pause between two looks at one task, whatever its checks ask for.
    pub check_interval_min: Duration,
    /// How long one look may take, whatever its check asks for.
    pub check_timeout_max: Duration,
    /// How long the processes of a task may outlive the end of the grace before it is called
    /// unkillable.
    pub unkillable_after: Duration,
    /// How long a kill of an unknown task is remembered, so that a launch that comes later than
    /// its kill is refused.
    pub tombstone_life: Duration,
    /// How many such kills are remembered at most; the oldest is forgotten first.
    pub tombstones_max: usize,
    /// How many frameworks without a task are remembered at most.
    pub idle_frameworks_max: usize,
    /// How long a sandbox is kept after its task's end when the disk is empty.
    pub gc_delay: Duration,
    /// Part of the disk that is kept free, in millionths: sandboxes age faster as the disk fills.
    pub gc_disk_headroom_ppm: u32,
    /// How full the disk is, in millionths, when the master is told to offer no disk of this agent;
    /// it is offered again when 1.4 times as much is free.
    pub disk_pressure_ppm: u32,
    /// How long to wait before a failed removal of a sandbox is tried again.
    pub gc_retry: Duration,
    /// The GPUs that tasks are given; none means that they are counted only.
    pub gpus: crate::Gpus,
    /// The host's address, at which its tasks are that have no network of their own.
    pub address: Option<Ipv4Addr>,
}

impl Options {
    /// The defaults of a production agent, which are Mesos' except that it comes back to a
    /// master faster.
    pub fn new(
        info: AgentInfo,
        version: impl Into<Arc<str>>,
        boot_id: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            info,
            version: version.into(),
            boot_id: boot_id.into(),
            cluster_id: None,
            connect_backoff: Duration::from_millis(100),
            connect_backoff_max: Duration::from_secs(10),
            registration_timeout: Duration::from_secs(10),
            update_retry: Duration::from_secs(10),
            update_retry_max: Duration::from_secs(600),
            kill_grace: Duration::from_secs(3),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(10),
            executor_shutdown_grace: Duration::from_secs(5),
            executor_updates_max: 1_000,
            check_interval_min: Duration::from_millis(100),
            check_timeout_max: Duration::from_secs(3600),
            unkillable_after: Duration::from_secs(10),
            tombstone_life: Duration::from_secs(600),
            tombstones_max: 1_000,
            idle_frameworks_max: 100,
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            gc_disk_headroom_ppm: 100_000,
            disk_pressure_ppm: 950_000,
            gc_retry: Duration::from_secs(60),
            gpus: Vec::new(),
            address: None,
        }
    }
}
