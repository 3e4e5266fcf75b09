//! The age of sandboxes, and their removal.

use super::age;
use crate::testing::{World, exited};
use crate::{Effect, Exited, Input};
use proto::{ContainerId, Exit};
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[test]
fn sandboxes_age_faster_as_the_disk_fills() {
    assert_eq!(age(WEEK, 100_000, 0), WEEK * 9 / 10);
    assert_eq!(age(WEEK, 100_000, 500_000), WEEK * 4 / 10);
    assert_eq!(age(WEEK, 100_000, 900_000), Duration::ZERO);
    assert_eq!(age(WEEK, 100_000, 1_000_000), Duration::ZERO);
}

/// A world with one sandbox of an ended, acknowledged task.
fn with_sandbox() -> (World, ContainerId) {
    let mut world = World::registered();
    world.running("t");
    let container_id = world.container_of("t");
    world.exit("t", Exited { sandbox: Some("/s/1".into()), ..exited(Exit::Code(0)) });
    world.acknowledge_last();
    world.acknowledge_last();
    world.step(Input::LinkDown { link: world.link, reason: "down".into() });
    world.effects.clear();
    (world, container_id)
}

fn collected(world: &World) -> usize {
    world.effects.iter().filter(|e| matches!(e, Effect::CollectSandbox { .. })).count()
}

#[test]
fn a_sandbox_is_removed_when_it_is_old() {
    let (mut world, container_id) = with_sandbox();
    world.now = world.now + WEEK * 8 / 10;
    world.step(Input::Tick);
    assert_eq!(collected(&world), 0);
    world.now = world.now + WEEK / 10;
    world.step(Input::Tick);
    assert_eq!(collected(&world), 1);
    world.step(Input::SandboxCollected { container_id });
    assert_eq!(world.agent.sandboxes().count(), 0);
    assert!(world.disk.recovered.sandboxes.is_empty());
}

#[test]
fn a_full_disk_removes_it_at_once_and_only_once() {
    let (mut world, _) = with_sandbox();
    world.step(Input::DiskUsage { used_ppm: 950_000 });
    world.step(Input::DiskUsage { used_ppm: 960_000 });
    assert_eq!(collected(&world), 1);
}

#[test]
fn a_failed_removal_is_tried_again_later() {
    let (mut world, container_id) = with_sandbox();
    world.step(Input::DiskUsage { used_ppm: 950_000 });
    world.step(Input::SandboxCollectFailed { container_id: container_id.clone() });
    world.step(Input::SandboxCollectFailed { container_id });
    assert_eq!(collected(&world), 1);
    world.now = world.now + Duration::from_secs(60);
    world.step(Input::Tick);
    assert_eq!(collected(&world), 2);
}

#[test]
fn sandboxes_on_record_are_collected_after_a_restart() {
    let (world, _) = with_sandbox();
    let mut world = world.restart();
    world.step(Input::DiskUsage { used_ppm: 950_000 });
    assert_eq!(collected(&world), 1);
}

#[test]
fn what_is_told_of_an_unknown_sandbox_is_ignored() {
    let mut world = World::registered();
    let container_id = ContainerId::new("nobody").unwrap();
    world.step(Input::SandboxCollected { container_id: container_id.clone() });
    world.step(Input::SandboxCollectFailed { container_id });
    assert_eq!(world.effects, []);
}
