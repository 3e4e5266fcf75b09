//! Resident memory: an idle master, an idle agent with its supervisor, a million queued tasks.

use crate::cluster::{Cluster, Http, memory};
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [10_000, 100_000, 300_000, 1_000_000];

/// From its start on, until a cluster counts as idle.
const IDLE: Duration = Duration::from_secs(3);
/// Units that run before the components are looked at again.
const RUN: usize = 1_000;

/// Prints megabytes (10^6 bytes).
pub(crate) fn run() {
    let cluster = Cluster::start("cpus:2;mem:4096", &[]);
    std::thread::sleep(IDLE);
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let of = |name: &str| {
        let processes = cluster.processes();
        let pid = processes.iter().find(|(what, _)| what == name).map(|(_, pid)| *pid);
        memory(pid.unwrap_or_else(|| panic!("no process {name}: {processes:?}")))
    };
    let print = || {
        for name in ["master", "agent", "supervise", "jobs"] {
            let (rss, pss) = of(name);
            println!("  {name:<9} {:>6.1} MB ({:.1})", mb(rss), mb(pss));
        }
    };
    println!("memory, idle (resident; in brackets with shared pages divided among their users):");
    print();
    let (empty, _) = of("jobs");
    let address = cluster.jobs();
    let mut http = Http::connect(&address);
    let spec = format!(
        r#"{{"kind":"batch","name":"run","array":{RUN},"task":{{"exec":["/bin/true"],"cpus":0.1,"mem":8}}}}"#
    );
    let answer = http.post("/v1/jobs?format=json&token=run&wait=120", &spec);
    assert_eq!(answer["job"]["state"], "succeeded", "{answer}");
    println!("memory, after {RUN} tasks:");
    print();
    println!("memory, jobs with units that wait:");
    for size in SIZES {
        // More than half of the agent each, for ever: one runs, the rest waits.
        let spec = format!(
            r#"{{"kind":"batch","name":"q{size}","array":{size},"task":{{"exec":["/bin/sleep","100000"],"cpus":1.2,"mem":8}}}}"#
        );
        let start = Instant::now();
        let answer = http.post(&format!("/v1/jobs?format=json&token=q{size}"), &spec);
        let took = start.elapsed().as_secs_f64() * 1e3;
        let id = answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let (rss, _) = of("jobs");
        println!(
            "  {size:>9} units: {:>6.1} MB, {:.0} bytes each; accepted in {took:.1} ms",
            mb(rss),
            rss.saturating_sub(empty) as f64 / size as f64
        );
        http.post(&format!("/v1/jobs/{id}/kill"), "");
        http.get(&format!("/v1/jobs/{id}/wait?until=ended&timeout=120"));
    }
}
