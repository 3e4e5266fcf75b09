//! fenzo places tasks on hosts: bin packing, spreading and constraints, as a pure library.
//!
//! It is told what hosts offer ([`Lease`]), what is to run ([`TaskRequest`]) and what runs already
//! ([`TaskScheduler::task_assigned`]), and answers with values: which task goes where, on which ports, and
//! for each task that fits nowhere the reasons, counted over all hosts ([`Explanation`]). It must never read
//! a clock, do I/O, or depend on anything but its inputs: equal inputs give equal placements.
//!
//! ```
//! use std::sync::Arc;
//! use fenzo::{Constraint, Fitness, Lease, Resources, TaskClass, TaskRequest, TaskScheduler, Time};
//!
//! let mut scheduler = TaskScheduler::builder().fitness(Fitness::cpu_memory_packer()).build()?;
//!
//! // Three web servers, each with one cpu, spread over the zones.
//! let class = TaskClass::new("web", Resources::cpus_mem(1, 512))
//!     .with_hard(Constraint::balanced("zone"));
//! let class = Arc::new(class);
//! let tasks = ["web-0", "web-1", "web-2"].map(|id| TaskRequest::new(id, &class));
//!
//! let lease = |id: &str, host: &str, zone: &str| {
//!     Lease::new(id, host, Resources::cpus_mem(4, 4096)).with_attribute("zone", zone)
//! };
//! let leases = vec![lease("o1", "a1", "east"), lease("o2", "a2", "east"), lease("o3", "a3", "west")];
//!
//! let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
//! assert_eq!(result.placed(), 3);
//! assert_eq!(result.assignments.len(), 2); // one host in each zone is enough
//! for assignment in &result.assignments {
//!     for task in &assignment.tasks {
//!         scheduler.task_assigned(&task.request, &assignment.host); // now launch it
//!     }
//! }
//!
//! // What does not fit says why.
//! let big = TaskRequest::new("big", &Arc::new(TaskClass::new("big", Resources::cpus_mem(8, 512))));
//! let result = scheduler.schedule_once(Time::ZERO, &[big], vec![]);
//! assert_eq!(
//!     result.failures[0].explanation.to_string(),
//!     "none of 1 hosts fits: 1 not enough cpus; nearest host a2: wanted 8 cpus, 4 free",
//! );
//! # Ok::<(), fenzo::BuildError>(())
//! ```
//!
//! # How a host is chosen
//!
//! Tasks are tried in the given order, each once, without going back. A host can take a task if it has room
//! and all hard constraints hold. Of those, the host with the highest score wins: 50 parts soft constraints
//! and 35 parts [`Fitness`], each from 0 to 1. Equal scores go to the smaller host name.
//!
//! # Cost
//!
//! Tasks come in classes of identical ones ([`TaskClass`]). With H hosts, the first task of a class costs
//! O(H log H), each further one O(V log H) where V is the number of distinct values of the attributes that
//! its group is spread over (1 without such constraints), plus O(log H) for every host that other classes
//! have changed meanwhile. A class with a single task costs one scan, O(H). A task equal to one that has just
//! failed costs O(1) and a list entry. A run costs O(H + leases) besides. With a good-enough threshold a task
//! costs a walk over the hosts up to the first that is good enough.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod attribute;
mod constraint;
mod fitness;
mod id;
mod inventory;
mod lease;
mod pass;
mod quantity;
mod request;
mod resources;
mod result;
mod scheduler;
mod view;

pub use attribute::{AttributeTest, AttributeValue, Attributes, HOSTNAME};
pub use constraint::{Constraint, CustomConstraint, SoftConstraint};
pub use fitness::{CustomFitness, Fitness, Score};
pub use id::{GroupName, HostId, LeaseId, TaskId};
pub use lease::Lease;
pub use quantity::{Milli, Time};
pub use request::{TaskClass, TaskRequest};
pub use resources::{Measure, PortRange, Resource, Resources};
pub use result::{
    Explanation, Failure, HostAssignment, NearMiss, Obstacle, PlacedTask, Reason, SchedulingResult,
};
pub use scheduler::{BuildError, TaskScheduler, TaskSchedulerBuilder};
pub use view::HostView;
