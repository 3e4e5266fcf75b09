//! Facts on their way into the log: in their order, each once, and told of when all are durable.

use super::*;
use crate::Config;
use crate::registrar::open_registry;
use proto::Role;
use std::path::Path;
use store::{Options, Storage, Store};

fn config(dir: &Path) -> Config {
    Config::new(dir.join("data"), "host")
}

/// Weights of roles with long names: some forty of them fill an entry.
fn weights(roles: std::ops::Range<u64>, weight_milli: u64) -> Vec<RegistryOp> {
    let role = |n| Role::new(format!("role-{n:03}-{}", "x".repeat(80))).unwrap();
    roles.map(|n| RegistryOp::SetWeight { role: role(n), weight_milli }).collect()
}

/// The weights that a start finds, in the order of their roles.
fn found(dir: &Path) -> Vec<RegistryOp> {
    let facts = open_registry(&config(dir)).unwrap().registry.facts();
    facts.into_iter().filter(|op| matches!(op, RegistryOp::SetWeight { .. })).collect()
}

#[test]
fn what_is_told_of_as_durable_is_there_however_many_entries_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_registry(&config(dir.path())).unwrap();
    let (tell, told) = channel();
    let (go_on, gate) = channel::<()>();
    let mut gate = Some(gate);
    // The later ones say otherwise of half of the roles.
    for (number, ops) in
        [weights(0..1_000, 1_100), weights(500..1_000, 2_000)].into_iter().enumerate()
    {
        let (tell, gate) = (tell.clone(), gate.take());
        let done = move |result: Result<(), RegistrarError>| {
            // The first one holds up the second, until somebody has looked at what is not done.
            if let Some(gate) = gate {
                gate.recv().unwrap();
            }
            tell.send((number, result)).unwrap();
        };
        opened.registrar.propose(ops, Box::new(done));
    }
    assert!(opened.registrar.backlog() > 50_000, "{}", opened.registrar.backlog());
    go_on.send(()).unwrap();
    for number in 0..2 {
        let (of, result) = told.recv().unwrap();
        assert_eq!(of, number);
        result.unwrap();
    }
    assert_eq!(opened.registrar.backlog(), 0);
    drop(opened);
    let expected = [weights(0..500, 1_100), weights(500..1_000, 2_000)].concat();
    assert_eq!(found(dir.path()), expected);
}

#[test]
fn facts_that_no_log_takes_are_refused_by_name_and_those_before_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_registry(&config(dir.path())).unwrap();
    let (tell, told) = channel();
    let huge = "x".repeat(::registrar::MAX_ENTRY_BYTES);
    let mut ops = weights(0..10, 1_100);
    ops.push(RegistryOp::FoundCluster { cluster_id: Arc::from(huge) });
    // The last entry is taken; the whole is not kept all the same.
    ops.extend(weights(10..11, 1_100));
    opened.registrar.propose(ops, Box::new(move |result| tell.send(result).unwrap()));
    let error = told.recv().unwrap().unwrap_err();
    let data = config(dir.path()).data_dir;
    let says = format!("cannot keep facts in {}: an entry of", data.display());
    assert!(error.to_string().starts_with(&says), "{error}");
    drop(opened);
    assert_eq!(found(dir.path()), weights(0..11, 1_100));
}

#[test]
fn nothing_is_lost_when_snapshots_are_taken_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_registry(&config(dir.path())).unwrap();
    // Six times as much as makes a snapshot due.
    for round in 0..120 {
        let (tell, told) = channel();
        let ops = weights(0..1_000, 2_000 + round);
        opened.registrar.propose(ops, Box::new(move |result| tell.send(result).unwrap()));
        told.recv().unwrap().unwrap();
    }
    drop(opened);
    let member = config(dir.path()).data_dir.join("registrar");
    let store = Store::open(&member, Options::new("registrar", 1)).unwrap();
    let runs = store.scan(b"l/").count();
    drop(store);
    assert!(runs < 2_000, "{runs} of some 3,200 are left");
    assert_eq!(found(dir.path()), weights(0..1_000, 2_119));
}
