//! What an agent is started with, and what follows from it: checked before anything is opened.

mod resource_text;
#[cfg(test)]
mod tests;

use resource_text::{attributes, resources};

use crate::Error;
use crate::containerizer::native::NativeDefaults;
use crate::fetching::FetchPolicy;
use crate::http::SessionsFrom;
use crate::parts::LogPolicy;
use crate::policy::Policy;
use crate::probe::Machine;
use crate::supervisor::options::Extras;
use proto::{
    AgentInfo, Attribute, ClusterId, Domain, Piece, Ranges, ResourceName, Resources, Value,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The Mesos version that is spoken: digits and dots only, because clients parse it.
pub(crate) const MESOS_VERSION: &str = "1.11.0";

/// Longest path of a unix socket that Linux takes, without its final NUL.
const SOCKET_PATH_BYTES: usize = 107;

/// What an agent is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the masters, `HOST:PORT`; they are tried in turn.
    pub masters: Vec<String>,
    /// Where the agent keeps its checkpoint, its supervisor's socket and the sandboxes.
    pub work_dir: PathBuf,
    /// Program and leading arguments that run a supervisor, such as `[current_exe, "supervise"]`.
    pub supervise: Vec<OsString>,
    /// The name or address under which schedulers reach the agent; absent means the address it
    /// listens on, or the machine's name when it listens on all.
    pub hostname: Option<String>,
    /// What the agent has to give, in Mesos' text or JSON form; what is not named is measured.
    pub resources: Option<String>,
    /// Whether GPUs are looked for, and offered and given to tasks when there are some.
    pub gpus: bool,
    /// NVIDIA's library that lists them; absent means the one that the system finds, if any.
    pub nvml_library: Option<PathBuf>,
    /// Facts for constraints, in Mesos' text form.
    pub attributes: Option<String>,
    /// Where the agent stands.
    pub domain: Option<Domain>,
    /// The cluster that the work directory must belong to, if the operator names one.
    pub cluster: Option<String>,
    /// Whether to use cgroups where they are permitted.
    pub cgroups: bool,
    /// What is wanted of cgroups besides limits.
    pub extras: Extras,
    /// Whether every allocation of cpus is a ceiling, not only a share.
    pub cpu_ceiling: bool,
    /// Processes and threads that a container may have when it states no figure.
    pub pids: Option<u64>,
    /// What containers may have.
    pub policy: Policy,
    /// What tasks may fetch, and how.
    pub fetch: FetchPolicy,
    /// How often sandboxes are measured, at the most.
    pub disk_check_interval: Duration,
    /// How what tasks print is cut into parts, and how many are kept.
    pub logs: LogPolicy,
    /// How long a sandbox is kept after its task's end when the disk is empty.
    pub gc_delay: Duration,
    /// Part of the disk that the collection of sandboxes keeps free, in millionths.
    pub gc_disk_headroom_ppm: u32,
    /// How full the disk is, in millionths, when none of it is offered any more; on a large one it
    /// is later, when 5 GiB are free.
    pub disk_pressure_ppm: u32,
    /// How often the disk is measured.
    pub disk_watch_interval: Duration,
    /// Bytes of the disk that are kept for the checkpoint when everything else has filled it.
    pub disk_reserve_bytes: u64,
    /// How long a custom executor may take from its start to its first SUBSCRIBE.
    pub executor_registration_timeout: Duration,
    /// How long a custom executor may take to subscribe to an agent that was started anew.
    pub executor_reregistration_timeout: Duration,
    /// Between SHUTDOWN and KILL for a custom executor that does not say.
    pub executor_shutdown_grace: Duration,
    /// How long custom executors are told to wait for an agent that is away.
    pub recovery_timeout: Duration,
    /// Whether custom executors may call without the token that each of them is given.
    pub executors_without_token: bool,
    /// How long a supervisor without tasks waits for its agent to come back.
    pub supervisor_away_grace: Duration,
    /// From where people may open sessions in containers.
    pub sessions_from: SessionsFrom,
    /// Connections to the agent's own API at one time; more are refused.
    pub max_connections: usize,
    /// How long the head of a request to that API may take; an idle connection ends as well.
    pub request_timeout: Duration,
    /// First and longest pause between two attempts to reach a master.
    pub connect_backoff: (Duration, Duration),
    /// How long after it was sent a status update is sent again, first and at the longest.
    pub update_retry: (Duration, Duration),
}

