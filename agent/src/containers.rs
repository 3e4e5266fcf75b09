//! Between the core's launches and the containerizer's: what a task asks for becomes a container,
//! and what became of the container becomes an input.
//!
//! It decides nothing: what cannot be run is refused with a sentence, which the core reports.

mod ends;
mod image;
mod network;
pub(crate) mod ports;

use crate::checkpoint::Record;
use crate::containerizer::{self, Allocation, Program, Rlimit, SandboxChoice, VolumeLink};
use crate::docker;
use crate::gpus::{self, Gpu};
use crate::policy::{self, Policy, Walls};
use crate::supervisor::task::Root;
use crate::volumes::{VolumeDisk, groups};
use agent_core::{Launch, Mount, TaskRecord};
use proto::{
    CheckKind, Checks, CommandInfo, ContainerId, DockerInfo, DockerNetwork, Exit, FrameworkInfo,
    Resources, TaskBody, TaskInfo, Value,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) use ends::{fault_of_command, input, report, since_boot};
pub(crate) use image::{ImagesInUse, OfImage};

/// What a task gets that asks for no memory, in thousandths of a MB: Mesos' own least. Without a
/// limit it could take what others were promised. One that asks for less gets what it asks for.
const LEAST_MEMORY: u64 = 32_000;

/// What a shell exits with when a command cannot be executed; for launches that ask for what cannot
/// be, which is the fault of whoever made them.
pub(crate) const CANNOT_EXECUTE: Exit = Exit::Code(126);

/// The frameworks of the latest launches in the form in which the supervisor keeps them, so that it
/// keeps each of them once.
#[derive(Default)]
pub(crate) struct Frameworks(VecDeque<(Arc<FrameworkInfo>, Arc<[u8]>)>);

/// Frameworks that are at hand; those that launch by turns with more are written anew.
const FRAMEWORKS: usize = 64;

impl Frameworks {
    fn record(&mut self, framework: &Arc<FrameworkInfo>) -> Arc<[u8]> {
        if let Some((_, record)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, framework)) {
            return Arc::clone(record);
        }
        let record: Arc<[u8]> = framework.encode().into();
        if self.0.len() == FRAMEWORKS {
            self.0.pop_front();
        }
        self.0.push_back((Arc::clone(framework), Arc::clone(&record)));
        record
    }
}

/// The names of one container, both ways.
pub(crate) fn native_id(id: &ContainerId) -> Result<containerizer::ContainerId, String> {
    containerizer::ContainerId::new(id.as_str()).map_err(|error| error.to_string())
}

fn core_id(id: &containerizer::ContainerId) -> Option<ContainerId> {
    ContainerId::new(id.as_str()).ok()
}

/// The container that a launch asks for.
///
/// # Errors
/// Why it cannot be, as a clause: the task is at fault.
pub(crate) fn container(
    launch: &Launch,
    body: &TaskBody,
    image: Option<&OfImage>,
    frameworks: &mut Frameworks,
    disk: &VolumeDisk,
    policy: &Policy,
) -> Result<containerizer::Launch, String> {
    let record = record(launch, body);
    let command = body.command.as_ref().ok_or("the task has no command")?;
    let walls = policy.walls(body.container.as_ref(), launch.container_id.as_str(), image)?;
    let made = containerizer::Launch {
        id: native_id(&launch.container_id)?,
        program: match body.container.as_ref().is_some_and(|asked| asked.docker.is_some()) {
            // The engine reads it in its own way.
            true => Program::Shell(String::new()),
            false => program(command, walls.as_ref())?,
        },
        environment: environment(command, launch, &body.named_ports, &policy.gpus),
        user: user(command, &launch.framework),
        rlimits: command.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
        sandbox: SandboxChoice::Pooled,
        allocation: allocation(&launch.task, policy.disk_limits),
        volumes: volumes(launch, disk),
        enclosure: None,
        network: network::of(launch, body.container.as_ref(), body.checks.as_deref(), policy)?,
        identity: None,
        docker: None,
        record: if image.is_none() { record.encode() } else { Vec::new() },
        shared: Some(frameworks.record(&launch.framework)),
    };
    let docker = body.container.as_ref().and_then(|asked| asked.docker.as_deref());
    if let (Some(docker), Some(checks)) = (docker, &body.checks) {
        can_be_looked_at(docker, checks)?;
    }
    match walls {
        Some(mut walls) => {
            walls.enclosure.pod = agent_core::group_executor(&launch.task)
                .map(|group| groups::name(&launch.framework_id, &group.executor_id));
            walls.enclosure.devices = gpus::devices(&policy.gpus, &launch.gpus);
            let mut made = within(made, walls, command);
            if let Some(image) = image {
                image.settle(&mut made, &record)?;
            }
            match docker {
                Some(asked) => docker::asked(made, asked, command, launch, policy),
                None => Ok(made),
            }
        }
        None => policy.user(made.user.as_deref()).map(|()| made),
    }
}

