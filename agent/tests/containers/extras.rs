//! What an operator may want of cgroups besides limits: cpus of tasks' own, weights of disks. And
//! the devices that tasks within walls may open.

use std::path::{Path, PathBuf};

use agent::containerizer::{Containerizer, Launch, Root};

use crate::enclosed::enclosed;
use crate::rig::{Agent, Rig, id, shell};

/// Set where there must be two cpus.
pub(crate) const TWO_CPUS: &str = "TEPUI_TWO_CPUS";

/// The directory of a container's group in a v1 hierarchy or, on a v2 host, in the only one.
fn group(rig: &Rig, controller: &str, pid: u32) -> PathBuf {
    let holds = |path: &Path| {
        let procs = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        procs.lines().any(|line| line == pid.to_string())
    };
    let roots = [rig.cgroup(controller), rig.cgroup("")];
    let groups = roots.iter().flat_map(std::fs::read_dir).flatten().flatten();
    groups.map(|entry| entry.path()).find(|path| holds(path)).unwrap()
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

/// Where a process may run, as the kernel says it of the process and of its group.
fn cpus_of(rig: &Rig, pid: u32) -> String {
    let status = read(format!("/proc/{pid}/status").into());
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    assert_eq!(read(group(rig, "cpuset", pid).join("cpuset.cpus")), line.trim());
    line.trim().to_owned()
}

fn asking(name: &str, cpus_milli: u64) -> Launch {
    let mut launch = shell(name, "sleep 1000");
    launch.allocation.cpus_milli = cpus_milli;
    launch
}

async fn end(agent: &mut Agent, name: &str) {
    agent.native.destroy(&id(name));
    agent.native.flush();
    agent.ended(&id(name)).await;
    agent.native.forget(&id(name));
}

#[tokio::test]
async fn who_asks_for_whole_cpus_has_them_alone() {
    let Some(mut rig) = Rig::with_cgroups() else { return };
    rig.options.supervisor.extras.pin_cpus = true;
    let mut agent = rig.agent().await;
    if std::thread::available_parallelism().unwrap().get() != 2 {
        assert!(std::env::var_os(TWO_CPUS).is_none(), "this machine has not two cpus");
        println!("not run: this is for a machine of two cpus");
        return rig.finish(agent).await;
    }
    assert!(agent.native.isolation().contains("cpuset"), "{:?}", agent.native.warning());
    // One cpu stays for those who share, so nobody has both alone.
    let both = agent.launched(asking("both", 2000)).await.pid;
    let part = agent.launched(asking("part", 500)).await.pid;
    assert_eq!((cpus_of(&rig, both), cpus_of(&rig, part)), ("0-1".into(), "0-1".into()));
    end(&mut agent, "both").await;

    let whole = agent.launched(asking("whole", 1000)).await.pid;
    assert_eq!((cpus_of(&rig, whole), cpus_of(&rig, part)), ("0".into(), "1".into()));
    // Also who comes later, in a group that is new and in one that was used.
    let later = agent.launched(asking("later", 250)).await.pid;
    let second = agent.launched(asking("second", 1000)).await.pid;
    assert_eq!((cpus_of(&rig, later), cpus_of(&rig, second)), ("1".into(), "1".into()));

    // The next agent finds it as it was, and who comes then as well.
    drop(agent);
    let mut agent = rig.agent().await;
    assert_eq!(agent.recovered.len(), 4);
    assert_eq!((cpus_of(&rig, whole), cpus_of(&rig, part)), ("0".into(), "1".into()));
    end(&mut agent, "whole").await;
    assert_eq!((cpus_of(&rig, part), cpus_of(&rig, second)), ("0-1".into(), "0-1".into()));
    let next = agent.launched(asking("next", 1000)).await.pid;
    assert_eq!((cpus_of(&rig, next), cpus_of(&rig, second)), ("0".into(), "1".into()));
    for name in ["part", "later", "second", "next"] {
        end(&mut agent, name).await;
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn disks_are_shared_as_cpus_are() {
    let Some(mut rig) = Rig::with_cgroups() else { return };
    rig.options.supervisor.extras.io_weight = true;
    let mut agent = rig.agent().await;
    let light = agent.launched(asking("light", 500)).await.pid;
    let heavy = agent.launched(asking("heavy", 4000)).await.pid;
    let weights = ["blkio.weight", "blkio.bfq.weight", "io.weight", "io.bfq.weight"];
    let weight = |pid: u32| {
        let dir = group(&rig, "blkio", pid);
        let text = weights.iter().find_map(|name| std::fs::read_to_string(dir.join(name)).ok());
        text.map(|text| text.trim().rsplit(' ').next().unwrap().to_owned())
    };
    match (weight(light), weight(heavy)) {
        (Some(light), Some(heavy)) => assert_eq!((&*light, &*heavy), ("50", "400")),
        // A kernel without weights: the operator is told.
        _ => assert!(agent.native.warning().unwrap().starts_with("--io-weight: this kernel")),
    }
    end(&mut agent, "light").await;
    end(&mut agent, "heavy").await;
    rig.finish(agent).await;
}

/// What a process of the group may open, tried by one that joins it and has all rights otherwise:
/// its walls keep a task from such nodes already, and this is the second belt.
fn opened_in(group: &Path) -> String {
    let line = "echo 0 > $0/cgroup.procs; for node in null zero urandom ptmx kmsg mem; do \
                (exec 3</dev/$node) 2>/dev/null && echo $node; done; \
                mknod $1/disk b 7 0 2>/dev/null && echo made";
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    let output = command.args(["-c", line]).arg(group).arg(dir.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn s33_tasks_within_walls_open_no_other_devices() {
    let Some(rig) = crate::enclosed::rig() else { return };
    let mut agent = rig.agent().await;
    let v1 = Path::new("/sys/fs/cgroup/devices/devices.list").exists();
    if !v1 && !agent.native.isolation().starts_with("cgroup v2") {
        println!("not run: there is no devices controller of cgroup v1");
        return rig.finish(agent).await;
    }
    assert_eq!(agent.native.warning(), None);
    // In one place by turns, so that neither has what the other was given.
    for turn in 0..2 {
        let (walled, plain) = (format!("walled-{turn}"), format!("plain-{turn}"));
        let pid = agent.launched(enclosed(&walled, "sleep 1000", Root::Host)).await.pid;
        let dir = group(&rig, "devices", pid);
        if v1 {
            let rules = read(dir.join("devices.list"));
            assert_eq!(rules.lines().count(), 8, "{rules}");
            assert!(rules.lines().all(|rule| rule.ends_with(" rw")), "{rules}");
        }
        assert_eq!(opened_in(&dir), "null zero urandom ptmx");
        end(&mut agent, &walled).await;
        let pid = agent.launched(shell(&plain, "sleep 1000")).await.pid;
        let open = opened_in(&group(&rig, "devices", pid));
        assert!(open.starts_with("null zero urandom ptmx kmsg"), "{open}");
        end(&mut agent, &plain).await;
    }
    rig.finish(agent).await;
}
