//! One task on an idle cluster: submit to FINISHED at the framework; the same with a million queued.

use crate::cluster::{Cluster, Http};
use crate::{floor, stats};
use std::time::Instant;

/// Sequential submits.
const COUNT: usize = 1_000;
/// Units that wait meanwhile, in the second part.
const QUEUED: usize = 1_000_000;

/// Prints percentiles in milliseconds.
pub(crate) fn run() {
    let before = floor::spawn_rate(2_000, 1);
    let cluster = Cluster::start("cpus:2;mem:4096", &["--no-cgroups"]);
    let jobs = cluster.jobs();
    let idle = submits(&jobs, "idle");
    let mut http = Http::connect(&jobs);
    // Each wants more than half of the agent for ever: one runs, the rest waits.
    let spec = format!(
        r#"{{"kind":"batch","name":"queued","array":{QUEUED},"task":{{"exec":["/bin/sleep","100000"],"cpus":1.2,"mem":8}}}}"#
    );
    let start = Instant::now();
    let submitted = http.post("/v1/jobs?format=json&token=queued", &spec);
    let took = start.elapsed().as_secs_f64() * 1e3;
    let id = submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned();
    http.get(&format!("/v1/jobs/{id}/wait?until=started&timeout=60"));
    let busy = submits(&jobs, "busy");
    http.post(&format!("/v1/jobs/{id}/kill"), "");
    drop(cluster);
    let after = floor::spawn_rate(2_000, 1);
    println!("latency: one spawn takes {:.2} ms before, {:.2} ms after", 1e3 / before, 1e3 / after);
    print("idle cluster", &idle);
    println!("  an array of {QUEUED} was accepted in {took:.1} ms");
    print("a million queued", &busy);
}

fn print(what: &str, samples: &[f64]) {
    println!(
        "  {what}: submit to FINISHED p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms ({} submits)",
        stats::percentile(samples, 0.5),
        stats::percentile(samples, 0.9),
        stats::percentile(samples, 0.99),
        samples.len()
    );
}

fn submits(address: &str, name: &str) -> Vec<f64> {
    let mut http = Http::connect(address);
    let mut one = |number: usize| {
        let spec = format!(
            r#"{{"kind":"batch","name":"{name}-{number}","task":{{"exec":["/bin/true"],"cpus":0.1,"mem":16}}}}"#
        );
        let start = Instant::now();
        let path = format!("/v1/jobs?format=json&wait=30&token={name}-{number}");
        let answer = http.post(&path, &spec);
        let took = start.elapsed().as_secs_f64() * 1e3;
        assert_eq!(answer["job"]["state"], "succeeded", "{answer}");
        took
    };
    // The first ones pay for pages, caches and connections.
    (0..50).for_each(|number| {
        one(COUNT + number);
    });
    (0..COUNT).map(one).collect()
}
