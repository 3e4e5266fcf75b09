//! An agent is given up until it comes back.
//!
//! That is durable before any framework hears of it, so that a master that restarts agrees. Its
//! living tasks are TASK_UNREACHABLE to partition-aware frameworks and TASK_LOST to others; ended
//! ones keep their state. The agent and its tasks may come back: see `reregister`.

use crate::deadlines::Deadline;
use crate::effect::Effect;
use crate::registry::RegistryOp;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::Report;
use proto::scheduler::Event;
use proto::{AgentId, AgentInfo, Reason, TaskId, TaskState, Time};

/// Why a master may not know all tasks of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// The agent is unreachable since then, and the master forgot some of its tasks, or began when
    /// it was away already.
    Unreachable(Time),
    /// It ran tasks of an earlier master, and has not come back to this one.
    Expected,
}

impl Hidden {
    /// Since when the agent is unreachable, if it is.
    pub(crate) fn since(self) -> Option<Time> {
        match self {
            Self::Unreachable(since) => Some(since),
            Self::Expected => None,
        }
    }
}

impl Master {
    pub(crate) fn unreachable(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        let since = self.now;
        let id = self.agents[ord].id.clone();
        self.counters.agents_unreachable += 1;
        self.persist(RegistryOp::MarkUnreachable { agent_id: id.clone(), since }, out);
        self.prune_unreachable(out);
        if let Some(connection) = self.unbind_agent(ord) {
            out.push(Effect::CloseAgent { connection });
        }
        self.index_free(ord);
        self.rescind_agent_offers(ord, out);
        self.rescind_inverse(ord, out);
        let tasks: Vec<_> = self.agents[ord].tasks.iter().cloned().collect();
        for (framework, task_id) in tasks {
            let task = self.remove_task(framework, &task_id);
            if task.state.is_terminal() {
                self.complete_task(framework, task_id, task);
                continue;
            }
            let state = self.state_for(framework, TaskState::Unreachable);
            let report = Report {
                state,
                reason: Some(Reason::AgentRemoved),
                message: "Agent became unreachable; it did not answer in time",
                agent_id: Some(id.clone()),
                unreachable_time: Some(since),
            };
            self.report(framework, &task_id, report, out);
            self.shelve_task(framework, task_id, task, since);
        }
        self.drop_agent(ord);
        self.operations_unreachable(&id, out);
        self.tell_all_of_failure(&id, out);
    }

    /// Recovered agents had their time to come back. What they ran is not known to this master, so
    /// frameworks hear of the agents only, and reconcile.
    pub(crate) fn recovery_over(&mut self, out: &mut Vec<Effect>) {
        while let Some(agent_id) = self.recovered.first().cloned() {
            if let Err(turn) = self.may_give_up() {
                self.deadlines.set(turn, Deadline::RecoveryOver);
                break;
            }
            self.expect_no_more(&agent_id);
            self.give_up_recovered(agent_id, out);
        }
        self.prune_unreachable(out);
    }

    /// The agents that this master expects back at the address of a new one, which has taken their
    /// place: nobody need wait for them. One that comes back in spite of it is taken back.
    pub(crate) fn replace_recovered(&mut self, info: &AgentInfo, out: &mut Vec<Effect>) {
        let is_there = |id: &AgentId| {
            let old = self.registry.agents().get(id).map(|agent| &agent.info);
            old.is_some_and(|old| old.hostname == info.hostname && old.port == info.port)
        };
        let replaced: Vec<_> = self.recovered.iter().filter(|id| is_there(id)).cloned().collect();
        if replaced.is_empty() {
            return;
        }
        for agent_id in replaced {
            self.expect_no_more(&agent_id);
            self.give_up_recovered(agent_id, out);
        }
        self.prune_unreachable(out);
    }

    fn give_up_recovered(&mut self, agent_id: AgentId, out: &mut Vec<Effect>) {
        let since: Time = self.now;
        // Unreachable is what was said of them.
        self.doubted.take(&agent_id);
        self.counters.agents_unreachable += 1;
        // What it ran was never told to this master.
        self.forgotten.insert(agent_id.clone(), since);
        self.persist(RegistryOp::MarkUnreachable { agent_id: agent_id.clone(), since }, out);
        self.operations_unreachable(&agent_id, out);
        self.tell_all_of_failure(&agent_id, out);
    }

    /// Before the master forgets a task of an unreachable agent: what it says of such tasks must not
    /// be that they never ran.
    pub(crate) fn remember_forgetting(&mut self, framework: FrameworkOrd, task_id: &TaskId) {
        let Some(task) = self.frameworks[framework].unreachable.get(task_id) else { return };
        let Some(since) = task.unreachable_since else { return };
        self.forgotten.insert(task.agent_id.clone(), since);
        let agents = self.registry.agents();
        // At most one of each agent is of use, so this is rare.
        if self.forgotten.len() > 2 * agents.len() {
            self.forgotten.retain(|id, since| {
                agents.get(id).is_some_and(|agent| agent.unreachable == Some(*since))
            });
        }
    }

    /// Whether tasks may be on an agent that this master does not know, and why.
    pub(crate) fn hidden(&self, agent_id: &AgentId) -> Option<Hidden> {
        if self.recovered.contains(agent_id) {
            return Some(Hidden::Expected);
        }
        let since = self.registry.agents().get(agent_id)?.unreachable?;
        (self.forgotten.get(agent_id) == Some(&since)).then_some(Hidden::Unreachable(since))
    }

    pub(crate) fn tell_all_of_failure(&self, agent_id: &AgentId, out: &mut Vec<Effect>) {
        for framework in self.streams.values() {
            let agent_id = Some(agent_id.clone());
            self.tell(
                *framework,
                Event::Failure { agent_id, executor_id: None, status: None },
                out,
            );
        }
    }

    /// Forgets the agents that have been unreachable longest, above the limit. One on which
    /// something is reserved or made is never forgotten: its data is still there.
    fn prune_unreachable(&mut self, out: &mut Vec<Effect>) {
        let unreachable = |(id, agent): (&AgentId, &crate::registry::AdmittedAgent)| {
            let since = agent.unreachable?;
            agent.holdings().is_empty().then(|| (since, id.clone()))
        };
        if self.registry.agents().len() <= self.options.unreachable_agents {
            return;
        }
        let mut all: Vec<_> = self.registry.agents().iter().filter_map(unreachable).collect();
        all.sort_unstable();
        let surplus = all.len().saturating_sub(self.options.unreachable_agents);
        for (_, agent_id) in all.into_iter().take(surplus) {
            self.nonces.retain(|_, id| *id != agent_id);
            self.persist(RegistryOp::RemoveAgent { agent_id }, out);
        }
    }

    /// The word for a state that the framework understands.
    pub(crate) fn state_for(&self, framework: FrameworkOrd, state: TaskState) -> TaskState {
        let only_for_aware = match state {
            TaskState::Unreachable
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => true,
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost => false,
        };
        if only_for_aware && !self.frameworks[framework].info.is_partition_aware() {
            TaskState::Lost
        } else {
            state
        }
    }
}
