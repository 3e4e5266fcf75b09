//! Agents that become unreachable, and come back.

use crate::Options;
use crate::testing::*;
use proto::Capability;
use proto::TaskState::{Finished, Running};
use proto::agent_link::AgentCall;
use std::time::Duration;

const AWARE: &[Capability] = &[Capability::PartitionAware];

fn running(capabilities: &[Capability]) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["*"], capabilities));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    c.acknowledge(&framework, &agent, "t1", 1);
    (c, agent, framework)
}

#[test]
fn it_is_durable_before_frameworks_hear_of_it() {
    let (mut c, agent, _) = running(AWARE);
    c.close_agent(&agent);
    expect(
        &c.advance(Duration::from_secs(5)),
        &[
            "registry: unreachable m-S0",
            "c2 <- UPDATE t1 TASK_UNREACHABLE master REASON_AGENT_REMOVED: Agent became unreachable; \
         it did not answer in time",
            "c2 <- FAILURE m-S0",
        ],
    );
}

#[test]
fn its_tasks_are_lost_to_others() {
    let (mut c, agent, _) = running(&[]);
    c.close_agent(&agent);
    let lines = c.advance(Duration::from_secs(5));
    assert!(lines[1].contains("t1 TASK_LOST master REASON_AGENT_REMOVED"), "{lines:?}");
}

