//! KILL: known and unknown tasks, absent agents, and the wish that is remembered.

use crate::testing::*;
use proto::TaskState::{Finished, Running};
use proto::scheduler::CallBody;
use std::time::Duration;

fn kill(id: &str, agent: Option<&str>) -> CallBody {
    CallBody::Kill { task_id: task_id(id), agent_id: agent.map(agent_id), grace: None }
}

fn running() -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    (c, agent, framework)
}

#[test]
fn a_kill_goes_to_the_agent() {
    let (mut c, _, framework) = running();
    expect(&c.call(&framework, kill("t1", None)), &["c1 <- KILL m-0000/t1"]);
    expect(&c.call(&framework, kill("t1", Some("m-S0"))), &["c1 <- KILL m-0000/t1"]);
    let grace = Some(Duration::from_secs(7));
    let call = CallBody::Kill { task_id: task_id("t1"), agent_id: None, grace };
    expect(&c.call(&framework, call), &["c1 <- KILL m-0000/t1 grace 7s"]);
}

#[test]
fn a_kill_for_another_agent_means_another_attempt() {
    let (mut c, _, framework) = running();
    expect(&c.call(&framework, kill("t1", Some("m-S9"))), &[]);
}

#[test]
fn killing_an_unknown_task_answers_what_is_known() {
    let (mut c, _, framework) = running();
    expect(
        &c.call(&framework, kill("never", None)),
        &["c2 <- UPDATE never TASK_UNKNOWN master REASON_RECONCILIATION: Reconciliation: Task is \
         unknown"],
    );
    expect(
        &c.call(&framework, kill("never", Some("m-S0"))),
        &["c2 <- UPDATE never TASK_GONE master REASON_RECONCILIATION: Reconciliation: Task is \
         unknown to its agent"],
    );
}

#[test]
fn killing_an_unknown_task_is_silent_while_agents_may_still_come_back() {
    let (mut c, _, mut framework) = running();
    c.restart_master();
    c.resubscribe(&mut framework);
    expect(&c.call(&framework, kill("t1", Some("m-S0"))), &[]);
    expect(&c.call(&framework, kill("t1", None)), &[]);
}

#[test]
fn a_kill_is_repeated_when_the_agent_comes_back() {
    let (mut c, mut agent, framework) = running();
    c.close_agent(&agent);
    expect(&c.call(&framework, kill("t1", None)), &[]);
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    expect(&lines, &["c5 <- REREGISTERED m-S0", "c5 <- KILL m-0000/t1"]);
}

#[test]
fn a_kill_is_not_repeated_for_a_task_that_ended() {
    let (mut c, mut agent, framework) = running();
    c.call(&framework, kill("t1", None));
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Finished);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert!(!lines.iter().any(|line| line.contains("KILL")), "{lines:?}");
}

#[test]
fn a_kill_of_an_unreachable_task_is_kept_until_it_comes_back() {
    let (mut c, mut agent, framework) = running();
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let lines = c.call(&framework, kill("t1", None));
    assert!(lines[0].contains("t1 TASK_UNREACHABLE master REASON_RECONCILIATION"), "{lines:?}");
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert!(lines.contains(&format!("{} <- KILL m-0000/t1", agent.connection)), "{lines:?}");
}

#[test]
fn the_grace_of_a_kill_is_repeated_too() {
    let (mut c, mut agent, framework) = running();
    let grace = Some(Duration::from_secs(7));
    c.close_agent(&agent);
    c.call(&framework, CallBody::Kill { task_id: task_id("t1"), agent_id: None, grace });
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert!(lines[1].ends_with("KILL m-0000/t1 grace 7s"), "{lines:?}");
}

fn shutdown(
    c: &mut Cluster,
    framework: &FrameworkSide,
    executor: &str,
    agent: &str,
) -> Vec<String> {
    let (executor_id, agent_id) = (executor_id(executor), agent_id(agent));
    c.call(framework, CallBody::Shutdown { executor_id, agent_id })
}

#[test]
fn the_executor_of_a_command_task_goes_by_the_tasks_id() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let agent = c.agent(cpus_mem(4, 1024));
    let tasks = ["t1", "t2"].map(|id| task_info(id, "m-S0", cpus_mem(1, 64)));
    c.launch(&framework, &["m-O0"], tasks.to_vec());
    expect(&shutdown(&mut c, &framework, "t1", "m-S0"), &["c2 <- KILL m-0000/t1"]);
    // It is remembered as a kill is.
    let report =
        ["t1", "t2"].map(|id| agent_task(&framework, id, cpus_mem(1, 64), Running)).to_vec();
    let lines = c.reregister(&mut agent.clone(), report, &[&framework]);
    let kills: Vec<&String> = lines.iter().filter(|line| line.contains("KILL")).collect();
    assert!(kills.len() == 1 && kills[0].ends_with("KILL m-0000/t1"), "{lines:?}");
}

#[test]
fn an_executor_that_nobody_knows_is_passed_over() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let other = c.framework();
    let agent = c.agent(cpus_mem(4, 1024));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    expect(&shutdown(&mut c, &framework, "t2", "m-S0"), &[]);
    expect(&shutdown(&mut c, &framework, "t1", "x"), &[]);
    expect(&shutdown(&mut c, &other, "t1", "m-S0"), &[]);
    c.update(&agent, &framework, "t1", Finished, 1);
    expect(&shutdown(&mut c, &framework, "t1", "m-S0"), &[]);
    assert_eq!(c.master.counters().shutdowns_dropped, 4);
}
