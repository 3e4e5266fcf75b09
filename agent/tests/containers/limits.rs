//! Limits that the kernel enforces. They need root and cgroups, and say so where they cannot run.

use std::time::Duration;

use agent::containerizer::{
    Allocation, ContainerEvent, Containerizer, Limitation, Rlimit, WaitStatus,
};

use crate::rig::{Rig, file_of, filled, id, shell};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn f26_a_task_that_eats_memory_reports_usage_and_limit() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    // The shell survives its child: the container is ended all the same.
    let eat =
        "head -c 200000000 /dev/zero | tail -c 100000000 > /dev/null; echo survived; sleep 1000";
    let mut former = None;
    for name in ["eater-1", "eater-2"] {
        let mut launch = shell(name, eat);
        launch.allocation.memory_bytes = Some(32 * MIB);
        let ended = agent.run(launch).await;
        let Some(Limitation::Memory { usage_bytes, limit_bytes, victim }) = ended.limitation else {
            panic!("{ended:?}")
        };
        assert_eq!(limit_bytes, 32 * MIB);
        assert!(usage_bytes > 24 * MIB && usage_bytes <= limit_bytes, "{usage_bytes}");
        assert_eq!(ended.status, WaitStatus::Signaled(9));
        if std::fs::File::open("/dev/kmsg").is_err() {
            println!("whom the kernel killed is not known: its log cannot be read here");
            continue;
        }
        let victim = victim.expect("the kernel's log names the victim");
        assert_eq!(&*victim.name, "tail");
        // A process of this task, and none of the one before.
        assert!(former != Some(victim.pid) && victim.pid != 0, "{victim:?}");
        former = Some(victim.pid);
    }
    // The count of one task is not held against the next.
    for name in ["after-1", "after-2", "after-3"] {
        let mut launch = shell(name, "exit 3");
        launch.allocation.memory_bytes = Some(32 * MIB);
        let ended = agent.run(launch).await;
        assert_eq!((ended.status, ended.limitation), (WaitStatus::Exited(3), None));
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn one_that_took_too_much_disk_says_so_to_the_next_agent_too() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    let line = "setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' & echo up; wait";
    let launched = agent.launched(shell("greedy", line)).await;
    filled(launched.sandbox.join("stdout")).await;
    let limitation = Limitation::Disk { usage_bytes: 3 * MIB, limit_bytes: 2 * MIB };
    agent.native.exceeded(&id("greedy"), limitation.clone());
    agent.native.exceeded(&id("nobody"), limitation.clone());
    agent.native.flush();
    drop(agent);
    let mut agent = rig.agent().await;
    let ended = match agent.recovered.remove(0).ended {
        Some(ended) => ended,
        None => agent.ended(&id("greedy")).await,
    };
    assert_eq!((ended.status, ended.limitation), (WaitStatus::Signaled(9), Some(limitation)));
    assert!(!ended.kill_requested);
    // It is not held against the next one in the same place.
    let ended = agent.run(shell("next", "exit 3")).await;
    assert_eq!((ended.status, ended.limitation), (WaitStatus::Exited(3), None));
    rig.finish(agent).await;
}

#[tokio::test]
async fn f25_a_fork_bomb_is_held_and_wholly_killed() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    // The first process forks no more, so that a refused fork does not end the container.
    let bomb = "sh -c 'b() { b | b & }; while :; do b; done' & exec tail -f /dev/null";
    let mut launch = shell("bomb", bomb);
    launch.allocation.pids = Some(40);
    let launched = agent.launched(launch).await;
    let said = filled(launched.sandbox.join("stderr")).await;
    assert!(said.contains("fork"), "{said}");
    agent.native.usage(&id("bomb"));
    agent.native.destroy(&id("bomb"));
    agent.native.flush();
    let usage = agent.until(|e| matches!(e, ContainerEvent::Usage { .. })).await;
    let ContainerEvent::Usage { usage: Some(usage), .. } = usage else { panic!("{usage:?}") };
    assert!(usage.pids <= 40 && usage.whole_container, "{usage:?}");
    let ended = agent.ended(&id("bomb")).await;
    assert!(ended.pids_refused > 0 && ended.kill_requested, "{ended:?}");
    // `finish` checks that its cgroup, and so the last of its processes, is gone.
    rig.finish(agent).await;
}

