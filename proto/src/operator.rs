//! The operator API: reads for people and tools, and the few writes that exist so far.

use crate::scheduler::{Demand, MasterInfo};
use crate::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Offer, Resources, Role, TaskId, TaskState,
    TaskStatus, Time,
};
use std::sync::Arc;

/// What an operator may ask of a master. Mesos' names; EXPLAIN is ours (number 1000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Is it well?
    GetHealth,
    /// What is it?
    GetVersion,
    /// Who is it?
    GetMaster,
    /// Everything.
    GetState,
    /// Agents.
    GetAgents,
    /// Frameworks with their offers and their demand.
    GetFrameworks,
    /// Tasks.
    GetTasks,
    /// Roles.
    GetRoles,
    /// Remove a framework and kill its tasks.
    Teardown(FrameworkId),
    /// Why does this framework get no (more) offers?
    Explain(FrameworkId),
    /// A call of the Mesos API that is not built yet, by its name on the wire.
    NotBuilt(Arc<str>),
}

/// The master's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To GET_HEALTH.
    Health(bool),
    /// To GET_VERSION: Mesos' version that is spoken, our own version.
    Version {
        /// Digits and dots, for old clients.
        mesos: Arc<str>,
        /// Ours.
        tepui: Arc<str>,
    },
    /// To GET_MASTER.
    Master {
        /// The master.
        info: MasterInfo,
        /// When it started.
        started: Time,
    },
    /// To GET_STATE.
    State(Box<State>),
    /// To GET_AGENTS.
    Agents(Vec<AgentView>),
    /// To GET_FRAMEWORKS: current ones and completed ones.
    Frameworks(Vec<FrameworkView>, Vec<FrameworkView>),
    /// To GET_TASKS.
    Tasks(TasksView),
    /// To GET_ROLES.
    Roles(Vec<RoleView>),
    /// To EXPLAIN: sentences, the most telling first.
    Explanation(Vec<Arc<str>>),
    /// Done.
    Ok,
}

/// Everything the master knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Agents.
    pub agents: Vec<AgentView>,
    /// Frameworks.
    pub frameworks: Vec<FrameworkView>,
    /// Frameworks that are over.
    pub completed_frameworks: Vec<FrameworkView>,
    /// Tasks.
    pub tasks: TasksView,
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
    /// Its newest state.
    pub state: TaskState,
    /// What it uses.
    pub resources: Resources,
    /// The role its resources are allocated to.
    pub role: Role,
    /// The newest status of each state it went through, oldest first.
    pub statuses: Vec<TaskStatus>,
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
}
