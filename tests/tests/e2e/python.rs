//! Foreign frameworks: Python on the JSON API.

use crate::cluster::Cluster;
use crate::program::said;
use std::path::{Path, PathBuf};
use std::process::Command;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

fn run(python: &str, name: &str, arguments: &[&str]) -> serde_json::Value {
    let said = said(Command::new(python).arg(script(name)).args(arguments));
    assert_eq!(said.code, 0, "{name} failed: {}\n{}", said.out, said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
#[ignore = "group python: python3"]
fn the_standard_library_is_enough_for_a_framework() {
    let cluster = Cluster::start(1, "cpus:2;mem:512", false);
    let answer = run("python3", "mesos_v1.py", &[&cluster.master_address]);
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["failed_message"], "Command exited with status 3");
}

#[test]
#[ignore = "group python: python3 with pymesos"]
fn an_unchanged_pymesos_sees_200_tasks_finish() {
    let cluster = Cluster::start(1, "cpus:2;mem:2048", false);
    let python = std::env::var("TEPUI_PYTHON").expect("set by the test runner for this group");
    let answer = run(&python, "pymesos_tasks.py", &[&cluster.master_address, "200"]);
    assert_eq!(answer["finished"], 200, "{answer}");
}
