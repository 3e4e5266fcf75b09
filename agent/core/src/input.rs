//! What can happen to an agent: its only way to learn anything.

use crate::{ExecutorInput, Subject, Volume};
use proto::agent_link::{AgentEvent, VolumeFailure};
use proto::{
    AgentId, AgentInfo, CheckStatus, ClusterId, ContainerId, FrameworkId, FrameworkInfo, MasterId,
    Role, StatusUuid, TaskId, TaskInfo, TaskOutcome, TaskState, TaskStatus, Time,
};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// One event, fed to `Agent::step`.
#[derive(Clone, Debug)]
pub enum Input {
    /// The moment that `Agent::deadline` named has come (or any other moment: harmless).
    Tick,
    /// The stream that `Effect::Connect` asked for is open.
    LinkUp {
        /// Which attempt it was. One that is no longer current is ignored.
        link: u64,
    },
    /// The cluster that this stream leads to, if the master says so: before `LinkUp`.
    Cluster {
        /// On which stream. What comes from an old one is ignored.
        link: u64,
        /// Its identity.
        cluster_id: ClusterId,
    },
    /// The stream broke, or could not be opened.
    LinkDown {
        /// Which. One that is no longer current is ignored.
        link: u64,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// The master does not lead and named the one that does: the next attempt goes there.
    Redirected {
        /// Which. One that is no longer current is ignored.
        link: u64,
        /// What it said, for people.
        reason: Arc<str>,
    },
    /// The master says something.
    FromMaster {
        /// On which stream. What comes from an old one is ignored.
        link: u64,
        /// In which epoch it leads; 0 when it does not say.
        epoch: u64,
        /// What.
        event: AgentEvent,
    },
    /// A container's first process has been executed.
    Launched {
        /// Which.
        container_id: ContainerId,
        /// Its working directory.
        sandbox: Arc<str>,
        /// Its own, when it is in a network of its own.
        address: Option<Ipv4Addr>,
    },
    /// A container could not be started; nothing of it remains.
    LaunchFailed {
        /// Which.
        container_id: ContainerId,
        /// Why, as a sentence.
        message: Arc<str>,
        /// When the command itself is at fault, the exit code that a shell would give: 127 when
        /// there is no such program, 126 when it cannot be executed.
        exit: Option<proto::Exit>,
    },
    /// A container has ended. Repeated (as part of `Supervisor`) until `Effect::Forget`.
    Exited {
        /// Which.
        container_id: ContainerId,
        /// How.
        exited: Exited,
    },
    /// What came of an `Effect::Look`. One that comes too late, or of a task that is not looked at
    /// any more, is ignored.
    Looked {
        /// At which.
        container_id: ContainerId,
        /// For which of its checks.
        subject: Subject,
        /// The number of the look.
        number: u64,
        /// What was seen.
        seen: Seen,
    },
    /// A custom executor says something, or its stream is closed.
    Executor {
        /// Its container.
        container_id: ContainerId,
        /// What.
        input: ExecutorInput,
    },
    /// These limits of a task are in force, besides those that are not named: they were found to be
    /// possible by `Agent::with_limits`.
    LimitsChanged {
        /// Of which.
        container_id: ContainerId,
        /// By the name of the resource, in thousandths; `None` is no limit.
        limits: crate::Limits,
    },
    /// The process that supervises the tasks was lost and another one runs now: these are all the
    /// containers that it knows.
    Supervisor {
        /// All of them.
        containers: Vec<Container>,
    },
    /// How full the disk of the sandboxes is, in millionths. Told once a minute or so.
    DiskUsage {
        /// 1,000,000 is full.
        used_ppm: u32,
        /// Whether what can be had again is being removed because the disk is short. No sandbox goes
        /// for want of room before the disk was measured after that.
        making_room: bool,
    },
    /// A sandbox is gone, as `Effect::CollectSandbox` asked.
    SandboxCollected {
        /// Whose it was.
        container_id: ContainerId,
    },
    /// A sandbox could not be removed. It is tried again later.
    SandboxCollectFailed {
        /// Whose it is.
        container_id: ContainerId,
    },
    /// The volumes of an order are made, durably.
    VolumesMade {
        /// The order's number.
        number: u64,
        /// Those that are not there.
        failures: Vec<VolumeFailure>,
    },
    /// The volumes that an order named are deleted, durably: the order is carried out.
    VolumesDeleted {
        /// The order's number.
        number: u64,
        /// Those of which something may be left.
        failures: Vec<VolumeFailure>,
    },
}

/// What came of a look at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The command has ended.
    Exited(proto::Exit),
    /// The answer had this HTTP status.
    Answered(u16),
    /// The connection was taken.
    Connected,
    /// The connection was not taken: why, as a clause.
    Refused(Arc<str>),
    /// Nothing, and the task is at fault: why, as a clause.
    Nothing(Arc<str>),
    /// Nothing, and the host is at fault: it says nothing of the task.
    Unable(Arc<str>),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// Exit status, limit hit and use.
    pub outcome: TaskOutcome,
    /// Whether an order to kill it had been received before it ended.
    pub kill_requested: bool,
    /// Bytes of its output that could not be stored.
    pub lost_output: u64,
    /// Which process was killed when a limit was hit, for people, where that is known.
    pub victim: Option<Arc<str>>,
    /// Its working directory; absent when the task left nothing behind and it is gone already.
    pub sandbox: Option<Arc<str>>,
}

