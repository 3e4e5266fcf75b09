//! What operators see, told as changes.
//!
//! Every change leaves as `Effect::Publish`, in order with all other effects, so a reader never
//! sees what is not durable. A shell keeps a copy (`Book`) and serves every read from it: reads
//! cost the core nothing but the telling. What changes with every offer (`Load`, `Demand`) is told
//! at a pace; all else at the end of the step that changed it.

mod book;
mod feed;
mod snapshot;

pub use book::{Book, FrameworkPage, PastPage};
pub(crate) use feed::Publisher;

use crate::registry::{Drain, RegistryOp};
pub use crate::task::{PastTask, Step};
use proto::operator::AgentStanding;
use proto::scheduler::Demand;
use proto::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, InverseOfferAnswer,
    OfferConstraints, OfferId, Resources, Role, TaskId, TaskShown, TaskState, TaskStatus, Time,
    Unavailability,
};
use std::sync::Arc;

/// One change. Whole records replace what was told before under the same id.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An agent is new, or it is not what it was.
    Agent(Arc<AgentRecord>),
    /// The agent is forgotten, or gone for ever.
    AgentRemoved(AgentId),
    /// What is used and offered on an agent.
    Load(Arc<AgentLoad>),
    /// A framework is new, or it is not what it was.
    Framework(Arc<FrameworkRecord>),
    /// What the framework still wants.
    Demand {
        /// Which.
        framework_id: FrameworkId,
        /// Everything that it asked for and did not launch.
        demands: Arc<[Demand]>,
    },
    /// The framework is over; all its tasks ended before.
    FrameworkEnded {
        /// Which.
        framework_id: FrameworkId,
        /// When.
        unregistered: Time,
    },
    /// A task is new here, is back, or its agent became unreachable.
    Task(Arc<TaskRecord>),
    /// An update of the task was taken.
    TaskUpdated {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
        /// Its newest state; `step` may lag behind.
        state: TaskState,
        /// The state that was told, unless it came too late to be recorded.
        step: Option<Step>,
        /// The update.
        status: Arc<TaskStatus>,
    },
    /// The task is over, and nothing more will be heard of it.
    TaskEnded {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
        /// Its end.
        step: Step,
    },
    /// The task is remembered no longer, though no end of it is known.
    TaskForgotten {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
    },
    /// A fact about the whole cluster: a weight, say.
    Fact(RegistryOp),
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its id.
    pub id: AgentId,
    /// The agent, with its id and all that it has.
    pub info: AgentInfo,
    /// Its standing.
    pub standing: AgentStanding,
    /// Its software version.
    pub version: Arc<str>,
    /// When it was admitted.
    pub registered: Time,
    /// When it last came back to this master.
    pub reregistered: Option<Time>,
    /// Since when it is unreachable.
    pub unreachable: Option<Time>,
    /// Whether no offers are made of it.
    pub deactivated: bool,
    /// Its drain, under way or done.
    pub drain: Option<Drain>,
    /// When its machine is away, if that is planned and it is registered.
    pub unavailability: Option<Unavailability>,
    /// Whether its disk is about to be full, so that none of it is offered.
    pub disk_pressed: bool,
}

/// What is used and offered on a registered agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLoad {
    /// Which.
    pub agent_id: AgentId,
    /// What living tasks and executors hold.
    pub allocated: Resources,
    /// Its custom executors.
    pub executors: Vec<ExecutorBrief>,
    /// What is in offers.
    pub offered: Resources,
    /// The offers.
    pub offers: Vec<OfferBrief>,
    /// Frameworks that were asked to leave because the machine will be away.
    pub asked: Vec<AskedBrief>,
}

/// A custom executor; its agent is that of its load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorBrief {
    /// Whose.
    pub framework_id: FrameworkId,
    /// The role that its resources are allocated to.
    pub role: Role,
    /// The executor, with what it uses beside its tasks.
    pub info: Arc<ExecutorInfo>,
    /// Whether that is counted as used.
    pub holds: bool,
}

/// A framework that was asked to leave an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBrief {
    /// Which.
    pub framework_id: FrameworkId,
    /// The inverse offer that it has not answered.
    pub inverse_offer: Option<OfferId>,
    /// Its newest answer, and when it came.
    pub answer: Option<(InverseOfferAnswer, Time)>,
}

/// An outstanding offer; its agent is that of its load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferBrief {
    /// Its id.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// In which role.
    pub role: Role,
    /// What is in it.
    pub resources: Resources,
}

/// A framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkRecord {
    /// Its id.
    pub id: FrameworkId,
    /// The framework, with its id.
    pub info: Arc<FrameworkInfo>,
    /// Whether its scheduler is connected.
    pub connected: bool,
    /// Whether it has not subscribed with this master yet.
    pub recovered: bool,
    /// When it first subscribed.
    pub registered: Time,
    /// When it last came back.
    pub reregistered: Option<Time>,
    /// When it will be removed, while it is not connected.
    pub failover_deadline: Option<Time>,
    /// Roles in which it wants no offers.
    pub suppressed: Vec<Role>,
    /// Which agents it wants offers of.
    pub constraints: Option<Arc<OfferConstraints>>,
}

/// A task that is not over, or whose end is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Whose.
    pub framework_id: FrameworkId,
    /// Its id.
    pub task_id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Where.
    pub agent_id: AgentId,
    /// The role that its resources are allocated to.
    pub role: Role,
    /// What it uses.
    pub resources: Arc<Resources>,
    /// Its executor, when it has a custom one.
    pub executor_id: Option<ExecutorId>,
    /// Labels, discovery and container, as far as it has them.
    pub shown: Option<TaskShown>,
    /// Its newest state.
    pub state: TaskState,
    /// The states that were told, oldest first, each once.
    pub steps: Vec<Step>,
    /// Its newest update.
    pub status: Option<Arc<TaskStatus>>,
    /// Since when its agent is unreachable.
    pub unreachable_since: Option<Time>,
}

impl TaskRecord {
    /// What is remembered of it once it is over.
    pub fn ended(&self, step: Step) -> PastTask {
        PastTask {
            task_id: self.task_id.clone(),
            name: self.name.clone(),
            agent_id: self.agent_id.clone(),
            role: self.role.clone(),
            resources: self.resources.clone(),
            step,
        }
    }

    /// Records an update.
    pub fn update(&mut self, state: TaskState, step: Option<Step>, status: Arc<TaskStatus>) {
        self.state = state;
        if let Some(step) = step {
            self.steps.retain(|old| old.state != step.state);
            self.steps.push(step);
            self.status = Some(status);
        }
    }
}
