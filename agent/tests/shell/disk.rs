//! A task that fills its sandbox beyond the disk that it asked for.

use crate::rig::{Agent, Master, config, shell};
use agent::{Config, Stop};
use proto::{Reason, Resources, TaskInfo, TaskState};
use std::path::Path;
use std::time::Duration;

fn quick(master: &Master, dir: &Path) -> Config {
    let mut config = config(master, dir);
    config.disk_check_interval = Duration::from_secs(1);
    config
}

fn with_disk(id: &str, line: &str, megabytes: u64) -> TaskInfo {
    let amounts = [("cpus", 10), ("mem", 16_000), ("disk", megabytes * 1000)];
    TaskInfo { resources: Resources::scalars(amounts), ..shell(id, line) }
}

const FILL: &str = "head -c 6000000 /dev/zero > big; while :; do sleep 0.1; done";

#[tokio::test]
async fn it_is_ended_with_usage_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(quick(&master, dir.path())).await;
    let mut link = master.admit().await;
    // One that keeps within its limit, and one that asked for no disk, go on.
    link.start(with_disk("modest", FILL, 50)).await;
    link.start(shell("free", FILL)).await;
    let end = link.run_to_end(with_disk("greedy", FILL, 2)).await;
    assert_eq!(end.task_id.as_str(), "greedy");
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::ContainerLimitationDisk)));
    let limit = end.outcome.unwrap().limit.unwrap();
    assert_eq!((&*limit.resource, limit.limit), ("disk", 2 << 20));
    assert!(limit.usage >= 6_000_000, "{}", limit.usage);
    for name in ["modest", "free"] {
        link.kill(name);
        assert_eq!(link.end().await.state, TaskState::Killed);
    }
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn what_it_took_before_a_restart_of_the_agent_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut lax = quick(&master, dir.path());
    lax.policy.disk_limits = false;
    let agent = Agent::start(lax).await;
    let mut link = master.admit().await;
    link.start(with_disk("greedy", FILL, 2)).await;
    agent.stop(Stop::KeepTasks).await;
    let agent = Agent::start(quick(&master, dir.path())).await;
    let mut link = master.admit().await;
    let end = link.end().await;
    assert_eq!(end.reason, Some(Reason::ContainerLimitationDisk), "{:?}", end.message);
    agent.stop(Stop::EndTasks).await;
}

/// Files without content take no room of the disk, and all of its inodes.
#[tokio::test]
async fn s43_a_flood_of_empty_files_ends_it_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(quick(&master, dir.path())).await;
    let mut link = master.admit().await;
    let few = "i=0; while [ $i -lt 500 ]; do : > f$i; i=$((i+1)); done; sleep 1000";
    link.start(with_disk("modest", few, 2)).await;
    let flood = "i=0; while [ $i -lt 3000 ]; do : > f$i; i=$((i+1)); done; sleep 1000";
    let end = link.run_to_end(with_disk("flood", flood, 2)).await;
    assert_eq!(end.task_id.as_str(), "flood");
    assert_eq!(end.reason, Some(Reason::ContainerLimitationDisk), "{:?}", end.message);
    link.kill("modest");
    assert_eq!(link.end().await.state, TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}
