//! Calls of the operator API.

use crate::{
    AgentId, FrameworkId, MachineId, Quantities, QuotaConfig, ResourceChange, Role, Schedule,
    TaskId, Weight,
};
use std::sync::Arc;
use std::time::Duration;

/// What an operator may ask of a master. Mesos' names; those with numbers from 1000 up are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Is it well?
    GetHealth,
    /// With which flags was it started?
    GetFlags,
    /// What is it?
    GetVersion,
    /// All metrics.
    GetMetrics {
        /// How long to wait for those that take time.
        timeout: Option<Duration>,
    },
    /// How much is logged?
    GetLoggingLevel,
    /// Log more or less for a while.
    SetLoggingLevel {
        /// The level; greater says more.
        level: u32,
        /// After it the level is as before.
        duration: Duration,
    },
    /// What is in a virtual directory?
    ListFiles {
        /// Its path.
        path: Arc<str>,
    },
    /// A part of a file.
    ReadFile {
        /// Its virtual path.
        path: Arc<str>,
        /// From this byte on.
        offset: u64,
        /// At most so many bytes.
        length: Option<u64>,
    },
    /// Who is it?
    GetMaster,
    /// Everything.
    GetState,
    /// Agents.
    GetAgents,
    /// Frameworks with their offers and their demand.
    GetFrameworks,
    /// Custom executors.
    GetExecutors,
    /// Operations that are under way or not acknowledged.
    GetOperations,
    /// Tasks.
    GetTasks,
    /// Roles.
    GetRoles,
    /// Weights that were set.
    GetWeights,
    /// Set weights; each at least one thousandth.
    UpdateWeights(Vec<Weight>),
    /// What is there, and then what changes.
    Subscribe {
        /// Where an earlier stream was cut: go on there, without a snapshot, if that can be done.
        resume: Option<Resume>,
    },
    /// Reserve, unreserve, create, destroy, grow or shrink something on an agent.
    ChangeResources {
        /// Where.
        agent_id: AgentId,
        /// What.
        change: ResourceChange,
    },
    /// How the scheduled machines stand.
    GetMaintenanceStatus,
    /// What is planned.
    GetMaintenanceSchedule,
    /// Replace what is planned.
    UpdateMaintenanceSchedule(Schedule),
    /// Take machines down that are scheduled.
    StartMaintenance(Vec<MachineId>),
    /// Bring machines up again.
    StopMaintenance(Vec<MachineId>),
    /// Quota of roles that have one.
    GetQuota,
    /// Replace the quota of roles, all or none of them.
    UpdateQuota {
        /// Even if the cluster cannot guarantee it, or more than the limit is in use.
        force: bool,
        /// The roles with their new quota.
        configs: Vec<QuotaConfig>,
    },
    /// Give a role that has none a quota whose limit is its guarantee (the old way).
    SetQuota {
        /// Even if the cluster cannot guarantee it.
        force: bool,
        /// The role.
        role: Role,
        /// Guarantee and limit.
        guarantee: Quantities,
    },
    /// Take a role's quota away (the old way).
    RemoveQuota(Role),
    /// Remove a framework and kill its tasks.
    Teardown(FrameworkId),
    /// An agent will not come back: give it up for ever.
    MarkAgentGone(AgentId),
    /// Agents that were marked gone with something on them, which are never forgotten by themselves.
    GetGoneAgents,
    /// Forget an agent that was marked gone: should it come back, it is taken in under its id.
    ForgetAgent(AgentId),
    /// The masters, and how they stand. Answered by the one that leads, as are the next three.
    GetMasters,
    /// A master joins, or is found elsewhere from now on. It votes once it has the whole log.
    AddMaster {
        /// Drawn by itself; never 0.
        id: u64,
        /// `HOST:PORT`.
        address: Arc<str>,
    },
    /// A master is none any more; not the one that leads, which hands over first.
    RemoveMaster(u64),
    /// Another master should lead: this one, or the one that knows most.
    TransferLead(Option<u64>),
    /// End an agent's tasks and give it no new ones.
    DrainAgent {
        /// Which.
        agent_id: AgentId,
        /// The longest grace that tasks get.
        max_grace: Option<Duration>,
        /// Whether to mark it gone once it is drained.
        mark_gone: bool,
    },
    /// Make no offers of an agent.
    DeactivateAgent(AgentId),
    /// Make offers of a deactivated or drained agent again.
    ReactivateAgent(AgentId),
    /// Why does this framework get no (more) offers?
    Explain(FrameworkId),
    /// Why does this role get no more?
    ExplainRole(Role),
    /// A part of what a read would answer.
    Select(Box<Selection>),
    /// A call that is not known here, by its name on the wire.
    NotBuilt(Arc<str>),
}

