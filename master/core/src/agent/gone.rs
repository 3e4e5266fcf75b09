//! MARK_AGENT_GONE: an agent will never be back, says an operator.
//!
//! That is final and durable before anybody hears of it. Its tasks are TASK_GONE_BY_OPERATOR to
//! partition-aware frameworks and TASK_LOST to others, though nobody saw them end; should the agent
//! come back after all, it is told to end them and to forget its id.

use crate::effect::{Effect, Refusal};
use crate::registry::{AdmittedAgent, RegistryOp};
use crate::state::Master;
use crate::table::FrameworkOrd;
use crate::task::{Report, Step, Task};
use proto::agent_link::AgentEvent;
use proto::operator::Response;
use proto::{AgentId, Reason, Source, TaskId, TaskState};
use std::sync::Arc;

/// What an agent that is gone is told.
pub(crate) const GONE: &str = "this agent was marked gone by an operator; its tasks must end, and \
                               it may register as a new one";

/// What is said when an agent is removed for ever.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// To the agent.
    pub(crate) to_agent: &'static str,
    /// Of its tasks, to frameworks that know the word.
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: &'static str,
}

/// An operator marked it gone.
const MARKED: Farewell = Farewell {
    to_agent: GONE,
    state: TaskState::GoneByOperator,
    reason: Reason::AgentRemovedByOperator,
    message: "Agent has been marked gone by an operator",
};

impl Master {
    /// The facts of an agent that is admitted and not gone.
    pub(crate) fn admitted(
        &self,
        agent_id: &AgentId,
        status: u16,
    ) -> Result<&AdmittedAgent, Refusal> {
        let facts = self.registry.agents().get(agent_id);
        facts.ok_or_else(|| Refusal::AgentUnknown { agent_id: agent_id.clone(), status })
    }

    /// Whether an operator said that it will never be back.
    pub(crate) fn is_gone(&self, agent_id: &AgentId) -> bool {
        self.registry.gone().contains_key(agent_id)
    }

    pub(crate) fn mark_agent_gone(
        &mut self,
        agent_id: &AgentId,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        if self.is_gone(agent_id) {
            return Ok(Response::Ok);
        }
        self.admitted(agent_id, 404)?;
        self.remove_marked(agent_id, out);
        Ok(Response::Ok)
    }

    /// Forgets an agent that is gone: should one come with its id, it is taken for one that nobody
    /// ever knew, with all that is on it.
    pub(crate) fn forget_agent(
        &mut self,
        agent_id: &AgentId,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        if !self.is_gone(agent_id) {
            self.admitted(agent_id, 404)?;
            return Err(Refusal::NotGone(agent_id.clone()));
        }
        self.persist(RegistryOp::RemoveAgent { agent_id: agent_id.clone() }, out);
        Ok(Response::Ok)
    }

    pub(crate) fn remove_marked(&mut self, agent_id: &AgentId, out: &mut Vec<Effect>) {
        self.remove_for_ever(agent_id, &MARKED, out);
    }

    /// Removes an admitted agent for ever, wherever it stands.
    pub(crate) fn remove_for_ever(
        &mut self,
        agent_id: &AgentId,
        farewell: &Farewell,
        out: &mut Vec<Effect>,
    ) {
        let facts = self.registry.agents().get(agent_id);
        let kept = facts.is_some_and(|facts| !facts.holdings().is_empty());
        let since = self.now;
        self.persist(RegistryOp::MarkGone { agent_id: agent_id.clone(), since, kept }, out);
        self.nonces.retain(|_, id| id != agent_id);
        self.expect_no_more(agent_id);
        if let Some(ord) = self.agent_ord(agent_id) {
            if let Some(connection) = self.unbind_agent(ord) {
                let (message, gone) = (Arc::from(farewell.to_agent), true);
                let event = AgentEvent::Refused { message, gone };
                self.tell_agent(connection, event, out);
                out.push(Effect::CloseAgent { connection });
            }
            self.index_free(ord);
            self.rescind_agent_offers(ord, out);
            self.rescind_inverse(ord, out);
            for (framework, task_id) in self.agents[ord].tasks.clone() {
                let task = self.remove_task(framework, &task_id);
                self.task_gone(framework, task_id, task, farewell, out);
            }
            self.drop_agent(ord);
        }
        for (framework, task_id) in self.shelved.get(agent_id).cloned().unwrap_or_default() {
            if let Some(task) = self.unshelve_task(framework, &task_id) {
                self.task_gone(framework, task_id, task, farewell, out);
            }
        }
        self.answer_doubts(agent_id, out);
        self.operations_gone(agent_id, farewell.message, out);
        self.tell_all_of_failure(agent_id, out);
        self.prune_gone(out);
    }

    /// Forgets the agents that have been gone longest, above the limit. One on which something was
    /// reserved or made is never forgotten: it would come back with volumes, and with tasks that
    /// use what is reserved no more.
    fn prune_gone(&mut self, out: &mut Vec<Effect>) {
        let gone = self.registry.gone();
        if gone.len() <= self.options.unreachable_agents {
            return;
        }
        let forgettable = || gone.iter().filter(|(_, gone)| !gone.kept);
        if forgettable().count() <= self.options.unreachable_agents {
            return;
        }
        let oldest = forgettable().min_by_key(|(_, gone)| gone.since).map(|(id, _)| id.clone());
        if let Some(agent_id) = oldest {
            self.persist(RegistryOp::RemoveAgent { agent_id }, out);
        }
    }

    fn task_gone(
        &mut self,
        framework: FrameworkOrd,
        task_id: TaskId,
        mut task: Task,
        farewell: &Farewell,
        out: &mut Vec<Effect>,
    ) {
        if !task.state.is_terminal() {
            let state = self.state_for(framework, farewell.state);
            let reason = Some(farewell.reason);
            let report = Report {
                state,
                reason,
                message: farewell.message,
                agent_id: Some(task.agent_id.clone()),
                unreachable_time: None,
            };
            self.report(framework, &task_id, report, out);
            task.state = state;
            task.record(Step { state, at: self.now, source: Source::Master, reason });
        } else {
            // Its end is known and may not be told yet: updates come one at a time, and no more of
            // them will come.
            let report = Report {
                state: task.state,
                reason: Some(farewell.reason),
                message: farewell.message,
                agent_id: Some(task.agent_id.clone()),
                unreachable_time: None,
            };
            self.report(framework, &task_id, report, out);
        }
        self.complete_task(framework, task_id, task);
    }
}
