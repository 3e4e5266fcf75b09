//! Calls of the operator API, coming in.

use super::{At, list, maintenance, maybe, need, operation, present, quota, resources, text, w};
use crate::operator::{Call, Resume, Selection};
use crate::{AgentId, DecodeError, ResourceChange, Role};
use std::sync::Arc;
use w::master::call::{self as wire, Type};

impl TryFrom<w::master::Call> for Call {
    type Error = DecodeError;
    fn try_from(mut call: w::master::Call) -> Result<Self, DecodeError> {
        match call.select.take() {
            Some(select) => selection(Self::try_from(call)?, select).at("select"),
            None => whole(call),
        }
    }
}

/// A part of what a read would answer.
fn selection(call: Call, wire: wire::Select) -> Result<Call, DecodeError> {
    let is_list = matches!(
        call,
        Call::GetState
            | Call::GetAgents
            | Call::GetFrameworks
            | Call::GetTasks
            | Call::GetRoles
            | Call::GetOperations
    );
    if !is_list {
        return Err(DecodeError::new("", "is for calls that answer with lists"));
    }
    let role = wire.role.map(|role| Role::new(role).at("role")).transpose()?;
    Ok(Call::Select(Box::new(Selection {
        call,
        offset: wire.offset.unwrap_or(0),
        limit: wire.limit,
        fields: wire.fields.into_iter().map(Into::into).collect(),
        framework_id: maybe(wire.framework_id, "framework_id")?,
        agent_id: maybe(wire.agent_id, "agent_id")?,
        task_id: maybe(wire.task_id, "task_id")?,
        role,
    })))
}

fn whole(call: w::master::Call) -> Result<Call, DecodeError> {
    let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
    let kind = present(kind, "type")?;
    Ok(match kind {
        Type::GetHealth => Call::GetHealth,
        Type::GetFlags => Call::GetFlags,
        Type::GetVersion => Call::GetVersion,
        Type::GetMetrics => {
            let timeout = call.get_metrics.and_then(|get| get.timeout);
            Call::GetMetrics { timeout: maybe(timeout, "timeout").at("get_metrics")? }
        }
        Type::GetLoggingLevel => Call::GetLoggingLevel,
        Type::GetMaster => Call::GetMaster,
        Type::GetState => Call::GetState,
        Type::GetAgents => Call::GetAgents,
        Type::GetFrameworks => Call::GetFrameworks,
        Type::GetExecutors => Call::GetExecutors,
        Type::GetOperations => Call::GetOperations,
        Type::GetTasks => Call::GetTasks,
        Type::GetRoles => Call::GetRoles,
        Type::GetWeights => Call::GetWeights,
        Type::GetMaintenanceStatus => Call::GetMaintenanceStatus,
        Type::GetMaintenanceSchedule => Call::GetMaintenanceSchedule,
        Type::GetQuota => Call::GetQuota,
        Type::GetGoneAgents => Call::GetGoneAgents,
        Type::GetMasters => Call::GetMasters,
        Type::AddMaster | Type::RemoveMaster | Type::TransferLead => {
            super::operator_masters::read(kind, call)?
        }
        Type::Subscribe => Call::Subscribe { resume: resume(call.subscribe) },
        Type::Unknown => Call::NotBuilt(Arc::from(Type::Unknown.as_str_name())),
        Type::SetLoggingLevel | Type::ListFiles | Type::ReadFile => read_files(kind, call)?,
        Type::ReserveResources
        | Type::UnreserveResources
        | Type::CreateVolumes
        | Type::DestroyVolumes
        | Type::GrowVolume
        | Type::ShrinkVolume => read_change(kind, call)?,
        Type::UpdateWeights
        | Type::UpdateQuota
        | Type::SetQuota
        | Type::RemoveQuota
        | Type::Explain
        | Type::Teardown => read_about_roles(kind, call)?,
        Type::UpdateMaintenanceSchedule
        | Type::StartMaintenance
        | Type::StopMaintenance
        | Type::MarkAgentGone
        | Type::ForgetAgent
        | Type::DrainAgent
        | Type::DeactivateAgent
        | Type::ReactivateAgent => read_about_machines(kind, call)?,
    })
}

