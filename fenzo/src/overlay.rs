//! Trial placements on top of the live state: what would be placed if some things were different.
//!
//! Nothing is copied. What is different is done to the live state, the tasks are placed, and all of it is taken
//! back; the state is as before afterwards, whatever the answer.

use std::collections::BTreeMap;

use crate::cluster::Running;
use crate::cluster::said::Said;
use crate::device::DeviceUse;
use crate::id::{HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::pass::{self, Bounds};
use crate::request::TaskRequest;
use crate::resources::{PortRange, Resources};
use crate::result::SchedulingResult;
use crate::scheduler::TaskScheduler;

/// What is different, for one question.
///
/// ```
/// # use std::sync::Arc;
/// # use fenzo::{Lease, Resources, TaskClass, TaskRequest, TaskScheduler, Time};
/// let mut scheduler = TaskScheduler::builder().build()?;
/// let class = Arc::new(TaskClass::new("job", Resources::cpus_mem(4, 100)));
/// scheduler.task_assigned(&TaskRequest::new("old", &class), &"h1".into());
/// scheduler.schedule_once(Time::ZERO, &[], vec![Lease::new("o1", "h2", Resources::cpus_mem(4, 100))]);
///
/// // Would two more fit if the old one had ended? And if the other host were gone as well?
/// let tasks = ["a", "b"].map(|id| TaskRequest::new(id, &class));
/// let answer = scheduler.overlay().without_task(&"old".into()).place(&tasks);
/// assert_eq!(answer.placed(), 2);
/// let answer =
///     scheduler.overlay().without_task(&"old".into()).without_host(&"h2".into()).place(&tasks);
/// assert_eq!(answer.placed(), 1);
/// # Ok::<(), fenzo::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Overlay<'s> {
    scheduler: &'s mut TaskScheduler,
    leases: Vec<Lease>,
    ended: Vec<TaskId>,
    gone: Vec<HostId>,
}

impl TaskScheduler {
    /// A question with nothing different yet.
    pub fn overlay(&mut self) -> Overlay<'_> {
        Overlay { scheduler: self, leases: Vec::new(), ended: Vec::new(), gone: Vec::new() }
    }

    /// What a run with these tasks and, in addition to what is held, these leases would place and refuse.
    /// Nothing is changed by asking, and nothing is copied: the tasks are placed on the live state and taken
    /// back. Leases whose ids are held already are ignored, and those of disabled and inactive hosts are given
    /// back, as in a run. A question has no time: a host whose disabling has ended counts as disabled until the
    /// next run.
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
        let mut before: BTreeMap<HostId, Option<Said>> = BTreeMap::new();
        let (mut added, mut ignored, mut given_back) = (Vec::new(), Vec::new(), Vec::new());
        for lease in leases {
            let id = lease.id.clone();
            if let Some(problem) = self.unusable(&lease) {
                given_back.push(id.clone());
                ignored.push((id, problem));
                continue;
            }
            let said = || self.cluster.said_of(&lease.host);
            before.entry(lease.host.clone()).or_insert_with(said);
            match self.cluster.add_lease(lease) {
                Ok(()) => added.push(id),
                Err(lease) => ignored.push(lease),
            }
        }
        let (sound, refused) = self.without_refused(tasks);
        let tasks = sound.as_deref().unwrap_or(tasks);
        // A question is answered to its end, however little a run may do.
        let (placements, evaluations) = (usize::MAX, u64::MAX);
        let bounds = Bounds { limits: &self.limits, placements, evaluations, outlook: None };
        let result = pass::what_if(&mut self.cluster, &self.choice, bounds, tasks);
        for lease in &added {
            self.cluster.remove_lease(lease);
        }
        self.say_again(before);
        SchedulingResult { expired: given_back, ignored, refused, ..result }
    }

    fn say_again(&mut self, before: BTreeMap<HostId, Option<Said>>) {
        for (host, said) in before {
            if let Some(said) = said {
                self.cluster.say_again(&host, said);
            }
        }
    }
}

impl Overlay<'_> {
    /// The same with one more lease; one whose id is held is ignored, as in a run.
    #[must_use]
    pub fn with_lease(mut self, lease: Lease) -> Self {
        self.leases.push(lease);
        self
    }

    /// The same with a running task ended, and what it took on offer. A task that does not run is passed over.
    #[must_use]
    pub fn without_task(mut self, task: &TaskId) -> Self {
        self.ended.push(task.clone());
        self
    }

    /// The same without what a host offers; what runs there goes on.
    #[must_use]
    pub fn without_host(mut self, host: &HostId) -> Self {
        self.gone.push(host.clone());
        self
    }

    /// What a run with these tasks would place and refuse.
    pub fn place(self, tasks: &[TaskRequest]) -> SchedulingResult {
        let Self { scheduler, mut leases, ended, gone } = self;
        let mut before: BTreeMap<HostId, Option<Said>> =
            gone.iter().map(|host| (host.clone(), scheduler.cluster.said_of(host))).collect();
        let mut put_back: BTreeMap<HostId, Vec<(TaskId, Running)>> = BTreeMap::new();
        for task in &ended {
            let Some(host) = scheduler.running_on(task).cloned() else { continue };
            let said = || scheduler.cluster.said_of(&host);
            before.entry(host.clone()).or_insert_with(said);
            put_back.entry(host).or_default().extend(scheduler.take_running(task));
        }
        let freed = put_back.iter().map(|(host, tasks)| freed(scheduler, host, tasks));
        // What a run would give back is not worth telling: nobody has offered it.
        leases.extend(freed.filter(|lease| scheduler.is_usable(&lease.host, &lease.attributes)));
        leases.retain(|lease| !gone.contains(&lease.host));
        let mut held: Vec<Lease> = Vec::new();
        for host in &gone {
            held.extend(scheduler.leases_on(host));
            scheduler.cluster.remove_leases_of(host);
        }
        let result = scheduler.what_if(tasks, leases);
        held.sort_by(|one, other| (one.offered_at, &one.id).cmp(&(other.offered_at, &other.id)));
        for lease in held {
            scheduler.hold_again(lease);
        }
        for (host, tasks) in put_back {
            for (id, running) in tasks {
                scheduler.put_running(id, running, &host);
            }
        }
        scheduler.say_again(before);
        result
    }
}

/// What is offered of a host when tasks of it have ended.
fn freed(scheduler: &TaskScheduler, host: &HostId, ended: &[(TaskId, Running)]) -> Lease {
    let id = LeaseId::from(format!("what the end of tasks frees on {host}"));
    let mut lease = Lease::new(id, host.clone(), Resources::default());
    // Where a host has one lease, that is of all that it has, what runs on included.
    let goes_on = scheduler.cluster.is_single_lease().then(|| scheduler.running_at(host));
    let ended = ended.iter().map(|(_, running)| running);
    for running in ended.chain(goes_on.into_iter().flatten()) {
        lease.offered.add(&running.class.demand);
        let ports = running.ports.iter().map(|port| u64::from(*port));
        lease.ports.extend(ports.filter_map(|port| PortRange::new(port, port)));
        lease.devices.extend(running.devices.iter().map(DeviceUse::freed));
    }
    (lease.attributes, lease.sets) = scheduler.attributes_of(host);
    lease
}
