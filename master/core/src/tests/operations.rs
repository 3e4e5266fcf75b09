//! RECONCILE_OPERATIONS: each row of the table.

use crate::Order;
use crate::testing::*;
use proto::OperationId;
use proto::scheduler::CallBody;
use std::time::Duration;

fn ask(c: &mut Cluster, framework: &FrameworkSide, agent: Option<&str>) -> Vec<String> {
    let id = OperationId::new("o1").expect("a test's id is valid");
    c.call(framework, CallBody::ReconcileOperations { operations: vec![(id, agent.map(agent_id))] })
}

#[test]
fn an_operation_nobody_knows_is_as_its_agent_is() {
    let mut c = Cluster::default();
    let away = c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(1, 64));
    let mut framework = c.framework();
    c.close_agent(&away);
    c.advance_alive(Duration::from_secs(6));
    c.order(Order::MarkAgentGone(agent_id("m-S1")));
    let told = |state: &str| vec![format!("c4 <- UPDATE_OPERATION_STATUS o1 OPERATION_{state}")];
    assert_eq!(ask(&mut c, &framework, Some("m-S0")), told("UNREACHABLE"));
    assert_eq!(ask(&mut c, &framework, Some("m-S1")), told("GONE_BY_OPERATOR"));
    assert_eq!(ask(&mut c, &framework, Some("m-S2")), told("UNKNOWN"));
    assert_eq!(ask(&mut c, &framework, Some("x")), told("UNKNOWN"));
    assert_eq!(ask(&mut c, &framework, None), told("UNKNOWN"));
    c.restart_master();
    c.resubscribe(&mut framework);
    for agent in [Some("m-S2"), None] {
        let lines = ask(&mut c, &framework, agent);
        assert!(lines[0].ends_with("OPERATION_RECOVERING"), "{lines:?}");
    }
}

#[test]
fn of_all_that_are_known_there_are_none() {
    let mut c = Cluster::default();
    let framework = c.framework();
    expect(&c.call(&framework, CallBody::ReconcileOperations { operations: vec![] }), &[]);
}
