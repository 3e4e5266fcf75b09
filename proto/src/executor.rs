//! The executor API: what a custom executor may call on its agent, and the events it gets.

use crate::{
    AgentInfo, ContainerId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, InvalidValue,
    Source, StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus,
};
use std::sync::Arc;
use std::time::Duration;

/// A call with the executor that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub executor_id: ExecutorId,
    /// Whose executor it is.
    pub framework_id: FrameworkId,
    /// What is called.
    pub body: CallBody,
}

/// The calls, with Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallBody {
    /// Open the event stream; when coming back, with what the framework has not acknowledged.
    Subscribe {
        /// Tasks of which no update was acknowledged.
        unacknowledged_tasks: Vec<TaskInfo>,
        /// Updates that were not acknowledged, oldest first.
        unacknowledged_updates: Vec<Update>,
    },
    /// Report on a task.
    Update(Box<Update>),
    /// Send bytes to the scheduler, at most once.
    Message(Arc<[u8]>),
    /// Nothing new.
    Heartbeat,
}

impl CallBody {
    /// The call's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Update(_) => "UPDATE",
            Self::Message(_) => "MESSAGE",
            Self::Heartbeat => "HEARTBEAT",
        }
    }
}

/// A status that an executor may report: it has a uuid, says that an executor made it, and is not
/// TASK_STAGING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    status: TaskStatus,
    uuid: StatusUuid,
}

impl Update {
    /// Checks a status.
    ///
    /// # Errors
    /// Says which rule of updates it breaks.
    pub fn new(status: TaskStatus) -> Result<Self, InvalidValue> {
        let wrong = |problem: &str| Err(InvalidValue::new("TaskStatus", problem));
        let Some(uuid) = status.uuid else { return wrong("must have a 'uuid'") };
        if status.source != Source::Executor {
            return wrong("must have the source SOURCE_EXECUTOR");
        }
        if status.state == TaskState::Staging {
            return wrong("must not be TASK_STAGING");
        }
        Ok(Self { status, uuid })
    }

    /// The status.
    pub fn status(&self) -> &TaskStatus {
        &self.status
    }

    /// Its identity.
    pub fn uuid(&self) -> StatusUuid {
        self.uuid
    }

    /// The status, to keep.
    pub fn into_status(self) -> TaskStatus {
        self.status
    }
}

/// The events, with Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream is open.
    Subscribed(Box<Subscribed>),
    /// Run this task.
    Launch(Box<TaskInfo>),
    /// Run these tasks, all or none.
    LaunchGroup(Vec<TaskInfo>),
    /// Kill a task.
    Kill {
        /// Which.
        task_id: TaskId,
        /// Between TERM and KILL, in place of what the task says.
        grace: Option<Duration>,
    },
    /// The framework has this update; it need not be sent again.
    Acknowledged {
        /// The update's task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// Bytes from the scheduler.
    Message(Arc<[u8]>),
    /// A call was wrong.
    Error(Arc<str>),
    /// Kill all tasks and exit.
    Shutdown,
    /// Nothing new.
    Heartbeat,
}

/// The first event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The executor itself.
    pub executor_info: ExecutorInfo,
    /// Its framework.
    pub framework_info: FrameworkInfo,
    /// Its agent.
    pub agent_info: AgentInfo,
    /// Its container.
    pub container_id: Option<ContainerId>,
}
