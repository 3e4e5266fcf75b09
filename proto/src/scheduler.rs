//! The scheduler API: what a framework may call, and the events it gets.

use crate::{
    AgentId, ExecutorId, Filters, FrameworkId, FrameworkInfo, InverseOffer, MasterId, Offer,
    OfferConstraints, OfferId, Operation, OperationId, OperationStatus, Resources, Role,
    StatusUuid, TaskId, TaskStatus, Time,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

mod state;

pub use state::{
    STATE_BYTES, STATE_KEYS, STATE_VALUE_BYTES, StateAnswer, StateAsk, StateCall, StateEntry,
    StateFence, StateOutcome,
};

/// A call with the framework that makes it; the id is absent only in a first SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub framework_id: Option<FrameworkId>,
    /// What is called.
    pub body: CallBody,
}

/// The calls, with Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallBody {
    /// Open the event stream.
    Subscribe(Box<Subscribe>),
    /// Open the event stream as a framework that makes no sense (a role that is no role, say): the
    /// field and what is wrong with it. The answer is an ERROR event on the stream, which ends.
    Unsubscribable(Arc<str>),
    /// Remove the framework and kill its tasks.
    Teardown,
    /// Use offers of one agent and one role.
    Accept {
        /// The offers used.
        offer_ids: Vec<OfferId>,
        /// What to do, in order.
        operations: Vec<Operation>,
        /// For what remains.
        filters: Filters,
    },
    /// Give offers back.
    Decline {
        /// The offers.
        offer_ids: Vec<OfferId>,
        /// For what they hold.
        filters: Filters,
    },
    /// Clear filters and suppression of these roles; of all when empty.
    Revive {
        /// The roles.
        roles: Vec<Role>,
    },
    /// Make no offers in these roles; in none when empty.
    Suppress {
        /// The roles.
        roles: Vec<Role>,
    },
    /// Kill a task.
    Kill {
        /// Which.
        task_id: TaskId,
        /// Where, if known.
        agent_id: Option<AgentId>,
        /// Between TERM and KILL, in place of what the task says.
        grace: Option<Duration>,
    },
    /// Shut a custom executor down.
    Shutdown {
        /// Which.
        executor_id: ExecutorId,
        /// Where.
        agent_id: AgentId,
    },
    /// Confirm that a status update is safe with the framework.
    Acknowledge {
        /// The update's agent.
        agent_id: AgentId,
        /// The update's task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// Ask for the state of tasks; of all when empty.
    Reconcile {
        /// Tasks and, if known, their agents.
        tasks: Vec<(TaskId, Option<AgentId>)>,
    },
    /// Send bytes to an executor, at most once.
    Message {
        /// Its agent.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// State the whole demand of the framework; replaces what was stated before.
    Request {
        /// Bundles wanted; empty takes the demand back.
        demands: Vec<Demand>,
    },
    /// Say yes to inverse offers: the resources will be free in time.
    AcceptInverseOffers {
        /// Which.
        inverse_offer_ids: Vec<OfferId>,
        /// When to be asked again.
        filters: Filters,
    },
    /// Say no to inverse offers.
    DeclineInverseOffers {
        /// Which.
        inverse_offer_ids: Vec<OfferId>,
        /// When to be asked again.
        filters: Filters,
    },
    /// Confirm that an operation's status is safe with the framework.
    AcknowledgeOperationStatus {
        /// Where the operation is.
        agent_id: Option<AgentId>,
        /// The status.
        uuid: StatusUuid,
        /// The operation.
        operation_id: OperationId,
    },
    /// Ask for the status of operations; of all when empty.
    ReconcileOperations {
        /// Operations and, if known, their agents.
        operations: Vec<(OperationId, Option<AgentId>)>,
    },
    /// Describe the framework anew, with everything that SUBSCRIBE says.
    UpdateFramework(Box<Subscribe>),
    /// Read or write what the masters keep for the framework (ours). Answered by `Event::State`.
    State(StateCall),
    /// A call of the Mesos API that is not built, by its name on the wire.
    NotBuilt(Arc<str>),
}

impl CallBody {
    /// The call's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Subscribe(_) | Self::Unsubscribable(_) => "SUBSCRIBE",
            Self::Teardown => "TEARDOWN",
            Self::Accept { .. } => "ACCEPT",
            Self::Decline { .. } => "DECLINE",
            Self::Revive { .. } => "REVIVE",
            Self::Suppress { .. } => "SUPPRESS",
            Self::Kill { .. } => "KILL",
            Self::Shutdown { .. } => "SHUTDOWN",
            Self::Acknowledge { .. } => "ACKNOWLEDGE",
            Self::Reconcile { .. } => "RECONCILE",
            Self::Message { .. } => "MESSAGE",
            Self::Request { .. } => "REQUEST",
            Self::AcceptInverseOffers { .. } => "ACCEPT_INVERSE_OFFERS",
            Self::DeclineInverseOffers { .. } => "DECLINE_INVERSE_OFFERS",
            Self::AcknowledgeOperationStatus { .. } => "ACKNOWLEDGE_OPERATION_STATUS",
            Self::ReconcileOperations { .. } => "RECONCILE_OPERATIONS",
            Self::UpdateFramework(_) => "UPDATE_FRAMEWORK",
            Self::State(call) => call.ask.name(),
            Self::NotBuilt(name) => name,
        }
    }
}

