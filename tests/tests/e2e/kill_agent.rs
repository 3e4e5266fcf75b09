//! SIGKILL of the agent: the tasks go on under their supervisor, and the next agent takes them up
//! with every exit status and every byte.

use crate::cluster::{Cluster, wait_for};
use crate::http::get;
use crate::kill_master::{
    assert_all_succeeded, assert_each_ran_once, batch, is_alive, pids_told, wait_for_successes,
};
use serde_json::json;
use sim::prng::Prng;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn an_agent_killed_a_hundred_times_loses_nothing() {
    let mut cluster = Cluster::start(1, "cpus:4;mem:4096", true);
    let dir = cluster.dir("told");
    let counters = dir.display().to_string();
    // Tasks that count on standard output until the test says that it is enough.
    let command = format!(
        "n=0; while [ ! -e {counters}/enough ]; do n=$((n+1)); echo $n; sleep 0.02; done; \
         echo $n >> {counters}/last-$TEPUI_INDEX; exit 7"
    );
    let long = cluster.submit(&json!({
        "kind": "batch", "name": "counters", "array": 4,
        "retry": { "user": 0, "platform": 0 },
        "task": { "command": command, "cpus": 0.25, "mem": 16 },
    }));
    cluster.wait_running(&long, 4);
    let short = cluster.submit(&batch("short", 400, &dir, "0.02"));
    let mut dice = Prng::new(4711);
    for step in 0..50u64 {
        // In the middle of work, and then once more while the next agent starts.
        wait_for_successes(&cluster, &short, step * 7);
        cluster.agents[0].kill_9();
        cluster.agents[0].again();
        // waits: for a moment of the agent's start that the seed chooses
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        cluster.agents[0].kill_9();
        cluster.agents[0].again();
    }
    let ended = cluster.wait_ended(&short);
    assert_all_succeeded(&ended, 400);
    assert_each_ran_once(&dir, 400);
    fs::write(dir.join("enough"), "").unwrap();
    let job = cluster.wait_ended(&long);
    assert_eq!(job["attempts"], 4, "{job:#}");
    for unit in 0..4u64 {
        let shown = &job["units_shown"][unit as usize];
        assert_eq!(shown["outcome"]["exit_code"], 7, "{shown:#}");
        let last = fs::read_to_string(dir.join(format!("last-{unit}"))).unwrap();
        let last: u64 = last.trim().parse().expect("one line: it ran once");
        let expected: String = (1..=last).map(|n| format!("{n}\n")).collect();
        assert_eq!(cluster.stdout(&long, unit), expected, "output of unit {unit}");
    }
}

#[test]
fn f18_an_agent_that_was_stopped_comes_back_with_its_tasks() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "still", "task": { "command": command, "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 1);
    let before = wait_for("the task to tell its pid", || pids_told(&dir, 1));
    cluster.agents[0].signal("STOP");
    wait_for("the unit to be unreachable", || {
        cluster.job(&id).filter(|job| job["counts"]["unreachable"] == 1)
    });
    cluster.agents[0].signal("CONT");
    cluster.wait_running(&id, 1);
    assert_eq!(pids_told(&dir, 1).expect("it was started once"), before);
    assert!(is_alive(before[0]), "it was killed");
    let job = cluster.job(&id).unwrap();
    assert_eq!(job["attempts"], 1, "{job:#}");
}

#[test]
fn a_thousand_running_tasks_are_taken_up_within_a_second() {
    const TASKS: u64 = 1000;
    let mut cluster = Cluster::start(1, "cpus:100;mem:32000", true);
    let dir = cluster.dir("pids");
    let command = format!("echo $$ >> {}/$TEPUI_INDEX; exec sleep 1000", dir.display());
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "many", "array": TASKS,
        "task": { "command": command, "cpus": 0.05, "mem": 8 },
    }));
    cluster.wait_running(&id, TASKS);
    let before = wait_for("the tasks to tell their pids", || pids_told(&dir, TASKS));
    cluster.agents[0].kill_9();
    let began = Instant::now();
    cluster.agents[0].again();
    wait_for("the agent to be registered", || {
        get(&cluster.agent_addresses[0], "/health").filter(|answer| answer.status == 200)
    });
    let took = began.elapsed();
    println!("an agent with {TASKS} running tasks is back after {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "took {} ms", took.as_millis());
    let job = cluster.job(&id).unwrap();
    assert_eq!(job["counts"]["running"], TASKS, "{job:#}");
    assert_eq!(job["attempts"], TASKS, "{job:#}");
    assert_eq!(pids_told(&dir, TASKS).expect("each tells one pid"), before);
    assert_eq!(before.iter().filter(|pid| !is_alive(**pid)).count(), 0, "some are gone");
}
