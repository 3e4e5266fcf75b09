//! The pace at which agents are given up.

use super::reservations::reserve_on;
use super::volumes::order;
use crate::testing::*;
use crate::{Options, Order};
use proto::operator::Call;
use proto::{AgentId, ResourceChange};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn paced() -> Cluster {
    let agent_removal_interval = Some(MINUTE);
    Cluster::new(Options { agent_removal_interval, ..Options::default() })
}

fn given_up(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("registry: unreachable ")).collect()
}

#[test]
fn agents_that_look_dead_together_are_given_up_one_by_one() {
    let mut c = paced();
    let agents: Vec<AgentSide> = (0..3).map(|_| c.agent(cpus_mem(1, 64))).collect();
    agents.iter().for_each(|agent| drop(c.close_agent(agent)));
    assert_eq!(given_up(&c.advance(Duration::from_secs(30))), ["m-S0"]);
    assert_eq!(given_up(&c.advance(MINUTE)), ["m-S1"]);
    assert_eq!(given_up(&c.advance(MINUTE)), ["m-S2"]);
}

#[test]
fn one_that_comes_back_before_its_turn_is_kept() {
    let mut c = paced();
    let mut agents: Vec<AgentSide> = (0..3).map(|_| c.agent(cpus_mem(1, 64))).collect();
    agents.iter().for_each(|agent| drop(c.close_agent(agent)));
    c.advance(Duration::from_secs(30));
    c.reregister(&mut agents[1], vec![], &[]);
    assert_eq!(given_up(&c.advance_alive(MINUTE)), ["m-S2"]);
    assert!(c.advance_alive(MINUTE).is_empty());
}

#[test]
fn one_that_answers_before_its_turn_is_pinged_again() {
    let mut c = paced();
    let agents: Vec<AgentSide> = (0..2).map(|_| c.agent(cpus_mem(1, 64))).collect();
    assert_eq!(given_up(&c.advance(Duration::from_secs(30))), ["m-S0"]);
    let pong = proto::agent_link::AgentCall::Pong { sequence: 1 };
    c.agent_call(&agents[1], pong);
    c.advance_alive(Duration::from_secs(100));
    assert_eq!(given_up(&c.advance(Duration::from_secs(6))), ["m-S1"]);
}

#[test]
fn agents_that_the_last_master_knew_are_given_up_one_by_one_too() {
    let mut c = paced();
    (0..3).for_each(|_| drop(c.agent(cpus_mem(1, 64))));
    c.restart_master();
    assert_eq!(given_up(&c.advance(Duration::from_secs(601))), ["m-S0"]);
    assert_eq!(given_up(&c.advance(MINUTE)), ["m-S1"]);
    assert_eq!(given_up(&c.advance(MINUTE)), ["m-S2"]);
}

#[test]
fn the_word_of_an_operator_is_not_paced() {
    let mut c = paced();
    for n in 0..3 {
        c.agent(cpus_mem(1, 64));
        let lines = c.order(Order::MarkAgentGone(agent_id(&format!("m-S{n}"))));
        assert_eq!(lines[0], format!("registry: gone m-S{n}"));
    }
}

#[test]
fn one_that_keeps_something_is_never_forgotten_until_an_operator_gives_it_up() {
    let mut c = Cluster::new(Options { unreachable_agents: 1, ..Options::default() });
    let agents: Vec<AgentSide> = (0..3).map(|_| c.agent(cpus_mem(1, 64).plus(&disk(10)))).collect();
    let kept = &agents[0];
    reserve_on(&mut c, kept, reserved(&disk(4), &["eng"]));
    let volumes = all(&[volume("v", "eng", 1)]);
    order(&mut c, kept, ResourceChange::Create { volumes });
    agents.iter().for_each(|agent| drop(c.close_agent(agent)));
    c.advance(Duration::from_secs(30));
    let known = |c: &Cluster| -> Vec<String> {
        c.master.registry().agents().keys().map(ToString::to_string).collect()
    };
    let counted = |c: &Cluster| {
        let gauges = c.master.gauges();
        (gauges.agents[4].1, gauges.unreachable_kept, gauges.gone_kept)
    };
    assert_eq!((known(&c), counted(&c)), (vec!["m-S0".to_owned(), "m-S2".to_owned()], (2, 1, 0)));
    assert_eq!(c.master.registry().operations().len(), 1, "the agent has not answered CREATE");
    c.restart_master();
    assert_eq!(counted(&c), (2, 1, 0));
    let lines = c.order(Order::MarkAgentGone(kept.id.clone()));
    assert_eq!(lines[0], "registry: gone m-S0");
    assert_eq!((known(&c), counted(&c)), (vec!["m-S2".to_owned()], (1, 0, 1)));
    assert!(c.master.registry().operations().is_empty(), "nobody will answer CREATE");
    // Gone ones on which nothing was are forgotten above the limit, and are not counted.
    c.order(Order::MarkAgentGone(agents[2].id.clone()));
    c.restart_master();
    assert_eq!((c.master.registry().gone().len(), counted(&c)), (2, (0, 0, 1)));
    forgotten(&mut c, &kept.id, &agents[2].id);
    assert_eq!((c.master.registry().gone().len(), counted(&c)), (0, (0, 0, 0)));
}

/// The operator sees the one that is kept, and forgets both.
fn forgotten(c: &mut Cluster, kept: &AgentId, other: &AgentId) {
    let listed = |c: &mut Cluster| c.operator(Call::GetGoneAgents);
    let lines = listed(c);
    assert!(lines[0].starts_with("answer: GoneAgents([GoneAgent { agent_id: "), "{lines:?}");
    assert!(lines[0].contains("m-S0") && !lines[0].contains("m-S2"), "{lines:?}");
    let lines = c.operator(Call::ForgetAgent(kept.clone()));
    assert_eq!(lines, ["registry: remove m-S0", "answer: Ok"]);
    assert_eq!(listed(c), ["answer: GoneAgents([])"]);
    let lines = c.operator(Call::ForgetAgent(kept.clone()));
    let unknown = "Agent cannot be found: m-S0 is not registered, or is gone";
    assert_eq!(lines, [format!("FORGET_AGENT refused (404): {unknown}")]);
    c.operator(Call::ForgetAgent(other.clone()));
    let there = c.agent(cpus_mem(1, 64));
    let lines = c.operator(Call::ForgetAgent(there.id.clone()));
    let refused = "is not gone: it can be forgotten once it is marked gone";
    assert_eq!(lines, [format!("FORGET_AGENT refused (409): agent {} {refused}", there.id)]);
}