/// The first call on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The framework.
    pub framework_info: FrameworkInfo,
    /// Roles for which no offers are wanted yet.
    pub suppressed_roles: BTreeSet<Role>,
    /// Which agents it wants offers of, when it says so.
    pub offer_constraints: Option<OfferConstraints>,
    /// Refused unless the framework's state is like that: a scheduler that was replaced while it
    /// was away does not push aside the one that replaced it.
    pub fence: Option<StateFence>,
}

/// A bundle of resources that a framework wants, and how often.
/// Mesos has the resources and the agent; the rest is ours (fields from 1000 up).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// In which role; absent means any of the framework's.
    pub role: Option<Role>,
    /// Only on this agent, when set.
    pub agent_id: Option<AgentId>,
    /// One bundle: it must fit on one agent.
    pub resources: Resources,
    /// How many bundles, at least 1.
    pub count: u32,
    /// When they are wanted at the latest.
    pub deadline: Option<Time>,
    /// Which of the framework's demands come first: the greater ones. 0 is the default.
    pub priority: i32,
}

/// The events, with Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream is open.
    Subscribed {
        /// The framework's id, new or as before.
        framework_id: FrameworkId,
        /// How often a heartbeat comes.
        heartbeat_interval: Duration,
        /// The master that answers.
        master: MasterInfo,
    },
    /// New offers.
    Offers(Vec<Offer>),
    /// An offer that is no longer valid.
    Rescind(OfferId),
    /// A report on a task.
    Update(TaskStatus),
    /// Requests to give resources back.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer that is no longer valid.
    RescindInverseOffer(OfferId),
    /// A report on an operation.
    UpdateOperationStatus(OperationStatus),
    /// Bytes from an executor.
    Message {
        /// Its agent.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// An agent (alone), or an executor on it, is lost.
    Failure {
        /// The agent.
        agent_id: Option<AgentId>,
        /// The executor.
        executor_id: Option<ExecutorId>,
        /// Its exit status.
        status: Option<i32>,
    },
    /// The stream ends and the framework must not simply try again.
    Error(Arc<str>),
    /// Nothing new.
    Heartbeat,
    /// A call on a gRPC stream was refused: what HTTP says with a status code (ours).
    Refused {
        /// The call's name on the wire.
        call: Arc<str>,
        /// The status code that HTTP would have.
        code: u16,
        /// Why.
        message: Arc<str>,
    },
    /// The answer to a `CallBody::State` (ours).
    State(StateAnswer),
}

/// The master as frameworks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterInfo {
    /// Its id.
    pub id: MasterId,
    /// Its name or address.
    pub hostname: Arc<str>,
    /// Its IPv4 address, for old clients, packed in network order as Mesos does: 127.0.0.1 is
    /// `u32::from_le_bytes([127, 0, 0, 1])`; 0 when there is none.
    pub ip: u32,
    /// Its port.
    pub port: u16,
    /// The version that old clients parse: digits and dots only.
    pub version: Arc<str>,
}
