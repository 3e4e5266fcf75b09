//! A gang that is placed as a whole in one rack, a plan of whom to end so that an urgent task fits, and room that
//! is kept for a large task while small ones pass it.
//!
//! Run it with `cargo run -p fenzo --example gang_and_preempt`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fenzo::{
    Backfill, Gang, Lease, Preemptible, Resources, TaskClass, TaskRequest, TaskScheduler, Time,
    Topology,
};

fn tasks(name: &str, count: usize, cpus: u64) -> Vec<TaskRequest> {
    let class = Arc::new(TaskClass::new(name, Resources::cpus_mem(cpus, 100)));
    (0..count).map(|task| TaskRequest::new(format!("{name}-{task}"), &class)).collect()
}

fn lease(name: &str, agent: usize, cpus: u64) -> Lease {
    Lease::new(format!("{name}-{agent}"), format!("agent-{agent}"), Resources::cpus_mem(cpus, 4000))
        .with_attribute("zone", "east")
        .with_attribute("rack", if agent < 2 { "r1" } else { "r2" })
}

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let mut scheduler = TaskScheduler::builder().backfill(Backfill::default()).build()?;
    let rack = Topology::new(["zone", "rack"]).level("rack").ok_or("the tree has racks")?;

    // Five workers of two cpus fit into no rack of two agents with four each; four do, and so do all others.
    let gangs = [
        Gang::all(tasks("five", 5, 2)).within(rack.clone()),
        Gang::at_least(3, tasks("four", 4, 2)).within(rack),
        Gang::all(tasks("rest", 2, 4)),
    ];
    let leases = (0..4).map(|agent| lease("offer", agent, 4)).collect();
    let result = scheduler.schedule_gangs(Time::ZERO, &gangs, leases);
    for assignment in &result.assignments {
        let names: Vec<&str> =
            assignment.tasks.iter().map(|task| task.request.id.as_str()).collect();
        writeln!(out, "{}: {}", assignment.host, names.join(", "))?;
    }
    for failure in &result.failures {
        let gang = failure.gang.map_or(String::new(), |gang| format!("{gang}: "));
        writeln!(out, "{} not placed: {gang}{}", failure.tasks.len(), failure.explanation)?;
    }

    // Now the cluster is full. Whom would an urgent task displace?
    let mut running = Vec::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            let id = &task.request.id;
            scheduler.task_launched(task, &assignment.host);
            let lost_work = 100 * (running.len() as u64 + 1);
            running.push(Preemptible { task: id.clone(), priority: 1, lost_work });
            scheduler.expect_end(id, Time::from_secs(10 * (running.len() as u64)));
        }
    }
    let urgent = &tasks("urgent", 1, 3)[0];
    match scheduler.preemption_plan(urgent, 5, &running, &BTreeMap::new()) {
        Some(plan) => writeln!(
            out,
            "for an urgent task end {:?} on {}: {} units of work are lost",
            plan.tasks, plan.host, plan.lost_work
        )?,
        None => writeln!(out, "nothing that may be ended makes room")?,
    }

    // One of them ends. A large task waits for the rest of its host; only who is gone by then may pass it.
    scheduler.task_unassigned(&"four-0".into(), &"agent-0".into());
    let small = tasks("small", 2, 2);
    let [quick, slow] = [5, 60].map(Duration::from_secs);
    let queue = [
        tasks("large", 1, 4).remove(0),
        small[0].clone().with_run_time(slow),
        small[1].clone().with_run_time(quick),
    ];
    let result = scheduler.schedule_once(Time::ZERO, &queue, vec![lease("more", 0, 2)]);
    for reservation in &result.reservations {
        let Some(host) = reservation.hosts.first() else { continue };
        writeln!(out, "{} waits for {host}, {}", reservation.tasks[0], reservation.start)?;
    }
    for task in &queue {
        let place = result.host_of(&task.id).map_or("waits".to_owned(), ToString::to_string);
        writeln!(out, "{}: {place}", task.id)?;
    }
    Ok(out)
}
