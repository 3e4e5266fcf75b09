//! What is left of tasks whose supervisor was lost, and does not end.

use crate::testing::{World, exited, options, plain_framework, task};
use crate::{Container, Exited, Input, Options, Recovered};
use proto::{Exit, Reason, TaskOutcome, TaskState};
use std::time::Duration;

fn world() -> World {
    let options = Options { unkillable_after: Duration::from_secs(1), ..options() };
    let mut world = World::with(options, Recovered::default());
    world.register();
    world
}

/// As the supervisor tells it that came after the one that was lost.
fn remains(world: &World, task: &str) -> Container {
    let known = &world.containers[&world.container_of(task)];
    Container { launch: None, remains: true, ..known.clone() }
}

/// All that can be told of their end.
fn unseen() -> Exited {
    Exited { outcome: TaskOutcome::default(), kill_requested: true, ..exited(Exit::Code(0)) }
}

fn end_unseen(world: &mut World, task: &str) {
    world.exit(task, unseen());
    let end = world.last();
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
}

#[test]
fn they_hold_what_the_task_holds_are_shown_as_unkillable_and_end_as_lost() {
    let mut world = world();
    world.run_as(plain_framework(), task("t"));
    world.launched("t");
    world.acknowledge_last();
    let held = world.agent.free().clone();
    let containers = vec![remains(&world, "t")];
    world.step(Input::Supervisor { containers });
    assert_eq!(*world.agent.free(), held);
    world.pass(Duration::from_secs(1));
    let told = world.last();
    let expected = (TaskState::Running, Some(Reason::TaskUnkillable));
    assert_eq!((told.state, told.reason), expected);
    world.acknowledge_last();
    end_unseen(&mut world, "t");
    assert_eq!(*world.agent.free(), *world.agent.total());
}

#[test]
fn a_launch_that_was_not_answered_may_have_left_some() {
    let mut world = world();
    world.run_as(plain_framework(), task("t"));
    let containers = vec![remains(&world, "t")];
    world.step(Input::Supervisor { containers });
    assert_eq!(world.last().state, TaskState::Running, "something of it lives");
    world.acknowledge_last();
    end_unseen(&mut world, "t");
}

#[test]
fn the_next_agent_is_told_of_them_too_and_knows_them_by_its_checkpoint() {
    for is_over in [false, true] {
        let mut world = world();
        world.running("t");
        world.acknowledge_last();
        let held = world.agent.free().clone();
        let ended = is_over.then(unseen);
        let told = Container { exited: ended, ..remains(&world, "t") };
        let containers = vec![told];
        let found = Recovered { containers, supervisor_continued: false, ..world.found() };
        let launch = world.containers[&world.container_of("t")].launch.clone();
        let mut world = World::with(options(), found);
        world.register();
        if !is_over {
            assert_eq!(*world.agent.free(), held);
            world.containers.values_mut().for_each(|one| one.launch = launch.clone());
            world.acknowledge_last();
            end_unseen(&mut world, "t");
        }
        let end = world.last();
        assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
        assert_eq!(*world.agent.free(), *world.agent.total());
    }
}

#[test]
fn those_of_a_task_that_is_not_on_record_are_waited_for_and_forgotten() {
    let mut world = world();
    world.running("t");
    world.acknowledge_last();
    let stranger = Container {
        container_id: proto::ContainerId::new("stranger").unwrap(),
        ..remains(&world, "t")
    };
    let kept = remains(&world, "t");
    world.containers.insert(stranger.container_id.clone(), stranger.clone());
    world.step(Input::Supervisor { containers: vec![kept, stranger.clone()] });
    let container_id = stranger.container_id;
    world.step(Input::Exited { container_id: container_id.clone(), exited: unseen() });
    world.acknowledge_last();
    assert!(!world.containers.contains_key(&container_id), "the supervisor may forget it");
    end_unseen(&mut world, "t");
}

#[test]
fn nobody_hears_of_those_of_a_framework_that_is_over() {
    let mut world = world();
    world.running("t");
    world.acknowledge_last();
    world.hear(proto::agent_link::AgentEvent::ShutdownFramework {
        framework_id: crate::testing::framework_id(),
    });
    world.effects.clear();
    let containers = vec![remains(&world, "t")];
    world.step(Input::Supervisor { containers });
    world.exit("t", unseen());
    assert_eq!(world.states(), []);
    assert_eq!(*world.agent.free(), *world.agent.total());
}
