//! Three masters under work: whichever is killed, tasks do not notice, and nothing is lost or run
//! twice.

use crate::cluster::{Cluster, Process, wait_for};
use crate::http::get;
use crate::kill_master::{
    assert_all_succeeded, assert_each_ran_once, batch, is_alive, pids_told, wait_for_successes,
};
use serde_json::{Value, json};

/// How a master stands, by its own word.
fn health(address: &str) -> Option<Value> {
    let answer = get(address, "/health").filter(|answer| answer.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}

impl Cluster {
    /// The master that leads, and where it is.
    pub(crate) fn leading(&mut self) -> (&mut Process, String) {
        let masters = self.masters();
        let leads = |address: &&str| health(address).is_some_and(|h| h["role"] == "leader");
        let at = wait_for("a leader", || masters.split(',').find(leads).map(str::to_owned));
        if at == self.master_address {
            return (&mut self.master, at);
        }
        let mut more = self.more_masters.iter_mut();
        (&mut more.find(|(_, address)| *address == at).expect("one of them").0, at)
    }
}

#[test]
fn leaders_are_killed_one_after_the_other_and_a_batch_does_not_notice() {
    let mut cluster = Cluster::start_with_three_masters(2, "cpus:2;mem:1024");
    let dir = cluster.dir("told");
    let id = cluster.submit(&batch("sums", 300, &dir, "0.05"));
    for quarter in 1..=3u64 {
        wait_for_successes(&cluster, &id, quarter * 75);
        let (leader, at) = cluster.leading();
        leader.kill_9();
        // Two go on; the third comes back under the same id, as often as it likes.
        let (next, other) = cluster.leading();
        assert_ne!(at, other);
        drop(next.words());
        let first = at == cluster.master_address;
        let mut more = cluster.more_masters.iter_mut();
        match first {
            true => cluster.master.again(),
            false => more.find(|(_, address)| *address == at).unwrap().0.again(),
        }
        wait_for("it to follow", || {
            let health = health(&at)?;
            (health["role"] == "follower" && health["leader"] == *other).then_some(())
        });
    }
    let job = cluster.wait_ended(&id);
    assert_all_succeeded(&job, 300);
    assert_each_ran_once(&dir, 300);
}

#[test]
fn tasks_run_on_while_all_masters_are_away() {
    let mut cluster = Cluster::start_with_three_masters(1, "cpus:2;mem:1024");
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "service", "name": "web", "replicas": 4,
        "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 4);
    let before = wait_for("the tasks to tell their pids", || pids_told(&dir, 4));
    cluster.master.kill_9();
    cluster.more_masters.iter_mut().for_each(|(master, _)| master.kill_9());
    assert!(cluster.operator("GET_TASKS").is_none());
    cluster.more_masters.iter_mut().for_each(|(master, _)| master.again());
    // Two of three are enough.
    cluster.wait_for_agents(1);
    wait_for("the tasks to be known again", || {
        let tasks = cluster.operator("GET_TASKS")?;
        (tasks["get_tasks"]["tasks"].as_array()?.len() == 4).then_some(())
    });
    // A second line in any file would be a second start.
    assert_eq!(pids_told(&dir, 4), Some(before.clone()));
    assert!(before.into_iter().all(is_alive));
    let (code, out, err) = cluster.tepui(&["master", "list", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let all: Value = serde_json::from_str(&out).unwrap();
    let roles: Vec<&str> =
        all["masters"].as_array().unwrap().iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "leader").count(), 1, "{all:#}");
}

#[test]
fn a_master_that_lost_its_disk_is_replaced_and_one_is_taken_out() {
    let mut cluster = Cluster::start_with_three_masters(1, "cpus:2;mem:1024");
    let (code, _, err) = cluster.tepui(&["weights", "set", "eng=2"]);
    assert_eq!(code, 0, "{err}");
    // The founder's disk is gone; what the others have is all that there is.
    cluster.master.kill_9();
    std::fs::remove_dir_all(cluster.place.path().join("master")).unwrap();
    let (code, _, err) = cluster.tepui(&["master", "leave", "1"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--yes"), "{err}");
    let listen = cluster.master_address.clone();
    let data = cluster.place.path().join("fourth").display().to_string();
    let log = cluster.place.path().join("fourth.log");
    let others = cluster.masters();
    let words = ["master", "replace", "1", &others, "--listen", &listen, "--data", &data];
    let words = words.iter().map(ToString::to_string).collect();
    cluster.master = Process::start_under(Vec::new(), "fourth", words, log);
    wait_for("the new one to vote in the place of the old one", || {
        let masters = cluster.operator("GET_MASTERS")?;
        let masters = masters["get_masters"]["masters"].as_array()?.clone();
        let has_old = masters.iter().any(|master| master["id"] == 1);
        let is_whole = masters.iter().all(|m| m["voting"] == true && m["alive"] == true);
        (masters.len() == 3 && !has_old && is_whole).then_some(())
    });
    let gone = cluster.more_masters[0].1.clone();
    let (code, out, err) = cluster.tepui(&["master", "leave", &gone, "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("none any more"), "{out}");
    wait_for("it to end by itself", || get(&gone, "/health").is_none().then_some(()));
    let (code, out, err) = cluster.tepui(&["weights"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("eng") && out.contains('2'), "{out}");
}

#[test]
fn what_is_left_of_three_masters_goes_on_alone_when_it_is_told_to() {
    let mut cluster = Cluster::start_with_three_masters(1, "cpus:2;mem:1024");
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "service", "name": "web", "replicas": 2,
        "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 2);
    let before = wait_for("the tasks to tell their pids", || pids_told(&dir, 2));
    let (code, _, err) = cluster.tepui(&["weights", "set", "eng=2"]);
    assert_eq!(code, 0, "{err}");
    // One that has all that was acknowledged; the two others are lost with their disks.
    let (left, address) = cluster.more_masters.pop().unwrap();
    let mut left = left;
    wait_for("it to have the log", || {
        let masters = cluster.operator("GET_MASTERS")?;
        let commit = masters["get_masters"]["commit"].as_u64()?;
        let health = health(&address)?;
        (health["applied"].as_u64()? >= commit).then_some(())
    });
    cluster.master.kill_9();
    cluster.more_masters[0].0.kill_9();
    wait_for("it to be alone", || (health(&address)?["leader"] == Value::Null).then_some(()));
    left.kill_9();
    let data = cluster.place.path().join("third").display().to_string();
    let (code, _, err) = cluster.tepui(&["cluster", "recover", "--data", &data]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--yes"), "{err}");
    let (code, out, err) = cluster.tepui(&["cluster", "recover", "--data", &data, "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is the only one") && out.contains("none any more"), "{out}");
    left.again();
    cluster.more_masters.push((left, address));
    // Agents have seen epochs of masters that are lost, and obey this one all the same.
    cluster.wait_for_agents(1);
    let (code, out, err) = cluster.tepui(&["weights"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("eng"), "{out}");
    assert_eq!(pids_told(&dir, 2), Some(before.clone()));
    assert!(before.into_iter().all(is_alive));
    let (code, _, err) = cluster.tepui(&["cluster", "recover", "--data", "/nowhere", "--yes"]);
    assert_eq!(code, 2, "{err}");
    let empty = cluster.dir("empty").display().to_string();
    let (code, _, err) = cluster.tepui(&["cluster", "recover", "--data", &empty, "--yes"]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("is no data directory of a master"), "{err}");
}
