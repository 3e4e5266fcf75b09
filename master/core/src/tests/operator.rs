//! What operators see.

use crate::testing::*;
use crate::{Effect, Input, RequestId};
use proto::TaskState::{Finished, Running};
use proto::operator::{AgentStanding, Call, Response, State};
use std::sync::Arc;
use std::time::Duration;

fn ask(c: &mut Cluster, call: Call) -> Response {
    c.feed(Input::Operator { request: RequestId(1), call });
    match c.effects.pop() {
        Some(Effect::Answer { response, .. }) => *response,
        other => panic!("{other:?}"),
    }
}

fn state(c: &mut Cluster) -> State {
    match ask(c, Call::GetState) {
        Response::State(state) => *state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_it_is() {
    let mut c = Cluster::default();
    assert_eq!(ask(&mut c, Call::GetHealth), Response::Health(true));
    let (mesos, tepui) = (Arc::from("1.11.0"), Arc::from("0.0.0"));
    assert_eq!(ask(&mut c, Call::GetVersion), Response::Version { mesos, tepui });
    let started = c.now;
    let info = c.master.info().clone();
    assert_eq!(ask(&mut c, Call::GetMaster), Response::Master { info, started });
}

#[test]
fn agents_in_each_standing() {
    let mut c = Cluster::default();
    let away = c.agent(cpus_mem(1, 64));
    c.close_agent(&away);
    c.advance(Duration::from_secs(5));
    c.agent(cpus_mem(2, 64));
    c.advance(Duration::from_secs(2));
    c.agent(cpus_mem(3, 64));
    let gone = c.agent(cpus_mem(4, 64));
    c.close_agent(&gone);
    let standings: Vec<AgentStanding> = state(&mut c).agents.iter().map(|a| a.standing).collect();
    use AgentStanding::*;
    assert_eq!(standings, [Unreachable, Suspect, Active, Disconnected]);
    c.restart_master();
    let standings: Vec<AgentStanding> = state(&mut c).agents.iter().map(|a| a.standing).collect();
    assert_eq!(standings, [Unreachable, Recovered, Recovered, Recovered]);
}

#[test]
fn tasks_in_each_standing_with_what_they_went_through() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let tasks = ["t1", "t2"].map(|id| task_info(id, "m-S0", cpus_mem(1, 64))).to_vec();
    c.launch(&framework, &["m-O0"], tasks);
    for (state, byte) in [(Running, 1), (Running, 2), (Finished, 3)] {
        c.update(&agent, &framework, "t1", state, byte);
    }
    c.update(&agent, &framework, "t2", Running, 4);
    let Response::Tasks(tasks) = ask(&mut c, Call::GetTasks) else { panic!() };
    let names: Vec<&str> = tasks.tasks[0].statuses.iter().map(|s| s.state.name()).collect();
    assert_eq!(names, ["TASK_STAGING", "TASK_RUNNING", "TASK_FINISHED"]);
    assert_eq!(tasks.tasks[0].statuses[2].uuid, Some(uuid(3)));
    c.acknowledge(&framework, &agent, "t1", 3);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    let Response::Tasks(tasks) = ask(&mut c, Call::GetTasks) else { panic!() };
    assert!(tasks.tasks.is_empty());
    assert_eq!(tasks.unreachable[0].task_id, task_id("t2"));
    assert_eq!(tasks.completed[0].task_id, task_id("t1"));
    assert_eq!(tasks.completed[0].resources, cpus_mem(1, 64));
}

#[test]
fn frameworks_with_their_offers_and_what_they_hold() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let over = c.framework();
    c.operator(Call::Teardown(over.id));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    c.advance_alive(Duration::from_secs(6));
    let state = state(&mut c);
    let view = &state.frameworks[0];
    assert!(view.connected && view.active && !view.recovered);
    assert_eq!((&view.allocated, &view.offered), (&cpus_mem(1, 64), &cpus_mem(3, 960)));
    assert_eq!(view.offers[0].id, offer_id("m-O1"));
    assert!(state.completed_frameworks[0].unregistered.is_some());
    assert_eq!(
        (&state.agents[0].allocated, &state.agents[0].offered),
        (&view.allocated, &view.offered)
    );
}

#[test]
fn roles_with_their_shares() {
    let mut c = Cluster::default();
    c.framework_from(framework_info("a", &["eng/x"], &[]));
    c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(4, 1024));
    let Response::Roles(roles) = ask(&mut c, Call::GetRoles) else { panic!() };
    let shares: Vec<(&str, u64, usize)> = roles
        .iter()
        .map(|view| (view.role.as_str(), view.dominant_share_ppm, view.frameworks.len()))
        .collect();
    assert_eq!(shares, [("eng", 1_000_000, 0), ("eng/x", 1_000_000, 1)]);
    assert_eq!(roles[0].allocated, cpus_mem(8, 2048));
}

#[test]
fn what_is_not_built_is_refused() {
    let mut c = Cluster::default();
    expect(
        &c.operator(Call::NotBuilt(Arc::from("DRAIN_AGENT"))),
        &["DRAIN_AGENT refused (501): DRAIN_AGENT is not built yet"],
    );
}
