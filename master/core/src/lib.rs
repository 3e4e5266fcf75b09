//! The master's core: who gets which resources, and what became of every task.
//!
//! Pure and synchronous: `Master::step` takes one input and pushes effects; `Master::deadline` says
//! when the next `Input::Tick` is due. It never does I/O, reads a clock, draws entropy or logs.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod accept;
mod agent;
mod allocator;
mod deadlines;
mod effect;
mod executor;
mod explain;
mod framework;
mod gauges;
mod input;
pub mod invariants;
mod maintenance;
mod message;
mod offer;
mod operation;
mod operator;
mod options;
mod order;
pub mod publish;
mod refusal;
pub mod registry;
mod state;
mod table;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, reason = "a test names the one variant it is about")]
mod tests;

pub use effect::{Effect, Refusal};
pub use explain::Why;
pub use gauges::Gauges;
pub use input::{ConnectionId, Input, RequestId};
pub use maintenance::{Maintenance, MaintenanceInvalid};
pub use operation::check::{ChangeRefused, NotThere};
pub use options::Options;
pub use order::Order;
pub use publish::{Book, Change};
pub use registry::{
    Drain, Gone, Holdings, Kept, KeptState, KeptValue, KnownOperation, OperationEnd, Quota,
    Registry, RegistryOp,
};
pub use state::{Counters, Master};

use agent::reregister::Returning;
use deadlines::Deadline;
use proto::agent_link::AgentCall;
use proto::scheduler::{Call, CallBody};
use proto::{InverseOfferAnswer, Time};
use std::sync::Arc;
use table::FrameworkOrd;

/// Agents that are pinged, or given up, in one step at the most: the rest stays due, so that
/// others have their turn in between, however many there are and however slow the machine is.
const AGENTS_A_TICK: usize = 512;

impl Master {
    /// Takes one input at `now` and pushes what is to be done, in order.
    pub fn step(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        let out = effects;
        self.disown_what_is_over(out);
        match input {
            Input::Tick => self.tick(out),
            Input::Subscribe { connection, framework_id, call, principal } => {
                self.subscribe(connection, framework_id, *call, principal.as_ref(), out);
            }
            Input::Call { request, connection, call } => self.call(request, connection, call, out),
            Input::FrameworkClosed { connection } => self.framework_closed(connection, out),
            Input::AgentCall { connection, call } => self.agent_call(connection, call, out),
            Input::AgentClosed { connection } => self.agent_closed(connection, out),
            Input::Operator { request, call } => self.operator(request, call, out),
            Input::Order { request, order } => self.order(request, order, out),
            Input::SetWeight { request, role, weight_milli } => {
                self.set_weight(request, role, weight_milli, out);
            }
            Input::SetQuota { request, quotas, force } => {
                self.set_quotas(request, quotas, force, out);
            }
        }
        self.end_drains(out);
        self.ask_to_leave(out);
        self.publish(out);
    }

    fn tick(&mut self, out: &mut Vec<Effect>) {
        let mut agents = 0;
        while agents < AGENTS_A_TICK
            && let Some(deadline) = self.pop_due()
        {
            match deadline {
                Deadline::RecoveryOver => self.recovery_over(out),
                Deadline::QuotaRecoveryOver => self.quota_recovery_over(),
                Deadline::Agent(ord) => {
                    agents += 1;
                    self.agent_deadline(ord, out);
                }
                Deadline::Drain(ord) => self.drain_deadline(ord, out),
                Deadline::Failover(ord) => self.teardown(ord, None, out),
                Deadline::Heartbeat(ord) => self.heartbeat(ord, out),
                Deadline::Inverse { agent, framework } => {
                    self.inverse_filter_ended(agent, framework);
                }
                Deadline::Reconcile(ord) => self.reconcile_slice(ord, out),
                Deadline::Offer(number) => self.offer_timed_out(number, out),
                Deadline::Demand(ord) => self.demands_ended(ord),
                Deadline::Filters(agent) => self.filters_ended(agent),
                Deadline::OperationStatuses(ord) => self.repeat_statuses(ord, out),
                Deadline::StrayOperations => self.forget_strays(out),
            }
        }
        if self.allocator.due.is_some_and(|due| due <= self.now) {
            self.allocate(out);
        }
    }

    fn call(
        &mut self,
        request: RequestId,
        connection: Option<ConnectionId>,
        call: Call,
        out: &mut Vec<Effect>,
    ) {
        let name: Arc<str> = Arc::from(call.body.name());
        let done = match self.check_caller(connection, &call) {
            Ok(framework) => self.framework_call(framework, call.body, out),
            Err(refusal) => Err(refusal),
        };
        match done {
            Ok(()) => out.push(Effect::Accepted { request }),
            Err(refusal) => {
                self.counters.calls_refused += 1;
                out.push(Effect::Refused { request, call: name, refusal });
            }
        }
    }

