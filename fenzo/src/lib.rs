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
//! # What is here
//!
//! Who | with what
//! --- | ---
//! [`TaskScheduler`] | holds leases and running tasks, and runs; [`TaskSchedulerBuilder`] has what can be chosen
//! [`TaskClass`] | demand, [`Constraint`]s (hard, or soft with a weight), devices, sets, and the most a task can use
//! [`Fitness`], [`Combination`] | what makes a host better: packers, spreaders, means, devices, closures
//! [`Device`], [`DeviceRequest`] | GPUs and licences by id, whole or in part; [`DeviceMix`] tells fitness what comes
//! [`Packing`] | all tasks of a batch at once, on few hosts, with the [lower bound](PackingReport)
//! [`Topology`], [`Level`] | hosts, racks, zones: where tasks gather, keep apart, are spread
//! [`Gang`] | tasks that are placed together or not at all, in one rack if need be
//! [`Backfill`] | keeps room for big tasks and lets small ones pass where that costs nothing
//! [`PreemptionPlan`] | whom to end so that an urgent task fits
//! [`Limit`] | what a group may take in all; disabled hosts and active groups bound a run as well
//! [`TaskQueue`], [`SchedulingService`] | tiers, weighted dominant shares, guarantees; a loop without a thread
//! [`Autoscaler`] | rules of idle hosts and shortfalls, answered with [`ScaleAction`]s
//! [`Explanation`] | why a task was not placed: counts, near misses, what would help
//! [`Overlay`] | what would be placed if some things were different
//! [`Triggers`] | things that happen by cron expressions and intervals
//!
//! Each has an example that runs: `cargo run -p fenzo --example bin_pack`, `constraints`, `queue`, `autoscale`,
//! `gang_and_preempt`, `why`, `capacity`, and `openb`, which packs a real trace. Where it differs from Netflix Fenzo, whose results it reproduces, is written in
//! docs/comparisons.md.
//!
//! # A run in short
//!
//! 1. Tell what is on offer: leases, with the call. Say what runs: [`TaskScheduler::task_assigned`] and
//!    [`TaskScheduler::task_unassigned`].
//! 2. Run: [`TaskScheduler::schedule_once`] in your order, [`TaskScheduler::schedule_queue`] in that of a queue,
//!    [`TaskScheduler::schedule_gangs`] for gangs.
//! 3. Launch what [`SchedulingResult::assignments`] says, with what is [granted](PlacedTask::granted), and tell so
//!    ([`TaskScheduler::task_launched`]). Decline what [`SchedulingResult::expired`] names.
//! 4. Show [`SchedulingResult::failures`] to whoever waits, and give them to the [`Autoscaler`].
//!
//! Every call either does what it says or names what is wrong and changes nothing.
//!
//! # How a host is chosen
//!
//! Tasks are tried in the given order, each once, without going back. A host can take a task if it has room
//! and all hard constraints hold. Of those, the host with the highest score wins: 50 parts soft constraints
//! and 35 parts [`Fitness`], each from 0 to 1. Equal scores go to the smaller host name.
//!
//! # Layout
//!
//! State is kept as columns by host ordinal, from run to run: what is free (one cache line a host), used and
//! there, values of attributes, counts of each group's tasks. What changes a host marks it, and a run brings
//! up to date only what is marked. Hosts stand in order of fitness on shelves, one for each kind of machine,
//! cut into blocks that know the most that any of theirs has free. A run places on this one live state; what
//! it placed is taken back at its end, because tasks run when the caller says so. The same way back serves
//! [`TaskScheduler::what_if`].
//!
//! Tasks come in classes of identical ones ([`TaskClass`]); what is prepared for a class lives for one run.
//! Everything is found by exact search: the ranking, the index for closures and a scan give the same host to
//! the last bit, and tests hold them against each other and against a slow scheduler that shares no code.
//!
//! # Cost
//!
//! With H hosts of K kinds: a run in which nothing changed costs nothing that grows with H. A placement costs
//! about K log H; wishes and hard rules add the hosts that stand before the first that satisfies them. A task
//! that fits nowhere costs K. Its explanation looks at every host for the first two dozen classes that fail in a
//! run; what fails after them is counted by bisection from one survey of all hosts, and some 100 hosts are looked at
//! to name the nearest. Classes that ask for devices, where members of named sets are judged by a closure, and where
//! hosts are named by other tests than equality, are explained by a look at every host each; so are most where fitness
//! is a closure, by devices or by named scalars, and those that [`Combination::Fenzo1`] may refuse for a fitness of 0.
//!
//! Fitness as a closure, by devices or by named scalars is asked about every host that has room, once for each class
//! and again when a host changes. A closure as a constraint is asked about the hosts that come before the one that
//! is chosen; where those are many, about every host with room once, and again when a host changes. Where a closure
//! has refused hosts and all is explained by looks, it is asked once more about each host looked at.
//!
//! Named sets on hosts cost their tasks a look at each host, up to 256, where a member in use could be shared, and
//! one at each kind of bound sets that comes before the best. A good-enough threshold costs a walk over the hosts up
//! to the first that is good enough. Looking ahead costs what it is permitted, and placing the batch up to three
//! times.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod attribute;
mod autoscale;
mod builder;
mod cluster;
mod constraint;
mod device;
mod disabled;
mod fitness;
mod gang;
mod id;
mod lease;
mod limit;
mod listener;
mod overlay;
mod packing;
mod pass;
mod preempt;
mod quantity;
mod queue;
mod request;
mod reservation;
mod resources;
mod result;
mod scheduler;
mod service;
mod set_fitness;
mod status;
mod topology;
mod tracker;
mod trigger;
mod view;

pub use attribute::{AttributeTest, AttributeValue, Attributes, HOSTNAME};
pub use autoscale::{
    Autoscaler, ScaleAction, ScaleDownOrder, ScaleDownScore, ScaleError, ScaleOptions, ScaleRule,
    Shortfall,
};
pub use builder::{BuildError, TaskSchedulerBuilder};
pub use constraint::{Constraint, CustomConstraint, SoftConstraint};
pub use device::{Device, DeviceRequest, DeviceUse};
pub use fitness::{Combination, CustomFitness, Fitness, Score};
pub use gang::{Gang, GangMiss};
pub use id::{BucketName, DeviceId, DeviceKind, DeviceModel, GroupName, HostId, LeaseId, TaskId};
pub use lease::{Lease, SetOffer};
pub use limit::Limit;
pub use listener::SchedulingEvent;
pub use overlay::Overlay;
pub use packing::ahead::{Packing, PackingReport};
pub use packing::{DeviceMix, DevicePacking};
pub use preempt::{Preemptible, PreemptionPlan};
pub use quantity::{Milli, Time};
pub use queue::{QueueError, QueuedTask, TaskQueue, TaskState, TierSla};
pub use request::{SetRequest, TaskClass, TaskRequest};
pub use reservation::{Backfill, Reservation, Start};
pub use resources::{Measure, PortRange, Resource, Resources};
pub use result::{
    Change, Explanation, Failure, HostAssignment, LeaseProblem, NearMiss, Obstacle, PlacedTask,
    Problem, Reason, Remedy, SchedulingResult, SetUse,
};
pub use scheduler::TaskScheduler;
pub use service::{SchedulingService, ServiceOptions};
pub use set_fitness::SetMember;
pub use status::HostStatus;
pub use topology::{Level, Topology};
pub use trigger::{Cron, Fired, Interval, Schedule, Trigger, TriggerError, Triggers};
pub use view::HostView;

/// The example of the front page is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
