//! What a run decided, and why: plain values, for the caller to act on, to show and to test.
//!
//! Reasons are aggregated when they are made: their size follows task classes, never tasks times hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::device::{DeviceRequest, DeviceUse};
use crate::fitness::Score;
use crate::gang::GangMiss;
use crate::id::{DeviceKind, HostId, LeaseId, TaskId};
use crate::packing::ahead::PackingReport;
use crate::quantity::Milli;
use crate::request::TaskRequest;
use crate::reservation::Reservation;
use crate::resources::{Resource, Resources};

/// The outcome of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulingResult {
    /// The hosts that got tasks, by name. The scheduler no longer holds their leases.
    pub assignments: Vec<HostAssignment>,
    /// The tasks that found no host, in the order in which their kind of failure first came up.
    pub failures: Vec<Failure>,
    /// The tasks that were not tried, because the run has placed or worked as much as it was permitted.
    pub untried: Vec<TaskId>,
    /// The tasks that were refused unseen, each with what is wrong with it.
    pub refused: Vec<(TaskId, Problem)>,
    /// Leases that are given back, for the caller to decline: those that were not used and have expired, oldest
    /// first, after those of disabled and inactive hosts. The scheduler no longer holds them.
    pub expired: Vec<LeaseId>,
    /// New leases that were not taken, each with what is wrong with it. Those of hosts that nothing may be placed
    /// on are among [`expired`](Self::expired) as well, to be declined.
    pub ignored: Vec<(LeaseId, LeaseProblem)>,
    /// What is kept for the head of the queue: see [`Backfill`](crate::Backfill).
    pub reservations: Vec<Reservation>,
    /// What looking ahead came to, where that is chosen: see [`Packing`](crate::Packing).
    pub packing: Option<PackingReport>,
    /// How many times a host was evaluated for a task: the work this run was.
    pub evaluations: u64,
}

impl SchedulingResult {
    /// How many tasks were placed.
    #[must_use]
    pub fn placed(&self) -> usize {
        self.assignments.iter().map(|host| host.tasks.len()).sum()
    }

    /// How many tasks found no host.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.iter().map(|failure| failure.tasks.len()).sum()
    }

    /// The host that `task` was placed on. Looks through all placed tasks.
    #[must_use]
    pub fn host_of(&self, task: &TaskId) -> Option<&HostId> {
        let holds = |host: &&HostAssignment| host.tasks.iter().any(|t| t.request.id == *task);
        self.assignments.iter().find(holds).map(|host| &host.host)
    }

    /// Why `task` was not placed. Looks through all tasks that failed.
    #[must_use]
    pub fn why(&self, task: &TaskId) -> Option<&Explanation> {
        let failure = self.failures.iter().find(|failure| failure.tasks.contains(task))?;
        Some(&failure.explanation)
    }
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// An earlier task of the batch has the same id.
    Repeated,
    /// A task of this id runs already.
    Running,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "an earlier task of the batch has the same id",
            Self::Running => "a task of this id runs already",
        })
    }
}

/// What is wrong with a new lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseProblem {
    /// A lease of this id is held.
    Held,
    /// The host has a lease, and is to have a single one.
    HostHasOne,
    /// The host is disabled: it is about to go, or has gone.
    HostDisabled,
    /// The host is not of an active group.
    HostInactive,
}

impl fmt::Display for LeaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "a lease of this id is held",
            Self::HostHasOne => "the host has a lease, and is to have a single one",
            Self::HostDisabled => "the host is disabled",
            Self::HostInactive => "the host is not of an active group",
        })
    }
}

/// A host and the tasks it got.
#[derive(Clone, Debug, PartialEq)]
pub struct HostAssignment {
    /// The host.
    pub host: HostId,
    /// All leases of the host, by id: launch the tasks with them, and what they do not take comes back as a
    /// new lease.
    pub leases: Vec<LeaseId>,
    /// The tasks, in the order in which they were asked for.
    pub tasks: Vec<PlacedTask>,
}

