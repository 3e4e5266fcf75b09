//! The scheduler: what it is configured with, what it is told, and the run.
//!
//! It owns what it remembers and nothing else. It launches nothing, declines nothing and calls nobody back:
//! what is to be done stands in the result of a run.

use std::fmt;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::fitness::Fitness;
use crate::id::{HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::pass::{self, Choice};
use crate::quantity::Time;
use crate::request::TaskRequest;
use crate::result::SchedulingResult;

/// How long an unused lease is kept if the builder is not told otherwise.
const DEFAULT_LEASE_EXPIRY: Duration = Duration::from_secs(120);

/// Places tasks on the hosts whose leases it holds.
///
/// One run at a time: every call takes `&mut self`. Equal calls in equal order give equal results.
#[derive(Debug)]
pub struct TaskScheduler {
    choice: Choice,
    lease_expiry: Duration,
    cluster: Cluster,
}

impl TaskScheduler {
    /// A builder with the defaults: any host that fits, the first by name, and leases kept for 120 s.
    #[must_use]
    pub fn builder() -> TaskSchedulerBuilder {
        TaskSchedulerBuilder {
            fitness: Fitness::Any,
            good_enough: None,
            lease_expiry: DEFAULT_LEASE_EXPIRY,
        }
    }

    /// Adds `leases`, then tries each of `tasks` once, in order, on all hosts that have leases.
    ///
    /// A task goes to the host with the highest score, the smaller name if several have it. A host that gets
    /// tasks hands over all its leases; hosts without tasks keep theirs for later runs, until they expire.
    /// Placed tasks count as running only once [`task_assigned`](Self::task_assigned) says so: what was not
    /// launched needs no undoing.
    ///
    /// Task ids must be unique, among `tasks` and with what runs; it is not checked here.
    pub fn schedule_once(
        &mut self,
        now: Time,
        tasks: &[TaskRequest],
        leases: Vec<Lease>,
    ) -> SchedulingResult {
        let mut ignored = Vec::new();
        for lease in leases {
            if let Err(lease) = self.cluster.add_lease(lease) {
                ignored.push(lease);
            }
        }
        let mut result = pass::run(&mut self.cluster, &self.choice, tasks);
        result.ignored = ignored;
        result.expired = self.remove_expired(now);
        result
    }

    /// What a run with these tasks and, in addition to what is held, these leases would place and refuse.
    /// Nothing is changed by asking, and nothing is copied: the tasks are placed on the live state and taken
    /// back. Leases whose ids are held already are ignored, as in a run.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fenzo::{Lease, Resources, TaskClass, TaskRequest, TaskScheduler};
    /// let mut scheduler = TaskScheduler::builder().build()?;
    /// let class = Arc::new(TaskClass::new("job", Resources::cpus_mem(3, 100)));
    /// let tasks: Vec<_> = (0..10).map(|n| TaskRequest::new(format!("t{n}"), &class)).collect();
    /// // How many of these hosts would it take?
    /// let host = |n: u32| Lease::new(format!("o{n}"), format!("h{n}"), Resources::cpus_mem(8, 1000));
    /// let answer = scheduler.what_if(&tasks, (0..10).map(host).collect());
    /// assert_eq!((answer.placed(), answer.assignments.len()), (10, 5));
    /// assert_eq!(scheduler.leases_held(), 0);
    /// # Ok::<(), fenzo::BuildError>(())
    /// ```
    pub fn what_if(&mut self, tasks: &[TaskRequest], leases: Vec<Lease>) -> SchedulingResult {
        let (mut added, mut ignored) = (Vec::new(), Vec::new());
        for lease in leases {
            let id = lease.id.clone();
            match self.cluster.add_lease(lease) {
                Ok(()) => added.push(id),
                Err(lease) => ignored.push(lease),
            }
        }
        let mut result = pass::what_if(&mut self.cluster, &self.choice, tasks);
        for lease in &added {
            self.cluster.remove_lease(lease);
        }
        result.ignored = ignored;
        result
    }

    /// Tells that a task was launched on a host, or runs there already (after a restart). Constraints and
    /// fitness see it from the next run on. A task runs in one place: if it was noted on a host before, that
    /// note is dropped and the host given back.
    pub fn task_assigned(&mut self, task: &TaskRequest, host: &HostId) -> Option<HostId> {
        self.cluster.add_task(task.id.clone(), task.class.clone(), host)
    }

    /// Tells that a task no longer runs on a host, however it ended. False, and nothing happens, if it was not
    /// noted as running there.
    pub fn task_unassigned(&mut self, task: &TaskId, host: &HostId) -> bool {
        self.cluster.remove_task(task, host)
    }

    /// The host a task is noted as running on.
    #[must_use]
    pub fn running_on(&self, task: &TaskId) -> Option<&HostId> {
        self.cluster.running_on(task)
    }

    /// Drops a lease that its owner has taken back. False if it was not held.
    pub fn expire_lease(&mut self, lease: &LeaseId) -> bool {
        self.cluster.remove_lease(lease)
    }

    /// Gives up all leases of a host: for the caller to decline, unless the host is gone. Running tasks stay
    /// noted.
    pub fn expire_host(&mut self, host: &HostId) -> Vec<LeaseId> {
        self.cluster.remove_leases_of(host)
    }

    /// Gives up all leases, oldest first: for the caller to decline.
    pub fn expire_all(&mut self) -> Vec<LeaseId> {
        self.cluster.remove_leases_until(Time::from_nanos(u64::MAX))
    }

    /// How many leases are held.
    #[must_use]
    pub fn leases_held(&self) -> usize {
        self.cluster.lease_count()
    }

    /// When the oldest unused lease expires: a run at that time gives it back. `None` without leases.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        Some(self.cluster.oldest_lease()?.saturating_add(self.lease_expiry))
    }

    fn remove_expired(&mut self, now: Time) -> Vec<LeaseId> {
        let expiry = u64::try_from(self.lease_expiry.as_nanos()).unwrap_or(u64::MAX);
        match now.as_nanos().checked_sub(expiry) {
            Some(bound) => self.cluster.remove_leases_until(Time::from_nanos(bound)),
            None => Vec::new(),
        }
    }
}

