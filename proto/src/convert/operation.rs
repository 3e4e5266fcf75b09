//! The operations of an ACCEPT, and what becomes of them.
//!
//! An operation that makes no sense does not refuse the call: the master answers for it by itself.

use super::resources::{self, Style};
use super::{At, known, list_with, maybe, need, present, tail, task, w};
use crate::{
    DecodeError, InvalidOperation, Operation, OperationId, OperationState, OperationStatus, Piece,
    ResourceChange, ResourceOperation, Resources, Role, TaskGroup, TaskInfo, UnreadableTask,
};
use std::sync::Arc;
use w::offer::operation::{
    Create, Destroy, GrowVolume, Launch, LaunchGroup, Reserve, ShrinkVolume, Type, Unreserve,
};

impl From<&Operation> for w::offer::Operation {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Launch(tasks) => launch(tasks.iter().map(Into::into).collect()),
            Operation::Unreadable(tasks) => launch(tasks.iter().map(Into::into).collect()),
            Operation::LaunchGroup(group) => launch_group(group),
            Operation::Change(operation) => (&**operation).into(),
            Operation::Invalid(operation) => invalid(operation),
            Operation::NotBuilt(name) => {
                let kind = Type::from_str_name(name).unwrap_or(Type::Unknown);
                Self { r#type: Some(kind as i32), ..Self::default() }
            }
        }
    }
}

