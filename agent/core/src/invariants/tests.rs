//! A checker that never fired is not trusted: each invariant is broken once, on purpose.

use super::INVARIANTS;
use crate::Agent;
use crate::state::{KillCause, Phase, Timer};
use crate::testing::{World, exited, key, options, task};
use proto::{Exit, Resources, Time};
use std::sync::Arc;

/// What the check says of an agent with a running task `r` and an ended one `e`.
fn violation(plant: impl FnOnce(&mut Agent, Time)) -> &'static str {
    let mut world = World::registered();
    world.running("r");
    world.running("e");
    world.exit("e", exited(Exit::Code(0)));
    plant(&mut world.agent, world.now);
    world.agent.check(world.now).unwrap_err().id
}

#[test]
fn every_invariant_has_a_number_of_its_own() {
    let numbers: Vec<_> = INVARIANTS.iter().map(|(id, _)| *id).collect();
    let expected: Vec<_> = (1..=INVARIANTS.len()).map(|n| format!("A{n}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a1_an_update_under_way_without_an_update() {
    let id = violation(|agent, _| {
        agent.task_mut(&key("r")).unwrap().stream.pending.clear();
    });
    assert_eq!(id, "A1");
}

#[test]
fn a1_an_update_that_nobody_sends() {
    assert_eq!(violation(|agent, _| agent.cancel_retry(&key("r"))), "A1");
}

#[test]
fn a2_a_life_that_goes_backwards() {
    let id = violation(|agent, _| {
        let pending = &mut agent.task_mut(&key("e")).unwrap().stream.pending;
        pending.swap(0, 1);
    });
    assert_eq!(id, "A2");
}

#[test]
fn a2_an_ended_task_that_runs() {
    let id = violation(|agent, _| agent.task_mut(&key("e")).unwrap().phase = Phase::Running);
    assert_eq!(id, "A2");
}

#[test]
fn a2_a_state_that_is_told_twice() {
    let id = violation(|agent, _| {
        let pending = &mut agent.task_mut(&key("e")).unwrap().stream.pending;
        let mut again = proto::TaskStatus::clone(&pending[0]);
        again.uuid = Some(proto::StatusUuid([9; 16]));
        pending.insert(1, Arc::new(again));
    });
    assert_eq!(id, "A2");
}

#[test]
fn a7_a_look_at_a_task_that_is_to_end() {
    let mut world = World::registered();
    let mut watched = task("w");
    let kind = proto::CheckKind::Tcp { port: 1, ipv6: false };
    let second = std::time::Duration::from_secs(1);
    let check = proto::Check { kind, delay: second, interval: second, timeout: second };
    watched.payload.checks = Some(Arc::new(proto::Checks { health: None, check: Some(check) }));
    world.run(watched);
    world.launched("w");
    world.agent.task_mut(&key("w")).unwrap().kill = Some(KillCause::Requested);
    assert_eq!(world.agent.check(world.now).unwrap_err().id, "A7");
}

#[test]
fn a3_resources_from_nowhere() {
    let id = violation(|agent, _| agent.free.add(&Resources::cpus_mem(1, 0)));
    assert_eq!(id, "A3");
}

#[test]
fn a3_an_ended_task_that_holds_resources() {
    let id = violation(|agent, _| {
        agent.task_mut(&key("e")).unwrap().launched.as_mut().unwrap().holds = true;
    });
    assert_eq!(id, "A3");
}

#[test]
fn a4_a_living_task_without_a_container() {
    assert_eq!(violation(|agent, _| agent.containers.clear()), "A4");
}

#[test]
fn a4_a_container_without_a_task() {
    let id = violation(|agent, _| {
        let stray = proto::ContainerId::new("stray").unwrap();
        agent.containers.insert(stray, key("nobody"));
    });
    assert_eq!(id, "A4");
}

#[test]
fn a5_a_task_that_is_kept_for_nothing() {
    let id = violation(|agent, _| {
        agent.cancel_retry(&key("e"));
        agent.task_mut(&key("e")).unwrap().stream.pending.clear();
    });
    assert_eq!(id, "A5");
}

#[test]
fn a5_an_abandoned_task_with_updates() {
    let id = violation(|agent, _| {
        agent.task_mut(&key("r")).unwrap().kill = Some(KillCause::Abandoned);
    });
    assert_eq!(id, "A5");
}

#[test]
fn a6_too_many_tombstones() {
    let id = violation(|agent, now| {
        agent.options.tombstones_max = 1;
        let mut effects = Vec::new();
        agent.options.tombstones_max = 2;
        agent.kill(now, key("x"), KillCause::Requested, None, &mut effects);
        agent.kill(now, key("y"), KillCause::Requested, None, &mut effects);
        agent.options.tombstones_max = 1;
    });
    assert_eq!(id, "A6");
}

#[test]
fn a7_a_timer_of_nothing() {
    let id = violation(|agent, now| {
        let (framework_id, task_id) = key("nobody");
        agent.timers.insert((now, Timer::Completion, framework_id, task_id));
    });
    assert_eq!(id, "A7");
}

#[test]
fn a8_tasks_of_nobody() {
    assert_eq!(violation(|agent, _| agent.identity = None), "A8");
}

#[test]
fn a9_something_overdue() {
    let world = World::registered();
    let late = world.now + crate::testing::PING_TIMEOUT;
    assert_eq!(world.agent.check(late).unwrap_err().id, "A9");
}

#[test]
fn a10_one_uuid_for_two_updates() {
    let id = violation(|agent, _| {
        let pending = &mut agent.task_mut(&key("e")).unwrap().stream.pending;
        let uuid = pending[0].uuid;
        Arc::make_mut(&mut pending[1]).uuid = uuid;
    });
    assert_eq!(id, "A10");
}

#[test]
fn a11_a_volume_that_goes_under_a_task() {
    let id = violation(|agent, _| agent.plant_deletion_under(&key("r")));
    assert_eq!(id, "A11");
}

#[test]
fn a_healthy_agent_breaks_none() {
    let mut world = World::with(options(), crate::Recovered::default());
    world.register();
    world.run(task("t"));
    assert_eq!(world.agent.check(world.now), Ok(()));
}

#[test]
fn a12_an_older_master_that_is_obeyed() {
    assert_eq!(violation(|agent, _| agent.epochs.plant(7)), "A12");
}
