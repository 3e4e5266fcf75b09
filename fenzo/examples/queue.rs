//! Two teams share a cluster through a queue with guarantees; a loop without a thread runs it.
//!
//! Run it with `cargo run -p fenzo --example queue`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use fenzo::{
    Lease, QueuedTask, Resources, SchedulingService, ServiceOptions, TaskClass, TaskQueue,
    TaskRequest, TaskScheduler, TierSla, Time,
};

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let scheduler = TaskScheduler::builder().build()?;
    // Tier 0 goes first; in tier 1 two teams share, one of them with three quarters.
    let mut queue = TaskQueue::tiered(2);
    let shares = TierSla::new()
        .with_guarantee("research", Resources::cpus_mem(12, 12_000))
        .with_guarantee("reports", Resources::cpus_mem(4, 4000));
    queue.set_sla(1, Some(shares))?;
    let mut service = SchedulingService::new(scheduler, queue, ServiceOptions::default());

    let class = Arc::new(TaskClass::new("job", Resources::cpus_mem(1, 1000)));
    let task = |name: &str, n: usize| TaskRequest::new(format!("{name}-{n}"), &class);
    for n in 0..20 {
        service.queue(QueuedTask::new(task("research", n), 1, "research"))?;
        service.queue(QueuedTask::new(task("reports", n), 1, "reports"))?;
    }
    service.queue(QueuedTask::new(task("urgent", 0), 0, "operators"))?;
    for n in 0..2 {
        let offered = Resources::cpus_mem(8, 8000);
        service.add_lease(Lease::new(format!("offer-{n}"), format!("agent-{n}"), offered));
    }

    let now = Time::from_secs(1);
    if let Some(result) = service.tick(now) {
        for name in ["urgent", "research", "reports"] {
            let of = |task: &&fenzo::PlacedTask| task.request.id.as_str().starts_with(name);
            let tasks = result.assignments.iter().flat_map(|assignment| &assignment.tasks);
            writeln!(out, "{name}: {} placed", tasks.filter(of).count())?;
        }
    }
    let (waiting, next) = (service.tasks().queued(), service.deadline().as_nanos());
    writeln!(out, "{waiting} wait; tick again at {next} ns")?;
    Ok(out)
}
