//! The scheduler: what it is told, and the run.
//!
//! It owns what it remembers and nothing else. It launches nothing, declines nothing and calls nobody back:
//! what is to be done stands in the result of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::attribute::{AttributeValue, Attributes};
use crate::builder::TaskSchedulerBuilder;
use crate::cluster::{Cluster, Host, Running};
use crate::device::DeviceUse;
use crate::disabled::Disabled;
use crate::gang::Gang;
use crate::id::{GroupName, HostId, LeaseId, TaskId};
use crate::lease::{Lease, SetOffer};
use crate::limit::{Limit, Limits};
use crate::listener::{Listeners, SchedulingEvent};
use crate::packing::ahead::Packing;
use crate::pass::batch::repeated;
use crate::pass::{self, Bounds, Choice};
use crate::quantity::Time;
use crate::queue::{Order, TaskQueue};
use crate::request::{TaskClass, TaskRequest};
use crate::reservation::{Backfill, Outlook, is_active};
use crate::resources::{Resources, union};
use crate::result::{LeaseProblem, Obstacle, PlacedTask, Problem, SchedulingResult, SetUse};
use crate::status::HostStatus;

/// What the builder decided about leases and runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) lease_expiry: Duration,
    pub(crate) reject_limit: Option<u32>,
    pub(crate) batch_size: usize,
    pub(crate) work_limit: u64,
    pub(crate) backfill: Option<Backfill>,
    pub(crate) packing: Packing,
}

/// How many hosts were rejected since when.
#[derive(Clone, Copy, Debug, Default)]
struct Rejections {
    since: Time,
    hosts: u32,
}

/// Places tasks on the hosts whose leases it holds.
///
/// One run at a time: every call takes `&mut self`. Equal calls in equal order give equal results.
#[derive(Debug)]
pub struct TaskScheduler {
    pub(crate) choice: Choice,
    options: Options,
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
    disabled: Disabled,
    /// When running tasks are expected to end, of those of which it was said.
    ends: BTreeMap<TaskId, Time>,
    /// The attribute that names host groups, and the groups that are active.
    active: Option<(String, BTreeSet<AttributeValue>)>,
    /// The hosts of other groups that would offer something, with what they offered last.
    pub(crate) inactive: BTreeMap<HostId, Lease>,
    rejections: Rejections,
    listeners: Listeners,
}

impl TaskScheduler {
    /// A builder with the defaults: any host that fits, the first by name, and leases kept for 120 s.
    #[must_use]
    pub fn builder() -> TaskSchedulerBuilder {
        TaskSchedulerBuilder::default()
    }

    pub(crate) fn new(choice: Choice, options: Options, cluster: Cluster) -> Self {
        Self {
            choice,
            options,
            cluster,
            limits: Limits::default(),
            disabled: Disabled::default(),
            ends: BTreeMap::new(),
            active: None,
            inactive: BTreeMap::new(),
            rejections: Rejections::default(),
            listeners: Listeners::default(),
        }
    }

    /// Adds `leases`, then tries each of `tasks` once, in order, on all hosts that have leases.
    ///
    /// A task goes to the host with the highest score, the smaller name if several have it. A host that gets
    /// tasks hands over all its leases; hosts without tasks keep theirs for later runs, until they expire.
    /// Placed tasks count as running only once [`task_assigned`](Self::task_assigned) says so: what was not
    /// launched needs no undoing.
    ///
    /// A task whose id an earlier one has, or one that runs, is refused and changes nothing.
    pub fn schedule_once(
        &mut self,
        now: Time,
        tasks: &[TaskRequest],
        leases: Vec<Lease>,
    ) -> SchedulingResult {
        let (ignored, mut given_back) = self.add_leases(now, leases);
        let (sound, refused) = self.without_refused(tasks);
        let tasks = sound.as_deref().unwrap_or(tasks);
        let known = (&self.ends, &self.disabled);
        let bounds = bounds(&self.limits, &self.options, now, known, self.active.as_ref());
        let result = match self.options.packing {
            Packing::LookAhead { work } if bounds.outlook.is_none() => {
                pass::ahead::run(&mut self.cluster, &self.choice, bounds, tasks, work)
            }
            Packing::LookAhead { .. } | Packing::InTurn => {
                pass::run(&mut self.cluster, &self.choice, bounds, tasks)
            }
        };
        given_back.extend(self.remove_expired(now));
        let result = SchedulingResult { expired: given_back, ignored, refused, ..result };
        self.listeners.finished(&result);
        result
    }

