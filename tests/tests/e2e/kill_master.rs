//! SIGKILL of the master in the middle of work: tasks do not notice, nothing is lost or run twice.

use crate::cluster::{Cluster, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Units that say when they start and when they end, each in a file of its own.
pub(crate) fn batch(name: &str, units: usize, dir: &Path, seconds: &str) -> Value {
    let command = format!(
        "f={}/$TEPUI_INDEX; echo start >> $f; sleep {seconds}; echo end >> $f",
        dir.display()
    );
    json!({
        "kind": "batch", "name": name, "array": units,
        "retry": { "user": 0, "platform": 0 },
        "task": { "command": command, "cpus": 0.25, "mem": 16 },
    })
}

/// Each unit of `batch` started once and ended once.
pub(crate) fn assert_each_ran_once(dir: &Path, units: usize) {
    for unit in 0..units {
        let told = fs::read_to_string(dir.join(unit.to_string())).unwrap_or_default();
        assert_eq!(told, "start\nend\n", "unit {unit}");
    }
}

/// The job succeeded with exactly one recorded success a unit.
pub(crate) fn assert_all_succeeded(job: &Value, units: usize) {
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(job["counts"]["succeeded"], units, "{job:#}");
    assert_eq!(job["attempt_outcomes"]["succeeded"], units, "{job:#}");
}

/// Waits until at least so many units have succeeded.
pub(crate) fn wait_for_successes(cluster: &Cluster, id: &str, count: u64) {
    wait_for("progress", || {
        let job = cluster.job(id)?;
        (job["counts"]["succeeded"].as_u64()? >= count).then_some(())
    });
}

/// The pids that so many units wrote, each to the file of its number; none until all have.
pub(crate) fn pids_told(dir: &Path, units: u64) -> Option<Vec<u32>> {
    let pid = |unit: u64| {
        let told = fs::read_to_string(dir.join(unit.to_string())).ok()?;
        told.strip_suffix('\n')?.parse().ok()
    };
    (0..units).map(pid).collect()
}

/// Whether the process runs (an ended one that nobody has waited for does not).
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_killed_master_costs_a_batch_nothing() {
    let mut cluster = Cluster::start(2, "cpus:2;mem:1024", true);
    let dir = cluster.dir("told");
    let id = cluster.submit(&batch("sums", 300, &dir, "0.05"));
    for quarter in 1..=3u64 {
        wait_for_successes(&cluster, &id, quarter * 75);
        cluster.master.kill_9();
        cluster.master.again();
    }
    let job = cluster.wait_ended(&id);
    assert_all_succeeded(&job, 300);
    assert_each_ran_once(&dir, 300);
}

#[test]
fn tasks_do_not_notice_that_the_master_is_killed() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:1024", true);
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "service", "name": "web", "replicas": 4,
        "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 4);
    let pids = || pids_told(&dir, 4);
    let before = wait_for("the tasks to tell their pids", pids);
    cluster.master.kill_9();
    cluster.master.again();
    cluster.wait_for_agents(1);
    wait_for("the framework to be back", || {
        let frameworks = cluster.operator("GET_FRAMEWORKS")?;
        (frameworks["get_frameworks"]["frameworks"][0]["connected"] == true).then_some(())
    });
    wait_for("the tasks to be known again", || {
        let tasks = cluster.operator("GET_TASKS")?;
        (tasks["get_tasks"]["tasks"].as_array()?.len() == 4).then_some(())
    });
    // A second line in any file would be a second start.
    assert_eq!(pids().expect("each tells one pid"), before);
    for pid in before {
        assert!(is_alive(pid), "pid {pid} is gone");
    }
    let job = cluster.job(&id).unwrap();
    assert_eq!(job["counts"]["running"], 4, "{job:#}");
    assert_eq!(job["attempts"], 4, "{job:#}");
}
