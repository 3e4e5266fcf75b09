//! Agents that operators deactivate, drain and give up for ever.

use crate::testing::*;
use crate::{Options, Order};
use proto::TaskState::{Finished, Killed, Killing, Running};
use proto::operator::Call;
use proto::scheduler::CallBody;
use proto::{Capability, ResourceChange, Resources};
use std::time::Duration;

const AWARE: &[Capability] = &[Capability::PartitionAware];

/// A running task `t1` with all of the only agent.
fn running(capabilities: &[Capability]) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["*"], capabilities));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    c.acknowledge(&framework, &agent, "t1", 1);
    (c, agent, framework)
}

fn deactivate(c: &mut Cluster) -> Vec<String> {
    c.order(Order::DeactivateAgent(agent_id("m-S0")))
}

fn reactivate(c: &mut Cluster) -> Vec<String> {
    c.order(Order::ReactivateAgent(agent_id("m-S0")))
}

fn gone(c: &mut Cluster) -> Vec<String> {
    c.order(Order::MarkAgentGone(agent_id("m-S0")))
}

fn drain(c: &mut Cluster, max_grace: Option<u64>, mark_gone: bool) -> Vec<String> {
    let max_grace = max_grace.map(Duration::from_secs);
    c.order(Order::DrainAgent { agent_id: agent_id("m-S0"), max_grace, mark_gone })
}

/// The task's end is told and acknowledged.
fn end(c: &mut Cluster, agent: &AgentSide, framework: &FrameworkSide) -> Vec<String> {
    c.update(agent, framework, "t1", Killed, 2);
    c.acknowledge(framework, agent, "t1", 2)
}

#[test]
fn a_deactivated_agent_is_offered_to_nobody_until_it_is_reactivated() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(&deactivate(&mut c), &["registry: deactivate m-S0", "c2 <- RESCIND m-O0", "answer: Ok"]);
    expect(&deactivate(&mut c), &["answer: Ok"]);
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
    expect(
        &reactivate(&mut c),
        &["registry: reactivate m-S0", "answer: Ok", "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"],
    );
    expect(&reactivate(&mut c), &["answer: Ok"]);
}

#[test]
fn it_stays_deactivated_over_restarts_of_both() {
    let (mut c, mut agent, mut framework) = running(AWARE);
    deactivate(&mut c);
    end(&mut c, &agent, &framework);
    c.restart_master();
    c.resubscribe(&mut framework);
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(!lines.iter().any(|line| line.contains("OFFERS")), "{lines:?}");
    let lines = reactivate(&mut c);
    assert!(lines.iter().any(|line| line.contains("OFFERS")), "{lines:?}");
}

#[test]
fn what_runs_on_a_deactivated_agent_runs_on() {
    let (mut c, agent, framework) = running(AWARE);
    expect(&deactivate(&mut c), &["registry: deactivate m-S0", "answer: Ok"]);
    let lines = c.update(&agent, &framework, "t1", Finished, 3);
    assert!(lines[0].contains("t1 TASK_FINISHED"), "{lines:?}");
}

#[test]
fn an_agent_nobody_knows_cannot_be_changed() {
    let mut c = Cluster::default();
    let unknown = "Agent cannot be found: m-S0 is not registered, or is gone";
    expect(&deactivate(&mut c), &[&format!("DEACTIVATE_AGENT refused (400): {unknown}")]);
    expect(&reactivate(&mut c), &[&format!("REACTIVATE_AGENT refused (400): {unknown}")]);
    expect(&drain(&mut c, None, false), &[&format!("DRAIN_AGENT refused (400): {unknown}")]);
    expect(&gone(&mut c), &[&format!("MARK_AGENT_GONE refused (404): {unknown}")]);
}

#[test]
fn an_empty_agent_is_drained_at_once() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(
        &drain(&mut c, None, false),
        &["registry: drain m-S0", "c2 <- RESCIND m-O0", "answer: Ok", "registry: drained m-S0"],
    );
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
    let lines = reactivate(&mut c);
    expect(&lines[..1], &["registry: reactivate m-S0"]);
    assert!(lines[2].contains("OFFERS"), "{lines:?}");
}

