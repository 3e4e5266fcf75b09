//! RECONCILE: each row of the table, for both kinds of frameworks.

use crate::testing::*;
use proto::Capability;
use proto::TaskState::{Finished, Running};
use proto::scheduler::CallBody;
use std::time::Duration;

fn reconcile(tasks: &[(&str, Option<&str>)]) -> CallBody {
    let tasks = tasks.iter().map(|(id, agent)| (task_id(id), agent.map(agent_id))).collect();
    CallBody::Reconcile { tasks }
}

fn running(aware: bool) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let aware: &[Capability] = if aware { &[Capability::PartitionAware] } else { &[] };
    let framework = c.framework_from(framework_info("f", &["*"], aware));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    (c, agent, framework)
}

/// The state in the only answer.
fn answer(c: &mut Cluster, framework: &FrameworkSide, id: &str, agent: Option<&str>) -> String {
    let lines = c.call(framework, reconcile(&[(id, agent)]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" master REASON_RECONCILIATION"), "{lines:?}");
    assert!(!lines[0].contains("ack"), "it needs no acknowledgement: {lines:?}");
    lines[0].split(' ').nth(4).unwrap().to_owned()
}

#[test]
fn a_known_task_has_the_state_it_was_told() {
    let (mut c, agent, framework) = running(true);
    assert_eq!(answer(&mut c, &framework, "t1", None), "TASK_STAGING");
    c.update_late(&agent, &framework, "t1", (Running, Finished), 1);
    assert_eq!(answer(&mut c, &framework, "t1", None), "TASK_RUNNING");
    assert_eq!(answer(&mut c, &framework, "t1", Some("m-S9")), "TASK_RUNNING");
}

#[test]
fn an_ended_task_is_known_until_it_is_acknowledged() {
    let (mut c, agent, framework) = running(true);
    c.update(&agent, &framework, "t1", Finished, 1);
    assert_eq!(answer(&mut c, &framework, "t1", Some("m-S0")), "TASK_FINISHED");
    c.acknowledge(&framework, &agent, "t1", 1);
    assert_eq!(answer(&mut c, &framework, "t1", Some("m-S0")), "TASK_GONE");
}

#[test]
fn there_is_no_answer_while_its_agent_may_come_back() {
    let (mut c, _, mut framework) = running(true);
    c.restart_master();
    c.resubscribe(&mut framework);
    expect(&c.call(&framework, reconcile(&[("t1", Some("m-S0"))])), &[]);
    expect(&c.call(&framework, reconcile(&[("t1", None)])), &[]);
    // About an agent that never was, there is nothing to wait for.
    assert_eq!(answer(&mut c, &framework, "t1", Some("x")), "TASK_UNKNOWN");
}

#[test]
fn an_agent_that_is_here_and_has_it_not() {
    let (mut c, _, framework) = running(true);
    assert_eq!(answer(&mut c, &framework, "never", Some("m-S0")), "TASK_GONE");
    let (mut c, _, framework) = running(false);
    assert_eq!(answer(&mut c, &framework, "never", Some("m-S0")), "TASK_LOST");
}

#[test]
fn an_agent_that_is_unreachable() {
    let (mut c, agent, framework) = running(true);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    assert_eq!(answer(&mut c, &framework, "t1", None), "TASK_UNREACHABLE");
    assert_eq!(answer(&mut c, &framework, "never", Some("m-S0")), "TASK_UNREACHABLE");
    let (mut c, agent, framework) = running(false);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    assert_eq!(answer(&mut c, &framework, "t1", None), "TASK_LOST");
    assert_eq!(answer(&mut c, &framework, "never", Some("m-S0")), "TASK_LOST");
}

#[test]
fn an_unreachable_agent_is_remembered_by_the_next_master() {
    let (mut c, agent, mut framework) = running(true);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    c.restart_master();
    c.resubscribe(&mut framework);
    assert_eq!(answer(&mut c, &framework, "t1", Some("m-S0")), "TASK_UNREACHABLE");
}

#[test]
fn an_agent_that_nobody_knows() {
    let (mut c, _, framework) = running(true);
    assert_eq!(answer(&mut c, &framework, "never", Some("x")), "TASK_UNKNOWN");
    assert_eq!(answer(&mut c, &framework, "never", None), "TASK_UNKNOWN");
    let (mut c, _, framework) = running(false);
    assert_eq!(answer(&mut c, &framework, "never", None), "TASK_LOST");
}

