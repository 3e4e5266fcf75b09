//! Responses of the operator API, going out.

use super::agent_api_response::{flag, metric};
use super::w;
use crate::operator::{
    AgentStanding, AgentView, ExecutorView, FrameworkView, Response, State, TasksView,
};
use w::master::response::{self as wire, Type};

impl From<&Response> for w::master::Response {
    fn from(response: &Response) -> Self {
        let mut out = Self { r#type: Some(kind(response) as i32), ..Self::default() };
        match response {
            Response::Health(healthy) => {
                out.get_health = Some(wire::GetHealth { healthy: Some(*healthy) });
            }
            Response::Version { mesos, tepui } => {
                let version_info = Some(w::VersionInfo {
                    version: Some(mesos.to_string()),
                    tepui_version: Some(tepui.to_string()),
                });
                out.get_version = Some(wire::GetVersion { version_info });
            }
            Response::Master { info, started } => {
                out.get_master = Some(wire::GetMaster {
                    master_info: Some(info.into()),
                    start_time: Some(started.as_secs_f64()),
                });
            }
            Response::State(state) => out.get_state = Some((&**state).into()),
            Response::Agents(all) => out.get_agents = Some(agents(all)),
            Response::Frameworks(current, completed) => {
                out.get_frameworks = Some(frameworks(current, completed));
            }
            Response::Executors(all) => out.get_executors = Some(executors(all)),
            Response::Operations(operations) => {
                let operations = operations.iter().map(Into::into).collect();
                out.get_operations = Some(wire::GetOperations { operations });
            }
            Response::Tasks(tasks) => out.get_tasks = Some(tasks.into()),
            Response::Explanation(sentences) => {
                let sentences = sentences.iter().map(|sentence| sentence.to_string()).collect();
                out.explain = Some(wire::Explain { sentences });
            }
            about_roles => write_about_roles_and_files(about_roles, &mut out),
        }
        out
    }
}

/// Answers about roles, machines, files and the process.
fn write_about_roles_and_files(response: &Response, out: &mut w::master::Response) {
    match response {
        Response::Masters(masters) => out.get_masters = Some(masters.into()),
        Response::GoneAgents(agents) => {
            let agents = agents.iter().map(Into::into).collect();
            out.get_gone_agents = Some(wire::GetGoneAgents { agents });
        }
        Response::Roles(roles) => {
            let roles = roles.iter().map(Into::into).collect();
            out.get_roles = Some(wire::GetRoles { roles });
        }
        Response::Weights(weights) => {
            let weight_infos = weights.iter().map(Into::into).collect();
            out.get_weights = Some(wire::GetWeights { weight_infos });
        }
        Response::Quota(configs) => {
            let configs = configs.iter().map(Into::into).collect();
            let status = Some(w::quota::QuotaStatus { configs });
            out.get_quota = Some(wire::GetQuota { status });
        }
        Response::MaintenanceStatus(status) => {
            let status = Some(status.into());
            out.get_maintenance_status = Some(wire::GetMaintenanceStatus { status });
        }
        Response::MaintenanceSchedule(schedule) => {
            let schedule = Some(schedule.into());
            out.get_maintenance_schedule = Some(wire::GetMaintenanceSchedule { schedule });
        }
        Response::Flags(flags) => {
            out.get_flags = Some(wire::GetFlags { flags: flags.iter().map(flag).collect() });
        }
        Response::Metrics(metrics) => {
            let metrics = metrics.iter().map(metric).collect();
            out.get_metrics = Some(wire::GetMetrics { metrics });
        }
        Response::LoggingLevel(level) => {
            out.get_logging_level = Some(wire::GetLoggingLevel { level: Some(*level) });
        }
        Response::Files(files) => {
            let file_infos = files.iter().map(Into::into).collect();
            out.list_files = Some(wire::ListFiles { file_infos });
        }
        Response::FileData { size, data } => {
            out.read_file = Some(wire::ReadFile { size: Some(*size), data: Some(data.to_vec()) });
        }
        _ => {}
    }
}

fn kind(response: &Response) -> Type {
    match response {
        Response::Health(_) => Type::GetHealth,
        Response::Flags(_) => Type::GetFlags,
        Response::Version { .. } => Type::GetVersion,
        Response::Metrics(_) => Type::GetMetrics,
        Response::LoggingLevel(_) => Type::GetLoggingLevel,
        Response::Files(_) => Type::ListFiles,
        Response::FileData { .. } => Type::ReadFile,
        Response::Master { .. } => Type::GetMaster,
        Response::State(_) => Type::GetState,
        Response::Agents(_) => Type::GetAgents,
        Response::Frameworks(..) => Type::GetFrameworks,
        Response::Executors(_) => Type::GetExecutors,
        Response::Operations(_) => Type::GetOperations,
        Response::Tasks(_) => Type::GetTasks,
        Response::Roles(_) => Type::GetRoles,
        Response::Weights(_) => Type::GetWeights,
        Response::MaintenanceStatus(_) => Type::GetMaintenanceStatus,
        Response::MaintenanceSchedule(_) => Type::GetMaintenanceSchedule,
        Response::Quota(_) => Type::GetQuota,
        Response::GoneAgents(_) => Type::GetGoneAgents,
        Response::Masters(_) => Type::GetMasters,
        Response::Explanation(_) => Type::Explain,
        Response::Ok => Type::Ok,
    }
}

impl From<&State> for wire::GetState {
    fn from(state: &State) -> Self {
        Self {
            get_tasks: Some((&state.tasks).into()),
            get_executors: Some(executors(&state.executors)),
            get_frameworks: Some(frameworks(&state.frameworks, &state.completed_frameworks)),
            get_agents: Some(agents(&state.agents)),
        }
    }
}

/// Those that have not come back yet are told twice: as Mesos tells them, and in full.
fn agents(views: &[AgentView]) -> wire::GetAgents {
    let recovered = |view: &&AgentView| view.standing == AgentStanding::Recovered;
    let all = || views.iter();
    wire::GetAgents {
        agents: all().filter(|view| !recovered(view)).map(Into::into).collect(),
        recovered_agents: all().filter(recovered).map(|view| (&view.info).into()).collect(),
        recovered_in_full: all().filter(recovered).map(Into::into).collect(),
    }
}

fn executors(views: &[ExecutorView]) -> wire::GetExecutors {
    wire::GetExecutors { executors: views.iter().map(Into::into).collect() }
}

fn frameworks(current: &[FrameworkView], completed: &[FrameworkView]) -> wire::GetFrameworks {
    wire::GetFrameworks {
        frameworks: current.iter().map(Into::into).collect(),
        completed_frameworks: completed.iter().map(Into::into).collect(),
    }
}

impl From<&TasksView> for wire::GetTasks {
    fn from(tasks: &TasksView) -> Self {
        Self {
            tasks: tasks.tasks.iter().map(Into::into).collect(),
            completed_tasks: tasks.completed.iter().map(Into::into).collect(),
            unreachable_tasks: tasks.unreachable.iter().map(Into::into).collect(),
        }
    }
}
