//! Operations on resources, and task groups.

use super::resources::disk_space;
use super::task::executor;
use super::{agent_id, maybe, operation_id, resources, role, task_info, text, uuid, volume};
use crate::{
    OperationState, OperationStatus, ResourceChange, ResourceOperation, Resources, TaskGroup,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any change of resources; whether it makes sense is another matter.
pub fn resource_change() -> impl Strategy<Value = ResourceChange> {
    let volumes = || vec(volume(), 0..3).prop_map(Resources::from_iter);
    prop_oneof![
        (resources(), resources())
            .prop_map(|(source, resources)| ResourceChange::Reserve { source, resources }),
        resources().prop_map(|resources| ResourceChange::Unreserve { resources }),
        volumes().prop_map(|volumes| ResourceChange::Create { volumes }),
        volumes().prop_map(|volumes| ResourceChange::Destroy { volumes }),
        (volume(), disk_space())
            .prop_map(|(volume, addition)| ResourceChange::Grow { volume, addition }),
        (volume(), 0..100_000_u64)
            .prop_map(|(volume, subtract_milli)| ResourceChange::Shrink { volume, subtract_milli }),
    ]
}

/// Any operation on resources. Nothing says its role when it names no resources.
pub fn resource_operation() -> impl Strategy<Value = ResourceOperation> {
    (maybe(operation_id()), maybe(role()), resource_change()).prop_map(
        |(id, allocation_role, change)| {
            let nothing = match &change {
                ResourceChange::Reserve { source, resources } => {
                    source.is_empty() && resources.is_empty()
                }
                ResourceChange::Unreserve { resources } => resources.is_empty(),
                ResourceChange::Create { volumes } | ResourceChange::Destroy { volumes } => {
                    volumes.is_empty()
                }
                ResourceChange::Grow { .. } | ResourceChange::Shrink { .. } => false,
            };
            let allocation_role = allocation_role.filter(|_| !nothing);
            ResourceOperation { id, allocation_role, change }
        },
    )
}

pub(super) fn task_group() -> impl Strategy<Value = TaskGroup> {
    (executor(), vec(task_info(), 0..3)).prop_map(|(executor, tasks)| TaskGroup {
        executor: Some(executor),
        tasks,
        unreadable: Vec::new(),
    })
}

/// Any status of an operation.
pub fn operation_status() -> impl Strategy<Value = OperationStatus> {
    let state = prop::sample::select(OperationState::ALL.to_vec());
    let ids = (maybe(operation_id()), maybe(uuid()), maybe(agent_id()));
    (ids, state, maybe(text()), resources()).prop_map(
        |((operation_id, uuid, agent_id), state, message, converted)| OperationStatus {
            operation_id,
            state,
            message,
            converted,
            uuid,
            agent_id,
        },
    )
}
