//! Custom executors: what they use beside their tasks, and their ends.
//!
//! The master knows them from the launches that it sent and from what agents report. An executor
//! lives on without tasks, until its agent says that it has ended; so its resources are counted
//! by themselves.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::scheduler::Event;
use proto::{ExecutorId, ExecutorInfo, FrameworkId, Resources, Role};
use std::sync::Arc;

/// An executor on an agent.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) info: Arc<ExecutorInfo>,
    /// The role that its resources are allocated to.
    pub(crate) role: Role,
    /// Whether its resources are counted as used.
    pub(crate) holds: bool,
}

impl Master {
    /// Adds an executor to its agent, and counts what it uses if the agent has so much. Keeps M5.
    pub(crate) fn add_executor(
        &mut self,
        agent: AgentOrd,
        framework: FrameworkOrd,
        info: Arc<ExecutorInfo>,
        role: Role,
    ) {
        let holds = self.agents[agent].free.contains(&info.resources);
        if holds {
            self.agents[agent].use_free(&info.resources);
            let parts = self.allocator.sorter.cost(&info.resources);
            self.allocator.sorter.hold(&role, framework, &parts);
        }
        self.frameworks[framework].uses_executors = true;
        let key = (framework, info.executor_id.clone());
        let known = self.agents[agent].executors.insert(key, Executor { info, role, holds });
        assert!(known.is_none(), "an executor id is one living executor of its framework");
        self.index_used(agent);
    }

    /// Takes an executor from its agent, and gives back what it used.
    pub(crate) fn remove_executor(
        &mut self,
        agent: AgentOrd,
        framework: FrameworkOrd,
        executor_id: &ExecutorId,
    ) -> Option<Executor> {
        let key = (framework, executor_id.clone());
        let executor = self.agents[agent].executors.remove(&key)?;
        if executor.holds {
            self.free_used(agent, &executor.info.resources);
            let parts = self.allocator.sorter.cost(&executor.info.resources);
            self.allocator.sorter.release(&executor.role, framework, &parts);
            self.eased();
        }
        self.publisher.load(agent, self.now);
        Some(executor)
    }

    /// Takes all executors from an agent.
    pub(crate) fn clear_executors(&mut self, agent: AgentOrd) {
        let all: Vec<_> = self.agents[agent].executors.keys().cloned().collect();
        for (framework, executor_id) in all {
            self.remove_executor(agent, framework, &executor_id);
        }
    }

    /// Takes all executors of a framework from their agents.
    pub(crate) fn end_executors(&mut self, framework: FrameworkOrd) {
        for agent in self.agents_of(framework) {
            for executor_id in self.executors_of(framework, agent) {
                self.remove_executor(agent, framework, &executor_id);
            }
        }
    }

    /// The framework's custom executors on the agent.
    pub(crate) fn executors_of(&self, framework: FrameworkOrd, agent: AgentOrd) -> Vec<ExecutorId> {
        let all = &self.agents[agent].executors;
        if all.is_empty() {
            return Vec::new();
        }
        all.keys().filter(|(of, _)| *of == framework).map(|(_, id)| id.clone()).collect()
    }

    /// What all executors of a framework hold.
    pub(crate) fn held_by_executors(&self, framework: FrameworkOrd) -> Resources {
        let mut held = Resources::new();
        if self.frameworks[framework].uses_executors {
            for (_, agent) in self.agents.iter() {
                let own = agent.executors.iter().filter(|((of, _), _)| *of == framework);
                for (_, executor) in own.filter(|(_, executor)| executor.holds) {
                    held.add(&executor.info.resources);
                }
            }
        }
        held
    }

    /// An agent says that an executor is there no more. Its framework hears of one that was.
    pub(crate) fn executor_ended(
        &mut self,
        agent: AgentOrd,
        framework_id: &FrameworkId,
        executor_id: ExecutorId,
        status: Option<i32>,
        out: &mut Vec<Effect>,
    ) {
        let Some(framework) = self.framework_ord(framework_id) else { return };
        self.remove_executor(agent, framework, &executor_id);
        if status.is_some() {
            let agent_id = Some(self.agents[agent].id.clone());
            let failure = Event::Failure { agent_id, executor_id: Some(executor_id), status };
            self.tell(framework, failure, out);
        }
    }
}