/// What a task uses of one named set of its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetUse {
    /// The set.
    pub name: String,
    /// The value that the member is bound to; `None` by tasks that asked for none.
    pub value: Option<String>,
    /// The member, counted from 0.
    pub member: u32,
    /// How much of it.
    pub amount: u32,
}

/// A task on its host.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedTask {
    /// The task, as it was asked for.
    pub request: TaskRequest,
    /// Its ports, as many as it asked for; no other task of this run has any of them.
    pub ports: Vec<u16>,
    /// What it uses of the host's named sets.
    pub sets: Vec<SetUse>,
    /// What it uses of the host's devices.
    pub devices: Vec<DeviceUse>,
    /// What it is granted, if that is more than it demands: see [`TaskClass::with_most`].
    ///
    /// [`TaskClass::with_most`]: crate::TaskClass::with_most
    pub grown: Option<Box<Resources>>,
    /// How well the host suited it when it was placed.
    pub score: Score,
}

impl PlacedTask {
    /// What the task is to be launched with: what it demands, or more.
    #[must_use]
    pub fn granted(&self) -> &Resources {
        self.grown.as_deref().unwrap_or(&self.request.class.demand)
    }
}

/// Tasks of one class that found no host, for the same reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The tasks, in the order in which they were asked for.
    pub tasks: Vec<TaskId>,
    /// The reasons: as they are at the end of the run if room alone decides where the tasks fit, and from the 25th
    /// class that fails on, if neither balance nor a closure has a say; else as they were for the first of the
    /// tasks. That none of them fitted anywhere in its turn is exact either way.
    pub explanation: Arc<Explanation>,
    /// For a gang that was given up: how far it came. The explanation is that of its first task that found no
    /// host, as it was at that moment; it has no reasons if all found one and were too few.
    pub gang: Option<GangMiss>,
}

/// Why a task found no host: all reasons, counted over all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// How many hosts with leases there were.
    pub hosts: u32,
    /// How many hosts refused for each reason; a host that lacks two resources counts for both.
    pub reasons: BTreeMap<Reason, u32>,
    /// The host that came closest: fewest reasons against it, then least lacking.
    pub nearest: Option<NearMiss>,
    /// Up to two more that came close.
    pub also_near: Vec<NearMiss>,
    /// What would place the task by itself: for each kind of change the least of it that was found.
    pub remedies: Vec<Remedy>,
}

/// A single change after which a host would take the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What would have to change.
    pub change: Change,
    /// The host.
    pub host: HostId,
    /// How many of the hosts that were looked at would take it after such a change, if large enough.
    pub hosts: u32,
}

/// What could change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The host has this much more of a resource, or the task wants so much less.
    More {
        /// Which.
        resource: Resource,
        /// How much; ports are whole units.
        amount: Milli,
    },
    /// What stands against it is not there any more: a constraint is dropped, a host is not kept for others.
    Without(Reason),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { change, host, hosts } = self;
        match change {
            Change::More { resource, amount } => {
                write!(f, "{amount} {resource} more on {host}, or less wanted")?;
            }
            Change::Without(reason) => write!(f, "{host} without \"{reason}\"")?,
        }
        match hosts {
            0 | 1 => Ok(()),
            hosts => write!(f, " ({hosts} hosts in all)"),
        }
    }
}

