//! What people get wrong: each mistake is answered at once, with the figures and what to do.

use crate::cluster::{Cluster, program};
use crate::http::post;
use crate::program::tepui;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

fn refused(cluster: &Cluster, spec: &Value) -> String {
    let answer = post(&cluster.jobs_address, "/v1/jobs?format=json", &spec.to_string()).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.body);
    answer.body
}

#[test]
fn a_task_larger_than_any_agent_is_refused_with_the_figures() {
    let cluster = Cluster::start(2, "cpus:2;mem:512", true);
    let spec = json!({
        "kind": "batch", "name": "huge", "task": { "command": "true", "cpus": 64, "mem": 16 },
    });
    let told = refused(&cluster, &spec);
    assert!(told.contains("64") && told.contains('2') && told.contains("cpus"), "{told}");
}

#[test]
fn a_role_that_is_not_the_frameworks_is_refused() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let spec = json!({
        "kind": "batch", "name": "x", "role": "no-such-role", "task": { "command": "true" },
    });
    let told = refused(&cluster, &spec);
    assert!(told.contains("no-such-role"), "{told}");
}

#[test]
fn all_that_is_wrong_with_a_spec_is_told_at_once() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let file = cluster.dir("specs").join("wrong.yaml");
    std::fs::write(
        &file,
        "kind: batch\nname: 'a b'\narray: -1\ncolour: red\ntask: {cpus: -1, mem: x}\n",
    )
    .unwrap();
    let (code, out, err) = cluster.tepui(&["job", "submit", &file.display().to_string()]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for field in ["name", "array", "colour", "task.cpus", "task.mem", "command"] {
        assert!(err.contains(field), "'{field}' is missing: {err}");
    }
}

#[test]
fn an_unknown_job_is_not_found() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    for command in ["show", "kill", "wait", "logs"] {
        let (code, _, err) = cluster.tepui(&["job", command, "no-such-job"]);
        assert_eq!(code, 3, "job {command}: {err}");
        assert!(err.contains("no-such-job"), "job {command}: {err}");
    }
    let (code, _, err) = cluster.tepui(&["why", "no-such-job"]);
    assert_eq!(code, 3, "why: {err}");
}

#[test]
fn without_a_master_each_command_says_so() {
    let master = format!("127.0.0.1:{}", crate::cluster::free_port());
    for words in [&["ps"][..], &["agents"], &["frameworks"], &["job", "ls"], &["why", "x"]] {
        tepui(&[words, &["--master", &master]].concat()).expect(7, &[&master]);
    }
}

#[test]
fn every_listing_is_json_when_asked() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "one", "task": { "command": "true", "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_ended(&id);
    let unit = format!("{id}/0");
    for words in [
        &["ps", "--all"][..],
        &["agents"],
        &["frameworks", "--all"],
        &["job", "ls"],
        &["job", "show", &id],
        &["job", "show", &unit],
        &["job", "wait", &id],
        &["why", &id],
        &["version"],
    ] {
        let (code, out, err) = cluster.tepui(&[words, &["-o", "json"]].concat());
        assert_eq!(code, 0, "{words:?}: {err}");
        let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{words:?}: {e}"));
        assert!(value.is_object() || value.as_array().is_some_and(|all| !all.is_empty()));
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let mut child = Command::new(program())
        .args(["agents", "-o", "json", "--master", &cluster.master_address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_wrong_flag_is_a_usage_error() {
    tepui(&["up", "--agents", "0"]).expect(2, &["--agents"]);
    tepui(&["agent", "--work-dir", "/tmp/x", "--resources", "cpus:-1", "--listen", "127.0.0.1:0"])
        .expect(2, &["cpus:-1", "--resources"]);
    tepui(&["master", "--data", "/tmp/x", "--log", "=,="]).expect(2, &["--log"]);
}