/// What is looked at over the network is looked at from the host, and commands are run by the
/// supervisor, which has no part in containers of Docker.
fn can_be_looked_at(docker: &DockerInfo, checks: &Checks) -> Result<(), String> {
    let health = checks.health.as_ref().map(|health| &health.check.kind);
    let check = checks.check.as_ref().map(|check| &check.kind);
    for kind in health.into_iter().chain(check) {
        if matches!(kind, CheckKind::Command(_)) {
            return Err(
                "checks of containers of Docker cannot run commands; use HTTP or TCP".into()
            );
        }
        if docker.network != DockerNetwork::Host {
            return Err("checks see containers of Docker in the host's network only".into());
        }
    }
    Ok(())
}

/// The program of a check, as a container beside that of its task: with the same walls, and the
/// variables of the task where it does not name its own, and the task's user.
///
/// # Errors
/// Why it cannot be, as a clause.
pub(crate) fn beside(
    launch: &Launch,
    asked: &CommandInfo,
    image: Option<&OfImage>,
    disk: &VolumeDisk,
    policy: &Policy,
) -> Result<containerizer::Launch, String> {
    let body = launch.task.payload.open().map_err(|error| error.to_string())?;
    if image.is_none() && body.container.as_ref().is_some_and(|asked| asked.image.is_some()) {
        return Err(
            "nothing is known of its image: another release of the agent launched it".into()
        );
    }
    let of_task = body.command.clone().unwrap_or_default();
    let mut environment = of_task.environment;
    environment.retain(|(name, _)| !asked.environment.iter().any(|(own, _)| own == name));
    environment.extend(asked.environment.iter().cloned());
    let mut secrets = of_task.secrets;
    secrets.retain(|(name, _)| !asked.secrets.iter().any(|(own, _)| own == name));
    secrets.extend(asked.secrets.iter().cloned());
    secrets.retain(|(name, _)| !asked.environment.iter().any(|(own, _)| own == name));
    let command = CommandInfo {
        environment,
        secrets,
        // Whether another may be had was asked of the task alone.
        user: of_task.user,
        rlimits: of_task.rlimits,
        ..asked.clone()
    };
    let body = TaskBody { command: Some(command), data: None, ..body };
    // No record of it is kept.
    let frameworks = &mut Frameworks::default();
    let made = container(launch, &body, image, frameworks, disk, policy)?;
    match (&asked.user, &made.user) {
        (Some(asked), own) if own.as_deref() != Some(&**asked) => Err(format!(
            "command.user: '{asked}': what runs in a task's container runs as the task's user{}",
            own.as_ref().map_or_else(String::new, |own| format!(" ('{own}')"))
        )),
        _ => Ok(containerizer::Launch { shared: None, record: Vec::new(), ..made }),
    }
}

