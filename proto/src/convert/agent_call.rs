//! What agents say to the master.

use super::resources::{self, Style};
use super::{At, known, link, list, maybe, need, present, tail, text};
use crate::agent_link::{AgentCall, AgentExecutor, AgentTask, VolumeFailure};
use crate::{DecodeError, Role, TaskShown, TaskState, VolumeId};
use link::agent_call::{self as wire, Call, volumes_applied};

impl From<&AgentCall> for link::AgentCall {
    fn from(call: &AgentCall) -> Self {
        let call = match call {
            AgentCall::Register { info, version, nonce } => Call::Register(wire::Register {
                info: Some(info.into()),
                version: Some(version.to_string()),
                nonce: Some(*nonce),
            }),
            AgentCall::Reregister { info, version, tasks, frameworks, executors } => {
                Call::Reregister(wire::Reregister {
                    info: Some(info.into()),
                    version: Some(version.to_string()),
                    tasks: tasks.iter().map(Into::into).collect(),
                    frameworks: frameworks.iter().map(Into::into).collect(),
                    executors: executors.iter().map(Into::into).collect(),
                })
            }
            AgentCall::Update { framework_id, status, latest_state } => {
                Call::Update(wire::Update {
                    framework_id: Some(framework_id.as_str().to_owned()),
                    status: Some((&**status).into()),
                    latest_state: Some(i32::from(*latest_state as u8)),
                })
            }
            AgentCall::Pong { sequence } => Call::Pong(wire::Pong { sequence: Some(*sequence) }),
            AgentCall::Message { framework_id, executor_id, data } => {
                Call::Message(link::ExecutorMessage {
                    framework_id: Some(framework_id.as_str().to_owned()),
                    executor_id: Some(executor_id.as_str().to_owned()),
                    data: Some(data.to_vec()),
                })
            }
            AgentCall::ExecutorEnded { framework_id, executor_id, status } => {
                Call::ExecutorEnded(wire::ExecutorEnded {
                    framework_id: Some(framework_id.as_str().to_owned()),
                    executor_id: Some(executor_id.as_str().to_owned()),
                    status: *status,
                })
            }
            AgentCall::VolumesApplied { sequence, failures } => {
                Call::VolumesApplied(wire::VolumesApplied {
                    sequence: Some(*sequence),
                    failures: failures.iter().map(Into::into).collect(),
                })
            }
            AgentCall::DiskPressure { pressed } => {
                Call::DiskPressure(wire::DiskPressure { pressed: Some(*pressed) })
            }
        };
        Self { call: Some(call) }
    }
}

impl TryFrom<link::AgentCall> for AgentCall {
    type Error = DecodeError;
    fn try_from(call: link::AgentCall) -> Result<Self, DecodeError> {
        match present(call.call, "call")? {
            Call::Register(wire) => register(wire).at("register"),
            Call::Reregister(wire) => reregister(wire).at("reregister"),
            Call::Update(wire) => update(wire).at("update"),
            Call::Pong(wire) => {
                Ok(Self::Pong { sequence: present(wire.sequence, "pong.sequence")? })
            }
            Call::Message(wire) => message(wire).at("message"),
            Call::ExecutorEnded(wire) => executor_ended(wire).at("executor_ended"),
            Call::VolumesApplied(wire) => volumes_applied(wire).at("volumes_applied"),
            Call::DiskPressure(wire) => {
                Ok(Self::DiskPressure { pressed: present(wire.pressed, "disk_pressure.pressed")? })
            }
        }
    }
}

fn register(wire: wire::Register) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::Register {
        info: need(wire.info, "info")?,
        version: text(wire.version, "version")?,
        nonce: present(wire.nonce, "nonce")?,
    })
}

fn reregister(wire: wire::Reregister) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::Reregister {
        info: need(wire.info, "info")?,
        version: text(wire.version, "version")?,
        tasks: share(list(wire.tasks, "tasks")?),
        frameworks: list(wire.frameworks, "frameworks")?,
        executors: list(wire.executors, "executors")?,
    })
}

/// The same tasks; what is equal in neighbours, as in the tasks of one job, stands in memory once.
fn share(mut tasks: Vec<AgentTask>) -> Vec<AgentTask> {
    let mut rest = &mut tasks[..];
    while let [before, after @ ..] = rest {
        if let Some(task) = after.first_mut() {
            if task.resources == before.resources {
                task.resources = before.resources.clone();
            }
            if task.name == before.name {
                task.name = before.name.clone();
            }
            if task.role == before.role {
                task.role = before.role.clone();
            }
        }
        rest = after;
    }
    tasks
}

