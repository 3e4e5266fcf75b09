//! What a master is started with, checked before anything is opened.

use crate::http::SessionsFrom;
use crate::{Error, LogControl};
use grpc::machine::Callers;
use master_core::{Options, Registry};
use proto::{Limits, Quantities, Role};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The Mesos version that is spoken: digits and dots only, because clients parse it.
pub const MESOS_VERSION: &str = "1.11.0";

/// What a master is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the registry is kept.
    pub data_dir: PathBuf,
    /// The cluster that the data must belong to, if the operator names one.
    pub cluster: Option<String>,
    /// Masters of the cluster that this one is to join, `HOST:PORT`, if its data directory is new.
    pub join: Vec<String>,
    /// The name or address under which others reach this master.
    pub hostname: Arc<str>,
    /// What the core is told.
    pub options: Options,
    /// Weights of roles in thousandths, none 0: they replace what the registry has for these
    /// roles. Other roles keep theirs; a role that was never named weighs 1000.
    pub weights: Vec<(Role, u64)>,
    /// Limits on what frameworks and operators send.
    pub limits: Limits,
    /// Limits on what agents send: a registration holds all their tasks.
    pub agent_limits: Limits,
    /// Connections at a time; more are closed at once. Fewer where the system gives fewer files.
    pub max_connections: usize,
    /// How long a new connection may take until its first request is complete, and a request
    /// until its body is.
    pub request_timeout: Duration,
    /// How long a connection may wait between requests.
    pub idle_timeout: Duration,
    /// Events that may wait for a reader that stands still; one more, after `reader_stall`, and it
    /// is cut off. A reader that keeps taking may have sixteen times as many.
    pub outbox_events: usize,
    /// Bytes of memory (estimated) that may wait for a reader that stands still, as with events. A
    /// reader that keeps taking may have four times as many.
    pub outbox_bytes: usize,
    /// How long a reader with too many events may stand still.
    pub reader_stall: Duration,
    /// How long a reader that was cut off has to read why, before its connection is closed.
    pub cut_off_grace: Duration,
    /// Reads of operators over HTTP that may wait for their readers at a time, at least 4. One address
    /// may have three quarters of them.
    pub reads: usize,
    /// How long one answer may take as a whole, however fast its reader is: until then it keeps an old
    /// state in memory.
    pub read_whole: Duration,
    /// How long one more waits for the end of another, before it is told to come again.
    pub read_wait: Duration,
    /// From where sessions in containers may be opened by way of this master.
    pub sessions_from: SessionsFrom,
    /// Whose connections are taken.
    pub callers: Callers,
    /// The means to set the level of the log; without it the level is not given away.
    pub log: Option<LogControl>,
    /// Inputs that wait for the core; who brings more waits.
    pub inbox: usize,
    /// Bytes of the registry's pages kept in memory.
    pub cache_bytes: u64,
}

impl Config {
    /// The defaults, for the data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, hostname: impl Into<Arc<str>>) -> Self {
        let version = Arc::from(env!("CARGO_PKG_VERSION"));
        let agent_limits = Limits { body_bytes: 64 << 20, list_items: 1 << 20, ..Limits::DEFAULT };
        Self {
            data_dir: data_dir.into(),
            cluster: None,
            join: Vec::new(),
            hostname: hostname.into(),
            options: Options { version, ..Options::default() },
            weights: Vec::new(),
            limits: Limits::DEFAULT,
            agent_limits,
            max_connections: 65_536,
            request_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(600),
            outbox_events: 65_536,
            outbox_bytes: 16 << 20,
            reader_stall: Duration::from_secs(5),
            cut_off_grace: Duration::from_secs(5),
            reads: 256,
            read_whole: Duration::from_secs(60),
            read_wait: Duration::from_secs(5),
            sessions_from: SessionsFrom::default(),
            callers: Callers::default(),
            log: None,
            inbox: 16_384,
            cache_bytes: 2 << 20,
        }
    }

    /// What operators may want to know of all this, by Mesos' names where it has one; durations as
    /// Mesos writes them.
    pub(crate) fn flags(&self) -> Vec<(&'static str, String)> {
        let secs = |duration: Duration| format!("{}secs", duration.as_secs_f64());
        let options = &self.options;
        let mut flags = vec![
            ("work_dir", self.data_dir.display().to_string()),
            ("hostname", self.hostname.to_string()),
            ("agent_ping_timeout", secs(options.agent_ping_timeout)),
            ("agent_timeout", secs(options.agent_timeout)),
            ("agent_reregister_timeout", secs(options.agent_reregister_timeout)),
            ("quota_recovery_timeout", secs(options.quota_recovery_timeout)),
            ("allocation_interval", secs(options.allocation_delay)),
            ("filter_gpu_resources", options.filter_gpu_resources.to_string()),
            ("max_completed_frameworks", Registry::COMPLETED_KEPT.to_string()),
            ("max_completed_tasks_per_framework", options.completed_tasks.to_string()),
            ("max_unreachable_tasks_per_framework", options.unreachable_tasks.to_string()),
            ("root_submissions", options.root_submissions.to_string()),
        ];
        let domain = options.domain.as_ref().map(|at| format!("{}/{}", at.region, at.zone));
        flags.extend(domain.map(|domain| ("domain", domain)));
        let pace = options.agent_removal_interval.map(|interval| format!("1/{}", secs(interval)));
        flags.extend(pace.map(|pace| ("agent_removal_rate_limit", pace)));
        let least = |least: &Quantities| {
            let all = least.iter().map(|(name, milli)| format!("{name}:{}", milli as f64 / 1000.0));
            all.collect::<Vec<_>>().join(";")
        };
        let least: Vec<String> = options.min_allocatable.iter().map(least).collect();
        flags.push(("min_allocatable_resources", least.join("|")));
        flags.extend(options.offer_timeout.map(|timeout| ("offer_timeout", secs(timeout))));
        flags.extend(self.cluster.clone().map(|cluster| ("cluster", cluster)));
        flags
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// Names the setting and what it must be.
    pub fn check(&self) -> Result<(), Error> {
        let wrong =
            |setting: &'static str, must: &'static str| Err(Error::Setting { setting, must });
        if self.hostname.is_empty() || self.hostname.chars().any(|c| c.is_whitespace() || c == '/')
        {
            return wrong("the hostname", "a name or an address that others can reach");
        }
        if self.outbox_events < 16 {
            return wrong("the number of events that wait for a reader", "at least 16");
        }
        if self.outbox_bytes < 64 << 10 {
            return wrong("the number of bytes that wait for a reader", "at least 65536");
        }
        if self.weights.iter().any(|(_, weight)| *weight == 0) {
            return wrong("the weight of a role", "more than zero");
        }
        if self.inbox == 0 || self.max_connections == 0 {
            return wrong("the numbers of connections and of waiting inputs", "at least 1");
        }
        if self.reads < 4 {
            return wrong("the number of reads at a time", "at least 4");
        }
        if self.options.allocation_slice == 0 {
            return wrong("the number of agents in one allocation pass", "at least 1");
        }
        if self.options.ping_interval.is_zero() || self.options.heartbeat_interval.is_zero() {
            return wrong("the intervals of pings and of heartbeats", "more than zero");
        }
        if self.options.agent_timeout < self.options.ping_interval {
            return wrong("the agents' timeout", "at least the interval of pings");
        }
        Ok(())
    }
}