    /// The same for the tasks of a queue that are ready, in the order that the queue decides. The queue counts
    /// those that are placed as launched; one that is not launched after all is to be removed and queued again.
    /// One that runs is refused and stays in the queue.
    pub fn schedule_queue(
        &mut self,
        now: Time,
        queue: &mut TaskQueue,
        leases: Vec<Lease>,
    ) -> SchedulingResult {
        let (ignored, mut given_back) = self.add_leases(now, leases);
        let tasks = queue.ready(now);
        let running: BTreeSet<usize> = self.running_among(&tasks).collect();
        let refused = running.iter().map(|at| (tasks[*at].id.clone(), Problem::Running)).collect();
        let mut order = Order::new(queue, now);
        let known = (&self.ends, &self.disabled);
        let bounds = bounds(&self.limits, &self.options, now, known, self.active.as_ref());
        let (cluster, choice) = (&mut self.cluster, &self.choice);
        let result = pass::run_queue(cluster, choice, bounds, &tasks, &mut order, &running);
        for task in result.assignments.iter().flat_map(|assignment| &assignment.tasks) {
            queue.placed(&task.request.id);
        }
        given_back.extend(self.remove_expired(now));
        let result = SchedulingResult { expired: given_back, ignored, refused, ..result };
        self.listeners.finished(&result);
        result
    }

    /// The same for gangs, each of which is placed as a whole or not at all. A gang that is given up fails with
    /// the reasons of its first task that found no host, and leaves its room to those that follow. A task that is
    /// refused is not of its gang, which is placed all the same if enough of it are left.
    pub fn schedule_gangs(
        &mut self,
        now: Time,
        gangs: &[Gang],
        leases: Vec<Lease>,
    ) -> SchedulingResult {
        let (ignored, mut given_back) = self.add_leases(now, leases);
        let tasks: Vec<TaskRequest> = gangs.iter().flat_map(|gang| gang.tasks.clone()).collect();
        let problems = self.problems(&tasks);
        let (sound, refused) = without(&tasks, &problems);
        let mut begin = 0;
        let sizes = gangs.iter().map(|gang| {
            let all = begin..begin + gang.tasks.len();
            begin = all.end;
            all.len() - problems.range(all).count()
        });
        let gangs: Vec<(&Gang, usize)> = gangs.iter().zip(sizes).collect();
        let tasks = sound.as_deref().unwrap_or(&tasks);
        let known = (&self.ends, &self.disabled);
        let bounds = bounds(&self.limits, &self.options, now, known, self.active.as_ref());
        let result = pass::run_gangs(&mut self.cluster, &self.choice, bounds, tasks, &gangs);
        given_back.extend(self.remove_expired(now));
        let result = SchedulingResult { expired: given_back, ignored, refused, ..result };
        self.listeners.finished(&result);
        result
    }

    /// Adds leases; gives those that are ignored, and those of hosts that nothing may be placed on.
    fn add_leases(
        &mut self,
        now: Time,
        leases: Vec<Lease>,
    ) -> (Vec<(LeaseId, LeaseProblem)>, Vec<LeaseId>) {
        self.listeners.started(now);
        self.disabled.end_until(now);
        let (mut ignored, mut given_back) = (Vec::new(), Vec::new());
        for lease in leases {
            if let Some(problem) = self.unusable(&lease) {
                given_back.push(lease.id.clone());
                ignored.push((lease.id.clone(), problem));
                if !is_active(self.active.as_ref(), &lease.host, &lease.attributes) {
                    self.inactive.insert(lease.host.clone(), lease);
                }
            } else if let Err(lease) = self.cluster.add_lease(lease) {
                ignored.push(lease);
            }
        }
        (ignored, given_back)
    }

    /// Every host on offer, by name, with all that keeps a task from it as things stand; nothing is against those
    /// that would take it. Costs a look at every host; explanations of a run say the same in short.
    pub fn explain_in_full(&mut self, task: &TaskRequest) -> Vec<(HostId, Vec<Obstacle>)> {
        pass::explain_in_full(&mut self.cluster, &self.choice, &task.class)
    }

