//! A task that fills its sandbox beyond the disk that it asked for.

use crate::containers::{contained, image, may_run};
use crate::rig::{Agent, Master, config, shell};
use agent::{Config, Policy, Stop};
use proto::{ContainerInfo, Reason, Resources, TaskInfo, TaskState};
use std::os::unix::fs::PermissionsExt;
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

#[tokio::test]
async fn what_it_writes_over_its_image_counts_and_so_it_does_after_a_restart_of_the_agent() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("images");
    image(&store);
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(store.join("tools/busybox:1/rootfs/srv"), open).unwrap();
    let mut master = Master::start().await;
    let with = |disk_limits, master: &Master, work: &str| {
        let policy = Policy { image_store: Some(store.clone()), disk_limits, ..Policy::default() };
        Config { policy, ..quick(master, &dir.path().join(work)) }
    };
    // In its working directory, which is the image's; there is next to nothing in its sandbox.
    let fill = "busybox head -c 6000000 /dev/zero > big; while :; do busybox sleep 0.1; done";
    let greedy = |id: &str| {
        let asked =
            ContainerInfo { image: Some("tools/busybox:1".into()), ..ContainerInfo::default() };
        let resources = with_disk(id, fill, 2).resources;
        TaskInfo { resources, ..contained(id, fill, asked) }
    };
    let agent = Agent::start(with(true, &master, "first")).await;
    let mut link = master.admit().await;
    let end = link.run_to_end(greedy("at-once")).await;
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::ContainerLimitationDisk)));
    let limit = end.outcome.unwrap().limit.unwrap();
    assert!(limit.limit == 2 << 20 && limit.usage >= 6_000_000, "{limit:?}");
    agent.stop(Stop::EndTasks).await;

    // Elsewhere: that the first one's end was acknowledged may have come too late for its agent.
    let agent = Agent::start(with(false, &master, "second")).await;
    let mut link = master.admit().await;
    link.start(greedy("later")).await;
    agent.stop(Stop::KeepTasks).await;
    let agent = Agent::start(with(true, &master, "second")).await;
    let mut link = master.admit().await;
    let end = link.end().await;
    assert_eq!(end.reason, Some(Reason::ContainerLimitationDisk), "{:?}", end.message);
    agent.stop(Stop::EndTasks).await;
}
