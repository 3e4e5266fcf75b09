//! SIGKILL of the jobs framework, and of every part in an order that a seed chooses.

use crate::cluster::{Cluster, wait_for};
use crate::http::{get, post};
use crate::kill_master::{assert_all_succeeded, assert_each_ran_once, batch, wait_for_successes};
use serde_json::Value;
use sim::prng::Prng;
use std::time::Duration;

#[test]
fn a_killed_jobs_framework_loses_nothing_and_runs_nothing_twice() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:1024", true);
    let dir = cluster.dir("told");
    let id = cluster.submit(&batch("sums", 200, &dir, "0.05"));
    for step in 1..=4u64 {
        wait_for_successes(&cluster, &id, step * 40);
        let jobs = cluster.jobs.as_mut().unwrap();
        jobs.kill_9();
        jobs.again();
    }
    let job = cluster.wait_ended(&id);
    assert_all_succeeded(&job, 200);
    assert_each_ran_once(&dir, 200);
}

#[test]
fn every_part_killed_in_a_seeded_order_loses_nothing_and_runs_nothing_twice() {
    let mut cluster = Cluster::start(2, "cpus:2;mem:1024", true);
    let dir = cluster.dir("told");
    let id = cluster.submit(&batch("sums", 300, &dir, "0.05"));
    let mut dice = Prng::new(2);
    for step in 0..25 {
        wait_for_successes(&cluster, &id, step * 10);
        let part = match dice.below(4) {
            0 => &mut cluster.master,
            1 => cluster.jobs.as_mut().unwrap(),
            2 => &mut cluster.agents[0],
            _ => &mut cluster.agents[1],
        };
        part.kill_9();
        part.again();
        // waits: for a moment of the cluster's life that the seed chooses
        std::thread::sleep(Duration::from_millis(dice.below(100)));
    }
    let job = cluster.wait_ended(&id);
    assert_all_succeeded(&job, 300);
    assert_each_ran_once(&dir, 300);
}

#[test]
fn a_job_is_durable_when_its_submit_returns_and_a_token_submits_once() {
    let mut cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let dir = cluster.dir("told");
    for at in 0..10 {
        let spec = batch(&format!("job-{at}"), 1, &dir.join(at.to_string()), "0").to_string();
        std::fs::create_dir(dir.join(at.to_string())).unwrap();
        let path = format!("/v1/jobs?format=json&token=token-{at}");
        let first = post(&cluster.jobs_address, &path, &spec).unwrap();
        let jobs = cluster.jobs.as_mut().unwrap();
        jobs.kill_9();
        jobs.again();
        wait_for("the framework", || get(&cluster.jobs_address, "/health"));
        let again = post(&cluster.jobs_address, &path, &spec).unwrap();
        assert_eq!((first.status, again.status), (201, 200), "{}", again.body);
        let id = |answer: &str| serde_json::from_str::<Value>(answer).unwrap()["id"].clone();
        assert_eq!(id(&first.body), id(&again.body));
        cluster.wait_ended(id(&first.body).as_str().unwrap());
        assert_each_ran_once(&dir.join(at.to_string()), 1);
    }
}
