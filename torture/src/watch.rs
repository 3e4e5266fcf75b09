//! Looks at the cluster all the time, from beside it, and writes down what changed.

use crate::cluster::{Cluster, Health, agent_address, health, master_addresses, pause};
use crate::history::Fact;
use crate::http;
use crate::operator::Operator;
use std::collections::BTreeMap;
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
    let mut last = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for agent in operator.agents().await {
            let of = |all: &proto::Resources| [all.cpus(), all.mem()];
            let seen = (of(&agent.info.resources), of(&agent.allocated), of(&agent.offered));
            let name = agent.info.hostname.to_string();
            if last.insert(name.clone(), seen) != Some(seen) {
                let (total, used, offered) = seen;
                cluster.history.note(Fact::Books { agent: name, total, used, offered });
            }
        }
        pause(300).await;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_agents_epoch_is_read_from_its_metrics() {
        let metrics =
            "# HELP tepui_agent_epoch x\n# TYPE tepui_agent_epoch gauge\ntepui_agent_epoch 12\n";
        assert_eq!(super::epoch(metrics), Some(12));
        assert_eq!(super::epoch("x 1\n"), None);
    }
}
