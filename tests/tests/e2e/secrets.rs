//! A task's secrets reach the task, and what is looked at in its place: no log, no answer of an API
//! and no file but the task's own has them.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use crate::http::{get, post};
use proto::{
    Check, CheckKind, Checks, CommandInfo, HealthCheck, Resources, Secret, TaskBody, TaskState,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const VALUE: &str = "hunter2-and-more";
/// The same as JSON says bytes.
const DATA: &str = "aHVudGVyMi1hbmQtbW9yZQ==";

fn shell(line: &str, secret: &str) -> CommandInfo {
    CommandInfo {
        shell: true,
        value: Some(line.into()),
        secrets: vec![(secret.into(), Secret::new(VALUE))],
        ..CommandInfo::default()
    }
}

/// The files below a directory that hold the value, in any way.
fn that_tell(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => that_tell(&path, found),
            Ok(kind) if kind.is_file() => {
                let bytes = fs::read(&path).unwrap_or_default();
                let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
                if holds(VALUE) || holds(DATA) || holds("104, 117, 110, 116") {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn secrets_reach_their_task_and_nobody_else() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512", false);
    let out = cluster.dir("out");
    let mut framework = Framework::subscribe(&cluster);
    let check = Check {
        // Its own secret beside the task's, also when the agent knows of both from before.
        kind: CheckKind::Command(Box::new(shell(
            &format!("echo \"$TOKEN $PASSWORD\" > {}/looked", out.display()),
            "PASSWORD",
        ))),
        delay: Duration::ZERO,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(20),
    };
    let health = HealthCheck { check, consecutive_failures: 3, grace_period: Duration::ZERO };
    let line = format!("echo \"$TOKEN\" > {}/seen; exec sleep 1000", out.display());
    let body = TaskBody {
        command: Some(shell(&line, "TOKEN")),
        checks: Some(Arc::new(Checks { health: Some(health), check: None })),
        ..TaskBody::default()
    };
    let offer = framework.offer();
    framework.launch_body(offer, "t", &body, Resources::cpus_mem(100, 16_000), None);
    let written = |name: &str| fs::read_to_string(out.join(name)).ok().filter(|t| !t.is_empty());
    let looked = || wait_for("a look", || written("looked"));
    assert_eq!(wait_for("the task", || written("seen")), format!("{VALUE}\n"));
    assert_eq!(looked(), format!("{VALUE} {VALUE}\n"));
    while framework.update().state != TaskState::Running {}

    // The next agent has them from the supervisor, whose memory they are in.
    cluster.agents[0].kill_9();
    fs::remove_file(out.join("looked")).unwrap();
    cluster.agents[0].again();
    assert_eq!(looked(), format!("{VALUE} {VALUE}\n"));
    cluster.wait_for_agents(1);

    let agent = cluster.agent_addresses[0].clone();
    for call in ["GET_STATE", "GET_TASKS", "GET_EXECUTORS", "GET_CONTAINERS", "GET_FRAMEWORKS"] {
        for address in [&cluster.master_address, &agent] {
            let answer = post(address, "/api/v1", &format!("{{\"type\":\"{call}\"}}")).unwrap();
            assert!(!answer.body.contains(DATA) && !answer.body.contains(VALUE), "{call}");
        }
    }
    let told = cluster.operator("GET_TASKS").unwrap().to_string();
    assert!(told.contains("PASSWORD"), "the name is told, so that people know of it: {told}");
    for path in ["/state", "/tasks", "/containers", "/metrics"] {
        for address in [&cluster.master_address, &agent] {
            let answer = get(address, path).unwrap();
            assert!(!answer.body.contains(DATA) && !answer.body.contains(VALUE), "{path}");
        }
    }
    let mut found = Vec::new();
    that_tell(cluster.place.path(), &mut found);
    found.sort();
    assert_eq!(found, [out.join("looked"), out.join("seen")]);
}
