//! What a task may ask of the engine, and what its agent's operator allows: what is not allowed is
//! refused with a sentence that names the field and the flag.

use crate::containerizer::{DockerTask, Launch, MountSource, Program};
use crate::policy::{PIDS, Policy};
use agent_core::Launch as Order;
use proto::{CommandInfo, DockerInfo, DockerNetwork, PortMapping, TaskInfo};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Networks that containers may have when the operator does not say.
pub const DOCKER_NETWORKS: [&str; 2] = ["bridge", "none"];
/// Longest value of a parameter.
const PARAMETER_BYTES: usize = 4096;
/// What each list of a task may hold.
const LIST: usize = 256;
/// What our own labels begin with.
const OWN_LABELS: &str = "tepui.";

/// What an operator lets tasks do with a Docker engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerPolicy {
    /// The engine's socket.
    pub socket: PathBuf,
    /// The networks that containers may have: `host`, `bridge`, `none`, or names of the engine's.
    pub networks: Vec<String>,
    /// How long a launch waits for an engine that does not answer.
    pub engine_wait: Duration,
    /// How long the pull of an image may take.
    pub pull_timeout: Duration,
}

impl DockerPolicy {
    /// The engine at this socket, with the defaults.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            networks: DOCKER_NETWORKS.map(str::to_owned).to_vec(),
            engine_wait: Duration::from_secs(20),
            pull_timeout: Duration::from_secs(600),
        }
    }
}

/// Turns a launch with walls into one of the engine's.
///
/// # Errors
/// What is not allowed, or cannot be, as a clause.
pub(crate) fn asked(
    mut made: Launch,
    asked: &DockerInfo,
    command: &CommandInfo,
    launch: &Order,
    allowed: &Policy,
) -> Result<Launch, String> {
    let policy = allowed.docker.as_ref().ok_or("this agent has no Docker engine (--docker)")?;
    if asked.privileged {
        return Err("no container of this agent has all rights of the host \
                    (container.docker.privileged)"
            .to_owned());
    }
    let mut task = DockerTask {
        gpus: launch.gpus.clone(),
        image: asked.image.to_string(),
        force_pull: asked.force_pull,
        network: network(&asked.network, policy)?,
        ports: ports(asked, &launch.task)?,
        labels: vec![
            ("tepui.task_id".to_owned(), launch.task.task_id.to_string()),
            ("tepui.framework_id".to_owned(), launch.framework_id.to_string()),
            ("tepui.agent_id".to_owned(), launch.task.agent_id.to_string()),
        ],
        directory: None,
        stop_signal: None,
        init: None,
        users: allowed.users.clone(),
    };
    if asked.parameters.len() > LIST {
        return Err(format!("there are more than {LIST} container.docker.parameters"));
    }
    for (key, value) in &asked.parameters {
        parameter(&mut task, &mut made, key, value)?;
    }
    for mount in made.enclosure.iter().flat_map(|walls| &walls.mounts) {
        if let MountSource::Host(path) = &mount.source {
            is_fixed(path)?;
        }
    }
    made.program = program(command);
    // The framework's user is one of the host, whom an image does not know.
    made.user = command.user.as_deref().map(str::to_owned);
    made.allocation.pids = made.allocation.pids.or(Some(PIDS));
    made.docker = Some(Box::new(task));
    Ok(made)
}

/// Whether a path of the host without links stays what it is until the engine has resolved it once
/// more: nobody but root, or we, can put something else in the place of any of its parts.
///
/// # Errors
/// Who can.
fn is_fixed(path: &Path) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    let trusted = |uid: u32| uid == 0 || uid == own;
    for (dir, below) in path.ancestors().skip(1).zip(path.ancestors()) {
        let read = |path: &Path| {
            let found = path.symlink_metadata();
            found.map_err(|error| format!("the host's {} cannot be had: {error}", path.display()))
        };
        let (holder, held) = (read(dir)?, read(below)?);
        let sticky = holder.mode() & 0o1000 != 0;
        let open = holder.mode() & 0o022 != 0 && !(sticky && trusted(held.uid()));
        if !trusted(holder.uid()) || open || held.is_symlink() {
            return Err(format!(
                "others than root may exchange the host's {} while the engine looks at it: make \
                 {} root's alone, or mount the path somewhere else",
                path.display(),
                dir.display()
            ));
        }
    }
    Ok(())
}

/// As Mesos does it: a line for the shell, else what follows the image's name in `docker run`.
fn program(command: &CommandInfo) -> Program {
    let value = command.value.as_deref().unwrap_or_default();
    if command.shell && !value.is_empty() {
        return Program::Shell(value.to_owned());
    }
    let value = (!value.is_empty()).then(|| value.to_owned());
    let arguments = command.arguments.iter().map(|argument| argument.to_string());
    let argv: Vec<String> = value.into_iter().chain(arguments).collect();
    Program::Exec { file: argv.first().cloned().unwrap_or_default(), argv }
}

