//! What needs root and a machine that lets it do more: cgroups, and a disk of its own that can be
//! filled.

use crate::rig::{Agent, Master, config, shell, soon, watching};
use crate::survival::until;
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
    let message = end.message.unwrap();
    assert!(message.starts_with("Memory limit exceeded: used "), "{message}");
    if std::fs::File::open("/dev/kmsg").is_ok() {
        assert!(message.contains("; the kernel killed dd (pid "), "{message}");
    }
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
    let work = disk.0.join("work");
    let mut master = Master::start().await;
    let mut lasting = watching(&master, &work);
    // The disk is looked at once, at the start, and then whenever it is found full.
    lasting.disk_watch_interval = Duration::from_secs(3600);
    lasting.gc_disk_headroom_ppm = 0;
    lasting.disk_reserve_bytes = 32 << 20;
    let agent = Agent::start(lasting.clone()).await;
    let mut link = master.admit().await;
    agent.registered().await;
    let reserve = work.join("reserve");
    until(|| reserve.exists()).await;
    // Whatever becomes free is taken at once.
    let greedy = "while :; do dd if=/dev/zero bs=4k >> more 2> /dev/null; done";
    link.start(shell("greedy", greedy)).await;
    let fill = "case $(LC_ALL=C dd if=/dev/zero of=big bs=1M 2>&1) in \
                *'No space left on device'*) exit 3;; esac";
    let end = link.run_to_end(shell("fill", fill)).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(3)));
    // A full disk has its sandbox removed, and the greedy one takes the room.
    // Its file is gone before its room is there: the agent knows when that is done.
    while !agent.get("/metrics").await.1.contains("\ntepui_agent_sandboxes 0\n") {
        tokio::task::yield_now().await;
    }
    until(|| rustix::fs::statvfs(&disk.0).unwrap().f_bavail < 100).await;
    let said = "tepui_agent_disk_reserve_used 1";
    let mut number = 0;
    while !agent.get("/metrics").await.1.contains(said) {
        link.run_to_end(shell(&format!("found-{number}"), "exit 0")).await;
        number += 1;
    }
    for n in 0..20 {
        let end = link.run_to_end(shell(&format!("t{n}"), "exit 5")).await;
        assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(5)));
    }
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains(said), "{metrics}");
    let (_, health) = agent.get("/health").await;
    assert!(health.contains("status updates go into its reserve"), "{health}");

    // The next agent finds what is there.
    agent.abort().await;
    lasting.disk_watch_interval = Duration::from_millis(200);
    let mut agent = Agent::start(lasting).await;
    let mut link = agent.while_it_runs(master.admit()).await;
    // That the last one was acknowledged may have come too late for the one before.
    let kept = link.tasks.iter().filter(|task| task.task_id.as_str() != "t19");
    let kept: Vec<_> = kept.map(|task| task.task_id.to_string()).collect();
    assert_eq!(kept, ["greedy"]);
    link.kill("greedy");
    let mut end = link.end().await;
    while end.task_id.as_str() != "greedy" {
        assert_eq!((end.task_id.as_str(), end.state), ("t19", TaskState::Failed));
        end = link.end().await;
    }
    assert_eq!(end.state, TaskState::Killed);
    // Sandboxes are collected: there is room, and the store takes over.
    soon(async {
        while agent.get("/metrics").await.1.contains(said) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    agent.registered().await;
    assert!(reserve.exists(), "it is there for the next time");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, to mount a small file system"]
async fn f22_a_disk_that_fills_is_told_and_sandboxes_are_collected() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("disk"), 128);
    let mut master = Master::start().await;
    let mut config = watching(&master, &disk.0.join("work"));
    config.disk_watch_interval = Duration::from_millis(50);
    let agent = Agent::start(config.clone()).await;
    let mut link = master.admit().await;
    agent.registered().await;
    // A sandbox that is kept for days while there is room.
    let end = link.run_to_end(shell("old", "dd if=/dev/zero of=big bs=1M count=4")).await;
    assert_eq!(end.state, TaskState::Finished);
    let sandboxes = || std::fs::read_dir(disk.0.join("work/sandboxes")).unwrap().count();
    assert_eq!(sandboxes(), 1);
    let pressed = "tepui_agent_disk_pressed 1";
    assert!(!agent.get("/metrics").await.1.contains(pressed));

    let filler = disk.0.join("filler");
    let output = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(!output.status.success(), "the disk is full");
    assert!(link.pressure().await);
    until(|| sandboxes() == 0).await;
    assert!(agent.get("/metrics").await.1.contains(pressed));

    // Who comes to the next master says so to it.
    agent.stop(Stop::KeepTasks).await;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    assert!(link.pressure().await);
    std::fs::remove_file(&filler).unwrap();
    assert!(!link.pressure().await, "it is over");
    agent.stop(Stop::EndTasks).await;
}

