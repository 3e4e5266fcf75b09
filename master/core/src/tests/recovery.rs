//! A new master begins with the registry, and agents and frameworks come back in any order.

use crate::testing::*;
use proto::Capability;
use proto::TaskState::Running;
use proto::scheduler::CallBody;
use std::time::Duration;

fn running() -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(3, 512))]);
    c.update(&agent, &framework, "t1", Running, 1);
    c.restart_master();
    (c, agent, framework)
}

fn report(framework: &FrameworkSide) -> Vec<proto::agent_link::AgentTask> {
    vec![agent_task(framework, "t1", cpus_mem(3, 512), Running)]
}

#[test]
fn the_framework_comes_first() {
    let (mut c, mut agent, mut framework) = running();
    let lines = c.resubscribe(&mut framework);
    expect(&lines, &["c4 <- SUBSCRIBED m-0000", "c4 <- HEARTBEAT"]);
    let lines = c.reregister(&mut agent, report(&framework), &[&framework]);
    // What its task uses is not offered. The task was never out of reach: nothing is said of it.
    expect(&lines, &["c5 <- REREGISTERED m-S0", "c4 <- OFFERS [m1-O0 m-S0 * cpus:1; mem:512]"]);
}

#[test]
fn the_agent_comes_first() {
    let (mut c, mut agent, mut framework) = running();
    let lines = c.reregister(&mut agent, report(&framework), &[&framework]);
    expect(&lines, &["c4 <- REREGISTERED m-S0"]);
    let ord = c.master.framework_ids[&framework.id];
    assert!(c.master.frameworks[ord].recovered);
    let lines = c.resubscribe(&mut framework);
    expect(
        &lines,
        &[
            "c5 <- SUBSCRIBED m-0000",
            "c5 <- HEARTBEAT",
            "c4 <- UPDATE_FRAMEWORK m-0000",
            "c5 <- OFFERS [m1-O0 m-S0 * cpus:1; mem:512]",
        ],
    );
    assert!(!c.master.frameworks[ord].recovered);
}

#[test]
fn agents_have_ten_minutes_to_come_back() {
    let (mut c, _, mut framework) = running();
    c.resubscribe(&mut framework);
    expect(&c.advance(Duration::from_secs(599)), &[]);
    // Frameworks hear of the agent; what ran there, this master never knew.
    expect(
        &c.advance(Duration::from_secs(1)),
        &["registry: unreachable m-S0", "c4 <- FAILURE m-S0"],
    );
}

/// A launch of `t1`, which the agent knows, and of `t2`, which it does not, sent again to a master
/// that the agent is yet to come back to.
fn repeated(capabilities: &[Capability], word: &str) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework_from(framework_info("f", &["*"], capabilities));
    let task = |id| task_info(id, "m-S0", cpus_mem(2, 512));
    c.launch(&framework, &["m-O0"], vec![task("t1")]);
    c.restart_master();
    c.resubscribe(&mut framework);
    let lines = c.launch(&framework, &["m-O0"], vec![task("t1"), task("t2")]);
    for id in ["t1", "t2"] {
        let said = format!("UPDATE {id} {word} master REASON_INVALID_OFFERS");
        assert!(lines.iter().any(|line| line.contains(&said)), "{lines:?}");
    }
    (c, agent, framework)
}

fn assert_said(lines: &[String], said: &str) {
    assert!(lines.iter().any(|line| line.contains(said)), "{said}: {lines:?}");
}

#[test]
fn a_launch_that_is_repeated_before_its_agent_is_back_is_answered_once_it_is() {
    let (mut c, mut agent, framework) = repeated(&[Capability::PartitionAware], "TASK_UNREACHABLE");
    let lines = c.reregister(&mut agent, report(&framework), &[]);
    assert_said(&lines, "UPDATE t1 TASK_RUNNING master REASON_RECONCILIATION");
    assert_said(&lines, "UPDATE t2 TASK_GONE master REASON_RECONCILIATION");
    // From now on the agent is known to have nothing else.
    let other = vec![task_info("t3", "m-S0", cpus_mem(1, 512))];
    let lines = c.launch(&framework, &["m-O0"], other);
    assert_said(&lines, "UPDATE t3 TASK_DROPPED master REASON_INVALID_OFFERS");

    let (mut c, mut agent, framework) = repeated(&[], "TASK_LOST");
    let lines = c.reregister(&mut agent, report(&framework), &[]);
    assert_said(&lines, "UPDATE t1 TASK_RUNNING master REASON_RECONCILIATION");
}

#[test]
fn an_agent_that_never_comes_back_leaves_no_doubt() {
    let (mut c, ..) = repeated(&[Capability::PartitionAware], "TASK_UNREACHABLE");
    let lines = c.order(crate::Order::MarkAgentGone(agent_id("m-S0")));
    for id in ["t1", "t2"] {
        let said = format!("UPDATE {id} TASK_GONE_BY_OPERATOR master REASON_RECONCILIATION");
        assert_said(&lines, &said);
    }
    let (mut c, mut agent, framework) = repeated(&[Capability::PartitionAware], "TASK_UNREACHABLE");
    c.advance_alive(Duration::from_secs(601));
    let lines = c.reregister(&mut agent, report(&framework), &[]);
    assert_said(&lines, "UPDATE t1 TASK_RUNNING master REASON_AGENT_REREGISTERED");
}

