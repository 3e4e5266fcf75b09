//! Kills: one order to the supervisor, TASK_KILLING, and kills that come before their launch.

use crate::testing::{World, exited, key, killed_by, options, plain_framework, task};
use crate::{Effect, Options, Recovered};
use proto::agent_link::AgentEvent;
use proto::{Exit, Reason, TaskInfo, TaskState};
use std::time::Duration;

#[test]
fn a_kill_reaches_the_supervisor_and_ends_in_killed() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.kill("t", None);
    assert_eq!(world.kills, [(world.container_of("t"), Duration::from_secs(3))]);
    assert_eq!(world.last().state, TaskState::Killing);
    world.acknowledge_last();
    world.exit("t", killed_by(15));
    let status = world.last();
    assert_eq!(status.state, TaskState::Killed);
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Terminated"));
    assert_eq!(status.outcome.unwrap().exit, Some(Exit::Signal(15)));
}

#[test]
fn a_task_that_ends_because_its_agent_is_drained_says_so() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.drain("t");
    world.acknowledge_last();
    world.exit("t", killed_by(15));
    let status = world.last();
    let expected = (TaskState::Killed, Some(Reason::AgentDraining), proto::Source::Agent);
    assert_eq!((status.state, status.reason, status.source), expected);
    // What its framework asked for before is what it is told.
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.kill("t", None);
    world.drain("t");
    world.acknowledge_last();
    world.exit("t", killed_by(15));
    assert_eq!(world.last().reason, None);
}

#[test]
fn the_grace_is_the_orders_or_the_tasks_or_the_agents() {
    let mut world = World::registered();
    world.run(TaskInfo { kill_grace: Some(Duration::from_secs(9)), ..task("t") });
    world.launched("t");
    world.kill("t", None);
    world.kill("t", Some(Duration::from_secs(1)));
    let graces: Vec<_> = world.kills.iter().map(|(_, grace)| grace.as_secs()).collect();
    assert_eq!(graces, [9, 1]);
}

/// Where processes are to end within a second: before a silent master is missed.
fn impatient() -> World {
    let options = Options { unkillable_after: Duration::from_secs(1), ..options() };
    let mut world = World::with(options, Recovered::default());
    world.register();
    world
}

#[test]
fn f27_a_task_that_outlives_its_kill_is_unkillable_and_keeps_its_resources() {
    let mut world = impatient();
    world.running("t");
    world.acknowledge_last();
    world.kill("t", Some(Duration::from_secs(1)));
    world.acknowledge_last();
    let held = world.agent.free().clone();
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.last().message, None);
    world.pass(Duration::from_millis(1));
    let told = world.last();
    let expected = (TaskState::Killing, Some(Reason::TaskUnkillable));
    assert_eq!((told.state, told.reason), expected);
    assert!(told.message.unwrap().starts_with("Unkillable: "));
    assert_eq!(*world.agent.free(), held);
    // Once.
    world.acknowledge_last();
    let before = world.states().len();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.states().len(), before);
    world.exit("t", killed_by(9));
    assert_eq!(world.last().state, TaskState::Killed);
    assert_ne!(*world.agent.free(), held);
}

#[test]
fn who_does_not_know_of_killing_hears_of_an_unkillable_task_that_it_runs() {
    let mut world = impatient();
    world.run_as(plain_framework(), task("t"));
    world.launched("t");
    world.acknowledge_last();
    world.kill("t", Some(Duration::ZERO));
    world.pass(Duration::from_secs(1));
    let told = world.last();
    assert_eq!(told.state, TaskState::Running);
    assert!(told.message.unwrap().starts_with("Unkillable: "));
}

#[test]
fn an_agent_that_comes_back_says_so_too() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.kill("t", Some(Duration::from_secs(1)));
    world.acknowledge_last();
    let id = world.container_of("t");
    world.containers.get_mut(&id).unwrap().kill_requested = true;
    let mut world = world.restart();
    world.register();
    let (grace, after) = (world.agent.options.kill_grace, world.agent.options.unkillable_after);
    let told = world.sent().len();
    let mut left = grace + after - Duration::from_millis(1);
    while !left.is_zero() {
        let part = left.min(Duration::from_secs(4));
        world.pass(part);
        // The master is not silent meanwhile.
        world.hear(AgentEvent::Ping { sequence: 1 });
        left -= part;
    }
    assert!(world.sent()[told..].iter().all(|status| status.message.is_none()));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.last().reason, Some(Reason::TaskUnkillable));
}