/// The same container with walls around it: what its image says where the task says nothing, and
/// bounds that a stranger needs.
fn within(
    mut made: containerizer::Launch,
    walls: Walls,
    command: &CommandInfo,
) -> containerizer::Launch {
    let Walls { enclosure, settings } = walls;
    let named: Vec<String> = made.environment.iter().map(|(name, _)| name.clone()).collect();
    let images = settings.environment.into_iter().filter(|(name, _)| !named.contains(name));
    made.environment = images.chain(std::mem::take(&mut made.environment)).collect();
    if enclosure.root != Root::Host {
        // The framework's user is one of the host, whom an image does not know.
        made.user = command.user.as_deref().map(str::to_owned).or(settings.user);
    }
    if !made.rlimits.iter().any(|limit| limit.resource == libc::RLIMIT_CORE) {
        made.rlimits.push(Rlimit { resource: libc::RLIMIT_CORE, soft: 0, hard: 0 });
    }
    made.allocation.pids = made.allocation.pids.or(Some(policy::PIDS));
    made.enclosure = Some(Box::new(enclosure));
    made
}

/// What the supervisor keeps of a launch, apart from its framework. Data of a task are for a custom
/// executor's eyes, at its start: they may be large, and nobody asks for them again.
fn record(launch: &Launch, body: &TaskBody) -> TaskRecord {
    let mut task = Arc::clone(&launch.task);
    if body.data.is_some() {
        let payload = task.payload.without_data();
        Arc::make_mut(&mut task).payload = payload;
    }
    // The record of a container of the engine's is a file, and nothing is run in it later.
    let is_docker = body.container.as_ref().is_some_and(|asked| asked.docker.is_some());
    if let Some(payload) = is_docker.then(|| task.payload.without_secrets()).flatten() {
        Arc::make_mut(&mut task).payload = payload;
    }
    let (container_id, framework_id) = (launch.container_id.clone(), launch.framework_id.clone());
    let (role, gpus) = (launch.role.clone(), launch.gpus.clone());
    TaskRecord { container_id, framework_id, role, task, gpus }
}

/// The command, or what the image runs when that names no program.
fn program(command: &CommandInfo, walls: Option<&Walls>) -> Result<Program, String> {
    let value = command.value.as_deref().filter(|value| !value.is_empty()).map(str::to_owned);
    let arguments: Vec<String> = command.arguments.iter().map(|a| a.to_string()).collect();
    match (value, walls.filter(|_| !command.shell)) {
        (Some(value), _) if command.shell => Ok(Program::Shell(value)),
        (Some(file), _) => Ok(Program::Exec { file, argv: arguments }),
        (None, Some(walls)) => {
            let settings = &walls.settings;
            let rest = if arguments.is_empty() { &settings.command } else { &arguments };
            let argv: Vec<String> = settings.entry_point.iter().chain(rest).cloned().collect();
            let file = argv.first().ok_or("neither the command nor the image names a program")?;
            Ok(Program::Exec { file: file.clone(), argv })
        }
        (None, None) => Err("the command has no value".to_owned()),
    }
}

/// The task's variables, who it is and what ports it has, unless it says otherwise.
fn environment(
    command: &CommandInfo,
    launch: &Launch,
    named_ports: &[(Arc<str>, u16)],
    gpus: &[Gpu],
) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = command
        .environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    for (name, secret) in &command.secrets {
        // From here on it is in the hands of who starts the task.
        all.retain(|(named, _)| **named != **name);
        all.push((name.to_string(), secret.reveal().to_owned()));
    }
    let identity = [
        ("MESOS_TASK_ID", launch.task.task_id.as_str()),
        ("MESOS_FRAMEWORK_ID", launch.framework_id.as_str()),
        ("MESOS_SLAVE_ID", launch.task.agent_id.as_str()),
        ("MESOS_CONTAINER_ID", launch.container_id.as_str()),
    ];
    let identity = identity.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ports = ports::variables(&launch.task, named_ports);
    for (name, value) in identity.into_iter().chain(ports) {
        if !all.iter().any(|(named, _)| *named == name) {
            all.push((name, value));
        }
    }
    gpus::tell(gpus, &launch.gpus, &mut all);
    all
}

fn user(command: &CommandInfo, framework: &FrameworkInfo) -> Option<String> {
    let named = command.user.as_deref().unwrap_or(&framework.user);
    (!named.is_empty()).then(|| named.to_owned())
}