    /// Tells that a task was launched on a host, or runs there already (after a restart). Constraints and
    /// fitness see it from the next run on. A task runs in one place: if it was noted on a host before, that
    /// note is dropped and the host given back.
    pub fn task_assigned(&mut self, task: &TaskRequest, host: &HostId) -> Option<HostId> {
        let running = Running::new(&task.class);
        self.cluster.add_task(task.id.clone(), running, host)
    }

    /// The same for a task with its ports, which are not handed out while it runs where a host keeps its lease,
    /// and with what it uses of named sets and of devices.
    pub fn task_launched(&mut self, task: &PlacedTask, host: &HostId) -> Option<HostId> {
        let PlacedTask { request, ports, sets, devices, grown, .. } = task;
        let mut request = request.clone();
        if let Some(granted) = grown {
            let demand = Resources::clone(granted);
            request.class = Arc::new(TaskClass { demand, ..TaskClass::clone(&request.class) });
        }
        self.task_restored(&request, host, ports.clone(), sets.clone(), devices.clone())
    }

    /// The same for a task of which these are remembered from before a restart.
    pub fn task_restored(
        &mut self,
        task: &TaskRequest,
        host: &HostId,
        ports: Vec<u16>,
        sets: Vec<SetUse>,
        devices: Vec<DeviceUse>,
    ) -> Option<HostId> {
        let running = Running { class: task.class.clone(), ports, sets, devices };
        self.cluster.add_task(task.id.clone(), running, host)
    }

    /// Tells that a task no longer runs on a host, however it ended. False, and nothing happens, if it was not
    /// noted as running there.
    pub fn task_unassigned(&mut self, task: &TaskId, host: &HostId) -> bool {
        let known = self.cluster.remove_task(task, host);
        if known {
            self.ends.remove(task);
        }
        known
    }

    /// Tells when a running task is expected to end, in place of what was said before. False, and nothing
    /// happens, if it is not noted as running. It decides when room that is kept for the head of the queue is
    /// expected: see [`Backfill`].
    pub fn expect_end(&mut self, task: &TaskId, end: Time) -> bool {
        let known = self.cluster.running_on(task).is_some();
        if known {
            self.ends.insert(task.clone(), end);
        }
        known
    }

    /// The host a task is noted as running on.
    #[must_use]
    pub fn running_on(&self, task: &TaskId) -> Option<&HostId> {
        self.cluster.running_on(task)
    }

