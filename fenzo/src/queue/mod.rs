//! A queue of tasks in tiers of buckets, ordered by weighted dominant shares.
//!
//! Tiers are served strictly one after the other, the lowest number first. In a tier the bucket with the
//! smallest share is served next ([`TierSla`]); in a bucket tasks go by priority, then in the order in which
//! they were queued. The queue knows what its tasks take, running ones included, and nothing of hosts: a run
//! asks it for one task after the other and tells it which were placed.

mod order;
mod sla;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::{BucketName, TaskId};
use crate::quantity::Time;
use crate::request::TaskRequest;
pub(crate) use order::{Order, Step};
pub use sla::TierSla;

/// A task, and where in the queue it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedTask {
    /// The task.
    pub request: TaskRequest,
    /// The tier, counted from 0.
    pub tier: usize,
    /// The bucket of the tier.
    pub bucket: BucketName,
    /// Tasks of a bucket with a higher priority go first.
    pub priority: i32,
    /// It is passed over until then.
    pub ready_at: Time,
}

impl QueuedTask {
    /// A task that is ready, of priority 0.
    pub fn new(request: TaskRequest, tier: usize, bucket: impl Into<BucketName>) -> Self {
        Self { request, tier, bucket: bucket.into(), priority: 0, ready_at: Time::ZERO }
    }

    /// The same with a priority.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// The same, passed over until a time.
    #[must_use]
    pub fn with_ready_at(mut self, ready_at: Time) -> Self {
        self.ready_at = ready_at;
        self
    }
}

/// What has become of a task of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// It waits.
    Queued,
    /// It was placed, or runs already.
    Launched,
}

/// What is wrong with a call; the queue is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// There is a task of this id.
    Duplicate(TaskId),
    /// There is no such tier.
    NoSuchTier {
        /// The tier.
        tier: usize,
        /// How many there are.
        tiers: usize,
    },
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(task) => write!(f, "task {task} is in the queue already"),
            Self::NoSuchTier { tier, tiers } => {
                write!(f, "there is no tier {tier}: the queue has {tiers}, counted from 0")
            }
        }
    }
}

impl std::error::Error for QueueError {}

/// The order of tasks in a bucket: higher priority, then earlier arrival.
type Turn = (Reverse<i32>, u64);

#[derive(Clone, Debug, Default)]
struct Bucket {
    queued: BTreeMap<Turn, QueuedTask>,
    launched: usize,
    /// What its launched tasks take, by measure.
    used: [u128; 4],
}

#[derive(Clone, Debug, Default)]
struct Tier {
    buckets: BTreeMap<BucketName, Bucket>,
    sla: Option<TierSla>,
    /// What its launched tasks take, by measure.
    used: [u128; 4],
}

#[derive(Clone, Debug)]
enum Entry {
    Queued { tier: usize, bucket: BucketName, turn: Turn },
    Launched(QueuedTask),
}

/// A queue with a fixed number of tiers.
#[derive(Clone, Debug)]
pub struct TaskQueue {
    tiers: Vec<Tier>,
    entries: BTreeMap<TaskId, Entry>,
    /// How many waiting tasks are passed over until then; those that never were are not counted.
    delayed: BTreeMap<Time, usize>,
    arrivals: u64,
}

impl TaskQueue {
    /// An empty queue with this many tiers, at least one.
    #[must_use]
    pub fn tiered(tiers: usize) -> Self {
        let tiers = vec![Tier::default(); tiers.max(1)];
        Self { tiers, entries: BTreeMap::new(), delayed: BTreeMap::new(), arrivals: 0 }
    }

    /// Queues a task behind those of its bucket and priority.
    ///
    /// # Errors
    /// If a task of its id is in the queue, or the tier does not exist.
    pub fn queue(&mut self, task: QueuedTask) -> Result<(), QueueError> {
        self.check(&task)?;
        let turn = (Reverse(task.priority), self.arrivals);
        self.arrivals += 1;
        let (tier, bucket) = (task.tier, task.bucket.clone());
        let id = task.request.id.clone();
        let of = self.tiers[tier].buckets.entry(bucket.clone()).or_default();
        let ready_at = task.ready_at;
        of.queued.insert(turn, task);
        self.delay(ready_at);
        self.entries.insert(id, Entry::Queued { tier, bucket, turn });
        Ok(())
    }

    /// Notes a task that runs already, as after a restart.
    ///
    /// # Errors
    /// If a task of its id is in the queue, or the tier does not exist.
    pub fn note_running(&mut self, task: QueuedTask) -> Result<(), QueueError> {
        self.check(&task)?;
        self.launch(task);
        Ok(())
    }

    /// Promises something to the buckets of a tier, or nothing any more.
    ///
    /// # Errors
    /// If the tier does not exist.
    pub fn set_sla(&mut self, tier: usize, sla: Option<TierSla>) -> Result<(), QueueError> {
        let tiers = self.tiers.len();
        let of = self.tiers.get_mut(tier).ok_or(QueueError::NoSuchTier { tier, tiers })?;
        of.sla = sla;
        Ok(())
    }

