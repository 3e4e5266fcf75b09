//! Quota by commands, and what it does to jobs: a limit of a role above stops offers, `why` names it
//! with its figures, and without it the jobs run at once.

use crate::cluster::{Cluster, wait_for};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A command that succeeds without a complaint; gives what it said.
fn does(cluster: &Cluster, arguments: &[&str]) -> String {
    let (code, out, err) = cluster.tepui(arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

fn as_json(cluster: &Cluster, arguments: &[&str]) -> Value {
    let out = does(cluster, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
}

fn units(name: &str, count: u64, cpus: f64) -> Value {
    json!({
        "kind": "batch", "name": name, "array": count,
        "task": { "command": "exec sleep 1000", "cpus": cpus, "mem": 16 },
    })
}

#[test]
fn a_limit_of_the_role_above_holds_is_named_and_can_be_lifted() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:1024", false);
    cluster.add_jobs_as("eng/batch");
    let said = does(&cluster, &["quota", "set", "eng", "--limit", "cpus=0.5"]);
    assert_eq!(said, "eng: guarantee none, limit cpus=0.5 (was: no quota)\n");

    let id = cluster.submit(&units("held", 4, 0.25));
    cluster.wait_running(&id, 2);
    let why = wait_for("the limit to be named", || {
        let out = does(&cluster, &["why", "eng/batch"]);
        (out.contains("0.5 used, nothing left") && out.contains("limit")).then_some(out)
    });
    assert!(why.contains("eng: cpus limited to 0.5"), "{why}");
    let above = does(&cluster, &["why", "eng"]);
    assert!(above.starts_with("role eng: 0 frameworks and 1 below it"), "{above}");
    let roles = as_json(&cluster, &["roles"]);
    let eng = roles.as_array().unwrap().iter().find(|role| role["role"] == "eng").unwrap();
    assert_eq!(eng["below"]["allocated"]["cpus"], 0.5, "{eng}");
    assert_eq!(eng["dominant_share"], 0.25, "that of what is below: {eng}");
    let quota = as_json(&cluster, &["quota", "get", "eng/batch"]);
    assert_eq!(quota[0]["role"], "eng", "{quota}");
    assert_eq!((&quota[0]["used"]["cpus"], &quota[0]["left"]["cpus"]), (&json!(0.5), &json!(0.0)));
    assert_eq!(cluster.job(&id).unwrap()["counts"]["running"], 2, "no more than the limit");

    let began = Instant::now();
    let said = does(&cluster, &["quota", "rm", "eng"]);
    assert_eq!(said, "eng: no quota (was: guarantee none, limit cpus=0.5)\n");
    let above = does(&cluster, &["why", "eng"]);
    assert!(above.starts_with("role eng: 0 frameworks and 1 below it"), "without a quota: {above}");
    cluster.wait_running(&id, 4);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?} to run without the limit");
    does(&cluster, &["job", "kill", &id]);
}

#[test]
fn a_limit_below_what_runs_is_refused_unless_forced() {
    let cluster = Cluster::start(1, "cpus:2;mem:1024", true);
    let id = cluster.submit(&units("big", 1, 1.5));
    cluster.wait_running(&id, 1);
    let set = ["quota", "set", "jobs", "--limit", "cpus=1"];
    let refused = wait_for("the task to count", || {
        let (code, out, err) = cluster.tepui(&set);
        (code != 0).then_some((code, out, err))
    });
    assert_eq!((refused.0, refused.1.as_str()), (5, ""), "{}", refused.2);
    for word in ["jobs", "cpus", "1.5", "--force"] {
        assert!(refused.2.contains(word), "'{word}' is missing: {}", refused.2);
    }
    does(&cluster, &[&set[..], &["--force"]].concat());
    let quota = as_json(&cluster, &["quota", "get", "jobs"]);
    assert_eq!(quota[0]["limits"], json!({ "cpus": 1.0 }));
    assert_eq!(cluster.job(&id).unwrap()["counts"]["running"], 1, "what runs is not touched");
    let roles = as_json(&cluster, &["roles"]);
    let jobs = roles.as_array().unwrap().iter().find(|role| role["role"] == "jobs").unwrap();
    assert_eq!(jobs["quota"]["limits"], json!({ "cpus": 1.0 }), "{jobs}");
    does(&cluster, &["job", "kill", &id]);
}

#[test]
fn what_is_set_is_kept_listed_and_told_from_what_is_wrong() {
    let mut cluster = Cluster::start(1, "cpus:4;mem:1024", false);
    does(&cluster, &["quota", "set", "eng", "--guarantee", "cpus=2,mem=512", "--limit", "cpus=3"]);
    let said = does(&cluster, &["quota", "set", "eng", "--limit", "cpus=4"]);
    assert!(said.contains("guarantee cpus=2,mem=512, limit cpus=4"), "the rest stays: {said}");
    does(&cluster, &["weights", "set", "eng=2", "web=0.5"]);
    let quota = as_json(&cluster, &["quota", "get"]);
    assert_eq!(quota[0]["lacking"], json!({ "cpus": 2.0, "mem": 512.0 }), "{quota}");

    cluster.master.kill_9();
    cluster.master.again();
    wait_for("the master", || cluster.operator("GET_HEALTH"));
    cluster.wait_for_agents(1);
    let kept = as_json(&cluster, &["quota", "get", "eng"]);
    assert_eq!(kept[0]["limits"], json!({ "cpus": 4.0 }), "{kept}");
    let weights = as_json(&cluster, &["weights"]);
    let expected = json!([{ "role": "eng", "weight": 2.0 }, { "role": "web", "weight": 0.5 }]);
    assert_eq!(weights, expected);

    for (arguments, code, words) in [
        (&["quota", "get", "nobody"][..], 3, &["nobody", "tepui quota set"][..]),
        (&["quota", "rm", "nobody"], 3, &["nobody", "tepui quota get"]),
        (&["quota", "set", "eng", "--limit", "cpus=1"], 2, &["eng", "cpus", "limit 1"]),
        (&["quota", "set", "eng", "--limit", "cpu=1"], 2, &["write cpus"]),
        (&["quota", "set", "eng"], 2, &["--guarantee"]),
        (&["quota", "set", "web", "--guarantee", "cpus=99"], 5, &["cpus:101", "has 4", "--force"]),
        (&["why", "--role", "nobody"], 3, &["nobody", "tepui roles"]),
        (&["why", "nosuch"], 3, &["nosuch", "tepui job ls"]),
        (&["weights", "set", "eng=0"], 2, &["eng=0"]),
        (&["weights", "set", "eng=1", "eng=2"], 2, &["eng", "twice"]),
    ] {
        let (got, out, err) = cluster.tepui(arguments);
        assert_eq!((got, out.as_str()), (code, ""), "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: '{word}' is missing: {err}");
        }
    }
}
