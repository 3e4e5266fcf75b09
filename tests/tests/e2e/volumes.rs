//! Reservations and volumes by commands: what a task wrote into a volume is there for the next one,
//! after its agent and the master were killed; destroyed, it is gone from the disk.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use proto::{Disk, Piece, Resources, TaskState, VolumeMount};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn list(cluster: &Cluster, command: &[&str]) -> Value {
    let (code, out, err) = cluster.tepui(&[command, &["-o", "json"]].concat());
    assert_eq!(code, 0, "{command:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{command:?}: {e}: {out}"))
}

fn does(cluster: &Cluster, arguments: &[&str], says: &str) {
    let (code, out, err) = cluster.tepui(arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    assert!(out.contains(says), "{arguments:?}: '{says}' is missing: {out}");
}

/// The volume of an offer, mounted at `data`, and a little of the rest.
fn with_volume(offered: &Resources) -> Resources {
    let volume = offered.volumes().pieces().first().cloned().expect("a volume");
    let flavor = volume.flavor.with(|special| {
        let disk = special.disk.take().unwrap_or_default();
        let mount = VolumeMount { container_path: "data".into(), read_only: false };
        special.disk = Some(Disk { mount: Some(mount), ..disk });
    });
    let mut all = Resources::cpus_mem(100, 16_000);
    all.add_piece(Piece { flavor, ..volume });
    all
}

/// Good for a task on the volume.
fn is_good(offered: &Resources) -> bool {
    !offered.volumes().is_empty() && offered.cpus() >= 100 && offered.mem() >= 16_000
}

/// Runs a command on the volume to its end.
fn run(framework: &mut Framework, name: &str, command: &str) {
    let offer = framework.offer_with(is_good);
    let resources = with_volume(&offer.resources);
    let task = framework.launch_with(offer, name, command, resources);
    framework.state(&task, TaskState::Finished);
}

/// Whether a file with these words is anywhere below a directory.
fn has(dir: &Path, words: &str) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => has(&entry.path(), words),
        Ok(kind) if kind.is_file() => {
            fs::read_to_string(entry.path()).is_ok_and(|text| text.trim() == words)
        }
        _ => false,
    })
}