#[test]
fn its_tasks_are_killed_and_the_last_acknowledgement_ends_the_drain() {
    let (mut c, agent, framework) = running(AWARE);
    expect(
        &drain(&mut c, None, false),
        &["registry: drain m-S0", "c1 <- KILL m-0000/t1", "answer: Ok"],
    );
    expect(
        &reactivate(&mut c),
        &[
            "REACTIVATE_AGENT refused (400): agent m-S0 is being drained: it can be reactivated once \
           it is drained",
        ],
    );
    c.update(&agent, &framework, "t1", Killing, 2);
    c.update(&agent, &framework, "t1", Killed, 3);
    let lines = c.acknowledge(&framework, &agent, "t1", 3);
    assert_eq!(lines[1], "registry: drained m-S0", "{lines:?}");
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
}

#[test]
fn nobody_has_more_grace_than_the_drain_allows() {
    let (mut c, _, _) = running(AWARE);
    expect(
        &drain(&mut c, Some(30), false)[..2],
        &["registry: drain m-S0 within 30 s", "c1 <- KILL m-0000/t1"],
    );
    expect(&c.advance_alive(Duration::from_millis(29_500)), &[]);
    expect(&c.advance_alive(Duration::from_secs(1)), &["c1 <- KILL m-0000/t1 grace 0ns"]);
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
}

#[test]
fn a_drain_goes_on_under_the_next_master_with_the_deadline_it_had() {
    let (mut c, mut agent, mut framework) = running(AWARE);
    drain(&mut c, Some(30), false);
    c.restart_master();
    c.resubscribe(&mut framework);
    c.advance(Duration::from_secs(20));
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[&framework]);
    assert_eq!(lines.last().unwrap(), "c7 <- KILL m-0000/t1", "{lines:?}");
    let lines = c.advance_alive(Duration::from_secs(11));
    assert_eq!(lines, ["c7 <- KILL m-0000/t1 grace 0ns"]);
    let lines = end(&mut c, &agent, &framework);
    assert_eq!(lines.last().unwrap(), "registry: drained m-S0", "{lines:?}");
}

#[test]
fn a_clock_that_was_set_back_between_two_masters_lengthens_no_drain() {
    let (mut c, mut agent, mut framework) = running(AWARE);
    let early = c.now;
    c.advance_alive(Duration::from_secs(500));
    drain(&mut c, Some(30), false);
    c.now = early;
    c.restart_master();
    c.resubscribe(&mut framework);
    // However often the agent comes back, the grace is counted once.
    for _ in 0..2 {
        c.advance(Duration::from_secs(10));
        let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
        c.reregister(&mut agent, vec![task], &[&framework]);
    }
    let lines = c.advance_alive(Duration::from_millis(9_500));
    assert!(!lines.iter().any(|line| line.contains("KILL")), "{lines:?}");
    let lines = c.advance_alive(Duration::from_secs(1));
    assert!(lines.iter().any(|line| line.ends_with("KILL m-0000/t1 grace 0ns")), "{lines:?}");
}

#[test]
fn an_agent_that_comes_back_too_late_has_no_grace() {
    let (mut c, mut agent, framework) = running(AWARE);
    c.close_agent(&agent);
    drain(&mut c, Some(3), false);
    c.advance(Duration::from_secs(60));
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[&framework]);
    assert!(lines.iter().any(|line| line.ends_with("KILL m-0000/t1 grace 0ns")), "{lines:?}");
}

#[test]
fn an_unreachable_agent_that_comes_back_empty_is_drained() {
    let (mut c, mut agent, _) = running(AWARE);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(60));
    expect(&drain(&mut c, None, false), &["registry: drain m-S0", "answer: Ok"]);
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert_eq!(lines.last().unwrap(), "registry: drained m-S0", "{lines:?}");
}

#[test]
fn a_drained_agent_is_gone_if_that_was_asked_for() {
    let (mut c, agent, framework) = running(AWARE);
    expect(&drain(&mut c, None, true)[..1], &["registry: drain m-S0, then gone"]);
    let lines = end(&mut c, &agent, &framework);
    expect(
        &lines[1..],
        &[
            "registry: gone m-S0",
            "c1 <- REFUSED gone this agent was marked gone by an operator; its tasks must \
             end, and it may register as a new one",
            "c1 closed",
            "c2 <- FAILURE m-S0",
        ],
    );
}

