//! Calls of an agent's operator API.

use super::agent_api_session::{path, read_tty, tty};
use super::{At, maybe, need, present, task, text, w};
use crate::agent_api::Call;
use crate::{CommandInfo, DecodeError};
use std::sync::Arc;
use w::agent::call::launch_nested_container_session::{Container, container};
use w::agent::call::{
    AttachContainerOutput, GetContainers, GetMetrics, KillContainer, KillNestedContainer,
    LaunchNestedContainerSession, ListFiles, ReadFile, SetLoggingLevel, Type,
    UpdateContainerLimits, WaitContainer, WaitNestedContainer,
};

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
            session => of_session(session, &mut out),
        }
        out
    }
}

/// Calls of sessions; others have no message of their own.
fn of_session(call: &Call, out: &mut w::agent::Call) {
    match call {
        Call::LaunchNestedContainerSession { container, command, terminal } => {
            out.launch_nested_container_session = Some(LaunchNestedContainerSession {
                container_id: Some(container.into()),
                command: Some((&**command).into()),
                container: terminal.map(|size| Container {
                    r#type: Some(container::Type::Mesos as i32),
                    tty_info: Some(tty(size)),
                }),
            });
        }
        Call::AttachContainerInput(input) => out.attach_container_input = Some(input.into()),
        Call::AttachContainerOutput { container } => {
            let container_id = Some(container.into());
            out.attach_container_output = Some(AttachContainerOutput { container_id });
        }
        Call::WaitContainer { container, nested: true } => {
            let container_id = Some(container.into());
            out.wait_nested_container = Some(WaitNestedContainer { container_id });
        }
        Call::WaitContainer { container, nested: false } => {
            out.wait_container = Some(WaitContainer { container_id: Some(container.into()) });
        }
        Call::KillContainer { container, signal, nested: true } => {
            let container_id = Some(container.into());
            out.kill_nested_container = Some(KillNestedContainer { container_id, signal: *signal });
        }
        Call::KillContainer { container, signal, nested: false } => {
            let container_id = Some(container.into());
            out.kill_container = Some(KillContainer { container_id, signal: *signal });
        }
        Call::UpdateContainerLimits { container, limits } => {
            let container_id = Some(container.into());
            let limits = limits.iter().map(task::limit).collect();
            out.update_container_limits = Some(UpdateContainerLimits { container_id, limits });
        }
        _ => {}
    }
}

fn session(wire: LaunchNestedContainerSession) -> Result<Call, DecodeError> {
    let terminal = wire.container.and_then(|container| container.tty_info);
    let command = present(wire.command, "command")?;
    Ok(Call::LaunchNestedContainerSession {
        container: need(wire.container_id, "container_id")?,
        command: Box::new(CommandInfo::try_from(command).at("command")?),
        terminal: terminal.map(read_tty).transpose().at("container.tty_info")?,
    })
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
        Call::LaunchNestedContainerSession { .. } => Type::LaunchNestedContainerSession,
        Call::AttachContainerInput(_) => Type::AttachContainerInput,
        Call::AttachContainerOutput { .. } => Type::AttachContainerOutput,
        Call::WaitContainer { nested: true, .. } => Type::WaitNestedContainer,
        Call::WaitContainer { nested: false, .. } => Type::WaitContainer,
        Call::KillContainer { nested: true, .. } => Type::KillNestedContainer,
        Call::KillContainer { nested: false, .. } => Type::KillContainer,
        Call::UpdateContainerLimits { .. } => Type::UpdateContainerLimits,
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
            other => return read_session(other, call),
        })
    }
}

/// Calls of sessions, and those that are not built.
fn read_session(kind: Type, call: w::agent::Call) -> Result<Call, DecodeError> {
    Ok(match kind {
        Type::LaunchNestedContainerSession => {
            let field = "launch_nested_container_session";
            session(present(call.launch_nested_container_session, field)?).at(field)?
        }
        Type::AttachContainerInput => {
            Call::AttachContainerInput(need(call.attach_container_input, "attach_container_input")?)
        }
        Type::AttachContainerOutput => {
            let field = "attach_container_output";
            let container =
                path(present(call.attach_container_output, field)?.container_id, field)?;
            Call::AttachContainerOutput { container }
        }
        Type::WaitNestedContainer => {
            let field = "wait_nested_container";
            let container = path(present(call.wait_nested_container, field)?.container_id, field)?;
            Call::WaitContainer { container, nested: true }
        }
        Type::WaitContainer => {
            let wait = present(call.wait_container, "wait_container")?;
            let container = path(wait.container_id, "wait_container")?;
            Call::WaitContainer { container, nested: false }
        }
        Type::KillNestedContainer => {
            let kill = present(call.kill_nested_container, "kill_nested_container")?;
            let container = path(kill.container_id, "kill_nested_container")?;
            Call::KillContainer { container, signal: kill.signal, nested: true }
        }
        Type::KillContainer => {
            let kill = present(call.kill_container, "kill_container")?;
            let container = path(kill.container_id, "kill_container")?;
            Call::KillContainer { container, signal: kill.signal, nested: false }
        }
        Type::UpdateContainerLimits => {
            let field = "update_container_limits";
            let update = present(call.update_container_limits, field)?;
            let container = path(update.container_id, field)?;
            let limits = task::limits(update.limits).at(field)?;
            Call::UpdateContainerLimits { container, limits }
        }
        other => Call::NotBuilt(Arc::from(other.as_str_name())),
    })
}
