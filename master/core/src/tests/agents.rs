//! Agents register, come back, and are pinged.

use crate::testing::*;
use crate::{Input, Options};
use proto::TaskState::{Finished, Running, Staging};
use proto::agent_link::AgentCall;
use proto::{Attribute, FrameworkInfo, Resources};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn an_agent_is_admitted_durably_before_it_hears_its_id() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    expect(&c.lines(), &["registry: admit m-S0 cpus:4; mem:1024", "c1 <- REGISTERED m-S0"]);
}

fn register(c: &mut Cluster, host: &str, nonce: u64) -> Vec<String> {
    let connection = c.connection();
    let info = agent_info(host, cpus_mem(4, 1024));
    let call = AgentCall::Register { info, version: Arc::from("0.1.0"), nonce };
    c.feed(Input::AgentCall { connection, call })
}

#[test]
fn a_repeated_registration_gets_the_same_id() {
    let mut c = Cluster::default();
    register(&mut c, "h", 7);
    expect(&register(&mut c, "h", 7), &["c1 closed", "c2 <- REGISTERED m-S0"]);
    expect(&register(&mut c, "h", 8)[1..], &["c3 <- REGISTERED m-S1"]);
    expect(&register(&mut c, "other", 7)[1..], &["c4 <- REGISTERED m-S2"]);
}

#[test]
fn a_repeated_registration_gets_the_same_id_from_the_next_master() {
    let mut c = Cluster::default();
    register(&mut c, "h", 7);
    c.restart_master();
    expect(&register(&mut c, "h", 7), &["c2 <- REGISTERED m-S0"]);
}

#[test]
fn the_ids_of_two_masters_do_not_meet() {
    let mut c = Cluster::default();
    register(&mut c, "h", 7);
    c.restart_master();
    expect(&register(&mut c, "other", 8)[1..], &["c2 <- REGISTERED m1-S0"]);
}

#[test]
fn a_living_agent_is_pinged_and_stays() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    for sequence in 1..20 {
        c.now = c.now + Duration::from_secs(1);
        expect(&c.feed(Input::Tick), &[&format!("c1 <- PING {sequence}")]);
        expect(&c.agent_call(&agent, AgentCall::Pong { sequence }), &[]);
    }
}

#[test]
fn an_agent_that_is_silent_is_unreachable_five_seconds_after_it_was_last_heard() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    c.framework();
    c.advance(Duration::from_secs(2));
    c.agent_call(&agent, AgentCall::Pong { sequence: 2 });
    expect(&c.advance(Duration::from_millis(4999)), &[]);
    expect(
        &c.advance(Duration::from_millis(1)),
        &["registry: unreachable m-S0", "c1 closed", "c2 <- RESCIND m-O0", "c2 <- FAILURE m-S0"],
    );
}

