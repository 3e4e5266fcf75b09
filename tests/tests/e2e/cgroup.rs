//! What only root can see: memory limits, the demo as somebody else, a full disk, an agent whose
//! network is cut.

use crate::cluster::{Cluster, Process, free_port, mentioning, program, wait_for};
use crate::demo;
use crate::kill_master::{is_alive, pids_told};
use crate::program::said;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a tool of the machine that must succeed.
fn tool(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "group cgroup: root and a writable memory controller"]
fn a_task_that_takes_too_much_memory_is_told_apart_from_a_crash() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "hungry", "retry": { "user": 0, "platform": 0 },
        // tail keeps the whole of a long line in memory.
        "task": { "command": "head -c 200000000 /dev/zero | tail", "cpus": 0.5, "mem": 32 },
    }));
    cluster.wait_ended(&id);
    let detail = cluster.job(&format!("{id}/units/0")).unwrap();
    let outcome = &detail["attempts"][0]["outcome"];
    assert_eq!(outcome["name"], "oom_killed", "{detail:#}");
    assert_eq!(outcome["limit_bytes"], 32 << 20, "{detail:#}");
    assert_eq!(detail["unit"]["outcome"], *outcome, "of the unit as of its attempt: {detail:#}");
    let (code, out, err) = cluster.tepui(&["job", "show", &id]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("out of memory: used ") && out.contains(" of 33554432 bytes"), "{out}");
}

/// All control groups below this one.
fn groups(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            groups(&path, found);
            found.insert(path);
        }
    }
}

/// Control groups that have to do with a process: those it is in, and those below them.
fn groups_of(pid: u32) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let told = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    for line in told.lines() {
        let (controllers, path) =
            line.split_once(':').and_then(|(_, rest)| rest.split_once(':')).unwrap();
        let path = path.trim_start_matches('/');
        if !path.starts_with("tepui") {
            continue;
        }
        let mounts = [controllers.trim_start_matches("name="), "unified", ""];
        for mount in mounts {
            let dir = Path::new("/sys/fs/cgroup").join(mount).join(path);
            if dir.exists() {
                groups(&dir, &mut found);
                found.insert(dir);
            }
        }
    }
    found
}

#[test]
#[ignore = "group cgroup: root and a writable hierarchy"]
fn a_cluster_that_ends_leaves_no_control_groups() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "still", "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 1);
    let pids = wait_for("the task to tell its pid", || pids_told(&dir, 1));
    let groups = groups_of(pids[0]);
    assert!(!groups.is_empty(), "the task is in groups of our own name");
    drop(cluster);
    let left: Vec<_> = groups.iter().filter(|group| group.exists()).collect();
    assert_eq!(left, Vec::<&PathBuf>::new(), "left behind");
}

#[test]
#[ignore = "group cgroup: root, to become somebody else"]
fn the_demo_works_for_an_ordinary_user() {
    let place = demo::place();
    tool(&format!("chown -R 65534:65534 {}", place.path().display()));
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program())
        .args(demo::arguments(place.path()))
        .env("TMPDIR", place.path().join("tmp"))
        .current_dir(place.path());
    let said = said(&mut command);
    demo::verified(&said, place.path());
    assert!(said.err.contains("without cgroups"), "the person is told: {}", said.err);
}

#[test]
#[ignore = "group cgroup: root, to become somebody else"]
fn up_serves_nobody_but_who_started_it() {
    crate::up::serves_nobody_else();
}

/// A small file system, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, megabytes: u32) -> Self {
        fs::create_dir_all(&at).unwrap();
        tool(&format!("mount -t tmpfs -o size={megabytes}m tmpfs {}", at.display()));
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool(&format!("umount -l {}", self.0.display()));
    }
}

