//! What a pure cgroup v2 host does differently. On other hosts each says that it did not run; the
//! guest machine of `guest.rs` is such a host, and sets a variable that makes this a failure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::containerizer::{
    Allocation, ContainerEvent, Containerizer, Launch, Limitation, Usage, WaitStatus,
};

use crate::rig::{Agent, BOUND, Rig, file_of, filled, id, shell};

/// Set where these tests must run.
pub(crate) const DEMANDED: &str = "TEPUI_CGROUP_V2";

const MIB: u64 = 1 << 20;
/// What the kernel makes of shares of 1024 and 512.
const WHOLE_WEIGHT: &str = "39";
const HALF_WEIGHT: &str = "20";

async fn rig() -> Option<(Rig, Agent)> {
    let demanded = std::env::var_os(DEMANDED).is_some();
    let Some(rig) = Rig::with_cgroups() else {
        assert!(!demanded, "cgroups need root");
        return None;
    };
    let agent = rig.agent().await;
    if agent.native.isolation() == "cgroup v2 (cpu memory pids core)" {
        return Some((rig, agent));
    }
    let isolation = agent.native.isolation().to_owned();
    assert!(!demanded, "isolation is {isolation}: {:?}", agent.native.warning());
    println!("not run: this is {isolation}");
    rig.finish(agent).await;
    None
}

/// The group of the only container.
fn group(rig: &Rig) -> PathBuf {
    let occupied = |path: &Path| {
        let procs = std::fs::read_to_string(path.join("cgroup.procs"));
        !path.ends_with("supervisor") && procs.is_ok_and(|text| !text.is_empty())
    };
    let groups = std::fs::read_dir(rig.cgroup("")).unwrap().flatten();
    groups.map(|entry| entry.path()).find(|path| occupied(path)).unwrap()
}

async fn usage(agent: &mut Agent, name: &str) -> Usage {
    agent.native.usage(&id(name));
    agent.native.flush();
    let event = agent.until(|e| matches!(e, ContainerEvent::Usage { .. })).await;
    let ContainerEvent::Usage { usage: Some(usage), .. } = event else { panic!("{event:?}") };
    usage
}

async fn destroy(agent: &mut Agent, name: &str) {
    agent.native.destroy(&id(name));
    agent.native.flush();
    let ended = agent.ended(&id(name)).await;
    assert_eq!((ended.status, ended.kill_requested), (WaitStatus::Signaled(9), true));
}

#[tokio::test]
async fn limits_are_in_force_and_can_be_changed() {
    let Some((rig, mut agent)) = rig().await else { return };
    let mut launch = shell("limited", "sleep 1000");
    launch.allocation = Allocation {
        cpus_milli: 500,
        memory_bytes: Some(64 * MIB),
        cpu_limit_milli: Some(750),
        memory_soft_bytes: Some(40 * MIB),
        pids: Some(17),
        disk_bytes: None,
    };
    let allocation = launch.allocation;
    agent.launched(launch).await;
    let dir = group(&rig);
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap().trim().to_owned();
    assert_eq!(read("cpu.weight"), HALF_WEIGHT);
    assert_eq!(read("cpu.max"), "75000 100000");
    assert_eq!(read("memory.max"), (64 * MIB).to_string());
    assert_eq!(read("memory.low"), (40 * MIB).to_string());
    let above = std::fs::read_to_string(rig.cgroup("").join("memory.low")).unwrap();
    assert!(above.trim().parse::<u64>().unwrap() >= 40 * MIB, "it protects nothing: {above}");
    assert_eq!(read("memory.oom.group"), "1");
    assert_eq!(read("pids.max"), "17");
    for memory in [Some(128 * MIB), Some(48 * MIB), None] {
        let changed = Allocation { memory_bytes: memory, cpu_limit_milli: None, ..allocation };
        agent.native.update(&id("limited"), changed);
        assert_eq!(usage(&mut agent, "limited").await.memory_limit_bytes, memory);
        assert_eq!(read("memory.max"), memory.map_or("max".to_owned(), |m| m.to_string()));
        assert_eq!(read("cpu.max"), "max 100000");
    }
    destroy(&mut agent, "limited").await;
    // In the same cgroup, a task without limits has none.
    agent.launched(shell("free", "sleep 1000")).await;
    let dir = group(&rig);
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap().trim().to_owned();
    assert_eq!((read("pids.max").as_str(), read("cpu.weight").as_str()), ("max", WHOLE_WEIGHT));
    assert_eq!((read("memory.max").as_str(), read("memory.low").as_str()), ("max", "0"));
    destroy(&mut agent, "free").await;
    rig.finish(agent).await;
}