#[test]
fn an_agent_whose_address_another_has_is_not_waited_for() {
    let (mut c, mut agent, mut framework) = running();
    c.resubscribe(&mut framework);
    let ask = CallBody::Reconcile { tasks: vec![(task_id("t1"), Some(agent_id("m-S0")))] };
    c.agent_from(agent_info("elsewhere", cpus_mem(1, 1)));
    expect(&c.call(&framework, ask.clone()), &[]);
    // It lost its id, and its work directory with it.
    c.agent_from(proto::AgentInfo { id: None, ..agent.info.clone() });
    let lines = c.lines();
    expect(&lines[..2], &["registry: unreachable m-S0", "c4 <- FAILURE m-S0"]);
    let lines = c.call(&framework, ask);
    assert!(lines[0].contains("t1 TASK_UNREACHABLE master REASON_RECONCILIATION"), "{lines:?}");
    // Both have that address: what runs on the old one counts all the same.
    let lines = c.reregister(&mut agent, report(&framework), &[]);
    assert_eq!(lines[0], "registry: reachable m-S0");
}

#[test]
fn an_agent_may_come_back_after_ten_minutes() {
    let (mut c, mut agent, mut framework) = running();
    c.resubscribe(&mut framework);
    c.advance(Duration::from_secs(601));
    let lines = c.reregister(&mut agent, report(&framework), &[]);
    assert_eq!(lines[0], "registry: reachable m-S0");
    assert!(lines[2].contains("t1 TASK_RUNNING master REASON_AGENT_REREGISTERED"), "{lines:?}");
}

#[test]
fn a_framework_known_from_its_tasks_does_not_linger_for_ever() {
    let (mut c, mut agent, framework) = running();
    c.reregister(&mut agent, report(&framework), &[&framework]);
    expect(&c.advance_alive(Duration::from_secs(599)), &[]);
    expect(
        &c.advance_alive(Duration::from_secs(2)),
        &["registry: complete m-0000", "c4 <- SHUTDOWN m-0000"],
    );
}

#[test]
fn even_without_a_failover_timeout_a_scheduler_has_time_to_find_the_new_master() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework_from(proto::FrameworkInfo::new("user", "brief"));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(3, 512))]);
    c.restart_master();
    c.reregister(&mut agent, report(&framework), &[&framework]);
    expect(&c.advance_alive(Duration::from_secs(30)), &[]);
    let lines = c.resubscribe(&mut framework);
    assert!(lines[0].contains("SUBSCRIBED m-0000"), "{lines:?}");
}

#[test]
fn the_failover_deadline_of_a_framework_survives_the_master() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    framework.info.failover_timeout = Duration::from_secs(10_000);
    c.resubscribe(&mut framework);
    c.close_framework(&framework);
    c.advance(Duration::from_secs(4_000));
    c.restart_master();
    // Six thousand seconds are left, not ten thousand.
    expect(&c.advance(Duration::from_secs(5_999)), &[]);
    expect(&c.advance(Duration::from_secs(1)), &["registry: complete m-0000"]);
}

#[test]
fn a_clock_that_was_set_back_between_two_masters_lengthens_no_failover() {
    let mut c = Cluster::default();
    let early = c.now;
    c.advance(Duration::from_secs(50_000));
    let mut framework = c.framework();
    framework.info.failover_timeout = Duration::from_secs(10_000);
    c.resubscribe(&mut framework);
    c.close_framework(&framework);
    c.now = early;
    c.restart_master();
    expect(&c.advance(Duration::from_secs(9_999)), &[]);
    expect(&c.advance(Duration::from_secs(1)), &["registry: complete m-0000"]);
}

#[test]
fn while_no_master_led_nobody_could_come_back() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.close_framework(&framework);
    c.now = c.now + Duration::from_secs(24 * 3600);
    c.restart_master();
    expect(&c.advance(Duration::from_secs(99)), &[]);
    expect(&c.advance(Duration::from_secs(1)), &["registry: complete m-0000"]);
}

#[test]
fn a_framework_that_is_over_stays_over() {
    let (mut c, mut agent, mut framework) = running();
    c.resubscribe(&mut framework);
    c.call(&framework, CallBody::Teardown);
    c.restart_master();
    let lines = c.resubscribe(&mut framework);
    assert!(lines[0].contains("ERROR Framework has been removed"), "{lines:?}");
    let lines = c.reregister(&mut agent, report(&framework), &[&framework]);
    assert!(lines[1].contains("SHUTDOWN m-0000"), "{lines:?}");
}

#[test]
fn an_agent_that_comes_back_without_the_task_says_so_when_asked() {
    let (mut c, mut agent, mut framework) = running();
    c.resubscribe(&mut framework);
    c.reregister(&mut agent, vec![], &[]);
    let tasks = vec![(task_id("t1"), Some(agent_id("m-S0")))];
    let lines = c.call(&framework, CallBody::Reconcile { tasks });
    assert!(lines[0].contains("t1 TASK_GONE"), "{lines:?}");
}

#[test]
fn role_weights_survive() {
    let mut c = Cluster::default();
    let request = crate::RequestId(9);
    let (role, weight_milli) = (role("eng"), 3000);
    c.feed(crate::Input::SetWeight { request, role: role.clone(), weight_milli });
    expect(&c.lines(), &["registry: weight eng 3000", "answer: Ok"]);
    c.restart_master();
    assert_eq!(c.master.registry().weight_milli(&role), 3000);
}
