//! A machine goes through maintenance by commands: planned, seen, taken down, brought back.

use crate::cluster::{Cluster, wait_for};
use serde_json::{Value, json};

fn status(cluster: &Cluster) -> Value {
    let (code, out, err) = cluster.tepui(&["maintenance", "status", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn agents(cluster: &Cluster) -> Value {
    let (code, out, err) = cluster.tepui(&["agents", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_machine_is_planned_taken_down_and_brought_back() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let id = cluster.submit(&json!({
        "kind": "service", "name": "held", "replicas": 1,
        "task": { "command": "exec sleep 1000", "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 1);
    let host = "127.0.0.1";
    let schedule = ["maintenance", "schedule", host, "--start", "+1h", "--duration", "30m"];

    let (code, out, err) = cluster.tepui(&[&schedule[..], &["--dry-run"]].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(status(&cluster), json!([]), "a dry run plans nothing");
    let (code, out, err) = cluster.tepui(&schedule);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("127.0.0.1 away from 2") && out.contains("for 30m"), "{out}");

    let (code, out, err) =
        cluster.tepui(&["maintenance", "schedule", "Host-9", "--start", "2099-01-01T00:00:00Z"]);
    assert_eq!((code, err.as_str()), (0, "note: no agent is on a machine called host-9\n"));
    assert!(out.contains("for good (2 windows planned)"), "the first is still there: {out}");
    let asked = wait_for("the framework to be asked", || {
        let all = status(&cluster);
        (!all[0]["answers"].as_array().unwrap().is_empty()).then_some(all)
    });
    let (first, second) = (&asked[0], &asked[1]);
    assert_eq!((&first["machine"], &first["state"]), (&json!(host), &json!("draining")));
    assert_eq!(
        (&first["answers"][0]["name"], &first["duration_seconds"]),
        (&json!("jobs"), &json!(1800))
    );
    assert_eq!((&second["machine"], &second["answers"]), (&json!("host-9"), &json!([])));

    let (code, _, err) = cluster.tepui(&["maintenance", "start", host]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("1 agent") && err.contains("1 task") && err.contains("--yes"), "{err}");
    assert_eq!(agents(&cluster).as_array().map(Vec::len), Some(1), "nothing was done");
    let (code, out, err) = cluster.tepui(&["maintenance", "start", "--yes", host]);
    assert_eq!((code, out.as_str()), (0, "127.0.0.1 is down for maintenance\n"), "{err}");
    assert_eq!(agents(&cluster), json!([]), "its agent is sent off");
    assert_eq!(status(&cluster)[0]["state"], "down");
    wait_for("the task to be lost", || {
        cluster.job(&id).filter(|job| job["counts"]["running"] == 0)
    });

    let (code, out, err) = cluster.tepui(&["maintenance", "stop", host]);
    assert_eq!((code, out.as_str()), (0, "127.0.0.1 is up again\n"), "{err}");
    let left = status(&cluster);
    assert_eq!((left.as_array().map(Vec::len), &left[0]["machine"]), (Some(1), &json!("host-9")));
    cluster.agents[0].stop();
    cluster.agents[0].again();
    cluster.wait_for_agents(1);
    cluster.wait_running(&id, 1);
    assert_eq!(cluster.tepui(&["job", "kill", &id]).0, 0);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_machine_and_the_fix() {
    let cluster = Cluster::start(0, "", false);
    wait_for("the master", || cluster.operator("GET_HEALTH"));
    let plan = |host| ["maintenance", "schedule", host, "--start", "+1h", "--duration", "1h"];
    assert_eq!(cluster.tepui(&plan("a")).0, 0);
    for (arguments, code, words) in [
        (&plan("a")[..], 5, &["machine a", "cancel a"][..]),
        (&["maintenance", "start", "--yes", "b"], 3, &["machine b", "schedule b"]),
        (&["maintenance", "stop", "a"], 5, &["a is not down", "status"]),
        (&["maintenance", "stop", "b"], 3, &["machine b"]),
        (&["maintenance", "cancel", "b"], 3, &["machine b"]),
        (&["maintenance", "schedule", "b", "--start", "soon"], 2, &["'soon'", "+2h"]),
        (&["maintenance", "schedule", "b", "--start", "now", "--duration", "5"], 2, &["1h30m"]),
    ] {
        let (got, out, err) = cluster.tepui(arguments);
        assert_eq!((got, out.as_str()), (code, ""), "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: '{word}' is missing: {err}");
        }
    }
    assert_eq!(cluster.tepui(&["maintenance", "start", "--yes", "a"]).0, 0);
    let (code, _, err) = cluster.tepui(&["maintenance", "cancel", "a"]);
    assert!(code == 5 && err.contains("down") && err.contains("stop a"), "{code}: {err}");
    assert_eq!(cluster.tepui(&["maintenance", "stop", "a"]).0, 0);
    assert_eq!(cluster.tepui(&plan("b")).0, 0);
    assert_eq!(cluster.tepui(&["maintenance", "cancel", "b"]).0, 0);
    assert_eq!(status(&cluster), json!([]));
}
