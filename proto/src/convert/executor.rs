//! Calls and events of the executor API.

use super::{At, list, list_with, maybe, need, present, task, text, w};
use crate::executor::{Call, CallBody, Event, Subscribed, Update};
use crate::{DecodeError, ExecutorId, TaskStatus};
use w::executor::call::{self, Type as CallType};
use w::executor::event::{self, Type as EventType};

impl From<&Call> for w::executor::Call {
    fn from(call: &Call) -> Self {
        let mut out = Self {
            executor_id: Some((&call.executor_id).into()),
            framework_id: Some((&call.framework_id).into()),
            r#type: CallType::from_str_name(call.body.name()).map(|kind| kind as i32),
            ..Self::default()
        };
        match &call.body {
            CallBody::Subscribe { unacknowledged_tasks, unacknowledged_updates } => {
                out.subscribe = Some(call::Subscribe {
                    unacknowledged_tasks: unacknowledged_tasks.iter().map(Into::into).collect(),
                    unacknowledged_updates: unacknowledged_updates.iter().map(Into::into).collect(),
                });
            }
            CallBody::Update(update) => out.update = Some((&**update).into()),
            CallBody::Message(data) => {
                out.message = Some(call::Message { data: Some(data.to_vec()) });
            }
            CallBody::Heartbeat => {}
        }
        out
    }
}

impl TryFrom<w::executor::Call> for Call {
    type Error = DecodeError;
    fn try_from(wire: w::executor::Call) -> Result<Self, DecodeError> {
        let executor_id = need(wire.executor_id, "executor_id")?;
        let kind = wire.r#type.and_then(|number| CallType::try_from(number).ok());
        let body = match present(kind, "type")? {
            // A first SUBSCRIBE may come without a message of its own.
            CallType::Subscribe => {
                let subscribe = wire.subscribe.unwrap_or_default();
                let (tasks, updates) = ("unacknowledged_tasks", "unacknowledged_updates");
                let update = |wire: call::Update| read_update(wire, &executor_id);
                CallBody::Subscribe {
                    unacknowledged_tasks: list(subscribe.unacknowledged_tasks, tasks)
                        .at("subscribe")?,
                    unacknowledged_updates: list_with(
                        subscribe.unacknowledged_updates,
                        updates,
                        update,
                    )
                    .at("subscribe")?,
                }
            }
            CallType::Update => {
                let update = present(wire.update, "update")?;
                CallBody::Update(Box::new(read_update(update, &executor_id).at("update")?))
            }
            CallType::Message => {
                let data = present(wire.message, "message")?.data;
                CallBody::Message(present(data, "message.data")?.into())
            }
            CallType::Heartbeat => CallBody::Heartbeat,
            CallType::Unknown => {
                return Err(DecodeError::new("type", "UNKNOWN is not known here"));
            }
        };
        Ok(Self { executor_id, framework_id: need(wire.framework_id, "framework_id")?, body })
    }
}

impl From<&Update> for call::Update {
    fn from(update: &Update) -> Self {
        Self { status: Some(update.status().into()) }
    }
}

fn read_update(wire: call::Update, caller: &ExecutorId) -> Result<Update, DecodeError> {
    let status: TaskStatus = need(wire.status, "status")?;
    if status.executor_id.as_ref().is_some_and(|id| id != caller) {
        return Err(DecodeError::new("status.executor_id", "must be the same as 'executor_id'"));
    }
    Update::new(status).at("status")
}

