//! What containers use, as it is asked for once a second.

use std::time::Duration;

use agent::containerizer::{ContainerEvent, ContainerId, Containerizer, Usage};

use crate::rig::{Agent, BOUND, Rig, filled, id, shell};

/// One round, with all its parts.
async fn sample(agent: &mut Agent, all: bool) -> Vec<(ContainerId, Usage)> {
    agent.native.sample(all);
    agent.native.flush();
    let mut found = Vec::new();
    loop {
        let event = agent.until(|e| matches!(e, ContainerEvent::Sampled { .. })).await;
        let ContainerEvent::Sampled { usages, complete, .. } = event else { panic!("{event:?}") };
        found.extend(usages);
        if complete {
            return found;
        }
    }
}

fn of(all: &[(ContainerId, Usage)], name: &str) -> Option<Usage> {
    all.iter().find(|(of, _)| *of == id(name)).map(|(_, usage)| *usage)
}

async fn destroy(agent: &mut Agent, names: &[&str]) {
    names.iter().for_each(|name| agent.native.destroy(&id(name)));
    agent.native.flush();
    for name in names {
        agent.ended(&id(name)).await;
    }
}

/// Samples until a container is told of and has what is looked for.
async fn until(agent: &mut Agent, name: &str, has: impl Fn(&Usage) -> bool) -> Usage {
    let wait = async {
        loop {
            if let Some(usage) = of(&sample(agent, false).await, name).filter(&has) {
                return usage;
            }
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("it uses as much in time")
}

async fn an_idle_one_is_told_once(rig: Rig) {
    let mut agent = rig.agent().await;
    assert_eq!(sample(&mut agent, true).await, Vec::new());
    agent.launched(shell("idle", "echo up; exec sleep 1000")).await;
    let launched = agent.launched(shell("busy", "echo up; while :; do :; done")).await;
    filled(launched.sandbox.join("stdout")).await;
    let spent = |usage: &Usage| usage.cpu_time > Duration::from_millis(100);
    until(&mut agent, "busy", spent).await;
    // Its start is over, so nothing more is told of it but what is looked at anyhow.
    let told = async {
        let mut quiet = 0;
        while quiet < 20 {
            let seen = of(&sample(&mut agent, false).await, "idle");
            quiet = if seen.is_none() { quiet + 1 } else { 0 };
        }
    };
    tokio::time::timeout(BOUND, told).await.expect("an idle task is not told for ever");
    let all = sample(&mut agent, true).await;
    let (idle, busy) = (of(&all, "idle").unwrap(), of(&all, "busy").unwrap());
    assert!(idle.cpu_time < busy.cpu_time, "{idle:?} {busy:?}");
    assert!(idle.memory_bytes > 0 && idle.pids == 1, "{idle:?}");
    assert!(busy.system_time <= busy.cpu_time);
    destroy(&mut agent, &["idle", "busy"]).await;
    // Neither is told any more, and who comes after them begins from nothing.
    assert_eq!(sample(&mut agent, true).await, Vec::new());
    agent.launched(shell("next", "exec sleep 1000")).await;
    let next = of(&sample(&mut agent, true).await, "next").unwrap();
    assert!(next.cpu_time < Duration::from_millis(90), "{next:?}");
    destroy(&mut agent, &["next"]).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn an_idle_container_is_told_once_and_a_busy_one_each_time() {
    let Some(rig) = Rig::with_cgroups() else { return };
    an_idle_one_is_told_once(rig).await;
}

#[tokio::test]
async fn without_cgroups_the_first_process_is_told() {
    an_idle_one_is_told_once(Rig::new(false)).await;
}

#[tokio::test]
async fn being_held_back_by_a_ceiling_is_told_and_not_charged_to_the_next() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    let mut launch = shell("held", "while :; do :; done");
    launch.allocation.cpu_limit_milli = Some(100);
    agent.launched(launch).await;
    let usage = until(&mut agent, "held", |usage| usage.throttled_periods >= 3).await;
    assert!(usage.periods >= usage.throttled_periods, "{usage:?}");
    assert!(usage.throttled_time > Duration::from_millis(50), "{usage:?}");
    assert_eq!(usage.cpu_quota_us, Some(10_000));
    destroy(&mut agent, &["held"]).await;
    let mut launch = shell("after", "exec sleep 1000");
    launch.allocation.cpu_limit_milli = Some(1000);
    agent.launched(launch).await;
    let after = of(&sample(&mut agent, true).await, "after").unwrap();
    assert_eq!((after.throttled_periods, after.throttled_time), (0, Duration::ZERO));
    destroy(&mut agent, &["after"]).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn memory_and_writes_of_all_processes_count() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    // The one that wrote is waited for; the one that holds memory is no first process.
    let line = "dd if=/dev/zero of=file bs=1048576 count=8 conv=fsync 2>/dev/null; \
                (head -c 30000000 /dev/zero | tail -c 20000000; sleep 1000) > /dev/null & \
                echo up; wait";
    let launched = agent.launched(shell("eater", line)).await;
    filled(launched.sandbox.join("stdout")).await;
    let usage = until(&mut agent, "eater", |usage| usage.pids >= 2).await;
    let tmpfs = rustix::fs::statfs(&launched.sandbox).unwrap().f_type == 0x0102_1994;
    if tmpfs {
        println!("not run: writes to a tmpfs reach no disk");
    } else {
        assert!(usage.written_bytes >= 8 << 20, "{usage:?}");
    }
    until(&mut agent, "eater", |usage| usage.anonymous_bytes > 0).await;
    destroy(&mut agent, &["eater"]).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn waiting_for_cpus_is_told_where_the_kernel_counts_it() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    if !agent.native.isolation().starts_with("cgroup v2") {
        println!("not run: {} has no pressure of groups", agent.native.isolation());
        return rig.finish(agent).await;
    }
    let loops = 3 * std::thread::available_parallelism().unwrap().get();
    let line = format!("{} wait", "while :; do :; done & ".repeat(loops));
    agent.launched(shell("crowd", &line)).await;
    let first = of(&sample(&mut agent, true).await, "crowd").unwrap();
    if first.pressure.is_none() {
        println!("not run: this kernel counts no pressure");
    } else {
        let waited = |usage: &Usage| usage.pressure.is_some_and(|p| p.cpu.as_millis() > 20);
        until(&mut agent, "crowd", waited).await;
    }
    destroy(&mut agent, &["crowd"]).await;
    rig.finish(agent).await;
}