impl Config {
    /// The defaults.
    pub fn new(
        masters: Vec<String>,
        work_dir: impl Into<PathBuf>,
        supervise: Vec<OsString>,
    ) -> Self {
        // The same program, told to do the other thing.
        let fetch = supervise.first().cloned().into_iter().chain(["fetch".into()]).collect();
        Self {
            masters,
            work_dir: work_dir.into(),
            supervise,
            hostname: None,
            resources: None,
            gpus: true,
            nvml_library: None,
            attributes: None,
            domain: None,
            cluster: None,
            cgroups: true,
            extras: Extras::default(),
            cpu_ceiling: false,
            pids: None,
            policy: Policy::default(),
            fetch: FetchPolicy::new(fetch),
            disk_check_interval: Duration::from_secs(10),
            logs: LogPolicy::default(),
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            gc_disk_headroom_ppm: 100_000,
            disk_pressure_ppm: 950_000,
            disk_watch_interval: Duration::from_secs(60),
            disk_reserve_bytes: 32 << 20,
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(10),
            executor_shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(15 * 60),
            executors_without_token: false,
            supervisor_away_grace: Duration::from_secs(600),
            sessions_from: SessionsFrom::default(),
            max_connections: 1_000,
            request_timeout: Duration::from_secs(30),
            connect_backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            update_retry: (Duration::from_secs(10), Duration::from_secs(600)),
        }
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// Names the setting and what it must be.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |setting: &'static str, given: &str, problem: &str| {
            let (given, problem) = (given.to_owned(), problem.to_owned());
            Err(Error::Setting { setting, given, problem })
        };
        if self.masters.is_empty() {
            return wrong("--master", "", "name at least one, such as 127.0.0.1:5050");
        }
        for master in &self.masters {
            let port = master.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
            if !matches!(port, Some((host, Ok(1..))) if !host.is_empty()) {
                return wrong("--master", master, "should be HOST:PORT, such as 127.0.0.1:5050");
            }
        }
        if self.work_dir.to_str().is_none() {
            let given = self.work_dir.display().to_string();
            return wrong("--work-dir", &given, "the path must be UTF-8");
        }
        if self.supervise.is_empty() {
            return wrong("the supervisor's command", "", "name a program");
        }
        if self.hostname.as_ref().is_some_and(|name| name.is_empty() || name.contains(['/', ' '])) {
            let given = self.hostname.clone().unwrap_or_default();
            return wrong("--hostname", &given, "give a name or an address that others can reach");
        }
        if let Some(Err(problem)) = self.cluster.as_deref().map(str::parse::<ClusterId>) {
            let given = self.cluster.clone().unwrap_or_default();
            return wrong("--cluster", &given, &problem.to_string());
        }
        let LogPolicy { part_bytes, parts } = self.logs;
        if (1..LogPolicy::LEAST_BYTES).contains(&part_bytes) || part_bytes > LogPolicy::MOST_BYTES {
            let text = "give 4 KiB to 1 GiB, or 0 for logs that are never cut";
            return wrong("--log-part", &part_bytes.to_string(), text);
        }
        if !(1..=LogPolicy::MOST_PARTS).contains(&parts) {
            return wrong("--log-parts", &parts.to_string(), "give 1 to 1000");
        }
        if self.disk_watch_interval.is_zero() {
            return wrong("--disk-watch-interval", "0", "give more than zero");
        }
        if let Some(store) = self.policy.image_store.as_ref().filter(|store| !store.is_dir()) {
            return wrong("--image-store", &store.display().to_string(), "should be a directory");
        }
        if let Some(allowed) = self.policy.host_paths.iter().find(|a| !a.path.is_absolute()) {
            let given = allowed.path.display().to_string();
            return wrong("--allow-host-path", &given, "should be an absolute path");
        }
        if let Some(network) = &self.policy.network {
            let given = format!("{}/{}", network.subnet, network.prefix);
            let (number, bits) = (u32::from(network.subnet), u32::from(network.prefix));
            let is_subnet = (8..=29).contains(&bits) && number.trailing_zeros() >= 32 - bits;
            if !is_subnet {
                let text = "give a subnet of 8 to 29 bits and nothing after them, such as \
                            10.77.0.0/16";
                return wrong("--network", &given, text);
            }
            if !rustix::process::geteuid().is_root() {
                return wrong("--network", &given, "only an agent that runs as root can have it");
            }
        }
        if let Some(dir) = self.fetch.from.iter().find(|dir| !dir.is_absolute()) {
            let given = dir.display().to_string();
            return wrong("--fetch-from", &given, "should be an absolute path");
        }
        if let Some(text) = &self.resources {
            resources(text)?;
        }
        if let Some(text) = &self.attributes {
            attributes(text)?;
        }
        Ok(())
    }

    pub(crate) fn native_defaults(&self) -> NativeDefaults {
        NativeDefaults {
            cpu_ceiling: self.cpu_ceiling,
            pids: self.pids,
            root: self.policy.plain_root(),
        }
    }

    /// What the agent says of itself. What is not configured is measured.
    pub(crate) fn agent_info(
        &self,
        machine: &Machine,
        gpus: usize,
        hostname: &str,
        port: u16,
    ) -> Result<AgentInfo, Error> {
        let given = self.resources.as_deref().map(resources).transpose()?.unwrap_or_default();
        let attributes = self.attributes.as_deref().map(attributes).transpose()?;
        Ok(AgentInfo {
            id: None,
            hostname: hostname.into(),
            port,
            resources: with_measured(given, machine, gpus)?,
            attributes: attributes.unwrap_or_default(),
            domain: self.domain.clone(),
        })
    }
}

