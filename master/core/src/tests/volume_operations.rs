//! Operations on volumes: how they end, when agents fail, leave and come back.

use super::volumes::{
    besides, cluster, framework, has, launch, newest, order, plain, problem, space_left, total, v,
};
use crate::testing::*;
use crate::{Options, Order};
use proto::scheduler::CallBody;
use proto::{ResourceChange, Resources};
use std::time::Duration;

#[test]
fn a_volume_that_cannot_be_made_is_undone() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("c", &[v(60)])]);
    let lines = c.applied(&agent, 1, &[("v", "no space on the disk")]);
    assert!(has(&lines, "c OPERATION_FAILED ack"), "{lines:?}");
    // Whatever of it is there goes, and its id is free when it has gone.
    assert!(has(&lines, "VOLUMES 2, destroyed v"), "{lines:?}");
    assert_eq!(besides(&c, &agent), space_left(100));
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], vec![create("again", &[v(60)])]);
    assert!(problem(&c).contains("has not deleted it yet"), "{}", problem(&c));
    c.applied(&agent, 2, &[]);
    c.call(&eng, CallBody::Revive { roles: vec![] });
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![create("again", &[v(60)])]);
    assert!(has(&lines, "VOLUMES 3 v"), "{lines:?}");
}

#[test]
fn a_volume_that_a_task_uses_stays_though_it_could_not_be_made() {
    let (mut c, eng, agent) = cluster();
    let uses = cpus_mem(1, 64).plus(&all(&[v(60)]));
    c.accept(&eng, &["m-O0"], vec![create("c", &[v(60)]), launch("t", uses)]);
    let lines = c.applied(&agent, 1, &[("v", "no space on the disk")]);
    assert!(has(&lines, "c OPERATION_FAILED ack"), "{lines:?}");
    assert!(besides(&c, &agent).contains(&all(&[v(60)])));
    assert_eq!(c.master.counters().volume_failures, 1);
}

#[test]
fn a_volume_that_cannot_grow_or_shrink_is_as_it_was() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    for (number, change) in
        [grow("o", &v(60), "eng", 30), shrink("o", &v(60), 30)].into_iter().enumerate()
    {
        let before = total(&c, &agent);
        let offer = newest(&c, &eng);
        c.accept(&eng, &[&offer], vec![change]);
        assert_ne!(total(&c, &agent), before);
        let lines = c.applied(&agent, 2 + 2 * number as u64, &[("v", "busy")]);
        assert!(has(&lines, "o OPERATION_FAILED ack"), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("<- VOLUMES") && line.ends_with(" v")));
        assert_eq!(total(&c, &agent), before);
        let uuid = *c.master.registry().operations().first_key_value().unwrap().0;
        let operation_id = operation_id("o");
        let acknowledge =
            CallBody::AcknowledgeOperationStatus { agent_id: None, uuid, operation_id };
        c.call(&eng, acknowledge);
        c.call(&eng, CallBody::Revive { roles: vec![] });
    }
}

#[test]
fn reconcile_pending_and_finished_operations() {
    let (mut c, mut eng, mut agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("p", &[v(60)])]);
    let ask = |c: &mut Cluster, eng: &FrameworkSide, id: &str| {
        let operations = match id {
            "" => vec![],
            id => vec![(operation_id(id), Some(agent_id("m-S0")))],
        };
        c.call(eng, CallBody::ReconcileOperations { operations })
    };
    let told = |lines: &[String], id: &str, state: &str| {
        let line = format!("UPDATE_OPERATION_STATUS {id} OPERATION_{state}");
        assert!(lines.len() == 1 && lines[0].ends_with(&line), "{lines:?}");
    };
    told(&ask(&mut c, &eng, "p"), "p", "PENDING");
    told(&ask(&mut c, &eng, ""), "p", "PENDING");
    told(&ask(&mut c, &eng, "x"), "x", "UNKNOWN");
    c.restart_master();
    c.resubscribe(&mut eng);
    told(&ask(&mut c, &eng, "p"), "p", "RECOVERING");
    c.reregister(&mut agent, vec![], &[]);
    told(&ask(&mut c, &eng, "p"), "p", "PENDING");
    c.applied(&agent, 1, &[]);
    // Known by its uuid alone; the answer to a question has none.
    told(&ask(&mut c, &eng, "p"), "p", "FINISHED");
    told(&ask(&mut c, &eng, ""), "p", "FINISHED");
}

