//! Whether a task may be launched: Mesos' checks in Mesos' order, each refusal with its figures.

use crate::operation::volumes::volume_key;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{
    AgentId, ExecutorInfo, ExecutorKind, Piece, Resources, Role, Shortfall, TaskId, TaskInfo,
    VolumeId,
};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Why a task is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskInvalid {
    /// A task of this id lives.
    DuplicateId(TaskId),
    /// A task of this id is on an agent that is unreachable.
    UnreachableId(TaskId),
    /// It names another agent than its offers.
    Agent { task: AgentId, offer: AgentId },
    /// It uses nothing.
    NoResources,
    /// Its resources say another role than its offers.
    Role { task: Role, offer: Role },
    /// One persistent volume twice.
    VolumeTwice(VolumeId),
    /// One resource both revocable and not.
    MixedRevocable(Arc<str>),
    /// A limit on something that has none.
    LimitUnknown(Arc<str>),
    /// A limit without a request.
    LimitWithoutRequest(Arc<str>),
    /// A limit below the request; in thousandths.
    LimitTooLow { name: Arc<str>, limit: u64, request: u64 },
    /// Neither a command nor an executor, or both.
    CommandOrExecutor,
    /// A command without a value, or with what no process can be given.
    Command(Box<str>),
    /// An executor that cannot be.
    Executor(Box<str>),
    /// Not built yet.
    NotBuilt(&'static str),
    /// More than what remains of the offers.
    TooMuch(Box<TooMuch>),
}

/// A task that wants more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    wanted: Resources,
    remaining: Resources,
    short: Shortfall,
}

impl fmt::Display for TaskInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = |milli: &u64| *milli as f64 / 1000.0;
        match self {
            Self::DuplicateId(id) => write!(f, "Task has duplicate ID: {id}"),
            Self::UnreachableId(id) => {
                write!(f, "Task reuses the ID of an unreachable task: {id}")
            }
            Self::Agent { task, offer } => {
                write!(f, "Task uses invalid agent {task} while agent {offer} is expected")
            }
            Self::NoResources => f.write_str("Task uses no resources"),
            Self::Role { task, offer } => write!(
                f,
                "Task's resources are allocated to role '{task}', its offer to role '{offer}'"
            ),
            Self::VolumeTwice(id) => write!(f, "Task uses persistent volume {id} twice"),
            Self::MixedRevocable(name) => {
                write!(f, "Task mixes revocable and non-revocable {name}")
            }
            Self::LimitUnknown(name) => {
                write!(f, "Task has a limit on {name}; only cpus and mem can be limited")
            }
            Self::LimitWithoutRequest(name) => {
                write!(f, "Task has a limit on {name} but does not request any")
            }
            Self::LimitTooLow { name, limit, request } => write!(
                f,
                "Task's limit on {name} ({}) is below its request ({})",
                units(limit),
                units(request)
            ),
            Self::CommandOrExecutor => {
                f.write_str("Task must have either a command or an executor, and not both")
            }
            Self::Executor(problem) => write!(f, "Task's executor {problem}"),
            Self::Command(problem) => write!(f, "Task's command {problem}"),
            Self::NotBuilt(what) => write!(f, "{what} are not built yet"),
            Self::TooMuch(too_much) => {
                let TooMuch { wanted, remaining, short } = &**too_much;
                write!(f, "Task uses more resources {wanted} than available {remaining}: {short}")
            }
        }
    }
}

impl Master {
    /// Checks a task against what remains of its offers.
    pub(super) fn validate(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        task: &TaskInfo,
        remaining: &Resources,
    ) -> Result<(), TaskInvalid> {
        let record = &self.frameworks[framework];
        let id = || task.task_id.clone();
        if record.tasks.contains_key(&task.task_id) {
            return Err(TaskInvalid::DuplicateId(id()));
        }
        if record.unreachable.contains_key(&task.task_id) {
            return Err(TaskInvalid::UnreachableId(id()));
        }
        let offer = &self.agents[agent].id;
        if task.agent_id != *offer {
            let (task, offer) = (task.agent_id.clone(), offer.clone());
            return Err(TaskInvalid::Agent { task, offer });
        }
        check_resources(task, role)?;
        if task.payload.has_container {
            return Err(TaskInvalid::NotBuilt(
                "Containers with networks of their own, except those of Docker,",
            ));
        }
        check_limits(task)?;
        if task.payload.has_command == task.executor.is_some() {
            return Err(TaskInvalid::CommandOrExecutor);
        }
        let wanted = match &task.executor {
            None => {
                check_command(task)?;
                Cow::Borrowed(&task.resources)
            }
            Some(executor) => {
                self.check_executor(framework, agent, (task, executor))?;
                self.with_executor(framework, agent, (task, executor))
            }
        };
        match remaining.shortfall(&wanted) {
            None => Ok(()),
            Some(short) => {
                let (wanted, remaining) = (wanted.into_owned(), remaining.clone());
                Err(TaskInvalid::TooMuch(Box::new(TooMuch { wanted, remaining, short })))
            }
        }
    }
}

