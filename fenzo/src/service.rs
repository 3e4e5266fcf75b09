//! The scheduling loop, without a thread of its own: the caller ticks it and asks when to tick it next.
//!
//! It holds a scheduler and a queue, gathers what happens to them, and runs when there is something to decide.
//! It must never run twice in one interval, however often it is ticked.

use std::time::Duration;

use crate::id::{HostId, TaskId};
use crate::lease::Lease;
use crate::quantity::Time;
use crate::queue::{QueueError, QueuedTask, TaskQueue, TaskState, TierSla};
use crate::result::SchedulingResult;
use crate::scheduler::TaskScheduler;

/// How often the loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceOptions {
    /// The least time between two runs.
    pub interval: Duration,
    /// The greatest time between two runs, even if nothing happens; at least `interval` counts.
    pub max_delay: Duration,
}

impl Default for ServiceOptions {
    /// 50 ms and 5 s.
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), max_delay: Duration::from_secs(5) }
    }
}

/// A scheduler and a queue that are run when it is time.
///
/// ```
/// use std::sync::Arc;
/// use fenzo::{
///     Lease, QueuedTask, Resources, SchedulingService, ServiceOptions, TaskClass, TaskQueue,
///     TaskRequest, TaskScheduler, Time,
/// };
///
/// let scheduler = TaskScheduler::builder().build()?;
/// let options = ServiceOptions::default();
/// let mut service = SchedulingService::new(scheduler, TaskQueue::tiered(1), options);
/// let class = Arc::new(TaskClass::new("web", Resources::cpus_mem(1, 100)));
/// service.queue(QueuedTask::new(TaskRequest::new("web-0", &class), 0, "web"))?;
/// service.add_lease(Lease::new("o1", "h1", Resources::cpus_mem(4, 400)));
/// let result = service.tick(Time::from_secs(1)).expect("there is something to decide");
/// assert_eq!(result.placed(), 1);
/// assert!(service.tick(Time::from_secs(1)).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SchedulingService {
    scheduler: TaskScheduler,
    queue: TaskQueue,
    options: ServiceOptions,
    leases: Vec<Lease>,
    /// Something has happened since the last run.
    changed: bool,
    last_run: Option<Time>,
}

impl SchedulingService {
    /// A loop that has not run yet.
    #[must_use]
    pub fn new(scheduler: TaskScheduler, queue: TaskQueue, options: ServiceOptions) -> Self {
        let changed = queue.queued() > 0;
        Self { scheduler, queue, options, leases: Vec::new(), changed, last_run: None }
    }

    /// Runs if it is time: something has happened and the interval has passed, a task has become ready, or the
    /// greatest delay has passed. Placed tasks are noted as running; what the caller cannot launch, it removes.
    pub fn tick(&mut self, now: Time) -> Option<SchedulingResult> {
        if self.deadline() > now {
            return None;
        }
        let leases = std::mem::take(&mut self.leases);
        let result = self.scheduler.schedule_queue(now, &mut self.queue, leases);
        for assignment in &result.assignments {
            for task in &assignment.tasks {
                self.scheduler.task_launched(task, &assignment.host);
                if let Some(run_time) = task.request.run_time {
                    self.scheduler.expect_end(&task.request.id, now.saturating_add(run_time));
                }
            }
        }
        // What was not come to has its turn after the interval.
        self.changed = !result.untried.is_empty();
        self.last_run = Some(now);
        Some(result)
    }

    /// When to tick next.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let Some(last_run) = self.last_run else { return Time::ZERO };
        let soonest = last_run.saturating_add(self.options.interval);
        if self.changed {
            return soonest;
        }
        let latest = last_run.saturating_add(self.options.max_delay);
        let ready = self.queue.next_ready(last_run).unwrap_or(latest);
        latest.min(ready).max(soonest)
    }

    /// Queues a task.
    ///
    /// # Errors
    /// As [`TaskQueue::queue`].
    pub fn queue(&mut self, task: QueuedTask) -> Result<(), QueueError> {
        self.queue.queue(task)?;
        self.changed = true;
        Ok(())
    }

    /// Adds a lease for the next run.
    pub fn add_lease(&mut self, lease: Lease) {
        self.leases.push(lease);
        self.changed = true;
    }

    /// Notes a task that runs on a host already, as after a restart.
    ///
    /// # Errors
    /// As [`TaskQueue::note_running`].
    pub fn note_running(&mut self, task: QueuedTask, host: &HostId) -> Result<(), QueueError> {
        let request = task.request.clone();
        self.queue.note_running(task)?;
        self.scheduler.task_assigned(&request, host);
        Ok(())
    }

    /// Takes a task out of the queue and off its host; gives its state before.
    pub fn remove(&mut self, task: &TaskId) -> Option<TaskState> {
        let state = self.queue.remove(task)?;
        if let Some(host) = self.scheduler.running_on(task).cloned() {
            self.scheduler.task_unassigned(task, &host);
        }
        self.changed = true;
        Some(state)
    }

    /// Passes a queued task over until a time. False if it is not queued.
    pub fn set_ready_at(&mut self, task: &TaskId, ready_at: Time) -> bool {
        let known = self.queue.set_ready_at(task, ready_at);
        self.changed |= known;
        known
    }

    /// Promises something to the buckets of a tier: see [`TaskQueue::set_sla`].
    ///
    /// # Errors
    /// If the tier does not exist.
    pub fn set_sla(&mut self, tier: usize, sla: Option<TierSla>) -> Result<(), QueueError> {
        self.queue.set_sla(tier, sla)?;
        self.changed = true;
        Ok(())
    }

    /// The queue, to look at.
    #[must_use]
    pub fn tasks(&self) -> &TaskQueue {
        &self.queue
    }

    /// The scheduler, for what concerns hosts: disabling, active groups, limits. The next run sees it.
    pub fn scheduler(&mut self) -> &mut TaskScheduler {
        self.changed = true;
        &mut self.scheduler
    }
}
