//! Status updates and acknowledgements.

use crate::testing::*;
use proto::Capability;
use proto::TaskState::{self, Failed, Finished, Gone, Killing, Running, Staging, Starting};
use proto::agent_link::AgentCall;

fn running(capabilities: &[Capability]) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["*"], capabilities));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    (c, agent, framework)
}

fn state(c: &Cluster, framework: &FrameworkSide) -> Option<(TaskState, TaskState)> {
    let ord = c.master.framework_ids[&framework.id];
    c.master.frameworks[ord].tasks.get(&task_id("t1")).map(|task| (task.state, task.told))
}

#[test]
fn a_launched_task_is_staging_and_nobody_is_told() {
    let (c, _, framework) = running(&[]);
    assert_eq!(state(&c, &framework), Some((Staging, Staging)));
}

#[test]
fn updates_go_on_as_they_are_and_the_newest_state_is_known() {
    let (mut c, agent, framework) = running(&[]);
    let lines = c.update_late(&agent, &framework, "t1", (Starting, Running), 1);
    expect(&lines, &["c2 <- UPDATE t1 TASK_STARTING executor ack 01"]);
    assert_eq!(state(&c, &framework), Some((Running, Starting)));
}

#[test]
fn a_repeated_update_goes_on_again() {
    let (mut c, agent, framework) = running(&[]);
    let line = "c2 <- UPDATE t1 TASK_RUNNING executor ack 01";
    expect(&c.update(&agent, &framework, "t1", Running, 1), &[line]);
    expect(&c.update(&agent, &framework, "t1", Running, 1), &[line]);
}

#[test]
fn a_state_that_comes_too_late_changes_nothing() {
    let (mut c, agent, framework) = running(&[]);
    c.update(&agent, &framework, "t1", Running, 1);
    c.update(&agent, &framework, "t1", Starting, 2);
    assert_eq!(state(&c, &framework), Some((Running, Running)));
    c.update(&agent, &framework, "t1", Killing, 3);
    assert_eq!(state(&c, &framework), Some((Killing, Killing)));
}

