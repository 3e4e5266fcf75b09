//! Metrics in the text format of Prometheus: counters of the core and of the shell, and gauges
//! read from the core when they are asked for.
//!
//! No label may hold a task's id, or anything else that a peer chooses freely.

use crate::usage::{self, Sums};
use agent_core::{Agent, Counters};
use proto::TaskState;
use std::fmt::Write;

/// What the shell counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Records written or removed.
    pub(crate) records: u64,
    /// Commits of the checkpoint.
    pub(crate) commits: u64,
    /// Inputs stepped.
    pub(crate) steps: u64,
    pub(crate) sandboxes_collected: u64,
    /// Whether the last commit found the disk full, and no room in the reserve.
    pub(crate) disk_full: bool,
    /// Whether the last commit went into the reserve.
    pub(crate) reserve_used: bool,
    pub(crate) disk_used_ppm: u32,
}

/// One line of its own for each metric, with its help and type.
struct Text(String);

impl Text {
    fn metric(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(name, "", value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

/// All metrics at this moment. `admitted` is whether it is registered under an id that is durable,
/// `held` how many effects wait for the disk.
pub(crate) fn render(
    core: &Agent,
    admitted: bool,
    counts: Counts,
    held: usize,
    sums: &Sums,
) -> String {
    let mut text = Text(String::with_capacity(4096));
    let number = |yes: bool| u8::from(yes);
    text.metric(
        "tepui_agent_registered",
        "gauge",
        "Whether the agent is part of the cluster.",
        number(admitted),
    );
    let help = "The newest epoch that a master named: how many times one has begun to lead.";
    text.metric("tepui_agent_epoch", "gauge", help, core.epoch());
    resources(&mut text, core);
    tasks(&mut text, core);
    usage(&mut text, sums);
    counters(&mut text, core.counters());
    for (name, help, value) in [
        ("tepui_agent_steps_total", "Inputs that the core has taken.", counts.steps),
        ("tepui_agent_checkpoint_records_total", "Records written or removed.", counts.records),
        ("tepui_agent_checkpoint_commits_total", "Commits of the checkpoint.", counts.commits),
        ("tepui_agent_sandboxes_collected_total", "Sandboxes removed.", counts.sandboxes_collected),
    ] {
        text.metric(name, "counter", help, value);
    }
    let used = f64::from(counts.disk_used_ppm) / 1e6;
    text.metric("tepui_agent_disk_used_ratio", "gauge", "How full the disk is.", used);
    let full = number(counts.disk_full);
    text.metric("tepui_agent_disk_full", "gauge", "Whether updates wait for disk space.", full);
    let (name, used) = ("tepui_agent_disk_reserve_used", number(counts.reserve_used));
    text.metric(name, "gauge", "Whether updates go into the reserve of a full disk.", used);
    let (name, pressed) = ("tepui_agent_disk_pressed", number(core.is_disk_pressed()));
    text.metric(name, "gauge", "Whether no disk is offered, because it is almost full.", pressed);
    text.metric("tepui_agent_effects_held", "gauge", "Effects that wait for the disk.", held);
    text.0
}

fn resources(text: &mut Text, core: &Agent) {
    let name = "tepui_agent_resources";
    text.family(name, "gauge", "Resources by name, in their own units: cpus, MB, or a count.");
    let free = core.free().quantities();
    for (resource, milli) in core.total().quantities().iter() {
        // Names come from the operator, but a quote would break the line.
        let resource_name = resource.as_str().replace(['"', '\\', '\n'], "_");
        let used = milli.saturating_sub(free.get(resource));
        for (kind, milli) in [("total", milli), ("used", used)] {
            let labels = format!("resource=\"{resource_name}\",kind=\"{kind}\"");
            text.line(name, &labels, milli as f64 / 1000.0);
        }
    }
}

/// Sums over the tasks of this agent: what each of them uses is at `/containers`.
fn usage(text: &mut Text, sums: &Sums) {
    let help = "Tasks whose usage is known.";
    text.metric("tepui_agent_usage_containers", "gauge", help, sums.containers);
    let help = "Cpus that the tasks kept busy in the last second.";
    text.metric("tepui_agent_usage_cpus", "gauge", help, sums.cpus);
    let help = "Memory of the tasks, with what is cached of files on their behalf.";
    text.metric("tepui_agent_usage_memory_bytes", "gauge", help, sums.memory_bytes);
    let help = "Memory of the tasks that belongs to no file.";
    text.metric("tepui_agent_usage_anonymous_bytes", "gauge", help, sums.anonymous_bytes);
    let help = "Processes and threads of the tasks.";
    text.metric("tepui_agent_usage_threads", "gauge", help, sums.pids);
    let (cpu, throttled) = (sums.cpu_time.as_secs_f64(), sums.throttled_time.as_secs_f64());
    let help = "Cpu time of all tasks since the agent started, ended ones included.";
    text.metric("tepui_agent_usage_cpu_seconds_total", "counter", help, cpu);
    let help = "Time for which ceilings of cpu time held tasks back.";
    text.metric("tepui_agent_usage_throttled_seconds_total", "counter", help, throttled);
    let help = "Bytes that tasks had read from disks.";
    text.metric("tepui_agent_usage_read_bytes_total", "counter", help, sums.read_bytes);
    let help = "Bytes that tasks had written to disks.";
    text.metric("tepui_agent_usage_written_bytes_total", "counter", help, sums.written_bytes);
    let help = "Bytes that tasks with networks of their own sent.";
    text.metric("tepui_agent_usage_sent_bytes_total", "counter", help, sums.sent_bytes);
    let help = "Bytes that tasks with networks of their own received.";
    text.metric("tepui_agent_usage_received_bytes_total", "counter", help, sums.received_bytes);
    let waited = usage::host_pressure();
    if !waited.is_empty() {
        let name = "tepui_agent_host_pressure_seconds_total";
        text.family(name, "counter", "Time in which something of this machine had to wait.");
        for (resource, time) in waited {
            text.line(name, &format!("resource=\"{resource}\""), time.as_secs_f64());
        }
    }
}

fn tasks(text: &mut Text, core: &Agent) {
    let name = "tepui_agent_tasks";
    text.family(name, "gauge", "Tasks by state; ended ones until their updates are acknowledged.");
    let mut states = [0usize; TaskState::ALL.len()];
    for task in core.tasks() {
        if let Some(at) = TaskState::ALL.iter().position(|state| *state == task.state) {
            states[at] += 1;
        }
    }
    for (state, count) in TaskState::ALL.iter().zip(states) {
        if count > 0 {
            text.line(name, &format!("state=\"{state}\""), count);
        }
    }
    let help = "Status updates that wait for their acknowledgement.";
    text.metric("tepui_agent_updates_pending", "gauge", help, core.pending_updates());
    let help = "Sandboxes of ended tasks.";
    text.metric("tepui_agent_sandboxes", "gauge", help, core.sandboxes().count());
}

fn counters(text: &mut Text, counters: Counters) {
    let name = "tepui_agent_tasks_ended_total";
    text.family(name, "counter", "Tasks that ended, by outcome.");
    for (outcome, count) in [
        ("finished", counters.finished),
        ("failed", counters.failed),
        ("killed", counters.killed),
        ("other", counters.lost),
    ] {
        text.line(name, &format!("outcome=\"{outcome}\""), count);
    }
    for (name, help, value) in [
        ("tepui_agent_tasks_launched_total", "Tasks handed to the supervisor.", counters.launched),
        ("tepui_agent_tasks_refused_total", "Launches refused.", counters.refused),
        ("tepui_agent_updates_sent_total", "Updates sent first.", counters.updates_sent),
        ("tepui_agent_updates_resent_total", "Updates sent again.", counters.updates_resent),
        (
            "tepui_agent_updates_acknowledged_total",
            "Updates acknowledged.",
            counters.updates_acknowledged,
        ),
        (
            "tepui_agent_acknowledgements_ignored_total",
            "Acknowledgements of updates that did not wait for one.",
            counters.acknowledgements_ignored,
        ),
        ("tepui_agent_links_lost_total", "Streams to the master lost.", counters.links_lost),
        (
            "tepui_agent_old_masters_total",
            "Masters left because they lead in an older epoch than another.",
            counters.old_masters,
        ),
    ] {
        text.metric(name, "counter", help, value);
    }
}
