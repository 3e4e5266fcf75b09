//! When the master is told of pressure.

use crate::testing::World;
use crate::{Effect, Input};
use proto::agent_link::AgentCall;

/// What the master was told since the last look.
fn told(world: &mut World) -> Vec<bool> {
    let pressed = |effect: Effect| match effect {
        Effect::ToMaster { call: AgentCall::DiskPressure { pressed }, .. } => Some(pressed),
        _ => None,
    };
    std::mem::take(&mut world.effects).into_iter().filter_map(pressed).collect()
}

fn measured(world: &mut World, used_ppm: u32) -> Vec<bool> {
    world.step(Input::DiskUsage { used_ppm, making_room: false });
    told(world)
}

#[test]
fn pressure_is_told_when_it_begins_and_when_it_is_over() {
    let mut world = World::registered();
    assert_eq!(measured(&mut world, 949_999), []);
    assert_eq!(measured(&mut world, 950_000), [true]);
    assert_eq!(measured(&mut world, 2_000_000), []);
    assert_eq!(measured(&mut world, 930_001), [], "it does not come and go");
    assert!(world.agent.is_disk_pressed());
    assert_eq!(measured(&mut world, 930_000), [false]);
    assert_eq!(measured(&mut world, 949_999), []);
    assert!(!world.agent.is_disk_pressed());
}

#[test]
fn every_master_is_told_once_it_has_admitted_the_agent() {
    let mut world = World::fresh();
    assert_eq!(measured(&mut world, 990_000), []);
    world.register();
    assert_eq!(told(&mut world), [true]);
    world.step(Input::LinkDown { link: world.link, reason: "down".into() });
    assert_eq!(measured(&mut world, 100_000), []);
    world.now = world.now + std::time::Duration::from_secs(60);
    world.step(Input::Tick);
    world.register();
    assert_eq!(told(&mut world), [], "there is none any more");
}
