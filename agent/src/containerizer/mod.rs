//! Containerizers: how the agent runs a container, behind one trait.
//!
//! The trait fits a core that is driven by inputs: every method only queues an order and returns
//! at once, and every answer arrives later as a [`ContainerEvent`] on the channel that came with
//! the containerizer. `native` runs command tasks through the supervisor; images, namespaces and
//! docker join as further isolators or as further implementations of the same trait.
//!
//! A containerizer never decides policy: when to kill, how often to retry and what a framework
//! hears is the agent core's business.

pub mod native;

mod isolator;
pub(crate) mod user;

use std::sync::Arc;
use std::time::Duration;

pub use crate::supervisor::task::{
    BadContainerId, Closed, ContainerId, Credentials, Device, Enclosure, Ended, LaunchError,
    Launched, Limitation, Mount, MountSource, Network, NetworkPod, PortMap, Pressure, Program,
    Recovered, Rlimit, Root, SANDBOX, SandboxChoice, SandboxFate, Stdio, Traffic, Usage, Victim,
    VolumeLink, WaitStatus,
};
pub(crate) use isolator::{QUOTA_PERIOD_US, limits_of};
pub use native::{Native, NativeDefaults, NativeOptions, StartError};
pub use user::{UserError, resolve_user};

/// The share of the machine a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// Thousandths of a cpu.
    pub cpus_milli: u64,
    /// Memory in bytes; `None` leaves memory unlimited.
    pub memory_bytes: Option<u64>,
    /// What it asked for of memory, in bytes, where it may use more than that. `None` where what it
    /// may use is what it asked for.
    pub memory_soft_bytes: Option<u64>,
    /// A hard ceiling on cpu time in thousandths of a cpu, enforced as a quota over periods of
    /// 100 ms. `None` lets the container use idle cpus beyond its share.
    pub cpu_limit_milli: Option<u64>,
    /// Most processes and threads; `None` takes the agent's default.
    pub pids: Option<u64>,
    /// Bytes of disk that it may take, held to by the kernel where the file system of the
    /// sandboxes has project quotas; `None` is no limit.
    pub disk_bytes: Option<u64>,
}

/// One container to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its name.
    pub id: ContainerId,
    /// What to execute.
    pub program: Program,
    /// Variables of the task. PATH and the thread-count variables are added unless named here.
    pub environment: Vec<(String, String)>,
    /// User name or number to run as; `None` keeps the agent's own user.
    pub user: Option<String>,
    /// Resource limits of the process.
    pub rlimits: Vec<Rlimit>,
    /// Working directory.
    pub sandbox: SandboxChoice,
    /// Its share of the machine.
    pub allocation: Allocation,
    /// Persistent volumes, which it finds in its working directory.
    pub volumes: Vec<VolumeLink>,
    /// Walls around it; absent for a plain process of the host.
    pub enclosure: Option<Box<Enclosure>>,
    /// A network of its own; absent for the host's.
    pub network: Option<Box<Network>>,
    /// Who that user is within its image, where that was found out before.
    pub identity: Option<Credentials>,
    /// What the Docker engine is to run, within the same walls; absent for the supervisor's own.
    pub docker: Option<Box<DockerTask>>,
    /// Opaque to the containerizer; comes back in [`Recovered`] after an agent restart.
    pub record: Vec<u8>,
    /// The part of it that many launches have in common, by the same pointer: kept once.
    pub shared: Option<Arc<[u8]>>,
}

/// What a Docker engine is to run, as the agent's operator allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerTask {
    /// The image, as one writes it for `docker run`.
    pub image: String,
    /// Whether it is to be pulled even when it is there.
    pub force_pull: bool,
    /// `host`, `bridge`, `none` or the name of a network of the engine.
    pub network: String,
    /// Ports of the host that lead to ports of the container.
    pub ports: Vec<proto::PortMapping>,
    /// Labels that the engine keeps of it: name and value.
    pub labels: Vec<(String, String)>,
    /// Its working directory; absent means the image's.
    pub directory: Option<String>,
    /// The signal that asks it to end; absent means the image's, or TERM.
    pub stop_signal: Option<String>,
    /// Whether a small program of the engine's reaps what its first process leaves.
    pub init: Option<bool>,
    /// The users as whom it may run, `NAME`, `UID` or `UID:GID`; absent means any but root.
    pub users: Option<Vec<String>>,
    /// The GPUs that it is given, by their names for the driver.
    pub gpus: Vec<std::sync::Arc<str>>,
}