#[test]
fn the_newest_state_frees_resources_before_anything_is_acknowledged() {
    let (mut c, agent, framework) = running(&[]);
    let lines = c.update_late(&agent, &framework, "t1", (Running, Finished), 1);
    expect(
        &lines,
        &[
            "c2 <- UPDATE t1 TASK_RUNNING executor ack 01",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
    assert_eq!(state(&c, &framework), Some((Finished, Running)));
    // The first acknowledgement does not end the task: its last update is still to come.
    c.acknowledge(&framework, &agent, "t1", 1);
    assert_eq!(state(&c, &framework), Some((Finished, Running)));
    c.update(&agent, &framework, "t1", Finished, 2);
    c.acknowledge(&framework, &agent, "t1", 2);
    assert_eq!(state(&c, &framework), None);
}

#[test]
fn what_ended_stays_ended() {
    let (mut c, agent, framework) = running(&[]);
    c.update(&agent, &framework, "t1", Failed, 1);
    let lines = c.update(&agent, &framework, "t1", Finished, 2);
    expect(&lines, &["c2 <- UPDATE t1 TASK_FINISHED executor ack 02"]);
    assert_eq!(state(&c, &framework), Some((Failed, Failed)));
}

#[test]
fn the_wrong_acknowledgement_does_not_end_a_task_but_goes_on() {
    let (mut c, agent, framework) = running(&[]);
    c.update(&agent, &framework, "t1", Finished, 1);
    let lines = c.acknowledge(&framework, &agent, "t1", 9);
    expect(&lines, &["c1 <- ACKNOWLEDGE m-0000/t1 09"]);
    assert_eq!(state(&c, &framework), Some((Finished, Finished)));
}

#[test]
fn an_acknowledgement_for_an_absent_agent_is_dropped() {
    let (mut c, agent, framework) = running(&[]);
    c.update(&agent, &framework, "t1", Finished, 1);
    c.close_agent(&agent);
    expect(&c.acknowledge(&framework, &agent, "t1", 1), &[]);
    assert_eq!(state(&c, &framework), Some((Finished, Finished)));
}

#[test]
fn an_acknowledgement_for_an_unknown_agent_is_dropped() {
    let (mut c, agent, framework) = running(&[]);
    let stranger = AgentSide { id: agent_id("x"), ..agent };
    expect(&c.acknowledge(&framework, &stranger, "t1", 1), &[]);
}

#[test]
fn an_update_waits_for_a_framework_that_is_away() {
    let (mut c, agent, mut framework) = running(&[]);
    c.close_framework(&framework);
    expect(&c.update(&agent, &framework, "t1", Running, 1), &[]);
    c.resubscribe(&mut framework);
    // The agent repeats it until it is acknowledged.
    let lines = c.update(&agent, &framework, "t1", Running, 1);
    expect(&lines, &["c4 <- UPDATE t1 TASK_RUNNING executor ack 01"]);
}

#[test]
fn an_update_of_an_unknown_task_goes_on() {
    let (mut c, agent, framework) = running(&[]);
    let lines = c.update(&agent, &framework, "never", Running, 1);
    expect(&lines, &["c2 <- UPDATE never TASK_RUNNING executor ack 01"]);
    assert_eq!(c.master.counters().updates_ignored, 1);
}

#[test]
fn an_update_for_a_framework_that_is_over_ends_it_on_the_agent() {
    let (mut c, agent, framework) = running(&[]);
    c.call(&framework, proto::scheduler::CallBody::Teardown);
    let lines = c.update(&agent, &framework, "t1", Running, 1);
    expect(&lines, &["c1 <- SHUTDOWN m-0000"]);
}

#[test]
fn an_update_on_a_stream_that_is_no_agents_is_ignored() {
    let (mut c, mut agent, framework) = running(&[]);
    agent.connection = c.connection();
    expect(&c.update(&agent, &framework, "t1", Running, 1), &[]);
}

#[test]
fn the_words_of_partitions_are_for_those_who_know_them() {
    let (mut c, agent, framework) = running(&[Capability::PartitionAware]);
    let lines = c.update(&agent, &framework, "t1", Gone, 1);
    assert_eq!(lines[0], "c2 <- UPDATE t1 TASK_GONE executor ack 01");
    let (mut c, agent, framework) = running(&[]);
    let lines = c.update(&agent, &framework, "t1", Gone, 1);
    assert_eq!(lines[0], "c2 <- UPDATE t1 TASK_LOST executor ack 01");
    c.acknowledge(&framework, &agent, "t1", 1);
    assert_eq!(state(&c, &framework), None);
}

#[test]
fn completed_tasks_are_remembered_within_a_limit() {
    let options = crate::Options { completed_tasks: 2, ..crate::Options::default() };
    let mut c = Cluster::new(options);
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    for round in 0..3_u8 {
        let id = format!("t{round}");
        let offer = format!("m-O{round}");
        c.launch(&framework, &[&offer], vec![task_info(&id, "m-S0", cpus_mem(4, 1024))]);
        c.update(&agent, &framework, &id, Finished, round);
        c.acknowledge(&framework, &agent, &id, round);
    }
    let ord = c.master.framework_ids[&framework.id];
    let past = &c.master.frameworks[ord].completed;
    let ids: Vec<&str> = past.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(ids, ["t1", "t2"]);
    assert_eq!(c.master.counters().tasks_finished, 3);
}

#[test]
fn messages_of_executors_go_to_their_framework_and_back() {
    let (mut c, agent, framework) = running(&[]);
    let (framework_id, data) = (framework.id.clone(), std::sync::Arc::from(&b"hello"[..]));
    let call = AgentCall::Message { framework_id, executor_id: executor_id("e"), data };
    expect(&c.agent_call(&agent, call), &["c2 <- MESSAGE e on m-S0, 5 bytes"]);
    let (agent_id, data) = (agent.id.clone(), std::sync::Arc::from(&b"hi"[..]));
    let call =
        proto::scheduler::CallBody::Message { agent_id, executor_id: executor_id("e"), data };
    expect(&c.call(&framework, call), &["c1 <- MESSAGE m-0000/e, 2 bytes"]);
}
