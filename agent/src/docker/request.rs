//! What the engine is asked to make of a launch.

use crate::containerizer::user::of_host;
use crate::containerizer::{
    DockerTask, Enclosure, Launch, MountSource, Program, QUOTA_PERIOD_US, Rlimit, SANDBOX,
};
use crate::supervisor::task::Limits;
use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, DeviceRequest, HostConfig, HostConfigLogConfig,
    Mount, MountBindOptions, MountTmpfsOptions, MountType, PortBinding, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Carries the name of the agent (the same at each start) whose container it is.
pub(crate) const AGENT_LABEL: &str = "tepui.agent";
/// Carries our id of the container.
pub(crate) const CONTAINER_LABEL: &str = "tepui.container_id";
/// What the engine may keep of a container's output, beside the sandbox' files.
const LOG_SIZE: &str = "256m";
const LOG_FILES: &str = "2";

/// The engine's name for a container: as Mesos' agents make it.
pub(crate) fn name(id: &str) -> String {
    format!("mesos-{id}")
}

/// All that the engine hears of a launch. `user` is as whom it runs; empty is the image's.
pub(crate) fn create(
    launch: &Launch,
    task: &DockerTask,
    walls: &Enclosure,
    limits: &Limits,
    user: &str,
    sandbox: &Path,
    agent: &str,
) -> Result<ContainerCreateBody, String> {
    let (entrypoint, cmd) = match &launch.program {
        Program::Shell(line) => {
            let whole = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
            (Some(whole), Some(Vec::new()))
        }
        Program::Exec { argv, .. } => (None, (!argv.is_empty()).then(|| argv.clone())),
    };
    let mut labels: HashMap<String, String> = task.labels.iter().cloned().collect();
    labels.insert(AGENT_LABEL.to_owned(), agent.to_owned());
    labels.insert(CONTAINER_LABEL.to_owned(), launch.id.to_string());
    let ports: Vec<String> = task.ports.iter().map(|p| port(p.container_port, p.udp)).collect();
    Ok(ContainerCreateBody {
        // A container in the host's network has the host's name.
        hostname: (task.network != "host").then(|| walls.hostname.clone()),
        user: Some(user.to_owned()),
        env: Some(environment(launch)?),
        cmd,
        entrypoint,
        image: Some(task.image.clone()),
        working_dir: task.directory.clone(),
        stop_signal: task.stop_signal.clone(),
        labels: Some(labels),
        exposed_ports: (!ports.is_empty()).then_some(ports),
        host_config: Some(host_config(launch, task, walls, limits, sandbox)?),
        ..ContainerCreateBody::default()
    })
}

/// As `docker run --gpus` asks for them.
fn gpus(own: &[Arc<str>]) -> Option<Vec<DeviceRequest>> {
    let request = || DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: Some(own.iter().map(|gpu| gpu.to_string()).collect()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    (!own.is_empty()).then(|| vec![request()])
}

fn host_config(
    launch: &Launch,
    task: &DockerTask,
    walls: &Enclosure,
    limits: &Limits,
    sandbox: &Path,
) -> Result<HostConfig, String> {
    let mut bindings = HashMap::new();
    for mapping in &task.ports {
        let to = PortBinding { host_ip: None, host_port: Some(mapping.host_port.to_string()) };
        let of = bindings.entry(port(mapping.container_port, mapping.udp));
        of.or_insert_with(|| Some(Vec::new())).get_or_insert_default().push(to);
    }
    let capabilities = (0..64u8).filter(|number| walls.capabilities >> number & 1 == 1);
    let capabilities: Result<Vec<String>, String> = capabilities.map(capability).collect();
    let log = [("max-size", LOG_SIZE), ("max-file", LOG_FILES)];
    Ok(HostConfig {
        cpu_shares: Some(signed(limits.cpu_shares)),
        cpu_period: limits.cpu_quota_us.map(|_| signed(QUOTA_PERIOD_US)),
        cpu_quota: limits.cpu_quota_us.map(signed),
        memory: limits.memory_bytes.map(signed),
        // The sum of memory and swap: none of the latter.
        memory_swap: limits.memory_bytes.map(signed),
        memory_reservation: limits.memory_soft_bytes.map(signed),
        pids_limit: limits.pids.map(signed),
        ulimits: Some(launch.rlimits.iter().map(ulimit).collect::<Result<_, _>>()?),
        network_mode: Some(task.network.clone()),
        device_requests: gpus(&task.gpus),
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        mounts: Some(mounts(launch, walls, sandbox)),
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities?),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(walls.read_only),
        shm_size: Some(signed(walls.shm_bytes)),
        ipc_mode: Some("private".to_owned()),
        init: task.init,
        // What is restarted is the framework's to say.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            ..RestartPolicy::default()
        }),
        auto_remove: Some(false),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        }),
        ..HostConfig::default()
    })
}

