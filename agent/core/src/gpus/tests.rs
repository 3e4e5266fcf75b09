//! Who gets which GPU.

use crate::testing::{World, agent_info, exited, options, task};
use crate::{Effect, Options, Recovered};
use proto::{AgentInfo, Exit, Reason, Resources, TaskInfo, TaskState};

fn with_gpus() -> Options {
    let mut resources = Resources::cpus_mem(4_000, 1_024_000);
    resources.add(&Resources::scalars([("gpus", 3_000)]));
    let info = AgentInfo { resources, ..agent_info() };
    let gpus = ["GPU-a", "GPU-b", "GPU-c"].map(Into::into).to_vec();
    Options { info, gpus, ..options() }
}

fn world() -> World {
    let mut world = World::with(with_gpus(), Recovered::default());
    world.register();
    world
}

fn using(id: &str, milli: u64) -> TaskInfo {
    let mut resources = Resources::cpus_mem(100, 1_000);
    resources.add(&Resources::scalars([("gpus", milli)]));
    TaskInfo { resources, ..task(id) }
}

/// The GPUs of the last launch.
fn given(world: &World) -> Vec<&str> {
    let mut launches = world.effects.iter().rev().filter_map(|effect| match effect {
        Effect::Launch(launch) => Some(launch),
        _ => None,
    });
    let launch = launches.next().expect("something was launched");
    launch.gpus.iter().map(|gpu| &**gpu).collect()
}

#[test]
fn a_task_gets_the_first_that_are_free_and_leaves_them_to_the_next() {
    let mut world = world();
    world.run(using("one", 1_000));
    assert_eq!(given(&world), ["GPU-a"]);
    world.run(using("two", 1_000));
    assert_eq!(given(&world), ["GPU-b"]);
    world.run(task("none"));
    assert!(given(&world).is_empty());
    world.launched("one");
    world.acknowledge_last();
    world.exit("one", exited(Exit::Code(0)));
    world.run(using("three", 2_000));
    assert_eq!(given(&world), ["GPU-a", "GPU-c"]);
}

#[test]
fn an_agent_that_was_started_anew_gives_none_to_two() {
    let mut world = world();
    for id in ["one", "two"] {
        world.run(using(id, 1_000));
        world.launched(id);
        world.acknowledge_last();
    }
    world.exit("one", exited(Exit::Code(0)));
    world.acknowledge_last();
    // One task is known by the supervisor, and one by the checkpoint alone.
    for by_checkpoint in [false, true] {
        let mut found = world.found();
        if by_checkpoint {
            found.containers.iter_mut().for_each(|container| container.launch = None);
        }
        let mut world = World::with(with_gpus(), found);
        world.register();
        world.run(using("three", 2_000));
        assert_eq!(given(&world), ["GPU-a", "GPU-c"], "{by_checkpoint}");
    }
}

#[test]
fn what_was_given_is_known_to_who_goes_in_later() {
    let mut world = world();
    world.run(using("one", 2_000));
    world.launched("one");
    let launch = world.agent.launch_of(&world.container_of("one")).unwrap();
    assert_eq!(launch.gpus, ["GPU-a".into(), "GPU-b".into()]);
}

#[test]
fn part_of_one_is_refused() {
    let mut world = world();
    world.run(using("half", 1_500));
    let end = world.last();
    assert_eq!((end.state, end.reason), (TaskState::Error, Some(Reason::TaskInvalid)));
    assert!(end.message.unwrap().contains("whole ones"));
}

#[test]
fn an_agent_that_has_fewer_than_before_gives_none_that_it_has_not() {
    let mut world = world();
    world.run(using("one", 1_000));
    world.launched("one");
    let found = world.found();
    // GPU-b broke, GPU-a is in use.
    let gpus = ["GPU-a", "GPU-c"].map(Into::into).to_vec();
    let mut world = World::with(Options { gpus, ..with_gpus() }, found);
    world.register();
    world.run(using("two", 2_000));
    assert_eq!(world.last().state, TaskState::Dropped);
    world.run(using("three", 1_000));
    assert_eq!(given(&world), ["GPU-c"]);
}

#[test]
fn who_knows_none_by_name_counts_them() {
    let options = Options { gpus: Vec::new(), ..with_gpus() };
    let mut world = World::with(options, Recovered::default());
    world.register();
    world.run(using("half", 500));
    assert!(given(&world).is_empty());
}
