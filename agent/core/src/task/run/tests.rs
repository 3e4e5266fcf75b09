//! Launches: recorded and handed on, or refused with a reason.

use crate::testing::{World, exited, framework, framework_id, plain_framework, task};
use crate::{CheckpointOp, Effect, Input, Note};
use proto::agent_link::AgentEvent;
use proto::{Exit, Reason, Resources, Role, TaskInfo, TaskState};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_launch_records_framework_and_task_and_reaches_the_supervisor() {
    let mut world = World::registered();
    world.run(task("t"));
    let kinds: Vec<_> = world
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Record(CheckpointOp::PutFramework(_)) => "framework",
            Effect::Record(CheckpointOp::PutTask(_)) => "task",
            Effect::Launch(_) => "launch",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["framework", "task", "launch"]);
    world.run(task("u"));
    let frameworks =
        world.effects.iter().filter(|e| matches!(e, Effect::Record(CheckpointOp::PutFramework(_))));
    assert_eq!(frameworks.count(), 1, "a framework that did not change is recorded once");
}

#[test]
fn a_changed_framework_is_recorded_again() {
    let mut world = World::registered();
    world.run(task("t"));
    let mut changed = framework();
    changed.name = "renamed".into();
    world.hear(AgentEvent::UpdateFramework { framework: Arc::new(changed) });
    assert_eq!(&*world.disk.recovered.frameworks[0].name, "renamed");
}

#[test]
fn an_unknown_framework_is_not_remembered_for_its_update_alone() {
    let mut world = World::registered();
    world.hear(AgentEvent::UpdateFramework { framework: Arc::new(framework()) });
    assert_eq!(world.effects, []);
}

#[test]
fn resources_are_held_while_a_task_lives() {
    let mut world = World::registered();
    world.running("t");
    assert_eq!(*world.agent.free(), Resources::cpus_mem(3_000, 960_000));
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!(world.agent.free(), world.agent.total());
}

fn refused(task: TaskInfo) -> (TaskState, Reason, String) {
    let mut world = World::registered();
    world.run(task);
    let status = world.last();
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Launch(_))));
    assert!(world.effects.iter().any(|e| matches!(e, Effect::Note(Note::LaunchRefused { .. }))));
    (status.state, status.reason.unwrap(), status.message.unwrap().to_string())
}

#[test]
fn a_task_that_does_not_fit_is_dropped_with_the_figures() {
    let (state, reason, message) =
        refused(TaskInfo { resources: Resources::cpus_mem(8_000, 1_000), ..task("t") });
    assert_eq!((state, reason), (TaskState::Dropped, Reason::ResourcesUnknown));
    assert_eq!(message, "The task does not fit on its agent: wanted cpus 8, available 4");
}

#[test]
fn a_framework_that_knows_no_partitions_hears_lost_instead_of_dropped() {
    let mut world = World::registered();
    let large = TaskInfo { resources: Resources::cpus_mem(8_000, 1_000), ..task("t") };
    world.run_as(plain_framework(), large);
    assert_eq!(world.last().state, TaskState::Lost);
}

#[test]
fn what_this_agent_cannot_run_is_an_error() {
    let mut without_command = task("t");
    without_command.payload.has_command = false;
    assert_eq!(refused(without_command).0, TaskState::Error);
    let mut image = task("t");
    image.payload.has_container = true;
    assert_eq!(refused(image).1, Reason::TaskInvalid);
}

#[test]
fn a_task_for_another_agent_is_dropped() {
    let mut other = task("t");
    other.agent_id = proto::AgentId::new("M-S9").unwrap();
    assert_eq!(refused(other).1, Reason::AgentUnknown);
}

#[test]
fn a_second_launch_of_a_known_task_has_no_effect() {
    let mut world = World::registered();
    world.run(task("t"));
    world.effects.clear();
    world.run(task("t"));
    assert!(matches!(&world.effects[..], [Effect::Note(Note::Ignored { .. })]));
}

#[test]
fn a_refused_launch_is_forgotten_when_its_update_is_acknowledged() {
    let mut world = World::registered();
    world.run(TaskInfo { resources: Resources::cpus_mem(8_000, 1_000), ..task("t") });
    world.acknowledge_last();
    assert_eq!(world.agent.tasks().count(), 0);
    assert!(world.disk.recovered.updates.is_empty());
    world.run(task("t"));
    assert_eq!(world.containers.len(), 1, "the id may be used again");
}

#[test]
fn tasks_of_one_order_are_launched_in_its_order_and_one_refusal_stops_no_other() {
    let mut world = World::registered();
    let large = TaskInfo { resources: Resources::cpus_mem(8_000, 1_000), ..task("b") };
    world.hear(AgentEvent::Run {
        framework: Arc::new(framework()),
        role: Role::any(),
        tasks: vec![task("c"), large, task("a")],
    });
    let launched: Vec<_> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Launch(launch) => Some(launch.task.name.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(launched, ["c", "a"]);
}

#[test]
fn idle_frameworks_are_remembered_up_to_a_limit() {
    let mut options = crate::testing::options();
    options.idle_frameworks_max = 3;
    let mut world = World::with(options, crate::Recovered::default());
    world.register();
    for n in 0..6 {
        let id = proto::FrameworkId::new(format!("G{n}")).unwrap();
        let info = proto::FrameworkInfo { id: Some(id.clone()), ..framework() };
        world.run_as(info, task("t"));
        world.launched("t");
        world.exit("t", exited(Exit::Code(0)));
        for _ in 0..2 {
            let last = world.last();
            let (framework_id, uuid) = (id.clone(), last.uuid.unwrap());
            world.hear(AgentEvent::Acknowledge { framework_id, task_id: last.task_id, uuid });
        }
    }
    assert_eq!(world.disk.recovered.frameworks.len(), 3);
    assert!(!world.disk.recovered.frameworks.iter().any(|f| f.id == Some(framework_id())));
}

#[test]
fn a_container_that_starts_after_its_task_was_given_up_is_killed() {
    let mut world = World::registered();
    world.run(task("t"));
    let container_id = world.container_of("t");
    world.step(Input::Supervisor { containers: Vec::new() });
    assert_eq!(world.last().reason, Some(Reason::SupervisorLost));
    // The order was still under way, and another supervisor took it.
    world.launched("t");
    assert_eq!(world.kills, [(container_id, Duration::ZERO)]);
    world.exit("t", exited(Exit::Signal(9)));
    assert_eq!(world.states(), [TaskState::Failed], "nothing more is said of it");
    assert!(world.containers.is_empty(), "it is forgotten");
}
