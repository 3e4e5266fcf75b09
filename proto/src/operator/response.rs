//! Answers of the operator API.

use super::{
    AgentView, ExecutorView, FrameworkView, GoneAgent, Masters, OperationView, RoleView, State,
    TasksView,
};
use crate::agent_api::FileInfo;
use crate::scheduler::MasterInfo;
use crate::{MaintenanceStatus, QuotaConfig, Schedule, Time, Weight};
use std::sync::Arc;

/// The master's answer. It has doubles in it (metrics), so equality is partial.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To GET_HEALTH.
    Health(bool),
    /// To GET_FLAGS: names and values.
    Flags(Vec<(Arc<str>, Option<Arc<str>>)>),
    /// To GET_VERSION: Mesos' version that is spoken, our own version.
    Version {
        /// Digits and dots, for old clients.
        mesos: Arc<str>,
        /// Ours.
        tepui: Arc<str>,
    },
    /// To GET_METRICS: names and values, which are numbers (never NaN).
    Metrics(Vec<(Arc<str>, Option<f64>)>),
    /// To GET_LOGGING_LEVEL.
    LoggingLevel(u32),
    /// To LIST_FILES.
    Files(Vec<FileInfo>),
    /// To READ_FILE.
    FileData {
        /// Bytes of the whole file.
        size: u64,
        /// What was asked for, or the first part of it.
        data: Arc<[u8]>,
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
    /// To GET_AGENTS; those that have not come back yet (recovered) after all others.
    Agents(Vec<AgentView>),
    /// To GET_FRAMEWORKS: current ones and completed ones.
    Frameworks(Vec<FrameworkView>, Vec<FrameworkView>),
    /// To GET_EXECUTORS.
    Executors(Vec<ExecutorView>),
    /// To GET_OPERATIONS.
    Operations(Vec<OperationView>),
    /// To GET_TASKS.
    Tasks(TasksView),
    /// To GET_ROLES.
    Roles(Vec<RoleView>),
    /// To GET_WEIGHTS.
    Weights(Vec<Weight>),
    /// To GET_MAINTENANCE_STATUS.
    MaintenanceStatus(MaintenanceStatus),
    /// To GET_MAINTENANCE_SCHEDULE.
    MaintenanceSchedule(Schedule),
    /// To GET_QUOTA.
    Quota(Vec<QuotaConfig>),
    /// To GET_GONE_AGENTS.
    GoneAgents(Vec<GoneAgent>),
    /// To GET_MASTERS.
    Masters(Masters),
    /// To EXPLAIN: sentences, the most telling first.
    Explanation(Vec<Arc<str>>),
    /// Done.
    Ok,
}
