//! How operations end, how long that is remembered, and what bounds them.

use super::reservations::{framework, newest, reserve_on, statuses, told, total};
use crate::Options;
use crate::testing::*;
use proto::operator::Call;
use proto::scheduler::CallBody;
use proto::{AgentId, OperationState, ResourceChange, TaskState};
use std::time::Duration;

#[test]
fn an_invalid_offer_is_an_error_for_each_operation() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let one = reserved(&cpus_mem(1, 64), &["eng"]);
    let operations = vec![reserve("a", one.clone()), reserve("", one)];
    c.accept(&eng, &["m-O7"], operations.clone());
    let said = "Operation attempted with invalid offers: Offer m-O7 is no longer valid";
    assert_eq!(told(&c), (OperationState::Error, said.to_owned()));
    c.accept(&eng, &["m-O0"], operations.clone());
    assert_eq!(told(&c).0, OperationState::Finished);
    // The same call again: what it did is done.
    c.accept(&eng, &["m-O0"], operations);
    assert_eq!(statuses(&c), []);
}

/// The whole round: a status is repeated until it is acknowledged, by the next master too.
#[test]
fn a_status_is_repeated_until_it_is_acknowledged() {
    let mut c = Cluster::default();
    let mut eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let one = reserved(&cpus_mem(1, 64), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("o", one.clone())]);
    let status = statuses(&c).remove(0);
    assert_eq!((status.state, &status.converted), (OperationState::Finished, &one));
    let uuid = status.uuid.expect("it wants to be acknowledged");
    let mut at = Vec::new();
    for second in 1..=75 {
        let lines = c.advance_alive(Duration::from_secs(1));
        at.extend(lines.iter().any(|l| l.contains("OPERATION_FINISHED ack")).then_some(second));
    }
    assert_eq!(at, [10, 30, 70], "with growing pauses");
    c.restart_master();
    let lines = c.resubscribe(&mut eng);
    assert!(lines.iter().any(|line| line.contains("o OPERATION_FINISHED ack")), "{lines:?}");
    let acknowledge = |id: &str| CallBody::AcknowledgeOperationStatus {
        agent_id: None,
        uuid,
        operation_id: operation_id(id),
    };
    expect(&c.call(&eng, acknowledge("another")), &[]);
    expect(&c.call(&eng, acknowledge("o")), &["registry: operation removed"]);
    expect(&c.call(&eng, acknowledge("o")), &[]);
    assert!(c.master.registry().operations().is_empty());
}

#[test]
fn operations_that_are_not_acknowledged_are_bounded() {
    let mut c = Cluster::new(Options { operations: 2, ..Options::default() });
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let one = || reserved(&cpus_mem(1, 64), &["eng"]);
    let three = ["a", "b", "c"].map(|id| reserve(id, one())).to_vec();
    let refused = "ACCEPT refused (503): 3 operations, and 0 are under way or not acknowledged; at \
                   most 2 may be: acknowledge their statuses first";
    expect(&c.accept(&eng, &["m-O0"], three.clone()), &[refused]);
    c.accept(&eng, &["m-O0"], three[..2].to_vec());
    assert_eq!(statuses(&c).len(), 2);
    let offer = newest(&c, "eng");
    let lines = c.accept(&eng, &[&offer], vec![reserve("a", one())]);
    assert!(lines[0].starts_with("ACCEPT refused (503)"), "{lines:?}");
}

#[test]
fn an_id_is_used_again_once_it_is_acknowledged() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let one = || reserved(&cpus_mem(1, 64), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("a", one()), reserve("a", one())]);
    let states: Vec<_> = statuses(&c).iter().map(|status| status.state).collect();
    assert_eq!(states, [OperationState::Finished, OperationState::Error]);
}

#[test]
fn a_framework_that_is_over_leaves_its_reservations() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(4, 1024));
    let one = reserved(&cpus_mem(1, 64), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("a", one.clone())]);
    c.call(&eng, CallBody::Teardown);
    assert!(c.master.registry().operations().is_empty());
    assert!(total(&c, &agent).contains(&one));
}

#[test]
fn an_unreachable_agent_with_reservations_is_not_forgotten() {
    let mut c = Cluster::new(Options { unreachable_agents: 0, ..Options::default() });
    let agents: Vec<AgentSide> = (0..2).map(|_| c.agent(cpus_mem(4, 1024))).collect();
    reserve_on(&mut c, &agents[0], reserved(&cpus_mem(1, 64), &["eng"]));
    agents.iter().for_each(|agent| drop(c.close_agent(agent)));
    c.advance_alive(Duration::from_secs(6));
    let left: Vec<&AgentId> = c.master.registry().agents().keys().collect();
    assert_eq!(left, [&agents[0].id]);
    // Gone is gone, with all that was there.
    c.order(crate::Order::MarkAgentGone(agents[0].id.clone()));
    assert!(c.master.registry().agents().is_empty());
}

#[test]
fn tasks_of_a_framework_that_is_over_do_not_keep_an_agent_away_whose_reservations_were_undone() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let mut agent = c.agent(cpus_mem(4, 1024));
    let all = reserved(&cpus_mem(4, 1024), &["eng"]);
    let launch = proto::Operation::Launch(vec![task_info("t", "m-S0", all.clone())]);
    c.accept(&eng, &["m-O0"], vec![reserve("", all.clone()), launch]);
    // The order to end the task does not reach the agent.
    c.call(&eng, CallBody::Teardown);
    let change = ResourceChange::Unreserve { resources: all.clone() };
    c.operator(Call::ChangeResources { agent_id: agent.id.clone(), change });
    assert_eq!(total(&c, &agent), cpus_mem(4, 1024));
    let task = agent_task(&eng, "t", all, TaskState::Running);
    let lines = c.reregister(&mut agent, vec![task], &[&eng]);
    let told = ["c2 closed", "c6 <- REREGISTERED m-S0", "c6 <- SHUTDOWN m-0000"];
    assert_eq!(lines, told);
}
