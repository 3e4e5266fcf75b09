//! How a task can end, and what it finds in its environment: as a person sees it in the job.

use crate::cluster::{Cluster, wait_for};
use crate::http::post;
use serde_json::{Value, json};

/// A batch of one unit that is not tried again.
fn once(name: &str, task: Value) -> Value {
    json!({
        "kind": "batch", "name": name, "retry": { "user": 0, "platform": 0 }, "task": task,
    })
}

#[test]
fn an_exit_code_is_recorded() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let unit = cluster.one(&once("three", json!({ "command": "exit 3", "cpus": 0.1 })));
    assert_eq!(unit["outcome"]["name"], "failed", "{unit:#}");
    assert_eq!(unit["outcome"]["exit_code"], 3, "{unit:#}");
}

#[test]
fn a_signal_is_recorded() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let unit = cluster.one(&once("segv", json!({ "command": "kill -SEGV $$", "cpus": 0.1 })));
    assert_eq!(unit["outcome"]["name"], "failed", "{unit:#}");
    assert_eq!(unit["outcome"]["signal"], 11, "{unit:#}");
}

#[test]
fn a_time_limit_is_recorded() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let mut spec = once("slow", json!({ "command": "sleep 1000", "cpus": 0.1 }));
    spec["timeLimit"] = json!("200ms");
    let unit = cluster.one(&spec);
    assert_eq!(unit["outcome"]["name"], "timed_out", "{unit:#}");
}

#[test]
fn a_task_that_ignores_term_is_killed_after_its_grace() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let command = "trap '' TERM; echo deaf; while :; do sleep 1; done";
    let task = json!({ "command": command, "cpus": 0.1, "killGrace": "200ms" });
    let id = cluster.submit(&once("deaf", task));
    cluster.wait_running(&id, 1);
    wait_for("the trap to be set", || (cluster.stdout(&id, 0) == "deaf\n").then_some(()));
    post(&cluster.jobs_address, &format!("/v1/jobs/{id}/kill"), "").unwrap();
    let job = cluster.wait_ended(&id);
    assert_eq!(job["state"], "killed", "{job:#}");
    assert_eq!(job["units_shown"][0]["outcome"]["name"], "killed", "{job:#}");
}

#[test]
fn a_program_that_does_not_exist_fails_as_in_a_shell() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let task = json!({ "exec": ["/no/such/program"], "cpus": 0.1 });
    let unit = cluster.one(&once("absent", task));
    assert_eq!(unit["outcome"]["exit_code"], 127, "{unit:#}");
}

#[test]
fn thread_pools_are_told_how_many_cpus_the_task_has() {
    let cluster = Cluster::start(1, "cpus:2;mem:512", true);
    let command = "echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS \
                   $RAYON_NUM_THREADS $GOMAXPROCS";
    let env = json!({ "GOMAXPROCS": 7 });
    let id = cluster.submit(&once("env", json!({ "command": command, "cpus": 2, "env": env })));
    cluster.wait_ended(&id);
    assert_eq!(cluster.stdout(&id, 0), "2 2 2 2 7\n");
}

#[test]
fn a_unit_knows_its_place() {
    let cluster = Cluster::start(1, "cpus:2;mem:512", true);
    let command = "echo $TEPUI_JOB $TEPUI_INDEX $TEPUI_ATTEMPT $TEPUI_COUNT $TEPUI_TASK";
    let mut spec = once("place", json!({ "command": command, "cpus": 0.1 }));
    spec["array"] = json!(2);
    let id = cluster.submit(&spec);
    cluster.wait_ended(&id);
    assert_eq!(cluster.stdout(&id, 1), format!("{id} 1 0 2 {id}.1.0\n"));
}

#[test]
fn a_user_that_does_not_exist_fails_the_task_with_a_sentence() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let task = json!({ "command": "true", "cpus": 0.1, "user": "nobody-of-this-name" });
    let unit = cluster.one(&once("stranger", task.clone()));
    assert_eq!(unit["outcome"]["exit_code"], 126, "its own fault: {unit:#}");
    let told = unit["message"].as_str().unwrap_or_default();
    assert!(told.contains("nobody-of-this-name"), "{unit:#}");
    // While it waits for another attempt, whoever asks is told how the last one ended.
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "again", "retry": { "user": 1, "platform": 0, "backoff": "10m" },
        "task": task,
    }));
    wait_for("the back-off", || {
        let job = cluster.job(&id)?;
        (job["units_shown"][0]["state"] == "backing_off").then_some(())
    });
    for command in [&["why", &id][..], &["job", "show", &id]] {
        let (code, out, err) = cluster.tepui(command);
        assert_eq!(code, 0, "{command:?}: {err}");
        let told = "attempt 0: failed with exit code 126 (Command could not be started: there is";
        assert!(out.contains(told), "{command:?}: {out}");
    }
}
