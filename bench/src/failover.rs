//! A master's restart: how long until all agents are back, with all their tasks accounted.
//!
//! The clock starts before the new master is executed (the old one was killed, SIGKILL) and ends
//! when the last agent has the answer that it is known again: its tasks are in the master's tables
//! then, which is checked. All agents come at once, as soon as somebody listens; nobody waits for
//! a back-off. What agents say was made into frames before: that is the work of other machines. The
//! floor is the same bytes over as many streams into a server of our gRPC layer that decodes them,
//! timed in the same way, before the first restart and after each.

use crate::cpu::{self, Used};
use crate::crowd::{Crowd, SHARE};
use crate::master::Master;
use crate::plain::{Plain, listening};
use crate::stats::{growth_exponent, median};
use std::rc::Rc;
use std::time::Instant;
use tokio::task::LocalSet;

/// Agents; with ten tasks each.
const SIZES: [u32; 4] = [5_000, 10_000, 20_000, 40_000];
const TASKS: u32 = 10;
/// Restarts at each size.
const RUNS: usize = 3;

/// What was measured with one number of agents.
#[derive(Default)]
struct Figures {
    /// Seconds, of each run.
    floors: Vec<f64>,
    times: Vec<f64>,
    /// Processor time of the last run: of the server, and of this process, which plays the agents.
    floor_used: (Used, Used),
    used: (Used, Used),
    /// Of the master.
    memory: u64,
}

/// Prints seconds, and the memory of the master.
pub(crate) fn run(sizes: &[u32]) {
    let sizes = if sizes.is_empty() { &SIZES } else { sizes };
    println!(
        "restart of the master, from its exec until all agents are back (medians of {RUNS}; {TASKS} tasks each, {SHARE} agents on a connection):"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        let mut master = Master::start(&["--agent-timeout", "3600"]);
        let crowd = Crowd::new(TASKS);
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for agents in sizes {
            listening(&master.address).await;
            crowd.grow(&master.address, *agents).await;
            let figures = restarts(&mut master, &crowd).await;
            figures.print(*agents, crowd.bytes());
            ours.push((f64::from(*agents), median(&figures.times)));
            floors.push((f64::from(*agents), median(&figures.floors)));
        }
        if sizes.len() > 1 {
            println!(
                "  growth with agents: {:.2}; of the floor {:.2}",
                growth_exponent(&ours),
                growth_exponent(&floors)
            );
        }
    });
}

/// Floor, ours, floor, ours, floor: all at one size. The master runs in the end, and knows nobody
/// but from its registry.
async fn restarts(master: &mut Master, crowd: &Rc<Crowd>) -> Figures {
    let mut figures = Figures::default();
    master.kill();
    figures.floor(crowd).await;
    for _ in 0..RUNS {
        let (before, begin) = (own(), Instant::now());
        master.start_again();
        back(crowd, &master.address).await;
        figures.times.push(begin.elapsed().as_secs_f64());
        figures.used = (cpu::of_threads(master.pid()), cpu::between(&before, &own()));
        figures.memory = master.resident();
        check(master, crowd.len());
        master.kill();
        figures.floor(crowd).await;
    }
    master.start_again();
    figures
}

impl Figures {
    async fn floor(&mut self, crowd: &Rc<Crowd>) {
        let (before, begin) = (own(), Instant::now());
        let plain = Plain::start(grpc::AGENT_LINK_PATH);
        back(crowd, &plain.address).await;
        self.floors.push(begin.elapsed().as_secs_f64());
        self.floor_used = (cpu::of_threads(plain.pid()), cpu::between(&before, &own()));
    }

    fn print(&self, agents: u32, bytes: usize) {
        let floor = |at: Option<&f64>| at.copied().unwrap_or(f64::NAN);
        let (first, last) = (floor(self.floors.first()), floor(self.floors.last()));
        let ours = median(&self.times);
        println!(
            "  {agents:>6} agents, {:>7} tasks: floor {first:.2} s, ours {ours:.2} s, floor {last:.2} s: {:.2} of the floor; {:.1} MB come in, memory of the master {:.1} MB",
            agents * TASKS,
            ours / median(&self.floors),
            bytes as f64 / 1e6,
            self.memory as f64 / 1e6
        );
        let all = |used: &Used| used.values().sum::<f64>();
        let threads: Vec<String> = (self.used.0.iter())
            .filter(|(_, seconds)| **seconds >= 0.01)
            .map(|(thread, seconds)| format!("{thread} {seconds:.2}"))
            .collect();
        println!(
            "    processor time: master {:.2} s ({}), agents {:.2} s; floor: server {:.2} s, agents {:.2} s",
            all(&self.used.0),
            threads.join(", "),
            all(&self.used.1),
            all(&self.floor_used.0),
            all(&self.floor_used.1)
        );
    }
}

fn own() -> Used {
    cpu::of_threads(std::process::id())
}

async fn back(crowd: &Rc<Crowd>, address: &str) {
    listening(address).await;
    crowd.connect(address, 0..crowd.len()).await;
}

/// What came back, by the master's own account.
pub(crate) fn check(master: &Master, agents: u32) {
    let metrics = master.metrics();
    let is = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    // One that has not answered its first ping in time, because all share two processors, is back.
    let back =
        ["active", "suspect"].map(|s| is(&format!("tepui_master_agents{{standing=\"{s}\"}}")));
    assert_eq!(back.iter().sum::<f64>(), f64::from(agents), "agents are missing");
    let tasks = is("tepui_master_tasks{state=\"TASK_RUNNING\"}");
    assert_eq!(tasks, f64::from(agents * TASKS), "tasks are missing");
}