fn update(wire: wire::Update) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::Update {
        framework_id: need(wire.framework_id, "framework_id")?,
        status: Box::new(need(wire.status, "status")?),
        latest_state: present(known(wire.latest_state, TaskState::from_number), "latest_state")?,
    })
}

fn message(wire: link::ExecutorMessage) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::Message {
        framework_id: need(wire.framework_id, "framework_id")?,
        executor_id: need(wire.executor_id, "executor_id")?,
        data: present(wire.data, "data")?.into(),
    })
}

fn executor_ended(wire: wire::ExecutorEnded) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::ExecutorEnded {
        framework_id: need(wire.framework_id, "framework_id")?,
        executor_id: need(wire.executor_id, "executor_id")?,
        status: wire.status,
    })
}

impl From<&AgentExecutor> for wire::Executor {
    fn from(executor: &AgentExecutor) -> Self {
        Self {
            framework_id: Some(executor.framework_id.as_str().to_owned()),
            role: Some(executor.role.as_str().to_owned()),
            info: Some((&executor.info).into()),
        }
    }
}

impl TryFrom<wire::Executor> for AgentExecutor {
    type Error = DecodeError;
    fn try_from(wire: wire::Executor) -> Result<Self, DecodeError> {
        Ok(Self {
            framework_id: need(wire.framework_id, "framework_id")?,
            role: need(wire.role, "role")?,
            info: need(wire.info, "info")?,
        })
    }
}

fn volumes_applied(wire: wire::VolumesApplied) -> Result<AgentCall, DecodeError> {
    Ok(AgentCall::VolumesApplied {
        sequence: present(wire.sequence, "sequence")?,
        failures: list(wire.failures, "failures")?,
    })
}

impl From<&VolumeFailure> for volumes_applied::Failure {
    fn from(failure: &VolumeFailure) -> Self {
        Self {
            role: Some(failure.role.as_str().to_owned()),
            volume_id: Some(failure.id.as_str().to_owned()),
            message: Some(failure.message.to_string()),
        }
    }
}

impl TryFrom<volumes_applied::Failure> for VolumeFailure {
    type Error = DecodeError;
    fn try_from(wire: volumes_applied::Failure) -> Result<Self, DecodeError> {
        Ok(Self {
            role: need(wire.role, "role")?,
            id: VolumeId::new(present(wire.volume_id, "volume_id")?).at("volume_id")?,
            message: text(wire.message, "message")?,
        })
    }
}

impl From<&AgentTask> for wire::Task {
    fn from(task: &AgentTask) -> Self {
        Self {
            framework_id: Some(task.framework_id.as_str().to_owned()),
            task_id: Some(task.task_id.as_str().to_owned()),
            name: Some(task.name.to_string()),
            resources: resources::write(&task.resources, Style::default()),
            role: Some(task.role.as_str().to_owned()),
            state: Some(i32::from(task.state as u8)),
            status_state: task.status.map(|(state, _)| i32::from(state as u8)),
            status_uuid: task.status.map(|(_, uuid)| uuid.0.to_vec()),
            executor_id: task.executor_id.as_ref().map(|id| id.as_str().to_owned()),
            shown: task.shown.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Task> for AgentTask {
    type Error = DecodeError;
    fn try_from(wire: wire::Task) -> Result<Self, DecodeError> {
        let status = match (known(wire.status_state, TaskState::from_number), wire.status_uuid) {
            (Some(state), Some(uuid)) => Some((state, need(Some(uuid), "status_uuid")?)),
            (None, None) => None,
            _ => return Err(DecodeError::new("status_uuid", "must stand with 'status_state'")),
        };
        Ok(Self {
            framework_id: need(wire.framework_id, "framework_id")?,
            task_id: need(wire.task_id, "task_id")?,
            name: text(wire.name, "name")?,
            resources: resources::read_plain(wire.resources, "resources")?,
            role: Role::new(present(wire.role, "role")?).at("role")?,
            state: present(known(wire.state, TaskState::from_number), "state")?,
            status,
            executor_id: maybe(wire.executor_id, "executor_id")?,
            shown: wire.shown.and_then(|shown: tail::TaskShown| TaskShown::of(shown.tail)),
        })
    }
}