#[test]
fn a_suspect_agent_gets_no_offers_until_it_answers() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    c.advance(Duration::from_secs(2));
    c.framework();
    expect(&c.lines(), &["c2 <- SUBSCRIBED m-0000", "c2 <- HEARTBEAT"]);
    let lines = c.agent_call(&agent, AgentCall::Pong { sequence: 1 });
    expect(&lines, &["c2 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn a_master_that_was_stopped_does_not_take_its_agents_for_dead() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    c.now = c.now + Duration::from_secs(3600);
    expect(&c.feed(Input::Tick), &["c1 <- PING 1"]);
    expect(&c.agent_call(&agent, AgentCall::Pong { sequence: 1 }), &[]);
}

#[test]
fn the_time_to_unreachable_is_an_option() {
    let options = Options {
        ping_interval: Duration::from_millis(100),
        agent_timeout: Duration::from_millis(400),
        ..Options::default()
    };
    let mut c = Cluster::new(options);
    c.agent(cpus_mem(4, 1024));
    expect(&c.advance(Duration::from_millis(399)), &[]);
    let lines = c.advance(Duration::from_millis(1));
    expect(&lines, &["registry: unreachable m-S0", "c1 closed"]);
}

#[test]
fn options_of_zero_do_no_harm() {
    let options = Options {
        ping_interval: Duration::ZERO,
        agent_timeout: Duration::ZERO,
        heartbeat_interval: Duration::ZERO,
        allocation_slice: 0,
        offer_timeout: Some(Duration::from_millis(1)),
        ..Options::default()
    };
    let mut c = Cluster::new(options);
    c.agent(cpus_mem(4, 1024));
    c.framework();
    c.advance(Duration::from_millis(100));
}

#[test]
fn an_agent_whose_stream_breaks_has_five_seconds_to_come_back() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    expect(&c.close_agent(&agent), &[]);
    expect(&c.advance(Duration::from_millis(4999)), &[]);
    let task = agent_task(&framework, "t1", cpus_mem(4, 1024), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    // Nobody noticed anything.
    expect(&lines, &["c4 <- REREGISTERED m-S0"]);
    expect(&c.advance_alive(Duration::from_secs(60)), &[]);
}

#[test]
fn an_agent_that_comes_back_on_a_new_stream_while_the_old_looks_alive() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    let old = agent.connection;
    let task = agent_task(&framework, "t1", cpus_mem(1, 64), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    expect(&lines, &["c1 closed", "c4 <- REREGISTERED m-S0"]);
    expect(&c.feed(Input::AgentClosed { connection: old }), &[]);
    expect(
        &c.update(&agent, &framework, "t1", Running, 1),
        &["c2 <- UPDATE t1 TASK_RUNNING executor ack 01"],
    );
}

#[test]
fn its_offers_are_rescinded_when_it_comes_back() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(
        &c.reregister(&mut agent, vec![], &[]),
        &[
            "c2 <- RESCIND m-O0",
            "c1 closed",
            "c3 <- REREGISTERED m-S0",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn the_agent_answers_for_tasks_that_it_does_not_report() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    // The launch is lost with the stream.
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.close_agent(&agent);
    let lines = c.reregister(&mut agent, vec![], &[]);
    // Its resources stay taken until the agent has answered.
    expect(&lines, &["c4 <- REREGISTERED m-S0 reconcile m-0000/t1"]);
    let lines = c.update(&agent, &framework, "t1", proto::TaskState::Dropped, 1);
    expect(
        &lines,
        &[
            "c2 <- UPDATE t1 TASK_DROPPED executor ack 01",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn an_ended_task_that_the_agent_forgot_was_acknowledged() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    c.update(&agent, &framework, "t1", Finished, 1);
    c.close_agent(&agent);
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert_eq!(lines[0], "c4 <- REREGISTERED m-S0");
    let ord = c.master.framework_ids[&framework.id];
    assert!(c.master.frameworks[ord].tasks.is_empty());
    assert_eq!(c.master.frameworks[ord].completed.len(), 1);
}

#[test]
fn tasks_that_nobody_knew_are_added_and_counted() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let task = agent_task(&framework, "t9", cpus_mem(3, 512), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert_eq!(lines.last().unwrap(), "c2 <- OFFERS [m-O1 m-S0 * cpus:1; mem:512]");
}

#[test]
fn tasks_of_frameworks_that_are_over_are_shut_down() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    c.close_agent(&agent);
    c.call(&framework, proto::scheduler::CallBody::Teardown);
    let task = agent_task(&framework, "t1", cpus_mem(1, 64), Running);
    let lines = c.reregister(&mut agent, vec![task], &[&framework]);
    expect(&lines, &["c5 <- REREGISTERED m-S0", "c5 <- SHUTDOWN m-0000"]);
}

fn refusal(change: impl Fn(&mut AgentSide) -> Vec<proto::agent_link::AgentTask>) -> String {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let tasks = change(&mut agent);
    let lines = c.reregister(&mut agent, tasks, &[]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1], "c2 closed");
    lines[0].strip_prefix("c2 <- REFUSED ").unwrap().to_owned()
}

fn stranger() -> FrameworkSide {
    FrameworkSide {
        id: framework_id("f"),
        connection: crate::ConnectionId(0),
        info: FrameworkInfo::new("user", "f"),
    }
}

#[test]
fn an_agent_without_an_id_cannot_reregister() {
    let message = refusal(|agent| {
        agent.info.id = None;
        vec![]
    });
    assert_eq!(message, "an agent without an id must register, not reregister");
}

#[test]
fn a_task_of_a_framework_that_is_not_described_is_refused() {
    let message = refusal(|_| vec![agent_task(&stranger(), "t", cpus_mem(1, 1), Running)]);
    assert_eq!(message, "task t is of framework f, which is not described");
}

#[test]
fn an_agent_smaller_than_its_tasks_is_refused() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 64))]);
    agent.info.resources = cpus_mem(2, 1024);
    let task = agent_task(&framework, "t1", cpus_mem(4, 64), Running);
    let lines = c.reregister(&mut agent, vec![task], &[]);
    assert_eq!(
        lines[0],
        "c4 <- REFUSED the agent's resources (cpus:2; mem:1024) do not hold its tasks: task t1 \
         wanted cpus 4, available 2; give the agent at least what its tasks use"
    );
}

#[test]
fn ports_in_two_tasks_are_refused() {
    let ports = |begin, end| {
        let value = proto::Value::Ranges(proto::Ranges::new([(begin, end)]));
        let (name, flavor) = (proto::ResourceName::new("ports"), proto::Flavor::default());
        [proto::Piece { name, flavor, value }].into_iter().collect::<Resources>()
    };
    let mut c = Cluster::default();
    let mut agent = c.agent(ports(1, 10));
    let framework = c.framework();
    let tasks = vec![
        agent_task(&framework, "t1", ports(1, 5), Running),
        agent_task(&framework, "t2", ports(5, 6), Running),
    ];
    let lines = c.reregister(&mut agent, tasks, &[]);
    assert!(lines[0].contains("task t2 wanted ports [5-6], available [6-10]"), "{lines:?}");
}

