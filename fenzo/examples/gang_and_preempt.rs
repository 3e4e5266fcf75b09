//! A gang that is placed as a whole, and a plan of whom to end so that an urgent task fits.
//!
//! Run it with `cargo run -p fenzo --example gang_and_preempt`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    BuildError, Gang, Lease, Preemptible, Resources, TaskClass, TaskRequest, TaskScheduler, Time,
};

fn tasks(name: &str, count: usize, cpus: u64) -> Vec<TaskRequest> {
    let class = Arc::new(TaskClass::new(name, Resources::cpus_mem(cpus, 1000)));
    (0..count).map(|task| TaskRequest::new(format!("{name}-{task}"), &class)).collect()
}

fn main() -> Result<(), BuildError> {
    let mut scheduler = TaskScheduler::builder().build()?;
    let leases = (0..3)
        .map(|n| Lease::new(format!("o{n}"), format!("agent-{n}"), Resources::cpus_mem(4, 4000)));

    // Four workers of four cpus do not fit on three hosts; six of two cpus do, of which four are enough.
    let gangs = [Gang::all(tasks("large", 4, 4)), Gang::at_least(4, tasks("medium", 8, 2))];
    let result = scheduler.schedule_gangs(Time::ZERO, &gangs, leases.collect());
    println!("{} tasks placed", result.placed());
    for failure in &result.failures {
        let gang = failure.gang.map_or(String::new(), |gang| format!("{gang}: "));
        println!("{} not placed: {gang}{}", failure.tasks.len(), failure.explanation);
    }

    // Now the cluster is full. Whom would an urgent task displace?
    let mut running = Vec::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            scheduler.task_launched(task, &assignment.host);
            let lost_work = 100 * (running.len() as u64 + 1);
            running.push(Preemptible { task: task.request.id.clone(), priority: 1, lost_work });
        }
    }
    let urgent = &tasks("urgent", 1, 3)[0];
    match scheduler.preemption_plan(urgent, 5, &running, &BTreeMap::new()) {
        Some(plan) => println!(
            "end {:?} on {}: {} units of work are lost",
            plan.tasks, plan.host, plan.lost_work
        ),
        None => println!("nothing that may be ended makes room"),
    }
    Ok(())
}
