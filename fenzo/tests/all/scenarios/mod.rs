//! The scenarios of Fenzo's own test-suite that apply here, under their names there, told with our words.

mod autoscale;
mod basic;
mod beyond;
mod constraints;
mod leases;
mod limits;
mod list;
mod packing;
mod plugins;
mod queue;
mod sets;

use std::collections::BTreeSet;
use std::sync::Arc;

use fenzo::{
    Fitness, HostAssignment, HostId, Lease, Milli, PortRange, Resources, SchedulingResult,
    TaskClass, TaskRequest, TaskScheduler, Time,
};

pub(crate) fn scheduler(fitness: Fitness) -> TaskScheduler {
    TaskScheduler::builder().fitness(fitness).build().unwrap()
}

/// A lease of `host` with whole cpus and MB and ten ports, offered at time zero.
pub(crate) fn lease(id: &str, host: &str, cpus: u64, mem: u64) -> Lease {
    Lease::new(id, host, Resources::cpus_mem(cpus, mem)).with_ports(PortRange::new(1, 10).unwrap())
}

/// A class of group `g` with whole cpus and MB.
pub(crate) fn class(cpus: u64, mem: u64) -> TaskClass {
    TaskClass::new("g", Resources::cpus_mem(cpus, mem))
}

pub(crate) fn tasks(name: &str, count: usize, class: TaskClass) -> Vec<TaskRequest> {
    let class = Arc::new(class);
    (0..count).map(|task| TaskRequest::new(format!("{name}{task}"), &class)).collect()
}

pub(crate) fn run(
    scheduler: &mut TaskScheduler,
    tasks: &[TaskRequest],
    leases: Vec<Lease>,
) -> SchedulingResult {
    scheduler.schedule_once(Time::ZERO, tasks, leases)
}

/// Notes every task of a run as running.
pub(crate) fn assign(scheduler: &mut TaskScheduler, result: &SchedulingResult) {
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            scheduler.task_assigned(&task.request, &assignment.host);
        }
    }
}

/// What an assignment leaves of its lease, as the next offer of the host.
pub(crate) fn consumed(id: &str, lease: &Lease, assignment: &HostAssignment) -> Lease {
    let mut left = lease.clone();
    left.id = id.into();
    let mut ports: BTreeSet<u16> =
        lease.ports.iter().flat_map(|range| range.begin()..=range.end()).collect();
    for task in &assignment.tasks {
        let demand = &task.request.class.demand;
        left.offered.cpus = left.offered.cpus.saturating_sub(demand.cpus);
        left.offered.mem = left.offered.mem.saturating_sub(demand.mem);
        for port in &task.ports {
            assert!(ports.remove(port), "port {port} was not on offer");
        }
    }
    let single = |port: u16| PortRange::new(port.into(), port.into()).unwrap();
    left.ports = ports.into_iter().map(single).collect();
    left
}

pub(crate) fn hosts(result: &SchedulingResult) -> Vec<&str> {
    result.assignments.iter().map(|assignment| assignment.host.as_str()).collect()
}

pub(crate) fn host(name: &str) -> HostId {
    name.into()
}

pub(crate) fn thousandths(amount: u64) -> Milli {
    Milli::from_thousandths(amount)
}