/// Mesos' rule: cpus, mem, disk, ports and GPUs that are not named are measured. Where GPUs were
/// found there cannot be more.
fn with_measured(mut given: Resources, machine: &Machine, gpus: usize) -> Result<Resources, Error> {
    let megabytes = |bytes: u64| (bytes >> 20).saturating_mul(1000);
    let (found, asked) = (gpus as u64 * 1000, given.scalar("gpus"));
    if found > 0 && (asked > found || !asked.is_multiple_of(1000)) {
        return Err(Error::Setting {
            setting: "--resources",
            given: format!("gpus:{}", asked as f64 / 1000.0),
            problem: format!(
                "this machine has {gpus} GPUs, of which whole ones are given; --no-gpus offers none"
            ),
        });
    }
    let measured = [
        ("cpus", Value::Scalar(machine.cpus_milli)),
        ("mem", Value::Scalar(megabytes(machine.memory_offer_bytes))),
        ("disk", Value::Scalar(megabytes(machine.disk_offer_bytes))),
        ("ports", Value::Ranges(Ranges::new([(31_000, 32_000)]))),
    ];
    let gpus = (found > 0).then_some(("gpus", Value::Scalar(found)));
    for (name, value) in measured.into_iter().chain(gpus) {
        if !given.pieces().iter().any(|piece| piece.name.as_str() == name) {
            let name = ResourceName::new(name);
            given.add_piece(Piece { name, flavor: proto::Flavor::default(), value });
        }
    }
    Ok(given)
}

/// The directories and files of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) checkpoint: PathBuf,
    pub(crate) supervisor: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) sandboxes: PathBuf,
    pub(crate) volumes: PathBuf,
    /// What was unpacked of the image store.
    pub(crate) images: PathBuf,
    /// Sandboxes whose files are being fetched.
    pub(crate) fetching: PathBuf,
    /// What is kept of what was fetched.
    pub(crate) fetched: PathBuf,
    pub(crate) reserve: PathBuf,
    /// Records of what the Docker engine was given.
    pub(crate) docker: PathBuf,
    /// Names the agent's cgroup; the same at each start.
    pub(crate) name: String,
}

impl Layout {
    /// Makes the directories.
    pub(crate) fn make(work_dir: &Path) -> Result<Self, Error> {
        let failed = |source| Error::WorkDir { dir: work_dir.to_owned(), source };
        std::fs::create_dir_all(work_dir).map_err(failed)?;
        let root = work_dir.canonicalize().map_err(failed)?;
        // Our own identity is in the checkpoint's directory: one here is of another component.
        store::refuse_owned(&root, "agent work directory").map_err(Arc::new)?;
        let supervisor = root.join("supervisor");
        let socket = supervisor.join("socket");
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_BYTES {
            let most = SOCKET_PATH_BYTES - (length - root.as_os_str().len());
            return Err(Error::LongPath { dir: root, most });
        }
        let sandboxes = root.join("sandboxes");
        for dir in [&supervisor, &sandboxes] {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let volumes = root.join("volumes");
        crate::volumes::make_root(&volumes).map_err(failed)?;
        let name = format!("agent-{:016x}", fnv(root.as_os_str().as_encoded_bytes()));
        let [checkpoint, images, fetching, fetched, reserve, docker] =
            ["meta", "images", "fetching", "fetched", "reserve", "docker"].map(|n| root.join(n));
        Ok(Self {
            root,
            checkpoint,
            supervisor,
            socket,
            sandboxes,
            volumes,
            images,
            fetching,
            fetched,
            reserve,
            docker,
            name,
        })
    }
}

/// FNV-1a: a short name for a path. Not for secrets.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// An attribute's text, as operators write it.
pub(crate) fn attribute_text(attribute: &Attribute) -> String {
    format!("{}:{}", attribute.name, attribute.value)
}