#[test]
fn a_second_order_with_less_grace_brings_the_word_nearer() {
    let mut world = impatient();
    world.running("t");
    world.acknowledge_last();
    world.kill("t", Some(Duration::from_secs(500)));
    world.acknowledge_last();
    world.kill("t", Some(Duration::ZERO));
    world.pass(Duration::from_secs(1));
    assert!(world.last().message.unwrap().starts_with("Unkillable: "));
    world.acknowledge_last();
    world.exit("t", killed_by(9));
    world.acknowledge_last();
    assert_eq!(world.agent.tasks().count(), 0);
}

#[test]
fn killing_is_reported_once_and_only_to_those_who_understand_it() {
    let mut world = World::registered();
    world.running("t");
    world.kill("t", None);
    world.kill("t", None);
    assert_eq!(world.agent.pending_updates(), 2);
    let mut world = World::registered();
    world.run_as(plain_framework(), task("t"));
    world.launched("t");
    world.kill("t", None);
    assert_eq!(world.agent.pending_updates(), 1);
}

#[test]
fn a_kill_while_launching_is_ordered_at_once_and_reported_after_running() {
    let mut world = World::registered();
    world.run(task("t"));
    world.kill("t", None);
    assert_eq!(world.kills.len(), 1);
    world.launched("t");
    world.exit("t", killed_by(15));
    let pending: Vec<_> =
        world.disk.recovered.updates[0].pending.iter().map(|status| status.state).collect();
    assert_eq!(pending, [TaskState::Running, TaskState::Killing, TaskState::Killed]);
}

#[test]
fn a_launch_that_fails_under_a_kill_was_killed() {
    let mut world = World::registered();
    world.run(task("t"));
    world.kill("t", None);
    let container_id = world.container_of("t");
    world.step(crate::Input::LaunchFailed { container_id, message: "no".into(), exit: None });
    assert_eq!(world.last().state, TaskState::Killed);
    assert_eq!(world.last().reason, Some(Reason::TaskKilledDuringLaunch));
}

#[test]
fn a_launch_that_comes_after_its_kill_is_refused() {
    let mut world = World::registered();
    world.kill("t", None);
    assert_eq!(world.effects, []);
    world.run(task("t"));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Launch(_))));
    let status = world.last();
    assert_eq!(status.state, TaskState::Killed);
    assert_eq!(status.reason, Some(Reason::TaskKilledDuringLaunch));
}

#[test]
fn kills_of_unknown_tasks_are_forgotten_after_a_while() {
    let mut world = World::registered();
    world.kill("t", None);
    for _ in 0..600 {
        world.pass(Duration::from_secs(1));
        world.hear(proto::agent_link::AgentEvent::Ping { sequence: 0 });
    }
    world.run(task("t"));
    assert_eq!(world.containers.len(), 1);
}

#[test]
fn kills_of_unknown_tasks_are_remembered_up_to_a_limit() {
    let mut options = options();
    options.tombstones_max = 2;
    let mut world = World::with(options, Recovered::default());
    world.register();
    for id in ["a", "b", "c", "c"] {
        world.kill(id, None);
    }
    assert_eq!(world.agent.tombstones.len(), 2);
    assert!(!world.agent.tombstones.contains(&key("a")));
    assert!(world.agent.tombstones.contains(&key("c")));
}

#[test]
fn a_task_that_ended_by_itself_before_the_kill_reached_it_keeps_its_own_end() {
    let mut world = World::registered();
    world.running("t");
    world.kill("t", None);
    world.acknowledge_last();
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!(world.last().state, TaskState::Finished);
}

#[test]
fn a_kill_of_an_ended_task_has_no_effect() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(3)));
    world.kill("t", None);
    assert_eq!(world.kills, []);
    assert_eq!(world.agent.tombstones.len(), 0);
}

#[test]
fn a_kill_before_the_start_is_not_forgotten_when_the_start_takes_long() {
    let mut world = impatient();
    world.run(task("t"));
    world.kill("t", Some(Duration::ZERO));
    world.pass(Duration::from_millis(1_500));
    world.launched("t");
    world.acknowledge_last();
    world.acknowledge_last();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.last().reason, Some(Reason::TaskUnkillable));
}
