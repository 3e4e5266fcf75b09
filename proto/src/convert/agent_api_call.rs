//! Calls of an agent's operator API.

use super::{At, maybe, need, present, text, w};
use crate::DecodeError;
use crate::agent_api::Call;
use std::sync::Arc;
use w::agent::call::{GetContainers, GetMetrics, ListFiles, ReadFile, SetLoggingLevel, Type};

impl From<&Call> for w::agent::Call {
    fn from(call: &Call) -> Self {
        let mut out = Self { r#type: Some(kind(call) as i32), ..Self::default() };
        match call {
            Call::GetMetrics { timeout } => {
                out.get_metrics = Some(GetMetrics { timeout: timeout.map(Into::into) });
            }
            Call::SetLoggingLevel { level, duration } => {
                out.set_logging_level = Some(SetLoggingLevel {
                    level: Some(*level),
                    duration: Some((*duration).into()),
                });
            }
            Call::ListFiles { path } => {
                out.list_files = Some(ListFiles { path: Some(path.to_string()) });
            }
            Call::ReadFile { path, offset, length } => {
                out.read_file = Some(ReadFile {
                    path: Some(path.to_string()),
                    offset: Some(*offset),
                    length: *length,
                });
            }
            Call::GetContainers { show_nested, show_standalone } => {
                out.get_containers = Some(GetContainers {
                    show_nested: Some(*show_nested),
                    show_standalone: Some(*show_standalone),
                });
            }
            Call::GetHealth
            | Call::GetFlags
            | Call::GetVersion
            | Call::GetLoggingLevel
            | Call::GetState
            | Call::GetFrameworks
            | Call::GetExecutors
            | Call::GetTasks
            | Call::GetAgent
            | Call::NotBuilt(_) => {}
        }
        out
    }
}

fn kind(call: &Call) -> Type {
    match call {
        Call::GetHealth => Type::GetHealth,
        Call::GetFlags => Type::GetFlags,
        Call::GetVersion => Type::GetVersion,
        Call::GetMetrics { .. } => Type::GetMetrics,
        Call::GetLoggingLevel => Type::GetLoggingLevel,
        Call::SetLoggingLevel { .. } => Type::SetLoggingLevel,
        Call::ListFiles { .. } => Type::ListFiles,
        Call::ReadFile { .. } => Type::ReadFile,
        Call::GetState => Type::GetState,
        Call::GetContainers { .. } => Type::GetContainers,
        Call::GetFrameworks => Type::GetFrameworks,
        Call::GetExecutors => Type::GetExecutors,
        Call::GetTasks => Type::GetTasks,
        Call::GetAgent => Type::GetAgent,
        Call::NotBuilt(name) => Type::from_str_name(name).unwrap_or(Type::Unknown),
    }
}

impl TryFrom<w::agent::Call> for Call {
    type Error = DecodeError;
    fn try_from(call: w::agent::Call) -> Result<Self, DecodeError> {
        let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
        Ok(match present(kind, "type")? {
            Type::GetHealth => Self::GetHealth,
            Type::GetFlags => Self::GetFlags,
            Type::GetVersion => Self::GetVersion,
            // This one and GET_CONTAINERS may come without a message of their own.
            Type::GetMetrics => {
                let timeout = call.get_metrics.and_then(|get| get.timeout);
                Self::GetMetrics { timeout: maybe(timeout, "get_metrics.timeout")? }
            }
            Type::GetLoggingLevel => Self::GetLoggingLevel,
            Type::SetLoggingLevel => {
                let set = present(call.set_logging_level, "set_logging_level")?;
                Self::SetLoggingLevel {
                    level: present(set.level, "set_logging_level.level")?,
                    duration: need(set.duration, "duration").at("set_logging_level")?,
                }
            }
            Type::ListFiles => {
                let path = present(call.list_files, "list_files")?.path;
                Self::ListFiles { path: text(path, "list_files.path")? }
            }
            Type::ReadFile => {
                let read = present(call.read_file, "read_file")?;
                Self::ReadFile {
                    path: text(read.path, "read_file.path")?,
                    offset: present(read.offset, "read_file.offset")?,
                    length: read.length,
                }
            }
            Type::GetState => Self::GetState,
            Type::GetContainers => {
                let get = call.get_containers.unwrap_or_default();
                Self::GetContainers {
                    show_nested: get.show_nested.unwrap_or(false),
                    show_standalone: get.show_standalone.unwrap_or(false),
                }
            }
            Type::GetFrameworks => Self::GetFrameworks,
            Type::GetExecutors => Self::GetExecutors,
            Type::GetTasks => Self::GetTasks,
            Type::GetAgent => Self::GetAgent,
            other => Self::NotBuilt(Arc::from(other.as_str_name())),
        })
    }
}