fn network(asked: &DockerNetwork, policy: &DockerPolicy) -> Result<String, String> {
    let name = match asked {
        DockerNetwork::Host => "host",
        DockerNetwork::Bridge => "bridge",
        DockerNetwork::None => "none",
        // Names with a colon are others' containers.
        DockerNetwork::User(name) if name.contains(':') || is_special(name) => {
            return Err(format!("{name:?} is no name of a network (container.network_infos)"));
        }
        DockerNetwork::User(name) => name,
    };
    if policy.networks.iter().any(|allowed| allowed == name) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "the network {name} is not allowed on this agent (container.docker.network; \
         --docker-network {name})"
    ))
}

fn is_special(name: &str) -> bool {
    ["host", "bridge", "none", "default", ""].contains(&name)
}

/// Ports of the host must be the task's own.
fn ports(asked: &DockerInfo, task: &TaskInfo) -> Result<Vec<PortMapping>, String> {
    let all = &asked.port_mappings;
    let field = "container.docker.port_mappings";
    if all.is_empty() {
        return Ok(Vec::new());
    }
    if all.len() > LIST {
        return Err(format!("there are more than {LIST} {field}"));
    }
    if matches!(asked.network, DockerNetwork::Host | DockerNetwork::None) {
        return Err(format!("{field} need the network BRIDGE or USER"));
    }
    let own = task.resources.ranges("ports");
    let is_own = |port: u16| {
        own.pairs().iter().any(|(first, last)| (*first..=*last).contains(&u64::from(port)))
    };
    match all.iter().find(|mapping| !is_own(mapping.host_port)) {
        Some(mapping) => Err(format!(
            "port {} is not among the task's resources ({field}.host_port)",
            mapping.host_port
        )),
        None => Ok(all.clone()),
    }
}

/// Options of `docker run` that cannot give a task more than it has.
fn parameter(
    task: &mut DockerTask,
    made: &mut Launch,
    key: &str,
    value: &str,
) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("{why} (container.docker.parameters, {key})"));
    if value.len() > PARAMETER_BYTES || value.contains('\0') {
        return refuse("its value is too long, or no text");
    }
    let flag = match value {
        "" | "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match (key, flag) {
        ("label", _) => match value.split_once('=').unwrap_or((value, "")) {
            (name, _) if name.is_empty() || name.starts_with(OWN_LABELS) => {
                return refuse("that label is the agent's own");
            }
            (name, value) => task.labels.push((name.to_owned(), value.to_owned())),
        },
        ("workdir", _) if value.starts_with('/') => task.directory = Some(value.to_owned()),
        ("stop-signal", _) if is_signal(value) => task.stop_signal = Some(value.to_owned()),
        ("init", Some(flag)) => task.init = Some(flag),
        ("read-only", Some(flag)) => {
            if let Some(walls) = &mut made.enclosure {
                walls.read_only |= flag;
            }
        }
        ("workdir" | "stop-signal" | "init" | "read-only", _) => {
            return refuse(&format!("{value:?} is no value for it"));
        }
        _ => {
            return refuse("only init, label, read-only, stop-signal and workdir can be given");
        }
    }
    Ok(())
}

fn is_signal(value: &str) -> bool {
    let name = value.strip_prefix("SIG").unwrap_or(value);
    let plain =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"+-".contains(&byte);
    !name.is_empty() && name.len() <= 16 && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_path_that_others_can_exchange_is_not_handed_to_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = root.join("shared/data/set");
        std::fs::create_dir_all(&path).unwrap();
        let mode = |name: &str, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(root.join(name), mode).unwrap();
        };
        assert_eq!(is_fixed(&path), Ok(()));
        // What is in it is what it was allowed for.
        mode("shared/data/set", 0o777);
        assert_eq!(is_fixed(&path), Ok(()));
        for writable in [0o775, 0o757, 0o777] {
            mode("shared/data", writable);
            let said = is_fixed(&path).unwrap_err();
            assert!(said.contains("make") && said.contains("shared/data root's alone"), "{said}");
        }
        // There nobody can move what is root's.
        mode("shared/data", 0o1777);
        assert_eq!(is_fixed(&path), Ok(()));
        mode("shared/data", 0o755);
        std::os::unix::fs::symlink(&path, root.join("shared/link")).unwrap();
        assert!(is_fixed(&root.join("shared/link")).is_err());
        assert!(is_fixed(&root.join("nothing")).unwrap_err().contains("cannot be had"));
    }
}
