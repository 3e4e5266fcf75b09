//! What readers cost: calls of a framework, alone and while ten clients read the whole state of a
//! big cluster in a loop; and, as the floor, while the same ten clients read the same bytes from a
//! server that does nothing else.
//!
//! Everything shares one machine: the master, a process with the agents and the calling framework,
//! a process with the readers, and that of the floor. Readers run once as if they were elsewhere
//! (only when no other thread wants a processor) and once as processes like any other.

pub(crate) mod agents;
mod caller;
pub(crate) mod floor;
mod http;
pub(crate) mod memory;
pub(crate) mod readers;
mod threads;

use crate::stats;
use agents::{AGENTS, TASKS};
use floor::Floor;
use readers::{Priority, READERS, Readers, Tally};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATH: &str = "/state";
const PHASE: Duration = Duration::from_secs(5);
/// Readers read for so long before anything is measured: what may be spent at once is spent then.
const WARM_UP: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;
/// Smaller clusters, for the growth.
const SMALLER: [u32; 3] = [AGENTS / 8, AGENTS / 4, AGENTS / 2];

/// A master with agents and their tasks.
struct Cluster {
    master: Master,
    place: tempfile::TempDir,
    /// Carries the agents.
    _runtime: tokio::runtime::Runtime,
}

impl Cluster {
    fn start(agents: u32) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let port = 17_050;
        let address = format!("127.0.0.1:{port}");
        let own = std::env::current_exe().expect("a process has a program");
        let master = Command::new(own.with_file_name("tepui"))
            .args(["master", "--listen", &address, "--agent-timeout", "3600", "--data"])
            .arg(place.path().join("master"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let master = Master { process: master.expect("tepui starts"), address, agents };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let begin = Instant::now();
        runtime.block_on(agents::register_all(&master.address, agents));
        let tasks = master.tasks();
        println!("{agents} agents, each with a connection of its own, and {tasks} tasks:");
        println!("  all registered after {:.1} s", begin.elapsed().as_secs_f64());
        Self { master, place, _runtime: runtime }
    }
}

/// Prints percentiles in milliseconds, and the ratios.
pub(crate) fn run() {
    // While readers read, by size.
    let mut growth: Vec<(f64, f64)> = SMALLER.iter().map(|&size| small(size)).collect();
    let Cluster { master, place, _runtime } = Cluster::start(AGENTS);
    master.print_memory();
    println!("  reads: GET {PATH}, {READERS} readers in a loop:");
    let file = place.path().join("state");
    let state = master.read_state();
    println!("  one read alone: {} MB in {:.0} ms", state.0.len() >> 20, state.1 * 1e3);
    std::fs::write(&file, &state.0).expect("TMPDIR works");
    drop(state);
    let p99 = measure(&master, &Floor::start(&file));
    growth.push((f64::from(AGENTS), p99));
    println!(
        "  growth of the p99 beside readers elsewhere, from {} agents on: {:.2}",
        SMALLER[0],
        stats::growth_exponent(&growth)
    );
    master.print_memory();
}

/// The 99th percentile in a smaller cluster beside its readers, and its agents.
fn small(agents: u32) -> (f64, f64) {
    let Cluster { master, .. } = &Cluster::start(agents);
    let state = master.read_state();
    println!("  one read alone: {} MB in {:.0} ms", state.0.len() >> 20, state.1 * 1e3);
    master.phase("alone", None);
    let readers = Readers::start(&master.address, PATH, Priority::Elsewhere);
    let (p99, _) = master.phase("readers of the master, Elsewhere", Some(readers));
    (f64::from(agents), p99)
}

/// The master under test; it ends with this value.
struct Master {
    process: Child,
    address: String,
    /// That register with it.
    agents: u32,
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Master {
    /// Tasks of its agents.
    fn tasks(&self) -> u32 {
        self.agents * (TASKS / AGENTS)
    }

    fn print_memory(&self) {
        let (rss, _) = crate::cluster::memory(self.process.id());
        println!("  memory of the master: {:.0} MB", rss as f64 / 1e6);
    }

    /// The state, and how long it took in seconds; checked to have everything in it.
    fn read_state(&self) -> (Vec<u8>, f64) {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(&self.address).expect("the master listens");
        write!(stream, "GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n").expect("the master reads");
        let mut stream = BufReader::with_capacity(256 * 1024, stream);
        let head = http::head(&mut stream).expect("the master answers");
        let mut all = Vec::new();
        let read = http::body(&mut stream, &head, |part| all.extend_from_slice(part));
        read.expect("the answer is whole");
        let took = begin.elapsed().as_secs_f64();
        let state: serde_json::Value = serde_json::from_slice(&all).expect("it is JSON");
        let count = |list: &serde_json::Value| list.as_array().map_or(0, Vec::len);
        assert_eq!(count(&state["slaves"]), self.agents as usize);
        let tasks: usize = state["frameworks"].as_array().map_or(0, |frameworks| {
            frameworks.iter().map(|framework| count(&framework["tasks"])).sum()
        });
        assert_eq!(tasks, self.tasks() as usize);
        (all, took)
    }

    /// Calls while `readers` read, and what they read.
    fn phase(&self, what: &str, readers: Option<Readers>) -> (f64, Option<Tally>) {
        if readers.is_some() {
            std::thread::sleep(WARM_UP);
        }
        let before = threads::of(self.process.id());
        let calls = caller::call_for(&self.address, PHASE);
        let after = threads::of(self.process.id());
        let tally = readers.map(Readers::stop);
        let of = |part| stats::percentile(&calls, part);
        println!(
            "  {what}: {} calls, p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, worst {:.2} ms",
            calls.len(),
            stats::median(&calls),
            of(0.99),
            of(0.999),
            of(1.0)
        );
        let used = threads::between(&before, &after).into_iter().map(|thread| {
            let share = |seconds: f64| seconds * 100.0 / PHASE.as_secs_f64();
            let wait = thread.waited * 1e6 / thread.turns.max(1.0);
            format!("{} {:.0} % (a turn waits {wait:.0} us)", thread.name, share(thread.ran))
        });
        println!("    master's threads: {}", used.collect::<Vec<_>>().join(", "));
        if let Some(tally) = tally {
            println!(
                "    meanwhile {} whole reads, {} failed, {:.0} MB/s, clients used {:.0} % of a processor",
                tally.reads,
                tally.failed,
                rate(&tally) / 1e6,
                tally.cpu_seconds * 100.0 / (WARM_UP + PHASE).as_secs_f64()
            );
        }
        (of(0.99), tally)
    }
}

/// Bytes a second.
fn rate(tally: &Tally) -> f64 {
    tally.bytes as f64 / (WARM_UP + PHASE).as_secs_f64()
}

/// The 99th percentiles of some phases.
#[derive(Default)]
struct Figures {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

/// The median of the 99th percentiles beside readers that give way.
fn measure(master: &Master, floor: &Floor) -> f64 {
    let mut alone = Vec::new();
    let (mut elsewhere, mut beside) = (Figures::default(), Figures::default());
    for _ in 0..ROUNDS {
        alone.push(master.phase("alone", None).0);
        round(master, floor, Priority::Elsewhere, &mut elsewhere);
    }
    alone.push(master.phase("alone", None).0);
    round(master, floor, Priority::Beside, &mut beside);
    alone.push(master.phase("alone", None).0);
    let base = stats::median(&alone);
    println!("  p99 alone: {base:.3} ms (median of {})", alone.len());
    for (what, figures) in [
        ("readers elsewhere (SCHED_IDLE)", &elsewhere),
        ("readers beside it (same priority)", &beside),
    ] {
        println!(
            "  {what}: p99 of p99 alone: {:.2}; floor, the same bytes at the same rate from a trivial server: {:.2}",
            stats::median(&figures.ours) / base,
            stats::median(&figures.floor) / base
        );
    }
    stats::median(&elsewhere.ours)
}

fn round(master: &Master, floor: &Floor, priority: Priority, figures: &mut Figures) {
    let readers = Readers::start(&master.address, PATH, priority);
    let (p99, tally) = master.phase(&format!("readers of the master, {priority:?}"), Some(readers));
    figures.ours.push(p99);
    let rate = tally.as_ref().map_or(0.0, rate);
    let readers = Readers::start(&floor.address, &format!("/{rate:.0}"), priority);
    let (p99, _) = master.phase(&format!("floor, {priority:?}"), Some(readers));
    figures.floor.push(p99);
}
