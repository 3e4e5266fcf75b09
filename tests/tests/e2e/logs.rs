//! `tepui logs` by way of any master, of tasks that run and of those that ended.

use crate::cluster::{Cluster, program, wait_for};
use crate::http::get;
use crate::program::{Running, Said, said};
use serde_json::json;
use std::process::Command;

/// `tepui` at one address.
fn at(master: &str, arguments: &[&str]) -> Said {
    said(Command::new(program()).args(arguments).args(["--master", master]))
}

#[test]
fn a_log_is_read_and_followed_by_way_of_any_master_and_after_the_end() {
    let mut cluster = Cluster::start_with_three_masters(1, "cpus:2;mem:1024");
    let go = cluster.dir("told").join("go");
    let wait = format!("until [ -e {} ]; do sleep 0.01; done", go.display());
    let command = format!("echo first; echo oops >&2; {wait}; seq 1 100000; echo last");
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "talk",
        "task": { "command": command, "cpus": 0.1, "mem": 32 },
    }));
    cluster.wait_running(&id, 1);
    let masters = cluster.masters();
    let masters: Vec<&str> = masters.split(',').collect();
    let task = format!("{id}.0.0");
    let mut follows = Vec::new();
    for master in &masters {
        let mut follow = Running::start(&["logs", "-f", "talk/0"], Some(master));
        assert_eq!(follow.line(), "first", "it is there while the task runs");
        follows.push(follow);
    }
    std::fs::write(&go, "").unwrap();
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    for follow in follows {
        assert!(follow.rest() == format!("{numbers}last\n"), "all of it, and it ends by itself");
    }
    cluster.wait_ended(&id);
    let whole = format!("first\n{numbers}last\n");
    for master in &masters {
        for name in ["talk", "talk/0", &task] {
            let read = at(master, &["logs", name]);
            assert_eq!((read.code, read.err.as_str(), read.out == whole), (0, "", true), "{name}");
        }
        assert_eq!(at(master, &["logs", "talk", "--stderr"]).out, "oops\n");
        assert_eq!(at(master, &["logs", &task, "--tail", "2"]).out, "100000\nlast\n");
        assert_eq!(at(master, &["logs", "talk", "--since", "1d"]).out, whole);
        at(master, &["logs", "nobody-s-task"]).expect(3, &["no task nobody-s-task is known"]);
    }
    // What is asked wrongly is refused with what would be right.
    at(masters[0], &["logs", "talk", "--since", "soon"]).expect(2, &["neither a duration"]);
    let (_, leader) = cluster.leading();
    for (query, status, words) in [
        ("", 400, "name a task"),
        ("task_id=x&stream=log", 400, "stdout and stderr"),
        ("task_id=x", 404, "no task x is known"),
    ] {
        let answer = get(&leader, &format!("/logs?{query}")).unwrap();
        assert_eq!((answer.status, answer.body.contains(words)), (status, true), "{answer:?}");
    }
    // An agent that is away is named; the log is there again with it.
    cluster.agents[0].kill_9();
    at(masters[0], &["logs", &task]).expect(7, &["cannot be reached", "when it is back"]);
    cluster.agents[0].again();
    cluster.wait_for_agents(1);
    assert_eq!(at(masters[1], &["logs", "-f", "--tail", "1", &task]).out, "last\n");
}

#[test]
fn who_follows_a_log_goes_on_after_agent_and_master_were_killed() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let dir = cluster.dir("told");
    let command = format!(
        "n=0; until [ -e {0}/enough ]; do n=$((n+1)); echo $n; sleep 0.01; done; \
         echo $n > {0}/last.new; mv {0}/last.new {0}/last",
        dir.display()
    );
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "count",
        "task": { "command": command, "cpus": 0.1, "mem": 32 },
    }));
    cluster.wait_running(&id, 1);
    let mut follow = Running::start(&["logs", "-f", "count/0"], Some(&cluster.masters()));
    let mut next = 1..;
    let mut read = |follow: &mut Running, lines: u64| {
        for _ in 0..lines {
            assert_eq!(Some(follow.line()), next.next().map(|n| n.to_string()));
        }
    };
    read(&mut follow, 1);
    for _ in 0..2 {
        cluster.agents[0].kill_9();
        cluster.agents[0].again();
        // More than was under way when it died.
        read(&mut follow, 200);
    }
    cluster.master.kill_9();
    cluster.master.again();
    read(&mut follow, 200);
    std::fs::write(dir.join("enough"), "").unwrap();
    let last = wait_for("the task's end", || std::fs::read_to_string(dir.join("last")).ok());
    let last: u64 = last.trim().parse().unwrap();
    let numbers: String = (602..=last).map(|n| format!("{n}\n")).collect();
    assert_eq!(follow.rest(), numbers, "no line is lost, none comes twice");
}