/// New limits of a running container. One that was unlimited before can be limited, and not the
/// other way round.
pub(crate) fn update(limits: &Limits) -> ContainerUpdateBody {
    ContainerUpdateBody {
        cpu_shares: Some(signed(limits.cpu_shares)),
        cpu_period: limits.cpu_quota_us.map(|_| signed(QUOTA_PERIOD_US)),
        cpu_quota: limits.cpu_quota_us.map(signed),
        memory: limits.memory_bytes.map(signed),
        memory_swap: limits.memory_bytes.map(signed),
        memory_reservation: limits.memory_soft_bytes.map(signed),
        pids_limit: limits.pids.map(signed),
        ..ContainerUpdateBody::default()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn port(number: u16, udp: bool) -> String {
    format!("{number}/{}", if udp { "udp" } else { "tcp" })
}

fn environment(launch: &Launch) -> Result<Vec<String>, String> {
    let own =
        [("MESOS_SANDBOX", SANDBOX.to_owned()), ("MESOS_CONTAINER_NAME", name(launch.id.as_str()))];
    let named = |name: &str| launch.environment.iter().any(|(known, _)| known == name);
    let own = own.into_iter().filter(|(name, _)| !named(name));
    let own = own.map(|(name, value)| format!("{name}={value}"));
    let given = launch.environment.iter().map(|(name, value)| {
        let fine = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        let refused = || {
            format!("environment variable {name:?} has a name or value that cannot be passed on")
        };
        fine.then(|| format!("{name}={value}")).ok_or_else(refused)
    });
    given.chain(own.map(Ok)).collect()
}

fn mounts(launch: &Launch, walls: &Enclosure, sandbox: &Path) -> Vec<Mount> {
    // What is mounted below a source was not asked for, and may be anything.
    let alone = MountBindOptions { non_recursive: Some(true), ..MountBindOptions::default() };
    let bind = |source: &Path, target: &Path, read_only: bool| Mount {
        target: Some(target.to_string_lossy().into_owned()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        bind_options: Some(alone.clone()),
        ..Mount::default()
    };
    let inside = Path::new(SANDBOX);
    let mut all = vec![bind(sandbox, inside, false)];
    let volumes = launch.volumes.iter();
    all.extend(volumes.map(|volume| bind(&volume.target, &inside.join(&volume.path), false)));
    for mount in &walls.mounts {
        all.push(match &mount.source {
            MountSource::Host(path) => bind(path, &mount.target, mount.read_only),
            MountSource::Sandbox(path) => bind(&sandbox.join(path), &mount.target, mount.read_only),
            MountSource::Tmpfs(bytes) => Mount {
                target: Some(mount.target.to_string_lossy().into_owned()),
                typ: Some(MountType::TMPFS),
                read_only: Some(mount.read_only),
                tmpfs_options: Some(MountTmpfsOptions {
                    size_bytes: Some(signed(*bytes)),
                    ..MountTmpfsOptions::default()
                }),
                ..Mount::default()
            },
        });
    }
    all
}

/// The engine's names of resource limits.
fn ulimit(limit: &Rlimit) -> Result<ResourcesUlimits, String> {
    let names = [
        (libc::RLIMIT_CORE, "core"),
        (libc::RLIMIT_CPU, "cpu"),
        (libc::RLIMIT_DATA, "data"),
        (libc::RLIMIT_FSIZE, "fsize"),
        (libc::RLIMIT_LOCKS, "locks"),
        (libc::RLIMIT_MEMLOCK, "memlock"),
        (libc::RLIMIT_MSGQUEUE, "msgqueue"),
        (libc::RLIMIT_NICE, "nice"),
        (libc::RLIMIT_NOFILE, "nofile"),
        (libc::RLIMIT_NPROC, "nproc"),
        (libc::RLIMIT_RSS, "rss"),
        (libc::RLIMIT_RTPRIO, "rtprio"),
        (libc::RLIMIT_RTTIME, "rttime"),
        (libc::RLIMIT_SIGPENDING, "sigpending"),
        (libc::RLIMIT_STACK, "stack"),
    ];
    let found = names.iter().find(|(number, _)| *number == limit.resource);
    let (_, name) = found.ok_or("the resource limit RLMT_AS cannot be had with Docker")?;
    let value = |limit: u64| if limit == u64::MAX { -1 } else { signed(limit) };
    Ok(ResourcesUlimits {
        name: Some((*name).to_owned()),
        soft: Some(value(limit.soft)),
        hard: Some(value(limit.hard)),
    })
}

/// The engine's name of a capability, which is the kernel's.
fn capability(number: u8) -> Result<String, String> {
    const NAMES: [&str; 41] = [
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
    let name = NAMES.get(usize::from(number));
    name.map(|name| (*name).to_owned()).ok_or_else(|| format!("there is no capability {number}"))
}

/// What a container's user may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights<'a> {
    /// Whether the engine maps users: everybody within is somebody else on the host then.
    pub(crate) mapped: bool,
    /// Whether root is allowed.
    pub(crate) root: bool,
    /// Who is allowed; absent means anybody but root.
    pub(crate) users: Option<&'a [String]>,
}

/// As whom a container runs: as its task says, else as its image does. Whoever is root in it is
/// root of the host, unless the engine maps users; a name may mean root, since only the image says
/// who that is. For the same reason it gets a group by its number always: an image may put a user
/// into any group.
pub(crate) fn user(
    asked: Option<&str>,
    of_image: &str,
    rights: Rights<'_>,
) -> Result<String, String> {
    let user = asked.filter(|user| !user.is_empty()).unwrap_or(of_image);
    if rights.mapped || (rights.root && rights.users.is_none()) {
        return Ok(user.to_owned());
    }
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let uid = match name.parse::<u32>() {
        Ok(0) if !rights.root => {
            return Err("the container would run as root of this host: give another user by its \
                        number (command.user), or the agent --allow-root"
                .to_owned());
        }
        Ok(uid) => uid,
        Err(_) if user.is_empty() => {
            return Err("the image names no user, and so the container would run as root of this \
                        host: give a user by its number (command.user), or the agent --allow-root"
                .to_owned());
        }
        Err(_) => {
            return Err(format!(
                "whether {user:?} is root only the image knows: give a user by its number \
                 (command.user), or the agent --allow-root"
            ));
        }
    };
    let gid = match group.map(str::parse::<u32>) {
        None => None,
        Some(Ok(gid)) => Some(gid),
        Some(Err(_)) => {
            return Err(format!(
                "whose group that of {user:?} is only the image knows: give it by its number \
                 (command.user)"
            ));
        }
    };
    let gid = group_of(uid, gid, rights.users)?;
    Ok(format!("{uid}:{gid}"))
}

/// The group of a user, which is the one that was asked for if the user may have it.
fn group_of(uid: u32, asked: Option<u32>, users: Option<&[String]>) -> Result<u32, String> {
    let own = of_host(&uid.to_string()).map_err(|error| error.to_string())?;
    let Some(users) = users else {
        // Root's group opens what root's name does not.
        let may = |gid| gid != 0 && (gid == uid || gid == own.gid || own.groups.contains(&gid));
        let gid = asked.unwrap_or(if own.gid == 0 { uid } else { own.gid });
        return match may(gid) {
            true => Ok(gid),
            false => Err(format!(
                "user {uid} has no part in the group {gid} on this agent (command.user; \
                 --task-users {uid}:{gid})"
            )),
        };
    };
    for entry in users {
        let (name, group) = entry.split_once(':').unwrap_or((entry, ""));
        let Some(known) = of_host(name).ok().filter(|known| known.uid == uid) else { continue };
        let (gid, may) = match group.parse::<u32>() {
            Ok(gid) => (gid, asked.is_none_or(|asked| asked == gid)),
            Err(_) => {
                let gid = asked.unwrap_or(known.gid);
                (gid, gid == known.gid || known.groups.contains(&gid))
            }
        };
        if may {
            return Ok(gid);
        }
    }
    let group = asked.map(|gid| format!(":{gid}")).unwrap_or_default();
    Err(format!("tasks may not run as {uid}{group} on this agent (command.user; --task-users)"))
}

/// Who owns the sandbox of such a user, as far as its number is given.
pub(crate) fn owner(user: &str) -> Option<(u32, u32)> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, user));
    let uid: u32 = uid.parse().ok()?;
    Some((uid, gid.parse().unwrap_or(uid)))
}

#[cfg(test)]
mod tests;
