//! What containers of an agent may have, as flags.

use agent::{DOCKER_NETWORKS, DockerPolicy, HostPath, NetworkPolicy, Policy};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Names of capabilities, at the kernel's numbers.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What containers may have.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Containers")]
pub(crate) struct ContainerOptions {
    /// Where images are found by name: NAME.tar (what 'docker save' writes, an OCI archive or a
    /// root file system; also .tar.gz, .tgz and .tar.zst), an OCI layout NAME/, or an unpacked root
    /// file system NAME/rootfs with an OCI configuration NAME/config.json.
    #[arg(long, value_name = "DIR")]
    image_store: Option<PathBuf>,
    /// Room for images that were unpacked and that nobody runs, in the work directory; no image
    /// may take more.
    #[arg(long, value_name = "MB", default_value_t = Policy::default().image_cache_bytes >> 20)]
    image_cache: u64,
    /// Put every task into a container, also those that do not ask for one.
    #[arg(long)]
    enclose_all: bool,
    /// A path of this host that containers may mount, with what is below it; only to be read with
    /// ':ro'. May be repeated.
    #[arg(long, value_name = "PATH[:ro]", value_parser = host_path)]
    allow_host_path: Vec<HostPath>,
    /// A capability that tasks in containers may ask for, such as CHOWN. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = capability)]
    allow_capability: Vec<u8>,
    /// Let tasks run as root of this host: those outside of containers, and containers where there
    /// are no user namespaces. Volumes are given to root, too.
    #[arg(long)]
    allow_root: bool,
    /// The users as whom tasks outside of containers, and in those of Docker, may run: NAME, UID or
    /// UID:GID. Any but root, if not given.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    task_users: Option<Vec<String>>,
    /// Before a task starts, try whether the ports that it holds are free on this host, by TCP and
    /// UDP; a task with a port that something else uses fails, and the port is named.
    #[arg(long)]
    check_ports: bool,
    /// Run containers of type DOCKER with the engine at this socket, such as
    /// unix:///var/run/docker.sock. Such tasks are refused if it is not given.
    #[arg(long, value_name = "SOCKET", value_parser = docker_socket)]
    docker: Option<PathBuf>,
    /// The networks that containers of Docker may have: host, bridge, none, or names of networks
    /// that the engine knows.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "docker",
        default_values_t = DOCKER_NETWORKS.map(str::to_owned))]
    docker_network: Vec<String>,
    /// Give tasks that hold 'network' (Mbps), or ask for a network, one of their own with an address
    /// from this subnet, and hold them to their bandwidth. What they may have in all is said with
    /// '--resources network:1000'.
    #[arg(long, value_name = "SUBNET/BITS", value_parser = subnet)]
    network: Option<(Ipv4Addr, u8)>,
    /// The name by which containers ask for that network.
    #[arg(long, value_name = "NAME", requires = "network", default_value = NetworkPolicy::NAME)]
    network_name: String,
    /// Let tasks with a network of their own reach what is beyond this host, under its address.
    #[arg(long, requires = "network")]
    network_masquerade: bool,
    /// Let tasks with a network of their own reach link-local addresses (169.254.0.0/16), where
    /// clouds answer with the host's credentials. Else they reach nothing there but resolvers, at
    /// port 53.
    #[arg(long, requires = "network")]
    network_link_local: bool,
    /// Let tasks with a network of their own reach this agent and the masters, such as schedulers
    /// that are tasks. Else they do not, at whatever address: what asks nobody who they are would
    /// be open to every task.
    #[arg(long, requires = "network")]
    network_cluster: bool,
    /// How long the pull of an image may take.
    #[arg(long, value_name = "SECONDS", requires = "docker", default_value_t = 600)]
    docker_pull_timeout: u64,
}

impl ContainerOptions {
    /// The same, for the agent.
    pub(crate) fn policy(self) -> Policy {
        Policy {
            enclose: self.enclose_all,
            image_store: self.image_store,
            image_cache_bytes: self.image_cache.saturating_mul(1 << 20),
            host_paths: self.allow_host_path,
            capabilities: self.allow_capability,
            root: self.allow_root,
            users: self.task_users,
            check_ports: self.check_ports,
            disk_limits: true,
            network: self.network.map(|(subnet, prefix)| NetworkPolicy {
                name: self.network_name,
                subnet,
                prefix,
                masquerade: self.network_masquerade,
                link_local: self.network_link_local,
                cluster: self.network_cluster,
            }),
            docker: self.docker.map(|socket| DockerPolicy {
                networks: self.docker_network,
                pull_timeout: Duration::from_secs(self.docker_pull_timeout),
                ..DockerPolicy::new(socket)
            }),
            ..Policy::default()
        }
    }
}

fn host_path(text: &str) -> Result<HostPath, String> {
    let (path, read_only) = match text.strip_suffix(":ro") {
        Some(path) => (path, true),
        None => (text, false),
    };
    if path.starts_with('/') {
        Ok(HostPath { path: path.into(), read_only })
    } else {
        Err("an absolute path is needed, such as /srv/data:ro".to_owned())
    }
}

fn docker_socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    match path.starts_with('/') {
        true => Ok(path.into()),
        false => Err("a socket of this machine is needed, such as unix:///var/run/docker.sock; \
                      engines elsewhere cannot be used"
            .to_owned()),
    }
}

fn subnet(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let parts = text.split_once('/');
    let read = parts.and_then(|(address, bits)| Some((address.parse().ok()?, bits.parse().ok()?)));
    read.ok_or_else(|| "a subnet is needed, such as 10.77.0.0/16".to_owned())
}

fn capability(text: &str) -> Result<u8, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let at = CAPABILITIES.iter().position(|known| *known == name);
    at.and_then(|at| u8::try_from(at).ok())
        .ok_or_else(|| "the name of a capability is needed, such as CHOWN".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_may_be_for_reading_only() {
        let path = |path: &str, read_only| Ok(HostPath { path: path.into(), read_only });
        assert_eq!(host_path("/srv"), path("/srv", false));
        assert_eq!(host_path("/srv:ro"), path("/srv", true));
        assert!(host_path("srv").is_err());
    }

    #[test]
    fn an_engine_is_one_of_this_machine() {
        assert_eq!(docker_socket("unix:///run/d.sock"), Ok("/run/d.sock".into()));
        assert_eq!(docker_socket("/run/d.sock"), Ok("/run/d.sock".into()));
        assert!(docker_socket("tcp://1.2.3.4:2375").is_err());
    }

    #[test]
    fn a_subnet_is_an_address_and_a_number_of_bits() {
        assert_eq!(subnet("10.77.0.0/16"), Ok(([10, 77, 0, 0].into(), 16)));
        for wrong in ["10.77.0.0", "10.77.0/16", "10.77.0.0/x", "fd00::/64"] {
            assert!(subnet(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(capability("CHOWN"), Ok(0));
        assert_eq!(capability("cap_sys_admin"), Ok(21));
        assert_eq!(capability("CHECKPOINT_RESTORE"), Ok(40));
        assert!(capability("ALL").is_err());
    }
}
