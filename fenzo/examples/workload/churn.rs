//! A cluster that is kept as full as it is: each round as many tasks end as start.
//!
//! Only the scheduler's runs are timed, as they were for Netflix Fenzo: what this program does between them is
//! not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fenzo::{
    HostId, Lease, PortRange, Resources, SchedulingResult, TaskRequest, TaskScheduler, Time,
};

use crate::generate::{Generator, Tasks, checksum, leases};
use crate::{Options, Stopwatch, hosts_of};

/// The running tasks of a cluster, and what its hosts have left.
struct Running {
    tasks: Vec<(TaskRequest, HostId)>,
    left: BTreeMap<HostId, Lease>,
    returned: Vec<Lease>,
    offers: u64,
}

impl Running {
    fn offer(&mut self, mut lease: Lease, offered: Resources) {
        self.offers += 1;
        lease.id = format!("return-{}", self.offers).into();
        lease.offered = offered;
        self.returned.push(lease);
    }

    /// Notes what a run has placed; what a host has left comes back as one offer.
    fn launch(&mut self, scheduler: &mut TaskScheduler, result: SchedulingResult) {
        for assignment in result.assignments {
            let mut free = Resources::default();
            for lease in &assignment.leases {
                free.add(&self.take_held(lease));
            }
            for task in assignment.tasks {
                free = less(&free, &task.request.class.demand);
                scheduler.task_assigned(&task.request, &assignment.host);
                self.tasks.push((task.request, assignment.host.clone()));
            }
            let lease = self.left[&assignment.host].clone();
            self.offer(lease, free);
        }
    }

    /// What a lease offers is kept under its id for as long as the scheduler may hold it.
    fn take_held(&mut self, lease: &fenzo::LeaseId) -> Resources {
        let key = HostId::from(lease.as_str());
        self.left.remove(&key).expect("a lease in use was offered").offered
    }

    fn hold(&mut self, lease: &Lease) {
        self.left.insert(HostId::from(lease.id.as_str()), lease.clone());
    }

    fn end_one(&mut self, scheduler: &mut TaskScheduler, pick: usize) {
        let (task, host) = self.tasks.swap_remove(pick);
        scheduler.task_unassigned(&task.id, &host);
        let mut lease = self.left[&host].clone();
        lease.ports = PortRange::new(31_999, 31_999).into_iter().collect();
        self.offer(lease, task.class.demand.clone());
    }
}

fn less(from: &Resources, taken: &Resources) -> Resources {
    Resources {
        cpus: from.cpus.saturating_sub(taken.cpus),
        mem: from.mem.saturating_sub(taken.mem),
        disk: from.disk.saturating_sub(taken.disk),
        network: from.network.saturating_sub(taken.network),
        scalars: BTreeMap::new(),
    }
}

/// What some rounds came to; their first few are not counted.
#[derive(Default)]
pub(crate) struct Churned {
    preload: usize,
    placed: usize,
    failed: usize,
    /// How many hosts run tasks at the end.
    hosts_used: usize,
    /// Of the hosts of the tasks that were placed.
    checksum: u64,
    evaluations: u64,
    /// Seconds of the clock and of the processor in all rounds, and of the clock in the median round.
    seconds: f64,
    pub(crate) processor: f64,
    median: f64,
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { preload, placed, failed, hosts_used, checksum, .. } = self;
        let Self { evaluations, seconds, processor, median, .. } = self;
        write!(
            f,
            "preloaded={preload} assigned={placed} unassigned={failed} hosts_used={hosts_used} \
             checksum={checksum:016x} seconds={seconds:.6} cpu_seconds={processor:.6} \
             median_round={median:.6} evaluations={evaluations}",
        )
    }
}

/// Rounds in which `tasks` tasks end and as many start, on a cluster that is `preload` percent full.
pub(crate) fn rounds(
    options: &Options,
    rounds: usize,
    scheduler: &mut TaskScheduler,
    mut tasks: Tasks,
) -> Churned {
    const WARM_UP: usize = 5;
    let leases = leases(options.hosts, options.host_seed);
    let cpus: u64 = leases.iter().map(|lease| lease.offered.cpus.thousandths()).sum();
    let preload = usize::try_from(cpus * options.preload / 100 / 2125).unwrap_or(0);
    let mut running =
        Running { tasks: Vec::new(), left: BTreeMap::new(), returned: Vec::new(), offers: 0 };
    for lease in &leases {
        running.left.insert(lease.host.clone(), lease.clone());
        running.hold(lease);
    }
    let first: Vec<TaskRequest> = tasks.by_ref().take(preload).collect();
    let result = scheduler.schedule_once(Time::ZERO, &first, leases);
    running.launch(scheduler, result);
    let mut generator = Generator(7);
    let mut churned = Churned { preload, ..Churned::default() };
    let (mut rounds_took, mut placed_on) = (Vec::new(), Vec::new());
    for round in 0..rounds + WARM_UP {
        for _ in 0..options.tasks.min(running.tasks.len()) {
            let among = u64::try_from(running.tasks.len()).unwrap_or(u64::MAX);
            let pick = usize::try_from(generator.below(among)).unwrap_or(0);
            running.end_one(scheduler, pick);
        }
        let returned = std::mem::take(&mut running.returned);
        for lease in &returned {
            running.hold(lease);
        }
        let batch: Vec<TaskRequest> = tasks.by_ref().take(options.tasks).collect();
        let stopwatch = Stopwatch::start();
        let result = scheduler.schedule_once(Time::ZERO, &batch, returned);
        let (wall, cpu) = stopwatch.read();
        if round >= WARM_UP {
            churned.seconds += wall;
            churned.processor += cpu;
            churned.placed += result.placed();
            churned.failed += result.failed();
            churned.evaluations += result.evaluations;
            rounds_took.push(wall);
            let host_of = hosts_of(&result);
            placed_on.extend(batch.iter().map(|task| host_of.get(&task.id).copied()));
        }
        running.launch(scheduler, result);
    }
    rounds_took.sort_by(f64::total_cmp);
    churned.checksum = checksum(placed_on.into_iter());
    let used: BTreeSet<&HostId> = running.tasks.iter().map(|(_, host)| host).collect();
    churned.hosts_used = used.len();
    churned.median = rounds_took.get(rounds_took.len() / 2).copied().unwrap_or(0.0);
    churned
}
