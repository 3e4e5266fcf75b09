//! ACCEPT to TASK_RUNNING, as a framework sees it: with nothing else to do, beside a stream of
//! launches, and beside as many launches as the machine can make. Bare and with cgroups.
//!
//! On its way are two messages there and two back, two records that are made durable one after the
//! other, and a spawn; one of each is measured in the same run.

use crate::cluster::Http;
use crate::floor;
use crate::framework::{Framework, Program, block_on};
use crate::parts::Parts;
use crate::stats;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Launches that are timed: alone, beside a stream, beside all that the machine can do.
const ALONE: usize = 1_000;
const BESIDE: usize = 500;
const BUSY: usize = 200;
/// A part ends with fewer if they take long.
const PART: Duration = Duration::from_secs(15);
/// The stream: so many programs together, and so often; 500 a second.
const TOGETHER: usize = 10;
const EVERY: Duration = Duration::from_millis(20);
/// Longer than the last part takes.
const MANY: usize = 100_000;
const SLEEP: Program<'_> = Program { words: &["/bin/sleep", "1000"], image: None };
/// As in `bench tasks`: a hundred are under way at once.
const TASK: &str = r#"{"exec":["/bin/true"],"cpus":0.02,"mem":8}"#;

/// Prints milliseconds.
pub(crate) fn run() {
    floors("before");
    for (what, options) in [("bare", &["--no-cgroups"][..]), ("with cgroups", &[])] {
        let parts = Parts::start("cpus:2;mem:4096", options);
        println!("running, {what}: ACCEPT to TASK_RUNNING");
        block_on(measure(&parts));
    }
    floors("after");
}

fn floors(when: &str) {
    let dir = tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
    let [spawn, sync, trip] =
        [floor::spawn_times(), floor::sync_times(dir.path()), floor::round_trip_times()];
    println!(
        "floors {when}, p50 (p99): posix_spawn and wait of /bin/true {:.2} ({:.2}) ms, fdatasync {:.2} ({:.2}) ms, a round trip over loopback {:.2} ({:.2}) ms; sum {:.2} ms",
        spawn[0],
        spawn[1],
        sync[0],
        sync[1],
        trip[0],
        trip[1],
        spawn[0] + sync[0] + trip[0]
    );
}

async fn measure(parts: &Parts) {
    // The first ones pay for pages, caches and connections.
    print("an idle cluster", &times(parts, 50, ALONE).await);
    let stream = Stream::start(&parts.jobs);
    let beside = times(parts, 0, BESIDE).await;
    print(&format!("beside {:.0} launches a second", stream.end()), &beside);
    let (busy, rate) = beside_all(parts).await;
    print(&format!("beside all that it can launch, {rate:.0} a second"), &busy);
}

fn print(beside: &str, samples: &[f64]) {
    println!(
        "  {beside}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms ({} launches)",
        stats::percentile(samples, 0.5),
        stats::percentile(samples, 0.9),
        stats::percentile(samples, 0.99),
        samples.len()
    );
}

/// By a framework of its own: who waits for something else meanwhile reads no events, and is cut off.
pub(crate) async fn times(parts: &Parts, before: usize, count: usize) -> Vec<f64> {
    let mut framework = Framework::subscribe(parts.master()).await;
    for _ in 0..before {
        framework.until_running(SLEEP).await;
    }
    let mut times = Vec::with_capacity(count);
    let begin = Instant::now();
    while times.len() < count && begin.elapsed() < PART {
        times.push(framework.until_running(SLEEP).await);
    }
    framework.teardown().await;
    times
}

/// While one job has more to launch than fits.
async fn beside_all(parts: &Parts) -> (Vec<f64>, f64) {
    let mut http = Http::connect(&parts.jobs);
    let id = submit(&mut http, "all", MANY);
    http.get(&format!("/v1/jobs/{id}/wait?until=started&timeout=60"));
    let done =
        |http: &mut Http| http.get(&format!("/v1/jobs/{id}"))["counts"]["succeeded"].as_u64();
    let (begin, before) = (Instant::now(), done(&mut http));
    let busy = times(parts, 0, BUSY).await;
    let (after, took) = (done(&mut http), begin.elapsed().as_secs_f64());
    let launched = after.zip(before).map_or(f64::NAN, |(after, before)| (after - before) as f64);
    parts.end_job(&id);
    (busy, launched / took)
}

fn submit(http: &mut Http, name: &str, count: usize) -> String {
    let spec = format!(r#"{{"kind":"batch","name":"{name}","array":{count},"task":{TASK}}}"#);
    let submitted = http.post(&format!("/v1/jobs?format=json&token={name}"), &spec);
    submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned()
}

/// Small jobs, one after the other at a steady pace, whether the ones before have ended or not.
struct Stream {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Stream {
    fn start(jobs: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, jobs) = (Arc::clone(&stop), jobs.to_owned());
        let thread = std::thread::spawn(move || submits(&jobs, &stopped));
        Self { stop, thread }
    }

    /// Ends it when all that was submitted has ended, and gives how many were launched a second.
    fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn submits(jobs: &str, stopped: &AtomicBool) -> f64 {
    let mut http = Http::connect(jobs);
    let begin = Instant::now();
    let (mut number, mut last) = (0, String::new());
    while !stopped.load(Ordering::Relaxed) {
        last = submit(&mut http, &format!("stream-{number}"), TOGETHER);
        number += 1;
        std::thread::sleep((begin + EVERY * number).saturating_duration_since(Instant::now()));
    }
    let job = http.get(&format!("/v1/jobs/{last}/wait?until=ended&timeout=60"));
    assert_eq!(job["counts"]["succeeded"], TOGETHER, "{job}");
    TOGETHER as f64 * f64::from(number) / begin.elapsed().as_secs_f64()
}
