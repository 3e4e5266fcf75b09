//! A new release in the place of the old one while tasks run: as the same process, at SIGUSR2, and
//! not where it could not go on with them.

use crate::cluster::{Cluster, program, wait_for};
use crate::http::get;
use crate::kill_master::{is_alive, pids_told};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Puts a copy of the program under test where another may be running from.
fn install(place: &Path) {
    let new = place.with_extension("new");
    fs::copy(program(), &new).unwrap();
    fs::rename(new, place).unwrap();
}

/// Something else in its place, which says what a script says.
fn install_script(place: &Path, script: &str) {
    let new = place.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, place).unwrap();
}

/// The number of the file that a process executes.
fn executed(pid: u32) -> u64 {
    fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino()
}

#[test]
fn a_new_release_takes_over_running_tasks_as_the_same_process() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let place = cluster.place.path().join("tepui");
    install(&place);
    cluster.agents[0].kill_9();
    cluster.agents[0].set_program(&place);
    cluster.agents[0].again();
    cluster.wait_for_agents(1);
    let dir = cluster.dir("pids");
    let command = format!(
        "echo $$ >> {0}/$TEPUI_INDEX; until [ -e {0}/go ]; do sleep 0.02; done; echo out; exit 7",
        dir.display()
    );
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "still", "retry": { "user": 0, "platform": 0 },
        "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 1);
    let before = wait_for("the task to tell its pid", || pids_told(&dir, 1));
    let (pid, old) = (cluster.agents[0].pid(), executed(cluster.agents[0].pid()));

    // What cannot take over is told, and nothing ends.
    let refused = [
        ("exit 1", "--version ends with exit status: 1"),
        ("echo tepui 9.0.0", "protocol version"),
        ("[ $1 = supervise ] && exit 2; echo tepui 0.0.1", "does not say which protocol"),
    ];
    for (script, said) in refused {
        let script = script.replace("echo tepui 9.0.0", "[ $1 = supervise ] && echo 99 || echo t");
        install_script(&place, &script);
        cluster.agents[0].signal("USR2");
        wait_for(said, || cluster.agents[0].words().contains(said).then_some(()));
        assert_eq!(executed(pid), old);
    }
    fs::remove_file(&place).unwrap();
    cluster.agents[0].signal("USR2");
    let said = "cannot be executed";
    wait_for(said, || cluster.agents[0].words().contains(said).then_some(()));
    assert!(get(&cluster.agent_addresses[0], "/health").is_some(), "it goes on");

    install(&place);
    let new = fs::metadata(&place).unwrap().ino();
    assert_ne!(new, old);
    cluster.agents[0].signal("USR2");
    wait_for("the new program", || (executed(pid) == new).then_some(()));
    wait_for("the agent to be registered", || {
        get(&cluster.agent_addresses[0], "/health").filter(|answer| answer.status == 200)
    });
    assert_eq!(cluster.agents[0].ended(), None, "it is the same process");
    assert_eq!(pids_told(&dir, 1).expect("it was started once"), before);
    assert!(is_alive(before[0]), "it was killed");
    fs::write(dir.join("go"), "").unwrap();
    let job = cluster.wait_ended(&id);
    assert_eq!(job["units_shown"][0]["outcome"]["exit_code"], 7, "{job:#}");
    assert_eq!(job["attempts"], 1, "{job:#}");
    assert_eq!(cluster.stdout(&id, 0), "out\n");
}

#[test]
fn a_master_becomes_its_new_release_and_its_agents_find_it() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let pid = cluster.master.pid();
    let began = started(pid);
    cluster.master.signal("USR2");
    wait_for("it to say so", || cluster.master.words().contains("takes over").then_some(()));
    cluster.wait_for_agents(1);
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "after", "task": { "command": "exit 0", "cpus": 0.1, "mem": 16 },
    }));
    assert_eq!(cluster.wait_ended(&id)["counts"]["succeeded"], 1);
    assert_eq!((cluster.master.ended(), started(pid)), (None, began), "it is the same process");
}

#[test]
fn who_is_told_to_stop_while_another_takes_over_stops() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    cluster.agents[0].signal("USR2");
    wait_for("it to say so", || cluster.agents[0].words().contains("takes over").then_some(()));
    // Wherever it is on its way by now: as the old program, or as the new one.
    cluster.agents[0].signal("TERM");
    let code = wait_for("its end", || cluster.agents[0].ended());
    if code != 0 {
        // The new one was not ready to hear it yet, and was killed: the next one takes all over.
        cluster.agents[0].again();
        cluster.wait_for_agents(1);
    }
}

/// When a process was started, in ticks: exec does not change it.
fn started(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    after.split_whitespace().nth(19).unwrap().to_owned()
}
