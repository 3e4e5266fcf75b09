//! A master that was replaced has no say, whatever became of the agent meanwhile.

use crate::testing::{World, agent_id, key, options, task};
use crate::{CheckpointOp, Effect, EpochRecord, Input, Note};
use proto::agent_link::AgentEvent;
use proto::{ClusterId, Role};
use std::sync::Arc;
use std::time::Duration;

/// An agent that was admitted by the master of this epoch.
fn registered_in(epoch: u64) -> World {
    let mut world = World::fresh();
    world.epoch = epoch;
    world.register();
    world
}

/// The stream breaks, and the next one is open.
fn meet_again(world: &mut World) {
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(10));
    world.effects.clear();
    world.step(Input::LinkUp { link: world.link });
}

fn left(world: &World) -> Option<(u64, u64)> {
    let disconnect = Effect::Disconnect { link: world.link };
    world.effects.iter().find_map(|effect| match effect {
        Effect::Note(Note::OldEpoch { epoch, newest, .. }) => {
            assert!(world.effects.contains(&disconnect));
            Some((*epoch, *newest))
        }
        _ => None,
    })
}

fn run(id: &str) -> AgentEvent {
    let framework = Arc::new(crate::testing::framework());
    AgentEvent::Run { framework, role: Role::any(), tasks: vec![task(id)] }
}

fn reregistered() -> AgentEvent {
    AgentEvent::Reregistered {
        agent_id: agent_id(),
        master_id: proto::MasterId::new("M2").unwrap(),
        ping_timeout: Duration::from_secs(5),
        reconcile: Vec::new(),
    }
}

#[test]
fn the_newest_epoch_is_durable_before_anything_is_done_that_was_said_in_it() {
    let world = registered_in(3);
    let at = |wanted: fn(&Effect) -> bool| world.effects.iter().position(wanted).unwrap();
    let epoch = at(|e| matches!(e, Effect::Persist(CheckpointOp::PutEpoch(r)) if r.epoch == 3));
    assert!(epoch < at(|e| matches!(e, Effect::Persist(CheckpointOp::PutAgent(_)))));
    assert_eq!(world.agent.epoch(), 3);
    let said = world.durable.recovered.epoch.clone();
    assert_eq!(said, Some(EpochRecord { epoch: 3, cluster_id: None }));
}

#[test]
fn an_epoch_that_is_known_is_not_written_again() {
    let mut world = registered_in(3);
    world.effects.clear();
    world.hear(AgentEvent::Ping { sequence: 1 });
    assert!(!world.effects.iter().any(|e| matches!(e, Effect::Persist(_))));
}

#[test]
fn an_older_master_is_left_whatever_it_says() {
    let (framework_id, task_id) = key("t");
    for event in [
        reregistered(),
        run("u"),
        AgentEvent::Refused { message: "gone".into(), gone: true },
        AgentEvent::Kill { framework_id, task_id, grace: None, draining: false },
        AgentEvent::ShutdownFramework { framework_id: key("t").0 },
        AgentEvent::Ping { sequence: 1 },
    ] {
        let mut world = registered_in(3);
        world.running("t");
        meet_again(&mut world);
        world.epoch = 2;
        world.hear(event.clone());
        assert_eq!(left(&world), Some((2, 3)), "{event:?}");
        assert!(!world.agent.is_registered());
        assert_eq!(world.agent.counters().old_masters, 1);
        assert_eq!((world.containers.len(), world.kills.len()), (1, 0), "{event:?}");
        assert_eq!(world.agent.agent_id(), Some(&agent_id()), "{event:?}");
        assert!(!world.effects.iter().any(|e| matches!(e, Effect::Persist(_) | Effect::Record(_))));
    }
}

#[test]
fn what_an_older_master_says_after_that_is_not_heard() {
    let mut world = registered_in(3);
    meet_again(&mut world);
    world.epoch = 2;
    world.hear(reregistered());
    world.effects.clear();
    world.hear(run("t"));
    assert_eq!(world.effects, []);
}

#[test]
fn the_next_attempt_finds_the_newest_master() {
    let mut world = registered_in(3);
    meet_again(&mut world);
    world.epoch = 2;
    world.hear(reregistered());
    world.pass(Duration::from_secs(10));
    world.epoch = 4;
    world.register();
    assert_eq!(world.agent.epoch(), 4);
    assert_eq!(world.durable.recovered.epoch.as_ref().unwrap().epoch, 4);
}

#[test]
fn an_agent_that_was_started_again_remembers() {
    let mut world = registered_in(3).restart();
    assert_eq!(world.agent.epoch(), 3);
    world.step(Input::LinkUp { link: world.link });
    world.epoch = 2;
    world.effects.clear();
    world.hear(reregistered());
    assert_eq!(left(&world), Some((2, 3)));
}

#[test]
fn an_agent_that_is_gone_remembers_too() {
    let mut world = registered_in(3);
    world.hear(AgentEvent::Refused { message: "gone".into(), gone: true });
    assert_eq!(world.agent.agent_id(), None);
    let mut world = world.restart();
    world.step(Input::LinkUp { link: world.link });
    world.epoch = 2;
    world.hear(AgentEvent::Ping { sequence: 1 });
    assert_eq!(left(&world), Some((2, 3)));
}

#[test]
fn an_agent_whose_record_of_it_is_lost_starts_and_learns_it_anew() {
    let mut recovered = registered_in(3).found();
    recovered.epoch = None;
    let mut world = World::with(options(), recovered);
    assert_eq!(world.agent.epoch(), 0);
    world.epoch = 2;
    world.register();
    assert_eq!(world.agent.epoch(), 2);
}

#[test]
fn a_master_that_names_no_epoch_is_obeyed_until_another_does() {
    let mut world = registered_in(0);
    world.running("t");
    assert_eq!((world.agent.epoch(), world.durable.recovered.epoch.clone()), (0, None));
    meet_again(&mut world);
    world.epoch = 1;
    world.hear(reregistered());
    assert!(world.agent.is_registered());
    meet_again(&mut world);
    world.epoch = 0;
    world.hear(reregistered());
    assert_eq!(left(&world), Some((0, 1)));
}

#[test]
fn a_launch_that_waited_for_volumes_is_dropped_with_its_master() {
    let mut world = registered_in(3);
    world.agent.postpone(run("t"));
    world.epoch = 2;
    world.hear(AgentEvent::Ping { sequence: 1 });
    assert!(world.agent.next_postponed().is_none());
}

#[test]
fn epochs_of_another_cluster_are_others() {
    let cluster = |name: &str| ClusterId::new(name).unwrap();
    let mut world = World::fresh();
    world.epoch = 9;
    world.step(Input::Cluster { link: world.link, cluster_id: cluster("east") });
    world.register();
    let epoch = world.durable.recovered.epoch.clone();
    assert_eq!(epoch, Some(EpochRecord { epoch: 9, cluster_id: Some(cluster("east")) }));
    // Its identity is gone, and it is brought to another cluster.
    world.hear(AgentEvent::Refused { message: "gone".into(), gone: true });
    let mut world = world.restart();
    world.step(Input::Cluster { link: world.link, cluster_id: cluster("west") });
    world.epoch = 1;
    world.register();
    let epoch = world.durable.recovered.epoch.clone();
    assert_eq!(epoch, Some(EpochRecord { epoch: 1, cluster_id: Some(cluster("west")) }));
}