/// Which part of the answer to a read is wanted: of each list the elements that have all that is
/// named here. What an element has nothing of is no matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The read: GET_STATE, GET_AGENTS, GET_FRAMEWORKS, GET_TASKS, GET_ROLES or GET_OPERATIONS.
    pub call: Call,
    /// So many of those that fit are left out.
    pub offset: u64,
    /// At most so many.
    pub limit: Option<u64>,
    /// Only these fields of each element, when any is named; in JSON only.
    pub fields: Vec<Arc<str>>,
    /// Of this framework.
    pub framework_id: Option<FrameworkId>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// This task.
    pub task_id: Option<TaskId>,
    /// Of this role.
    pub role: Option<Role>,
}

impl Selection {
    /// Everything that `call` answers.
    pub fn all(call: Call) -> Self {
        Self {
            call,
            offset: 0,
            limit: None,
            fields: Vec::new(),
            framework_id: None,
            agent_id: None,
            task_id: None,
            role: None,
        }
    }
}

/// Where a stream of events is taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The stream's name, from its SUBSCRIBED event; absent means whatever it is now called.
    pub stream: Option<Arc<str>>,
    /// The number of the last event that arrived.
    pub after: u64,
}

impl Call {
    /// The call's name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::GetHealth => "GET_HEALTH",
            Self::GetFlags => "GET_FLAGS",
            Self::GetVersion => "GET_VERSION",
            Self::GetMetrics { .. } => "GET_METRICS",
            Self::GetLoggingLevel => "GET_LOGGING_LEVEL",
            Self::SetLoggingLevel { .. } => "SET_LOGGING_LEVEL",
            Self::ListFiles { .. } => "LIST_FILES",
            Self::ReadFile { .. } => "READ_FILE",
            Self::GetMaster => "GET_MASTER",
            Self::GetState => "GET_STATE",
            Self::GetAgents => "GET_AGENTS",
            Self::GetFrameworks => "GET_FRAMEWORKS",
            Self::GetExecutors => "GET_EXECUTORS",
            Self::GetOperations => "GET_OPERATIONS",
            Self::GetTasks => "GET_TASKS",
            Self::GetRoles => "GET_ROLES",
            Self::GetWeights => "GET_WEIGHTS",
            Self::UpdateWeights(_) => "UPDATE_WEIGHTS",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::ChangeResources { change, .. } => change.call_name(),
            Self::GetMaintenanceStatus => "GET_MAINTENANCE_STATUS",
            Self::GetMaintenanceSchedule => "GET_MAINTENANCE_SCHEDULE",
            Self::UpdateMaintenanceSchedule(_) => "UPDATE_MAINTENANCE_SCHEDULE",
            Self::StartMaintenance(_) => "START_MAINTENANCE",
            Self::StopMaintenance(_) => "STOP_MAINTENANCE",
            Self::GetQuota => "GET_QUOTA",
            Self::UpdateQuota { .. } => "UPDATE_QUOTA",
            Self::SetQuota { .. } => "SET_QUOTA",
            Self::RemoveQuota(_) => "REMOVE_QUOTA",
            Self::Teardown(_) => "TEARDOWN",
            Self::MarkAgentGone(_) => "MARK_AGENT_GONE",
            Self::GetGoneAgents => "GET_GONE_AGENTS",
            Self::ForgetAgent(_) => "FORGET_AGENT",
            Self::GetMasters => "GET_MASTERS",
            Self::AddMaster { .. } => "ADD_MASTER",
            Self::RemoveMaster(_) => "REMOVE_MASTER",
            Self::TransferLead(_) => "TRANSFER_LEAD",
            Self::DrainAgent { .. } => "DRAIN_AGENT",
            Self::DeactivateAgent(_) => "DEACTIVATE_AGENT",
            Self::ReactivateAgent(_) => "REACTIVATE_AGENT",
            Self::Explain(_) | Self::ExplainRole(_) => "EXPLAIN",
            Self::Select(selection) => selection.call.name(),
            Self::NotBuilt(name) => name,
        }
    }
}