/// What a containerizer tells the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerEvent {
    /// Always the first event: everything that outlived the previous agent.
    Recovered(Vec<Recovered>),
    /// The container's first process has been executed.
    Launched {
        /// Which.
        id: ContainerId,
        /// Process and working directory.
        launched: Launched,
    },
    /// The container could not be started; nothing of it remains.
    LaunchFailed {
        /// Which.
        id: ContainerId,
        /// Why.
        error: LaunchError,
    },
    /// The container ended. Repeated in `Recovered` after every reconnect until `forget`.
    Ended {
        /// Which.
        id: ContainerId,
        /// How.
        ended: Ended,
    },
    /// The answer to `usage`.
    Usage {
        /// Which.
        id: ContainerId,
        /// What it uses; `None` when no such container runs.
        usage: Option<Usage>,
    },
    /// The end of what `look` began.
    Looked {
        /// Beside which.
        id: ContainerId,
        /// The number that it was given.
        number: u64,
        /// How it ended, or why it was not begun.
        result: Result<WaitStatus, LaunchError>,
    },
    /// The session that was asked for runs, or why not.
    Entered {
        /// In which container.
        id: ContainerId,
        /// The number that it was given.
        number: u64,
        /// Its process id on this host.
        result: Result<u32, LaunchError>,
    },
    /// The program of a session has ended.
    Left {
        /// The number that it was given.
        number: u64,
        /// How.
        status: WaitStatus,
    },
    /// A part of the answer to `sample`. What is not told until `complete` is as it was told last.
    Sampled {
        /// When the round began, in nanoseconds since boot.
        begun_boot_ns: u64,
        /// What some containers use.
        usages: Vec<(ContainerId, Usage)>,
        /// The last part of this round.
        complete: bool,
    },
    /// The answer to `update`.
    Updated {
        /// Which.
        id: ContainerId,
        /// Why the limits are not all in force, as a clause.
        problem: Option<String>,
    },
    /// A part of what the container printed was cut off: its sandbox has something to be packed.
    LogCut {
        /// Which.
        id: ContainerId,
    },
    /// The supervisor is gone and with it every container that it ran. Start a new containerizer;
    /// its `Recovered` will lack them.
    Lost {
        /// What was seen.
        reason: String,
    },
}

/// A way to run containers. Orders are queued in call order and leave at [`Self::flush`].
pub trait Containerizer: Send {
    /// Starts a container. Answered by `Launched` or `LaunchFailed`, then `Ended`.
    fn launch(&mut self, launch: Launch);
    /// Changes the limits of cpus and memory of a running container; that of processes stays.
    /// Answered by `Updated`, in the order of the calls for a container.
    fn update(&mut self, id: &ContainerId, allocation: Allocation);
    /// Sends a signal to the container's process group. Silent for an unknown container.
    fn signal(&mut self, id: &ContainerId, signal: i32);
    /// TERM to the process group; after `grace`, KILL to every process of the container, whether
    /// the agent is there or not. Repeated calls can only bring the end nearer.
    fn kill(&mut self, id: &ContainerId, grace: Duration);
    /// Kills every process of the container now. Answered by `Ended`.
    fn destroy(&mut self, id: &ContainerId);
    /// Runs a program beside a container of the launch's id, with its walls and in its limits; it is
    /// killed when it takes longer than `timeout`. Answered by `Looked`, unless no such container
    /// runs.
    fn look(&mut self, launch: Launch, number: u64, timeout: Duration);
    /// Runs a program as a session in a container of the launch's id, with its walls and in its
    /// limits, until it ends, its container does, or this containerizer is gone. Answered by
    /// `Entered`, and then `Left`.
    fn enter(&mut self, launch: Launch, number: u64, stdio: Stdio);
    /// Sends a signal to the process group of a session. Silent when there is none.
    fn signal_session(&mut self, number: u64, signal: i32);
    /// Kills every process of the container now, which has taken more than it may. Answered by
    /// `Ended` with that limitation, also if the agent is another one by then.
    fn exceeded(&mut self, id: &ContainerId, limitation: Limitation);
    /// Asks what the container uses. Answered by `Usage`.
    fn usage(&mut self, id: &ContainerId);
    /// Asks what containers use: all, or those that have done anything since they were asked last.
    /// Answered by `Sampled`. Cheap enough for once a second.
    fn sample(&mut self, all: bool);
    /// The wait is over: the end of this container is on record with the agent, and the
    /// containerizer may drop it. Until then `Ended` is repeated after every reconnect.
    fn forget(&mut self, id: &ContainerId);
    /// Lets the queued orders go. Call once after a batch.
    fn flush(&mut self);
}
