//! A night's batch on three agents: 20 identical tasks packed, two services spread over zones, one that grows
//! into what is left, one impossible.
//!
//! Run it with `cargo run -p fenzo --example bin_pack`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use fenzo::{
    Constraint, Fitness, Lease, Milli, PortRange, Resource, Resources, TaskClass, TaskRequest,
    TaskScheduler, Time,
};

fn tasks(name: &str, count: usize, class: TaskClass) -> Vec<TaskRequest> {
    let class = Arc::new(class);
    (0..count).map(|task| TaskRequest::new(format!("{name}-{task}"), &class)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
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

    // Must: one in each zone. Would rather: one a host.
    let web = TaskClass::new("web", Resources::cpus_mem(1, 1024))
        .with_ports(1)
        .with_hard(Constraint::balanced("zone"))
        .with_soft(Constraint::UniqueHost.soft(1));
    let half_cpu = Resources { cpus: Milli::from_thousandths(500), ..Resources::cpus_mem(0, 1024) };
    // Wants a cpu, and can use up to six.
    let elastic = TaskClass::new("render", Resources::cpus_mem(1, 1024))
        .with_most(Resource::Cpus, Milli::whole(6));
    let mut requests = tasks("web", 2, web);
    requests.extend(tasks("batch", 20, TaskClass::new("batch", half_cpu)));
    requests.extend(tasks("render", 1, elastic));
    requests.extend(tasks("big", 1, TaskClass::new("big", Resources::cpus_mem(64, 1024))));

    let result = scheduler.schedule_once(Time::ZERO, &requests, leases);
    for assignment in &result.assignments {
        writeln!(out, "{} takes {} tasks:", assignment.host, assignment.tasks.len())?;
        for task in
            assignment.tasks.iter().filter(|task| task.request.class.group != "batch".into())
        {
            let (id, cpus) = (&task.request.id, task.granted().cpus);
            writeln!(
                out,
                "  {id}: {cpus} cpus, ports {:?}, score {:.2}",
                task.ports, task.score.combined
            )?;
        }
    }
    for failure in &result.failures {
        writeln!(out, "{:?}: {}", failure.tasks, failure.explanation)?;
    }
    writeln!(out, "{} placed, {} failed", result.placed(), result.failed())?;
    Ok(out)
}
