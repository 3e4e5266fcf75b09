//! Tasks: what is to run, and what is reported of it.

use crate::{
    AgentId, CheckStatus, Checks, ContainerId, ExecutorId, FrameworkId, Resources, Role,
    StatusUuid, TaskId, TaskOutcome, TaskState, Time,
};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// A task as its framework describes it. What decisions read has fields; the rest (command,
/// container, labels, data) travels as an opaque payload, shared and not cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// A name for people.
    pub name: Arc<str>,
    /// Its id, unique in the framework.
    pub task_id: TaskId,
    /// Where it is to run.
    pub agent_id: AgentId,
    /// What it uses.
    pub resources: Resources,
    /// The role its resources say they are allocated to, when they say so.
    pub allocation_role: Option<Role>,
    /// Limits above the request, by resource name, in thousandths; `None` means unlimited.
    pub limits: BTreeMap<Arc<str>, Option<u64>>,
    /// The executor that is to run it; absent for a command task.
    pub executor: Option<ExecutorInfo>,
    /// Between TERM and KILL, when the framework says so. Mesos' default is 3 s.
    pub kill_grace: Option<Duration>,
    /// The longest it may run.
    pub max_completion_time: Option<Duration>,
    /// Everything else.
    pub payload: TaskPayload,
}

/// The part of a task that no decision of the master reads, in its protobuf form, with flags for
/// what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskPayload {
    /// Encoded `TaskInfo` fields that have no field of their own.
    pub bytes: Arc<[u8]>,
    /// Whether it has a command.
    pub has_command: bool,
    /// Whether it asks for a container that no agent can make: of a type that is none, or of type
    /// MESOS with Docker's settings (refused by the master).
    pub has_container: bool,
    /// What is to be looked at while it runs.
    pub checks: Option<Arc<Checks>>,
}

/// Without the bytes, in which there may be secrets.
impl std::fmt::Debug for TaskPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, has_command, has_container, checks } = self;
        f.debug_struct("TaskPayload")
            .field("bytes", &bytes.len())
            .field("has_command", has_command)
            .field("has_container", has_container)
            .field("checks", checks)
            .finish()
    }
}

/// What is told of a task to those who read of it, and decides nothing: its labels, discovery,
/// container and health check, in their protobuf form (`tepui.v1.TaskShown`), which was checked
/// when it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskShown {
    pub(crate) bytes: Arc<[u8]>,
}

/// The payload, opened: what an agent needs to run a command task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskBody {
    /// What to run.
    pub command: Option<CommandInfo>,
    /// Labels: name and optional value.
    pub labels: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// Opaque data for a custom executor.
    pub data: Option<Arc<[u8]>>,
    /// The container it is to run in, when it asks for more than resource limits.
    pub container: Option<ContainerInfo>,
    /// What is to be looked at while it runs.
    pub checks: Option<Arc<Checks>>,
    /// The ports that its discovery names, in its order: name and number.
    pub named_ports: Vec<(Arc<str>, u16)>,
}

/// A container: as Mesos' own containerizer makes it (`ContainerInfo` of type MESOS), or one of a
/// Docker engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// The name of the image that is its root file system; absent means the host's own programs.
    pub image: Option<Arc<str>>,
    /// What is to be found in it besides.
    pub volumes: Vec<ContainerVolume>,
    /// The name of the host that it sees.
    pub hostname: Option<Arc<str>>,
    /// Capabilities that its processes are to have, by their kernel's numbers, ascending.
    pub capabilities: Vec<u8>,
    /// The size of `/dev/shm` in bytes.
    pub shm_bytes: Option<u64>,
    /// Whether nothing but its volumes, its sandbox and temporary directories can be written.
    pub read_only_root: bool,
    /// What the agent's Docker engine is to run; absent for type MESOS. `image` is absent then.
    pub docker: Option<Box<DockerInfo>>,
    /// A network of its own (`network_infos` of type MESOS); absent means the host's, unless the
    /// task holds bandwidth.
    pub network: Option<Box<ContainerNetwork>>,
}

/// A container's own network, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerNetwork {
    /// What agents call it.
    pub name: Arc<str>,
    /// Ports of the host that lead to ports of the container.
    pub port_mappings: Vec<PortMapping>,
}

/// What is asked of a Docker engine (`ContainerInfo` of type DOCKER). How much of it an agent
/// gives is its operator's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerInfo {
    /// The image, as one writes it for `docker run`.
    pub image: Arc<str>,
    /// Its network. A task that says nothing asks for the host's, as with Mesos.
    pub network: DockerNetwork,
    /// Ports of the host that lead to ports of the container.
    pub port_mappings: Vec<PortMapping>,
    /// Whether it is to have all rights of the host.
    pub privileged: bool,
    /// Options of `docker run`: name and value.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the image is to be pulled even when it is there.
    pub force_pull: bool,
}

/// The network of a Docker container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerNetwork {
    /// The host's own.
    Host,
    /// The engine's bridge.
    Bridge,
    /// None but the loopback.
    None,
    /// A network of the engine, by its name (the name of the first of `network_infos`).
    User(Arc<str>),
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortMapping {
    /// On the host: one of the task's `ports`.
    pub host_port: u16,
    /// In the container.
    pub container_port: u16,
    /// UDP if true, else TCP.
    pub udp: bool,
}

