//! Processor time by process, from /proc: where the time of one task goes.

use crate::cluster::Cluster;
use std::collections::BTreeMap;

/// Seconds of processor time, by what used them.
pub(crate) type Used = BTreeMap<String, f64>;

/// Own time of a process, and that of its children that have ended; all threads, in seconds.
fn times(pid: &str) -> Option<(f64, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let second = rustix::param::clock_ticks_per_second() as f64;
    Some(((ticks(11)? + ticks(12)?) / second, (ticks(13)? + ticks(14)?) / second))
}

/// What this process has used, as the one who spawns, and its children, as the tasks.
pub(crate) fn of_floor() -> Used {
    let (own, children) = times("self").unwrap_or((f64::NAN, f64::NAN));
    Used::from([("supervise".to_owned(), own), ("tasks".to_owned(), children)])
}

/// What the processes of a cluster have used, and its tasks.
pub(crate) fn of_cluster(cluster: &Cluster) -> Used {
    let mut used = Used::new();
    for (name, pid) in cluster.processes() {
        let Some((own, children)) = times(&pid.to_string()) else { continue };
        if name == "supervise" {
            *used.entry("tasks".to_owned()).or_default() += children;
        }
        *used.entry(name).or_default() += own;
    }
    used
}

/// What was used between two looks.
pub(crate) fn between(before: &Used, after: &Used) -> Used {
    let spent = |(name, now): (&String, &f64)| {
        (name.clone(), now - before.get(name).copied().unwrap_or(0.0))
    };
    after.iter().map(spent).collect()
}

/// What the threads of a process have used, by their names.
pub(crate) fn of_threads(pid: u32) -> Used {
    let mut used = Used::new();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return used };
    for thread in threads.flatten() {
        let file = |name: &str| std::fs::read_to_string(thread.path().join(name)).ok();
        // In nanoseconds: what ran, what waited for a processor, and how often.
        let (Some(name), Some(times)) = (file("comm"), file("schedstat")) else { continue };
        let ran = times.split_whitespace().next().and_then(|ran| ran.parse::<f64>().ok());
        *used.entry(name.trim().to_owned()).or_default() += ran.unwrap_or(0.0) / 1e9;
    }
    used
}

/// Prints microseconds a task, ours beside the floor's.
pub(crate) fn print(ours: &Used, tasks: usize, floor: &Used, spawns: usize) {
    let micros = |used: &Used, name: &str, count: usize| {
        used.get(name).map_or(f64::NAN, |seconds| seconds * 1e6 / count as f64)
    };
    println!("  processor time of one task, in microseconds (in brackets: of one at the floor):");
    for (name, what) in [("tasks", "/bin/true itself"), ("supervise", "who spawns it")] {
        let (our, bare) = (micros(ours, name, tasks), micros(floor, name, spawns));
        println!("    {what:<18} {our:>5.0} ({bare:.0})");
    }
    for name in ["agent", "master", "jobs"] {
        println!("    {name:<18} {:>5.0}", micros(ours, name, tasks));
    }
    let (our, bare): (f64, f64) = (ours.values().sum(), floor.values().sum());
    let (our, bare) = (our * 1e6 / tasks as f64, bare * 1e6 / spawns as f64);
    println!("    {:<18} {our:>5.0} ({bare:.0})", "sum");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_what_it_burnt_and_what_its_children_burnt() {
        let before = of_floor();
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"])
            .status();
        assert!(status.unwrap().success());
        let spent = between(&before, &of_floor());
        assert!(spent["tasks"] > 0.01, "{spent:?}");
        assert!(spent["supervise"] >= 0.0, "{spent:?}");
    }
}
