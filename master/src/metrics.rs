//! Metrics in the text format of Prometheus: counted where effects are performed, and gauges read
//! from the core when they are asked for, so that they cannot disagree with what was done.
//!
//! No label may hold a task's id, or anything else that a peer chooses freely.

use crate::http::HttpCounts;
use crate::reads::Counted;
use crate::standing::role_name;
use ::registrar::{Role, Status};
use master_core::{Counters, Master};
use proto::Time;
use proto::operator::AgentStanding;
use proto::scheduler::Event;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
const BUCKETS: [u64; 12] = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000, 1_000_000];

/// Durations in buckets.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub(crate) fn observe(&mut self, duration: Duration) {
        let bucket = BUCKETS.partition_point(|bound| Duration::from_micros(*bound) < duration);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += duration;
    }

    fn render(&self, text: &mut Text, name: &str, help: &str) {
        text.family(name, "histogram", help);
        let mut count = 0;
        for (bound, bucket) in BUCKETS.iter().zip(self.buckets) {
            count += bucket;
            let seconds = Duration::from_micros(*bound).as_secs_f64();
            text.line(&format!("{name}_bucket"), &format!("le=\"{seconds}\""), count);
        }
        text.line(&format!("{name}_bucket"), "le=\"+Inf\"", self.count);
        text.line(&format!("{name}_count"), "", self.count);
        text.line(&format!("{name}_sum"), "", self.sum.as_secs_f64());
    }
}

/// What the shell counts while it performs effects.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: Histogram,
    pub(crate) ticks: Histogram,
    pub(crate) facts: u64,
    pub(crate) commits: u64,
    pub(crate) agent_events: u64,
    pub(crate) slow_readers: u64,
    /// Events to frameworks by kind.
    events: [u64; EVENTS.len()],
    refusals: BTreeMap<u16, u64>,
}

const EVENTS: [&str; 13] = [
    "SUBSCRIBED",
    "OFFERS",
    "RESCIND",
    "UPDATE",
    "MESSAGE",
    "FAILURE",
    "ERROR",
    "HEARTBEAT",
    "REFUSED",
    "INVERSE_OFFERS",
    "RESCIND_INVERSE_OFFER",
    "UPDATE_OPERATION_STATUS",
    "STATE",
];

impl Counts {
    pub(crate) fn event(&mut self, event: &Event) {
        let kind = match event {
            Event::Subscribed { .. } => 0,
            Event::Offers(_) => 1,
            Event::Rescind(_) => 2,
            Event::Update(_) => 3,
            Event::Message { .. } => 4,
            Event::Failure { .. } => 5,
            Event::Error(_) => 6,
            Event::Heartbeat => 7,
            Event::Refused { .. } => 8,
            Event::InverseOffers(_) => 9,
            Event::RescindInverseOffer(_) => 10,
            Event::UpdateOperationStatus(_) => 11,
            Event::State(_) => 12,
        };
        self.events[kind] += 1;
    }

    pub(crate) fn refused(&mut self, code: u16) {
        *self.refusals.entry(code).or_default() += 1;
    }
}

/// What the server knows besides.
pub(crate) struct Gauges<'a> {
    pub(crate) framework_streams: usize,
    pub(crate) agent_streams: usize,
    /// Connections of agents by what serves them.
    pub(crate) agent_connections: [(&'static str, u64); 2],
    pub(crate) held_effects: usize,
    pub(crate) reads: &'a Counted,
    pub(crate) standing: &'a Status,
    pub(crate) started: Time,
    pub(crate) version: &'a str,
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(name, "", value);
    }
}

/// All metrics as text.
pub(crate) fn render(
    core: &Master,
    counts: &Counts,
    http: &HttpCounts,
    shell: &Gauges<'_>,
) -> String {
    let mut text = Text(String::with_capacity(8 * 1024));
    render_process(&mut text, shell.version, shell.started, shell.standing);
    render_gauges(&mut text, core);
    render_counters(&mut text, core.counters());
    render_shell(&mut text, counts, shell);
    render_http(&mut text, http);
    text.0
}

/// Those of a master that does not lead.
pub(crate) fn of_follower(
    standing: &Status,
    http: &HttpCounts,
    started: Time,
    version: &str,
) -> String {
    let mut text = Text(String::with_capacity(2 * 1024));
    render_process(&mut text, version, started, standing);
    render_http(&mut text, http);
    text.0
}