/// Something that is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerVolume {
    /// Where it is to be found.
    pub container_path: Arc<str>,
    /// Whether it cannot be written there.
    pub read_only: bool,
    /// What it is.
    pub source: VolumeSource,
}

/// What a container's volume is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A file or directory of the agent's host, if its operator allows it.
    HostPath(Arc<str>),
    /// A directory of the task's sandbox, made when it is not there.
    SandboxPath(Arc<str>),
    /// Memory, of so many bytes at the most.
    Tmpfs(Option<u64>),
}

/// A command: `value` through `/bin/sh -c`, or, with `shell` false, an executable and its
/// arguments (`arguments[0]` is its own name, as for exec).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandInfo {
    /// Whether a shell reads `value`. Mesos' default is true.
    pub shell: bool,
    /// The command line, or the executable.
    pub value: Option<Arc<str>>,
    /// Arguments when `shell` is false.
    pub arguments: Vec<Arc<str>>,
    /// Environment variables, in order.
    pub environment: Vec<(Arc<str>, Arc<str>)>,
    /// Environment variables whose values nobody but the task is shown; they come after the others.
    pub secrets: Vec<(Arc<str>, Secret)>,
    /// The user to run as; absent means the framework's.
    pub user: Option<Arc<str>>,
    /// Files to fetch into the sandbox first.
    pub uris: Vec<FetchUri>,
    /// Resource limits of the process: name as in Mesos (`RLMT_NOFILE`), soft, hard; `None` means
    /// unlimited.
    pub rlimits: Vec<(Arc<str>, Option<u64>, Option<u64>)>,
}

/// A value that is told to a task and shown to nobody else: it is left out of what is written for
/// people.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a value.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the task.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// A file to fetch into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchUri {
    /// Where it is.
    pub value: Arc<str>,
    /// Whether to make it executable.
    pub executable: bool,
    /// Whether to unpack it. Mesos' default is true.
    pub extract: bool,
    /// Whether to keep it in the agent's cache.
    pub cache: bool,
    /// The file's name in the sandbox.
    pub output_file: Option<Arc<str>>,
}

/// A custom executor.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecutorInfo {
    /// Its id.
    pub executor_id: ExecutorId,
    /// Its framework, when it says so.
    pub framework_id: Option<FrameworkId>,
    /// What it uses besides its tasks.
    pub resources: Resources,
    /// Everything else, in its protobuf form.
    pub payload: Arc<[u8]>,
}

/// Without the payload's bytes, in which there may be secrets.
impl std::fmt::Debug for ExecutorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executor_id, framework_id, resources, payload } = self;
        f.debug_struct("ExecutorInfo")
            .field("executor_id", executor_id)
            .field("framework_id", framework_id)
            .field("resources", resources)
            .field("payload", &payload.len())
            .finish()
    }
}

/// Who provides an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorKind {
    /// The agent: it runs groups of tasks.
    Default,
    /// The framework.
    Custom,
}

/// Who made a status update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The master; such an update has no uuid and is not acknowledged.
    Master = 0,
    /// The agent.
    Agent = 1,
    /// The executor (or the agent in its place, for command tasks).
    Executor = 2,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $wire:literal;)*) => {
        /// Why a task is in its state (Mesos `TaskStatus.Reason`; ours from 1000 up).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Reason { $($(#[$doc])* $name = $number,)* }

        impl Reason {
            /// All reasons in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Mesos' name, such as `REASON_RECONCILIATION`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }
        }
    };
}

