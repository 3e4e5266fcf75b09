//! A group of hosts grows for tasks that do not fit and shrinks when too many hosts idle.
//!
//! Run it with `cargo run -p fenzo --example autoscale`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fenzo::{
    Autoscaler, Lease, Resources, ScaleAction, ScaleOptions, ScaleRule, TaskClass, TaskRequest,
    TaskScheduler, Time,
};

fn lease(n: usize, offered_at: Time) -> Lease {
    Lease::new(format!("offer-{n}"), format!("agent-{n}"), Resources::cpus_mem(4, 4000))
        .with_attribute("group", "workers")
        .with_offered_at(offered_at)
}

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let mut scheduler = TaskScheduler::builder().build()?;
    let mut autoscaler = Autoscaler::new("group", ScaleOptions::default())?;
    let rule =
        ScaleRule::new("workers", 1, 3).with_sizes(1, 20).with_cool_down(Duration::from_secs(60));
    autoscaler.set_rule(Time::ZERO, rule)?;

    // Two hosts and twenty tasks: eight fit, and twelve need three more hosts.
    let class = Arc::new(TaskClass::new("job", Resources::cpus_mem(1, 1000)));
    let tasks: Vec<_> = (0..20).map(|n| TaskRequest::new(format!("job-{n}"), &class)).collect();
    let result =
        scheduler.schedule_once(Time::ZERO, &tasks, (0..2).map(|n| lease(n, Time::ZERO)).collect());
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            scheduler.task_launched(task, &assignment.host);
        }
    }
    let unplaced: Vec<_> =
        tasks.iter().filter(|task| result.why(&task.id).is_some()).cloned().collect();
    writeln!(out, "{} tasks do not fit", unplaced.len())?;
    tell(&mut out, &autoscaler.decide(Time::ZERO, &mut scheduler, &unplaced))?;

    // An hour later seven hosts idle.
    let now = Time::from_secs(3600);
    scheduler.schedule_once(now, &[], (10..17).map(|n| lease(n, now)).collect());
    tell(&mut out, &autoscaler.decide(now, &mut scheduler, &[]))?;
    Ok(out)
}

fn tell(out: &mut String, actions: &[ScaleAction]) -> std::fmt::Result {
    for action in actions {
        match action {
            ScaleAction::Up { group, hosts } => writeln!(out, "add {hosts} hosts to {group}")?,
            ScaleAction::Down { group, hosts, .. } => {
                writeln!(out, "take {hosts:?} from {group}")?;
            }
        }
    }
    Ok(())
}
