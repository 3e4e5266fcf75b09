//! Tasks and custom executors: what decisions read is parsed, the rest is kept as it came.

use super::resources::{self, Style};
use super::{At, maybe, need, present, tail, text, w};
use crate::schema;
use crate::{
    AgentId, DecodeError, ExecutorInfo, Role, TaskId, TaskInfo, TaskPayload, UnreadableTask,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl From<&TaskInfo> for tail::TaskInfo {
    fn from(task: &TaskInfo) -> Self {
        let style = Style { role: task.allocation_role.as_ref(), old_role: false };
        let known = w::TaskInfo {
            name: Some(task.name.to_string()),
            task_id: Some((&task.task_id).into()),
            agent_id: Some((&task.agent_id).into()),
            resources: resources::write(&task.resources, style),
            executor: task.executor.as_ref().map(|executor| Box::new(write(executor, style))),
            kill_policy: task.kill_grace.map(kill_policy),
            max_completion_time: task.max_completion_time.map(Into::into),
            limits: task.limits.iter().map(limit).collect(),
        };
        Self { known, tail: task.payload.bytes.to_vec() }
    }
}

impl TryFrom<tail::TaskInfo> for TaskInfo {
    type Error = DecodeError;
    fn try_from(mut wire: tail::TaskInfo) -> Result<Self, DecodeError> {
        let task_id = need(wire.known.task_id.take(), "task_id")?;
        let agent_id = need(wire.known.agent_id.take(), "agent_id")?;
        describe(wire, task_id, agent_id)
    }
}

/// A task that is to be launched: wrong as a whole only when its id cannot be read, for then no
/// status could answer for it.
pub(super) fn launched(
    mut wire: tail::TaskInfo,
) -> Result<Result<TaskInfo, UnreadableTask>, DecodeError> {
    let task_id: TaskId = need(wire.known.task_id.take(), "task_id")?;
    let unreadable = |agent_id, error: DecodeError| {
        let problem = Arc::from(error.to_string());
        UnreadableTask { task_id: task_id.clone(), agent_id, problem }
    };
    let agent_id: AgentId = match need(wire.known.agent_id.take(), "agent_id") {
        Ok(agent_id) => agent_id,
        Err(error) => return Ok(Err(unreadable(None, error))),
    };
    let task = describe(wire, task_id.clone(), agent_id.clone());
    Ok(task.map_err(|error| unreadable(Some(agent_id), error)))
}

fn describe(
    wire: tail::TaskInfo,
    task_id: TaskId,
    agent_id: AgentId,
) -> Result<TaskInfo, DecodeError> {
    let tail::TaskInfo { known, tail } = wire;
    let (resources, mut allocation_role) = resources::read(known.resources, "resources")?;
    let executor = known.executor.map(|executor| read(*executor, &mut allocation_role));
    Ok(TaskInfo {
        name: text(known.name, "name")?,
        task_id,
        agent_id,
        resources,
        limits: limits(known.limits)?,
        executor: executor.transpose().at("executor")?,
        allocation_role,
        kill_grace: grace(known.kill_policy)?,
        max_completion_time: maybe(known.max_completion_time, "max_completion_time")?,
        payload: TaskPayload::from_bytes(tail.into())?,
    })
}

/// Its ids and nothing else: what every master refuses as well.
impl From<&UnreadableTask> for tail::TaskInfo {
    fn from(task: &UnreadableTask) -> Self {
        let agent_id = task.agent_id.as_ref().map(Into::into);
        let none = w::AgentId { value: Some(String::new()) };
        let known = w::TaskInfo {
            name: Some(String::new()),
            task_id: Some((&task.task_id).into()),
            agent_id: Some(agent_id.unwrap_or(none)),
            ..w::TaskInfo::default()
        };
        Self { known, tail: Vec::new() }
    }
}

/// A limit on the wire; none is infinity there.
pub(super) fn limit((name, limit): (&Arc<str>, &Option<u64>)) -> (String, w::value::Scalar) {
    let value = limit.map_or(f64::INFINITY, |milli| milli as f64 / 1000.0);
    (name.to_string(), resources::scalar(value))
}

pub(super) fn limits(
    wire: BTreeMap<String, w::value::Scalar>,
) -> Result<BTreeMap<Arc<str>, Option<u64>>, DecodeError> {
    let read = |(name, scalar): (String, w::value::Scalar)| {
        let field = "value";
        let limit = match present(scalar.value, field) {
            Ok(value) if value == f64::INFINITY => Ok(None),
            Ok(value) => resources::milli(value, field).map(Some),
            Err(error) => Err(error),
        };
        let limit = limit.map_err(|error| error.under(&name).within("limits"))?;
        Ok((Arc::from(name), limit))
    };
    wire.into_iter().map(read).collect()
}

pub(super) fn kill_policy(grace: Duration) -> w::KillPolicy {
    w::KillPolicy { grace_period: Some(grace.into()) }
}

pub(super) fn grace(policy: Option<w::KillPolicy>) -> Result<Option<Duration>, DecodeError> {
    maybe(policy.and_then(|policy| policy.grace_period), "kill_policy.grace_period")
}

impl ExecutorInfo {
    /// As it is shown to people: of environment variables that are secrets there are names alone.
    pub(super) fn shown(&self) -> tail::ExecutorInfo {
        let mut wire = tail::ExecutorInfo::from(self);
        let message = &schema::MESOS__V1__EXECUTOR_INFO;
        if let Some(shown) = schema::without_secrets(message, &wire.tail, schema::Left::Names) {
            wire.tail = shown;
        }
        wire
    }
}

/// An executor by itself: nobody says which role its resources are allocated to.
impl From<&ExecutorInfo> for tail::ExecutorInfo {
    fn from(executor: &ExecutorInfo) -> Self {
        write(executor, Style::default())
    }
}

impl TryFrom<tail::ExecutorInfo> for ExecutorInfo {
    type Error = DecodeError;
    fn try_from(wire: tail::ExecutorInfo) -> Result<Self, DecodeError> {
        read(wire, &mut None)
    }
}

fn write(executor: &ExecutorInfo, style: Style<'_>) -> tail::ExecutorInfo {
    let known = w::ExecutorInfo {
        executor_id: Some((&executor.executor_id).into()),
        resources: resources::write(&executor.resources, style),
        framework_id: executor.framework_id.as_ref().map(Into::into),
    };
    tail::ExecutorInfo { known, tail: executor.payload.to_vec() }
}

fn read(wire: tail::ExecutorInfo, role: &mut Option<Role>) -> Result<ExecutorInfo, DecodeError> {
    let (resources, own) = resources::read(wire.known.resources, "resources")?;
    if let Some(own) = own {
        resources::agree(role, own.as_str()).at("resources")?;
    }
    Ok(ExecutorInfo {
        executor_id: need(wire.known.executor_id, "executor_id")?,
        framework_id: maybe(wire.known.framework_id, "framework_id")?,
        resources,
        payload: wire.tail.into(),
    })
}