#[tokio::test]
async fn limits_are_in_force_and_can_be_changed() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    if !agent.native.isolation().starts_with("cgroup v1") {
        println!("not run: reads v1 files, and this is {}", agent.native.isolation());
        return rig.finish(agent).await;
    }
    let read = |controller: &str, file: &str| {
        let group = std::fs::read_dir(rig.cgroup(controller)).unwrap().flatten().find(|entry| {
            let procs = std::fs::read_to_string(entry.path().join("cgroup.procs"));
            entry.file_name() != "supervisor" && procs.is_ok_and(|text| !text.is_empty())
        });
        let text = std::fs::read_to_string(group.unwrap().path().join(file)).unwrap();
        text.trim().to_owned()
    };
    let mut launch = shell("limited", "sleep 1000");
    launch.allocation = Allocation {
        cpus_milli: 500,
        memory_bytes: Some(64 * MIB),
        cpu_limit_milli: Some(750),
        memory_soft_bytes: None,
        pids: Some(17),
        disk_bytes: None,
    };
    launch.allocation.memory_soft_bytes = Some(40 * MIB);
    let allocation = launch.allocation;
    agent.launched(launch).await;
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("memory", "memory.soft_limit_in_bytes"), (40 * MIB).to_string());
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "75000");
    assert_eq!(read("cpu", "cpu.cfs_period_us"), "100000");
    assert_eq!(read("memory", "memory.limit_in_bytes"), (64 * MIB).to_string());
    // No swap: by account or, on a kernel without, by not being swapped out.
    if std::path::Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists() {
        assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), (64 * MIB).to_string());
    } else {
        assert_eq!(read("memory", "memory.swappiness"), "0");
    }
    assert_eq!(read("pids", "pids.max"), "17");
    for memory in [Some(128 * MIB), Some(48 * MIB), None] {
        let changed = Allocation { memory_bytes: memory, cpu_limit_milli: None, ..allocation };
        agent.native.update(&id("limited"), changed);
        agent.native.usage(&id("limited"));
        agent.native.flush();
        let usage = agent.until(|e| matches!(e, ContainerEvent::Usage { .. })).await;
        let ContainerEvent::Usage { usage: Some(usage), .. } = usage else { panic!("{usage:?}") };
        assert_eq!(usage.memory_limit_bytes, memory);
        let in_force: u64 = read("memory", "memory.limit_in_bytes").parse().unwrap();
        assert!(memory.map_or(in_force > 1 << 50, |m| m == in_force), "{in_force}");
        assert_eq!(read("cpu", "cpu.cfs_quota_us"), "-1");
    }
    agent.native.destroy(&id("limited"));
    agent.native.flush();
    agent.ended(&id("limited")).await;
    // In the same cgroup, a task without limits has none.
    agent.launched(shell("free", "sleep 1000")).await;
    assert_eq!(read("pids", "pids.max"), "max");
    let soft: u64 = read("memory", "memory.soft_limit_in_bytes").parse().unwrap();
    assert!(soft > 1 << 50, "{soft}");
    assert_eq!(read("cpu", "cpu.shares"), "1024");
    agent.native.destroy(&id("free"));
    agent.native.flush();
    agent.ended(&id("free")).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_cpu_ceiling_holds_on_an_idle_machine() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    let mut launch = shell("spin", "while :; do :; done & while :; do :; done");
    launch.allocation.cpu_limit_milli = Some(200);
    agent.launched(launch).await;
    let started = std::time::Instant::now();
    let used = async {
        loop {
            agent.native.usage(&id("spin"));
            agent.native.flush();
            let event = agent.until(|e| matches!(e, ContainerEvent::Usage { .. })).await;
            let ContainerEvent::Usage { usage: Some(usage), .. } = event else {
                panic!("{event:?}")
            };
            if usage.cpu_time >= Duration::from_millis(300) {
                return usage.cpu_time;
            }
        }
    };
    let used = tokio::time::timeout(Duration::from_secs(60), used).await.unwrap();
    // 300 ms at a fifth of a cpu take 1.5 s; two free loops would take 150 ms.
    assert!(started.elapsed() > Duration::from_millis(900), "{used:?} in {:?}", started.elapsed());
    agent.native.destroy(&id("spin"));
    agent.native.flush();
    agent.ended(&id("spin")).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn without_cgroups_it_says_so() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    assert_eq!(agent.native.isolation(), "process groups");
    assert!(agent.native.warning().unwrap().contains("NOT enforced"));
    let ended = agent.run(shell("plain", "echo fine")).await;
    assert_eq!(file_of(&ended, "stdout"), b"fine\n");
    rig.finish(agent).await;
}

#[tokio::test]
async fn without_cgroups_each_process_has_its_data_limited_unless_the_task_says_how() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    let mut launch = shell("limited", "ulimit -d; head -c 100000000 /dev/zero | tail > /dev/null");
    launch.allocation.memory_bytes = Some(32 * MIB);
    let ended = agent.run(launch).await;
    assert_eq!(file_of(&ended, "stdout"), b"32768\n");
    let said = String::from_utf8_lossy(&file_of(&ended, "stderr")).into_owned();
    // GNU's tail says "memory exhausted", busybox' "out of memory".
    assert!(said.starts_with("tail: ") && said.contains("memory"), "{said}");
    let mut launch = shell("own", "ulimit -d; ulimit -v");
    launch.allocation.memory_bytes = Some(32 * MIB);
    launch.rlimits = vec![Rlimit { resource: libc::RLIMIT_AS, soft: 512 * MIB, hard: 512 * MIB }];
    let ended = agent.run(launch).await;
    assert_eq!(file_of(&ended, "stdout"), b"unlimited\n524288\n");
    rig.finish(agent).await;
}