fn render_process(text: &mut Text, version: &str, started: Time, standing: &Status) {
    text.family("tepui_build_info", "gauge", "The software that runs.");
    text.line("tepui_build_info", &format!("version=\"{}\"", escape(version)), 1);
    let help = "When this master started, in seconds since 1970.";
    text.one("tepui_master_start_time_seconds", "gauge", help, started.as_secs_f64());
    let help = "1 for the part that this master plays, 0 for the others.";
    text.family("tepui_master_role", "gauge", help);
    for role in [Role::Leader, Role::Candidate, Role::Follower] {
        let labels = format!("role=\"{}\"", role_name(role));
        text.line("tepui_master_role", &labels, u8::from(standing.role == role));
    }
    let lag = standing.commit.saturating_sub(standing.applied);
    for (name, help, value) in [
        ("term", "The newest term of the masters' log.", standing.term),
        ("commit_index", "Up to where the masters' log is agreed upon.", standing.commit),
        ("apply_index", "Up to where it was applied here.", standing.applied),
        ("apply_lag", "Entries that are agreed upon and not applied here yet.", lag),
        ("members", "Masters that vote.", standing.members.voters.len() as u64),
    ] {
        text.one(&format!("tepui_master_{name}"), "gauge", help, value);
    }
}

fn render_http(text: &mut Text, http: &HttpCounts) {
    text.family("tepui_master_http_requests_total", "counter", "HTTP answers by route and status.");
    for (route, code, count) in http.read() {
        let labels = format!("route=\"{route}\",code=\"{code}\"");
        text.line("tepui_master_http_requests_total", &labels, count);
    }
}

fn render_gauges(text: &mut Text, core: &Master) {
    let gauges = core.gauges();
    text.family("tepui_master_agents", "gauge", "Agents by standing.");
    for (standing, count) in gauges.agents {
        let standing = match standing {
            AgentStanding::Active => "active",
            AgentStanding::Suspect => "suspect",
            AgentStanding::Disconnected => "disconnected",
            AgentStanding::Recovered => "recovered",
            AgentStanding::Unreachable => "unreachable",
        };
        text.line("tepui_master_agents", &format!("standing=\"{standing}\""), count);
    }
    text.one(
        "tepui_master_unreachable_agents_kept",
        "gauge",
        "Unreachable agents on which something is reserved or made: never forgotten.",
        gauges.unreachable_kept,
    );
    text.one(
        "tepui_master_gone_agents_kept",
        "gauge",
        "Agents marked gone on which something was reserved or made: never forgotten.",
        gauges.gone_kept,
    );
    text.family("tepui_master_frameworks", "gauge", "Frameworks by connection.");
    let frameworks = [
        ("connected", gauges.frameworks_connected),
        ("disconnected", gauges.frameworks_disconnected),
    ];
    for (connection, count) in frameworks {
        text.line("tepui_master_frameworks", &format!("connection=\"{connection}\""), count);
    }
    text.family("tepui_master_tasks", "gauge", "Tasks that are not over, by state.");
    for (state, count) in gauges.tasks {
        text.line("tepui_master_tasks", &format!("state=\"{state}\""), count);
    }
    text.one("tepui_master_offers", "gauge", "Offers that wait for an answer.", gauges.offers);
    let help = "Keys that frameworks keep at the masters.";
    text.one("tepui_master_framework_state_keys", "gauge", help, gauges.state_keys);
    let help = "Bytes that frameworks keep at the masters.";
    text.one("tepui_master_framework_state_bytes", "gauge", help, gauges.state_bytes);
}