#[test]
fn operation_updates_upon_agent_unreachable_and_gone() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("p", &[v(60)])]);
    c.close_agent(&agent);
    let lines = c.advance_alive(Duration::from_secs(6));
    assert!(has(&lines, "p OPERATION_UNREACHABLE"), "{lines:?}");
    let operations = vec![(operation_id("p"), None)];
    let lines = c.call(&eng, CallBody::ReconcileOperations { operations });
    assert!(has(&lines, "p OPERATION_UNREACHABLE"), "{lines:?}");
    let lines = c.order(Order::MarkAgentGone(agent.id.clone()));
    assert!(has(&lines, "p OPERATION_GONE_BY_OPERATOR"), "{lines:?}");
    assert!(c.master.registry().operations().is_empty(), "that is its end");
}

#[test]
fn an_unreachable_agent_goes_on_where_it_was() {
    let (mut c, eng, mut agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("p", &[v(60)])]);
    c.close_agent(&agent);
    c.advance_alive(Duration::from_secs(6));
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(has(&lines, "VOLUMES 2 v"), "{lines:?}");
    let lines = c.applied(&agent, 2, &[]);
    assert!(has(&lines, "p OPERATION_FINISHED ack"), "{lines:?}");
}

#[test]
fn a_drain_waits_for_operations() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("p", &[v(60)])]);
    let (agent_id, max_grace, mark_gone) = (agent.id.clone(), None, false);
    let lines = c.order(Order::DrainAgent { agent_id, max_grace, mark_gone });
    assert!(!has(&lines, "registry: drained m-S0"), "{lines:?}");
    let lines = c.applied(&agent, 1, &[]);
    assert!(has(&lines, "registry: drained m-S0"), "{lines:?}");
}

#[test]
fn a_framework_that_is_over_leaves_its_operations_to_the_agent() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("p", &[v(60)])]);
    c.call(&eng, CallBody::Teardown);
    assert_eq!(c.master.registry().operations().len(), 1);
    let lines = c.applied(&agent, 1, &[]);
    expect(&lines, &["registry: operation removed"]);
    assert!(besides(&c, &agent).contains(&all(&[v(60)])));
}

#[test]
fn operations_of_frameworks_that_never_come_back_are_forgotten() {
    let (mut c, eng, mut agent) = cluster();
    let operations =
        vec![create("p", &[v(60)]), reserve("r", reserved(&cpus_mem(1, 64), &["eng"]))];
    c.accept(&eng, &["m-O0"], operations);
    c.restart_master();
    c.reregister(&mut agent, vec![], &[]);
    c.advance_alive(Duration::from_secs(599));
    assert_eq!(c.master.registry().operations().len(), 2);
    c.advance_alive(Duration::from_secs(2));
    assert_eq!(c.master.registry().operations().len(), 1, "one is still under way");
    c.applied(&agent, 1, &[]);
    assert!(c.master.registry().operations().is_empty());
}

#[test]
fn answers_of_agents_are_taken_as_they_come() {
    let (mut c, _, agent) = cluster();
    expect(&c.applied(&agent, 7, &[("x", "what?")]), &[]);
    assert_eq!(c.master.counters().volume_failures, 1);
}

#[test]
fn the_pieces_of_one_agent_and_the_operations_of_one_framework_are_bounded() {
    let mut c = Cluster::new(Options { operations: 2, ..Options::default() });
    let agent = c.agent(plain().plus(&disk(100)));
    let resources = reserved(&disk(100), &["eng"]);
    let change = ResourceChange::Reserve { source: Resources::new(), resources };
    order(&mut c, &agent, change);
    let eng = framework(&mut c, "eng");
    let volumes = ["a", "b", "c"].map(|id| create("", &[volume(id, "eng", 1)])).to_vec();
    let lines = c.accept(&eng, &["m-O0"], volumes.clone());
    assert!(lines[0].starts_with("ACCEPT refused (503)"), "{lines:?}");
    // Those without an id count as well while they are under way.
    c.accept(&eng, &["m-O0"], volumes[..2].to_vec());
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], volumes[2..].to_vec());
    assert!(lines[0].starts_with("ACCEPT refused (503)"), "{lines:?}");
    c.applied(&agent, 1, &[]);
    let lines = c.accept(&eng, &[&offer], volumes[2..].to_vec());
    assert!(has(&lines, "VOLUMES 2 a b c"), "{lines:?}");
}
