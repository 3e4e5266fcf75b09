//! A master's restart: how long until all agents are back, with all their tasks accounted.
//!
//! The clock starts before the new master is executed (the old one was killed, SIGKILL) and ends
//! when the last agent has the answer that it is known again: its tasks are in the master's tables
//! then, which is checked. All agents come at once, as soon as somebody listens; nobody waits for
//! a back-off. What agents say was encoded before: that is the work of other machines. The floor is
//! the same bytes over as many streams into a server of our gRPC layer that decodes them, timed in
//! the same way.

use crate::cpu::{self, Used};
use crate::crowd::{Crowd, SHARE};
use crate::master::Master;
use crate::plain::{Plain, listening};
use crate::stats;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::LocalSet;

/// Agents; with ten tasks each.
const SIZES: [u32; 4] = [5_000, 10_000, 20_000, 40_000];
const TASKS: u32 = 10;
/// Restarts at each size.
const RUNS: usize = 3;

/// Prints seconds, and the memory of the master.
pub(crate) fn run(sizes: &[u32]) {
    let sizes = if sizes.is_empty() { &SIZES } else { sizes };
    println!(
        "restart of the master, from its exec until all agents are back (medians of {RUNS}; {TASKS} tasks each, {SHARE} agents on a connection):"
    );
    let mut points = Vec::new();
    for agents in sizes {
        let seconds = size(*agents);
        points.push((f64::from(*agents), seconds));
    }
    if points.len() > 1 {
        println!("  growth with agents: {:.2}", stats::growth_exponent(&points));
    }
}

/// One size, in a runtime of its own.
fn size(agents: u32) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        let mut master = Master::start(&["--agent-timeout", "3600"]);
        listening(&master.address).await;
        let crowd = Crowd::new(TASKS);
        crowd.grow(&master.address, agents).await;
        let (mut times, mut floors, mut used) = (Vec::new(), Vec::new(), Used::new());
        for _ in 0..RUNS {
            floors.push(floor(&crowd).await);
            master.kill();
            let begin = Instant::now();
            master.start_again();
            times.push(back(&crowd, &master.address, begin).await);
            used = cpu::of_threads(master.pid());
            check(&master, agents);
        }
        let (ours, floor) = (stats::median(&times), stats::median(&floors));
        println!(
            "  {agents:>6} agents, {:>7} tasks: {ours:.2} s; floor {floor:.2} s, ours {:.2} of it; {:.1} MB come in, memory of the master {:.1} MB",
            agents * TASKS,
            ours / floor,
            crowd.bytes() as f64 / 1e6,
            master.resident() as f64 / 1e6
        );
        for (thread, seconds) in used.iter().filter(|(_, seconds)| **seconds >= 0.01) {
            println!("    processor time of the master, {thread}: {seconds:.2} s");
        }
        ours
    })
}

async fn back(crowd: &Rc<Crowd>, address: &str, begin: Instant) -> f64 {
    listening(address).await;
    crowd.connect(address, 0..crowd.len()).await;
    begin.elapsed().as_secs_f64()
}

/// What came back, by the master's own account.
fn check(master: &Master, agents: u32) {
    let metrics = master.metrics();
    let is = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    // One that has not answered its first ping in time, because all share two processors, is back.
    let back =
        ["active", "suspect"].map(|s| is(&format!("tepui_master_agents{{standing=\"{s}\"}}")));
    assert_eq!(back.iter().sum::<f64>(), f64::from(agents), "agents are missing");
    let tasks = is("tepui_master_tasks{state=\"TASK_RUNNING\"}");
    assert_eq!(tasks, f64::from(agents * TASKS), "tasks are missing");
}

async fn floor(crowd: &Rc<Crowd>) -> f64 {
    let begin = Instant::now();
    let plain = Plain::start();
    back(crowd, &plain.address.clone(), begin).await
}
