//! Limits of running tasks, changed over the agent's API.

use crate::rig::{Agent, Master, config, shell, soon};
use crate::sessions::{call, container};
use agent::Stop;
use proto::agent_api::{Call, ContainerPath};
use proto::{ContainerId, Exit};
use std::path::Path;
use tokio::io::AsyncReadExt;

/// Changes limits; the status and what is said.
async fn change(agent: &Agent, id: &ContainerId, limits: &[(&str, Option<u64>)]) -> (u16, String) {
    let container = ContainerPath { parent: None, id: id.clone() };
    let limits = limits.iter().map(|(name, limit)| ((*name).into(), *limit)).collect();
    let (head, mut stream) = call(agent, &Call::UpdateContainerLimits { container, limits }).await;
    let mut body = String::new();
    soon(stream.read_to_string(&mut body)).await.unwrap();
    (head[9..12].parse().unwrap(), body.trim_end().to_owned())
}

/// The task ends once it sees all that was asked for, which two agents put in force one after the
/// other: so it was never restarted.
#[allow(clippy::print_stdout, reason = "a test that cannot run says why")]
pub(crate) async fn change_and_stay() {
    if !Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        println!("not run: the task looks for its limits where cgroup v1 has them");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.cgroups = true;
    let agent = Agent::start(config.clone()).await;
    let mut link = master.admit().await;
    let group = |controller: &str| {
        format!("/sys/fs/cgroup/{controller}$(sed -n 's/.*:{controller}://p' /proc/self/cgroup)")
    };
    let line = format!(
        "m={}; c={}; until [ $(cat $m/memory.limit_in_bytes) = {} ] && \
         [ $(cat $m/memory.soft_limit_in_bytes) = {} ] && \
         [ $(cat $c/cpu.cfs_quota_us) = 50000 ]; do sleep 0.02; done; exit 7",
        group("memory"),
        group("cpu"),
        128 << 20,
        16 << 20,
    );
    link.start(shell("t", &line)).await;
    let id = container(&agent).await;
    assert_eq!(change(&agent, &id, &[("mem", Some(128_000))]).await, (200, String::new()));

    let refused = change(&agent, &id, &[("mem", Some(8_000))]).await;
    let text = "limits.mem: 8 is less than the 16 that the task asked for";
    assert_eq!(refused, (400, text.to_owned()));
    let (status, text) = change(&agent, &id, &[("mem", Some(5_000_000))]).await;
    assert!(status == 400 && text.contains("5000 is more than the 4096"), "{text}");
    let other = ContainerId::new("other").unwrap();
    assert_eq!(change(&agent, &other, &[("mem", None)]).await.0, 404);

    agent.abort().await;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    // What is not named stays as it was changed, though another agent changed it.
    assert_eq!(change(&agent, &id, &[("cpus", Some(500))]).await, (200, String::new()));
    let end = link.end().await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(7)));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn without_cgroups_nobody_is_told_that_limits_are_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "sleep 1000")).await;
    let id = container(&agent).await;
    let (status, text) = change(&agent, &id, &[("mem", Some(128_000))]).await;
    assert_eq!(status, 409);
    assert!(text.starts_with("the limits are not in force: there are no cgroups here"), "{text}");
    agent.stop(Stop::EndTasks).await;
}