#[test]
fn a_task_reported_twice_is_refused() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let task = agent_task(&framework, "t1", cpus_mem(1, 1), Running);
    let lines = c.reregister(&mut agent, vec![task.clone(), task], &[]);
    assert!(lines[0].contains("REFUSED task t1 is reported twice"), "{lines:?}");
}

#[test]
fn an_agent_may_come_back_bigger() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    c.framework();
    agent.info.resources = cpus_mem(8, 2048);
    expect(
        &c.reregister(&mut agent, vec![], &[]),
        &[
            "registry: admit m-S0 cpus:8; mem:2048",
            "c2 <- RESCIND m-O0",
            "c1 closed",
            "c3 <- REREGISTERED m-S0",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:8; mem:2048]",
        ],
    );
}

#[test]
fn new_attributes_end_the_filters_of_an_agent() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::from_secs(1000));
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(!lines.last().unwrap().contains("OFFERS"), "the same agent: {lines:?}");
    agent.info.attributes = vec![Attribute::text("zone", "b")];
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(lines.last().unwrap().contains("OFFERS"), "{lines:?}");
}

#[test]
fn one_task_id_lives_on_one_agent() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    let mut other = c.agent(cpus_mem(4, 1024));
    let task = agent_task(&framework, "t1", cpus_mem(1, 1), Staging);
    let lines = c.reregister(&mut other, vec![task], &[]);
    assert!(lines.iter().any(|line| line.ends_with("KILL m-0000/t1")), "{lines:?}");
}

#[test]
fn an_unknown_agent_with_an_id_is_admitted() {
    let mut c = Cluster::default();
    let info = agent_info("h", cpus_mem(4, 1024));
    let id = agent_id("elsewhere-S3");
    let mut agent = AgentSide {
        info: proto::AgentInfo { id: Some(id.clone()), ..info },
        id,
        connection: crate::ConnectionId(0),
    };
    expect(
        &c.reregister(&mut agent, vec![], &[]),
        &["registry: admit elsewhere-S3 cpus:4; mem:1024", "c1 <- REREGISTERED elsewhere-S3"],
    );
}

#[test]
fn an_id_that_somebody_came_with_is_not_given_out() {
    let mut c = Cluster::default();
    let info = agent_info("h", cpus_mem(4, 1024));
    let id = agent_id("m-S0");
    let info = proto::AgentInfo { id: Some(id.clone()), ..info };
    let mut agent = AgentSide { info, id, connection: crate::ConnectionId(0) };
    c.reregister(&mut agent, vec![], &[]);
    assert_eq!(c.agent(cpus_mem(4, 1024)).id, agent_id("m-S1"));
}

#[test]
fn the_id_of_a_forgotten_agent_whose_tasks_are_remembered_is_not_given_out() {
    let mut c = Cluster::new(Options { unreachable_agents: 0, ..Options::default() });
    let info = agent_info("h", cpus_mem(4, 1024));
    let id = agent_id("m-S0");
    let info = proto::AgentInfo { id: Some(id.clone()), ..info };
    let mut agent = AgentSide { info, id, connection: crate::ConnectionId(0) };
    let framework = c.framework();
    let task = agent_task(&framework, "t1", cpus_mem(1, 64), Running);
    c.reregister(&mut agent, vec![task], &[]);
    let lines = c.advance(Duration::from_secs(5));
    assert!(lines.contains(&"registry: remove m-S0".to_owned()), "{lines:?}");
    assert_eq!(c.agent(cpus_mem(4, 1024)).id, agent_id("m-S1"));
}

#[test]
fn an_agent_that_is_refused_on_its_own_stream_is_disconnected() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    c.framework();
    let info = proto::AgentInfo { id: None, ..agent.info.clone() };
    let (version, tasks, frameworks) = (Arc::from("1"), vec![], vec![]);
    let call = AgentCall::Reregister { info, version, tasks, frameworks, executors: vec![] };
    expect(
        &c.agent_call(&agent, call),
        &[
            "c2 <- RESCIND m-O0",
            "c1 <- REFUSED an agent without an id must register, not reregister",
            "c1 closed",
        ],
    );
}

#[test]
fn pings_of_very_many_agents_leave_others_their_turn() {
    let mut c = Cluster::default();
    // The clock stands still: all will be due at once.
    (0..600).for_each(|_| drop(c.agent(cpus_mem(1, 64))));
    c.now = c.now + Duration::from_secs(1);
    c.effects.clear();
    let mut pings = || {
        c.step(Input::Tick);
        c.lines().iter().filter(|line| line.contains("PING")).count()
    };
    assert_eq!((pings(), pings(), pings()), (512, 600, 600));
}