#[test]
fn what_is_in_a_volume_outlives_tasks_agents_and_masters_until_it_is_destroyed() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512;disk:1024", false);
    does(&cluster, &["reserve", "S0", "disk=512", "--role", "eng"], "disk=512 of ");
    does(&cluster, &["volumes", "create", "S0", "data", "--size", "256", "--role", "eng"], "data");
    let listed = list(&cluster, &["volumes", "list"]);
    assert_eq!((&listed[0]["volume_id"], &listed[0]["size_mb"]), (&json!("data"), &json!(256.0)));

    let mut framework = Framework::subscribe_as(&cluster, "eng");
    run(&mut framework, "writes", "echo kept-by-the-volume > data/file");
    let offer = framework.offer_with(is_good);
    cluster.agents[0].kill_9();
    framework.rescinded(&offer.id);
    cluster.agents[0].again();
    run(&mut framework, "reads", "test \"$(cat data/file)\" = kept-by-the-volume");
    drop(framework);

    cluster.master.kill_9();
    cluster.master.again();
    wait_for("the master", || cluster.operator("GET_HEALTH"));
    cluster.wait_for_agents(1);
    assert_eq!(list(&cluster, &["volumes", "list"])[0]["size_mb"], 256.0);
    let mut framework = Framework::subscribe_as(&cluster, "eng");
    run(&mut framework, "reads again", "test \"$(cat data/file)\" = kept-by-the-volume");
    drop(framework);

    does(&cluster, &["volumes", "grow", "S0", "data", "--by", "128"], "grown");
    // The command ends when the agent has confirmed.
    let is_left = || {
        let waits =
            cluster.operator("GET_OPERATIONS").expect("an answer")["get_operations"].clone();
        (waits, list(&cluster, &["volumes", "list"])[0]["size_mb"].clone())
    };
    assert_eq!(is_left(), (json!({}), json!(384.0)));
    does(&cluster, &["volumes", "shrink", "S0", "data", "--by", "256"], "shrunk");
    assert_eq!(is_left(), (json!({}), json!(128.0)));
    let mut framework = Framework::subscribe_as(&cluster, "eng");
    run(&mut framework, "reads on", "test \"$(cat data/file)\" = kept-by-the-volume");

    let work = cluster.place.path().join("agent-0");
    assert!(has(&work, "kept-by-the-volume"), "the content is below the agent's directory");
    let (code, out, err) = cluster.tepui(&["gone", "S0"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    let lost =
        "its 0 tasks, 1 volume with 128 MB and all that is in them, the reservations of disk=512";
    assert!(err.contains(lost) && err.contains("--yes"), "{err}");
    let plan = ["maintenance", "schedule", "127.0.0.1", "--start", "+1h", "--duration", "1h"];
    does(&cluster, &plan, "127.0.0.1 away");
    let (code, out, err) = cluster.tepui(&["maintenance", "start", "127.0.0.1"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("1 volume with 128 MB") && err.contains("for good"), "{err}");
    does(&cluster, &["maintenance", "cancel", "127.0.0.1"], "127.0.0.1");
    let (code, out, err) = cluster.tepui(&["volumes", "destroy", "S0", "data"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("128 MB") && err.contains("--yes"), "{err}");
    does(&cluster, &["volumes", "destroy", "--yes", "S0", "data"], "destroyed");
    wait_for("its content to be gone", || (!has(&work, "kept-by-the-volume")).then_some(()));
    assert_eq!(list(&cluster, &["volumes", "list"]), json!([]));
    wait_for("all of the disk to be reserved space again", || {
        let left = list(&cluster, &["reservations"]);
        (left[0]["amount"] == 512.0).then_some(())
    });
    does(&cluster, &["unreserve", "S0", "disk=512", "--role", "eng"], "unreserved");
    assert_eq!(list(&cluster, &["reservations"]), json!([]));
}

#[test]
fn an_agent_that_does_not_come_back_is_shown_with_what_it_holds_and_can_be_given_up() {
    let mut cluster = Cluster::start(2, "cpus:1;mem:512;disk:1024", false);
    does(&cluster, &["reserve", "S1", "disk=512", "--role", "eng"], "disk=512 of ");
    does(&cluster, &["volumes", "create", "S1", "data", "--size", "256", "--role", "eng"], "data");
    let on = list(&cluster, &["volumes", "list"])[0]["agent_id"].clone();
    let agents = list(&cluster, &["agents"]);
    let known = agents.as_array().unwrap().iter().find(|agent| agent["agent_id"] == on).unwrap();
    let port = format!(":{}", known["port"]);
    let at = cluster.agent_addresses.iter().position(|address| address.ends_with(&port)).unwrap();
    cluster.agents[at].kill_9();
    let state = |cluster: &Cluster, state: &str| {
        let agents = list(cluster, &["agents"]);
        let all = agents.as_array().unwrap();
        all.iter().find(|agent| agent["agent_id"] == on && agent["standing"] == state).cloned()
    };
    let lost = wait_for("the agent to be given up", || state(&cluster, "unreachable"));
    assert_eq!(lost["held"], json!({"volumes": 1, "reservations": 1}));
    let (_, out, _) = cluster.tepui(&["agents"]);
    assert!(out.contains("unreachable for "), "{out}");
    assert!(out.contains(", holds 1 volume and 1 reservation"), "{out}");
    for command in [&["reservations"][..], &["volumes", "list"]] {
        assert_eq!(list(&cluster, command)[0]["agent_state"], "unreachable");
        let (_, out, _) = cluster.tepui(command);
        assert!(out.contains("STANDING") && out.contains("unreachable"), "{out}");
    }
    let (code, out, err) = cluster.tepui(&["gone", "S1"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("1 volume with 256 MB") && err.contains("disk=512"), "{err}");
    does(&cluster, &["gone", "--yes", "S1"], " is gone");
    assert_eq!(list(&cluster, &["reservations"]), json!([]));
    assert_eq!(list(&cluster, &["volumes", "list"]), json!([]));
    assert_eq!(state(&cluster, "unreachable"), None);
    // Should it come back after all, it is another one.
    cluster.agents[at].again();
    cluster.wait_for_agents(2);
    assert_eq!(state(&cluster, "active"), None);
    forgotten(&cluster, &on);
}

/// The id of an agent that was given up with something on it is kept until it is forgotten.
fn forgotten(cluster: &Cluster, id: &Value) {
    let id = id.as_str().unwrap();
    assert_eq!(list(cluster, &["gone", "--list"])[0]["agent_id"], id);
    let (code, out, err) = cluster.tepui(&["gone", "--forget", id]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("it is taken in under this id") && err.contains("--forget --yes"),
        "{err}"
    );
    does(cluster, &["gone", "--forget", "--yes", id], &format!("{id} is forgotten"));
    assert_eq!(list(cluster, &["gone", "--list"]), json!([]));
}

#[test]
fn what_cannot_be_reserved_or_made_is_refused_with_figures_and_the_fix() {
    let cluster = Cluster::start(1, "cpus:1;mem:512;disk:1024", false);
    does(&cluster, &["reserve", "S0", "disk=100,cpus=0.5", "--role", "eng"], "reserved to eng");
    for (arguments, code, words) in [
        (&["reserve", "S0", "cpus=1", "--role", "eng"][..], 5, &["0.5", "unreserved"][..]),
        (&["reserve", "S9", "cpus=1", "--role", "eng"], 3, &["S9", "tepui agents"]),
        (&["reserve", "S0", "cpu=1", "--role", "eng"], 2, &["write cpus"]),
        (&["reserve", "S0", "cpus=0.1", "--role", "*"], 2, &["*"]),
        (&["unreserve", "S0", "cpus=1", "--role", "eng"], 5, &["0.5", "reserved to eng"]),
        (&["unreserve", "S0", "cpus=0.1", "--role", "web"], 5, &["none", "web"]),
        (
            &["volumes", "create", "S0", "d", "--size", "200", "--role", "eng"],
            5,
            &["100", "200", "tepui reserve S0 disk=100"],
        ),
        (&["volumes", "destroy", "--yes", "S0", "d"], 3, &["volume d", "tepui volumes list"]),
        (&["volumes", "create", "S0", "d", "--size", "0", "--role", "eng"], 2, &["above 0"]),
    ] {
        let (got, out, err) = cluster.tepui(arguments);
        assert_eq!((got, out.as_str()), (code, ""), "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: '{word}' is missing: {err}");
        }
    }
    does(
        &cluster,
        &["reserve", "S0", "cpus=0.1", "--role", "eng/prod", "--from", "eng"],
        "eng/prod",
    );
    does(&cluster, &["unreserve", "S0", "cpus=0.1", "--role", "eng/prod"], "reserved to eng again");
}