    /// Tells `listener` of each run from now on: when it begins, what it has placed, how it ended. A listener that
    /// panics is not told of that event, and nobody else is concerned.
    pub fn listen<F>(&mut self, listener: F)
    where
        F: FnMut(&SchedulingEvent<'_>) + Send + Sync + 'static,
    {
        self.listeners.add(Box::new(listener));
    }

    /// Drops a lease that its owner has taken back. False if it was not held.
    pub fn expire_lease(&mut self, lease: &LeaseId) -> bool {
        self.cluster.remove_lease(lease)
    }

    /// Gives up all leases of a host: for the caller to decline, unless the host is gone. Running tasks stay
    /// noted.
    pub fn expire_host(&mut self, host: &HostId) -> Vec<LeaseId> {
        self.inactive.remove(host);
        self.cluster.remove_leases_of(host)
    }

    /// Gives up all leases, oldest first: for the caller to decline.
    pub fn expire_all(&mut self) -> Vec<LeaseId> {
        self.cluster.remove_leases_until(Time::from_nanos(u64::MAX))
    }

    /// Places nothing on a host, known or not, until a time, and gives up its leases: for the caller to decline.
    /// Leases that come for it meanwhile are given back, as [`LeaseProblem::HostDisabled`]: so a late offer for a host
    /// that is disabled until the end of time changes nothing. Its name is kept until then, or until it is enabled.
    pub fn disable_host(&mut self, host: &HostId, until: Time) -> Vec<LeaseId> {
        self.disabled.add(host, until);
        self.cluster.remove_leases_of(host)
    }

    /// Ends the disabling of a host. False if it was not disabled.
    pub fn enable_host(&mut self, host: &HostId) -> bool {
        self.disabled.remove(host)
    }

    /// Places only on hosts whose attribute `name` has one of these values, if there are any; with none, on all
    /// hosts again. Gives up the leases of all others: for the caller to decline.
    pub fn set_active_groups(
        &mut self,
        name: impl Into<String>,
        active: BTreeSet<AttributeValue>,
    ) -> Vec<LeaseId> {
        self.active = (!active.is_empty()).then(|| (name.into(), active));
        let active = self.active.as_ref();
        self.inactive.retain(|host, lease| !is_active(active, host, &lease.attributes));
        for host in self.cluster.occupied() {
            let id = self.cluster.names().id(host);
            let leases = self.cluster.leases_of(host);
            let latest = leases.max_by_key(|lease| (lease.offered_at, lease.id.clone()));
            if let Some(lease) = latest
                && !is_active(active, id, &self.cluster.host(host).attributes)
            {
                self.inactive.insert(id.clone(), lease.clone());
            }
        }
        self.cluster.remove_leases_where(|host, attributes| !is_active(active, host, attributes))
    }

    /// Limits what the tasks of a group take in all, from the next run on; gives the limit before. Once any
    /// group has a limit, a group without one gets nothing.
    pub fn set_limit(&mut self, group: impl Into<GroupName>, limit: Limit) -> Option<Limit> {
        self.limits.set(group.into(), limit)
    }

    /// Takes the limit of a group away; gives it.
    pub fn remove_limit(&mut self, group: &GroupName) -> Option<Limit> {
        self.limits.remove(group)
    }

    /// The limit of a group.
    #[must_use]
    pub fn limit(&self, group: &GroupName) -> Option<&Limit> {
        self.limits.get(group)
    }

    /// Ends runs after so many placements from the next one on, in place of what the builder said.
    pub fn set_batch_size(&mut self, placements: usize) {
        self.options.batch_size = placements;
    }

    /// How many leases are held.
    #[must_use]
    pub fn leases_held(&self) -> usize {
        self.cluster.lease_count()
    }

    /// When the oldest unused lease expires: a run at that time gives it back, unless it has reached its limit
    /// of rejections. `None` without leases.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        Some(self.cluster.oldest_lease()?.saturating_add(self.options.lease_expiry))
    }