fn volumes(launch: &Launch, disk: &VolumeDisk) -> Vec<VolumeLink> {
    let task = &launch.task;
    let link = |Mount { volume, container_path, shared }| VolumeLink {
        name: volume.to_string(),
        path: container_path.as_ref().into(),
        target: disk.path(&task.agent_id, &volume),
        shared,
    };
    let group = agent_core::group_executor(task).map(|group| VolumeLink {
        name: format!("the directory of group {}", group.executor_id),
        path: groups::LINK.into(),
        target: disk.group(&launch.framework_id, &group.executor_id),
        shared: false,
    });
    agent_core::mounts(&task.resources).into_iter().map(link).chain(group).collect()
}

pub(crate) fn allocation(task: &TaskInfo, disk_limits: bool) -> Allocation {
    allocated(&task.resources, &task.limits, disk_limits)
}

/// What a container gets that may use this.
pub(crate) fn allocated(
    resources: &Resources,
    limits: &BTreeMap<Arc<str>, Option<u64>>,
    disk_limits: bool,
) -> Allocation {
    let limit = |name: &str| limits.get(name).copied();
    let bytes = |milli: u64| {
        let bytes = u128::from(milli) * (1 << 20) / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let memory = match limit("mem") {
        Some(limit) => limit,
        None => match resources.mem() {
            0 => Some(LEAST_MEMORY),
            asked => Some(asked),
        },
    };
    let soft = Some(resources.mem()).filter(|asked| *asked > 0 && memory != Some(*asked));
    Allocation {
        cpus_milli: resources.cpus(),
        memory_bytes: memory.map(bytes),
        memory_soft_bytes: soft.map(bytes),
        cpu_limit_milli: limit("cpus").flatten(),
        pids: limit("pids").flatten().map(|milli| (milli / 1000).max(1)),
        disk_bytes: disk_limit(resources).filter(|_| disk_limits),
    }
}

/// Bytes that the sandbox of a task may take; none when it asked for no disk. Volumes and disks of
/// their own are elsewhere.
pub(crate) fn disk_limit(resources: &Resources) -> Option<u64> {
    let pieces = resources.pieces().iter();
    let own = pieces.filter(|piece| piece.name.as_str() == "disk" && piece.flavor.disk().is_none());
    let milli = own.fold(0_u64, |sum, piece| match piece.value {
        Value::Scalar(milli) => sum.saturating_add(milli),
        Value::Ranges(_) | Value::Set(_) => sum,
    });
    let bytes = u128::from(milli) * (1 << 20) / 1000;
    (milli > 0).then(|| u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Mesos' names of resource limits.
fn rlimit((name, soft, hard): &(Arc<str>, Option<u64>, Option<u64>)) -> Result<Rlimit, String> {
    let resource = match &**name {
        "RLMT_AS" => libc::RLIMIT_AS,
        "RLMT_CORE" => libc::RLIMIT_CORE,
        "RLMT_CPU" => libc::RLIMIT_CPU,
        "RLMT_DATA" => libc::RLIMIT_DATA,
        "RLMT_FSIZE" => libc::RLIMIT_FSIZE,
        "RLMT_LOCKS" => libc::RLIMIT_LOCKS,
        "RLMT_MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "RLMT_MSGQUEUE" => libc::RLIMIT_MSGQUEUE,
        "RLMT_NICE" => libc::RLIMIT_NICE,
        "RLMT_NOFILE" => libc::RLIMIT_NOFILE,
        "RLMT_NPROC" => libc::RLIMIT_NPROC,
        "RLMT_RSS" => libc::RLIMIT_RSS,
        "RLMT_RTPRIO" => libc::RLIMIT_RTPRIO,
        "RLMT_RTTIME" => libc::RLIMIT_RTTIME,
        "RLMT_SIGPENDING" => libc::RLIMIT_SIGPENDING,
        "RLMT_STACK" => libc::RLIMIT_STACK,
        other => return Err(format!("the resource limit {other} does not exist")),
    };
    let value = |limit: &Option<u64>| limit.unwrap_or(u64::MAX);
    Ok(Rlimit { resource, soft: value(soft), hard: value(hard) })
}

#[cfg(test)]
pub(crate) mod tests;
