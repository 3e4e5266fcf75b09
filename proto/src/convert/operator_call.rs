//! Calls of the operator API, going out.

use super::resources::{self, Style};
use super::w;
use crate::operator::{Call, Selection};
use crate::{AgentId, MachineId, Piece, ResourceChange, Resources};
use w::master::call::{self as wire, Type};

impl From<&Call> for w::master::Call {
    fn from(call: &Call) -> Self {
        let kind = Type::from_str_name(call.name()).unwrap_or(Type::Unknown);
        let mut out = Self { r#type: Some(kind as i32), ..Self::default() };
        match call {
            Call::GetMetrics { timeout } => {
                out.get_metrics = Some(wire::GetMetrics { timeout: timeout.map(Into::into) });
            }
            Call::SetLoggingLevel { level, duration } => {
                let (level, duration) = (Some(*level), Some((*duration).into()));
                out.set_logging_level = Some(wire::SetLoggingLevel { level, duration });
            }
            Call::ListFiles { path } => {
                out.list_files = Some(wire::ListFiles { path: Some(path.to_string()) });
            }
            Call::ReadFile { path, offset, length } => {
                out.read_file = Some(wire::ReadFile {
                    path: Some(path.to_string()),
                    offset: Some(*offset),
                    length: *length,
                });
            }
            Call::Subscribe { resume } => {
                out.subscribe = resume.as_ref().map(|resume| wire::Subscribe {
                    resume_after: Some(resume.after),
                    stream: resume.stream.as_deref().map(str::to_owned),
                });
            }
            Call::ChangeResources { agent_id, change } => write_change(agent_id, change, &mut out),
            Call::Teardown(id) => {
                out.teardown = Some(wire::Teardown { framework_id: Some(id.into()) });
            }
            Call::Explain(id) => {
                out.explain = Some(wire::Explain { framework_id: Some(id.into()), role: None });
            }
            Call::ExplainRole(role) => {
                let role = Some(role.as_str().to_owned());
                out.explain = Some(wire::Explain { framework_id: None, role });
            }
            Call::Select(selection) => {
                out = (&selection.call).into();
                out.select = Some((&**selection).into());
            }
            about_roles => write_about_roles_and_machines(about_roles, &mut out),
        }
        out
    }
}

impl From<&Selection> for wire::Select {
    fn from(selection: &Selection) -> Self {
        Self {
            offset: (selection.offset > 0).then_some(selection.offset),
            limit: selection.limit,
            fields: selection.fields.iter().map(|field| field.to_string()).collect(),
            framework_id: selection.framework_id.as_ref().map(Into::into),
            agent_id: selection.agent_id.as_ref().map(Into::into),
            task_id: selection.task_id.as_ref().map(Into::into),
            role: selection.role.as_ref().map(|role| role.as_str().to_owned()),
        }
    }
}

/// Calls about roles, machines and agents; those that need no more than their type have none.
fn write_about_roles_and_machines(call: &Call, out: &mut w::master::Call) {
    let machines = |machines: &[MachineId]| machines.iter().map(Into::into).collect();
    match call {
        Call::UpdateWeights(weights) => {
            let weight_infos = weights.iter().map(Into::into).collect();
            out.update_weights = Some(wire::UpdateWeights { weight_infos });
        }
        Call::UpdateMaintenanceSchedule(schedule) => {
            let schedule = Some(schedule.into());
            out.update_maintenance_schedule = Some(wire::UpdateMaintenanceSchedule { schedule });
        }
        Call::StartMaintenance(all) => {
            out.start_maintenance = Some(wire::StartMaintenance { machines: machines(all) });
        }
        Call::StopMaintenance(all) => {
            out.stop_maintenance = Some(wire::StopMaintenance { machines: machines(all) });
        }
        Call::UpdateQuota { force, configs } => {
            let quota_configs = configs.iter().map(Into::into).collect();
            out.update_quota = Some(wire::UpdateQuota { force: Some(*force), quota_configs });
        }
        Call::SetQuota { force, role, guarantee } => {
            let amounts = guarantee.iter().map(|(name, milli)| (name.as_str(), milli));
            let quota_request = Some(w::quota::QuotaRequest {
                force: Some(*force),
                role: Some(role.as_str().to_owned()),
                guarantee: resources::plain(&Resources::scalars(amounts)),
            });
            out.set_quota = Some(wire::SetQuota { quota_request });
        }
        Call::RemoveQuota(role) => {
            out.remove_quota = Some(wire::RemoveQuota { role: Some(role.as_str().to_owned()) });
        }
        Call::MarkAgentGone(id) => {
            out.mark_agent_gone = Some(wire::MarkAgentGone { agent_id: Some(id.into()) });
        }
        Call::AddMaster { id, address } => {
            let (id, address) = (Some(*id), Some(address.to_string()));
            out.add_master = Some(wire::AddMaster { id, address });
        }
        Call::RemoveMaster(id) => out.remove_master = Some(wire::RemoveMaster { id: Some(*id) }),
        Call::TransferLead(id) => out.transfer_lead = Some(wire::TransferLead { id: *id }),
        Call::ForgetAgent(id) => {
            out.forget_agent = Some(wire::ForgetAgent { agent_id: Some(id.into()) });
        }
        Call::DrainAgent { agent_id, max_grace, mark_gone } => {
            out.drain_agent = Some(wire::DrainAgent {
                agent_id: Some(agent_id.into()),
                max_grace_period: max_grace.map(Into::into),
                mark_gone: Some(*mark_gone),
            });
        }
        Call::DeactivateAgent(id) => {
            out.deactivate_agent = Some(wire::DeactivateAgent { agent_id: Some(id.into()) });
        }
        Call::ReactivateAgent(id) => {
            out.reactivate_agent = Some(wire::ReactivateAgent { agent_id: Some(id.into()) });
        }
        _ => {}
    }
}

fn write_change(agent_id: &AgentId, change: &ResourceChange, out: &mut w::master::Call) {
    let agent_id = Some(agent_id.into());
    let piece = |piece: &Piece| Some(resources::write_piece(piece, Style::default()));
    match change {
        ResourceChange::Reserve { source, resources } => {
            out.reserve_resources = Some(wire::ReserveResources {
                agent_id,
                resources: resources::plain(resources),
                source: resources::plain(source),
            });
        }
        ResourceChange::Unreserve { resources } => {
            let resources = resources::plain(resources);
            out.unreserve_resources = Some(wire::UnreserveResources { agent_id, resources });
        }
        ResourceChange::Create { volumes } => {
            let volumes = resources::plain(volumes);
            out.create_volumes = Some(wire::CreateVolumes { agent_id, volumes });
        }
        ResourceChange::Destroy { volumes } => {
            let volumes = resources::plain(volumes);
            out.destroy_volumes = Some(wire::DestroyVolumes { agent_id, volumes });
        }
        ResourceChange::Grow { volume, addition } => {
            let (volume, addition) = (piece(volume), piece(addition));
            out.grow_volume = Some(wire::GrowVolume { agent_id, volume, addition });
        }
        ResourceChange::Shrink { volume, subtract_milli } => {
            let subtract = Some(resources::scalar(*subtract_milli as f64 / 1000.0));
            out.shrink_volume =
                Some(wire::ShrinkVolume { agent_id, volume: piece(volume), subtract });
        }
    }
}
