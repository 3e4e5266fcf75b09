//! Responses of an agent's operator API.

use super::{At, list, list_with, need, present, text, w};
use crate::DecodeError;
use crate::agent_api::{Executors, Frameworks, Response, State, Tasks};
use std::sync::Arc;
use w::agent::response::{self as wire, Type};

impl From<&Response> for w::agent::Response {
    fn from(response: &Response) -> Self {
        let mut out = Self { r#type: Some(kind(response) as i32), ..Self::default() };
        match response {
            Response::Health(healthy) => {
                out.get_health = Some(wire::GetHealth { healthy: Some(*healthy) });
            }
            Response::Flags(flags) => {
                out.get_flags = Some(wire::GetFlags { flags: flags.iter().map(flag).collect() });
            }
            Response::Version { mesos, tepui } => {
                let version_info = Some(w::VersionInfo {
                    version: Some(mesos.to_string()),
                    tepui_version: Some(tepui.to_string()),
                });
                out.get_version = Some(wire::GetVersion { version_info });
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
                out.read_file =
                    Some(wire::ReadFile { size: Some(*size), data: Some(data.to_vec()) });
            }
            Response::State(state) => {
                out.get_state = Some(wire::GetState {
                    get_tasks: Some((&state.tasks).into()),
                    get_executors: Some((&state.executors).into()),
                    get_frameworks: Some((&state.frameworks).into()),
                });
            }
            Response::Containers(containers) => {
                let containers = containers.iter().map(Into::into).collect();
                out.get_containers = Some(wire::GetContainers { containers });
            }
            Response::Frameworks(frameworks) => out.get_frameworks = Some(frameworks.into()),
            Response::Executors(executors) => out.get_executors = Some(executors.into()),
            Response::Tasks(tasks) => out.get_tasks = Some(tasks.into()),
            Response::Agent(agent) => out.get_agent = Some((&**agent).into()),
            Response::Waited { nested: true, exit_status } => {
                let exit_status = *exit_status;
                out.wait_nested_container = Some(wire::WaitNestedContainer { exit_status });
            }
            Response::Waited { nested: false, exit_status } => {
                out.wait_container = Some(wire::WaitContainer { exit_status: *exit_status });
            }
            Response::Ok => {}
        }
        out
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
        Response::State(_) => Type::GetState,
        Response::Containers(_) => Type::GetContainers,
        Response::Frameworks(_) => Type::GetFrameworks,
        Response::Executors(_) => Type::GetExecutors,
        Response::Tasks(_) => Type::GetTasks,
        Response::Agent(_) => Type::GetAgent,
        Response::Waited { nested: true, .. } => Type::WaitNestedContainer,
        Response::Waited { nested: false, .. } => Type::WaitContainer,
        Response::Ok => Type::Ok,
    }
}

impl TryFrom<w::agent::Response> for Response {
    type Error = DecodeError;
    fn try_from(response: w::agent::Response) -> Result<Self, DecodeError> {
        let kind = response.r#type.and_then(|number| Type::try_from(number).ok());
        Ok(match present(kind, "type")? {
            Type::GetHealth => {
                let healthy = present(response.get_health, "get_health")?.healthy;
                Self::Health(present(healthy, "get_health.healthy")?)
            }
            Type::GetFlags => {
                let flags = present(response.get_flags, "get_flags")?.flags;
                Self::Flags(list_with(flags, "flags", read_flag).at("get_flags")?)
            }
            Type::GetVersion => {
                let get = present(response.get_version, "get_version")?;
                let info = present(get.version_info, "get_version.version_info")?;
                Self::Version {
                    mesos: text(info.version, "get_version.version_info.version")?,
                    tepui: info.tepui_version.unwrap_or_default().into(),
                }
            }
            Type::GetMetrics => {
                let metrics = present(response.get_metrics, "get_metrics")?.metrics;
                Self::Metrics(list_with(metrics, "metrics", read_metric).at("get_metrics")?)
            }
            Type::GetLoggingLevel => {
                let level = present(response.get_logging_level, "get_logging_level")?.level;
                Self::LoggingLevel(present(level, "get_logging_level.level")?)
            }
            Type::ListFiles => {
                let files = present(response.list_files, "list_files")?.file_infos;
                Self::Files(list(files, "file_infos").at("list_files")?)
            }
            Type::ReadFile => {
                let read = present(response.read_file, "read_file")?;
                Self::FileData {
                    size: present(read.size, "read_file.size")?,
                    data: present(read.data, "read_file.data")?.into(),
                }
            }
            Type::GetState => {
                let state = present(response.get_state, "get_state")?;
                Self::State(Box::new(read_state(state).at("get_state")?))
            }
            Type::GetContainers => {
                let containers = present(response.get_containers, "get_containers")?.containers;
                Self::Containers(list(containers, "containers").at("get_containers")?)
            }
            Type::GetFrameworks => {
                Self::Frameworks(need(response.get_frameworks, "get_frameworks")?)
            }
            Type::GetExecutors => Self::Executors(need(response.get_executors, "get_executors")?),
            Type::GetTasks => Self::Tasks(need(response.get_tasks, "get_tasks")?),
            Type::GetAgent => Self::Agent(Box::new(need(response.get_agent, "get_agent")?)),
            Type::WaitNestedContainer => {
                waited(true, response.wait_nested_container.map(|wait| wait.exit_status))?
            }
            Type::WaitContainer => {
                waited(false, response.wait_container.map(|wait| wait.exit_status))?
            }
            Type::Ok => Self::Ok,
            Type::Unknown => return Err(DecodeError::new("type", "UNKNOWN is not known here")),
        })
    }
}

/// How a container ended, under the older name of the call or the newer.
fn waited(nested: bool, status: Option<Option<i32>>) -> Result<Response, DecodeError> {
    let field = if nested { "wait_nested_container" } else { "wait_container" };
    Ok(Response::Waited { nested, exit_status: present(status, field)? })
}

pub(super) fn flag((name, value): &(Arc<str>, Option<Arc<str>>)) -> w::Flag {
    w::Flag { name: Some(name.to_string()), value: value.as_deref().map(str::to_owned) }
}

pub(super) fn read_flag(wire: w::Flag) -> Result<(Arc<str>, Option<Arc<str>>), DecodeError> {
    Ok((text(wire.name, "name")?, wire.value.map(Into::into)))
}

pub(super) fn metric((name, value): &(Arc<str>, Option<f64>)) -> w::Metric {
    w::Metric { name: Some(name.to_string()), value: *value }
}

pub(super) fn read_metric(wire: w::Metric) -> Result<(Arc<str>, Option<f64>), DecodeError> {
    if wire.value.is_some_and(f64::is_nan) {
        return Err(DecodeError::new("value", "must be a number"));
    }
    Ok((text(wire.name, "name")?, wire.value))
}

fn read_state(wire: wire::GetState) -> Result<State, DecodeError> {
    Ok(State {
        tasks: need(Some(wire.get_tasks.unwrap_or_default()), "get_tasks")?,
        executors: need(Some(wire.get_executors.unwrap_or_default()), "get_executors")?,
        frameworks: need(Some(wire.get_frameworks.unwrap_or_default()), "get_frameworks")?,
    })
}

impl From<&Tasks> for wire::GetTasks {
    fn from(tasks: &Tasks) -> Self {
        Self {
            pending_tasks: tasks.pending.iter().map(Into::into).collect(),
            queued_tasks: tasks.queued.iter().map(Into::into).collect(),
            launched_tasks: tasks.launched.iter().map(Into::into).collect(),
            terminated_tasks: tasks.terminated.iter().map(Into::into).collect(),
            completed_tasks: tasks.completed.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::GetTasks> for Tasks {
    type Error = DecodeError;
    fn try_from(wire: wire::GetTasks) -> Result<Self, DecodeError> {
        Ok(Self {
            pending: list(wire.pending_tasks, "pending_tasks")?,
            queued: list(wire.queued_tasks, "queued_tasks")?,
            launched: list(wire.launched_tasks, "launched_tasks")?,
            terminated: list(wire.terminated_tasks, "terminated_tasks")?,
            completed: list(wire.completed_tasks, "completed_tasks")?,
        })
    }
}

impl From<&Frameworks> for wire::GetFrameworks {
    fn from(frameworks: &Frameworks) -> Self {
        let framework = |info| wire::get_frameworks::Framework { framework_info: Some(info) };
        let all = |infos: &[crate::FrameworkInfo]| {
            infos.iter().map(|info| framework(info.into())).collect()
        };
        Self {
            frameworks: all(&frameworks.current),
            completed_frameworks: all(&frameworks.completed),
        }
    }
}

impl TryFrom<wire::GetFrameworks> for Frameworks {
    type Error = DecodeError;
    fn try_from(wire: wire::GetFrameworks) -> Result<Self, DecodeError> {
        let info =
            |wire: wire::get_frameworks::Framework| need(wire.framework_info, "framework_info");
        Ok(Self {
            current: list_with(wire.frameworks, "frameworks", info)?,
            completed: list_with(wire.completed_frameworks, "completed_frameworks", info)?,
        })
    }
}

impl From<&Executors> for wire::GetExecutors {
    fn from(executors: &Executors) -> Self {
        let executor = |info| wire::get_executors::Executor { executor_info: Some(info) };
        let all = |infos: &[crate::ExecutorInfo]| {
            infos.iter().map(|info| executor(info.shown())).collect()
        };
        Self { executors: all(&executors.current), completed_executors: all(&executors.completed) }
    }
}

impl TryFrom<wire::GetExecutors> for Executors {
    type Error = DecodeError;
    fn try_from(wire: wire::GetExecutors) -> Result<Self, DecodeError> {
        let info = |wire: wire::get_executors::Executor| need(wire.executor_info, "executor_info");
        Ok(Self {
            current: list_with(wire.executors, "executors", info)?,
            completed: list_with(wire.completed_executors, "completed_executors", info)?,
        })
    }
}