reasons! {
    /// The command executor failed.
    CommandExecutorFailed = 0, "REASON_COMMAND_EXECUTOR_FAILED";
    /// The executor ended.
    ExecutorTerminated = 1, "REASON_EXECUTOR_TERMINATED";
    /// Not used.
    ExecutorUnregistered = 2, "REASON_EXECUTOR_UNREGISTERED";
    /// The framework was removed.
    FrameworkRemoved = 3, "REASON_FRAMEWORK_REMOVED";
    /// The sandbox collector failed.
    GcError = 4, "REASON_GC_ERROR";
    /// Not used.
    InvalidFrameworkId = 5, "REASON_INVALID_FRAMEWORKID";
    /// The offers of the ACCEPT are not valid (any more).
    InvalidOffers = 6, "REASON_INVALID_OFFERS";
    /// Made by a driver that has no master.
    MasterDisconnected = 7, "REASON_MASTER_DISCONNECTED";
    /// Out of memory.
    ContainerLimitationMemory = 8, "REASON_CONTAINER_LIMITATION_MEMORY";
    /// An answer to RECONCILE, or a task that master and agent disagree about.
    Reconciliation = 9, "REASON_RECONCILIATION";
    /// The agent is disconnected.
    AgentDisconnected = 10, "REASON_AGENT_DISCONNECTED";
    /// The agent was removed.
    AgentRemoved = 11, "REASON_AGENT_REMOVED";
    /// The agent restarted before the launch.
    AgentRestarted = 12, "REASON_AGENT_RESTARTED";
    /// The agent is unknown.
    AgentUnknown = 13, "REASON_AGENT_UNKNOWN";
    /// The task's description is wrong.
    TaskInvalid = 14, "REASON_TASK_INVALID";
    /// The task is not allowed.
    TaskUnauthorized = 15, "REASON_TASK_UNAUTHORIZED";
    /// The task is unknown.
    TaskUnknown = 16, "REASON_TASK_UNKNOWN";
    /// Preempted by the agent.
    ContainerPreempted = 17, "REASON_CONTAINER_PREEMPTED";
    /// The task uses resources the agent does not know.
    ResourcesUnknown = 18, "REASON_RESOURCES_UNKNOWN";
    /// Some limit was hit.
    ContainerLimitation = 19, "REASON_CONTAINER_LIMITATION";
    /// The disk limit was hit.
    ContainerLimitationDisk = 20, "REASON_CONTAINER_LIMITATION_DISK";
    /// The container could not be launched.
    ContainerLaunchFailed = 21, "REASON_CONTAINER_LAUNCH_FAILED";
    /// The container could not be updated.
    ContainerUpdateFailed = 22, "REASON_CONTAINER_UPDATE_FAILED";
    /// The executor did not register in time.
    ExecutorRegistrationTimeout = 23, "REASON_EXECUTOR_REGISTRATION_TIMEOUT";
    /// The executor did not come back in time.
    ExecutorReregistrationTimeout = 24, "REASON_EXECUTOR_REREGISTRATION_TIMEOUT";
    /// A task of the group is wrong.
    TaskGroupInvalid = 25, "REASON_TASK_GROUP_INVALID";
    /// A task of the group is not allowed.
    TaskGroupUnauthorized = 26, "REASON_TASK_GROUP_UNAUTHORIZED";
    /// The container's switchboard ended.
    IoSwitchboardExited = 27, "REASON_IO_SWITCHBOARD_EXITED";
    /// A check's result changed.
    TaskCheckStatusUpdated = 28, "REASON_TASK_CHECK_STATUS_UPDATED";
    /// The health changed.
    TaskHealthCheckStatusUpdated = 29, "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED";
    /// Killed before it was launched.
    TaskKilledDuringLaunch = 30, "REASON_TASK_KILLED_DURING_LAUNCH";
    /// An operator removed the agent.
    AgentRemovedByOperator = 31, "REASON_AGENT_REMOVED_BY_OPERATOR";
    /// The agent came back.
    AgentReregistered = 32, "REASON_AGENT_REREGISTERED";
    /// It ran for too long.
    MaxCompletionTimeReached = 33, "REASON_MAX_COMPLETION_TIME_REACHED";
    /// The agent is being drained.
    AgentDraining = 34, "REASON_AGENT_DRAINING";
    /// The agent's host was started anew; the task died with it.
    AgentRebooted = 1000, "REASON_AGENT_REBOOTED";
    /// The process that supervised the task is gone, and its exit status with it.
    SupervisorLost = 1001, "REASON_SUPERVISOR_LOST";
    /// The task's checkpoint could not be read.
    CheckpointCorrupt = 1002, "REASON_CHECKPOINT_CORRUPT";
    /// It was killed, and its processes do not end: it keeps its resources.
    TaskUnkillable = 1003, "REASON_TASK_UNKILLABLE";
}

impl Reason {
    /// The reason of a wire number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| i32::from(*reason as u16) == number)
    }
}

/// A report on a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which task.
    pub task_id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// Why, for people. Machines read `reason` and `outcome`.
    pub message: Option<Arc<str>>,
    /// The agent it concerns.
    pub agent_id: Option<AgentId>,
    /// The executor it concerns.
    pub executor_id: Option<ExecutorId>,
    /// When it was made.
    pub timestamp: Time,
    /// Set when it must be acknowledged.
    pub uuid: Option<StatusUuid>,
    /// The last health check's verdict.
    pub healthy: Option<bool>,
    /// What its check has seen last; present whenever it has one.
    pub check_status: Option<CheckStatus>,
    /// Since when the agent has been unreachable.
    pub unreachable_time: Option<Time>,
    /// The container it ran in.
    pub container_id: Option<ContainerId>,
    /// Where it is reached: in a network of its own, or on its host.
    pub address: Option<Ipv4Addr>,
    /// How the task ended, in fields.
    pub outcome: Option<TaskOutcome>,
    /// Opaque data of a custom executor.
    pub data: Option<Arc<[u8]>>,
}

impl TaskStatus {
    /// A status with nothing but the necessary.
    pub fn new(task_id: TaskId, state: TaskState, source: Source, timestamp: Time) -> Self {
        Self {
            task_id,
            state,
            source,
            reason: None,
            message: None,
            agent_id: None,
            executor_id: None,
            timestamp,
            uuid: None,
            healthy: None,
            check_status: None,
            unreachable_time: None,
            container_id: None,
            address: None,
            outcome: None,
            data: None,
        }
    }
}