fn launch(task_infos: Vec<tail::TaskInfo>) -> w::offer::Operation {
    let launch = Some(Box::new(Launch { task_infos }));
    w::offer::Operation { r#type: Some(Type::Launch as i32), launch, ..Default::default() }
}

fn launch_group(group: &TaskGroup) -> w::offer::Operation {
    // An executor that could not be read is written as one that cannot be.
    let none = || tail::ExecutorInfo {
        known: w::ExecutorInfo {
            executor_id: Some(w::ExecutorId { value: Some(String::new()) }),
            ..w::ExecutorInfo::default()
        },
        tail: Vec::new(),
    };
    let tasks = group.tasks.iter().map(Into::into);
    let tasks = tasks.chain(group.unreadable.iter().map(Into::into)).collect();
    w::offer::Operation {
        r#type: Some(Type::LaunchGroup as i32),
        launch_group: Some(Box::new(LaunchGroup {
            executor: Some(group.executor.as_ref().map_or_else(none, Into::into)),
            task_group: Some(w::TaskGroupInfo { tasks }),
        })),
        ..Default::default()
    }
}

impl From<&ResourceOperation> for w::offer::Operation {
    fn from(operation: &ResourceOperation) -> Self {
        let style = Style { role: operation.allocation_role.as_ref(), old_role: false };
        let list = |resources: &Resources| resources::write(resources, style);
        let one = |piece: &Piece| Some(resources::write_piece(piece, style));
        let mut out = Self {
            r#type: Type::from_str_name(operation.change.name()).map(|kind| kind as i32),
            id: operation.id.as_ref().map(|id| Box::new(id.into())),
            ..Self::default()
        };
        match &operation.change {
            ResourceChange::Reserve { source, resources } => {
                let reserve = Reserve { resources: list(resources), source: list(source) };
                out.reserve = Some(reserve.into());
            }
            ResourceChange::Unreserve { resources } => {
                out.unreserve = Some(Box::new(Unreserve { resources: list(resources) }));
            }
            ResourceChange::Create { volumes } => {
                out.create = Some(Box::new(Create { volumes: list(volumes) }));
            }
            ResourceChange::Destroy { volumes } => {
                out.destroy = Some(Box::new(Destroy { volumes: list(volumes) }));
            }
            ResourceChange::Grow { volume, addition } => {
                let grow = GrowVolume { volume: one(volume), addition: one(addition) };
                out.grow_volume = Some(grow.into());
            }
            ResourceChange::Shrink { volume, subtract_milli } => {
                let subtract = Some(resources::scalar(*subtract_milli as f64 / 1000.0));
                let shrink = ShrinkVolume { volume: one(volume), subtract };
                out.shrink_volume = Some(shrink.into());
            }
        }
        out
    }
}

/// Its kind and its id, with a resource that no master takes.
fn invalid(operation: &InvalidOperation) -> w::offer::Operation {
    let nothing = || {
        let known = w::Resource {
            name: Some(String::new()),
            r#type: Some(w::value::Type::Scalar as i32),
            ..w::Resource::default()
        };
        tail::Resource { known, tail: Vec::new() }
    };
    let one = || vec![nothing()];
    let kind = Type::from_str_name(&operation.name).unwrap_or(Type::Unknown);
    let mut out = w::offer::Operation {
        r#type: Some(kind as i32),
        id: operation.id.as_ref().map(|id| Box::new(id.into())),
        ..Default::default()
    };
    match kind {
        Type::Reserve => {
            let reserve = Reserve { resources: one(), source: Vec::new() };
            out.reserve = Some(reserve.into());
        }
        Type::Unreserve => out.unreserve = Some(Box::new(Unreserve { resources: one() })),
        Type::Create => out.create = Some(Box::new(Create { volumes: one() })),
        Type::Destroy => out.destroy = Some(Box::new(Destroy { volumes: one() })),
        Type::GrowVolume => {
            let grow = GrowVolume { volume: Some(nothing()), addition: Some(nothing()) };
            out.grow_volume = Some(grow.into());
        }
        Type::ShrinkVolume => {
            let subtract = Some(resources::scalar(0.0));
            let shrink = ShrinkVolume { volume: Some(nothing()), subtract };
            out.shrink_volume = Some(shrink.into());
        }
        Type::Unknown | Type::Launch | Type::LaunchGroup | Type::CreateDisk | Type::DestroyDisk => {
        }
    }
    out
}

/// The operations of an ACCEPT, where a LAUNCH with unreadable tasks becomes two.
pub(super) fn operations(
    wire: Vec<w::offer::Operation>,
    field: &str,
) -> Result<Vec<Operation>, DecodeError> {
    let mut operations = Vec::with_capacity(wire.len());
    for (i, operation) in wire.into_iter().enumerate() {
        read(operation, &mut operations)
            .map_err(|error| error.within(&format!("[{i}]")).within(field))?;
    }
    Ok(operations)
}

fn read(wire: w::offer::Operation, out: &mut Vec<Operation>) -> Result<(), DecodeError> {
    let kind = known(wire.r#type, |number| Type::try_from(number).ok());
    let operation = match present(kind, "type")? {
        Type::Launch => {
            let infos = present(wire.launch, "launch")?.task_infos;
            let (tasks, unreadable) = tasks(infos, "task_infos", wire.id.is_some()).at("launch")?;
            out.push(Operation::Launch(tasks));
            if unreadable.is_empty() {
                return Ok(());
            }
            Operation::Unreadable(unreadable)
        }
        Type::LaunchGroup => {
            let group = present(wire.launch_group, "launch_group")?;
            let group = read_group(*group, wire.id.is_some()).at("launch_group")?;
            Operation::LaunchGroup(Box::new(group))
        }
        kind @ (Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume) => change_or_invalid(kind, wire)?,
        other @ (Type::Unknown | Type::CreateDisk | Type::DestroyDisk) => {
            Operation::NotBuilt(Arc::from(other.as_str_name()))
        }
    };
    out.push(operation);
    Ok(())
}

/// The tasks that can be read and those that cannot, which is all of them when the operation has
/// an id: tasks tell of themselves.
fn tasks(
    wire: Vec<tail::TaskInfo>,
    field: &str,
    has_id: bool,
) -> Result<(Vec<TaskInfo>, Vec<UnreadableTask>), DecodeError> {
    let read: Vec<Result<TaskInfo, UnreadableTask>> = list_with(wire, field, task::launched)?;
    let (mut tasks, mut unreadable) = (Vec::with_capacity(read.len()), Vec::new());
    for task in read {
        match task {
            Ok(task) if has_id => {
                unreadable.push(spoilt(task, "the operation's id must not be set"));
            }
            Ok(task) => tasks.push(task),
            Err(task) => unreadable.push(task),
        }
    }
    Ok((tasks, unreadable))
}

fn spoilt(task: TaskInfo, problem: &str) -> UnreadableTask {
    let TaskInfo { task_id, agent_id, .. } = task;
    UnreadableTask { task_id, agent_id: Some(agent_id), problem: problem.into() }
}

fn read_group(wire: LaunchGroup, has_id: bool) -> Result<TaskGroup, DecodeError> {
    let infos = present(wire.task_group, "task_group")?.tasks;
    let (mut readable, mut unreadable) = tasks(infos, "tasks", has_id).at("task_group")?;
    let executor = match need(wire.executor, "executor") {
        Ok(executor) => Some(executor),
        Err(error) => {
            let problem = error.to_string();
            unreadable.extend(readable.drain(..).map(|task| spoilt(task, &problem)));
            None
        }
    };
    Ok(TaskGroup { executor, tasks: readable, unreadable })
}

fn change_or_invalid(kind: Type, mut wire: w::offer::Operation) -> Result<Operation, DecodeError> {
    let name = kind.as_str_name();
    let id = wire.id.take();
    // Without an id nothing could be answered; with a wrong one, nobody would know it.
    let id: Option<OperationId> = match maybe(id.map(|id| *id), "id") {
        Ok(id) => id,
        Err(error) => {
            let problem = error.to_string().into();
            let invalid = InvalidOperation { id: None, name: name.into(), problem };
            return Ok(Operation::Invalid(Box::new(invalid)));
        }
    };
    // A kind without its message is no operation at all.
    let there = match kind {
        Type::Reserve => wire.reserve.is_some(),
        Type::Unreserve => wire.unreserve.is_some(),
        Type::Create => wire.create.is_some(),
        Type::Destroy => wire.destroy.is_some(),
        Type::GrowVolume => wire.grow_volume.is_some(),
        _ => wire.shrink_volume.is_some(),
    };
    if !there {
        return Err(DecodeError::missing(name.to_lowercase()));
    }
    let mut allocation_role = None;
    Ok(match change(kind, wire, &mut allocation_role) {
        Ok(change) => {
            Operation::Change(Box::new(ResourceOperation { id, allocation_role, change }))
        }
        Err(error) => {
            let problem = error.within(&name.to_lowercase()).to_string().into();
            Operation::Invalid(Box::new(InvalidOperation { id, name: name.into(), problem }))
        }
    })
}

fn change(
    kind: Type,
    wire: w::offer::Operation,
    role: &mut Option<Role>,
) -> Result<ResourceChange, DecodeError> {
    match kind {
        Type::Reserve => {
            let reserve = wire.reserve.unwrap_or_default();
            Ok(ResourceChange::Reserve {
                source: several(reserve.source, "source", role)?,
                resources: several(reserve.resources, "resources", role)?,
            })
        }
        Type::Unreserve => {
            let resources = wire.unreserve.unwrap_or_default().resources;
            Ok(ResourceChange::Unreserve { resources: several(resources, "resources", role)? })
        }
        Type::Create => {
            let volumes = wire.create.unwrap_or_default().volumes;
            Ok(ResourceChange::Create { volumes: several(volumes, "volumes", role)? })
        }
        Type::Destroy => {
            let volumes = wire.destroy.unwrap_or_default().volumes;
            Ok(ResourceChange::Destroy { volumes: several(volumes, "volumes", role)? })
        }
        Type::GrowVolume => {
            let grow = wire.grow_volume.unwrap_or_default();
            Ok(ResourceChange::Grow {
                volume: one(grow.volume, "volume", role)?,
                addition: one(grow.addition, "addition", role)?,
            })
        }
        _ => {
            let shrink = wire.shrink_volume.unwrap_or_default();
            Ok(ResourceChange::Shrink {
                volume: one(shrink.volume, "volume", role)?,
                subtract_milli: subtract(shrink.subtract)?,
            })
        }
    }
}

fn several(
    wire: Vec<tail::Resource>,
    field: &str,
    role: &mut Option<Role>,
) -> Result<Resources, DecodeError> {
    let (resources, own) = resources::read(wire, field)?;
    if let Some(own) = own {
        resources::agree(role, own.as_str()).at(field)?;
    }
    Ok(resources)
}

/// A volume, or space for one.
pub(super) fn one(
    wire: Option<tail::Resource>,
    field: &str,
    role: &mut Option<Role>,
) -> Result<Piece, DecodeError> {
    resources::read_one(present(wire, field)?, role).at(field)
}

/// By how much a volume shrinks.
pub(super) fn subtract(wire: Option<w::value::Scalar>) -> Result<u64, DecodeError> {
    let value = present(present(wire, "subtract")?.value, "subtract.value")?;
    resources::milli(value, "subtract.value")
}

/// An operation that a master shows.
impl TryFrom<w::offer::Operation> for ResourceOperation {
    type Error = DecodeError;
    fn try_from(wire: w::offer::Operation) -> Result<Self, DecodeError> {
        let mut operations = Vec::new();
        read(wire, &mut operations)?;
        match operations.pop() {
            Some(Operation::Change(operation)) => Ok(*operation),
            Some(Operation::Invalid(invalid)) => Err(DecodeError::new("", &*invalid.problem)),
            _ => Err(DecodeError::new("type", "must be an operation on resources")),
        }
    }
}

impl From<&OperationStatus> for w::OperationStatus {
    fn from(status: &OperationStatus) -> Self {
        Self {
            operation_id: status.operation_id.as_ref().map(Into::into),
            state: Some(i32::from(status.state as u8)),
            message: status.message.as_deref().map(str::to_owned),
            converted_resources: resources::plain(&status.converted),
            uuid: status.uuid.map(Into::into),
            agent_id: status.agent_id.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<w::OperationStatus> for OperationStatus {
    type Error = DecodeError;
    fn try_from(wire: w::OperationStatus) -> Result<Self, DecodeError> {
        // A state that is not known here is one that is not supported.
        let state = OperationState::from_number(present(wire.state, "state")?);
        Ok(Self {
            operation_id: maybe(wire.operation_id, "operation_id")?,
            state: state.unwrap_or(OperationState::Unsupported),
            message: wire.message.map(Into::into),
            converted: resources::read_plain(wire.converted_resources, "converted_resources")?,
            uuid: maybe(wire.uuid, "uuid")?,
            agent_id: maybe(wire.agent_id, "agent_id")?,
        })
    }
}
