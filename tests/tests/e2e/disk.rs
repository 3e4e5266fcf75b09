//! An agent's disk that others fill: offers have none of it while it is full, people see why, and
//! what its tasks have to say is told all the same.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use proto::{Resources, TaskState};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The only agent as `tepui agents -o json` lists it.
fn agent(cluster: &Cluster) -> Value {
    let (code, out, err) = cluster.tepui(&["agents", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let agents: Value = serde_json::from_str(&out).unwrap();
    agents[0].clone()
}

/// Whether its disk is withheld.
fn is_pressed(cluster: &Cluster) -> bool {
    agent(cluster)["disk_pressed"] == true
}

/// An agent in a small file system of its own, in which somebody else writes.
pub(crate) fn is_not_offered_while_it_is_full(disk: &Path) {
    let mut cluster = Cluster::start(0, "", false);
    let work = disk.join("agent");
    cluster.add_agent("full", &work, "cpus:2;mem:512;disk:40");
    cluster.wait_for_agents(1);
    wait_for("the reserve", || work.join("reserve").exists().then_some(()));
    let mut framework = Framework::subscribe(&cluster);
    let mut number = 0;
    let mut task = |framework: &mut Framework| {
        number += 1;
        let name = format!("t{number}");
        // What tasks before gave back comes in offers of its own.
        let is_most = |offered: &Resources| offered.cpus() >= 1_000 && offered.mem() >= 16_000;
        let offer = framework.offer_with(is_most);
        let had_disk = offer.resources.scalar("disk");
        let id = framework.launch_with(offer, &name, "exit 0", Resources::cpus_mem(20, 16_000));
        framework.state(&id, TaskState::Finished);
        had_disk
    };
    assert_eq!(task(&mut framework), 40_000);
    assert!(!is_pressed(&cluster));

    let filler = disk.join("filler");
    let of = format!("of={}", filler.display());
    let output = Command::new("dd").args(["if=/dev/zero", "bs=64k", &of]).output().unwrap();
    assert!(!output.status.success(), "the disk is full");
    // What is to be written next finds that out; the offer was made before.
    task(&mut framework);
    wait_for("the disk to be withheld", || is_pressed(&cluster).then_some(()));
    let (_, out, _) = cluster.tepui(&["agents"]);
    assert!(out.contains("disk almost full: not offered"), "{out}");
    let id = agent(&cluster)["agent_id"].as_str().unwrap().to_owned();
    let (_, out, err) = cluster.tepui(&["why", &id]);
    assert!(out.contains("None of its disk is offered: it is almost full"), "{out}{err}");
    for _ in 0..10 {
        assert_eq!(task(&mut framework), 0, "no disk is offered");
    }

    std::fs::remove_file(&filler).unwrap();
    task(&mut framework);
    wait_for("the disk to be offered", || (!is_pressed(&cluster)).then_some(()));
    framework.offer_with(|offered| offered.scalar("disk") == 40_000);
}
