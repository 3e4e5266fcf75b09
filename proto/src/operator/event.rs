//! Events for those who watch: numbered, so that a stream that was cut can be taken up again.

use super::{AgentView, FrameworkView, State, TaskView};
use crate::{AgentId, FrameworkId, FrameworkInfo, TaskState, TaskStatus};
use std::sync::Arc;
use std::time::Duration;

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its number: one more than that of the event before. SUBSCRIBED and HEARTBEAT have the
    /// number of the last event that is behind them; absent from masters that do not number.
    pub sequence: Option<u64>,
    /// The event.
    pub event: Event,
}

/// The events, with Mesos' names; AGENT_UPDATED and CUT_OFF are ours (numbers from 1000 up).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream is open.
    Subscribed {
        /// Everything as it stands; absent when the stream goes on where it was cut.
        state: Option<Box<State>>,
        /// How often a heartbeat comes.
        heartbeat_interval: Duration,
        /// The stream's name: numbers of another stream mean nothing in it. Empty from masters
        /// that do not number.
        stream: Arc<str>,
    },
    /// A task is new.
    TaskAdded(TaskView),
    /// A task has a new status.
    TaskUpdated {
        /// Whose task.
        framework_id: FrameworkId,
        /// The status.
        status: Box<TaskStatus>,
        /// The task's newest state.
        state: TaskState,
    },
    /// An agent is admitted, or came back.
    AgentAdded(AgentView),
    /// An agent's standing or description changed.
    AgentUpdated(AgentView),
    /// An agent is given up.
    AgentRemoved(AgentId),
    /// A framework is new.
    FrameworkAdded(FrameworkView),
    /// A framework changed.
    FrameworkUpdated(FrameworkView),
    /// A framework is over.
    FrameworkRemoved(FrameworkInfo),
    /// Nothing new.
    Heartbeat,
    /// The stream ends.
    CutOff {
        /// Why.
        reason: CutOff,
        /// For people.
        message: Arc<str>,
    },
}

/// Why a stream of events ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOff {
    /// The subscriber reads more slowly than things happen: too much waited for it.
    Slow = 1,
    /// There are too many subscribers, and this one is the oldest.
    TooMany = 2,
    /// The master stops, or leads no longer.
    Ending = 3,
    /// The master's copy of the state fell behind and was made anew: numbers begin anew as well.
    Behind = 4,
}