impl Master {
    /// What a task needs, with its executor if that is to be started.
    fn with_executor<'a>(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        (task, executor): (&'a TaskInfo, &ExecutorInfo),
    ) -> Cow<'a, Resources> {
        let key = (framework, executor.executor_id.clone());
        if self.agents[agent].executors.contains_key(&key) {
            return Cow::Borrowed(&task.resources);
        }
        let mut all = task.resources.clone();
        all.add(&executor.resources);
        Cow::Owned(all)
    }

    fn check_executor(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        (task, executor): (&TaskInfo, &ExecutorInfo),
    ) -> Result<(), TaskInvalid> {
        let wrong = |problem: String| Err(TaskInvalid::Executor(problem.into()));
        let own = &self.frameworks[framework].id;
        if let Some(other) = executor.framework_id.as_ref().filter(|id| *id != own) {
            return wrong(format!("has framework ID {other}, not {own}"));
        }
        if executor.kind() == ExecutorKind::Default {
            return wrong("is of type DEFAULT, which runs groups of tasks only".to_owned());
        }
        let mut pieces = task.resources.pieces().iter().chain(executor.resources.pieces());
        if pieces.any(|piece| piece.flavor.volume().is_some() || piece.flavor.is_shared()) {
            return Err(TaskInvalid::NotBuilt("Persistent volumes of custom executors"));
        }
        let known = self.agents[agent].executors.get(&(framework, executor.executor_id.clone()));
        if let Some(known) = known {
            let described = ExecutorInfo { framework_id: Some(own.clone()), ..executor.clone() };
            return match described == *known.info {
                true => Ok(()),
                false => wrong(format!(
                    "is not the one that runs on agent {} under the id {}: an executor that runs \
                     is described in the same way by each of its tasks",
                    self.agents[agent].id, executor.executor_id
                )),
            };
        }
        let started = executor.as_task(task.agent_id.clone(), executor.resources.clone());
        match started {
            Err(error) => wrong(format!("cannot be run: {error}")),
            Ok(started) if started.payload.has_container => Err(TaskInvalid::NotBuilt(
                "Containers with networks of their own, except those of Docker,",
            )),
            Ok(started) if is_of_docker(&started) => {
                Err(TaskInvalid::NotBuilt("Custom executors in containers of Docker"))
            }
            Ok(started) if !started.payload.has_command => wrong("has no command".to_owned()),
            Ok(started) => match check_command(&started) {
                Err(TaskInvalid::Command(problem)) => {
                    wrong(format!("has a command that {problem}"))
                }
                checked => checked,
            },
        }
    }
}

fn is_of_docker(task: &TaskInfo) -> bool {
    let container = task.payload.open().ok().and_then(|body| body.container);
    container.is_some_and(|container| container.docker.is_some())
}

fn check_resources(task: &TaskInfo, role: &Role) -> Result<(), TaskInvalid> {
    if task.resources.is_empty() {
        return Err(TaskInvalid::NoResources);
    }
    if let Some(own) = task.allocation_role.as_ref().filter(|own| *own != role) {
        return Err(TaskInvalid::Role { task: own.clone(), offer: role.clone() });
    }
    let pieces = task.resources.pieces();
    let again = |(at, piece): (usize, &Piece)| {
        let key = volume_key(piece)?;
        let before = pieces[..at].iter().filter_map(volume_key);
        before.into_iter().any(|other| other == key).then_some(key.1)
    };
    if let Some(id) = pieces.iter().enumerate().find_map(again) {
        return Err(TaskInvalid::VolumeTwice(id));
    }
    let mixed = |piece: &&Piece| {
        let other = |p: &Piece| p.name == piece.name && !p.flavor.revocable;
        piece.flavor.revocable && pieces.iter().any(other)
    };
    match pieces.iter().find(mixed) {
        Some(piece) => Err(TaskInvalid::MixedRevocable(Arc::from(piece.name.as_str()))),
        None => Ok(()),
    }
}

/// What would fail on every agent is the task's own fault, and is said before it is launched.
fn check_command(task: &TaskInfo) -> Result<(), TaskInvalid> {
    let wrong = |problem: String| Err(TaskInvalid::Command(problem.into()));
    let command = match task.payload.open() {
        Ok(body) => body.command.ok_or(TaskInvalid::CommandOrExecutor)?,
        Err(error) => return wrong(format!("cannot be run: {error}")),
    };
    let Some(value) = command.value.as_deref().filter(|value| !value.is_empty()) else {
        return wrong("has no value".to_owned());
    };
    if value.contains('\0') || command.arguments.iter().any(|argument| argument.contains('\0')) {
        return wrong("holds a NUL character".to_owned());
    }
    let secrets = command.secrets.iter().map(|(name, secret)| (name, secret.reveal()));
    let plain = command.environment.iter().map(|(name, value)| (name, &**value));
    for (name, value) in plain.chain(secrets) {
        if name.is_empty() || name.contains(['=', '\0']) {
            let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            return wrong(format!(
                "has the environment variable '{name}': a name is not empty and holds no '=' and \
                 no NUL character"
            ));
        }
        if value.contains('\0') {
            return wrong(format!(
                "has a NUL character in the value of its environment variable '{name}'"
            ));
        }
    }
    Ok(())
}

fn check_limits(task: &TaskInfo) -> Result<(), TaskInvalid> {
    for (name, limit) in &task.limits {
        if !matches!(&**name, "cpus" | "mem") {
            return Err(TaskInvalid::LimitUnknown(name.clone()));
        }
        let request = task.resources.scalar(name);
        if request == 0 {
            return Err(TaskInvalid::LimitWithoutRequest(name.clone()));
        }
        if let Some(limit) = limit.filter(|limit| *limit < request) {
            return Err(TaskInvalid::LimitTooLow { name: name.clone(), limit, request });
        }
    }
    Ok(())
}
