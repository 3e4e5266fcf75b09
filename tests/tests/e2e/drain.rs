//! An agent is emptied by an operator's commands, and taken back: each ends with the exit code of
//! what happened, and the list of agents shows it.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use proto::{Reason, Resources, TaskState};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The only agent as `tepui agents -o json` lists it.
fn agent(cluster: &Cluster) -> Value {
    let (code, out, err) = cluster.tepui(&["agents", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let agents: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(agents.as_array().map(Vec::len), Some(1), "{out}");
    agents[0].clone()
}

fn does(cluster: &Cluster, arguments: &[&str], says: &str) {
    let (code, out, err) = cluster.tepui(arguments);
    assert_eq!((code, out.as_str(), err.as_str()), (0, says, ""), "{arguments:?}");
}

fn table_says(cluster: &Cluster, word: &str) {
    let (code, out, err) = cluster.tepui(&["agents"]);
    let is_there = out.split_whitespace().any(|found| found == word);
    assert!(code == 0 && is_there, "'{word}' is missing: {out}{err}");
}

#[test]
fn an_agent_is_drained_shown_and_reactivated() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let listed = agent(&cluster);
    let id = listed["agent_id"].as_str().unwrap();
    assert_eq!((&listed["deactivated"], &listed["drain"]), (&json!(false), &Value::Null));
    table_says(&cluster, "active");

    let drain = ["drain", id, "--max-grace", "5"];
    does(&cluster, &drain, &format!("{id} is draining\n"));
    let drained = wait_for("the drain to end", || {
        Some(agent(&cluster)).filter(|agent| agent["drain"]["state"] == "drained")
    });
    assert_eq!(
        (&drained["drain"]["max_grace_seconds"], &drained["standing"]),
        (&json!(5.0), &json!("active"))
    );
    table_says(&cluster, "drained");

    does(&cluster, &["reactivate", id], &format!("{id} is active\n"));
    does(&cluster, &["run", "--cpus", "0.1", "--", "true"], "");

    does(&cluster, &["deactivate", id], &format!("{id} is deactivated\n"));
    assert_eq!(agent(&cluster)["deactivated"], true);
    table_says(&cluster, "deactivated");
    does(&cluster, &["reactivate", id], &format!("{id} is active\n"));
    assert_eq!(agent(&cluster)["deactivated"], false);
    table_says(&cluster, "active");

    does(&cluster, &["gone", "--yes", id], &format!("{id} is gone\n"));
}

#[test]
fn a_drain_takes_offers_back_at_once_and_gives_no_task_more_than_its_grace() {
    let cluster = Cluster::start(1, "cpus:2;mem:512", false);
    let dir = cluster.dir("told");
    let mut framework = Framework::subscribe(&cluster);
    // They would take an hour, the one of them at its own wish.
    let hour = Some(Duration::from_secs(3600));
    let terms = dir.join("terms");
    let command = |name: &str, at_term: &str| {
        let (file, terms) = (dir.join(name).display().to_string(), terms.display());
        let trap = format!("trap 'echo {name} >> {terms}; {at_term}' TERM");
        format!("{trap}; touch {file}; while :; do sleep 0.1; done")
    };
    let half = Resources::cpus_mem(500, 64_000);
    let offer = framework.offer_with(|resources| resources.cpus() == 2_000);
    let polite =
        framework.launch_graced(offer, "polite", &command("a", "exit 0"), half.clone(), hour);
    framework.state(&polite, TaskState::Running);
    let offer = framework.offer_with(|resources| resources.cpus() == 1_500);
    let stubborn = framework.launch_graced(offer, "stubborn", &command("b", ":"), half, hour);
    framework.state(&stubborn, TaskState::Running);
    // TERM before its trap is set would end it.
    wait_for("traps to be set", || {
        (dir.join("a").exists() && dir.join("b").exists()).then_some(())
    });
    let standing = framework.offer_with(|resources| resources.cpus() == 1_000);

    let id = agent(&cluster)["agent_id"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let drain = ["drain", &id, "--max-grace", "2"];
    does(&cluster, &drain, &format!("{id} is draining\n"));
    framework.rescinded(&standing.id);
    wait_for("offers to be gone", || (agent(&cluster)["offered"] == json!({})).then_some(()));
    let end = framework.state(&polite, TaskState::Killed);
    assert_eq!(end.reason, Some(Reason::AgentDraining), "{end:?}");
    let end = framework.state(&stubborn, TaskState::Killed);
    assert_eq!(end.reason, Some(Reason::AgentDraining), "{end:?}");
    assert!(begun.elapsed() >= Duration::from_secs(2), "it had its grace");
    let drained = wait_for("the drain to end", || {
        Some(agent(&cluster)).filter(|agent| agent["drain"]["state"] == "drained")
    });
    assert_eq!(drained["offered"], json!({}), "{drained}");
    let told = std::fs::read_to_string(&terms).unwrap();
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_unstable();
    assert_eq!(told, ["a", "b"], "each was asked once");
}

#[test]
fn an_agent_that_is_not_known_is_exit_code_3_and_a_sentence() {
    let cluster = Cluster::start(0, "", false);
    wait_for("the master", || cluster.operator("GET_HEALTH"));
    for arguments in
        [&["drain", "nosuch"][..], &["deactivate", "nosuch"], &["reactivate", "nosuch"]]
    {
        let (code, out, err) = cluster.tepui(arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}: {err}");
        assert!(err.contains("no agent nosuch") && err.contains("tepui agents"), "{err}");
        assert!(!err.contains("400"), "{err}");
    }
    let (code, _, err) = cluster.tepui(&["why", "--framework", "nofw"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("nofw") && !err.contains("400"), "{err}");
    // Nobody runs jobs here, so it is none.
    let (code, out, err) = cluster.tepui(&["why", "nosuch"]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("no job, task, framework, role or agent called 'nosuch'"), "{err}");
}

#[test]
fn a_framework_is_torn_down_by_its_name_and_what_would_be_lost_is_said_before() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let id = cluster.submit(&json!({
        "kind": "service", "name": "held", "replicas": 2,
        "task": { "command": "exec sleep 1000", "cpus": 0.1, "mem": 16 },
    }));
    cluster.wait_running(&id, 2);
    for arguments in [&["teardown", "nosuch"][..], &["teardown", "--yes", "nosuch"]] {
        let (code, out, err) = cluster.tepui(arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{err}");
        assert!(err.contains("nosuch") && err.contains("tepui frameworks"), "{err}");
    }
    let (code, out, err) = cluster.tepui(&["teardown", "jobs"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("framework jobs (") && err.contains("its 2 tasks"), "{err}");
    assert!(cluster.job(&id).is_some_and(|job| job["counts"]["running"] == 2), "nothing was done");
    let (code, out, err) = cluster.tepui(&["teardown", "--yes", "jobs"]);
    assert!(code == 0 && out.ends_with(" is over\n"), "{code}: {out}{err}");
}
