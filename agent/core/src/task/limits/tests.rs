//! Limits of running tasks: what is refused, what stays, and that a restart does not forget them.

use super::{Limits, LimitsRefused};
use crate::testing::{World, exited, key, task};
use crate::{CheckpointOp, Effect, Input};
use proto::{ContainerId, Exit, Resources, TaskInfo};

fn limits(of: &[(&str, Option<u64>)]) -> Limits {
    of.iter().map(|(name, limit)| ((*name).into(), *limit)).collect()
}

fn change(world: &mut World, task: &str, of: &[(&str, Option<u64>)]) {
    let container_id = world.container_of(task);
    world.step(Input::LimitsChanged { container_id, limits: limits(of) });
}

fn in_force(world: &World, task: &str) -> Limits {
    world.agent.launch_of(&world.container_of(task)).unwrap().task.limits.clone()
}

#[test]
fn what_is_named_changes_and_the_rest_stays() {
    let mut world = World::registered();
    world.running("t");
    let free = world.agent.free().clone();
    change(&mut world, "t", &[("mem", Some(128_000)), ("cpus", None)]);
    change(&mut world, "t", &[("cpus", Some(2_000))]);
    let wanted = limits(&[("cpus", Some(2_000)), ("mem", Some(128_000))]);
    assert_eq!(in_force(&world, "t"), wanted);
    assert_eq!(*world.agent.free(), free, "what is reserved is as it was");
    // The next agent knows, though the supervisor tells of the launch as it was.
    let world = world.restart();
    assert_eq!(in_force(&world, "t"), wanted);
}

#[test]
fn what_cannot_be_is_refused_with_the_figures() {
    let mut world = World::registered();
    world.run(TaskInfo { resources: Resources::cpus_mem(1_000, 0), ..task("t") });
    world.launched("t");
    let id = world.container_of("t");
    let refused = |of: &[(&str, Option<u64>)]| {
        world.agent.with_limits(&id, &limits(of)).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "limits: name at least one, of cpus or mem");
    assert_eq!(refused(&[("disk", None)]), "limits: there are limits of cpus and mem, not of disk");
    assert!(refused(&[("mem", None)]).starts_with("limits.mem: the task asked for no mem"));
    let text = refused(&[("cpus", Some(500))]);
    assert_eq!(text, "limits.cpus: 0.5 is less than the 1 that the task asked for");
    let text = refused(&[("cpus", Some(4_500))]);
    assert!(text.starts_with("limits.cpus: 4.5 is more than the 4 that this agent has"), "{text}");
    let other = ContainerId::new("other").unwrap();
    let missing = world.agent.with_limits(&other, &limits(&[("cpus", None)]));
    assert_eq!(missing, Err(LimitsRefused::NoContainer(other)));
}

#[test]
fn a_task_that_has_ended_is_not_recorded_again() {
    let mut world = World::registered();
    world.running("t");
    let container_id = world.container_of("t");
    world.exit("t", exited(Exit::Code(0)));
    world.step(Input::LimitsChanged { container_id, limits: limits(&[("cpus", None)]) });
    let put = |effect: &Effect| {
        matches!(effect, Effect::Persist(CheckpointOp::PutTask(record))
        if record.task.task_id == key("t").1)
    };
    assert!(!world.effects.iter().any(put), "{:?}", world.effects);
}
