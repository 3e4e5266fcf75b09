//! Responses of the operator API, coming in.

use super::agent_api_response::{read_flag, read_metric};
use super::{At, list, list_with, need, present, quota, text, w};
use crate::operator::{AgentStanding, AgentView, FrameworkView, Response, State, TasksView};
use crate::{AgentInfo, DecodeError, Resources, Time};
use std::sync::Arc;
use w::master::response::{self as wire, Type};

impl TryFrom<w::master::Response> for Response {
    type Error = DecodeError;
    fn try_from(response: w::master::Response) -> Result<Self, DecodeError> {
        let kind = response.r#type.and_then(|number| Type::try_from(number).ok());
        let kind = present(kind, "type")?;
        Ok(match kind {
            Type::GetHealth => {
                let healthy = present(response.get_health, "get_health")?.healthy;
                Self::Health(present(healthy, "get_health.healthy")?)
            }
            Type::GetVersion => {
                let get = present(response.get_version, "get_version")?;
                version(present(get.version_info, "get_version.version_info")?)
                    .at("get_version.version_info")?
            }
            Type::GetMaster => {
                let get = present(response.get_master, "get_master")?;
                Self::Master {
                    info: need(get.master_info, "master_info").at("get_master")?,
                    started: get.start_time.map_or(Time::ZERO, Time::from_secs_f64),
                }
            }
            Type::GetState => {
                let state: State = need(response.get_state, "get_state")?;
                Self::State(Box::new(state))
            }
            Type::GetAgents => {
                let get = present(response.get_agents, "get_agents")?;
                Self::Agents(agents(get).at("get_agents")?)
            }
            Type::GetFrameworks => {
                let get = present(response.get_frameworks, "get_frameworks")?;
                let (current, completed) = frameworks(get).at("get_frameworks")?;
                Self::Frameworks(current, completed)
            }
            Type::GetExecutors => {
                let executors = present(response.get_executors, "get_executors")?.executors;
                Self::Executors(list(executors, "executors").at("get_executors")?)
            }
            Type::GetOperations => {
                let operations = present(response.get_operations, "get_operations")?.operations;
                Self::Operations(list(operations, "operations").at("get_operations")?)
            }
            Type::GetTasks => Self::Tasks(need(response.get_tasks, "get_tasks")?),
            Type::GetGoneAgents => {
                let get = present(response.get_gone_agents, "get_gone_agents")?;
                Self::GoneAgents(list(get.agents, "agents").at("get_gone_agents")?)
            }
            Type::GetMasters => Self::Masters(need(response.get_masters, "get_masters")?),
            Type::Explain => {
                let sentences = present(response.explain, "explain")?.sentences;
                Self::Explanation(sentences.into_iter().map(Into::into).collect())
            }
            Type::Ok => Self::Ok,
            Type::Unknown => return Err(DecodeError::new("type", "UNKNOWN is not known here")),
            Type::GetFlags
            | Type::GetMetrics
            | Type::GetLoggingLevel
            | Type::ListFiles
            | Type::ReadFile => about_files(kind, response)?,
            Type::GetRoles
            | Type::GetWeights
            | Type::GetQuota
            | Type::GetMaintenanceStatus
            | Type::GetMaintenanceSchedule => about_roles(kind, response)?,
        })
    }
}

fn about_files(kind: Type, response: w::master::Response) -> Result<Response, DecodeError> {
    Ok(match kind {
        Type::GetFlags => {
            let flags = present(response.get_flags, "get_flags")?.flags;
            Response::Flags(list_with(flags, "flags", read_flag).at("get_flags")?)
        }
        Type::GetMetrics => {
            let metrics = present(response.get_metrics, "get_metrics")?.metrics;
            Response::Metrics(list_with(metrics, "metrics", read_metric).at("get_metrics")?)
        }
        Type::GetLoggingLevel => {
            let level = present(response.get_logging_level, "get_logging_level")?.level;
            Response::LoggingLevel(present(level, "get_logging_level.level")?)
        }
        Type::ListFiles => {
            let files = present(response.list_files, "list_files")?.file_infos;
            Response::Files(list(files, "file_infos").at("list_files")?)
        }
        _ => {
            let read = present(response.read_file, "read_file")?;
            Response::FileData {
                size: present(read.size, "read_file.size")?,
                data: present(read.data, "read_file.data")?.into(),
            }
        }
    })
}