#[test]
fn the_tasks_of_a_gone_agent_are_gone() {
    for (capabilities, state) in [(AWARE, "TASK_GONE_BY_OPERATOR"), (&[], "TASK_LOST")] {
        let (mut c, _, framework) = running(capabilities);
        let lines = gone(&mut c);
        assert_eq!(lines[0], "registry: gone m-S0");
        let told = format!(
            "c2 <- UPDATE t1 {state} master REASON_AGENT_REMOVED_BY_OPERATOR: Agent has been \
             marked gone by an operator"
        );
        assert_eq!(lines[3], told);
        assert_eq!(lines[4], "c2 <- FAILURE m-S0");
        expect(&gone(&mut c), &["answer: Ok"]);
        let tasks = vec![(task_id("t1"), Some(agent_id("m-S0")))];
        let lines = c.call(&framework, CallBody::Reconcile { tasks });
        assert!(lines[0].contains(state), "{lines:?}");
    }
}

#[test]
fn an_end_that_its_framework_was_not_told_yet_is_told_when_the_agent_is_gone() {
    let (mut c, agent, framework) = running(AWARE);
    c.update_late(&agent, &framework, "t1", (Killing, Killed), 2);
    let lines = gone(&mut c);
    assert!(
        lines.iter().any(|line| line.starts_with("c2 <- UPDATE t1 TASK_KILLED master")),
        "{lines:?}"
    );
}

#[test]
fn the_tasks_of_an_unreachable_agent_that_is_gone_are_gone() {
    let (mut c, agent, _) = running(AWARE);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(60));
    let lines = gone(&mut c);
    assert!(lines[1].contains("t1 TASK_GONE_BY_OPERATOR"), "{lines:?}");
}

#[test]
fn a_gone_agent_that_comes_back_is_refused_for_good_by_the_next_master_too() {
    let (mut c, mut agent, framework) = running(AWARE);
    gone(&mut c);
    for _ in 0..2 {
        let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
        let lines = c.reregister(&mut agent, vec![task], &[&framework]);
        assert!(lines[0].contains("REFUSED gone"), "{lines:?}");
        assert!(lines[1].ends_with("closed"), "{lines:?}");
        c.restart_master();
    }
}

#[test]
fn gone_agents_are_remembered_within_a_limit() {
    let mut c = Cluster::new(Options { unreachable_agents: 2, ..Options::default() });
    for n in 0..4 {
        c.agent(cpus_mem(1, 64));
        c.order(Order::MarkAgentGone(agent_id(&format!("m-S{n}"))));
        c.advance(Duration::from_secs(1));
    }
    let gone: Vec<_> = c.master.registry().gone().keys().map(|id| id.to_string()).collect();
    assert_eq!(gone, ["m-S2", "m-S3"]);
}

#[test]
fn a_gone_agent_on_which_something_was_made_is_never_forgotten() {
    let mut c = Cluster::new(Options { unreachable_agents: 0, ..Options::default() });
    let mut first = c.agent(cpus_mem(2, 64));
    let resources = cpus_mem(1, 0).push_reservation(&reservation("eng"));
    let change = ResourceChange::Reserve { source: Resources::new(), resources };
    c.operator(Call::ChangeResources { agent_id: first.id.clone(), change });
    c.agent(cpus_mem(1, 64));
    for id in ["m-S0", "m-S1"] {
        c.order(Order::MarkAgentGone(agent_id(id)));
    }
    let gone: Vec<_> = c.master.registry().gone().keys().map(|id| id.to_string()).collect();
    assert_eq!(gone, ["m-S0"], "the other one had nothing");
    // Else its tasks would use what nobody reserved, and its volumes be nobody's.
    let lines = c.reregister(&mut first, vec![], &[]);
    assert!(lines[0].contains("REFUSED gone this agent was marked gone"), "{lines:?}");
}