#[test]
fn an_empty_list_asks_for_all() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let tasks = ["t1", "t2", "t3"].map(|id| task_info(id, "m-S0", cpus_mem(1, 64))).to_vec();
    c.launch(&framework, &["m-O0"], tasks);
    c.update(&agent, &framework, "t1", Running, 1);
    c.update(&agent, &framework, "t2", Finished, 2);
    c.update(&agent, &framework, "t3", Finished, 3);
    c.acknowledge(&framework, &agent, "t3", 3);
    let end = "master REASON_RECONCILIATION: Reconciliation: Latest task state";
    expect(
        &c.call(&framework, reconcile(&[])),
        &[
            &format!("c2 <- UPDATE t1 TASK_RUNNING {end}"),
            &format!("c2 <- UPDATE t2 TASK_FINISHED {end}"),
        ],
    );
}

#[test]
fn unreachable_tasks_are_in_the_answer_for_the_partition_aware() {
    let (mut c, agent, framework) = running(true);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let lines = c.call(&framework, reconcile(&[]));
    assert!(lines[0].contains("t1 TASK_UNREACHABLE"), "{lines:?}");
    let (mut c, agent, framework) = running(false);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    expect(&c.call(&framework, reconcile(&[])), &[]);
}

#[test]
fn an_answer_says_since_when_the_agent_is_unreachable() {
    let (mut c, agent, framework) = running(true);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let since = c.now;
    c.advance(Duration::from_secs(5));
    c.call(&framework, reconcile(&[("t1", None)]));
    let told = c.effects.iter().find_map(|effect| match effect {
        crate::Effect::ToFramework { event: proto::scheduler::Event::Update(status), .. } => {
            status.unreachable_time
        }
        _ => None,
    });
    assert_eq!(told, Some(since));
}

#[test]
fn many_answers_come_in_slices_at_a_pace() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let many = |range: std::ops::Range<u32>| {
        let tasks = range.map(|n| (task_id(&format!("t{n}")), None)).collect();
        CallBody::Reconcile { tasks }
    };
    assert_eq!(c.call(&framework, many(0..2500)).len(), 1000);
    // What is asked meanwhile has its turn after it.
    assert_eq!(c.call(&framework, many(2500..2501)), [""; 0]);
    assert_eq!(c.advance(Duration::from_millis(10)).len(), 1000);
    let lines = c.advance(Duration::from_millis(10));
    assert_eq!(lines.len(), 501);
    assert!(lines[500].contains("t2500 TASK_UNKNOWN"), "{}", lines[500]);
    assert!(c.advance(Duration::from_secs(1)).is_empty());
}

#[test]
fn so_many_may_wait_and_no_more() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let many = |count: u32| {
        let tasks = (0..count).map(|n| (task_id(&format!("t{n}")), None)).collect();
        CallBody::Reconcile { tasks }
    };
    c.call(&framework, many(60_000));
    c.call(&framework, many(60_000));
    expect(
        &c.call(&framework, many(60_000)),
        &[
            "RECONCILE refused (503): 60000 tasks to reconcile, and 119000 wait; at most 131072 may: \
           ask again when the answers have come",
        ],
    );
    c.close_framework(&framework);
    assert!(c.advance(Duration::from_secs(1)).is_empty());
}

#[test]
fn all_tasks_are_answered_for_once_however_many_there_are() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4000, 1_024_000));
    let framework = c.framework();
    let task = |n: u32| task_info(&format!("t{n:04}"), "m-S0", cpus_mem(1, 64));
    c.launch(&framework, &["m-O0"], (0..2500).map(task).collect());
    let mut lines = c.call(&framework, CallBody::Reconcile { tasks: vec![] });
    assert_eq!(lines.len(), 1000);
    // One that is asked while another waits its turn is another one.
    lines.extend(c.call(&framework, CallBody::Reconcile { tasks: vec![] }));
    lines.extend(c.call(&framework, CallBody::Reconcile { tasks: vec![] }));
    lines.extend(c.advance_alive(Duration::from_secs(1)));
    lines.retain(|line| line.contains("REASON_RECONCILIATION"));
    assert_eq!(lines.len(), 5000);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 2500);
}
