//! The private link between agent and master: one bidirectional stream, ours alone.
//!
//! Each side's messages arrive in the order they were sent, at most once; what must survive a
//! broken stream (status updates) is repeated by the agent until it is acknowledged.

use crate::{
    AgentId, AgentInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, MasterId, Piece,
    Resources, Role, StatusUuid, TaskId, TaskInfo, TaskShown, TaskState, TaskStatus, VolumeId,
};
use std::sync::Arc;
use std::time::Duration;

/// What an agent says to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentCall {
    /// The first message of an agent that has no id.
    Register {
        /// The agent.
        info: AgentInfo,
        /// Its software version.
        version: Arc<str>,
        /// Drawn anew at each start of the agent until it has an id: a repeated registration with
        /// the same nonce gets the same id (the answer may have been lost).
        nonce: u64,
    },
    /// The first message of an agent that has an id: after its own or the master's restart, or a
    /// broken stream.
    Reregister {
        /// The agent, with its id.
        info: AgentInfo,
        /// Its software version.
        version: Arc<str>,
        /// All tasks that it knows: living, and ended but not yet acknowledged.
        tasks: Vec<AgentTask>,
        /// The frameworks of these tasks and executors.
        frameworks: Vec<FrameworkInfo>,
        /// The custom executors that run, or are being started.
        executors: Vec<AgentExecutor>,
    },
    /// A status update, and the newest state of the task (for accounting; updates are sent one
    /// at a time per task and may lag behind).
    Update {
        /// Whose task.
        framework_id: FrameworkId,
        /// The update.
        status: Box<TaskStatus>,
        /// The task's newest state.
        latest_state: TaskState,
    },
    /// The answer to a ping.
    Pong {
        /// The ping's number.
        sequence: u64,
    },
    /// Bytes of an executor for its framework.
    Message {
        /// Whose executor.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// A custom executor is there no more: what it used beside its tasks is free. The ends of its
    /// tasks are told by updates of their own.
    ExecutorEnded {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        executor_id: ExecutorId,
        /// How it ended, as wait(2) has it, or -1 if it could not be started; absent when no start
        /// of it was tried, because none of its tasks was taken.
        status: Option<i32>,
    },
    /// The answer to `Volumes`: all that it asked for is done, but for what failed.
    VolumesApplied {
        /// The number of the event that is answered.
        sequence: u64,
        /// What could not be made or deleted; it is tried anew with the next `Volumes`.
        failures: Vec<VolumeFailure>,
    },
    /// Whether the disk of the sandboxes is about to be full. While it is, the agent's disk is not
    /// offered. Said whenever it changes, and after (re)registration if it is so.
    DiskPressure {
        /// Whether it is.
        pressed: bool,
    },
}

/// A volume that an agent could not make or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFailure {
    /// The role that the volume is reserved to; ids are unique within it.
    pub role: Role,
    /// Which.
    pub id: VolumeId,
    /// Why, for people.
    pub message: Arc<str>,
}

/// A task as its agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTask {
    /// Whose.
    pub framework_id: FrameworkId,
    /// The task.
    pub task_id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// What it uses (nothing any more once it ended).
    pub resources: Resources,
    /// The role its resources are allocated to.
    pub role: Role,
    /// Its newest state.
    pub state: TaskState,
    /// The state of its oldest unacknowledged update, with the update's uuid: what the framework
    /// has been told, or is being told.
    pub status: Option<(TaskState, StatusUuid)>,
    /// The executor, when it has a custom one.
    pub executor_id: Option<ExecutorId>,
    /// What else is shown of it.
    pub shown: Option<TaskShown>,
}

/// A custom executor as its agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentExecutor {
    /// Whose.
    pub framework_id: FrameworkId,
    /// The role its resources are allocated to.
    pub role: Role,
    /// The executor, with what it uses beside its tasks.
    pub info: ExecutorInfo,
}

/// What the master says to an agent, and in which epoch it says it: the whole message.
///
/// On the wire it is an [`AgentEvent`] with one number more, which whoever does not ask for it does
/// not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// How many times a master had begun to lead the cluster when this one did. An agent obeys only
    /// the newest that it has seen. 0: not said.
    pub epoch: u64,
    /// What it says.
    pub event: AgentEvent,
}

/// What the master says to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// The agent is admitted under this id.
    Registered {
        /// Its id.
        agent_id: AgentId,
        /// The master that answers.
        master_id: MasterId,
        /// Without any message from the master for so long, the agent reconnects.
        ping_timeout: Duration,
    },
    /// The agent is known again.
    Reregistered {
        /// Its id.
        agent_id: AgentId,
        /// The master that answers.
        master_id: MasterId,
        /// As in `Registered`.
        ping_timeout: Duration,
        /// Tasks that the master believes in and the agent did not report: the agent answers for
        /// each that it still does not know with DROPPED or LOST, REASON_RECONCILIATION.
        reconcile: Vec<(FrameworkId, TaskId)>,
    },
    /// The agent is not admitted; it must stop or change something.
    Refused {
        /// Why, and what to do.
        message: Arc<str>,
        /// Whether its id is gone for ever: it must forget it, end its tasks and register anew.
        gone: bool,
    },
    /// Are you there?
    Ping {
        /// Its number.
        sequence: u64,
    },
    /// Run tasks of one framework.
    Run {
        /// The framework.
        framework: Arc<FrameworkInfo>,
        /// The role of the resources.
        role: Role,
        /// The tasks.
        tasks: Vec<TaskInfo>,
    },
    /// Have tasks of one framework run by its custom executors: each names its own.
    RunByExecutors {
        /// The framework.
        framework: Arc<FrameworkInfo>,
        /// The role of the resources.
        role: Role,
        /// The tasks.
        tasks: Vec<TaskInfo>,
        /// The executors that do not run yet, as far as the master knows, and whose resources it
        /// has set aside: no other is started. A task whose executor ended meanwhile is dropped.
        start: Vec<ExecutorId>,
    },
    /// Let a custom executor end, with all its tasks.
    ShutdownExecutor {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        executor_id: ExecutorId,
    },
    /// Kill a task.
    Kill {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
        /// Between TERM and KILL.
        grace: Option<Duration>,
        /// Whether the agent is drained: the task's end is told with REASON_AGENT_DRAINING.
        draining: bool,
    },
    /// The framework has this update.
    Acknowledge {
        /// Whose task.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The update.
        uuid: StatusUuid,
    },
    /// The framework is gone: kill its tasks, forget its updates.
    ShutdownFramework {
        /// Which.
        framework_id: FrameworkId,
    },
    /// The framework changed (a resubscription): agents keep its newest description.
    UpdateFramework {
        /// The framework.
        framework: Arc<FrameworkInfo>,
    },
    /// Bytes for an executor.
    Message {
        /// Whose executor.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// The agent's persistent volumes, after each durable change of them and after
    /// (re)registration when there are any. Tasks of later `Run`s may use them.
    Volumes {
        /// Its number, greater than that of the one before.
        sequence: u64,
        /// All that are to be there: each is reserved and persistent.
        volumes: Vec<Piece>,
        /// Those whose content is to be deleted and was not said to be: nothing else ever is.
        destroyed: Vec<Piece>,
    },
}
