//! `/metrics/snapshot`: the metrics of Mesos that monitors read, by Mesos' names.

use super::About;
use super::agents::is_active;
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{Model, holds};
use master_core::Counters;
use proto::operator::AgentStanding;
use proto::{Resources, TaskState, Time};
use std::collections::BTreeMap;

/// What is counted elsewhere than in the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) counters: Counters,
    pub(crate) now: Time,
}

pub(super) async fn write(
    out: &mut Pieces,
    model: &Model,
    about: &About,
    totals: &Totals,
) -> Result<(), Unread> {
    out.json.begin_object();
    for (name, value) in snapshot(model, about, totals) {
        out.json.name(&name).double(value);
    }
    out.json.end_object();
    out.breathe().await
}

/// All metrics by name.
pub(crate) fn snapshot(model: &Model, about: &About, totals: &Totals) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        all.insert(format!("master/{name}"), value);
    };
    put("elected", 1.0);
    put("uptime_secs", totals.now.since(about.started).as_secs_f64());
    agents(model, &mut put);
    frameworks(model, &mut put);
    tasks(model, &totals.counters, &mut put);
    resources(model, &mut put);
    let counters = &totals.counters;
    for (name, value) in [
        ("valid_status_updates", counters.updates),
        ("invalid_status_updates", counters.updates_ignored),
        ("valid_status_update_acknowledgements", counters.acknowledgements),
        ("slave_unreachable_completed", counters.agents_unreachable),
        ("messages_decline_offers", counters.offers_declined),
    ] {
        put(name, value as f64);
    }
    all.insert("allocator/mesos/allocation_runs".to_owned(), counters.allocation_passes as f64);
    all
}

fn agents(model: &Model, put: &mut impl FnMut(&str, f64)) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, row) in model.agents.iter() {
        let standing = row.record.standing;
        let names: &[&str] = match standing {
            AgentStanding::Active | AgentStanding::Suspect => &["active", "connected"],
            AgentStanding::Disconnected => &["inactive", "disconnected"],
            AgentStanding::Unreachable => &["unreachable"],
            AgentStanding::Recovered => &[],
        };
        debug_assert_eq!(is_active(standing), names.first() == Some(&"active"));
        names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    }
    for name in ["active", "inactive", "connected", "disconnected", "unreachable"] {
        put(&format!("slaves_{name}"), counts.get(name).copied().unwrap_or(0) as f64);
    }
}

fn frameworks(model: &Model, put: &mut impl FnMut(&str, f64)) {
    let all = model.frameworks.len();
    let connected = model.frameworks.iter().filter(|(_, row)| row.record.connected).count();
    for (name, count) in [
        ("active", connected),
        ("connected", connected),
        ("inactive", all - connected),
        ("disconnected", all - connected),
    ] {
        put(&format!("frameworks_{name}"), count as f64);
    }
    let offers = |share: &crate::reads::Share| share.offers.len();
    let outstanding: usize = model.sums().frameworks.values().map(offers).sum();
    put("outstanding_offers", outstanding as f64);
}

fn tasks(model: &Model, counters: &Counters, put: &mut impl FnMut(&str, f64)) {
    let mut states: BTreeMap<TaskState, u64> = BTreeMap::new();
    for (_, task) in model.tasks.iter() {
        *states.entry(task.state).or_default() += 1;
    }
    for state in [
        TaskState::Staging,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Killing,
        TaskState::Unreachable,
    ] {
        let name = state.name().trim_start_matches("TASK_").to_ascii_lowercase();
        put(&format!("tasks_{name}"), states.get(&state).copied().unwrap_or(0) as f64);
    }
    put("tasks_finished", counters.tasks_finished as f64);
    put("tasks_failed", counters.tasks_failed as f64);
    put("messages_launch_tasks", counters.tasks_launched as f64);
}

fn resources(model: &Model, put: &mut impl FnMut(&str, f64)) {
    let mut used = Resources::new();
    for (_, task) in model.tasks.iter().filter(|(_, task)| holds(task)) {
        used.add(&task.resources);
    }
    let total = &model.sums().total;
    for name in ["cpus", "mem", "disk", "gpus"] {
        let (used, total) = (used.scalar(name) as f64 / 1000.0, total.scalar(name) as f64 / 1000.0);
        put(&format!("{name}_total"), total);
        put(&format!("{name}_used"), used);
        put(&format!("{name}_percent"), if total > 0.0 { used / total } else { 0.0 });
    }
}
