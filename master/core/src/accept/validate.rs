//! Whether a task may be launched: Mesos' checks in Mesos' order, each refusal with its figures.

use crate::operation::volumes::volume_key;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{AgentId, Piece, Resources, Role, Shortfall, TaskId, TaskInfo, VolumeId};
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
        if task.executor.is_some() {
            return Err(TaskInvalid::NotBuilt("Custom executors"));
        }
        check_command(task)?;
        match remaining.shortfall(&task.resources) {
            None => Ok(()),
            Some(short) => {
                let (wanted, remaining) = (task.resources.clone(), remaining.clone());
                Err(TaskInvalid::TooMuch(Box::new(TooMuch { wanted, remaining, short })))
            }
        }
    }
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
    for (name, value) in &command.environment {
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
