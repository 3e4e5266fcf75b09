//! The operator API: views of the state, and the few writes.
//!
//! Views are made from the tables when they are asked for; nothing is kept for them.

mod quota;
mod resources;
mod roles;
mod views;

pub(crate) use quota::is_below;

use crate::effect::{Effect, Refusal};
use crate::explain::Why;
use crate::input::RequestId;
use crate::order::Order;
use crate::registry::RegistryOp;
use crate::state::Master;
use proto::operator::{Call, Response, State};
use proto::{FrameworkId, Role, Schedule};
use std::sync::Arc;

impl Master {
    pub(crate) fn operator(&mut self, request: RequestId, call: Call, out: &mut Vec<Effect>) {
        let call_name: Arc<str> = Arc::from(call.name());
        let answer = match call {
            Call::GetHealth => Ok(Response::Health(true)),
            Call::GetVersion => Ok(Response::Version {
                mesos: self.info.version.clone(),
                tepui: self.options.version.clone(),
            }),
            Call::GetMaster => {
                Ok(Response::Master { info: self.info.clone(), started: self.started })
            }
            Call::GetState => Ok(Response::State(Box::new(self.state_view()))),
            Call::GetAgents => Ok(Response::Agents(self.agent_views())),
            Call::GetFrameworks => {
                Ok(Response::Frameworks(self.framework_views(), self.past_framework_views()))
            }
            Call::GetTasks => Ok(Response::Tasks(self.task_views())),
            Call::GetRoles => Ok(Response::Roles(self.role_views())),
            Call::Teardown(id) => self.operator_teardown(&id, out),
            Call::DeactivateAgent(id) => self.obey(Order::DeactivateAgent(id), out),
            Call::ReactivateAgent(id) => self.obey(Order::ReactivateAgent(id), out),
            Call::MarkAgentGone(id) => self.obey(Order::MarkAgentGone(id), out),
            Call::GetGoneAgents => Ok(Response::GoneAgents(self.gone_views())),
            Call::ForgetAgent(id) => self.forget_agent(&id, out),
            Call::DrainAgent { agent_id, max_grace, mark_gone } => {
                self.obey(Order::DrainAgent { agent_id, max_grace, mark_gone }, out)
            }
            Call::GetMaintenanceSchedule => {
                let windows = self.registry.maintenance().windows.clone();
                Ok(Response::MaintenanceSchedule(Schedule { windows }))
            }
            Call::GetMaintenanceStatus => {
                Ok(Response::MaintenanceStatus(self.maintenance_status()))
            }
            Call::UpdateMaintenanceSchedule(schedule) => {
                self.update_schedule(schedule.windows, out)
            }
            Call::StartMaintenance(machines) => self.start_maintenance(&machines, out),
            Call::StopMaintenance(machines) => self.stop_maintenance(&machines, out),
            Call::Explain(id) => self.operator_explain(&id),
            Call::ExplainRole(role) => Ok(explanation(&self.explain_role(&role))),
            Call::GetOperations => Ok(Response::Operations(self.operation_views())),
            Call::ChangeResources { agent_id, change } => {
                self.change_resources(agent_id, change, out)
            }
            Call::GetWeights => Ok(Response::Weights(self.weight_views())),
            Call::UpdateWeights(weights) => self.update_weights(weights, out),
            Call::GetQuota => Ok(Response::Quota(self.quota_views())),
            Call::UpdateQuota { force, configs } => self.update_quota(configs, force, out),
            Call::SetQuota { force, role, guarantee } => {
                self.set_first_quota(role, guarantee, force, out)
            }
            Call::RemoveQuota(role) => self.remove_quota(role, out),
            Call::GetFlags
            | Call::GetMasters
            | Call::AddMaster { .. }
            | Call::RemoveMaster(_)
            | Call::TransferLead(_)
            | Call::GetMetrics { .. }
            | Call::GetLoggingLevel
            | Call::SetLoggingLevel { .. }
            | Call::ListFiles { .. }
            | Call::ReadFile { .. }
            | Call::GetExecutors
            | Call::Subscribe { .. }
            | Call::Select(_)
            | Call::NotBuilt(_) => Err(Refusal::NotBuilt(Arc::clone(&call_name))),
        };
        self.answer_operator(request, call_name, answer, out);
    }

    pub(crate) fn answer_operator(
        &mut self,
        request: RequestId,
        call: Arc<str>,
        answer: Result<Response, Refusal>,
        out: &mut Vec<Effect>,
    ) {
        match answer {
            Ok(response) => out.push(Effect::Answer { request, response: Box::new(response) }),
            Err(refusal) => {
                self.counters.calls_refused += 1;
                out.push(Effect::Refused { request, call, refusal });
            }
        }
    }

    fn state_view(&self) -> State {
        State {
            agents: self.agent_views(),
            frameworks: self.framework_views(),
            completed_frameworks: self.past_framework_views(),
            tasks: self.task_views(),
            executors: Vec::new(),
        }
    }

    fn operator_teardown(
        &mut self,
        id: &FrameworkId,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let ord = self.framework_ord(id).ok_or_else(|| Refusal::FrameworkUnknown(id.clone()))?;
        self.teardown(ord, Some("Framework has been removed"), out);
        Ok(Response::Ok)
    }

    fn operator_explain(&self, id: &FrameworkId) -> Result<Response, Refusal> {
        let ord = self.framework_ord(id).ok_or_else(|| Refusal::FrameworkUnknown(id.clone()))?;
        Ok(explanation(&self.explain(ord)))
    }

    pub(crate) fn set_weight(
        &mut self,
        request: RequestId,
        role: Role,
        weight_milli: u64,
        out: &mut Vec<Effect>,
    ) {
        let answer = if weight_milli == 0 {
            Err(Refusal::WeightZero(role))
        } else {
            self.allocator.sorter.set_weight(&role, weight_milli);
            self.persist(RegistryOp::SetWeight { role, weight_milli }, out);
            Ok(Response::Ok)
        };
        self.answer_operator(request, Arc::from("UPDATE_WEIGHTS"), answer, out);
    }
}

fn explanation(reasons: &[Why]) -> Response {
    let sentences = reasons.iter().map(|reason| Arc::from(reason.to_string()));
    Response::Explanation(sentences.collect())
}
