//! Executors that do not end though they were killed.

use super::{executor_id, exited, framework_id, options};
use crate::testing::World;
use crate::{Container, Effect, Input, Note, Recovered};
use proto::agent_link::AgentEvent;
use proto::{Exit, Reason, TaskOutcome, TaskState};
use std::time::Duration;

/// An executor whose task runs, of which nobody waits for an update.
fn world() -> World {
    let mut world = World::employing(&["a"]);
    world.reports("a", TaskState::Running, 1);
    world.acknowledge_last();
    world
}

fn shutdown(world: &mut World) {
    let (framework_id, executor_id) = (framework_id(), executor_id());
    world.hear(AgentEvent::ShutdownExecutor { framework_id, executor_id });
}

/// How often it was said that the executor does not end.
fn said(world: &World) -> usize {
    let notes = world.effects.iter();
    notes.filter(|e| matches!(e, Effect::Note(Note::UnkillableExecutor { .. }))).count()
}

/// What the supervisor tells of it that came after the one that was lost.
fn remains(world: &World) -> Container {
    let known = &world.containers[&world.home()];
    Container { launch: None, remains: true, ..known.clone() }
}

fn ends_as_lost(world: &mut World) {
    let container_id = world.home();
    let exited = crate::Exited {
        outcome: TaskOutcome::default(),
        kill_requested: true,
        ..exited(Exit::Code(0))
    };
    world.containers.get_mut(&container_id).unwrap().exited = Some(exited.clone());
    world.step(Input::Exited { container_id, exited });
    let end = world.last();
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
    assert_eq!(*world.agent.free(), *world.agent.total());
    assert_eq!(world.ends(), [Some(-1)]);
}

#[test]
fn one_that_outlives_its_kill_keeps_what_it_holds_and_its_tasks_are_told_as_unkillable() {
    let mut world = world();
    let held = world.agent.free().clone();
    shutdown(&mut world);
    world.pass(options().executor_shutdown_grace);
    assert_eq!(world.kills.len(), 1, "it does not hear");
    world.back();
    world.effects.clear();
    world.pass(options().unkillable_after);
    world.back();
    let told = world.last();
    assert_eq!((told.state, told.reason), (TaskState::Running, Some(Reason::TaskUnkillable)));
    assert_eq!(said(&world), 1);
    assert_eq!(*world.agent.free(), held);
    world.pass(options().unkillable_after * 3);
    world.back();
    assert_eq!(said(&world), 1, "once is enough");
    world.acknowledge_last();
    world.executor_exits(Exit::Signal(9));
    assert_eq!(world.last().reason, Some(Reason::ExecutorTerminated));
    assert_eq!(*world.agent.free(), *world.agent.total());
}

#[test]
fn one_that_was_being_killed_when_the_agent_was_started_anew_is_waited_for() {
    let mut world = world();
    let home = world.home();
    world.containers.get_mut(&home).unwrap().kill_requested = true;
    let mut world = world.restart();
    world.register();
    // It may yet come back to say how its tasks end, and gets no more of them.
    world.effects.clear();
    world.subscribe(1, &["a"]);
    assert_eq!(world.heard(), ["1 SUBSCRIBED", "1 SHUTDOWN"]);
    world.pass(options().executor_shutdown_grace + options().unkillable_after);
    world.back();
    assert_eq!(said(&world), 1);
    assert_eq!(world.last().reason, Some(Reason::TaskUnkillable));
}

#[test]
fn what_is_left_of_one_whose_supervisor_was_lost_keeps_what_it_holds_and_ends_as_lost() {
    let mut world = world();
    let held = world.agent.free().clone();
    let containers = vec![remains(&world)];
    world.effects.clear();
    world.step(Input::Supervisor { containers });
    assert_eq!(world.kills.len(), 1);
    assert_eq!(*world.agent.free(), held);
    world.pass(options().unkillable_after);
    world.back();
    assert_eq!(world.last().reason, Some(Reason::TaskUnkillable));
    world.acknowledge_last();
    world.effects.clear();
    ends_as_lost(&mut world);
}

#[test]
fn the_next_agent_knows_what_is_left_of_one_by_the_records_of_its_tasks() {
    let world = world();
    let held = world.agent.free().clone();
    let containers = vec![remains(&world)];
    let launch = world.containers[&world.home()].launch.clone();
    let found = Recovered { containers, supervisor_continued: false, ..world.found() };
    let mut world = World::with(options(), found);
    world.register();
    world.containers.values_mut().for_each(|one| one.launch = launch.clone());
    assert_eq!(*world.agent.free(), held);
    world.pass(options().unkillable_after + Duration::from_millis(1));
    world.back();
    assert_eq!(world.last().reason, Some(Reason::TaskUnkillable));
    world.acknowledge_last();
    world.effects.clear();
    ends_as_lost(&mut world);
}
