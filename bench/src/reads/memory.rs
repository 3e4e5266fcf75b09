//! Resident memory of a whole master, by its size; and, as the floor, of a server with the same
//! connections, streams and messages that keeps nothing of what it is told.
//!
//! All connections of agents must be carried by the server that is made for them, which the
//! master's metrics say: with others the figures would be those of something else.

use super::agents::{AGENTS, Agents, TASKS};
use crate::cluster::memory;
use crate::master::Master;
use crate::plain::{Plain, listening};
use crate::stats;
use std::time::Duration;

/// Agents with ten tasks each and a connection of their own.
const WITH_TASKS: [u32; 4] = [1_250, 2_500, 5_000, AGENTS];
/// Agents without tasks, with a connection of their own: as many as a process may have open files
/// on most machines, 20,000, which no process can raise.
const WITHOUT: [u32; 4] = [2_500, 5_000, 10_000, 19_500];
/// Registered agents.
const ALL: u32 = 50_000;
/// Agents are silent but for their pings for so long before the memory is looked at again.
const SETTLED: Duration = Duration::from_secs(20);

/// Prints megabytes (10^6 bytes).
pub(crate) fn run() {
    println!(
        "resident memory of a whole master (MB = 10^6 bytes); each agent has a connection of its own"
    );
    println!("floor: a server with the same connections and messages that keeps nothing of them:");
    let each = TASKS / AGENTS;
    let before = floor("floor", Plain::start(grpc::AGENT_LINK_PATH), AGENTS, each);
    println!("{AGENTS} agents with {TASKS} tasks, the last of these:");
    let (ours, _) = grow(&WITH_TASKS, each);
    let after = floor("floor again", Plain::start(grpc::AGENT_LINK_PATH), AGENTS, each);
    let floor_of = |floor| f64::from(AGENTS) * floor / 1e6;
    println!("  the connections are {:.0} and {:.0} MB of it", floor_of(before), floor_of(after));
    floor(
        "for comparison, the general server (hyper, h2)",
        Plain::start(grpc::SCHEDULER_PATH),
        AGENTS,
        each,
    );
    println!("  ours: {:.0} MB", ours / 1e6);
    let widest = WITHOUT[WITHOUT.len() - 1];
    let connection = floor("floor", Plain::start(grpc::AGENT_LINK_PATH), widest, 0);
    println!("agents without tasks:");
    grow(&WITHOUT, 0);
    let (all, connections) = shared(widest);
    let missing = f64::from(ALL - connections);
    println!(
        "  a connection of its own for each would be {:.0} MB more, as the floor has it",
        missing * connection / 1e6
    );
    println!("  ours: {:.0} MB", all / 1e6);
}

fn resident(server: &Plain) -> u64 {
    memory(server.pid()).0
}

/// Of a server that keeps nothing: bytes a connection.
fn floor(what: &str, server: Plain, agents: u32, tasks: u32) -> f64 {
    wait_for(&server.address);
    let empty = resident(&server);
    let mut all = Agents::none();
    all.add(&server.address, 0..agents, agents, tasks);
    let full = resident(&server);
    let each = full.saturating_sub(empty) as f64 / f64::from(agents);
    println!(
        "  {what}: {agents} connections: {:.0} MB, {each:.0} bytes a connection",
        full as f64 / 1e6
    );
    each
}

/// Of a master that grows; bytes at its largest, and the exponent of its growth.
fn grow(sizes: &[u32], tasks: u32) -> (f64, f64) {
    let master = Master::start(&["--agent-timeout", "3600"]);
    wait_for(&master.address);
    let empty = master.resident() as f64;
    let mut agents = Agents::none();
    let (mut points, mut from) = (Vec::new(), 0);
    for &size in sizes {
        agents.add(&master.address, from..size, size - from, tasks);
        check(&master, size, size, size * tasks);
        let resident = master.resident() as f64;
        println!(
            "  {size:>6} agents, {:>6} tasks: {:.0} MB, {:.0} bytes an agent",
            size * tasks,
            resident / 1e6,
            (resident - empty) / f64::from(size)
        );
        points.push((f64::from(size), resident));
        from = size;
    }
    std::thread::sleep(SETTLED);
    let resident = master.resident() as f64;
    let growth = stats::growth_exponent(&points);
    println!(
        "  {} s later: {:.0} MB; growth with agents: {growth:.2} (begins at {:.0} MB)",
        SETTLED.as_secs(),
        resident / 1e6,
        empty / 1e6
    );
    (resident, growth)
}

/// Of a master with all agents, on as many connections as it can have; bytes, and connections.
fn shared(connections: u32) -> (f64, u32) {
    let master = Master::start(&["--agent-timeout", "3600"]);
    wait_for(&master.address);
    let mut agents = Agents::none();
    let (half, rest) = (ALL / 2, connections / 2);
    agents.add(&master.address, 0..half, connections - rest, 0);
    agents.add(&master.address, half..ALL, rest, 0);
    check(&master, ALL, connections, 0);
    std::thread::sleep(SETTLED);
    let resident = master.resident() as f64;
    println!(
        "  {ALL:>6} agents on {connections} connections, {} s later: {:.0} MB",
        SETTLED.as_secs(),
        resident / 1e6
    );
    (resident, connections)
}

fn wait_for(address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(listening(address));
}

/// That all are there, by the master's own account.
fn check(master: &Master, agents: u32, connections: u32, tasks: u32) {
    let metrics = master.metrics();
    let of = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    let active = of("tepui_master_agents{standing=\"active\"}");
    assert_eq!(active, f64::from(agents), "agents are not there");
    let running = of("tepui_master_tasks{state=\"TASK_RUNNING\"}");
    assert_eq!(running, f64::from(tasks), "tasks are not there");
    let by = |server: &str| of(&format!("tepui_master_agent_connections{{server=\"{server}\"}}"));
    let (slim, general) = (by("slim"), by("general"));
    assert!(
        slim == f64::from(connections) && general == 0.0,
        "{general} of {connections} connections of agents are carried by the general server, {slim} by theirs: the machine was too busy for their first requests to come in time"
    );
}
