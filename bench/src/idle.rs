//! What a thousand tasks that do nothing cost their agent and its supervisor: memory, processor time
//! (all of them are looked at every second), and the time until a new agent has them all when the
//! old one was killed. Before, the same without a task.

use crate::cluster::{Http, memory};
use crate::parts::{Parts, until};
use crate::{cpu, stats};
use std::time::{Duration, Instant};

const TASKS: u64 = 1_000;
const RESOURCES: &str = "cpus:20;mem:16000";
const TASK: &str = r#"{"exec":["/bin/sleep","100000"],"cpus":0.01,"mem":8}"#;
/// From the last start of something until all is at rest.
const REST: Duration = Duration::from_secs(3);
/// How long processor time is counted: without tasks, and with them.
const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(20);
/// How often the agent is killed.
const KILLS: usize = 5;

/// Prints megabytes (10^6 bytes), shares of a processor, and seconds.
pub(crate) fn run() {
    for (what, options) in [("bare", &["--no-cgroups"][..]), ("with cgroups", &[])] {
        println!("idle, {what}:");
        let mut parts = Parts::start(RESOURCES, options);
        std::thread::sleep(REST);
        show("no task", &parts, SHORT);
        let id = submit(&parts);
        std::thread::sleep(REST);
        show(&format!("{TASKS} tasks"), &parts, LONG);
        let kills: Vec<f64> = (0..KILLS).map(|_| replace(&mut parts, &id)).collect();
        println!(
            "  agent killed {KILLS} times: from the exec of the next until it is registered with all {TASKS}: p50 {:.3} s, worst {:.3} s",
            stats::median(&kills),
            stats::percentile(&kills, 1.0)
        );
        std::thread::sleep(REST);
        show("after that", &parts, SHORT);
        parts.end_job(&id);
    }
}

fn submit(parts: &Parts) -> String {
    let spec = format!(r#"{{"kind":"batch","name":"idle","array":{TASKS},"task":{TASK}}}"#);
    let mut http = Http::connect(&parts.jobs);
    let submitted = http.post("/v1/jobs?format=json&token=idle", &spec);
    let id = submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned();
    until(|| is_as_it_was(parts, &id));
    id
}

/// Kills the agent; all tasks are there after it.
fn replace(parts: &mut Parts, id: &str) -> f64 {
    let took = parts.replace_agent();
    assert!(is_as_it_was(parts, id), "tasks are missing");
    // What they use is told with the next second.
    until(|| {
        let containers = Http::connect(&parts.agent_address).get("/containers");
        containers.as_array().map(Vec::len) == Some(TASKS as usize)
    });
    took
}

/// All tasks run, and each was started once.
fn is_as_it_was(parts: &Parts, id: &str) -> bool {
    let job = Http::connect(&parts.jobs).get(&format!("/v1/jobs/{id}"));
    job["counts"]["running"] == TASKS && job["attempts"] == TASKS
}

fn show(what: &str, parts: &Parts, counted: Duration) {
    let pids = parts.agent_and_supervisor();
    let used = || pids.map(|pid| cpu::of_threads(pid).values().sum::<f64>());
    let (begin, before) = (Instant::now(), used());
    std::thread::sleep(counted);
    let (after, took) = (used(), begin.elapsed().as_secs_f64());
    let percent = |at: usize| (after[at] - before[at]) / took * 100.0;
    let [agent, supervisor] = pids.map(memory);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "  {what}: resident (in brackets with shared pages divided) agent {:.1} ({:.1}) MB, supervisor {:.1} ({:.1}) MB, together {:.1} ({:.1}) MB; of a processor over {took:.0} s: agent {:.2} %, supervisor {:.2} %, together {:.2} %",
        mb(agent.0),
        mb(agent.1),
        mb(supervisor.0),
        mb(supervisor.1),
        mb(agent.0 + supervisor.0),
        mb(agent.1 + supervisor.1),
        percent(0),
        percent(1),
        percent(0) + percent(1)
    );
}