/// However short the machine is of memory, who holds the ends of all tasks keeps its own.
#[tokio::test]
async fn s45_the_supervisors_memory_is_not_taken_from_it() {
    let Some((rig, agent)) = rig().await else { return };
    let own = rig.cgroup("");
    for dir in [own.join("supervisor"), own.clone(), own.parent().unwrap().to_owned()] {
        let text = std::fs::read_to_string(dir.join("memory.min")).unwrap();
        assert!(text.trim().parse::<u64>().unwrap() >= 32 * MIB, "{}: {text}", dir.display());
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn processor_time_is_shared_by_weight() {
    let Some((rig, mut agent)) = rig().await else { return };
    let spin = |name: &str, cpus_milli: u64| {
        // As many loops as processors, so that the two must share each of them.
        let loops = std::thread::available_parallelism().unwrap().get();
        let mut launch: Launch =
            shell(name, &format!("{} wait", "while :; do :; done & ".repeat(loops)));
        launch.allocation.cpus_milli = cpus_milli;
        launch
    };
    agent.launched(spin("heavy", 4000)).await;
    agent.launched(spin("light", 1000)).await;
    let before = (usage(&mut agent, "heavy").await, usage(&mut agent, "light").await);
    let shares = async {
        loop {
            let heavy = usage(&mut agent, "heavy").await.cpu_time - before.0.cpu_time;
            let light = usage(&mut agent, "light").await.cpu_time - before.1.cpu_time;
            if heavy + light >= Duration::from_secs(5) {
                return heavy.as_secs_f64() / light.as_secs_f64();
            }
        }
    };
    let ratio = tokio::time::timeout(BOUND, shares).await.unwrap();
    assert!((3.0..5.5).contains(&ratio), "weights of 4 to 1 made {ratio:.2} to 1");
    destroy(&mut agent, "heavy").await;
    destroy(&mut agent, "light").await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn running_out_of_memory_ends_every_process_and_says_so() {
    let Some((rig, mut agent)) = rig().await else { return };
    // The first process eats nothing and would survive.
    let eat = "(head -c 200000000 /dev/zero | tail -c 100000000 > /dev/null) & sleep 1000";
    let mut launch = shell("eater", eat);
    launch.allocation.memory_bytes = Some(32 * MIB);
    agent.launched(launch).await;
    let ended = agent.ended(&id("eater")).await;
    let Some(Limitation::Memory { usage_bytes, limit_bytes, ref victim }) = ended.limitation else {
        panic!("{ended:?}")
    };
    // All are killed together, and the kernel says for whose sake.
    assert_eq!(victim.as_ref().map(|victim| &*victim.name), Some("tail"));
    assert_eq!((ended.status, limit_bytes), (WaitStatus::Signaled(9), 32 * MIB));
    assert!(usage_bytes > 24 * MIB && usage_bytes <= limit_bytes, "{usage_bytes}");
    assert!(!ended.kill_requested);
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_task_is_born_in_its_group() {
    let Some((rig, mut agent)) = rig().await else { return };
    let ended = agent.run(shell("born", "cat /proc/self/cgroup")).await;
    let said = String::from_utf8(file_of(&ended, "stdout")).unwrap();
    let ours = format!("0::/tepui/{}/", rig.options.supervisor.name);
    let group = said.trim().strip_prefix(&ours).unwrap_or_else(|| panic!("{said}"));
    assert!(!group.is_empty() && group != "supervisor" && !group.contains('/'), "{said}");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_kill_reaches_processes_that_left_the_session() {
    let Some((rig, mut agent)) = rig().await else { return };
    let line = "for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" TERM; sleep 1000 & wait' & done; \
                echo up; wait";
    let launched = agent.launched(shell("crowd", line)).await;
    filled(launched.sandbox.join("stdout")).await;
    let dir = group(&rig);
    let crowd = async {
        while usage(&mut agent, "crowd").await.pids < 11 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, crowd).await.unwrap();
    destroy(&mut agent, "crowd").await;
    // Gone with the group, or in a group that waits for the next container.
    let left = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    assert_eq!(left, "");
    rig.finish(agent).await;
}

#[tokio::test]
async fn limits_and_counters_outlive_the_agent() {
    let Some((rig, mut agent)) = rig().await else { return };
    let eat = "read go < gate; head -c 200000000 /dev/zero | tail -c 100000000 > /dev/null";
    let mut launch = shell("eater", &format!("mkfifo gate; echo up; {eat}"));
    launch.allocation.memory_bytes = Some(32 * MIB);
    let launched = agent.launched(launch).await;
    filled(launched.sandbox.join("stdout")).await;
    drop(agent);
    std::fs::write(launched.sandbox.join("gate"), "go\n").unwrap();
    let mut agent = rig.agent().await;
    assert_eq!(agent.recovered.len(), 1);
    let ended = match agent.recovered.remove(0).ended {
        Some(ended) => ended,
        None => agent.ended(&id("eater")).await,
    };
    let limit_bytes = 32 * MIB;
    let hit = matches!(ended.limitation, Some(Limitation::Memory { limit_bytes: l, .. }) if l == limit_bytes);
    assert!(hit, "{ended:?}");
    rig.finish(agent).await;
}
