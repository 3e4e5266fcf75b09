//! What operators see.

use crate::scheduler::Demand;
use crate::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, InverseOffer, Offer,
    OfferConstraints, OperationStatus, Quantities, QuotaConfig, ResourceOperation, Resources, Role,
    StatusUuid, TaskId, TaskShown, TaskState, TaskStatus, Time,
};
use std::sync::Arc;
use std::time::Duration;

/// Everything the master knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Agents; those that have not come back yet (recovered) after all others.
    pub agents: Vec<AgentView>,
    /// Frameworks.
    pub frameworks: Vec<FrameworkView>,
    /// Frameworks that are over.
    pub completed_frameworks: Vec<FrameworkView>,
    /// Tasks.
    pub tasks: TasksView,
    /// Custom executors.
    pub executors: Vec<ExecutorView>,
}

/// An agent's standing with the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStanding {
    /// Connected and answering.
    Active,
    /// Connected, but it missed a ping.
    Suspect,
    /// Its stream broke; it may come back.
    Disconnected,
    /// Known from the registry after the master's restart, not yet back.
    Recovered,
    /// Given up until it comes back.
    Unreachable,
}

/// An agent as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentView {
    /// The agent, with its id.
    pub info: AgentInfo,
    /// Its standing.
    pub standing: AgentStanding,
    /// Its software version.
    pub version: Arc<str>,
    /// When it was admitted.
    pub registered: Time,
    /// When it last came back.
    pub reregistered: Option<Time>,
    /// What tasks use.
    pub allocated: Resources,
    /// What is in offers.
    pub offered: Resources,
    /// Whether an operator deactivated it: no offers of it are made.
    pub deactivated: bool,
    /// How it is being drained.
    pub drain: Option<DrainView>,
    /// Since when it is unreachable.
    pub unreachable: Option<Time>,
    /// Whether its disk is about to be full, so that none of it is offered.
    pub disk_pressed: bool,
}

/// An agent that was marked gone with something reserved or made on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneAgent {
    /// Which.
    pub agent_id: AgentId,
    /// Since when.
    pub since: Time,
}

/// The masters of a cluster: who keeps its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masters {
    /// The cluster's id.
    pub cluster: Arc<str>,
    /// The term of the one that answers.
    pub term: u64,
    /// Up to where the log of the registry is agreed upon.
    pub commit: u64,
    /// Each of them.
    pub masters: Vec<MasterView>,
}

/// One of the masters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterView {
    /// Its id, never 0.
    pub id: u64,
    /// Where it is to be found, `HOST:PORT`.
    pub address: Arc<str>,
    /// Whether it votes; one that does not is still being told what there is.
    pub voting: bool,
    /// Whether it leads.
    pub leading: bool,
    /// Whether the one that leads heard of it lately.
    pub alive: bool,
    /// Up to where it has the log, as far as that is known.
    pub matched: Option<u64>,
}

/// An agent that is drained, or being drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainView {
    /// How far it is.
    pub state: DrainState,
    /// The longest grace that its tasks get.
    pub max_grace: Option<Duration>,
    /// Whether it is marked gone at the end.
    pub mark_gone: bool,
    /// Since when.
    pub started: Option<Time>,
}

/// How far the draining of an agent is (Mesos `DrainState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainState {
    /// It has tasks or operations left.
    Draining = 1,
    /// It has none.
    Drained = 2,
}

/// A framework as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkView {
    /// The framework, with its id.
    pub info: FrameworkInfo,
    /// Whether it gets offers.
    pub active: bool,
    /// Whether its scheduler is connected.
    pub connected: bool,
    /// Whether it is only known from agents so far.
    pub recovered: bool,
    /// When it first subscribed.
    pub registered: Time,
    /// When it last came back.
    pub reregistered: Option<Time>,
    /// When it ended.
    pub unregistered: Option<Time>,
    /// Roles that it suppressed.
    pub suppressed_roles: Vec<Role>,
    /// Outstanding offers.
    pub offers: Vec<Offer>,
    /// What its tasks use.
    pub allocated: Resources,
    /// What is offered to it.
    pub offered: Resources,
    /// What it said that it wants.
    pub demands: Vec<Demand>,
    /// Outstanding inverse offers.
    pub inverse_offers: Vec<InverseOffer>,
    /// Which agents it wants offers of.
    pub offer_constraints: Option<OfferConstraints>,
}

/// Tasks by their standing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksView {
    /// Living tasks, and ended ones whose last update is not acknowledged.
    pub tasks: Vec<TaskView>,
    /// On unreachable agents.
    pub unreachable: Vec<TaskView>,
    /// Ended.
    pub completed: Vec<TaskView>,
}

/// A task as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub task_id: TaskId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// Where.
    pub agent_id: AgentId,
    /// Its executor, when it is a custom one.
    pub executor_id: Option<ExecutorId>,
    /// Its newest state.
    pub state: TaskState,
    /// What it uses.
    pub resources: Resources,
    /// The role its resources are allocated to.
    pub role: Role,
    /// The newest status of each state it went through, oldest first.
    pub statuses: Vec<TaskStatus>,
    /// Its labels, discovery and container, when it has any of them.
    pub shown: Option<TaskShown>,
}

/// A role as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleView {
    /// The role.
    pub role: Role,
    /// Its weight in thousandths; 1000 is Mesos' default of 1.
    pub weight_milli: u64,
    /// Frameworks that are subscribed to it.
    pub frameworks: Vec<FrameworkId>,
    /// What its frameworks use or are offered.
    pub allocated: Resources,
    /// Its dominant share in millionths of the cluster.
    pub dominant_share_ppm: u64,
    /// Its quota, when it has one.
    pub quota: Option<QuotaConfig>,
    /// What counts against its quota: what it and the roles below it use, and what is reserved to
    /// them.
    pub consumed: Quantities,
    /// What is reserved to exactly this role.
    pub reserved: Quantities,
}

/// A custom executor as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorView {
    /// The executor.
    pub info: ExecutorInfo,
    /// Where it runs.
    pub agent_id: AgentId,
}

/// An operation as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// Whose; absent when an operator asked for it.
    pub framework_id: Option<FrameworkId>,
    /// Where.
    pub agent_id: Option<AgentId>,
    /// What was asked for.
    pub operation: ResourceOperation,
    /// How it stands.
    pub latest_status: OperationStatus,
    /// Statuses that are not acknowledged, oldest first.
    pub statuses: Vec<OperationStatus>,
    /// The operation's identity between master and agent.
    pub uuid: StatusUuid,
}
