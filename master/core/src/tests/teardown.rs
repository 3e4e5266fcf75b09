//! TEARDOWN, by the framework and by operators.

use crate::registry::Registry;
use crate::testing::*;
use proto::TaskState::{self, Finished, Running};
use proto::operator::Call;
use proto::scheduler::CallBody;
use std::time::Duration;

#[test]
fn its_agents_kill_its_tasks_and_nobody_is_told_of_them() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    // What it held is free at once.
    expect(
        &c.call(&framework, CallBody::Teardown),
        &[
            "registry: complete m-0000",
            "c1 <- SHUTDOWN m-0000",
            "c2 closed",
            "c3 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn its_tasks_are_killed_in_the_books() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let tasks = ["t1", "t2"].map(|id| task_info(id, "m-S0", cpus_mem(1, 64))).to_vec();
    c.launch(&framework, &["m-O0"], tasks);
    c.update(&agent, &framework, "t1", Running, 1);
    c.update(&agent, &framework, "t2", Finished, 2);
    c.call(&framework, CallBody::Teardown);
    let past = c.master.past.back().unwrap();
    let states: Vec<TaskState> = past.tasks.iter().map(|task| task.step.state).collect();
    assert_eq!(states, [TaskState::Killed, Finished]);
}

#[test]
fn an_operator_may_remove_a_framework() {
    let mut c = Cluster::default();
    let framework = c.framework();
    expect(
        &c.operator(Call::Teardown(framework.id.clone())),
        &[
            "registry: complete m-0000",
            "c1 <- ERROR Framework has been removed",
            "c1 closed",
            "answer: Ok",
        ],
    );
    expect(
        &c.operator(Call::Teardown(framework.id)),
        &["TEARDOWN refused (400): Framework cannot be found: m-0000"],
    );
}

#[test]
fn unreachable_tasks_end_with_their_framework() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    c.call(&framework, CallBody::Teardown);
    let task = agent_task(&framework, "t1", cpus_mem(1, 64), Running);
    let lines = c.reregister(&mut agent, vec![task], &[&framework]);
    assert!(lines.iter().any(|line| line.ends_with("SHUTDOWN m-0000")), "{lines:?}");
}

#[test]
fn completed_frameworks_are_remembered_within_a_limit() {
    let mut c = Cluster::default();
    let mut first = c.framework();
    c.call(&first, CallBody::Teardown);
    for _ in 0..Registry::COMPLETED_KEPT {
        let framework = c.framework();
        c.call(&framework, CallBody::Teardown);
    }
    assert_eq!(c.master.past.len(), Registry::COMPLETED_KEPT);
    let lines = c.resubscribe(&mut first);
    assert!(lines[0].contains("SUBSCRIBED m-0000"), "forgotten, as in Mesos: {lines:?}");
}