impl From<&Event> for w::executor::Event {
    fn from(event: &Event) -> Self {
        let mut out = Self::default();
        let kind = match event {
            Event::Subscribed(subscribed) => {
                out.subscribed = Some((&**subscribed).into());
                EventType::Subscribed
            }
            Event::Launch(task) => {
                out.launch = Some(event::Launch { task: Some((&**task).into()) });
                EventType::Launch
            }
            Event::LaunchGroup(tasks) => {
                let tasks = tasks.iter().map(Into::into).collect();
                let task_group = Some(w::TaskGroupInfo { tasks });
                out.launch_group = Some(event::LaunchGroup { task_group });
                EventType::LaunchGroup
            }
            Event::Kill { task_id, grace } => {
                out.kill = Some(event::Kill {
                    task_id: Some(task_id.into()),
                    kill_policy: grace.map(task::kill_policy),
                });
                EventType::Kill
            }
            Event::Acknowledged { task_id, uuid } => {
                out.acknowledged = Some(event::Acknowledged {
                    task_id: Some(task_id.into()),
                    uuid: Some(uuid.0.to_vec()),
                });
                EventType::Acknowledged
            }
            Event::Message(data) => {
                out.message = Some(event::Message { data: Some(data.to_vec()) });
                EventType::Message
            }
            Event::Error(message) => {
                out.error = Some(event::Error { message: Some(message.to_string()) });
                EventType::Error
            }
            Event::Shutdown => EventType::Shutdown,
            Event::Heartbeat => EventType::Heartbeat,
        };
        out.r#type = Some(kind as i32);
        out
    }
}

impl TryFrom<w::executor::Event> for Event {
    type Error = DecodeError;
    fn try_from(wire: w::executor::Event) -> Result<Self, DecodeError> {
        let kind = wire.r#type.and_then(|number| EventType::try_from(number).ok());
        Ok(match present(kind, "type")? {
            EventType::Subscribed => {
                Self::Subscribed(Box::new(need(wire.subscribed, "subscribed")?))
            }
            EventType::Launch => {
                let task = present(wire.launch, "launch")?.task;
                Self::Launch(Box::new(need(task, "task").at("launch")?))
            }
            EventType::LaunchGroup => {
                let group = present(wire.launch_group, "launch_group")?.task_group;
                let tasks = present(group, "launch_group.task_group")?.tasks;
                Self::LaunchGroup(list(tasks, "tasks").at("launch_group.task_group")?)
            }
            EventType::Kill => {
                let kill = present(wire.kill, "kill")?;
                Self::Kill {
                    task_id: need(kill.task_id, "task_id").at("kill")?,
                    grace: task::grace(kill.kill_policy).at("kill")?,
                }
            }
            EventType::Acknowledged => {
                let acknowledged = present(wire.acknowledged, "acknowledged")?;
                Self::Acknowledged {
                    task_id: need(acknowledged.task_id, "task_id").at("acknowledged")?,
                    uuid: need(acknowledged.uuid, "uuid").at("acknowledged")?,
                }
            }
            EventType::Message => {
                let data = present(wire.message, "message")?.data;
                Self::Message(present(data, "message.data")?.into())
            }
            EventType::Error => {
                let message = present(wire.error, "error")?.message;
                Self::Error(text(message, "error.message")?)
            }
            EventType::Shutdown => Self::Shutdown,
            EventType::Heartbeat => Self::Heartbeat,
            EventType::Unknown => {
                return Err(DecodeError::new("type", "UNKNOWN is not known here"));
            }
        })
    }
}

impl From<&Subscribed> for event::Subscribed {
    fn from(subscribed: &Subscribed) -> Self {
        Self {
            executor_info: Some((&subscribed.executor_info).into()),
            framework_info: Some((&subscribed.framework_info).into()),
            agent_info: Some((&subscribed.agent_info).into()),
            container_id: subscribed.container_id.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<event::Subscribed> for Subscribed {
    type Error = DecodeError;
    fn try_from(wire: event::Subscribed) -> Result<Self, DecodeError> {
        Ok(Self {
            executor_info: need(wire.executor_info, "executor_info")?,
            framework_info: need(wire.framework_info, "framework_info")?,
            agent_info: need(wire.agent_info, "agent_info")?,
            container_id: maybe(wire.container_id, "container_id")?,
        })
    }
}
