//! The jobs framework with its records at the masters: whatever burns down, the same command on
//! another machine goes on, and of two instances only the newer one does.

use crate::cluster::{Cluster, Process, free_port, wait_for};
use crate::http::{get, post};
use crate::kill_master::{assert_all_succeeded, assert_each_ran_once, batch, wait_for_successes};
use serde_json::{Value, json};
use std::fs;

/// Starts the jobs framework in a new and empty directory, with an address of its own.
fn start_jobs(cluster: &Cluster, name: &str) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let home = cluster.dir(name).display().to_string();
    let prefix = vec!["env".to_owned(), format!("--chdir={home}")];
    let masters = cluster.masters();
    let words = ["jobs", "serve", "--state", "replicated", "--master", &masters];
    let words = words.into_iter().chain(["--listen", &address]).map(str::to_owned).collect();
    let log = cluster.place.path().join(format!("{name}.log"));
    (Process::start_under(prefix, name, words, log), address)
}

fn wait_until_it_works(address: &str) {
    wait_for("the jobs framework", || get(address, "/health").filter(|a| a.status == 200));
}

/// Three masters, agents, and the jobs framework whose records are with the masters.
fn cluster(agents: usize) -> Cluster {
    let mut cluster = Cluster::start_with_three_masters(agents, "cpus:2;mem:1024");
    cluster.jobs.take().expect("it is there").stop();
    let (jobs, address) = start_jobs(&cluster, "first");
    wait_until_it_works(&address);
    cluster.jobs = Some(jobs);
    cluster.jobs_address = address;
    cluster
}

/// Ids, names and sizes of all jobs.
fn all_jobs(cluster: &Cluster) -> Vec<(String, String, u64)> {
    let answer = get(&cluster.jobs_address, "/v1/jobs").expect("the framework answers");
    let list: Value = serde_json::from_str(&answer.body).unwrap();
    let text = |job: &Value, field: &str| job[field].as_str().unwrap().to_owned();
    let jobs = list["jobs"].as_array().unwrap().iter();
    jobs.map(|job| (text(job, "id"), text(job, "name"), job["units"].as_u64().unwrap())).collect()
}

#[test]
fn jobs_go_on_elsewhere_when_their_machine_and_the_leading_master_are_gone() {
    let mut cluster = cluster(2);
    let dir = cluster.dir("told");
    let early = cluster.submit(&batch("early", 3, &cluster.dir("early"), "0"));
    cluster.wait_ended(&early);
    let id = cluster.submit(&batch("sums", 200, &dir, "0.05"));
    wait_for_successes(&cluster, &id, 50);
    let before = all_jobs(&cluster);
    cluster.leading().0.kill_9();
    cluster.jobs.as_mut().unwrap().kill_9();
    let home = cluster.dir("first");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "it needs no directory");
    fs::remove_dir_all(home).unwrap();
    let (jobs, address) = start_jobs(&cluster, "second");
    wait_until_it_works(&address);
    cluster.jobs = Some(jobs);
    cluster.jobs_address = address;
    assert_eq!(all_jobs(&cluster), before);
    let job = cluster.wait_ended(&id);
    assert_all_succeeded(&job, 200);
    assert_each_ran_once(&dir, 200);
    let job = cluster.job(&early).expect("what had ended before is known too");
    assert_all_succeeded(&job, 3);
}

#[test]
fn a_second_instance_takes_over_and_the_first_ends_even_if_it_slept() {
    let mut cluster = cluster(1);
    let dir = cluster.dir("told");
    let id = cluster.submit(&batch("sums", 60, &dir, "0.05"));
    wait_for_successes(&cluster, &id, 10);
    let mut first = cluster.jobs.take().unwrap();
    let (second, address) = start_jobs(&cluster, "second");
    wait_until_it_works(&address);
    cluster.jobs_address = address;
    assert_eq!(wait_for("the first to end", || first.ended()), 5, "{}", first.words());
    assert!(first.words().contains("has taken over"), "{}", first.words());
    // One that sleeps through it, and wakes up to masters that it has no connection with.
    second.signal("STOP");
    let (third, address) = start_jobs(&cluster, "third");
    wait_until_it_works(&address);
    cluster.jobs = Some(third);
    cluster.jobs_address = address;
    cluster.leading().0.kill_9();
    let late = cluster.submit(&batch("late", 4, &cluster.dir("late"), "0"));
    second.signal("CONT");
    let mut second = second;
    assert_eq!(wait_for("the second to end", || second.ended()), 5, "{}", second.words());
    assert_all_succeeded(&cluster.wait_ended(&id), 60);
    assert_each_ran_once(&dir, 60);
    assert_all_succeeded(&cluster.wait_ended(&late), 4);
    assert!(cluster.jobs.as_mut().unwrap().ended().is_none());
}

#[test]
fn while_no_master_leads_nothing_is_promised_and_nothing_is_lost() {
    let mut cluster = cluster(1);
    let told = cluster.submit(&batch("before", 2, &cluster.dir("before"), "0"));
    cluster.wait_ended(&told);
    cluster.master.kill_9();
    cluster.more_masters.iter_mut().for_each(|(master, _)| master.kill_9());
    let spec = batch("during", 4, &cluster.dir("during"), "0").to_string();
    let submit = || post(&cluster.jobs_address, "/v1/jobs?format=json&token=once", &spec).unwrap();
    let answer = submit();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("does one lead?"), "{answer:?}");
    assert!(get(&cluster.jobs_address, "/v1/jobs").is_some_and(|a| a.status == 200));
    cluster.master.again();
    cluster.more_masters.iter_mut().for_each(|(master, _)| master.again());
    let submit = || post(&cluster.jobs_address, "/v1/jobs?format=json&token=once", &spec).unwrap();
    let answer = wait_for("a master to lead", || Some(submit()).filter(|a| a.status < 300));
    let submitted: Value = serde_json::from_str(&answer.body).unwrap();
    assert_all_succeeded(&cluster.wait_ended(submitted["id"].as_str().unwrap()), 4);
    assert_each_ran_once(&cluster.dir("during"), 4);
    assert_eq!(all_jobs(&cluster).len(), 2);
    // What can never have room for its ends is not taken on; the limit is named.
    let large = json!({
        "kind": "batch", "name": "large", "array": 5000,
        "task": { "command": "true", "cpus": 0.1, "mem": 16 },
    });
    let answer = post(&cluster.jobs_address, "/v1/jobs?format=json", &large.to_string()).unwrap();
    assert_eq!(answer.status, 507, "{answer:?}");
    assert!(answer.body.contains("may take 393216"), "{answer:?}");
    assert_eq!(all_jobs(&cluster).len(), 2, "nothing was forgotten for what cannot fit");
}
