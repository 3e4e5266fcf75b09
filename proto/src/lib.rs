//! The vocabulary of the cluster and its wire forms.
//!
//! Everything that crosses a process boundary is named here: ids, resources, offers, tasks, the
//! scheduler, operator, executor and agent APIs' calls and answers, and the private link between
//! master and agent. Domain types cannot be wrong: they are made by checked constructors or by decoding
//! ("parse, don't validate"). Generated wire types stay private to this crate.
//!
//! It must never do I/O, read a clock or draw entropy: the cores depend on it.
#![forbid(unsafe_code)]

mod agent;
pub mod agent_api;
pub mod agent_link;
mod attributes;
mod check;
mod constraints;
mod convert;
mod encoding;
mod error;
pub mod executor;
mod framework;
mod id;
mod json;
mod limits;
mod maintenance;
mod offer;
mod operation;
pub mod operator;
mod quota;
pub mod recordio;
mod resources;
mod role;
pub mod scheduler;
mod schema;
mod task;
mod task_outcome;
mod task_state;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod wire;

pub use agent::{AgentInfo, Domain};
pub use attributes::{Attribute, AttributeValue};
pub use check::{Check, CheckKind, CheckStatus, Checks, HealthCheck};
pub use constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, Selector,
};
pub use encoding::{Encoding, Wire};
pub use error::{DecodeError, InvalidValue};
pub use framework::{Capabilities, Capability, FrameworkInfo, Labels};
pub use id::{
    AgentId, ClusterId, ContainerId, ExecutorId, FrameworkId, MasterId, OfferId, OperationId,
    StatusUuid, TaskId, VolumeId,
};
pub use limits::Limits;
pub use maintenance::{
    DrainingMachine, InverseOffer, InverseOfferAnswer, InverseOfferStatus, MachineId,
    MaintenanceStatus, MaintenanceWindow, Schedule, Unavailability,
};
pub use offer::{Filters, Offer, Operation, TaskGroup, UnreadableTask};
pub use operation::{
    ChangeInvalid, Conversion, InvalidOperation, OperationState, OperationStatus, ResourceChange,
    ResourceOperation,
};
pub use quota::{QuotaConfig, Weight};
pub use resources::{
    Disk, DiskKind, DiskSource, Flavor, Persistence, Piece, Quantities, Ranges, Reservation,
    ReservationKind, ResourceName, Resources, Shortfall, Special, Value, VolumeMount,
};
pub use role::Role;
pub use task::{
    CommandInfo, ContainerInfo, ContainerNetwork, ContainerVolume, DockerInfo, DockerNetwork,
    ExecutorInfo, ExecutorKind, FetchUri, PortMapping, Reason, Secret, Source, TaskBody, TaskInfo,
    TaskPayload, TaskShown, TaskStatus, VolumeSource,
};
pub use task_outcome::{Exit, LimitHit, TaskOutcome, TaskUsage};
pub use task_state::{TaskState, Transition};
pub use time::Time;
