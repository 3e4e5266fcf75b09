//! DRAIN_AGENT: an agent is emptied, so that its machine can be serviced or let go.
//!
//! It gets no offers, and its tasks are killed, each with its own grace, but none with more than
//! the drain allows. When the last of them is over and acknowledged the agent is drained, or gone
//! for ever if that was asked for. The drain is durable before the first kill: it goes on when the
//! agent comes back, and under the next master, with the deadline it had.

use crate::deadlines::Deadline;
use crate::effect::{Effect, Refusal};
use crate::registry::{Drain, RegistryOp};
use crate::state::Master;
use crate::table::AgentOrd;
use crate::task::Kill;
use proto::agent_link::AgentEvent;
use proto::operator::Response;
use proto::{AgentId, Time};
use std::time::Duration;

impl Master {
    /// Begins to drain. A drain that is under way goes on with the new limits.
    pub(crate) fn drain_agent(
        &mut self,
        agent_id: &AgentId,
        max_grace: Option<Duration>,
        mark_gone: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        self.admitted(agent_id, 400)?;
        let (since, drained) = (self.now, false);
        let drain = Drain { since, max_grace, mark_gone, drained };
        self.persist(RegistryOp::DrainAgent { agent_id: agent_id.clone(), drain }, out);
        if let Some(ord) = self.agent_ord(agent_id) {
            self.offer_no_more(ord, out);
            self.go_on_draining(ord, out);
        }
        Ok(Response::Ok)
    }

    /// Does what the drain of a registered agent asks for now; nothing when there is none.
    pub(crate) fn go_on_draining(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        let drain = self.registry.agents().get(&self.agents[ord].id).and_then(|a| a.drain.clone());
        self.agents[ord].draining = drain.is_some();
        let Some(drain) = drain else { return };
        // A drain cannot have begun in the future: the wall clock was set back since the last master
        // led. Its grace counts from the beginning of this one, however often the agent comes back.
        let since = if drain.since > self.now { self.started } else { drain.since };
        let deadline = drain.max_grace.map(|grace| since + grace);
        let overdue = deadline.is_some_and(|deadline| deadline <= self.now);
        self.set_drain_deadline(ord, deadline.filter(|_| !overdue));
        self.kill_all(ord, overdue, out);
        self.maybe_drained.insert(self.agents[ord].id.clone());
    }

    /// The longest grace is over: whoever still lives is killed without any.
    pub(crate) fn drain_deadline(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        self.agents[ord].drain_deadline = None;
        self.kill_all(ord, true, out);
    }

    /// Kills what lives on the agent, and remembers it with the tasks. The agent keeps to the
    /// nearest end that it was told of.
    fn kill_all(&mut self, ord: AgentOrd, at_once: bool, out: &mut Vec<Effect>) {
        let tasks: Vec<_> = self.agents[ord].tasks.iter().cloned().collect();
        for (framework, task_id) in tasks {
            let record = &mut self.frameworks[framework];
            let task = record.tasks.get_mut(&task_id).expect("an agent's tasks are in tables: M7");
            if task.state.is_terminal() || (task.kill.is_some() && !at_once) {
                continue;
            }
            let grace = at_once.then_some(Duration::ZERO);
            task.kill = Some(Kill { grace });
            let framework_id = record.id.clone();
            let kill = AgentEvent::Kill { framework_id, task_id, grace, draining: true };
            self.send(ord, kill, out);
        }
    }

    /// Sets or clears the time at which grace ends. Keeps M9.
    pub(crate) fn set_drain_deadline(&mut self, ord: AgentOrd, at: Option<Time>) {
        if let Some(old) = std::mem::replace(&mut self.agents[ord].drain_deadline, at) {
            self.deadlines.clear(old, Deadline::Drain(ord));
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Drain(ord));
        }
    }

    /// Ends the drains of agents that have become empty in this step: no task and no operation is
    /// left there.
    pub(crate) fn end_drains(&mut self, out: &mut Vec<Effect>) {
        for agent_id in std::mem::take(&mut self.maybe_drained) {
            let Some(ord) = self.agent_ord(&agent_id) else { continue };
            let facts =
                self.registry.agents().get(&agent_id).and_then(|agent| agent.drain.as_ref());
            let Some(drain) = facts.filter(|drain| !drain.drained) else { continue };
            let agent = &self.agents[ord];
            let busy = !agent.tasks.is_empty() || self.operations.is_awaited(&agent_id);
            if !agent.is_connected() || busy {
                continue;
            }
            if drain.mark_gone {
                self.remove_marked(&agent_id, out);
            } else {
                let drain = Drain { drained: true, ..drain.clone() };
                self.set_drain_deadline(ord, None);
                self.persist(RegistryOp::DrainAgent { agent_id, drain }, out);
            }
        }
    }
}
