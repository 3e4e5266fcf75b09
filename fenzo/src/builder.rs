//! What a scheduler is configured with, and what can be wrong with that.

use std::fmt;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::constraint::Constraint;
use crate::fitness::{Combination, Fitness};
use crate::packing::ahead::Packing;
use crate::pass::Choice;
use crate::request::TaskClass;
use crate::reservation::Backfill;
use crate::scheduler::{Options, TaskScheduler};
use crate::set_fitness::{SetFitness, SetMember};
use crate::view::HostView;

/// How long an unused lease is kept if the builder is not told otherwise.
const DEFAULT_LEASE_EXPIRY: Duration = Duration::from_secs(120);

/// Configures a [`TaskScheduler`].
#[derive(Clone, Debug)]
pub struct TaskSchedulerBuilder {
    choice: Choice,
    options: Options,
    single_lease: bool,
    set_fitness: Option<SetFitness>,
}

impl Default for TaskSchedulerBuilder {
    fn default() -> Self {
        Self {
            choice: Choice {
                fitness: Fitness::Any,
                good_enough: None,
                combination: Combination::Whole,
                filter: None,
            },
            options: Options {
                lease_expiry: DEFAULT_LEASE_EXPIRY,
                reject_limit: None,
                batch_size: usize::MAX,
                work_limit: u64::MAX,
                backfill: None,
                packing: Packing::InTurn,
            },
            single_lease: false,
            set_fitness: None,
        }
    }
}

impl TaskSchedulerBuilder {
    /// What makes a host better than another. Default: nothing, so that the first that fits is taken.
    #[must_use]
    pub fn fitness(mut self, fitness: Fitness) -> Self {
        self.choice.fitness = fitness;
        self
    }

    /// How the tasks of a batch are packed. Default: each in its turn, by fitness alone.
    #[must_use]
    pub fn packing(mut self, packing: Packing) -> Self {
        self.options.packing = packing;
        self
    }

    /// Stops the search for a better host at a combined score of at least this, from 0 to 1: the task goes to
    /// the first such host by name, or to the best if there is none. Default: search all.
    #[must_use]
    pub fn good_enough(mut self, threshold: f64) -> Self {
        self.choice.good_enough = Some(threshold);
        self
    }

    /// How the parts of a score become one. Default: [`Combination::Whole`].
    #[must_use]
    pub fn combination(mut self, combination: Combination) -> Self {
        self.choice.combination = combination;
        self
    }

    /// A closure that every host must pass for every task, as if it were a hard constraint of all. `name`
    /// appears in explanations.
    #[must_use]
    pub fn host_filter<F>(mut self, name: impl Into<String>, passes: F) -> Self
    where
        F: Fn(&TaskClass, &HostView<'_>) -> bool + Send + Sync + 'static,
    {
        self.choice.filter = Some(Constraint::custom(name, passes));
        self
    }

    /// A closure that scores the members of named sets for a task, from 0 to 1, in place of the built-in rule (a
    /// fuller member first, then a free one). The task gets the member with the highest score, the lowest number
    /// of several; one with score 0 is not used, nor one for which the closure panics or says not-a-number. The
    /// mean over the sets of a host is its score, which counts as [`Combination`] has it.
    ///
    /// It must depend on nothing but its argument. It is asked about members that could serve the task alone: those
    /// that are bound to its value and have room, and the first 1,024 that nobody uses. Hosts are looked at one by
    /// one for every task then.
    #[must_use]
    pub fn set_fitness<F>(mut self, score: F) -> Self
    where
        F: Fn(&SetMember<'_>) -> f64 + Send + Sync + 'static,
    {
        self.set_fitness = Some(SetFitness::new(score));
        self
    }

    /// How long after it was offered an unused lease is given back. Default: 120 s.
    #[must_use]
    pub fn lease_expiry(mut self, expiry: Duration) -> Self {
        self.options.lease_expiry = expiry;
        self
    }

    /// Gives back expired leases of at most this many hosts within one expiry, and all leases of such a host:
    /// so that not all that is idle goes to others at once. Default: no limit, and only what has expired.
    #[must_use]
    pub fn reject_limit(mut self, hosts: u32) -> Self {
        self.options.reject_limit = Some(hosts);
        self
    }

    /// Ends a run after this many placements; the rest is not tried. Default: no end.
    #[must_use]
    pub fn batch_size(mut self, placements: usize) -> Self {
        self.options.batch_size = placements;
        self
    }

    /// Ends a run when this many hosts have been looked at, checked between tasks; the rest is not tried. Those
    /// that are looked at to explain failures count as well, though not in
    /// [`evaluations`](crate::SchedulingResult::evaluations); of what fails at the end, hosts are then counted by
    /// reason, and none is named. It bounds the time of a run without a clock. Default: no end.
    #[must_use]
    pub fn work_limit(mut self, evaluations: u64) -> Self {
        self.options.work_limit = evaluations;
        self
    }

    /// Keeps room for the first tasks of a run that find no host, so that smaller ones do not keep them out for
    /// good: see [`Backfill`]. Default: nothing is kept, and whatever fits is placed.
    #[must_use]
    pub fn backfill(mut self, backfill: Backfill) -> Self {
        self.options.backfill = Some(backfill);
        self
    }

    /// A host has one lease, which is of all that it has and stays for good: the scheduler itself keeps account
    /// of what running tasks take. Further leases of a host are ignored. Default: a lease is of what is free,
    /// and is used up by the first run that places on it.
    #[must_use]
    pub fn single_lease(mut self) -> Self {
        self.single_lease = true;
        self
    }

    /// The scheduler.
    ///
    /// # Errors
    /// If the fitness is a mean over nothing, or the threshold is not within 0 ..= 1.
    pub fn build(self) -> Result<TaskScheduler, BuildError> {
        if let Some(problem) = self.choice.fitness.problem() {
            return Err(BuildError::Fitness(problem));
        }
        if let Some(threshold) = self.choice.good_enough
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(BuildError::GoodEnough(threshold));
        }
        let mut cluster = Cluster::new(self.choice.fitness.weights(), self.single_lease);
        cluster.judge_sets_by(self.set_fitness);
        Ok(TaskScheduler::new(self.choice, self.options, cluster))
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
