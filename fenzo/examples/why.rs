//! Why a task is not placed, and what would place it.
//!
//! Run it with `cargo run -p fenzo --example why`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use fenzo::{Constraint, Lease, Resources, TaskClass, TaskRequest, TaskScheduler, Time};

fn task(name: &str, class: TaskClass) -> TaskRequest {
    TaskRequest::new(name, &Arc::new(class))
}

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let mut scheduler = TaskScheduler::builder().build()?;
    let lease = |n: u64| {
        Lease::new(format!("o{n}"), format!("agent-{n}"), Resources::cpus_mem(2 + n, 4000))
            .with_attribute("zone", if n < 3 { "east" } else { "west" })
    };
    let wanting = |cpus: u64| TaskClass::new("job", Resources::cpus_mem(cpus, 1000));
    let tasks = [
        task("too-large", wanting(9)),
        task("in-the-east", wanting(5).with_hard(Constraint::equals("zone", "east"))),
        task("nowhere", wanting(1).with_hard(Constraint::equals("zone", "south"))),
    ];
    let result = scheduler.schedule_once(Time::ZERO, &tasks, (0..5).map(lease).collect());
    for task in &tasks {
        if let Some(why) = result.why(&task.id) {
            writeln!(out, "{}: {why}", task.id)?;
            for remedy in &why.remedies {
                writeln!(out, "  it would fit with {remedy}")?;
            }
        }
    }

    // Every host, for the one who wants to know it all.
    for (host, obstacles) in scheduler.explain_in_full(&tasks[1]) {
        let words: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "  {host}: {}",
            if words.is_empty() { "would do".to_owned() } else { words.join("; ") }
        )?;
    }

    // What if? Ask, and nothing is changed.
    let larger = Lease::new("new", "agent-new", Resources::cpus_mem(16, 16_000));
    let overlay = scheduler.overlay().with_lease(larger.with_attribute("zone", "east"));
    let placed = overlay.place(&tasks).placed();
    writeln!(out, "with one more host of 16 cpus in the east, {placed} of 3 would be placed")?;
    Ok(out)
}
