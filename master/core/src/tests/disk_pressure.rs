//! An agent whose disk is about to be full: its disk is offered to nobody until there is room.

use super::volumes::{cluster, newest, offered, plain, space_left, total, v};
use crate::Effect;
use crate::testing::*;
use proto::TaskState::{Finished, Running};
use proto::agent_link::AgentCall;
use proto::operator::{Call as OperatorCall, Response};
use proto::{Resources, TaskState};
use std::time::Duration;

fn with_disk(mb: u64) -> Resources {
    cpus_mem(4, 1024).plus(&disk(mb))
}

fn press(c: &mut Cluster, agent: &AgentSide, pressed: bool) -> Vec<String> {
    c.agent_call(agent, AgentCall::DiskPressure { pressed })
}

#[test]
fn offers_of_disk_are_taken_back_and_made_without_it_until_there_is_room() {
    let mut c = Cluster::default();
    let agent = c.agent(with_disk(500));
    let framework = c.framework();
    expect(
        &press(&mut c, &agent, true),
        &["c2 <- RESCIND m-O0", "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"],
    );
    expect(&press(&mut c, &agent, true), &[]);
    // Disk alone is no offer.
    expect(&press(&mut c, &agent, false), &[]);
    let lines = c.decline(&framework, &["m-O1"], Duration::ZERO);
    expect(&lines, &["c2 <- OFFERS [m-O2 m-S0 * cpus:4; disk:500; mem:1024]"]);
    expect(&press(&mut c, &agent, false), &[]);
}

#[test]
fn operators_see_it_until_the_agent_has_another_stream() {
    let mut c = Cluster::default();
    let mut agent = c.agent(with_disk(500));
    let seen = |c: &mut Cluster| {
        c.operator(OperatorCall::GetAgents);
        let Some(Effect::Answer { response, .. }) = c.effects.first() else { panic!("no answer") };
        let Response::Agents(agents) = &**response else { panic!("not agents") };
        agents[0].disk_pressed
    };
    assert!(!seen(&mut c));
    press(&mut c, &agent, true);
    assert!(seen(&mut c));
    press(&mut c, &agent, false);
    assert!(!seen(&mut c));
    press(&mut c, &agent, true);
    c.reregister(&mut agent, Vec::new(), &[]);
    assert!(!seen(&mut c), "it says it anew");
}

#[test]
fn offers_without_disk_stay_and_other_agents_are_not_meant() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let other = c.agent(with_disk(500));
    c.framework();
    expect(&press(&mut c, &agent, true), &[]);
    assert_eq!(press(&mut c, &other, true).len(), 2);
}

#[test]
fn what_a_task_used_is_withheld_when_it_ends() {
    let mut c = Cluster::default();
    let agent = c.agent(with_disk(500));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t", "m-S0", with_disk(200))]);
    c.update(&agent, &framework, "t", Running, 1);
    expect(&press(&mut c, &agent, true), &[]);
    c.update(&agent, &framework, "t", Finished, 2);
    assert_eq!(offered(&c, &framework), cpus_mem(4, 1024));
    press(&mut c, &agent, false);
    c.decline(&framework, &[&newest(&c, &framework)], Duration::ZERO);
    assert_eq!(offered(&c, &framework), with_disk(500));
}

#[test]
fn a_task_that_the_agent_is_found_to_run_has_its_disk() {
    let mut c = Cluster::default();
    let mut agent = c.agent(with_disk(500));
    let framework = c.framework();
    press(&mut c, &agent, true);
    let uses = cpus_mem(1, 24).plus(&disk(300));
    let task = agent_task(&framework, "t", uses, TaskState::Running);
    c.reregister(&mut agent, vec![task], &[&framework]);
    let rest = cpus_mem(3, 1000);
    let all = rest.clone().plus(&disk(200));
    assert_eq!(offered(&c, &framework), all, "a new stream has no pressure until it says so");
    press(&mut c, &agent, true);
    assert_eq!(offered(&c, &framework), rest);
}

#[test]
fn volumes_are_offered_on() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    assert_eq!(offered(&c, &eng), plain().plus(&all(&[v(60)])).plus(&space_left(40)));
    press(&mut c, &agent, true);
    assert_eq!(offered(&c, &eng), plain().plus(&all(&[v(60)])));
    // What a volume gives back is withheld like the rest.
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], vec![destroy("", &[v(60)])]);
    c.applied(&agent, 2, &[]);
    // What an ACCEPT left is refused for a time.
    c.advance_alive(Duration::from_secs(6));
    assert_eq!(offered(&c, &eng), plain());
    press(&mut c, &agent, false);
    c.decline(&eng, &[&newest(&c, &eng)], Duration::ZERO);
    assert_eq!(offered(&c, &eng), plain().plus(&space_left(100)));
}

#[test]
fn a_change_of_a_volume_that_failed_is_undone_though_its_disk_is_withheld() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let (before, offer) = (total(&c, &agent), newest(&c, &eng));
    c.accept(&eng, &[&offer], vec![shrink("o", &v(60), 30)]);
    press(&mut c, &agent, true);
    assert_ne!(total(&c, &agent), before);
    c.applied(&agent, 2, &[("v", "busy")]);
    assert_eq!(total(&c, &agent), before);
    assert_eq!(offered(&c, &eng), plain().plus(&all(&[v(60)])));
}
