//! The operator API of an agent: what people and tools may ask it.

use crate::operator::TaskView;
use crate::{
    AgentInfo, CommandInfo, ContainerId, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, Time,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What an operator may ask of an agent. Mesos' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Is it well?
    GetHealth,
    /// How was it started?
    GetFlags,
    /// What is it?
    GetVersion,
    /// What does it count?
    GetMetrics {
        /// How long the answer may take; metrics that take longer are left out.
        timeout: Option<Duration>,
    },
    /// How much does it log?
    GetLoggingLevel,
    /// Log more (or less) for a while.
    SetLoggingLevel {
        /// Mesos has 0 to 3.
        level: u32,
        /// After it the level is as before.
        duration: Duration,
    },
    /// List a directory.
    ListFiles {
        /// A virtual path, such as a sandbox's.
        path: Arc<str>,
    },
    /// Read a part of a file.
    ReadFile {
        /// A virtual path.
        path: Arc<str>,
        /// The first byte wanted.
        offset: u64,
        /// The most bytes wanted; absent means as many as one answer has.
        length: Option<u64>,
    },
    /// Tasks, executors and frameworks.
    GetState,
    /// Containers with what they use.
    GetContainers {
        /// Also those inside others.
        show_nested: bool,
        /// Also those of no framework.
        show_standalone: bool,
    },
    /// Frameworks.
    GetFrameworks,
    /// Executors.
    GetExecutors,
    /// Tasks.
    GetTasks,
    /// Itself.
    GetAgent,
    /// Run a command in the container of a task, for as long as this connection lasts. Answered by a
    /// stream of [`ProcessIo`].
    LaunchNestedContainerSession {
        /// The name of the session, within the container of the task.
        container: ContainerPath,
        /// What is run; of variables, those that the task does not have.
        command: Box<CommandInfo>,
        /// The terminal that it is to have, if any, with its size as far as that is known.
        terminal: Option<Option<WindowSize>>,
    },
    /// Give input to a container: a stream of calls, of which the first names it.
    AttachContainerInput(AttachInput),
    /// Read what a container prints from now on. Answered by a stream of [`ProcessIo`].
    AttachContainerOutput {
        /// Which.
        container: ContainerPath,
    },
    /// Answer when it has ended.
    WaitContainer {
        /// Which.
        container: ContainerPath,
        /// Whether this is `WAIT_NESTED_CONTAINER`, the older name.
        nested: bool,
    },
    /// Send a signal.
    KillContainer {
        /// To which.
        container: ContainerPath,
        /// Which one; absent means KILL.
        signal: Option<i32>,
        /// Whether this is `KILL_NESTED_CONTAINER`, the older name.
        nested: bool,
    },
    /// Change what the task of a container may use beyond what it asked for, while it runs.
    UpdateContainerLimits {
        /// The container of a task.
        container: ContainerPath,
        /// By the name of the resource, in thousandths; `None` is no limit. What is not named stays.
        limits: BTreeMap<Arc<str>, Option<u64>>,
    },
    /// A call of the Mesos API that is not built yet, by its name on the wire.
    NotBuilt(Arc<str>),
}

/// The name of a container: of its own, and of the one that it is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPath {
    /// The container of the task; absent when `id` is that.
    pub parent: Option<ContainerId>,
    /// Its own.
    pub id: ContainerId,
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parent {
            Some(parent) => write!(f, "{parent}.{}", self.id),
            None => self.id.fmt(f),
        }
    }
}

/// A record of `ATTACH_CONTAINER_INPUT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachInput {
    /// The first: whose input it is.
    Container(ContainerPath),
    /// Those after it.
    Io(ProcessIo),
}

/// Something that goes into a container, or comes out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessIo {
    /// Bytes. None of standard input say that there are no more.
    Data(StandardStream, Bytes),
    /// The terminal has another size now.
    Resized(WindowSize),
    /// Nothing, so that the connection is seen to be alive.
    Heartbeat {
        /// How often there is one.
        interval: Option<Duration>,
    },
}

