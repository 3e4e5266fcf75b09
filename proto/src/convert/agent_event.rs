//! What the master says to agents.

use super::{At, link, list, list_with, need, present, resources, tail, text, time};
use crate::agent_link::{AgentEvent, Command};
use crate::{DecodeError, FrameworkId, Piece, TaskId};
use link::agent_event::{self as wire, Event};
use std::sync::Arc;
use std::time::Duration;

impl From<&AgentEvent> for link::AgentEvent {
    fn from(event: &AgentEvent) -> Self {
        let event = match event {
            AgentEvent::Registered { agent_id, master_id, ping_timeout } => {
                Event::Registered(wire::Registered {
                    agent_id: owned(agent_id),
                    master_id: owned(master_id),
                    ping_timeout_nanoseconds: Some(time::nanos(*ping_timeout)),
                })
            }
            AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile } => {
                Event::Reregistered(wire::Reregistered {
                    agent_id: owned(agent_id),
                    master_id: owned(master_id),
                    ping_timeout_nanoseconds: Some(time::nanos(*ping_timeout)),
                    reconcile: reconcile.iter().map(key).collect(),
                })
            }
            AgentEvent::Refused { message, gone } => Event::Refused(wire::Refused {
                message: Some(message.to_string()),
                gone: Some(*gone),
            }),
            AgentEvent::Ping { sequence } => Event::Ping(wire::Ping { sequence: Some(*sequence) }),
            AgentEvent::Run { .. }
            | AgentEvent::RunByExecutors { .. }
            | AgentEvent::ShutdownExecutor { .. } => {
                return Self { epoch: None, event: order(event) };
            }
            AgentEvent::Kill { framework_id, task_id, grace, draining } => {
                Event::Kill(wire::Kill {
                    framework_id: owned(framework_id),
                    task_id: owned(task_id),
                    grace_nanoseconds: grace.map(time::nanos),
                    draining: draining.then_some(true),
                })
            }
            AgentEvent::Acknowledge { framework_id, task_id, uuid } => {
                Event::Acknowledge(wire::Acknowledge {
                    framework_id: owned(framework_id),
                    task_id: owned(task_id),
                    uuid: Some(uuid.0.to_vec()),
                })
            }
            AgentEvent::ShutdownFramework { framework_id } => {
                Event::ShutdownFramework(wire::ShutdownFramework {
                    framework_id: owned(framework_id),
                })
            }
            AgentEvent::UpdateFramework { framework } => {
                Event::UpdateFramework(wire::UpdateFramework {
                    framework: Some((&**framework).into()),
                })
            }
            AgentEvent::Message { framework_id, executor_id, data } => {
                Event::Message(link::ExecutorMessage {
                    framework_id: owned(framework_id),
                    executor_id: owned(executor_id),
                    data: Some(data.to_vec()),
                })
            }
            AgentEvent::Volumes { sequence, volumes, destroyed } => Event::Volumes(wire::Volumes {
                sequence: Some(*sequence),
                volumes: pieces(volumes),
                destroyed: pieces(destroyed),
            }),
        };
        Self { epoch: None, event: Some(event) }
    }
}

/// Orders to run tasks, and to end executors.
fn order(event: &AgentEvent) -> Option<Event> {
    Some(match event {
        AgentEvent::Run { framework, role, tasks } => Event::Run(wire::Run {
            framework: Some((&**framework).into()),
            role: owned(role),
            tasks: tasks.iter().map(tail::TaskInfo::from).collect(),
        }),
        AgentEvent::RunByExecutors { framework, role, tasks, start } => {
            Event::RunByExecutors(wire::RunByExecutors {
                framework: Some((&**framework).into()),
                role: owned(role),
                tasks: tasks.iter().map(tail::TaskInfo::from).collect(),
                start: start.iter().map(ToString::to_string).collect(),
            })
        }
        AgentEvent::ShutdownExecutor { framework_id, executor_id } => {
            Event::ShutdownExecutor(wire::ShutdownExecutor {
                framework_id: owned(framework_id),
                executor_id: owned(executor_id),
            })
        }
        _ => return None,
    })
}

impl From<&Command> for link::AgentEvent {
    fn from(command: &Command) -> Self {
        let epoch = Some(command.epoch).filter(|epoch| *epoch > 0);
        Self { epoch, ..(&command.event).into() }
    }
}

impl TryFrom<link::AgentEvent> for Command {
    type Error = DecodeError;
    fn try_from(event: link::AgentEvent) -> Result<Self, DecodeError> {
        let epoch = event.epoch.unwrap_or(0);
        Ok(Self { epoch, event: event.try_into()? })
    }
}

fn pieces(pieces: &[Piece]) -> Vec<tail::Resource> {
    pieces.iter().map(|piece| resources::write_piece(piece, resources::Style::default())).collect()
}

fn owned(id: &impl ToString) -> Option<String> {
    Some(id.to_string())
}

fn key((framework_id, task_id): &(FrameworkId, TaskId)) -> wire::TaskKey {
    wire::TaskKey { framework_id: owned(framework_id), task_id: owned(task_id) }
}

