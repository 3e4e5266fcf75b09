//! Why a task is not placed, and what would place it.
//!
//! Run it with `cargo run -p fenzo --example why`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::sync::Arc;

use fenzo::{
    BuildError, Constraint, Lease, Resources, TaskClass, TaskRequest, TaskScheduler, Time,
};

fn task(name: &str, class: TaskClass) -> TaskRequest {
    TaskRequest::new(name, &Arc::new(class))
}

fn main() -> Result<(), BuildError> {
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
            println!("{}: {why}", task.id);
        }
    }

    // What would help? Ask, and nothing is changed.
    let larger = Lease::new("new", "agent-new", Resources::cpus_mem(16, 16_000));
    let answer = scheduler.what_if(&tasks, vec![larger.with_attribute("zone", "east")]);
    println!("with one more host of 16 cpus in the east, {} of 3 would be placed", answer.placed());
    Ok(())
}
