//! A task that prints as fast as it can: what of it is kept, what agent and supervisor take of a
//! processor for it, and how long other tasks take to start beside it. Before, the same without it.

use crate::cluster::Http;
use crate::framework::block_on;
use crate::parts::{Parts, until};
use crate::{cpu, running, stats};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Launches that are timed, fewer if they take long.
const LAUNCHES: usize = 500;
/// From the flood's start until its log has been cut off more often than parts are kept.
const FULL: Duration = Duration::from_secs(10);
/// How long the floor is looked at.
const FLOOR: Duration = Duration::from_secs(3);
/// Between two looks at what is kept.
const LOOK: Duration = Duration::from_millis(20);
/// What is kept of one stream unless an operator says otherwise: eleven parts, and a line each.
const RING: f64 = 11.0 * 16.8;
const SPEC: &str = r#"{"kind":"batch","name":"flood","array":1,"task":{"exec":["/bin/cat","/dev/zero"],"cpus":0.5,"mem":64}}"#;

/// Prints megabytes (10^6 bytes), milliseconds and shares of a processor.
pub(crate) fn run() {
    println!("flood, with cgroups: one task prints zeros without end");
    println!("  floor, a pipe of which all is read and nothing kept: {:.0} MB/s", floor());
    let parts = Parts::start("cpus:2;mem:4096", &[]);
    show("alone", &parts);
    let mut http = Http::connect(&parts.jobs);
    let submitted = http.post("/v1/jobs?format=json&token=flood", SPEC);
    let id = submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned();
    until(|| Http::connect(&parts.jobs).get(&format!("/v1/jobs/{id}"))["counts"]["running"] == 1);
    std::thread::sleep(FULL);
    show("beside the flood", &parts);
    parts.end_job(&id);
    println!("  floor again: {:.0} MB/s", floor());
}

/// MB a second from `/dev/zero` by a process and a pipe to one who reads.
fn floor() -> f64 {
    let mut command = Command::new("/bin/cat");
    let mut child =
        command.arg("/dev/zero").stdout(Stdio::piped()).spawn().expect("there is a cat");
    let mut pipe = child.stdout.take().expect("it is piped");
    let (begin, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 64 << 10]);
    while begin.elapsed() < FLOOR {
        bytes += pipe.read(&mut buffer).expect("a pipe can be read");
    }
    // Fails only if it is gone, which `wait` tells.
    let _ = child.kill();
    let _ = child.wait();
    bytes as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

fn show(what: &str, parts: &Parts) {
    let pids = parts.agent_and_supervisor();
    let used = || pids.map(|pid| cpu::of_threads(pid).values().sum::<f64>());
    let (begin, before, written) = (Instant::now(), used(), written_by(pids[1]));
    let over = AtomicBool::new(false);
    let (times, most) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| most_kept(parts.place(), &over));
        let times = block_on(running::times(parts, 0, LAUNCHES));
        over.store(true, Ordering::Relaxed);
        (times, looking.join().expect("no panic"))
    });
    let (after, took) = (used(), begin.elapsed().as_secs_f64());
    let percent = |at: usize| (after[at] - before[at]) / took * 100.0;
    let rate = (written_by(pids[1]) - written) / 1e6 / took;
    println!(
        "  {what}, {} launches in {took:.0} s: ACCEPT to TASK_RUNNING p50 {:.2} ms, p99 {:.2} ms; of a processor: agent {:.1} %, supervisor {:.1} %; written {rate:.0} MB/s, in sandboxes at the most {most:.0} MB (a log may have {RING:.0})",
        times.len(),
        stats::percentile(&times, 0.5),
        stats::percentile(&times, 0.99),
        percent(0),
        percent(1),
    );
}

/// Bytes that a process has written, to whatever.
fn written_by(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(f64::NAN)
}

/// The most MB that the sandboxes held at one time.
fn most_kept(place: &Path, over: &AtomicBool) -> f64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(bytes_below(&place.join("agent/sandboxes")));
        std::thread::sleep(LOOK);
    }
    most as f64 / 1e6
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // What is renamed or removed meanwhile is counted under another name, or no more.
    let found = entries.filter_map(|entry| Some((entry.metadata().ok()?, entry.path())));
    found.map(|(found, path)| if found.is_dir() { bytes_below(&path) } else { found.len() }).sum()
}
