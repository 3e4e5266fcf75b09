//! What needs root and a machine that lets it do more: cgroups, and a disk of its own that can be
//! filled.

use crate::rig::{Agent, Master, config, shell, soon};
use agent::Stop;
use proto::{Exit, Reason, Resources, TaskState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[tokio::test]
#[ignore = "group cgroup: root and a writable memory hierarchy"]
async fn a_task_beyond_its_memory_is_told_with_use_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.cgroups = true;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let mut task = shell("t", "exec dd if=/dev/zero of=/dev/null bs=256M count=1");
    task.resources = Resources::cpus_mem(100, 32_000);
    let end = link.run_to_end(task).await;
    assert_eq!(
        (end.state, end.reason),
        (TaskState::Failed, Some(Reason::ContainerLimitationMemory))
    );
    let limit = end.outcome.unwrap().limit.unwrap();
    assert_eq!((&*limit.resource, limit.limit), ("mem", 32 << 20));
    assert!(limit.usage >= 31 << 20, "{limit:?}");
    assert!(end.message.unwrap().starts_with("Memory limit exceeded: used "));
    agent.stop(Stop::EndTasks).await;
}

/// A small file system that is unmounted however the test ends.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u64) -> Self {
        std::fs::create_dir(at).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tepui-test"])
            .arg(at)
            .status()
            .unwrap();
        assert!(mount.success());
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a supervisor that a failed test left may still be in it.
        let unmount = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmount.is_ok_and(|status| status.success()), "{} is left", self.0.display());
    }
}

#[tokio::test]
#[ignore = "group cgroup: root, to mount a small file system"]
async fn f22_updates_are_delivered_though_tasks_have_filled_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("disk"), 96);
    let mut master = Master::start().await;
    let mut config = config(&master, &disk.0.join("work"));
    // The disk is looked at once, at the start: what was given away is not set aside again.
    config.disk_watch_interval = Duration::from_secs(3600);
    // Nothing is collected, so the disk stays full.
    config.gc_delay = Duration::from_secs(1_000_000_000);
    config.gc_disk_headroom_ppm = 0;
    config.disk_reserve_bytes = 32 << 20;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    agent.registered().await;
    let reserve = disk.0.join("work/reserve");
    soon(async {
        while !reserve.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let end = link.run_to_end(shell("fill", "dd if=/dev/zero of=big bs=1M; exit 3")).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(3)));
    for n in 0..20 {
        let end = link.run_to_end(shell(&format!("t{n}"), "exit 5")).await;
        assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(5)));
    }
    assert!(!reserve.exists(), "the reserve was given to the checkpoint");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, to mount a small file system"]
async fn without_a_reserve_updates_wait_for_space_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("disk"), 64);
    let mut master = Master::start().await;
    let mut config = config(&master, &disk.0.join("work"));
    config.disk_reserve_bytes = 0;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    agent.registered().await;
    let go = dir.path().join("go");
    let line = format!("until [ -e {} ]; do sleep 0.01; done; exit 6", go.display());
    link.start(shell("t", &line)).await;
    let filler = disk.0.join("filler");
    let fill = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(!fill.status.success(), "the disk is full");
    std::fs::write(&go, "").unwrap();
    soon(async {
        while !agent.get("/health").await.1.contains("the disk is full") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    std::fs::remove_file(&filler).unwrap();
    let end = link.end().await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(6)));
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, to show an agent another boot of its host"]
async fn f20_the_host_is_started_anew() {
    crate::matrix::f20_the_host_is_started_anew().await;
}

#[tokio::test]
#[ignore = "group cgroup: root, to choose the number of a process"]
async fn f24_the_number_of_a_lost_supervisor_is_anothers() {
    crate::matrix::f24_the_number_of_a_lost_supervisor_is_anothers().await;
}

#[tokio::test]
#[ignore = "group cgroup: root, for cgroups and walls"]
async fn kills_at_every_named_place_leave_no_cgroup_and_no_wall() {
    crate::survival::survive_all(true).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, for cgroups"]
async fn f27_one_that_outlives_its_supervisor_in_its_cgroup_is_shown_and_counted() {
    crate::unkillable::outlives_its_supervisor(true).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, for cgroups"]
async fn limits_of_a_running_task_change_and_stay() {
    crate::limits::change_and_stay().await;
}