/// A container as the supervisor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub container_id: ContainerId,
    /// The launch, as it was handed to the supervisor; absent when it could not be read.
    pub launch: Option<Launch>,
    /// When its first process was executed.
    pub started: Time,
    /// Its working directory.
    pub sandbox: Arc<str>,
    /// Its own, when it is in a network of its own.
    pub address: Option<Ipv4Addr>,
    /// How it ended; absent while it runs.
    pub exited: Option<Exited>,
    /// The supervisor that started it was lost: what was left of it was killed, and had not ended
    /// when the one that tells this began.
    pub remains: bool,
    /// Whether an order to kill it was taken while it ran: the supervisor sees to its end.
    pub kill_requested: bool,
}

/// All that is needed to run a task, and to take it back after a restart of the agent: it is
/// handed to the supervisor with the launch and comes back in its report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Chosen by the agent, one for each launch.
    pub container_id: ContainerId,
    /// Whose task. Its `id` is set.
    pub framework: Arc<FrameworkInfo>,
    /// Whose task.
    pub framework_id: FrameworkId,
    /// The role of its resources.
    pub role: Role,
    /// The task.
    pub task: Arc<TaskInfo>,
    /// The GPUs that it was given.
    pub gpus: crate::Gpus,
}

/// What a starting agent knows: its checkpoint, and the supervisor's report.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The agent's identity; absent before its first registration.
    pub agent: Option<AgentRecord>,
    /// Whether that identity was there but could not be read. The agent registers anew then.
    pub agent_corrupt: bool,
    /// The nonce of an agent that was never told its id, durable since its first start: killed
    /// before it could keep the id, it gets the same one. Not used once there was an identity.
    pub nonce: Option<u64>,
    /// The frameworks on record.
    pub frameworks: Vec<Arc<FrameworkInfo>>,
    /// The tasks on record.
    pub tasks: Vec<TaskRecord>,
    /// The update queues on record.
    pub updates: Vec<UpdatesRecord>,
    /// Sandboxes on record that wait for their removal.
    pub sandboxes: Vec<SandboxRecord>,
    /// The volumes on record.
    pub volumes: Option<VolumesRecord>,
    /// The newest epoch on record; absent when it cannot be read, too: the agent starts all the
    /// same, and the first master that it reaches tells it anew.
    pub epoch: Option<EpochRecord>,
    /// Tasks of which a record could not be read.
    pub corrupt: Vec<(FrameworkId, TaskId)>,
    /// Whether the supervisor is the one that the last run of the agent used, so that a container
    /// which it does not know was never started.
    pub supervisor_continued: bool,
    /// All containers that the supervisor knows.
    pub containers: Vec<Container>,
}

/// The agent's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// Given by the master.
    pub agent_id: AgentId,
    /// The master that gave it or answered last.
    pub master_id: MasterId,
    /// The cluster of that master, if it said so.
    pub cluster_id: Option<ClusterId>,
    /// What the agent said of itself.
    pub info: AgentInfo,
    /// The start of the host at which it was written.
    pub boot_id: Arc<str>,
}

/// A task that the agent was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its container.
    pub container_id: ContainerId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// The role of its resources.
    pub role: Role,
    /// The task.
    pub task: Arc<TaskInfo>,
    /// The GPUs that it was given.
    pub gpus: crate::Gpus,
}

/// The updates of a task that are not acknowledged, and its newest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdatesRecord {
    /// Whose.
    pub framework_id: FrameworkId,
    /// The task.
    pub task_id: TaskId,
    /// The container that the updates are of; absent for a task that never had one here.
    pub container_id: Option<ContainerId>,
    /// The newest state that an update was made for.
    pub state: TaskState,
    /// The updates, oldest first.
    pub pending: Vec<Arc<TaskStatus>>,
    /// What its checks have seen; absent for a task that has none.
    pub seen: Option<SeenRecord>,
    /// The container's own address, when it is in a network of its own: who finds what is left of
    /// a container does not know it.
    pub address: Option<Ipv4Addr>,
    /// The last updates that its custom executor made, acknowledged or not, newest last: it may
    /// repeat them to an agent that was started anew.
    pub recent: Vec<StatusUuid>,
}

/// What is known of a task that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenRecord {
    /// The last verdict of its health check.
    pub healthy: Option<bool>,
    /// What its check has seen last.
    pub status: Option<CheckStatus>,
    /// Whether it is to end because it failed too often.
    pub doomed: bool,
}

/// The volumes that an agent has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesRecord {
    /// Under which id it made them.
    pub agent_id: AgentId,
    /// All that were not deleted since.
    pub volumes: Vec<Volume>,
}

/// The newest epoch that an agent has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochRecord {
    /// How many times a master had begun to lead; 0 while none has said so.
    pub epoch: u64,
    /// The cluster that it was counted in, if that is known: the epochs of another one are others.
    pub cluster_id: Option<ClusterId>,
}

/// A sandbox whose task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxRecord {
    /// Its container.
    pub container_id: ContainerId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// The task (and, for a command task, the name of its executor).
    pub task_id: TaskId,
    /// Where it is.
    pub path: Arc<str>,
    /// When the task ended.
    pub ended: Time,
}
