//! How many there are of everything, counted from the tables when asked: for metrics.

use crate::state::Master;
use proto::TaskState;
use proto::operator::AgentStanding;
use std::collections::BTreeMap;

/// How many there are of everything now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauges {
    /// Agents by standing, those in the registry alone included: active, suspect, disconnected,
    /// recovered, unreachable.
    pub agents: [(AgentStanding, usize); 5],
    /// Unreachable agents that are never forgotten, as something is reserved or made on them: they
    /// stay until they come back or an operator marks them gone.
    pub unreachable_kept: usize,
    /// Agents that were marked gone and are never forgotten, as something was reserved or made on
    /// them: nothing takes them out.
    pub gone_kept: usize,
    /// Frameworks with an event stream.
    pub frameworks_connected: usize,
    /// Frameworks without one, whose tasks live on.
    pub frameworks_disconnected: usize,
    /// Tasks by their newest state: living ones, ended ones whose last update is not
    /// acknowledged, and those on unreachable agents.
    pub tasks: BTreeMap<TaskState, usize>,
    /// Offers that no framework has answered.
    pub offers: usize,
    /// Keys that frameworks keep here.
    pub state_keys: usize,
    /// Bytes that they take, with the descriptions of these frameworks.
    pub state_bytes: usize,
}

impl Master {
    /// Counts everything. Takes time in proportion to the number of tasks.
    pub fn gauges(&self) -> Gauges {
        let mut agents = [
            (AgentStanding::Active, 0),
            (AgentStanding::Suspect, 0),
            (AgentStanding::Disconnected, 0),
            (AgentStanding::Recovered, self.recovered.len()),
            (AgentStanding::Unreachable, 0),
        ];
        for (_, agent) in self.agents.iter() {
            let standing = match (agent.is_connected(), agent.is_suspect()) {
                (true, false) => 0,
                (true, true) => 1,
                (false, _) => 2,
            };
            agents[standing].1 += 1;
        }
        let mut unreachable_kept = 0;
        let admitted = self.registry.agents().values();
        for agent in admitted.filter(|agent| agent.unreachable.is_some()) {
            agents[4].1 += 1;
            unreachable_kept += usize::from(!agent.holdings().is_empty());
        }
        let kept = self.registry.kept();
        let mut gauges = Gauges {
            agents,
            unreachable_kept,
            gone_kept: self.registry.gone().values().filter(|gone| gone.kept).count(),
            frameworks_connected: 0,
            frameworks_disconnected: 0,
            tasks: BTreeMap::new(),
            offers: self.offers.len(),
            state_keys: kept.of().values().map(|state| state.entries.len()).sum(),
            state_bytes: kept.bytes(),
        };
        for (_, framework) in self.frameworks.iter() {
            if framework.is_connected() {
                gauges.frameworks_connected += 1;
            } else {
                gauges.frameworks_disconnected += 1;
            }
            for task in framework.tasks.values().chain(framework.unreachable.values()) {
                *gauges.tasks.entry(task.state).or_default() += 1;
            }
        }
        gauges
    }
}