/// Without a number there is nothing to go on from.
fn resume(wire: Option<wire::Subscribe>) -> Option<Resume> {
    let wire = wire?;
    Some(Resume { after: wire.resume_after?, stream: wire.stream.map(Into::into) })
}

fn read_files(kind: Type, call: w::master::Call) -> Result<Call, DecodeError> {
    match kind {
        Type::SetLoggingLevel => {
            let set = present(call.set_logging_level, "set_logging_level")?;
            Ok(Call::SetLoggingLevel {
                level: present(set.level, "set_logging_level.level")?,
                duration: need(set.duration, "duration").at("set_logging_level")?,
            })
        }
        Type::ListFiles => {
            let path = present(call.list_files, "list_files")?.path;
            Ok(Call::ListFiles { path: text(path, "list_files.path")? })
        }
        _ => {
            let read = present(call.read_file, "read_file")?;
            Ok(Call::ReadFile {
                path: text(read.path, "read_file.path")?,
                offset: present(read.offset, "read_file.offset")?,
                length: read.length,
            })
        }
    }
}

fn read_change(kind: Type, call: w::master::Call) -> Result<Call, DecodeError> {
    let field = kind.as_str_name().to_lowercase();
    let field = &*field;
    let agent_id: Option<w::AgentId>;
    // Operators' resources are allocated to nobody; what they say of that is not read.
    let mut role = None;
    let change = match kind {
        Type::ReserveResources => {
            let call = present(call.reserve_resources, field)?;
            agent_id = call.agent_id;
            ResourceChange::Reserve {
                source: resources::read_plain(call.source, "source").at(field)?,
                resources: resources::read_plain(call.resources, "resources").at(field)?,
            }
        }
        Type::UnreserveResources => {
            let call = present(call.unreserve_resources, field)?;
            agent_id = call.agent_id;
            let resources = resources::read_plain(call.resources, "resources").at(field)?;
            ResourceChange::Unreserve { resources }
        }
        Type::CreateVolumes => {
            let call = present(call.create_volumes, field)?;
            agent_id = call.agent_id;
            let volumes = resources::read_plain(call.volumes, "volumes").at(field)?;
            ResourceChange::Create { volumes }
        }
        Type::DestroyVolumes => {
            let call = present(call.destroy_volumes, field)?;
            agent_id = call.agent_id;
            let volumes = resources::read_plain(call.volumes, "volumes").at(field)?;
            ResourceChange::Destroy { volumes }
        }
        Type::GrowVolume => {
            let call = present(call.grow_volume, field)?;
            agent_id = call.agent_id;
            ResourceChange::Grow {
                volume: operation::one(call.volume, "volume", &mut role).at(field)?,
                addition: operation::one(call.addition, "addition", &mut role).at(field)?,
            }
        }
        _ => {
            let call = present(call.shrink_volume, field)?;
            agent_id = call.agent_id;
            ResourceChange::Shrink {
                volume: operation::one(call.volume, "volume", &mut role).at(field)?,
                subtract_milli: operation::subtract(call.subtract).at(field)?,
            }
        }
    };
    let agent_id: AgentId = need(agent_id, "agent_id").at(field)?;
    Ok(Call::ChangeResources { agent_id, change })
}

