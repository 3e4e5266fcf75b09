//! Responses of the operator API.

use super::{At, list, need, present, text, w};
use crate::operator::{FrameworkView, Response, State, TasksView};
use crate::{DecodeError, Time};
use w::master::response::{self as wire, Type};

impl From<&Response> for w::master::Response {
    fn from(response: &Response) -> Self {
        let mut out = Self::default();
        let kind = match response {
            Response::Health(healthy) => {
                out.get_health = Some(wire::GetHealth { healthy: Some(*healthy) });
                Type::GetHealth
            }
            Response::Version { mesos, tepui } => {
                let version_info = Some(w::VersionInfo {
                    version: Some(mesos.to_string()),
                    tepui_version: Some(tepui.to_string()),
                });
                out.get_version = Some(wire::GetVersion { version_info });
                Type::GetVersion
            }
            Response::Master { info, started } => {
                out.get_master = Some(wire::GetMaster {
                    master_info: Some(info.into()),
                    start_time: Some(started.as_secs_f64()),
                });
                Type::GetMaster
            }
            Response::State(state) => {
                out.get_state = Some(write_state(state));
                Type::GetState
            }
            Response::Agents(agents) => {
                let agents = agents.iter().map(Into::into).collect();
                out.get_agents = Some(wire::GetAgents { agents });
                Type::GetAgents
            }
            Response::Frameworks(current, completed) => {
                out.get_frameworks = Some(write_frameworks(current, completed));
                Type::GetFrameworks
            }
            Response::Tasks(tasks) => {
                out.get_tasks = Some(tasks.into());
                Type::GetTasks
            }
            Response::Roles(roles) => {
                let roles = roles.iter().map(Into::into).collect();
                out.get_roles = Some(wire::GetRoles { roles });
                Type::GetRoles
            }
            Response::Explanation(sentences) => {
                let sentences = sentences.iter().map(|sentence| sentence.to_string()).collect();
                out.explain = Some(wire::Explain { sentences });
                Type::Explain
            }
            Response::Ok => Type::Ok,
        };
        out.r#type = Some(kind as i32);
        out
    }
}

fn write_state(state: &State) -> wire::GetState {
    let agents = state.agents.iter().map(Into::into).collect();
    wire::GetState {
        get_tasks: Some((&state.tasks).into()),
        get_frameworks: Some(write_frameworks(&state.frameworks, &state.completed_frameworks)),
        get_agents: Some(wire::GetAgents { agents }),
    }
}

fn write_frameworks(current: &[FrameworkView], completed: &[FrameworkView]) -> wire::GetFrameworks {
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

impl TryFrom<w::master::Response> for Response {
    type Error = DecodeError;
    fn try_from(response: w::master::Response) -> Result<Self, DecodeError> {
        let kind = response.r#type.and_then(|number| Type::try_from(number).ok());
        Ok(match present(kind, "type")? {
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
                let state = present(response.get_state, "get_state")?;
                Self::State(Box::new(read_state(state).at("get_state")?))
            }
            Type::GetAgents => {
                let agents = present(response.get_agents, "get_agents")?.agents;
                Self::Agents(list(agents, "agents").at("get_agents")?)
            }
            Type::GetFrameworks => {
                let get = present(response.get_frameworks, "get_frameworks")?;
                let (current, completed) = read_frameworks(get).at("get_frameworks")?;
                Self::Frameworks(current, completed)
            }
            Type::GetTasks => Self::Tasks(need(response.get_tasks, "get_tasks")?),
            Type::GetRoles => {
                let roles = present(response.get_roles, "get_roles")?.roles;
                Self::Roles(list(roles, "roles").at("get_roles")?)
            }
            Type::Explain => {
                let sentences = present(response.explain, "explain")?.sentences;
                Self::Explanation(sentences.into_iter().map(Into::into).collect())
            }
            Type::Ok => Self::Ok,
            Type::Unknown => return Err(DecodeError::new("type", "UNKNOWN is not known here")),
        })
    }
}

fn version(info: w::VersionInfo) -> Result<Response, DecodeError> {
    Ok(Response::Version {
        mesos: text(info.version, "version")?,
        tepui: info.tepui_version.unwrap_or_default().into(),
    })
}

fn read_state(state: wire::GetState) -> Result<State, DecodeError> {
    let frameworks = state.get_frameworks.unwrap_or_default();
    let (frameworks, completed_frameworks) = read_frameworks(frameworks).at("get_frameworks")?;
    let agents = state.get_agents.unwrap_or_default().agents;
    Ok(State {
        agents: list(agents, "agents").at("get_agents")?,
        frameworks,
        completed_frameworks,
        tasks: need(Some(state.get_tasks.unwrap_or_default()), "get_tasks")?,
    })
}

type Frameworks = (Vec<FrameworkView>, Vec<FrameworkView>);

fn read_frameworks(get: wire::GetFrameworks) -> Result<Frameworks, DecodeError> {
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
