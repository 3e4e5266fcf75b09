//! Tasks that may run on agents which are yet to come back to this master.
//!
//! Who launches with an offer of an earlier master, on an agent of which this one has heard nothing
//! yet, may have sent the call before: whether the task runs there only the agent can tell. So it
//! is unreachable until the agent is back, and then it is said what became of it. The memory is
//! bounded: what has no place in it is told to who asks, by RECONCILE.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::{AgentId, FrameworkId, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// How many are remembered, of all agents together.
const MOST: usize = 10_000;

type Tasks = BTreeSet<(FrameworkId, TaskId)>;

/// The tasks, by the agents that are waited for.
#[derive(Debug, Default)]
pub(crate) struct Doubted {
    by_agent: BTreeMap<AgentId, Tasks>,
    count: usize,
}

impl Doubted {
    fn add(&mut self, agent: &AgentId, task: (FrameworkId, TaskId)) {
        if self.count < MOST {
            let is_new = self.by_agent.entry(agent.clone()).or_default().insert(task);
            self.count += usize::from(is_new);
        }
    }

    /// The agent is not waited for any more.
    pub(crate) fn take(&mut self, agent: &AgentId) -> Tasks {
        let tasks = self.by_agent.remove(agent).unwrap_or_default();
        self.count -= tasks.len();
        tasks
    }

    pub(crate) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.by_agent.keys()
    }
}

impl Master {
    /// Who launched the task is told of it when its agent is back.
    pub(crate) fn doubt(&mut self, agent: &AgentId, framework: FrameworkOrd, task_id: &TaskId) {
        let framework = self.frameworks[framework].id.clone();
        self.doubted.add(agent, (framework, task_id.clone()));
    }

    /// The agent is back, or will never be: it is known now what runs there.
    pub(crate) fn answer_doubts(&mut self, agent_id: &AgentId, out: &mut Vec<Effect>) {
        for (framework_id, task_id) in self.doubted.take(agent_id) {
            if let Some(framework) = self.framework_ids.get(&framework_id) {
                self.reconcile_task(*framework, &task_id, Some(agent_id), out);
            }
        }
    }
}
