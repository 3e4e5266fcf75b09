//! What an operator may choose about the master's behaviour. Nothing else differs between
//! production and tests.

use proto::scheduler::{STATE_BYTES, STATE_KEYS, STATE_VALUE_BYTES};
use proto::{Domain, Quantities, ResourceName};
use std::sync::Arc;
use std::time::Duration;

/// Timings and limits. `Options::default()` serves production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Our software version, for GET_VERSION.
    pub version: Arc<str>,
    /// How often a framework hears HEARTBEAT.
    pub heartbeat_interval: Duration,
    /// After how long an unanswered offer is rescinded; `None` means never, as in Mesos.
    pub offer_timeout: Option<Duration>,
    /// How long inputs may gather before an allocation pass. Zero: the pass is due at once, and
    /// gathers what the shell has queued.
    pub allocation_delay: Duration,
    /// How many agents one allocation pass looks at; when more are waiting, the next pass is due
    /// at once. At least 1.
    pub allocation_slice: usize,
    /// What an agent must have free to be worth an offer: any one of these amounts. Empty means
    /// anything at all.
    pub min_allocatable: Vec<Quantities>,
    /// Whether agents with GPUs are kept for frameworks that say they use GPUs.
    pub filter_gpu_resources: bool,
    /// Where the master stands. Agents of another region are kept for frameworks that say they
    /// are aware of regions; without it, regions do not matter.
    pub domain: Option<Domain>,
    /// How often agents are pinged.
    pub ping_interval: Duration,
    /// How long an agent may be silent, or its stream broken, before it is unreachable.
    pub agent_timeout: Duration,
    /// After a restart of the master: how long known agents have to come back.
    pub agent_reregister_timeout: Duration,
    /// After a restart of the master: how long at the most a role with a limit counts as if it used
    /// all that it could on each agent that is not back. Zero: such agents never count.
    pub quota_recovery_timeout: Duration,
    /// After a restart of the master: how long frameworks have to come back, at the least when they
    /// are known from their tasks only (a scheduler could not come back while no master led).
    pub framework_reregister_timeout: Duration,
    /// How long after one agent was given up the next one may be, at the earliest; `None` sets no
    /// pace.
    pub agent_removal_interval: Option<Duration>,
    /// What agents are told: without a message for so long, reconnect.
    pub agent_ping_timeout: Duration,
    /// The longest failover timeout that a framework may ask for.
    pub max_failover_timeout: Duration,
    /// Frameworks whose schedulers may be away, each a durable fact: while there are so many, no
    /// new framework is taken.
    pub frameworks_away: usize,
    /// Bytes that descriptions of frameworks whose schedulers are away may take together: beyond,
    /// no new framework is taken.
    pub frameworks_away_bytes: usize,
    /// Bytes that one framework's description may take.
    pub framework_bytes: usize,
    /// Roles that one framework may subscribe to: each has a place in the tree of roles.
    pub framework_roles: usize,
    /// Completed tasks remembered for each framework.
    pub completed_tasks: usize,
    /// Unreachable tasks remembered for each framework.
    pub unreachable_tasks: usize,
    /// Unreachable agents, and gone ones, remembered in the registry; the oldest go first, and those
    /// on which something is reserved or made never.
    pub unreachable_agents: usize,
    /// How long changes of loads and demands gather before they are published; `None` publishes
    /// nothing at all.
    pub publish_interval: Option<Duration>,
    /// Operations remembered for each framework, under way or not acknowledged: beyond, an ACCEPT
    /// with more is refused.
    pub operations: usize,
    /// Names of resources that one agent may have: the allocator never forgets one.
    pub agent_resource_names: usize,
    /// Bytes that they may take together for each framework: likewise.
    pub operations_bytes: usize,
    /// Pieces that may be reserved or made on one agent, with volumes that are being deleted.
    pub agent_holdings: usize,
    /// Bytes that they may take together, with labels and principals.
    pub agent_holdings_bytes: usize,
    /// Pieces of them that may be of one role, so that it leaves room to others.
    pub role_holdings: usize,
    /// Bytes that those of one role may take together.
    pub role_holdings_bytes: usize,
    /// Bytes that labels and principal of one reservation may take.
    pub reservation_bytes: usize,
    /// Bytes that the maintenance schedule may take.
    pub maintenance_bytes: usize,
    /// Bytes that the quota of one role may take.
    pub quota_bytes: usize,
    /// Looks at agents for demands in one allocation pass, for each of the three things that it
    /// chooses agents for; when more are needed, the next pass goes on with them. At least 1.
    pub demand_looks: usize,
    /// Demands kept for each framework.
    pub demands: usize,
    /// Bytes that a key of a framework's state may have.
    pub state_key_bytes: usize,
    /// Bytes that the value of one key may have.
    pub state_value_bytes: usize,
    /// Keys that a framework may have.
    pub state_keys: usize,
    /// Bytes that a framework's keys and values may take together; at most 3 MiB, since one answer
    /// may have to hold them all.
    pub state_bytes: usize,
    /// Bytes that the keys and values of all frameworks may take together, with the descriptions of
    /// those that have some.
    pub all_state_bytes: usize,
    /// Whether frameworks may run tasks as root.
    pub root_submissions: bool,
}

impl Default for Options {
    fn default() -> Self {
        let least = |name: &str, milli| {
            let mut amount = Quantities::default();
            amount.add(&ResourceName::new(name), milli);
            amount
        };
        Self {
            version: Arc::from("0.0.0"),
            heartbeat_interval: Duration::from_secs(15),
            offer_timeout: Some(Duration::from_secs(60)),
            allocation_delay: Duration::ZERO,
            allocation_slice: 4_000,
            min_allocatable: vec![least("cpus", 10), least("mem", 32_000)],
            filter_gpu_resources: true,
            domain: None,
            ping_interval: Duration::from_secs(1),
            agent_timeout: Duration::from_secs(5),
            agent_reregister_timeout: Duration::from_secs(600),
            quota_recovery_timeout: Duration::from_secs(30),
            framework_reregister_timeout: Duration::from_secs(600),
            agent_removal_interval: None,
            agent_ping_timeout: Duration::from_secs(5),
            max_failover_timeout: Duration::from_secs(365 * 24 * 60 * 60),
            frameworks_away: 10_000,
            frameworks_away_bytes: 64 << 20,
            framework_bytes: 256 << 10,
            framework_roles: 1000,
            completed_tasks: 1000,
            unreachable_tasks: 1000,
            unreachable_agents: 100_000,
            publish_interval: Some(Duration::from_millis(250)),
            operations: 1000,
            agent_resource_names: 64,
            operations_bytes: 4 << 20,
            agent_holdings: 1000,
            agent_holdings_bytes: 1 << 20,
            role_holdings: 250,
            role_holdings_bytes: 256 << 10,
            reservation_bytes: 4 << 10,
            maintenance_bytes: 4 << 20,
            quota_bytes: 64 << 10,
            demand_looks: 50_000,
            demands: 1000,
            state_key_bytes: 256,
            state_value_bytes: STATE_VALUE_BYTES,
            state_keys: STATE_KEYS,
            state_bytes: STATE_BYTES,
            all_state_bytes: 32 << 20,
            root_submissions: true,
        }
    }
}