    /// Whether the call comes from the newest instance of a framework that is known.
    fn check_caller(
        &self,
        connection: Option<ConnectionId>,
        call: &Call,
    ) -> Result<FrameworkOrd, Refusal> {
        if let CallBody::Subscribe(_) | CallBody::Unsubscribable(_) = &call.body {
            return Err(Refusal::SubscribeNeedsStream);
        }
        let id = call.framework_id.as_ref().ok_or(Refusal::FrameworkIdMissing)?;
        let ord = self.framework_ord(id).ok_or_else(|| Refusal::FrameworkUnknown(id.clone()))?;
        let current = self.frameworks[ord].connection;
        if current.is_none() {
            return Err(Refusal::NotSubscribed(id.clone()));
        }
        if current != connection {
            return Err(Refusal::WrongStream(id.clone()));
        }
        Ok(ord)
    }

    fn framework_call(
        &mut self,
        ord: FrameworkOrd,
        body: CallBody,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match body {
            CallBody::Subscribe(_) | CallBody::Unsubscribable(_) => {
                return Err(Refusal::SubscribeNeedsStream);
            }
            CallBody::Teardown => self.teardown(ord, None, out),
            CallBody::Accept { offer_ids, operations, filters } => {
                return self.accept(ord, &offer_ids, operations, filters, out);
            }
            CallBody::Decline { offer_ids, filters } => self.decline(ord, &offer_ids, filters),
            CallBody::Revive { roles } => return self.revive(ord, &roles),
            CallBody::Suppress { roles } => return self.suppress(ord, &roles),
            CallBody::Kill { task_id, agent_id, grace } => {
                self.kill(ord, task_id, agent_id, grace, out);
            }
            CallBody::Shutdown { executor_id, agent_id } => {
                self.shutdown_executor(ord, &executor_id, &agent_id, out);
            }
            CallBody::Acknowledge { agent_id, task_id, uuid } => {
                self.acknowledge(ord, &agent_id, task_id, uuid, out);
            }
            CallBody::Reconcile { tasks } => return self.reconcile(ord, tasks, out),
            CallBody::Message { agent_id, executor_id, data } => {
                self.message_to_executor(ord, &agent_id, executor_id, data, out);
            }
            CallBody::Request { demands } => return self.request(ord, demands),
            CallBody::UpdateFramework(call) => return self.update_framework(ord, *call, out),
            CallBody::AcceptInverseOffers { inverse_offer_ids, filters } => {
                self.answer_inverse(ord, &inverse_offer_ids, InverseOfferAnswer::Accept, filters);
            }
            CallBody::DeclineInverseOffers { inverse_offer_ids, filters } => {
                self.answer_inverse(ord, &inverse_offer_ids, InverseOfferAnswer::Decline, filters);
            }
            CallBody::ReconcileOperations { operations } => {
                return self.reconcile_operations(ord, operations, out);
            }
            CallBody::AcknowledgeOperationStatus { uuid, operation_id, .. } => {
                self.acknowledge_operation(ord, uuid, &operation_id, out);
            }
            CallBody::State(call) => self.state_call(ord, call, out),
            CallBody::NotBuilt(name) => return Err(Refusal::NotBuilt(name)),
        }
        Ok(())
    }

    fn agent_call(&mut self, connection: ConnectionId, call: AgentCall, out: &mut Vec<Effect>) {
        let bound = self.links.get(&connection).copied();
        if let Some(agent) = bound {
            self.heard(agent);
        }
        match (call, bound) {
            (AgentCall::Register { info, version, nonce }, _) => {
                self.register(connection, info, version, nonce, out);
            }
            (AgentCall::Reregister { info, version, tasks, frameworks, executors }, _) => {
                let returning = Returning::of(info, version, tasks, frameworks);
                let returning = Returning { executors, ..returning };
                self.reregister(connection, returning, out);
            }
            (AgentCall::Update { framework_id, status, latest_state }, Some(agent)) => {
                self.status_update(agent, framework_id, status, latest_state, out);
            }
            (AgentCall::Message { framework_id, executor_id, data }, Some(agent)) => {
                self.message_to_framework(agent, &framework_id, executor_id, data, out);
            }
            (AgentCall::ExecutorEnded { framework_id, executor_id, status }, Some(agent)) => {
                self.executor_ended(agent, &framework_id, executor_id, status, out);
            }
            (AgentCall::VolumesApplied { sequence, failures }, Some(agent)) => {
                self.volumes_applied(agent, sequence, failures, out);
            }
            (AgentCall::DiskPressure { pressed }, Some(agent)) => {
                self.disk_pressure(agent, pressed, out);
            }
            // A pong has done its work by being heard. What comes on a stream that is not, or no
            // longer, an agent's is ignored: its agent is unreachable, or has not said who it is.
            (AgentCall::Pong { .. }, _)
            | (
                AgentCall::Update { .. }
                | AgentCall::Message { .. }
                | AgentCall::ExecutorEnded { .. }
                | AgentCall::VolumesApplied { .. }
                | AgentCall::DiskPressure { .. },
                None,
            ) => {}
        }
    }
}
