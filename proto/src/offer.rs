//! Offers, and what a framework may do with them.

use crate::{
    AgentId, Attribute, Domain, ExecutorId, ExecutorInfo, FrameworkId, InvalidOperation, OfferId,
    ResourceOperation, Resources, Role, TaskId, TaskInfo, Unavailability,
};
use std::sync::Arc;
use std::time::Duration;

/// Resources of one agent, promised to one framework in one role until it answers, the offer is
/// rescinded, or it times out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Whom it is made to.
    pub framework_id: FrameworkId,
    /// Whose resources they are.
    pub agent_id: AgentId,
    /// The agent's name or address.
    pub hostname: Arc<str>,
    /// The port of the agent's API.
    pub port: u16,
    /// The role they are allocated to.
    pub role: Role,
    /// What is offered.
    pub resources: Resources,
    /// The agent's attributes.
    pub attributes: Arc<[Attribute]>,
    /// The agent's fault domain.
    pub domain: Option<Domain>,
    /// Executors of this framework that already run on the agent.
    pub executor_ids: Vec<ExecutorId>,
    /// When the agent is to be away, if that is planned.
    pub unavailability: Option<Unavailability>,
}

/// What an ACCEPT does with the offered resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Launch tasks, each checked in order against what remains.
    Launch(Vec<TaskInfo>),
    /// Tasks of a LAUNCH that no `TaskInfo` can hold: each is answered for by itself, and the
    /// others of its LAUNCH, which stands before this one, go on.
    Unreadable(Vec<UnreadableTask>),
    /// Launch tasks together, or none of them.
    LaunchGroup(Box<TaskGroup>),
    /// Change resources: reservations and volumes.
    Change(Box<ResourceOperation>),
    /// An operation that makes no sense: it is answered for by itself, and the others go on.
    Invalid(Box<InvalidOperation>),
    /// An operation of the Mesos API that is not built, by its name on the wire.
    NotBuilt(Arc<str>),
}

impl Operation {
    /// The operation's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Launch(_) | Self::Unreadable(_) => "LAUNCH",
            Self::LaunchGroup(_) => "LAUNCH_GROUP",
            Self::Change(operation) => operation.change.name(),
            Self::Invalid(operation) => &operation.name,
            Self::NotBuilt(name) => name,
        }
    }
}

/// Tasks that are launched together in one executor, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskGroup {
    /// The executor; absent when it could not be read, and then every task is unreadable.
    pub executor: Option<ExecutorInfo>,
    /// The tasks that could be read.
    pub tasks: Vec<TaskInfo>,
    /// Those that could not; if there are any, none is launched.
    pub unreadable: Vec<UnreadableTask>,
}

/// A task that makes no sense (a negative amount, say) but has an id to answer for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableTask {
    /// Its id.
    pub task_id: TaskId,
    /// Where it was to run, when that can be read.
    pub agent_id: Option<AgentId>,
    /// The field and what is wrong with it.
    pub problem: Arc<str>,
}

/// How long what was refused is not to be offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters {
    /// Zero means no filter.
    pub refuse: Duration,
}

impl Filters {
    /// Mesos' default: 5 seconds.
    pub const DEFAULT: Self = Self { refuse: Duration::from_secs(5) };
    /// The longest filter: 365 days.
    pub const MAX_REFUSE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Reads `refuse_seconds` as Mesos does: absent, negative or not a number means the default,
    /// more than 365 days means 365 days.
    pub fn from_seconds(seconds: Option<f64>) -> Self {
        match seconds {
            Some(s) if s >= 0.0 => Self {
                refuse: Duration::try_from_secs_f64(s)
                    .map_or(Self::MAX_REFUSE, |refuse| refuse.min(Self::MAX_REFUSE)),
            },
            _ => Self::DEFAULT,
        }
    }

    /// No filter at all.
    pub const fn none() -> Self {
        Self { refuse: Duration::ZERO }
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self::DEFAULT
    }
}
