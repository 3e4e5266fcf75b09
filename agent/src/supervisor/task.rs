//! The values that the supervisor and its client exchange: what to run, how it ended, what it uses.
//!
//! They are plain data without wire form (that is `wire`) and know nothing of agents, frameworks
//! or resources as Mesos counts them; `containerizer` translates. Nothing here may hold a file
//! descriptor or perform I/O.

mod usage;

pub use usage::{Pressure, Traffic, Usage};

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The name of one container, unique for the life of an agent's work directory.
///
/// It is used in paths and log lines, so it is 1 to 200 bytes of printable ASCII without `/`,
/// and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Box<str>);

/// Why a string cannot be a [`ContainerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be a container id: use 1 to 200 printable ASCII characters without '/'")]
pub struct BadContainerId {
    /// What was given.
    pub text: String,
}

impl ContainerId {
    /// Checks the name.
    pub fn new(text: impl AsRef<str>) -> Result<Self, BadContainerId> {
        let text = text.as_ref();
        let printable = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if text.is_empty() || text.len() > 200 || !printable || text == "." || text == ".." {
            return Err(BadContainerId { text: text.chars().take(220).collect() });
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A file, looked up in the task's own PATH when it has no slash, with its whole argv.
    Exec {
        /// Path or name of the executable.
        file: String,
        /// Arguments including `argv[0]`; when empty, `file` is used as `argv[0]`.
        argv: Vec<String>,
    },
}

/// The numeric identity a task runs as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, replacing the supervisor's own.
    pub groups: Vec<u32>,
}

/// One resource limit of `setrlimit(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*` of this platform.
    pub resource: u32,
    /// Soft limit; `u64::MAX` is unlimited.
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Limits the kernel enforces on the whole container (on all its processes together).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Relative weight when the machine is busy, in v1 units (1024 a cpu, at least 2).
    pub cpu_shares: u64,
    /// Hard ceiling: microseconds of cpu time in each period of 100 ms; `None` is no ceiling.
    pub cpu_quota_us: Option<u64>,
    /// Hard memory limit in bytes; `None` is no limit.
    pub memory_bytes: Option<u64>,
    /// Most processes and threads at one time; `None` is no limit.
    pub pids: Option<u64>,
    /// What it asked for of memory, in bytes, where it may use more: what it has beyond this goes
    /// first when the machine runs short.
    pub memory_soft_bytes: Option<u64>,
    /// Bytes of disk that what it writes may take, held to where the file system has project
    /// quotas; `None` is no limit.
    pub disk_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_shares: 1024,
            cpu_quota_us: None,
            memory_bytes: None,
            pids: None,
            memory_soft_bytes: None,
            disk_bytes: None,
        }
    }
}

/// Where the task's working directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxChoice {
    /// A directory of the supervisor's own, named in [`Launched`]. Given back when the task
    /// leaves it empty, so that a short silent task costs no file.
    Pooled,
    /// A directory the caller has made (fetched files, shared by a group). Never removed here.
    At(PathBuf),
}

/// A persistent volume of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeLink {
    /// What people call it, such as `volume v of role r`.
    pub name: String,
    /// Where the task finds it: a relative path of plain names in its sandbox.
    pub path: PathBuf,
    /// The directory with its content; it is there, or the launch fails.
    pub target: PathBuf,
    /// Whether other tasks may use it at the same time: its owner stays then.
    pub shared: bool,
}

/// Walls around a task: namespaces, a root file system and identities of its own, and few rights.
///
/// Inside, its sandbox is at [`SANDBOX`]; `credentials` of its task are those inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosure {
    /// What it finds at `/`.
    pub root: Root,
    /// Whether nothing can be written but its sandbox, its temporary directories and its mounts.
    pub read_only: bool,
    /// Its name for the host.
    pub hostname: String,
    /// Its working directory, an absolute path inside; made when an image lacks it.
    pub directory: PathBuf,
    /// What is mounted besides, in order.
    pub mounts: Vec<Mount>,
    /// Capabilities that it keeps, as bits by the kernel's numbers.
    pub capabilities: u64,
    /// Size of its `/dev/shm` in bytes.
    pub shm_bytes: u64,
    /// Whether it may be the host's root where user namespaces cannot be had.
    pub root_allowed: bool,
    /// The name of the group with whose tasks it shares processes and IPC. Not where there are no
    /// cgroups: what one of them left behind could not be told from the others there.
    pub pod: Option<String>,
    /// Devices that it may open besides those of every task, by these names in its `/dev`.
    pub devices: Vec<Device>,
}

