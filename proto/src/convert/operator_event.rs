//! Events of the operator API.

use super::{At, known, need, present, text, time, w};
use crate::operator::{CutOff, Event, StreamEvent};
use crate::{DecodeError, TaskState};
use std::time::Duration;
use w::master::event::{self as wire, Type};

/// Mesos' interval of heartbeats, for masters that do not say theirs.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

impl From<&StreamEvent> for w::master::Event {
    fn from(event: &StreamEvent) -> Self {
        let mut out = Self {
            r#type: Some(kind(&event.event) as i32),
            sequence: event.sequence,
            ..Self::default()
        };
        match &event.event {
            Event::Subscribed { state, heartbeat_interval, stream } => {
                out.subscribed = Some(wire::Subscribed {
                    get_state: state.as_deref().map(Into::into),
                    heartbeat_interval_seconds: Some(heartbeat_interval.as_secs_f64()),
                    stream: (!stream.is_empty()).then(|| stream.to_string()),
                });
            }
            Event::TaskAdded(task) => {
                out.task_added = Some(wire::TaskAdded { task: Some(task.into()) });
            }
            Event::TaskUpdated { framework_id, status, state } => {
                out.task_updated = Some(wire::TaskUpdated {
                    framework_id: Some(framework_id.into()),
                    status: Some((&**status).into()),
                    state: Some(i32::from(*state as u8)),
                });
            }
            Event::AgentAdded(agent) => {
                out.agent_added = Some(wire::AgentAdded { agent: Some(agent.into()) });
            }
            Event::AgentUpdated(agent) => {
                out.agent_updated = Some(wire::AgentUpdated { agent: Some(agent.into()) });
            }
            Event::AgentRemoved(id) => {
                out.agent_removed = Some(wire::AgentRemoved { agent_id: Some(id.into()) });
            }
            Event::FrameworkAdded(framework) => {
                let framework = Some(framework.into());
                out.framework_added = Some(wire::FrameworkAdded { framework });
            }
            Event::FrameworkUpdated(framework) => {
                let framework = Some(framework.into());
                out.framework_updated = Some(wire::FrameworkUpdated { framework });
            }
            Event::FrameworkRemoved(info) => {
                let framework_info = Some(info.into());
                out.framework_removed = Some(wire::FrameworkRemoved { framework_info });
            }
            Event::Heartbeat => {}
            Event::CutOff { reason, message } => {
                let (reason, message) = (Some(*reason as i32), Some(message.to_string()));
                out.cut_off = Some(wire::CutOff { reason, message });
            }
        }
        out
    }
}

fn kind(event: &Event) -> Type {
    match event {
        Event::Subscribed { .. } => Type::Subscribed,
        Event::TaskAdded(_) => Type::TaskAdded,
        Event::TaskUpdated { .. } => Type::TaskUpdated,
        Event::AgentAdded(_) => Type::AgentAdded,
        Event::AgentUpdated(_) => Type::AgentUpdated,
        Event::AgentRemoved(_) => Type::AgentRemoved,
        Event::FrameworkAdded(_) => Type::FrameworkAdded,
        Event::FrameworkUpdated(_) => Type::FrameworkUpdated,
        Event::FrameworkRemoved(_) => Type::FrameworkRemoved,
        Event::Heartbeat => Type::Heartbeat,
        Event::CutOff { .. } => Type::CutOff,
    }
}

impl TryFrom<w::master::Event> for StreamEvent {
    type Error = DecodeError;
    fn try_from(wire: w::master::Event) -> Result<Self, DecodeError> {
        Ok(Self { sequence: wire.sequence, event: event(wire)? })
    }
}

fn event(event: w::master::Event) -> Result<Event, DecodeError> {
    let kind = known(event.r#type, |number| Type::try_from(number).ok());
    Ok(match present(kind, "type")? {
        Type::Subscribed => {
            return subscribed(event.subscribed.unwrap_or_default()).at("subscribed");
        }
        Type::TaskAdded => {
            let task = present(event.task_added, "task_added")?.task;
            Event::TaskAdded(need(task, "task").at("task_added")?)
        }
        Type::TaskUpdated => {
            return updated(present(event.task_updated, "task_updated")?).at("task_updated");
        }
        Type::AgentAdded => {
            let agent = present(event.agent_added, "agent_added")?.agent;
            Event::AgentAdded(need(agent, "agent").at("agent_added")?)
        }
        Type::AgentUpdated => {
            let agent = present(event.agent_updated, "agent_updated")?.agent;
            Event::AgentUpdated(need(agent, "agent").at("agent_updated")?)
        }
        Type::AgentRemoved => {
            let id = present(event.agent_removed, "agent_removed")?.agent_id;
            Event::AgentRemoved(need(id, "agent_id").at("agent_removed")?)
        }
        Type::FrameworkAdded => {
            let framework = present(event.framework_added, "framework_added")?.framework;
            Event::FrameworkAdded(need(framework, "framework").at("framework_added")?)
        }
        Type::FrameworkUpdated => {
            let framework = present(event.framework_updated, "framework_updated")?.framework;
            Event::FrameworkUpdated(need(framework, "framework").at("framework_updated")?)
        }
        Type::FrameworkRemoved => {
            let info = present(event.framework_removed, "framework_removed")?.framework_info;
            Event::FrameworkRemoved(need(info, "framework_info").at("framework_removed")?)
        }
        Type::Heartbeat => Event::Heartbeat,
        Type::CutOff => return cut_off(present(event.cut_off, "cut_off")?).at("cut_off"),
        Type::Unknown => return Err(DecodeError::new("type", "UNKNOWN is not known here")),
    })
}

fn subscribed(wire: wire::Subscribed) -> Result<Event, DecodeError> {
    let field = "heartbeat_interval_seconds";
    let state = super::maybe(wire.get_state, "get_state")?;
    Ok(Event::Subscribed {
        state: state.map(Box::new),
        heartbeat_interval: wire
            .heartbeat_interval_seconds
            .map_or(Ok(DEFAULT_HEARTBEAT), |seconds| time::interval(seconds, field))?,
        stream: wire.stream.unwrap_or_default().into(),
    })
}

fn updated(wire: wire::TaskUpdated) -> Result<Event, DecodeError> {
    Ok(Event::TaskUpdated {
        framework_id: need(wire.framework_id, "framework_id")?,
        status: Box::new(need(wire.status, "status")?),
        state: present(known(wire.state, TaskState::from_number), "state")?,
    })
}

fn cut_off(wire: wire::CutOff) -> Result<Event, DecodeError> {
    use wire::cut_off::Reason;
    // A reason of a newer master: it ends the stream, whatever it is.
    let reason = match known(wire.reason, |number| Reason::try_from(number).ok()) {
        Some(Reason::Slow) => CutOff::Slow,
        Some(Reason::TooMany) => CutOff::TooMany,
        Some(Reason::Behind) => CutOff::Behind,
        Some(Reason::Ending | Reason::Unknown) | None => CutOff::Ending,
    };
    Ok(Event::CutOff { reason, message: text(wire.message, "message")? })
}