#[test]
#[ignore = "group cgroup: root, to mount a small disk"]
fn a_full_disk_delays_no_update_for_ever_and_is_said() {
    let place = tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap();
    let disk = Disk::new(place.path().join("disk"), 96);
    let work = disk.0.join("agent");
    let mut cluster = Cluster::start(0, "", true);
    cluster.add_agent("full", &work, "cpus:1;mem:512");
    cluster.wait_for_agents(1);
    let go = place.path().join("go");
    let command = format!(
        "until [ -e {} ]; do sleep 0.02; done; cat /dev/zero > fill; echo full >&2; exit 9",
        go.display()
    );
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "filler", "retry": { "user": 0, "platform": 0 },
        "task": { "command": command, "cpus": 0.5, "mem": 128 },
    }));
    // That it runs is durable before the disk is full: what is set aside then is for its end.
    cluster.wait_running(&id, 1);
    std::fs::write(&go, "").unwrap();
    let job = cluster.wait_ended(&id);
    assert_eq!(job["units_shown"][0]["outcome"]["exit_code"], 9, "{job:#}");
    // What `cat` and `echo` had to say found no place either.
    let message = job["units_shown"][0]["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("bytes of its output could not be stored"), "{job:#}");
    let words = cluster.agents[0].words();
    assert!(words.contains("output of a task could not be stored"), "not said:\n{words}");
    drop(cluster);
    drop(disk);
    assert_eq!(mentioning(&place.path().display().to_string()), []);
}

#[test]
#[ignore = "group cgroup: root, to mount a small disk"]
fn f22_a_disk_that_fills_is_not_offered_and_people_see_why() {
    let place = tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap();
    let disk = Disk::new(place.path().join("disk"), 96);
    crate::disk::is_not_offered_while_it_is_full(&disk.0);
    drop(disk);
    assert_eq!(mentioning(&place.path().display().to_string()), []);
}

#[test]
#[ignore = "group cgroup: root, to show an agent another boot of its host"]
fn f20_a_host_that_was_started_anew_has_lost_its_tasks_and_keeps_its_name() {
    crate::reconfiguration::a_host_that_was_started_anew_has_lost_its_tasks_and_keeps_its_name();
}

/// A network of an agent's own, joined to ours by a wire.
struct Wire(String);

impl Wire {
    fn new() -> Self {
        let name = format!("tp{}", std::process::id() % 100_000);
        let wire = Self(name.clone());
        tool(&format!("ip netns add {name}"));
        tool(&format!("ip link add {name}a type veth peer name {name}b netns {name}"));
        tool(&format!("ip addr add 10.231.77.1/24 dev {name}a"));
        tool(&format!("ip link set {name}a up"));
        tool(&format!("ip -n {name} addr add 10.231.77.2/24 dev {name}b"));
        tool(&format!("ip -n {name} link set {name}b up"));
        tool(&format!("ip -n {name} link set lo up"));
        wire
    }

    fn set(&self, what: &str) {
        tool(&format!("ip link set {}a {what}", self.0));
    }

    /// Cuts it right after a packet of the agent has come; gives that moment.
    fn cut(&self) -> Instant {
        let counter = format!("/sys/class/net/{}a/statistics/rx_packets", self.0);
        let packets = || fs::read_to_string(&counter).unwrap();
        let before = packets();
        let came = wait_for("a packet of the agent", || {
            let now = Instant::now();
            (packets() != before).then_some(now)
        });
        self.set("down");
        came
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The wire goes with the network that its other end is in.
        tool(&format!("ip netns del {}", self.0));
    }
}

#[test]
#[ignore = "group cgroup: root and network namespaces (ip netns)"]
fn f19_an_agent_that_is_cut_off_is_unreachable_and_its_tasks_come_back_alive() {
    let wire = Wire::new();
    let mut cluster = Cluster::start_at("10.231.77.1");
    let work = cluster.place.path().join("agent");
    let arguments = vec![
        "agent".to_owned(),
        "--master".to_owned(),
        cluster.master_address.clone(),
        "--listen".to_owned(),
        format!("10.231.77.2:{}", free_port()),
        "--work-dir".to_owned(),
        work.display().to_string(),
        "--resources".to_owned(),
        "cpus:1;mem:512".to_owned(),
        "--kill-tasks-on-exit".to_owned(),
        "--allow-root".to_owned(),
    ];
    let log = cluster.place.path().join("agent.log");
    let prefix = ["ip", "netns", "exec", &wire.0].map(ToOwned::to_owned).to_vec();
    cluster.agents.push(Process::start_under(prefix, "agent", arguments, log));
    cluster.wait_for_agents(1);
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "still", "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 1);
    let before = wait_for("the task to tell its pid", || pids_told(&dir, 1));
    let last_packet = wire.cut();
    wait_for("the unit to be unreachable", || {
        cluster.job(&id).filter(|job| job["counts"]["unreachable"] == 1)
    });
    let took = last_packet.elapsed();
    println!("unreachable after {} ms", took.as_millis());
    // The promise is 5 s from the last packet; the rest is what a busy machine takes to look.
    let promise = Duration::from_secs(5);
    let look = Duration::from_millis(500);
    assert!(took <= promise + look, "unreachable after {} ms", took.as_millis());
    wire.set("up");
    cluster.wait_running(&id, 1);
    assert_eq!(pids_told(&dir, 1).expect("it was started once"), before);
    assert!(is_alive(before[0]), "it was killed");
    let job = cluster.job(&id).unwrap();
    assert_eq!(job["attempts"], 1, "{job:#}");
    drop(cluster);
}