/// One of the three streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
    /// Standard input.
    Stdin,
    /// Standard output; all that a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The agent's answer. It has doubles in it (metrics), so equality is partial.
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
    /// To GET_STATE.
    State(Box<State>),
    /// To GET_CONTAINERS.
    Containers(Vec<ContainerView>),
    /// To GET_FRAMEWORKS.
    Frameworks(Frameworks),
    /// To GET_EXECUTORS.
    Executors(Executors),
    /// To GET_TASKS.
    Tasks(Tasks),
    /// To GET_AGENT.
    Agent(Box<AgentView>),
    /// To WAIT_CONTAINER and WAIT_NESTED_CONTAINER.
    Waited {
        /// Whether the older name was called.
        nested: bool,
        /// As wait(2) has it; absent when nobody knows.
        exit_status: Option<i32>,
    },
    /// Done.
    Ok,
}

/// Everything the agent knows of its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Tasks.
    pub tasks: Tasks,
    /// Executors.
    pub executors: Executors,
    /// Frameworks.
    pub frameworks: Frameworks,
}

/// Frameworks that have, or had, work here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frameworks {
    /// With work here now.
    pub current: Vec<FrameworkInfo>,
    /// Without any more.
    pub completed: Vec<FrameworkInfo>,
}

/// Custom executors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executors {
    /// Alive.
    pub current: Vec<ExecutorInfo>,
    /// Ended.
    pub completed: Vec<ExecutorInfo>,
}

/// Tasks by their standing on the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Before their executor is launched.
    pub pending: Vec<TaskView>,
    /// Waiting for their executor to subscribe.
    pub queued: Vec<TaskView>,
    /// Running.
    pub launched: Vec<TaskView>,
    /// Ended, with updates that are not acknowledged.
    pub terminated: Vec<TaskView>,
    /// Ended.
    pub completed: Vec<TaskView>,
}

/// The agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentView {
    /// What it offers, and who it is once it is registered.
    pub info: AgentInfo,
    /// How it is being drained.
    pub drain: Option<Drain>,
    /// Since when it has been drained.
    pub drain_started: Option<Time>,
}

/// How an agent is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The longest grace that tasks get.
    pub max_grace: Option<Duration>,
    /// Whether the agent is marked gone at the end.
    pub mark_gone: bool,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its virtual path.
    pub path: Arc<str>,
    /// Its links.
    pub nlink: Option<i32>,
    /// Its bytes.
    pub size: Option<u64>,
    /// When it changed last.
    pub mtime: Option<Time>,
    /// Type and permissions, as stat has them.
    pub mode: Option<u32>,
    /// Its owner's name, or number if there is no name.
    pub uid: Option<Arc<str>>,
    /// Its group's name, or number if there is no name.
    pub gid: Option<Arc<str>>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Its id.
    pub container_id: ContainerId,
    /// The container that it is in.
    pub parent: Option<ContainerId>,
    /// Whose it is.
    pub framework_id: Option<FrameworkId>,
    /// The executor in it.
    pub executor_id: Option<ExecutorId>,
    /// The executor's name.
    pub executor_name: Option<Arc<str>>,
    /// What it uses.
    pub usage: Option<ContainerUsage>,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// When this was read, to the microsecond.
    pub timestamp: Time,
    /// Processor time in user mode, to the microsecond.
    pub cpu_user: Option<Duration>,
    /// Processor time in the kernel, to the microsecond.
    pub cpu_system: Option<Duration>,
    /// Its share of processors, in thousandths.
    pub cpus_limit_milli: Option<u64>,
    /// Resident bytes.
    pub memory_rss: Option<u64>,
    /// Bytes charged to it.
    pub memory_total: Option<u64>,
    /// Most bytes it may have.
    pub memory_limit: Option<u64>,
    /// Processes.
    pub processes: Option<u32>,
    /// Threads.
    pub threads: Option<u32>,
}