fn about_roles(kind: Type, response: w::master::Response) -> Result<Response, DecodeError> {
    Ok(match kind {
        Type::GetRoles => {
            let roles = present(response.get_roles, "get_roles")?.roles;
            Response::Roles(list(roles, "roles").at("get_roles")?)
        }
        Type::GetWeights => {
            let weights = present(response.get_weights, "get_weights")?.weight_infos;
            Response::Weights(list(weights, "weight_infos").at("get_weights")?)
        }
        Type::GetQuota => {
            let get = present(response.get_quota, "get_quota")?;
            let configs = present(get.status, "get_quota.status")?.configs;
            Response::Quota(quota::configs(configs, "configs").at("get_quota.status")?)
        }
        Type::GetMaintenanceStatus => {
            let field = "get_maintenance_status";
            let get = present(response.get_maintenance_status, field)?;
            Response::MaintenanceStatus(need(get.status, "status").at(field)?)
        }
        _ => {
            let field = "get_maintenance_schedule";
            let get = present(response.get_maintenance_schedule, field)?;
            Response::MaintenanceSchedule(need(get.schedule, "schedule").at(field)?)
        }
    })
}

fn version(info: w::VersionInfo) -> Result<Response, DecodeError> {
    Ok(Response::Version {
        mesos: text(info.version, "version")?,
        tepui: info.tepui_version.unwrap_or_default().into(),
    })
}

impl TryFrom<wire::GetState> for State {
    type Error = DecodeError;
    fn try_from(state: wire::GetState) -> Result<Self, DecodeError> {
        let get = state.get_frameworks.unwrap_or_default();
        let (frameworks, completed_frameworks) = frameworks(get).at("get_frameworks")?;
        let executors = state.get_executors.unwrap_or_default().executors;
        Ok(Self {
            agents: agents(state.get_agents.unwrap_or_default()).at("get_agents")?,
            frameworks,
            completed_frameworks,
            tasks: need(Some(state.get_tasks.unwrap_or_default()), "get_tasks")?,
            executors: list(executors, "executors").at("get_executors")?,
        })
    }
}

/// Registered ones, then those that have not come back yet: of a master that is not ours no more is
/// known of these than what they are.
fn agents(get: wire::GetAgents) -> Result<Vec<AgentView>, DecodeError> {
    let mut all: Vec<AgentView> = list(get.agents, "agents")?;
    if get.recovered_in_full.is_empty() {
        let infos: Vec<AgentInfo> = list(get.recovered_agents, "recovered_agents")?;
        all.extend(infos.into_iter().map(recovered));
    } else {
        let views: Vec<AgentView> = list(get.recovered_in_full, "recovered_in_full")?;
        all.extend(views);
    }
    Ok(all)
}

fn recovered(info: AgentInfo) -> AgentView {
    AgentView {
        info,
        standing: AgentStanding::Recovered,
        version: Arc::default(),
        registered: Time::ZERO,
        reregistered: None,
        allocated: Resources::new(),
        offered: Resources::new(),
        deactivated: false,
        drain: None,
        unreachable: None,
        disk_pressed: false,
    }
}

type Frameworks = (Vec<FrameworkView>, Vec<FrameworkView>);

fn frameworks(get: wire::GetFrameworks) -> Result<Frameworks, DecodeError> {
    let current = list(get.frameworks, "frameworks")?;
    Ok((current, list(get.completed_frameworks, "completed_frameworks")?))
}

impl TryFrom<wire::GetTasks> for TasksView {
    type Error = DecodeError;
    fn try_from(get: wire::GetTasks) -> Result<Self, DecodeError> {
        Ok(Self {
            tasks: list(get.tasks, "tasks")?,
            unreachable: list(get.unreachable_tasks, "unreachable_tasks")?,
            completed: list(get.completed_tasks, "completed_tasks")?,
        })
    }
}