/// A character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// A file name.
    pub name: String,
    /// What kind of device it is for the kernel.
    pub major: u32,
    /// Which one of its kind.
    pub minor: u32,
}

/// Where an enclosed task finds its sandbox: Mesos' place for it.
pub const SANDBOX: &str = "/mnt/mesos/sandbox";

/// The root file system of an enclosed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The host's programs and settings (`/usr`, `/etc` and the like), which it cannot change.
    Host,
    /// An unpacked image, with a layer over it that lives as long as the task.
    Image(PathBuf),
}

/// Something that is mounted into an enclosed task's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where: an absolute path inside, made when it is not there.
    pub target: PathBuf,
    /// Whether it cannot be written there.
    pub read_only: bool,
    /// What.
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of the host.
    Host(PathBuf),
    /// A directory below the sandbox, made when it is not there.
    Sandbox(PathBuf),
    /// Memory, of so many bytes at the most.
    Tmpfs(u64),
}

/// A network of a task's own: a loopback and one link, over which it and the host see each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Where the tasks of this agent have their addresses; the first one is the host's.
    pub subnet: Ipv4Addr,
    /// How many bits of the subnet's addresses are the same.
    pub prefix: u8,
    /// What may pass in each direction; `None` is no limit.
    pub bits_a_second: Option<u64>,
    /// Ports of the host that lead to ports inside.
    pub ports: Vec<PortMap>,
    /// Whether it reaches what is beyond the host, under the host's own address.
    pub masquerade: bool,
    /// Whether it reaches link-local addresses, where clouds answer with the host's credentials.
    pub link_local: bool,
    /// Whether it reaches what is [`Closed`].
    pub cluster: bool,
    /// The group with whose tasks it shares the network; what is above of bandwidth and ports is
    /// this task's part then.
    pub pod: Option<NetworkPod>,
}

/// Where the cluster's own programs listen for TCP: networks of tasks do not lead there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// Ports of this host, at any of its addresses.
    pub here: BTreeSet<u16>,
    /// Those of others.
    pub there: BTreeSet<SocketAddrV4>,
}

/// What a group has of the network that its tasks share, beside their parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPod {
    /// The group's name. The first task that names it makes the network, the last one's end is its
    /// end.
    pub name: String,
    /// What it has of bandwidth until then.
    pub bits_a_second: Option<u64>,
    /// Ports of the host that lead there until then.
    pub ports: Vec<PortMap>,
}

/// A port of the host that leads to one of a task's own network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    /// Of any address of the host.
    pub host: u16,
    /// Of the task's.
    pub inside: u16,
    /// UDP if true, else TCP.
    pub udp: bool,
}

/// One task for the supervisor to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its name; a second launch under a name that is still known is refused.
    pub id: ContainerId,
    /// What to execute.
    pub program: Program,
    /// The whole environment, as `NAME=value`. `MESOS_SANDBOX` is added unless present.
    pub environment: Vec<String>,
    /// The identity to run as; `None` keeps the supervisor's.
    pub credentials: Option<Credentials>,
    /// Resource limits of the process.
    pub rlimits: Vec<Rlimit>,
    /// Working directory, which also receives the files `stdout` and `stderr`.
    pub sandbox: SandboxChoice,
    /// Limits of the container.
    pub limits: Limits,
    /// What it finds in its working directory besides.
    pub volumes: Vec<VolumeLink>,
    /// The walls around it; absent for a plain process.
    pub enclosure: Option<Box<Enclosure>>,
    /// A network of its own; absent for the host's.
    pub network: Option<Box<Network>>,
    /// Bytes that mean nothing to the supervisor and come back in [`Recovered`].
    pub record: Vec<u8>,
    /// More of them, which many tasks have in common: the number under which this connection has
    /// told them.
    pub shared: Option<u64>,
}

/// What a program in the container of a task reads and writes: files that the agent made, and holds
/// the other ends of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdio {
    /// Named pipes: standard input, output and error.
    Pipes([PathBuf; 3]),
    /// A terminal, all three.
    Terminal(PathBuf),
}