/// A reason for which a host cannot take a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It has not enough of a resource.
    Lacks(Resource),
    /// No member of a named set can serve the task, or it has no such set.
    LacksSet(String),
    /// Too few devices of a kind are free, or none of the models that would do.
    LacksDevices(DeviceKind),
    /// A task that wants a host of its own has it.
    HeldExclusively,
    /// A hard constraint refuses it; the constraint in words. Where hosts were not looked at one by one (from the 25th
    /// class that fails in a run on, and for closures from 1,024 hosts on), a closure counts the hosts that it was
    /// asked about: those with room that no other rule about a host refuses. Among them are hosts that rules about
    /// values of attributes refuse as well; where a class has several closures, a host that more than one of them would
    /// refuse counts for the first alone.
    Constraint(String),
    /// The calculator says 0, which refuses in [`Combination::Fenzo1`](crate::Combination::Fenzo1); or it is a
    /// closure that panicked or gave not-a-number. Once a run has worked as much as it may, such hosts are not counted.
    ZeroFitness,
    /// The task's group would take more of a resource than its limit permits, on any host.
    OverLimit(Resource),
    /// It has room, which is kept for the head of the queue; or no task of its group may overtake that.
    Reserved,
    /// It is not at the place that its gang was tried at.
    Elsewhere,
    /// What is left of the task's tier is kept for the guarantees of other buckets.
    KeptForOthers,
}

/// The host that came closest to taking a task, and what kept it from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The host.
    pub host: HostId,
    /// All that it lacks.
    pub obstacles: Vec<Obstacle>,
}

/// A reason with its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Not enough of a resource.
    Lacks {
        /// Which.
        resource: Resource,
        /// How much the task wants; ports are whole units.
        wanted: Milli,
        /// How much the host had left.
        free: Milli,
    },
    /// No member of a named set can serve the task, or the host has no such set.
    LacksSet(String),
    /// Too few devices of a kind are free, or none of the models that would do.
    LacksDevices {
        /// The kind.
        kind: DeviceKind,
        /// What the task wants of them.
        wanted: DeviceRequest,
        /// How many it could have whole.
        whole: u32,
        /// The greatest share of one that it could have.
        most: Milli,
    },
    /// A task that wants a host of its own has the host.
    HeldExclusively,
    /// It has room, which is kept for the head of the queue.
    Reserved,
    /// It is not at the place that the gang was tried at.
    Elsewhere,
    /// A hard constraint refuses the host; the constraint in words.
    Constraint(String),
    /// The calculator says 0: see [`Reason::ZeroFitness`].
    ZeroFitness,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(resource) => write!(f, "not enough {resource}"),
            Self::LacksSet(set) => write!(f, "no member of {set} free or of its value"),
            Self::LacksDevices(kind) => write!(f, "not enough devices {kind}"),
            Self::HeldExclusively => f.write_str("held by a task that wants a host of its own"),
            Self::Constraint(constraint) => write!(f, "constraint: {constraint}"),
            Self::ZeroFitness => f.write_str("no fitness"),
            Self::Elsewhere => f.write_str("not at the place where its gang came furthest"),
            Self::Reserved => f.write_str("kept for the head of the queue"),
            Self::KeptForOthers => f.write_str("kept for the guarantees of other buckets"),
            Self::OverLimit(resource) => write!(f, "over its group's limit of {resource}"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks { resource, wanted, free } => {
                write!(f, "wanted {wanted} {resource}, {free} free")
            }
            Self::LacksSet(set) => Reason::LacksSet(set.clone()).fmt(f),
            Self::LacksDevices { kind, wanted, whole, most } => {
                write!(f, "wanted {wanted} of {kind}, {whole} whole and at most {most} of one free")
            }
            Self::HeldExclusively => Reason::HeldExclusively.fmt(f),
            Self::ZeroFitness => Reason::ZeroFitness.fmt(f),
            Self::Reserved => Reason::Reserved.fmt(f),
            Self::Elsewhere => Reason::Elsewhere.fmt(f),
            Self::Constraint(constraint) => write!(f, "constraint: {constraint}"),
        }
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}: ", self.host)?;
        for (position, obstacle) in self.obstacles.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{obstacle}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hosts == 0 {
            return f.write_str("no host offers anything");
        }
        if self.reasons.is_empty() {
            return write!(f, "none of {} hosts is against it", self.hosts);
        }
        write!(f, "none of {} hosts fits: ", self.hosts)?;
        for (position, (reason, hosts)) in self.reasons.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{hosts} {reason}")?;
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; nearest {nearest}"),
            None => Ok(()),
        }
    }
}
