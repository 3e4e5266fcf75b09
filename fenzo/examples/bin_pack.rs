//! A night's batch on three agents: 20 identical tasks packed, two services spread over zones, one impossible.
//!
//! Run it with `cargo run -p fenzo --example bin_pack`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::sync::Arc;

use fenzo::{
    BuildError, Constraint, Fitness, Lease, Milli, PortRange, Resources, TaskClass, TaskRequest,
    TaskScheduler, Time,
};

fn tasks(name: &str, count: usize, class: TaskClass) -> Vec<TaskRequest> {
    let class = Arc::new(class);
    (0..count).map(|task| TaskRequest::new(format!("{name}-{task}"), &class)).collect()
}

fn main() -> Result<(), BuildError> {
    let mut scheduler = TaskScheduler::builder().fitness(Fitness::cpu_memory_packer()).build()?;

    let agent = |name: &str, zone: &str| {
        let lease = Lease::new(format!("offer-{name}"), name, Resources::cpus_mem(8, 16_384));
        let lease = lease.with_attribute("zone", zone);
        match PortRange::new(31_000, 31_099) {
            Some(ports) => lease.with_ports(ports),
            None => lease,
        }
    };
    let leases = vec![agent("a1", "east"), agent("a2", "west"), agent("a3", "west")];

    let web = TaskClass::new("web", Resources::cpus_mem(1, 1024))
        .with_ports(1)
        .with_hard(Constraint::balanced("zone"))
        .with_soft(Constraint::UniqueHost.soft(1));
    let half_cpu = Resources { cpus: Milli::from_thousandths(500), ..Resources::cpus_mem(0, 1024) };
    let mut requests = tasks("web", 2, web);
    requests.extend(tasks("batch", 20, TaskClass::new("batch", half_cpu)));
    requests.extend(tasks("big", 1, TaskClass::new("big", Resources::cpus_mem(64, 1024))));

    let result = scheduler.schedule_once(Time::ZERO, &requests, leases);
    for assignment in &result.assignments {
        println!("{} takes {} tasks:", assignment.host, assignment.tasks.len());
        for task in &assignment.tasks {
            let score = task.score.combined;
            println!("  {:<9} score {score:.2}, ports {:?}", task.request.id, task.ports);
        }
    }
    for failure in &result.failures {
        println!("{:?}: {}", failure.tasks, failure.explanation);
    }
    println!("{} placed, {} failed", result.placed(), result.failed());
    Ok(())
}