#[test]
fn its_tasks_run_on_when_it_comes_back() {
    for capabilities in [AWARE, &[]] {
        let (mut c, mut agent, framework) = running(capabilities);
        c.close_agent(&agent);
        c.advance(Duration::from_secs(60));
        let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
        let lines = c.reregister(&mut agent, vec![task], &[]);
        expect(
            &lines,
            &[
                "registry: reachable m-S0",
                "c5 <- REREGISTERED m-S0",
                "c2 <- UPDATE t1 TASK_RUNNING master REASON_AGENT_REREGISTERED: Agent reregistered",
            ],
        );
        // And is accounted for: nothing is offered twice.
        expect(&c.advance_alive(Duration::from_secs(60)), &[]);
        let lines = c.update(&agent, &framework, "t1", Finished, 2);
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

#[test]
fn a_task_that_ended_meanwhile_is_told_by_its_agent_alone() {
    let (mut c, mut agent, framework) = running(AWARE);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(60));
    let mut task = agent_task(&framework, "t1", cpus_mem(4, 1024), Finished);
    task.status = Some((Finished, uuid(2)));
    expect(
        &c.reregister(&mut agent, vec![task], &[]),
        &[
            "registry: reachable m-S0",
            "c5 <- REREGISTERED m-S0",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
    expect(
        &c.update(&agent, &framework, "t1", Finished, 2),
        &["c2 <- UPDATE t1 TASK_FINISHED executor ack 02"],
    );
    expect(&c.acknowledge(&framework, &agent, "t1", 2), &["c5 <- ACKNOWLEDGE m-0000/t1 02"]);
}

#[test]
fn a_task_that_its_agent_never_got_is_answered_for() {
    let (mut c, mut agent, _) = running(AWARE);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(60));
    expect(
        &c.reregister(&mut agent, vec![], &[]),
        &[
            "registry: reachable m-S0",
            "c5 <- REREGISTERED m-S0 reconcile m-0000/t1",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn an_ended_task_keeps_its_state() {
    let (mut c, agent, framework) = running(AWARE);
    c.update(&agent, &framework, "t1", Finished, 2);
    c.close_agent(&agent);
    let lines = c.advance(Duration::from_secs(5));
    expect(&lines, &["registry: unreachable m-S0", "c2 <- FAILURE m-S0"]);
    let ord = c.master.framework_ids[&framework.id];
    let past = &c.master.frameworks[ord].completed;
    assert_eq!(past.iter().map(|task| task.step.state).collect::<Vec<_>>(), [Finished]);
}

#[test]
fn what_an_unreachable_agent_says_is_ignored_until_it_reregisters() {
    let (mut c, agent, framework) = running(AWARE);
    c.advance(Duration::from_secs(5));
    expect(&c.update(&agent, &framework, "t1", Finished, 2), &[]);
    expect(&c.agent_call(&agent, AgentCall::Pong { sequence: 1 }), &[]);
}

#[test]
fn an_unreachable_agent_may_come_back_to_the_next_master() {
    let (mut c, mut agent, mut framework) = running(AWARE);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(60));
    c.restart_master();
    c.resubscribe(&mut framework);
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[&framework]);
    assert_eq!(lines[0], "registry: reachable m-S0");
    assert!(
        lines[2].contains("t1 TASK_RUNNING master REASON_AGENT_REREGISTERED"),
        "the framework was told that it is unreachable: {lines:?}"
    );
}

#[test]
fn every_connected_framework_hears_of_the_failure() {
    let (mut c, agent, _) = running(AWARE);
    c.framework();
    let away = c.framework();
    c.close_framework(&away);
    c.close_agent(&agent);
    let lines = c.advance(Duration::from_secs(5));
    assert_eq!(lines.iter().filter(|line| line.contains("FAILURE m-S0")).count(), 2);
}

#[test]
fn unreachable_tasks_are_remembered_within_a_limit() {
    let mut c = Cluster::new(Options { unreachable_tasks: 2, ..Options::default() });
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let tasks = ["t1", "t2", "t3"].map(|id| task_info(id, "m-S0", cpus_mem(1, 64))).to_vec();
    c.launch(&framework, &["m-O0"], tasks.clone());
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let ord = c.master.framework_ids[&framework.id];
    assert_eq!(c.master.frameworks[ord].unreachable.len(), 2);
    // The call comes again: nobody says of the forgotten one that it never ran.
    let lines = c.launch(&framework, &["m-O0"], tasks);
    let said: Vec<_> = lines.iter().filter(|line| line.contains("UPDATE")).collect();
    assert!(said.len() == 1 && said[0].contains("UPDATE t1 TASK_UNREACHABLE"), "{lines:?}");
    // A forgotten one is known again, and told of, when its agent is back.
    let task = agent_task(&framework, "t1", cpus_mem(1, 64), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert!(lines.iter().any(|line| line.contains("UPDATE t1 TASK_RUNNING")), "{lines:?}");
}

#[test]
fn a_launch_on_an_agent_that_just_became_unreachable_is_dropped_if_nothing_was_forgotten() {
    let mut c = Cluster::new(Options::default());
    let agent = c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework_from(framework_info("f", &["*"], AWARE));
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let task = || vec![task_info("t1", "m-S0", cpus_mem(1, 64))];
    let lines = c.launch(&framework, &["m-O0"], task());
    assert!(lines.iter().any(|line| line.contains("UPDATE t1 TASK_DROPPED")), "{lines:?}");
    // A master that began later does not know what runs there.
    c.restart_master();
    c.resubscribe(&mut framework);
    let lines = c.launch(&framework, &["m-O0"], task());
    assert!(lines.iter().any(|line| line.contains("UPDATE t1 TASK_UNREACHABLE")), "{lines:?}");
}

#[test]
fn unreachable_agents_are_remembered_within_a_limit_the_oldest_go_first() {
    let mut c = Cluster::new(Options { unreachable_agents: 1, ..Options::default() });
    let first = c.agent(cpus_mem(1, 64));
    let second = c.agent(cpus_mem(1, 64));
    c.close_agent(&first);
    c.advance_alive(Duration::from_secs(5));
    c.close_agent(&second);
    let lines = c.advance(Duration::from_secs(5));
    expect(&lines, &["registry: unreachable m-S1", "registry: remove m-S0"]);
}

#[test]
fn a_task_that_is_lost_twice_and_comes_back_twice() {
    let (mut c, mut agent, framework) = running(AWARE);
    for _ in 0..2 {
        c.close_agent(&agent);
        let lines = c.advance(Duration::from_secs(5));
        assert!(lines.iter().any(|line| line.contains("TASK_UNREACHABLE")), "{lines:?}");
        let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
        let lines = c.reregister(&mut agent, vec![task], &[]);
        assert!(lines.iter().any(|line| line.contains("TASK_RUNNING")), "{lines:?}");
    }
}