/// A task is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// Process id of the task's first process: a session and process group leader. For display
    /// and statistics; nobody but the supervisor may signal it, since only the parent knows that
    /// the number has not been given to another process.
    pub pid: u32,
    /// When it was started, in nanoseconds since boot (`CLOCK_BOOTTIME`). With `pid` and the boot
    /// id this identifies the process for ever.
    pub started_boot_ns: u64,
    /// Its working directory.
    pub sandbox: PathBuf,
    /// Its address, if it has a network of its own.
    pub address: Option<Ipv4Addr>,
    /// Where what it writes over its image is, if it has one.
    pub layer: Option<PathBuf>,
}

/// How the first process of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// It exited with this code (0 to 255).
    Exited(u8),
    /// It died of this signal.
    Signaled(u8),
    /// Nobody can tell any more.
    Unknown,
}

/// The process that the kernel killed because its container had run out of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// What the kernel calls it: up to 15 bytes of its program's name, unless it chose another.
    pub name: Box<str>,
    /// Its number on the host.
    pub pid: u32,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// A limit of the container that ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limitation {
    /// The container needed more memory than its limit. All of it was killed.
    Memory {
        /// Highest memory use seen, in bytes.
        usage_bytes: u64,
        /// The limit that was in force, in bytes.
        limit_bytes: u64,
        /// The first process that was killed for it, where the kernel's log tells.
        victim: Option<Victim>,
    },
    /// Its sandbox took more of the disk than it may. All of the container was killed.
    Disk {
        /// What it took when it was measured, in bytes.
        usage_bytes: u64,
        /// What it may take, in bytes.
        limit_bytes: u64,
    },
}

/// What became of a task's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxFate {
    /// The directory holds something, or is the caller's own: it stays until removed by gc.
    Kept(PathBuf),
    /// The task left nothing behind and the directory was given back: there is nothing to read.
    Empty,
}

/// A task has ended: its processes are gone and its output is complete on file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How its first process ended.
    pub status: WaitStatus,
    /// The limit that ended it, if one did.
    pub limitation: Option<Limitation>,
    /// Whether an order to kill it had been received.
    pub kill_requested: bool,
    /// How often the pids limit refused it a process.
    pub pids_refused: u64,
    /// User and system time of the task's first process and the children it waited for.
    pub cpu_time: Duration,
    /// Largest resident set of one of these processes, in bytes.
    pub max_rss_bytes: u64,
    /// From start to end.
    pub lasted: Duration,
    /// When it ended, in nanoseconds since the Unix epoch by this machine's clock.
    pub ended_unix_ns: u64,
    /// Bytes written to stdout.
    pub stdout_bytes: u64,
    /// Bytes written to stderr.
    pub stderr_bytes: u64,
    /// Bytes of output that could not be stored (disk full, or the file was made unusable). They
    /// are told with the task's end: nobody else can know that its output is not whole.
    pub lost_bytes: u64,
    /// What became of its files.
    pub sandbox: SandboxFate,
}

/// Why a task could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// A container of this name is running, or its end has not been acknowledged.
    #[error("a container of this name already exists")]
    AlreadyExists,
    /// A step between fork and exec failed.
    #[error("{step} failed: {}", std::io::Error::from_raw_os_error(*errno))]
    Spawn {
        /// What was being done, such as `execve /no/such/file`.
        step: String,
        /// The operating system's error number.
        errno: i32,
    },
    /// The request cannot be carried out now: this agent or its host is at fault.
    #[error("{0}")]
    Refused(String),
    /// The request asks for what cannot be, such as a user that does not exist: whoever made it is
    /// at fault.
    #[error("{0}")]
    Impossible(String),
}

/// A container the supervisor knows, as told to an agent that has just connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Its name.
    pub id: ContainerId,
    /// The opaque bytes of its launch.
    pub record: Vec<u8>,
    /// Those it has in common with others, which have the same pointer.
    pub shared: Option<Arc<[u8]>>,
    /// What was answered when it started.
    pub launched: Launched,
    /// `None` while it runs.
    pub ended: Option<Ended>,
    /// Its supervisor was lost: processes of it were killed and had not ended when this one began.
    /// There is no record of its launch.
    pub remains: bool,
    /// Whether an order to kill it had been received while it ran.
    pub kill_requested: bool,
}