/// Configures a [`TaskScheduler`].
#[derive(Clone, Debug)]
pub struct TaskSchedulerBuilder {
    fitness: Fitness,
    good_enough: Option<f64>,
    lease_expiry: Duration,
}

impl TaskSchedulerBuilder {
    /// What makes a host better than another. Default: nothing, so that the first that fits is taken.
    #[must_use]
    pub fn fitness(mut self, fitness: Fitness) -> Self {
        self.fitness = fitness;
        self
    }

    /// Stops the search for a better host at a combined score of at least this, from 0 to 1: the task goes to
    /// the first such host by name, or to the best if there is none. Default: search all.
    #[must_use]
    pub fn good_enough(mut self, threshold: f64) -> Self {
        self.good_enough = Some(threshold);
        self
    }

    /// How long after it was offered an unused lease is given back. Default: 120 s.
    #[must_use]
    pub fn lease_expiry(mut self, expiry: Duration) -> Self {
        self.lease_expiry = expiry;
        self
    }

    /// The scheduler.
    ///
    /// # Errors
    /// If the fitness is a mean over nothing, or the threshold is not within 0 ..= 1.
    pub fn build(self) -> Result<TaskScheduler, BuildError> {
        if let Some(problem) = self.fitness.problem() {
            return Err(BuildError::Fitness(problem));
        }
        if let Some(threshold) = self.good_enough
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(BuildError::GoodEnough(threshold));
        }
        let cluster = Cluster::new(self.fitness.weights());
        Ok(TaskScheduler {
            choice: Choice { fitness: self.fitness, good_enough: self.good_enough },
            lease_expiry: self.lease_expiry,
            cluster,
        })
    }
}

/// Why a scheduler cannot be built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BuildError {
    /// The fitness calculator can give no score; what is wrong with it.
    Fitness(&'static str),
    /// The good-enough threshold is outside 0 ..= 1.
    GoodEnough(f64),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fitness(problem) => write!(f, "fitness: {problem}"),
            Self::GoodEnough(threshold) => {
                write!(f, "the good-enough threshold must be within 0 and 1, not {threshold}")
            }
        }
    }
}

impl std::error::Error for BuildError {}
