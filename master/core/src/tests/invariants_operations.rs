//! The invariants of reservations, volumes and operations: each is broken once, and seen.

use super::invariants::{broken, first_agent, first_framework};
use crate::Master;
use crate::invariants::check;
use crate::registry::RegistryOp;
use crate::testing::*;
use proto::Resources;

/// A cluster with a reservation, a volume that is being made, and an operation to acknowledge.
fn with_volume() -> Cluster {
    let mut c = Cluster::default();
    let eng = c.framework_from(framework_info("eng", &["eng"], &[]));
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    let operations = vec![
        reserve("r", reserved(&disk(50), &["eng"])),
        create("c", &[volume("v", "eng", 20)]),
        create("d", &[volume("w", "eng", 20)]),
    ];
    c.accept(&eng, &["m-O0"], operations);
    c.applied(&agent, 2, &[]);
    let offer = c.master.offers.values().next().unwrap().id.to_string();
    c.accept(&eng, &[&offer], vec![grow("g", &volume("v", "eng", 20), "eng", 5)]);
    assert_eq!(check(&c.master), []);
    c
}

fn broken_volume(id: &str, how: impl FnOnce(&mut Master)) {
    let mut c = with_volume();
    how(&mut c.master);
    let found: Vec<&str> = check(&c.master).iter().map(|violation| violation.id).collect();
    assert!(found.contains(&id), "{id} is not among {found:?}");
}

#[test]
fn m27_an_agent_that_has_more_or_less_than_its_configuration() {
    broken_volume("M27", |m| {
        let ord = first_agent(m);
        m.agents[ord].info.resources.add(&cpus_mem(1, 0));
    });
    broken_volume("M27", |m| {
        let ord = first_agent(m);
        m.agents[ord].configured = None;
    });
    broken("M27", |m| {
        let ord = first_agent(m);
        m.agents[ord].info.resources.add(&reserved(&cpus_mem(1, 0), &["eng"]));
    });
}

#[test]
fn m5_what_waits_for_the_agent_is_nobodys() {
    broken_volume("M5", |m| {
        let ord = first_agent(m);
        m.agents[ord].pending = Resources::new();
    });
    broken_volume("M5", |m| {
        let ord = first_agent(m);
        let pending = m.agents[ord].pending.clone();
        m.agents[ord].free.add(&pending);
    });
}

/// As if the registry had been told something else of the agent.
fn hold(m: &mut Master, change: impl FnOnce(&mut crate::Holdings)) {
    let agent_id = agent_id("m-S0");
    let mut holdings = m.registry.agents()[&agent_id].holdings();
    change(&mut holdings);
    m.registry.apply(&RegistryOp::SetHoldings { agent_id, holdings });
}

#[test]
fn m28_a_volume_that_is_there_and_doomed() {
    broken_volume("M28", |m| hold(m, |all| all.doomed.push(volume("w", "eng", 20))));
    broken_volume("M28", |m| {
        let twice = [volume("x", "eng", 1), volume("x", "eng", 1)];
        hold(m, |all| all.doomed.extend(twice));
    });
}

#[test]
fn m29_an_operation_that_nobody_awaits() {
    broken_volume("M29", |m| m.operations.pending.clear());
    broken_volume("M29", |m| m.operations.by_framework.clear());
    broken_volume("M29", |m| {
        let (uuid, operation) = m.registry.operations().first_key_value().unwrap();
        let (uuid, mut operation) = (*uuid, operation.clone());
        operation.end =
            Some(crate::OperationEnd { state: proto::OperationState::Pending, message: None });
        m.registry.apply(&RegistryOp::PutOperation { uuid, operation });
    });
    broken_volume("M29", |m| {
        let ord = first_framework(m);
        m.set_repeat(ord, None);
    });
}

#[test]
fn m30_a_volume_that_is_gone_and_nobody_destroyed() {
    let mut c = with_volume();
    let before = c.master.registry.clone();
    assert_eq!(crate::invariants::lost_volumes(&before, &c.master.registry), []);
    hold(&mut c.master, |all| {
        all.changed.subtract(&crate::testing::all(&[volume("w", "eng", 20)])).unwrap();
    });
    let found = crate::invariants::lost_volumes(&before, &c.master.registry);
    assert_eq!(found.iter().map(|violation| violation.id).collect::<Vec<_>>(), ["M30"]);
}
