//! gRPC as the cluster speaks it: three services over domain types, with no generated code.
//!
//! - `mesos.v1.scheduler.Scheduler/Connect (stream Call) returns (stream Event)`
//! - `mesos.v1.master.Operator/Call (Call) returns (Response)`
//! - `tepui.v1.AgentLink/Connect (stream AgentCall) returns (stream AgentEvent)`
//!
//! Everything hot is a stream: many ready messages leave in one write. The messages are those of
//! `proto`, encoded by `proto::Wire`. It must never decide anything: it carries.
#![forbid(unsafe_code)]

mod client;
mod codec;
mod encoded;
mod first;
mod leader;
pub mod machine;
mod server;
pub mod slim;
pub mod tuning;

pub use client::{
    AgentLinkClient, AskError, ClientOptions, ConnectError, Connection, Duplex, OperatorClient,
    SchedulerClient, WatchClient,
};
pub use codec::Incoming;
pub use encoded::{Encoded, Unsent};
pub use first::First;
pub use leader::{LEADER_KEY, follow_leader, is_address, leader, not_leading};
pub use server::{OperatorHandler, OperatorService, StreamHandler, StreamService};
pub use tonic::{Code, Status};

/// Response metadata that names the master's cluster, in UTF-8.
const CLUSTER_KEY: &str = "tepui-cluster-bin";
/// HTTP path of the scheduler's stream.
pub const SCHEDULER_PATH: &str = "/mesos.v1.scheduler.Scheduler/Connect";
/// HTTP path of the operator's calls.
pub const OPERATOR_PATH: &str = "/mesos.v1.master.Operator/Call";
/// HTTP path of the events for operators.
pub const OPERATOR_EVENTS_PATH: &str = "/mesos.v1.master.Operator/Subscribe";
/// HTTP path of an agent's stream.
pub const AGENT_LINK_PATH: &str = "/tepui.v1.AgentLink/Connect";