impl TryFrom<link::AgentEvent> for AgentEvent {
    type Error = DecodeError;
    fn try_from(event: link::AgentEvent) -> Result<Self, DecodeError> {
        match present(event.event, "event")? {
            Event::Registered(wire) => registered(wire).at("registered"),
            Event::Reregistered(wire) => reregistered(wire).at("reregistered"),
            Event::Refused(wire) => Ok(Self::Refused {
                message: text(wire.message, "refused.message")?,
                gone: present(wire.gone, "refused.gone")?,
            }),
            Event::Ping(wire) => {
                Ok(Self::Ping { sequence: present(wire.sequence, "ping.sequence")? })
            }
            Event::Run(wire) => run(wire).at("run"),
            Event::RunByExecutors(wire) => run_by_executors(wire).at("run_by_executors"),
            Event::ShutdownExecutor(wire) => Ok(Self::ShutdownExecutor {
                framework_id: need(wire.framework_id, "shutdown_executor.framework_id")?,
                executor_id: need(wire.executor_id, "shutdown_executor.executor_id")?,
            }),
            Event::Kill(wire) => kill(wire).at("kill"),
            Event::Acknowledge(wire) => acknowledge(wire).at("acknowledge"),
            Event::ShutdownFramework(wire) => {
                let framework_id = need(wire.framework_id, "shutdown_framework.framework_id")?;
                Ok(Self::ShutdownFramework { framework_id })
            }
            Event::UpdateFramework(wire) => {
                let framework = need(wire.framework, "update_framework.framework")?;
                Ok(Self::UpdateFramework { framework: Arc::new(framework) })
            }
            Event::Message(wire) => message(wire).at("message"),
            Event::Volumes(wire) => volumes(wire).at("volumes"),
        }
    }
}

fn registered(wire: wire::Registered) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Registered {
        agent_id: need(wire.agent_id, "agent_id")?,
        master_id: need(wire.master_id, "master_id")?,
        ping_timeout: ping_timeout(wire.ping_timeout_nanoseconds)?,
    })
}

fn reregistered(wire: wire::Reregistered) -> Result<AgentEvent, DecodeError> {
    let key = |key: wire::TaskKey| {
        Ok((need(key.framework_id, "framework_id")?, need(key.task_id, "task_id")?))
    };
    Ok(AgentEvent::Reregistered {
        agent_id: need(wire.agent_id, "agent_id")?,
        master_id: need(wire.master_id, "master_id")?,
        ping_timeout: ping_timeout(wire.ping_timeout_nanoseconds)?,
        reconcile: list_with(wire.reconcile, "reconcile", key)?,
    })
}

fn ping_timeout(nanoseconds: Option<u64>) -> Result<Duration, DecodeError> {
    Ok(Duration::from_nanos(present(nanoseconds, "ping_timeout_nanoseconds")?))
}

fn run(wire: wire::Run) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Run {
        framework: Arc::new(need(wire.framework, "framework")?),
        role: need(wire.role, "role")?,
        tasks: list(wire.tasks, "tasks")?,
    })
}

fn run_by_executors(wire: wire::RunByExecutors) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::RunByExecutors {
        framework: Arc::new(need(wire.framework, "framework")?),
        role: need(wire.role, "role")?,
        tasks: list(wire.tasks, "tasks")?,
        start: list(wire.start, "start")?,
    })
}

fn kill(wire: wire::Kill) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Kill {
        framework_id: need(wire.framework_id, "framework_id")?,
        task_id: need(wire.task_id, "task_id")?,
        grace: wire.grace_nanoseconds.map(Duration::from_nanos),
        draining: wire.draining.unwrap_or(false),
    })
}

fn acknowledge(wire: wire::Acknowledge) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Acknowledge {
        framework_id: need(wire.framework_id, "framework_id")?,
        task_id: need(wire.task_id, "task_id")?,
        uuid: need(wire.uuid, "uuid")?,
    })
}

fn message(wire: link::ExecutorMessage) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Message {
        framework_id: need(wire.framework_id, "framework_id")?,
        executor_id: need(wire.executor_id, "executor_id")?,
        data: present(wire.data, "data")?.into(),
    })
}

fn volumes(wire: wire::Volumes) -> Result<AgentEvent, DecodeError> {
    Ok(AgentEvent::Volumes {
        sequence: present(wire.sequence, "sequence")?,
        volumes: list_with(wire.volumes, "volumes", volume)?,
        destroyed: list_with(wire.destroyed, "destroyed", volume)?,
    })
}

/// A persistent volume: what is no such thing has no directory that could be made or deleted.
fn volume(wire: tail::Resource) -> Result<Piece, DecodeError> {
    let piece = resources::read_one(wire, &mut None)?;
    match (piece.flavor.volume(), piece.flavor.reserved_to()) {
        (Some(_), Some(_)) => Ok(piece),
        (None, _) => Err(DecodeError::missing("disk.persistence")),
        (Some(_), None) => Err(DecodeError::missing("reservations")),
    }
}