fn render_counters(text: &mut Text, counters: &Counters) {
    let offers = "tepui_master_offers_total";
    text.family(offers, "counter", "Offers by what became of them.");
    for (outcome, count) in [
        ("made", counters.offers_made),
        ("declined", counters.offers_declined),
        ("rescinded", counters.offers_rescinded),
    ] {
        text.line(offers, &format!("outcome=\"{outcome}\""), count);
    }
    let tasks = "tepui_master_tasks_total";
    text.family(tasks, "counter", "Tasks by what became of them.");
    for (outcome, count) in [
        ("launched", counters.tasks_launched),
        ("refused", counters.tasks_refused),
        ("finished", counters.tasks_finished),
        ("failed", counters.tasks_failed),
    ] {
        text.line(tasks, &format!("outcome=\"{outcome}\""), count);
    }
    let rows = [
        ("status_updates", "Status updates of agents.", counters.updates),
        ("status_updates_ignored", "Status updates for no task here.", counters.updates_ignored),
        ("acknowledgements", "Acknowledgements passed on.", counters.acknowledgements),
        ("operations_ended", "Operations on resources that ended.", counters.operations_ended),
        ("operations_refused", "Operations on resources refused.", counters.operations_refused),
        (
            "volume_failures",
            "Volumes that agents could not make or delete.",
            counters.volume_failures,
        ),
        (
            "shutdowns_dropped",
            "SHUTDOWN calls for executors that are not known.",
            counters.shutdowns_dropped,
        ),
        ("allocation_passes", "Allocation passes.", counters.allocation_passes),
        ("allocation_agents", "Agents looked at in allocation.", counters.agents_considered),
        (
            "agents_unreachable",
            "Times that an agent became unreachable.",
            counters.agents_unreachable,
        ),
    ];
    for (name, help, count) in rows {
        text.one(&format!("tepui_master_{name}_total"), "counter", help, count);
    }
}

fn render_shell(text: &mut Text, counts: &Counts, shell: &Gauges<'_>) {
    text.family("tepui_master_streams", "gauge", "Open streams by kind of peer.");
    text.line("tepui_master_streams", "peer=\"framework\"", shell.framework_streams);
    text.line("tepui_master_streams", "peer=\"agent\"", shell.agent_streams);
    let connections = "tepui_master_agent_connections";
    text.family(connections, "gauge", "Connections of agents, by the HTTP/2 server they got.");
    for (server, count) in shell.agent_connections {
        text.line(connections, &format!("server=\"{server}\""), count);
    }
    let help = "Effects that wait until facts are durable.";
    text.one("tepui_master_held_effects", "gauge", help, shell.held_effects);
    render_reads(text, shell.reads);
    let events = "tepui_master_events_total";
    text.family(events, "counter", "Events sent to frameworks, by kind.");
    for (kind, count) in EVENTS.iter().zip(counts.events) {
        text.line(events, &format!("kind=\"{kind}\""), count);
    }
    let refusals = "tepui_master_refusals_total";
    text.family(refusals, "counter", "Calls refused, by the status code of HTTP.");
    for (code, count) in &counts.refusals {
        text.line(refusals, &format!("code=\"{code}\""), count);
    }
    let rows = [
        ("agent_events", "Messages sent to agents.", counts.agent_events),
        ("registry_facts", "Facts made durable.", counts.facts),
        ("registry_commits", "Proposals of facts.", counts.commits),
        ("slow_readers", "Streams cut off because they were not read.", counts.slow_readers),
    ];
    for (name, help, count) in rows {
        text.one(&format!("tepui_master_{name}_total"), "counter", help, count);
    }
    let help = "How long the core takes for one input.";
    counts.steps.render(text, "tepui_master_step_seconds", help);
    let help = "How long an allocation pass, or another due step, takes.";
    counts.ticks.render(text, "tepui_master_tick_seconds", help);
}

fn render_reads(text: &mut Text, counted: &Counted) {
    let reads = "tepui_master_reads_total";
    text.family(reads, "counter", "Reads of the state by how they ended.");
    let (done, cut_off) = (&counted.reads.done, &counted.reads.cut_off);
    for (outcome, count) in [("done", done), ("cut off", cut_off)] {
        let count = count.load(Ordering::Relaxed);
        text.line(reads, &format!("outcome=\"{outcome}\""), count);
    }
    let help = "Changes that the copy for readers has not taken yet.";
    text.one("tepui_master_copy_waiting", "gauge", help, counted.lag.waiting());
    let help = "Times that the copy for readers fell behind and was made anew.";
    text.one("tepui_master_copy_anew_total", "counter", help, counted.lag.anew());
    let watches = &counted.watches;
    let watching = watches.watchers.load(Ordering::Relaxed);
    text.one("tepui_master_watchers", "gauge", "Operators who watch.", watching);
    for (name, help, count) in [
        ("watch_events", "Events numbered for those who watch.", &watches.events),
        ("watchers_cut_off", "Watchers that were cut off.", &watches.cut_off),
    ] {
        let count = count.load(Ordering::Relaxed);
        text.one(&format!("tepui_master_{name}_total"), "counter", help, count);
    }
}

/// A value between quotes.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