/// Fills a disk up to so many hundredths.
fn fill_to(disk: &SmallDisk, name: &str, hundredths: u64) {
    let stat = rustix::fs::statvfs(&disk.0).unwrap();
    let blocks = (stat.f_blocks * hundredths / 100).saturating_sub(stat.f_blocks - stat.f_bfree);
    let bytes = usize::try_from(blocks * stat.f_frsize).unwrap();
    std::fs::write(disk.0.join(name), vec![1; bytes]).unwrap();
}

#[tokio::test]
#[ignore = "group cgroup: root, to mount a small file system"]
async fn f22_on_a_short_disk_caches_go_first_and_then_the_oldest_sandboxes_until_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("disk"), 128);
    let work = disk.0.join("work");
    let mut master = Master::start().await;
    let mut config = watching(&master, &work);
    config.disk_watch_interval = Duration::from_millis(50);
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    agent.registered().await;
    until(|| work.join("reserve").exists()).await;
    // As if it had been fetched.
    let cached = work.join("fetched/cached");
    std::fs::write(&cached, vec![1; 20 << 20]).unwrap();
    for n in 0..3 {
        let line = format!("echo t{n} > who; dd if=/dev/zero of=big bs=1M count=8");
        let end = link.run_to_end(shell(&format!("t{n}"), &line)).await;
        assert_eq!(end.state, TaskState::Finished);
    }
    let kept = || {
        let all = std::fs::read_dir(work.join("sandboxes")).unwrap().flatten();
        let who = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("who")).ok());
        let mut who: Vec<String> = who.map(|who| who.trim().to_owned()).collect();
        who.sort();
        who
    };
    let has_room = async || {
        let (_, metrics) = agent.get("/metrics").await;
        let line = metrics.lines().find_map(|l| l.strip_prefix("tepui_agent_disk_used_ratio "));
        line.unwrap().parse::<f64>().unwrap() < 0.9
    };
    assert_eq!((kept(), cached.exists()), (vec!["t0".into(), "t1".into(), "t2".into()], true));

    fill_to(&disk, "filler", 94);
    until(|| !cached.exists()).await;
    while !has_room().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(), ["t0", "t1", "t2"], "what was fetched was enough");

    // More than one of them, and less than two.
    fill_to(&disk, "more", 97);
    until(|| kept() == ["t2"]).await;
    while !has_room().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept(), ["t2"], "the newest stays");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, to mount a small file system"]
async fn without_a_reserve_updates_wait_for_space_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("disk"), 64);
    let mut master = Master::start().await;
    let mut config = watching(&master, &disk.0.join("work"));
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
async fn f24_the_numbers_of_a_lost_supervisor_and_its_tasks_are_others() {
    crate::matrix::f24_the_numbers_of_a_lost_supervisor_and_its_tasks_are_others().await;
}

#[tokio::test]
#[ignore = "group cgroup: root, for cgroups and walls"]
async fn kills_at_every_named_place_leave_no_cgroup_and_no_wall() {
    crate::survival::survive_all(true).await;
}

#[tokio::test]
#[ignore = "group cgroup: root, for cgroups and walls"]
async fn kills_on_the_ways_of_images_groups_and_executors_leave_no_cgroup_and_no_layer() {
    crate::kinds::survive_all(true).await;
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
