//! Every timing and limit of a driver, in one place, so that tests and simulations set what they need.
//!
//! Nothing here differs between builds; the defaults serve production.

use proto::{Capabilities, Capability, Role};
use std::sync::Arc;
use std::time::Duration;

/// How a framework presents itself and how patient its driver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The framework's name for people.
    pub name: Arc<str>,
    /// The user its tasks run as unless they say otherwise.
    pub user: Arc<str>,
    /// The role in which it gets offers.
    pub role: Role,
    /// Where its scheduler runs, for people.
    pub hostname: Arc<str>,
    /// Where its own API or page is, for people and tools.
    pub webui_url: Option<Arc<str>>,
    /// Addresses of the masters, `host:port`, tried in turn; never empty.
    pub masters: Vec<Arc<str>>,
    /// How long tasks outlive the connection of the scheduler.
    pub failover_timeout: Duration,
    /// What the scheduler understands.
    pub capabilities: Capabilities,
    /// How long to wait for a connection, and then for SUBSCRIBED.
    pub connect_timeout: Duration,
    /// First wait before connecting again; doubles with each failure, with jitter.
    pub reconnect_first: Duration,
    /// Longest wait before connecting again.
    pub reconnect_most: Duration,
    /// How many heartbeats may be missed before the connection counts as dead.
    pub missed_heartbeats: u32,
    /// First wait for the answers to an explicit RECONCILE; doubles with each round.
    pub reconcile_first: Duration,
    /// Longest wait for the answers to an explicit RECONCILE.
    pub reconcile_most: Duration,
    /// Tasks named in one RECONCILE.
    pub reconcile_batch: usize,
    /// How often all tasks are reconciled.
    pub reconcile_all: Duration,
    /// First wait before a KILL is repeated; doubles.
    pub kill_first: Duration,
    /// Longest wait before a KILL is repeated.
    pub kill_most: Duration,
    /// How long resources that fit nothing are refused.
    pub refuse: Duration,
    /// How long offers are kept at hand once nothing is wanted: a submit within this time starts
    /// without waiting for an offer (its ACCEPT leaves after half the time: 1.2 ms against 2.3 ms
    /// on a busy machine). Then they are given back and the framework is suppressed.
    pub idle_linger: Duration,
    /// How long at least between two statements of a demand that only shrank.
    pub restate: Duration,
    /// How long a task may stay without any news after its launch before it counts as stuck.
    pub launch_timeout: Duration,
    /// How long a task may be unreachable before it is replaced.
    pub unreachable_grace: Duration,
    /// Most units handed to one placement pass.
    pub window: usize,
    /// How long a replica must have run for its restart back-off to begin anew.
    pub settled: Duration,
}

impl Options {
    /// The defaults for a framework of this name and these masters, in role `*`.
    pub fn new(name: impl Into<Arc<str>>, masters: Vec<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            user: Arc::from("root"),
            role: Role::any(),
            hostname: Arc::from("localhost"),
            webui_url: None,
            masters,
            failover_timeout: Duration::from_secs(7 * 24 * 3600),
            capabilities: [Capability::PartitionAware, Capability::TaskKillingState]
                .into_iter()
                .collect(),
            connect_timeout: Duration::from_secs(5),
            reconnect_first: Duration::from_millis(50),
            reconnect_most: Duration::from_secs(10),
            missed_heartbeats: 3,
            reconcile_first: Duration::from_secs(1),
            reconcile_most: Duration::from_secs(30),
            reconcile_batch: 1000,
            reconcile_all: Duration::from_secs(300),
            kill_first: Duration::from_secs(5),
            kill_most: Duration::from_secs(60),
            refuse: Duration::from_secs(5),
            idle_linger: Duration::from_millis(500),
            restate: Duration::from_secs(1),
            launch_timeout: Duration::from_secs(120),
            unreachable_grace: Duration::from_secs(60),
            window: 4096,
            settled: Duration::from_secs(10),
        }
    }
}
