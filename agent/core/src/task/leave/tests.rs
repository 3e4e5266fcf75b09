//! Ends without a word: a framework that was removed, an agent that is gone.

use crate::testing::{World, exited, framework_id, killed_by, task};
use crate::{CheckpointOp, Effect};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{Exit, TaskState};
use std::time::Duration;

fn shutdown(world: &mut World) {
    world.hear(AgentEvent::ShutdownFramework { framework_id: framework_id() });
}

#[test]
fn a_removed_frameworks_tasks_are_killed_and_nobody_hears_of_them() {
    let mut world = World::registered();
    world.running("a");
    world.running("b");
    world.exit("b", exited(Exit::Code(0)));
    world.effects.clear();
    shutdown(&mut world);
    assert_eq!(world.kills.len(), 1);
    assert_eq!(world.agent.tasks().count(), 1, "an ended task is forgotten at once");
    world.exit("a", killed_by(15));
    assert_eq!(world.states(), []);
    assert_eq!(world.agent.tasks().count(), 0);
    assert!(world.containers.is_empty());
    assert!(world.disk.recovered.frameworks.is_empty());
    assert_eq!(world.agent.free(), world.agent.total());
}

#[test]
fn a_launch_for_a_framework_that_is_being_removed_is_dropped() {
    let mut world = World::registered();
    world.running("a");
    shutdown(&mut world);
    world.effects.clear();
    world.run(task("b"));
    assert_eq!(world.states(), [TaskState::Dropped]);
}

#[test]
fn the_removal_of_a_framework_that_launches_ends_the_launch() {
    let mut world = World::registered();
    world.run(task("a"));
    shutdown(&mut world);
    world.launched("a");
    world.exit("a", killed_by(15));
    assert_eq!(world.states(), []);
    assert_eq!(world.agent.tasks().count(), 0);
}

#[test]
fn an_unknown_framework_may_be_removed() {
    let mut world = World::registered();
    shutdown(&mut world);
    assert_eq!(world.effects, []);
}

#[test]
fn an_agent_that_is_gone_ends_its_tasks_and_registers_anew() {
    let mut world = World::registered();
    world.running("a");
    world.hear(AgentEvent::Refused { message: "marked gone".into(), gone: true });
    assert_eq!(world.kills.iter().map(|(_, grace)| *grace).collect::<Vec<_>>(), [Duration::ZERO]);
    world.pass(Duration::from_secs(60));
    let before = world.link;
    world.effects.clear();
    world.exit("a", killed_by(9));
    assert!(world.effects.contains(&Effect::Persist(CheckpointOp::DeleteAgent)));
    assert!(world.disk.recovered.agent.is_none() && world.disk.recovered.tasks.is_empty());
    world.pass(Duration::from_secs(11));
    assert!(world.link > before, "it asks for a stream again");
    world.step(crate::Input::LinkUp { link: world.link });
    assert!(
        world.effects.iter().any(|effect| matches!(
            effect,
            Effect::ToMaster { call: AgentCall::Register { .. }, .. }
        ))
    );
}

#[test]
fn an_idle_agent_that_is_gone_forgets_its_id_at_once() {
    let mut world = World::registered();
    world.hear(AgentEvent::Refused { message: "marked gone".into(), gone: true });
    assert!(world.disk.recovered.agent.is_none());
    assert!(world.agent.agent_id().is_none());
}