fn read_about_roles(kind: Type, call: w::master::Call) -> Result<Call, DecodeError> {
    match kind {
        Type::UpdateWeights => {
            let weights = present(call.update_weights, "update_weights")?.weight_infos;
            Ok(Call::UpdateWeights(list(weights, "weight_infos").at("update_weights")?))
        }
        Type::UpdateQuota => {
            let update = present(call.update_quota, "update_quota")?;
            let configs = quota::configs(update.quota_configs, "quota_configs");
            let force = update.force.unwrap_or(false);
            Ok(Call::UpdateQuota { force, configs: configs.at("update_quota")? })
        }
        Type::SetQuota => {
            let field = "set_quota.quota_request";
            let set = present(call.set_quota, "set_quota")?;
            let request = present(set.quota_request, field)?;
            let guarantee = resources::read_plain(request.guarantee, "guarantee").at(field)?;
            Ok(Call::SetQuota {
                force: request.force.unwrap_or(false),
                role: Role::new(present(request.role, "role").at(field)?).at("role").at(field)?,
                guarantee: quota::guarantee(&guarantee).at(field)?,
            })
        }
        Type::RemoveQuota => {
            let role = present(call.remove_quota, "remove_quota")?.role;
            let role = present(role, "remove_quota.role")?;
            Ok(Call::RemoveQuota(Role::new(role).at("remove_quota.role")?))
        }
        Type::Teardown => {
            let id = present(call.teardown, "teardown")?.framework_id;
            Ok(Call::Teardown(need(id, "framework_id").at("teardown")?))
        }
        _ => explain(present(call.explain, "explain")?).at("explain"),
    }
}

fn explain(explain: wire::Explain) -> Result<Call, DecodeError> {
    match (explain.framework_id, explain.role) {
        (Some(id), None) => Ok(Call::Explain(need(Some(id), "framework_id")?)),
        (None, Some(role)) => Ok(Call::ExplainRole(Role::new(role).at("role")?)),
        _ => Err(DecodeError::new("", "must have a 'framework_id' or a 'role'")),
    }
}

fn read_about_machines(kind: Type, call: w::master::Call) -> Result<Call, DecodeError> {
    match kind {
        Type::UpdateMaintenanceSchedule => {
            let field = "update_maintenance_schedule";
            let schedule = present(call.update_maintenance_schedule, field)?.schedule;
            Ok(Call::UpdateMaintenanceSchedule(need(schedule, "schedule").at(field)?))
        }
        Type::StartMaintenance => {
            let machines = present(call.start_maintenance, "start_maintenance")?.machines;
            Ok(Call::StartMaintenance(maintenance::machines(machines, "start_maintenance")?))
        }
        Type::StopMaintenance => {
            let machines = present(call.stop_maintenance, "stop_maintenance")?.machines;
            Ok(Call::StopMaintenance(maintenance::machines(machines, "stop_maintenance")?))
        }
        Type::MarkAgentGone => {
            let id = present(call.mark_agent_gone, "mark_agent_gone")?.agent_id;
            Ok(Call::MarkAgentGone(need(id, "agent_id").at("mark_agent_gone")?))
        }
        Type::ForgetAgent => {
            let id = present(call.forget_agent, "forget_agent")?.agent_id;
            Ok(Call::ForgetAgent(need(id, "agent_id").at("forget_agent")?))
        }
        Type::DeactivateAgent => {
            let id = present(call.deactivate_agent, "deactivate_agent")?.agent_id;
            Ok(Call::DeactivateAgent(need(id, "agent_id").at("deactivate_agent")?))
        }
        Type::ReactivateAgent => {
            let id = present(call.reactivate_agent, "reactivate_agent")?.agent_id;
            Ok(Call::ReactivateAgent(need(id, "agent_id").at("reactivate_agent")?))
        }
        _ => {
            let drain = present(call.drain_agent, "drain_agent")?;
            let max_grace = maybe(drain.max_grace_period, "max_grace_period").at("drain_agent")?;
            Ok(Call::DrainAgent {
                agent_id: need(drain.agent_id, "agent_id").at("drain_agent")?,
                max_grace,
                mark_gone: drain.mark_gone.unwrap_or(false),
            })
        }
    }
}
