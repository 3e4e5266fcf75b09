//! N x `/bin/true` in one batch job, from submit to the last acknowledged FINISHED, between two
//! measurements of the floor.

use crate::cluster::{Cluster, Http};
use crate::{cpu, floor, stats};
use std::time::Instant;

/// Sizes for the growth law, and how often each is run.
const SIZES: [(usize, usize); 4] = [(1_250, 3), (2_500, 3), (5_000, 5), (10_000, 3)];
/// Processes of one measurement of the floor.
const FLOOR: usize = 5_000;
/// The large size is run once: it takes as long as all others together.
const LARGE: usize = 100_000;

/// What one task asks for: so little that a hundred are under way at once. Most of a task's life is
/// spent on its way, so that with as many as there are processors these would mostly be idle.
pub(crate) const TASK: &str = r#""exec":["/bin/true"],"cpus":0.02,"mem":8"#;
pub(crate) const AGENT: &str = "cpus:2;mem:4096";

/// Runs all sizes, bare and with cgroups.
pub(crate) fn run(large: bool) {
    for cgroups in [false, true] {
        let what = if cgroups { "with cgroups" } else { "bare" };
        let floor = || {
            if cgroups {
                floor::cgroup_rate(FLOOR, 8).unwrap_or(f64::NAN)
            } else {
                floor::spawn_rate(FLOOR, 2)
            }
        };
        let unused = cpu::of_floor();
        let before = floor();
        let floor_used = cpu::between(&unused, &cpu::of_floor());
        let options: &[&str] = if cgroups { &[] } else { &["--no-cgroups"] };
        let cluster = Cluster::start(AGENT, options);
        let jobs = cluster.jobs();
        // The first job pays for pages, caches and connections.
        job(&jobs, "warm-up", 500);
        let unused = cpu::of_cluster(&cluster);
        let mut points = Vec::new();
        let mut rates = Vec::new();
        for (size, runs) in SIZES {
            let seconds: Vec<f64> =
                (0..runs).map(|run| job(&jobs, &format!("n{size}-{run}"), size)).collect();
            let median = stats::median(&seconds);
            points.push((size as f64, median));
            rates.push((size, size as f64 / median));
        }
        let used = cpu::between(&unused, &cpu::of_cluster(&cluster));
        if large {
            let seconds = job(&jobs, "large", LARGE);
            points.push((LARGE as f64, seconds));
            rates.push((LARGE, LARGE as f64 / seconds));
        }
        drop(cluster);
        let after = floor();
        let floor = f64::midpoint(before, after);
        println!("tasks, {what}: floor {before:.0}/s before, {after:.0}/s after");
        for (size, rate) in rates {
            println!("  {size:>7} x /bin/true: {rate:>6.0}/s = {:.2} of the floor", rate / floor);
        }
        println!("  growth exponent {:.2}", stats::growth_exponent(&points));
        let tasks = SIZES.iter().map(|(size, runs)| size * runs).sum();
        cpu::print(&used, tasks, &floor_used, FLOOR);
    }
}

/// Submits one array job and waits for its end; gives the seconds.
pub(crate) fn job(address: &str, name: &str, count: usize) -> f64 {
    job_of(address, name, count, TASK)
}

/// The same of tasks with these fields.
pub(crate) fn job_of(address: &str, name: &str, count: usize, task: &str) -> f64 {
    let mut http = Http::connect(address);
    let spec = format!(r#"{{"kind":"batch","name":"{name}","array":{count},"task":{{{task}}}}}"#);
    let start = Instant::now();
    let submitted = http.post(&format!("/v1/jobs?format=json&token={name}"), &spec);
    let id = submitted["id"].as_str().unwrap_or_else(|| panic!("{submitted}")).to_owned();
    loop {
        let job = http.get(&format!("/v1/jobs/{id}/wait?until=ended&timeout=600"));
        if job["ended"].is_null() {
            continue;
        }
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(job["counts"]["succeeded"], count, "{job}");
        return seconds;
    }
}
