//! Property-test strategies: every domain type that crosses the wire, in its whole range.
//!
//! Behind the feature `testing`, for the property tests of this and other packages; production code
//! never sees it. Times and intervals that the wire keeps in seconds come in whole microseconds.

mod agent_api;
mod agent_link;
mod check;
mod constraints;
mod executor;
mod framework;
mod maintenance;
mod operation;
mod operator;
mod resources;
mod scheduler;
mod state;
mod task;

pub use agent_api::{agent_api_call, agent_api_response, process_io};
pub use agent_link::{agent_call, agent_event, command};
pub use constraints::offer_constraints;
pub use executor::{executor_call, executor_event};
pub use framework::{agent_info, framework_info};
pub use maintenance::{machine, schedule, unavailability};
pub use operation::{operation_status, resource_change, resource_operation};
pub use operator::{operator_call, operator_event, operator_response};
pub use resources::{attribute, quantities, ranges, resources, volume};
pub use scheduler::{call, event, offer, operation};
pub use task::{task_body, task_info, task_state, task_status};

use crate::{
    AgentId, ContainerId, ExecutorId, FrameworkId, MasterId, OfferId, OperationId, Role,
    StatusUuid, TaskId, Time, VolumeId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Any short text, of any characters.
pub fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        4 => "[ -~]{0,12}".prop_map(Arc::from),
        1 => vec(any::<char>(), 0..8).prop_map(|chars| String::from_iter(chars).into()),
    ]
}

/// Short bytes.
pub fn data() -> impl Strategy<Value = Arc<[u8]>> {
    vec(any::<u8>(), 0..40).prop_map(Arc::from)
}

/// Any role.
pub fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        1 => Just(Role::any()),
        3 => "[a-zé_][a-z0-9._-]{0,6}(/[a-z][a-z0-9-]{0,4}){0,2}"
            .prop_map(|role| Role::new(role).expect("the pattern yields roles")),
    ]
}

/// What may stand in an id.
const ID: &str = "[a-zA-Z0-9][ -.0-\\[\\]-~é]{0,16}";

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $id:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> impl Strategy<Value = $id> {
            ID.prop_map(|id| $id::new(id).expect("the pattern yields ids"))
        }
    )*};
}

ids! {
    /// Any framework id.
    framework_id: FrameworkId;
    /// Any agent id.
    agent_id: AgentId;
    /// Any offer id.
    offer_id: OfferId;
    /// Any task id.
    task_id: TaskId;
    /// Any executor id.
    executor_id: ExecutorId;
    /// Any container id.
    container_id: ContainerId;
    /// Any master id.
    master_id: MasterId;
    /// Any operation id.
    operation_id: OperationId;
    /// Any volume id.
    volume_id: VolumeId;
}

/// Any uuid.
pub fn uuid() -> impl Strategy<Value = StatusUuid> {
    any::<[u8; 16]>().prop_map(StatusUuid)
}

/// A time in whole microseconds.
pub fn time() -> impl Strategy<Value = Time> {
    (0..4_000_000_000_000_000_u64).prop_map(|micros| Time::from_nanos(micros * 1000))
}

/// An interval in whole microseconds, up to some weeks.
pub fn interval() -> impl Strategy<Value = Duration> {
    (0..4_000_000_000_000_u64).prop_map(Duration::from_micros)
}

/// An interval in nanoseconds.
pub fn nanos() -> impl Strategy<Value = Duration> {
    (0..i64::MAX as u64).prop_map(Duration::from_nanos)
}

/// Sometimes.
pub fn maybe<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone,
{
    proptest::option::of(strategy)
}
