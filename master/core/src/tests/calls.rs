//! Who may call, and what is refused whatever it says.

use crate::testing::*;
use crate::{Input, RequestId};
use proto::scheduler::{Call, CallBody, Subscribe};
use std::collections::BTreeSet;
use std::sync::Arc;

fn call(c: &mut Cluster, call: Call, connection: Option<u64>) -> Vec<String> {
    let connection = connection.map(crate::ConnectionId);
    c.feed(Input::Call { request: RequestId(7), connection, call })
}

fn revive(framework: Option<&FrameworkSide>) -> Call {
    let framework_id = framework.map(|side| side.id.clone());
    Call { framework_id, body: CallBody::Revive { roles: vec![] } }
}

#[test]
fn a_call_that_is_taken_is_accepted_once() {
    let mut c = Cluster::default();
    let framework = c.framework();
    expect(&call(&mut c, revive(Some(&framework)), Some(1)), &["r7 accepted"]);
}

#[test]
fn a_call_names_its_framework() {
    let mut c = Cluster::default();
    let lines = call(&mut c, revive(None), Some(1));
    expect(&lines, &["REVIVE refused (400): framework_id is missing"]);
}

#[test]
fn a_framework_that_is_not_known_cannot_call() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    framework.id = framework_id("x");
    let lines = call(&mut c, revive(Some(&framework)), Some(1));
    expect(&lines, &["REVIVE refused (400): Framework cannot be found: x"]);
}

#[test]
fn a_framework_without_a_stream_cannot_call() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.close_framework(&framework);
    let lines = call(&mut c, revive(Some(&framework)), Some(1));
    assert!(lines[0].starts_with("REVIVE refused (403): Framework is not subscribed"), "{lines:?}");
}

#[test]
fn an_old_instance_cannot_call() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    c.resubscribe(&mut framework);
    for connection in [Some(1), Some(99), None] {
        let lines = call(&mut c, revive(Some(&framework)), connection);
        assert!(lines[0].starts_with("REVIVE refused (400): The stream ID"), "{lines:?}");
    }
    expect(&call(&mut c, revive(Some(&framework)), Some(2)), &["r7 accepted"]);
}

#[test]
fn an_old_instance_cannot_kill() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    let old = framework.clone();
    c.resubscribe(&mut framework);
    let kill = CallBody::Kill { task_id: task_id("t1"), agent_id: None, grace: None };
    let lines = c.call(&old, kill);
    assert!(lines[0].starts_with("KILL refused (400)"), "{lines:?}");
}

#[test]
fn what_is_not_built_is_refused_with_501() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let body = CallBody::NotBuilt(Arc::from("UPDATE_FRAMEWORK"));
    expect(
        &c.call(&framework, body),
        &["UPDATE_FRAMEWORK refused (501): UPDATE_FRAMEWORK is not built yet"],
    );
    assert_eq!(c.master.counters().calls_refused, 1);
}

#[test]
fn a_subscribe_among_other_calls_is_refused() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let body = CallBody::Subscribe(Box::new(Subscribe {
        framework_info: framework.info.clone(),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    }));
    expect(
        &c.call(&framework, body),
        &["SUBSCRIBE refused (400): SUBSCRIBE opens a stream of its own"],
    );
}

#[test]
fn a_message_for_an_absent_agent_is_dropped() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let (agent_id, executor_id, data) = (agent_id("a"), executor_id("e"), Arc::from([]));
    expect(&c.call(&framework, CallBody::Message { agent_id, executor_id, data }), &[]);
}

#[test]
fn time_never_goes_back() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.now = proto::Time::from_millis(1);
    c.decline(&framework, &["m-O0"], std::time::Duration::from_secs(1));
    assert!(c.master.deadline().unwrap() >= proto::Time::from_millis(1_000_000));
}
