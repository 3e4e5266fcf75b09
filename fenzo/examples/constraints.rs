//! Where tasks may run and where they would rather: zones, one a host, a machine type, a closure.
//!
//! Run it with `cargo run -p fenzo --example constraints`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use fenzo::{
    AttributeValue, Constraint, Fitness, Lease, Measure, Milli, Resources, TaskClass, TaskRequest,
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
    let leases = (0..6).map(|n| {
        Lease::new(format!("offer-{n}"), format!("agent-{n}"), Resources::cpus_mem(8, 16_384))
            .with_attribute("zone", ["east", "west", "north"][n % 3])
            .with_attribute("generation", AttributeValue::whole(if n < 3 { 4 } else { 5 }))
    });

    let small = |name: &str| TaskClass::new(name, Resources::cpus_mem(1, 512));
    // Must: balanced over the zones. Would rather: one a host.
    let web = small("web")
        .with_hard(Constraint::balanced("zone"))
        .with_soft(Constraint::UniqueHost.soft(1));
    // Must: the host to itself, in the east.
    let database = small("database")
        .with_hard(Constraint::equals("zone", "east"))
        .with_hard(Constraint::ExclusiveHost);
    // Must: half of the host free. Asked last, and only of hosts that have passed all else.
    let half_free =
        |_: &TaskClass, host: &fenzo::HostView<'_>| host.free(Measure::Cpus) >= Milli::whole(4);
    let burst = small("burst").with_hard(Constraint::custom("half free", half_free));

    let mut requests = tasks("database", 1, database);
    requests.extend(tasks("web", 6, web));
    requests.extend(tasks("burst", 2, burst));
    let result = scheduler.schedule_once(Time::ZERO, &requests, leases.collect());
    for assignment in &result.assignments {
        let names: Vec<&str> =
            assignment.tasks.iter().map(|task| task.request.id.as_str()).collect();
        writeln!(out, "{}: {}", assignment.host, names.join(", "))?;
    }
    for failure in &result.failures {
        writeln!(out, "not placed: {:?}: {}", failure.tasks, failure.explanation)?;
    }
    Ok(out)
}