    /// Takes a task out, whatever its state; gives the state.
    pub fn remove(&mut self, task: &TaskId) -> Option<TaskState> {
        match self.entries.remove(task)? {
            Entry::Queued { tier, bucket, turn } => {
                self.dequeue(tier, &bucket, turn);
                Some(TaskState::Queued)
            }
            Entry::Launched(task) => {
                let demand = task.request.class.demand.measures();
                let tier = &mut self.tiers[task.tier];
                let bucket = tier.buckets.get_mut(&task.bucket);
                let bucket = bucket.expect("a bucket lives as long as its tasks");
                bucket.launched -= 1;
                for (measure, amount) in demand.into_iter().map(u128::from).enumerate() {
                    bucket.used[measure] -= amount;
                    tier.used[measure] -= amount;
                }
                self.forget_if_empty(task.tier, &task.bucket);
                Some(TaskState::Launched)
            }
        }
    }

    /// Passes a queued task over until a time. False if it is not queued.
    pub fn set_ready_at(&mut self, task: &TaskId, ready_at: Time) -> bool {
        let Some(Entry::Queued { tier, bucket, turn }) = self.entries.get(task) else {
            return false;
        };
        let bucket = self.tiers[*tier].buckets.get_mut(bucket);
        let queued = bucket.and_then(|bucket| bucket.queued.get_mut(turn));
        let queued = queued.expect("a queued task is in its bucket");
        let before = std::mem::replace(&mut queued.ready_at, ready_at);
        self.end_delay(before);
        self.delay(ready_at);
        true
    }

    /// What has become of a task.
    #[must_use]
    pub fn state(&self, task: &TaskId) -> Option<TaskState> {
        self.entries.get(task).map(|entry| match entry {
            Entry::Queued { .. } => TaskState::Queued,
            Entry::Launched(_) => TaskState::Launched,
        })
    }

    /// All tasks in order of id, with their states.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, TaskState)> {
        self.entries.keys().filter_map(|task| Some((task, self.state(task)?)))
    }

    /// How many tasks wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        let buckets = self.tiers.iter().flat_map(|tier| tier.buckets.values());
        buckets.map(|bucket| bucket.queued.len()).sum()
    }

    /// When the next waiting task that is not ready yet becomes so.
    #[must_use]
    pub fn next_ready(&self, now: Time) -> Option<Time> {
        let later = self.delayed.range((Excluded(now), Unbounded));
        later.map(|(ready_at, _)| *ready_at).next()
    }

    fn delay(&mut self, ready_at: Time) {
        if ready_at > Time::ZERO {
            *self.delayed.entry(ready_at).or_default() += 1;
        }
    }

    fn end_delay(&mut self, ready_at: Time) {
        if let Some(tasks) = self.delayed.get_mut(&ready_at) {
            *tasks -= 1;
            if *tasks == 0 {
                self.delayed.remove(&ready_at);
            }
        }
    }

    /// The tasks that are ready, tier by tier, bucket by bucket.
    pub(crate) fn ready(&self, now: Time) -> Vec<TaskRequest> {
        let buckets = self.tiers.iter().flat_map(|tier| tier.buckets.values());
        let tasks = buckets.flat_map(|bucket| bucket.queued.values());
        tasks.filter(|task| task.ready_at <= now).map(|task| task.request.clone()).collect()
    }

    /// Turns a queued task into a launched one.
    pub(crate) fn placed(&mut self, task: &TaskId) {
        let Some(Entry::Queued { tier, bucket, turn }) = self.entries.get(task).cloned() else {
            return;
        };
        let task = self.tiers[tier].buckets.get_mut(&bucket).and_then(|of| of.queued.remove(&turn));
        let task = task.expect("a queued task is in its bucket");
        self.end_delay(task.ready_at);
        self.launch(task);
    }

    fn check(&self, task: &QueuedTask) -> Result<(), QueueError> {
        let (tier, tiers) = (task.tier, self.tiers.len());
        if tier >= tiers {
            return Err(QueueError::NoSuchTier { tier, tiers });
        }
        if self.entries.contains_key(&task.request.id) {
            return Err(QueueError::Duplicate(task.request.id.clone()));
        }
        Ok(())
    }

    fn launch(&mut self, task: QueuedTask) {
        let tier = &mut self.tiers[task.tier];
        let bucket = tier.buckets.entry(task.bucket.clone()).or_default();
        bucket.launched += 1;
        for (measure, amount) in task.request.class.demand.measures().into_iter().enumerate() {
            bucket.used[measure] += u128::from(amount);
            tier.used[measure] += u128::from(amount);
        }
        self.entries.insert(task.request.id.clone(), Entry::Launched(task));
    }

    fn dequeue(&mut self, tier: usize, bucket: &BucketName, turn: Turn) {
        let of = self.tiers[tier].buckets.get_mut(bucket);
        if let Some(task) = of.and_then(|of| of.queued.remove(&turn)) {
            self.end_delay(task.ready_at);
        }
        self.forget_if_empty(tier, bucket);
    }

    fn forget_if_empty(&mut self, tier: usize, bucket: &BucketName) {
        let buckets = &mut self.tiers[tier].buckets;
        let empty = |of: &Bucket| of.queued.is_empty() && of.launched == 0;
        if buckets.get(bucket).is_some_and(empty) {
            buckets.remove(bucket);
        }
    }
}
