//! Looks at the cluster all the time, from beside it, and writes down what changed.

use crate::cluster::{Cluster, Health, agent_address, health, master_addresses, pause};
use crate::history::{Fact, now};
use crate::hosts::AGENTS;
use crate::http;
use crate::operator::Operator;
use proto::operator::{AgentStanding, AgentView};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which part a master plays, ten times a second.
pub(crate) async fn master(cluster: Arc<Cluster>, master: usize, stop: Arc<AtomicBool>) {
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let away = || Health { role: "away".to_owned(), term: 0 };
        let seen = health(master).await.unwrap_or_else(away);
        if last.as_ref() != Some(&seen) {
            let Health { role, term } = seen.clone();
            cluster.history.note(Fact::Master { master, role, term });
            last = Some(seen);
        }
        pause(100).await;
    }
}

/// The newest epoch an agent knows.
pub(crate) async fn agent(cluster: Arc<Cluster>, agent: usize, stop: Arc<AtomicBool>) {
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let metrics = http::get(&agent_address(agent), "/metrics").await;
        let epoch = metrics.as_deref().and_then(epoch);
        if let Some(epoch) = epoch.filter(|epoch| last != Some(*epoch)) {
            cluster.history.note(Fact::Epoch { agent, epoch });
            last = Some(epoch);
        }
        pause(250).await;
    }
}

fn epoch(metrics: &str) -> Option<u64> {
    let line = metrics.lines().find(|line| line.starts_with("tepui_agent_epoch"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The leader's books of the agents.
pub(crate) async fn books(cluster: Arc<Cluster>, stop: Arc<AtomicBool>) {
    let mut operator = Operator::new(master_addresses());
    while !stop.load(Ordering::Relaxed) {
        let before = operator.agents().await;
        let leader = operator.at().to_owned();
        let began = now();
        let tasks = operator.live_tasks().await;
        let after = operator.agents().await;
        // What one leader says is compared, not a part of it with a part of what another one says.
        for view in after.iter().filter(|_| operator.at() == leader) {
            let was = before.iter().find(|other| other.info.id == view.info.id);
            let is_active = |view: &AgentView| view.standing == AgentStanding::Active;
            let of = |all: &proto::Resources| [all.cpus(), all.mem()];
            let there =
                tasks.iter().flatten().filter(|task| Some(&task.agent_id) == view.info.id.as_ref());
            cluster.history.note(Fact::Books {
                agent: name(&view.info.hostname),
                began,
                active: tasks.is_some() && is_active(view) && was.is_some_and(is_active),
                tasks: there.map(|task| task.resources.cpus()).sum(),
                total: of(&view.info.resources),
                used: of(&view.allocated),
                offered: of(&view.offered),
            });
        }
        pause(500).await;
    }
}

/// An agent's name, which is that of its work directory, from the address that it gives.
fn name(address: &str) -> String {
    let at = AGENTS.iter().position(|host| host.ip() == address);
    at.map_or_else(|| address.to_owned(), |at| format!("agent-{}", at + 1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_agent_is_known_by_its_address() {
        assert_eq!(super::name("10.77.0.22"), "agent-2");
        assert_eq!(super::name("elsewhere"), "elsewhere");
    }

    #[test]
    fn an_agents_epoch_is_read_from_its_metrics() {
        let metrics =
            "# HELP tepui_agent_epoch x\n# TYPE tepui_agent_epoch gauge\ntepui_agent_epoch 12\n";
        assert_eq!(super::epoch(metrics), Some(12));
        assert_eq!(super::epoch("x 1\n"), None);
    }
}
