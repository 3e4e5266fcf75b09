//! Capacity planning by trial: how many more would fit, how many hosts it would take, what the loss of one
//! would cost. Nothing is changed by asking, and nothing is copied.
//!
//! Run it with `cargo run -p fenzo --example capacity`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "an example shows what it does; the library prints nothing"
)]

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use fenzo::{
    Constraint, HostId, Lease, Resources, TaskClass, TaskId, TaskRequest, TaskScheduler, Time,
};

/// So many are asked for where the question is how many fit.
const MANY: usize = 100;
/// So many new hosts at most are thought of.
const MOST_HOSTS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", report()?);
    Ok(())
}

fn tasks(name: &str, count: usize, class: &Arc<TaskClass>) -> Vec<TaskRequest> {
    (0..count).map(|n| TaskRequest::new(format!("{name}-{n}"), class)).collect()
}

/// Tasks with where they run.
type Running = Vec<(TaskRequest, HostId)>;

/// A cluster of eight hosts in four racks, on each of which two tasks of 3 cpus run.
fn cluster() -> Result<(TaskScheduler, Running), Box<dyn Error>> {
    let mut scheduler = TaskScheduler::builder().build()?;
    let old = Arc::new(TaskClass::new("old", Resources::cpus_mem(3, 1000)));
    let (mut leases, mut running) = (Vec::new(), Vec::new());
    for host in 0..8_u64 {
        let name = HostId::from(format!("agent-{host}"));
        for task in 0..2 {
            let task = TaskRequest::new(format!("old-{host}-{task}"), &old);
            scheduler.task_assigned(&task, &name);
            running.push((task, name.clone()));
        }
        // What they leave of it.
        let free = Resources::cpus_mem(if host < 4 { 2 } else { 5 }, 16_000);
        let lease = Lease::new(format!("o{host}"), name, free);
        leases.push(lease.with_attribute("rack", format!("r{}", host / 2)));
    }
    scheduler.schedule_once(Time::ZERO, &[], leases);
    Ok((scheduler, running))
}

/// What the example prints.
pub(crate) fn report() -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let (mut scheduler, running) = cluster()?;
    let web = TaskClass::new("web", Resources::cpus_mem(1, 500));
    let web = Arc::new(web.with_hard(Constraint::unique_attribute("rack")));
    let train = Arc::new(TaskClass::new("train", Resources::cpus_mem(4, 2000)));

    // How many more of these would fit? Ask for many.
    for (name, class) in [("web", &web), ("train", &train)] {
        let answer = scheduler.what_if(&tasks(name, MANY, class), vec![]);
        write!(out, "{name}: {} more fit now", answer.placed())?;
        let against = answer.failures.first().map(|failure| &failure.explanation.reasons);
        let against: Vec<String> =
            against.into_iter().flatten().map(|(why, hosts)| format!("{hosts} {why}")).collect();
        writeln!(out, ", then {}", against.join(", "))?;
    }

    // How many more hosts would ten of them take?
    let wanted = tasks("train", 10, &train);
    let enough = (0..=MOST_HOSTS).find(|hosts| {
        let host = |n: &usize| {
            Lease::new(format!("new{n}"), format!("new-{n}"), Resources::cpus_mem(16, 64_000))
        };
        scheduler.what_if(&wanted, (0..*hosts).map(|n| host(&n)).collect()).placed() == wanted.len()
    });
    match enough {
        Some(hosts) => {
            writeln!(out, "train: 10 more are wanted; {hosts} more hosts of 16 cpus are enough")?;
        }
        None => writeln!(out, "train: 10 more do not fit on {MOST_HOSTS} more hosts either")?,
    }

    // What if hosts were lost? What ran there has to find room elsewhere.
    for lost in [&["agent-0"][..], &["agent-0", "agent-1", "agent-2"]] {
        let is_lost = |host: &HostId| lost.contains(&host.as_str());
        let homeless = running.iter().filter(|(_, host)| is_lost(host));
        let homeless: Vec<TaskRequest> = homeless.map(|(task, _)| task.clone()).collect();
        let mut overlay = scheduler.overlay();
        for host in lost {
            overlay = overlay.without_host(&HostId::from(*host));
        }
        for task in &homeless {
            overlay = overlay.without_task(&TaskId::clone(&task.id));
        }
        let failed = overlay.place(&homeless).failed();
        let names = lost.join(", ");
        let (whose, count) = (if lost.len() == 1 { "its" } else { "their" }, homeless.len());
        match failed {
            0 => writeln!(out, "without {names}: {whose} {count} tasks would find room elsewhere")?,
            _ => writeln!(
                out,
                "without {names}: {failed} of {whose} {count} tasks would find no room"
            )?,
        }
    }
    let held = scheduler.leases_held();
    writeln!(out, "nothing was changed by asking: {held} leases are held")?;
    Ok(out)
}
