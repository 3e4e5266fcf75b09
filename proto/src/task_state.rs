//! Task states and the one table of their transitions.

use std::fmt;

/// The states of a task, with Mesos' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TaskState {
    /// The executor has it.
    Starting = 0,
    /// It runs.
    Running = 1,
    /// It ended well.
    Finished = 2,
    /// It ended badly.
    Failed = 3,
    /// It was killed on request.
    Killed = 4,
    /// Nobody knows; the only word for it that frameworks without PARTITION_AWARE understand.
    Lost = 5,
    /// The master's first state; never sent as an update.
    Staging = 6,
    /// Its description is wrong.
    Error = 7,
    /// It is being killed (only for frameworks with TASK_KILLING_STATE).
    Killing = 8,
    /// It never ran.
    Dropped = 9,
    /// Its agent lost contact; it may come back.
    Unreachable = 10,
    /// It ran and is dead, as its agent says.
    Gone = 11,
    /// An operator said that its agent is gone.
    GoneByOperator = 12,
    /// The master never heard of it.
    Unknown = 13,
}

/// What a state that is reported means after the state that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// A step of the task's life: record it.
    Advance,
    /// The same again (delivery is at least once, health may change): nothing to record.
    Repeat,
    /// It comes too late; what is recorded stays.
    Stale,
}

impl TaskState {
    /// All states in the order of a task's life.
    pub const ALL: [Self; 14] = [
        Self::Staging,
        Self::Starting,
        Self::Running,
        Self::Killing,
        Self::Unreachable,
        Self::Finished,
        Self::Failed,
        Self::Killed,
        Self::Error,
        Self::Lost,
        Self::Dropped,
        Self::Gone,
        Self::GoneByOperator,
        Self::Unknown,
    ];

    /// Mesos' name, such as `TASK_RUNNING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Lost => "TASK_LOST",
            Self::Staging => "TASK_STAGING",
            Self::Error => "TASK_ERROR",
            Self::Killing => "TASK_KILLING",
            Self::Dropped => "TASK_DROPPED",
            Self::Unreachable => "TASK_UNREACHABLE",
            Self::Gone => "TASK_GONE",
            Self::GoneByOperator => "TASK_GONE_BY_OPERATOR",
            Self::Unknown => "TASK_UNKNOWN",
        }
    }

    /// The state of a Mesos name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state of a Mesos number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| i32::from(*state as u8) == number)
    }

    /// Whether it is final: the task holds no resources and will not run again.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Lost
            | Self::Dropped
            | Self::Gone
            | Self::GoneByOperator => true,
            Self::Staging
            | Self::Starting
            | Self::Running
            | Self::Killing
            | Self::Unreachable
            | Self::Unknown => false,
        }
    }

    /// What a report of `to` means when `self` is recorded.
    ///
    /// Final states stay. Lives go forward, except that an unreachable task may come back in any
    /// state of a living task. `Staging` and `Unknown` are never reported for a task that is
    /// recorded.
    pub fn transition(self, to: Self) -> Transition {
        use TaskState::{Killing, Running, Staging, Starting, Unknown, Unreachable};
        if self == to {
            return Transition::Repeat;
        }
        if self.is_terminal() {
            return Transition::Stale;
        }
        match (self, to) {
            (_, Staging | Unknown) => Transition::Stale,
            (_, to) if to.is_terminal() => Transition::Advance,
            (_, Unreachable) => Transition::Advance,
            (Staging | Starting | Unreachable | Unknown, _) => Transition::Advance,
            (Running, Killing) => Transition::Advance,
            (Running | Killing, _) => Transition::Stale,
            (_, _) => Transition::Stale,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
