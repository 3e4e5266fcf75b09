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

fn measured(used_ppm: u32) -> Input {
    Input::DiskUsage { used_ppm, making_room: false }
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
    world.step(measured(950_000));
    world.step(measured(960_000));
    assert_eq!(collected(&world), 1);
}

#[test]
fn a_failed_removal_is_tried_again_later() {
    let (mut world, container_id) = with_sandbox();
    world.step(measured(950_000));
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
    world.step(measured(950_000));
    assert_eq!(collected(&world), 1);
}

/// A world with the sandboxes `/s/0`, `/s/1`, ... of tasks that ended a second after each other.
fn with_sandboxes(count: u32) -> World {
    let mut world = World::registered();
    for n in 0..count {
        let (task, path) = (format!("t{n}"), format!("/s/{n}"));
        world.running(&task);
        world.now = world.now + Duration::from_secs(1);
        world.exit(&task, Exited { sandbox: Some(path.into()), ..exited(Exit::Code(0)) });
        world.acknowledge_last();
        world.acknowledge_last();
    }
    world.effects.clear();
    world
}

/// Which sandboxes were ordered to be removed since the last look.
fn ordered(world: &mut World) -> Vec<(ContainerId, String)> {
    let removal = |effect: Effect| match effect {
        Effect::CollectSandbox { container_id, path } => Some((container_id, path.to_string())),
        _ => None,
    };
    std::mem::take(&mut world.effects).into_iter().filter_map(removal).collect()
}

#[test]
fn on_a_short_disk_the_oldest_goes_and_the_next_only_if_it_still_is() {
    let mut world = with_sandboxes(4);
    world.step(measured(890_000));
    assert_eq!(ordered(&mut world), []);
    let next = |world: &mut World| {
        let [(id, path)] = &ordered(world)[..] else { panic!("not one") };
        (id.clone(), path.clone())
    };
    world.step(measured(900_000));
    let (first, path) = next(&mut world);
    assert_eq!(path, "/s/0");
    // Measured meanwhile, it is still being removed; and then it is not known what that brought.
    world.step(measured(980_000));
    world.step(Input::SandboxCollected { container_id: first });
    world.step(Input::Tick);
    assert_eq!(ordered(&mut world), []);
    world.step(measured(950_000));
    let (second, path) = next(&mut world);
    assert_eq!(path, "/s/1");
    // One that cannot be removed does not keep the next one.
    world.step(Input::SandboxCollectFailed { container_id: second });
    world.step(measured(940_000));
    let (third, path) = next(&mut world);
    assert_eq!(path, "/s/2");
    world.step(Input::SandboxCollected { container_id: third });
    world.step(measured(890_000));
    world.step(Input::Tick);
    assert_eq!(ordered(&mut world), [], "there is room again: the newest stays");
    assert_eq!(world.agent.sandboxes().count(), 2);
}

#[test]
fn no_sandbox_goes_while_what_can_be_had_again_is_being_removed() {
    let mut world = with_sandboxes(2);
    world.step(Input::DiskUsage { used_ppm: 990_000, making_room: true });
    world.step(Input::Tick);
    assert_eq!(ordered(&mut world), []);
    assert!(world.agent.is_disk_pressed(), "the master is told at once");
    world.step(measured(990_000));
    assert_eq!(ordered(&mut world).len(), 1);
}

#[test]
fn what_is_told_of_an_unknown_sandbox_is_ignored() {
    let mut world = World::registered();
    let container_id = ContainerId::new("nobody").unwrap();
    world.step(Input::SandboxCollected { container_id: container_id.clone() });
    world.step(Input::SandboxCollectFailed { container_id });
    assert_eq!(world.effects, []);
}