    /// All hosts with leases or running tasks, in order of name.
    pub fn hosts(&self) -> impl Iterator<Item = HostStatus> + '_ {
        self.cluster.occupied().map(|host| {
            let disabled_until = self.disabled.until(self.cluster.names().id(host));
            HostStatus::new(&self.cluster, host, disabled_until)
        })
    }

    /// The class of a running task, and what it uses of devices.
    pub(crate) fn running_of(&self, task: &TaskId) -> Option<(&TaskClass, &[DeviceUse])> {
        let running = self.cluster.running(task)?;
        Some((&*running.class, &running.devices))
    }

    /// How many ports the leases of a host offer.
    pub(crate) fn free_ports(&self, host: &HostId) -> u64 {
        let host = self.cluster.names().get(host);
        let leases = host.map(|host| self.cluster.leases_of(host));
        let ranges = leases.into_iter().flatten().flat_map(|lease| &lease.ports);
        union(ranges.copied().collect()).iter().map(|range| u64::from(range.count())).sum()
    }

    /// The attributes and the named sets of a host.
    pub(crate) fn attributes_of(&self, host: &HostId) -> (Attributes, Vec<SetOffer>) {
        let host = self.cluster.names().get(host).map(|host| self.cluster.host(host));
        let of = |host: &Host| (host.attributes.clone(), host.offered_sets.clone());
        host.map_or((Attributes::new(), Vec::new()), of)
    }

    /// Takes a running task off its host, to be put back.
    pub(crate) fn take_running(&mut self, task: &TaskId) -> Option<(TaskId, Running)> {
        let running = self.cluster.running(task)?.clone();
        let host = self.cluster.running_on(task)?.clone();
        self.cluster.remove_task(task, &host);
        Some((task.clone(), running))
    }

    /// The tasks that run on a host.
    pub(crate) fn running_at(&self, host: &HostId) -> impl Iterator<Item = &Running> {
        let host = self.cluster.names().get(host);
        let running = host.into_iter().flat_map(|host| self.cluster.running_of(host));
        running.map(|(_, running)| running)
    }

    /// The leases of a host.
    pub(crate) fn leases_on(&self, host: &HostId) -> Vec<Lease> {
        let host = self.cluster.names().get(host);
        host.map_or(Vec::new(), |host| self.cluster.leases_of(host).cloned().collect())
    }

    /// Holds a lease that was held a moment ago.
    pub(crate) fn hold_again(&mut self, lease: Lease) {
        let held = self.cluster.add_lease(lease);
        debug_assert!(held.is_ok(), "a lease that was held can be held");
    }

    pub(crate) fn put_running(&mut self, task: TaskId, running: Running, host: &HostId) {
        self.cluster.add_task(task, running, host);
    }

    pub(crate) fn is_usable(&self, host: &HostId, attributes: &Attributes) -> bool {
        !self.disabled.contains(host) && is_active(self.active.as_ref(), host, attributes)
    }

    /// Why a new lease is given back, if so. One that is held is none.
    pub(crate) fn unusable(&self, lease: &Lease) -> Option<LeaseProblem> {
        let fine = self.is_usable(&lease.host, &lease.attributes) || self.cluster.holds(&lease.id);
        let off = self.disabled.contains(&lease.host);
        (!fine).then_some(if off { LeaseProblem::HostDisabled } else { LeaseProblem::HostInactive })
    }

    /// The tasks that are sound, if some are not, and those that are not.
    pub(crate) fn without_refused(
        &self,
        tasks: &[TaskRequest],
    ) -> (Option<Vec<TaskRequest>>, Vec<(TaskId, Problem)>) {
        without(tasks, &self.problems(tasks))
    }

    /// What is wrong with tasks, by position.
    fn problems(&self, tasks: &[TaskRequest]) -> BTreeMap<usize, Problem> {
        let repeated = repeated(tasks).into_iter().map(|at| (at, Problem::Repeated));
        repeated.chain(self.running_among(tasks).map(|at| (at, Problem::Running))).collect()
    }

    /// The positions of tasks that run already.
    fn running_among(&self, tasks: &[TaskRequest]) -> impl Iterator<Item = usize> {
        let runs = |(_, task): &(usize, &TaskRequest)| self.cluster.running_on(&task.id).is_some();
        tasks.iter().enumerate().filter(runs).map(|(position, _)| position)
    }

    fn remove_expired(&mut self, now: Time) -> Vec<LeaseId> {
        let expiry = u64::try_from(self.options.lease_expiry.as_nanos()).unwrap_or(u64::MAX);
        let Some(bound) = now.as_nanos().checked_sub(expiry) else { return Vec::new() };
        let bound = Time::from_nanos(bound);
        let Some(limit) = self.options.reject_limit else {
            return self.cluster.remove_leases_until(bound);
        };
        if self.rejections.since <= bound {
            self.rejections = Rejections { since: now, hosts: 0 };
        }
        let (leases, hosts) =
            self.cluster.remove_expired_hosts(bound, limit - self.rejections.hosts);
        self.rejections.hosts += hosts;
        leases
    }
}

/// The tasks that have no problem, if some have one, and those that have.
fn without(
    tasks: &[TaskRequest],
    problems: &BTreeMap<usize, Problem>,
) -> (Option<Vec<TaskRequest>>, Vec<(TaskId, Problem)>) {
    if problems.is_empty() {
        return (None, Vec::new());
    }
    let refused = problems.iter().map(|(at, problem)| (tasks[*at].id.clone(), *problem)).collect();
    let sound = |(position, _): &(usize, &TaskRequest)| !problems.contains_key(position);
    let sound = tasks.iter().enumerate().filter(sound).map(|(_, task)| task.clone()).collect();
    (Some(sound), refused)
}

/// What bounds a run at a time.
fn bounds<'a>(
    limits: &'a Limits,
    options: &Options,
    now: Time,
    (ends, disabled): (&'a BTreeMap<TaskId, Time>, &'a Disabled),
    active: Option<&'a (String, BTreeSet<AttributeValue>)>,
) -> Bounds<'a> {
    let outlook =
        options.backfill.map(|backfill| Outlook { backfill, now, ends, disabled, active });
    Bounds { limits, placements: options.batch_size, evaluations: options.work_limit, outlook }
}
