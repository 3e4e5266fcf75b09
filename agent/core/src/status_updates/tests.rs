//! Update queues: in order, one under way, at least once, checkpointed before sent.

use crate::testing::{World, exited, framework, framework_id, key, options, task};
use crate::{CheckpointOp, Effect, Input, Options, Recovered};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{Exit, StatusUuid, TaskState};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

fn position(world: &World, found: impl Fn(&Effect) -> bool) -> usize {
    world.effects.iter().position(found).expect("the effect is there")
}

#[test]
fn an_update_is_checkpointed_before_it_is_sent() {
    let mut world = World::registered();
    world.running("t");
    let persisted = position(&world, |e| matches!(e, Effect::Persist(CheckpointOp::PutUpdates(_))));
    let sent =
        position(&world, |e| matches!(e, Effect::ToMaster { call: AgentCall::Update { .. }, .. }));
    assert!(persisted < sent);
}

#[test]
fn the_end_waits_for_the_acknowledgement_of_running_and_follows_at_once() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!(world.states(), [TaskState::Running]);
    world.acknowledge_last();
    assert_eq!(world.states(), [TaskState::Running, TaskState::Finished]);
}

#[test]
fn the_newest_state_travels_with_an_older_update() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(0)));
    world.effects.clear();
    for _ in 0..10 {
        world.pass(Duration::from_secs(1));
        world.hear(AgentEvent::Ping { sequence: 1 });
    }
    let latest = world.effects.iter().find_map(|effect| match effect {
        Effect::ToMaster { call: AgentCall::Update { status, latest_state, .. }, .. } => {
            Some((status.state, *latest_state))
        }
        _ => None,
    });
    assert_eq!(latest, Some((TaskState::Running, TaskState::Finished)));
}

#[test]
fn an_update_is_repeated_with_doubling_pauses_up_to_ten_minutes() {
    let mut world = World::registered();
    world.running("t");
    let mut times = Vec::new();
    let start = world.now;
    for _ in 0..9 {
        world.effects.clear();
        let before = world.now;
        while world.sent().is_empty() {
            // Pings keep the link alive between the repetitions.
            world.pass(Duration::from_secs(1));
            world.hear(AgentEvent::Ping { sequence: 1 });
        }
        times.push((world.now.since(before)).as_secs());
    }
    assert_eq!(times, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    assert!(world.now > start);
    assert_eq!(world.agent.counters().updates_resent, 9);
}

#[test]
fn an_acknowledged_update_is_not_repeated() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.effects.clear();
    world.pass(Duration::from_secs(4));
    assert_eq!(world.states(), []);
    assert_eq!(world.agent.pending_updates(), 0);
}

#[test]
fn duplicate_and_unexpected_acknowledgements_are_ignored() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(0)));
    let running = world.last();
    world.acknowledge(&running);
    world.acknowledge(&running);
    world.hear(AgentEvent::Acknowledge {
        framework_id: framework_id(),
        task_id: key("t").1,
        uuid: StatusUuid([9; 16]),
    });
    world.hear(AgentEvent::Acknowledge {
        framework_id: framework_id(),
        task_id: key("other").1,
        uuid: running.uuid.unwrap(),
    });
    assert_eq!(world.agent.counters().acknowledgements_ignored, 3);
    assert_eq!(world.agent.pending_updates(), 1);
}

#[test]
fn an_acknowledgement_of_a_later_update_does_not_skip_the_earlier_one() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(0)));
    let uuid = world.disk.recovered.updates[0].pending[1].uuid.unwrap();
    let (framework_id, task_id) = key("t");
    world.hear(AgentEvent::Acknowledge { framework_id, task_id, uuid });
    assert_eq!(world.agent.pending_updates(), 2);
}

#[test]
fn the_acknowledged_end_lets_the_supervisor_forget_and_then_deletes_the_record() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    world.effects.clear();
    let end = world.disk.recovered.updates[0].pending[0].clone();
    world.acknowledge(&end);
    let deleted =
        position(&world, |e| matches!(e, Effect::Record(CheckpointOp::DeleteTask { .. })));
    let forgotten = position(&world, |e| matches!(e, Effect::Forget { .. }));
    assert!(forgotten < deleted);
    assert!(world.disk.recovered.tasks.is_empty() && world.disk.recovered.updates.is_empty());
    assert_eq!(world.agent.tasks().count(), 0);
}

#[test]
fn updates_wait_while_there_is_no_master_and_go_out_on_the_next_stream() {
    let mut world = World::registered();
    world.run(task("t"));
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.effects.clear();
    world.launched("t");
    assert_eq!(world.states(), []);
    assert_eq!(world.disk.recovered.updates[0].pending.len(), 1);
    world.pass(Duration::from_secs(1));
    world.register();
    assert_eq!(world.states(), [TaskState::Running]);
}

#[test]
fn a_framework_that_came_back_is_sent_at_once_what_it_has_not_acknowledged() {
    let mut world = World::registered();
    world.running("t");
    let first = world.last();
    world.effects.clear();
    world.hear(AgentEvent::UpdateFramework { framework: Arc::new(framework()) });
    assert_eq!(world.sent(), [first]);
}

#[test]
fn an_update_under_way_is_sent_again_at_reregistration_with_the_same_uuid() {
    let mut world = World::registered();
    world.running("t");
    let first = world.last();
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.effects.clear();
    world.register();
    assert_eq!(world.sent(), [first]);
}

#[test]
fn updates_of_different_tasks_do_not_wait_for_each_other() {
    let mut world = World::registered();
    world.running("a");
    world.running("b");
    world.exit("b", exited(Exit::Code(0)));
    assert_eq!(world.states(), [TaskState::Running, TaskState::Running]);
}

#[test]
fn an_end_is_reported_once_however_often_it_is_told() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    world.exit("t", exited(Exit::Code(1)));
    world.launched("t");
    assert_eq!(world.agent.pending_updates(), 1);
    assert_eq!(world.last().state, TaskState::Finished);
}

#[test]
fn an_update_names_agent_container_and_source() {
    let mut world = World::registered();
    world.running("t");
    let status = world.last();
    assert_eq!(status.agent_id, Some(crate::testing::agent_id()));
    assert_eq!(status.container_id, Some(world.container_of("t")));
    assert_eq!(status.executor_id.as_ref().map(|id| id.as_str()), Some("t"));
    assert_eq!(status.source, proto::Source::Executor);
    assert_eq!(status.timestamp, world.now);
}

const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 198, 0, 2);

/// An agent that knows the address of its host.
fn placed(recovered: Recovered) -> World {
    let mut world = World::with(Options { address: Some(HOST), ..options() }, recovered);
    world.register();
    world
}

/// A task that runs in a network of its own, of which nobody waits for an update.
fn networked() -> World {
    let mut world = placed(Recovered::default());
    world.run(task("t"));
    let container_id = world.container_of("t");
    world.containers.get_mut(&container_id).unwrap().address = Some(OWN);
    world.launched("t");
    let running = world.last();
    assert_eq!((running.state, running.address), (TaskState::Running, Some(OWN)));
    world.acknowledge_last();
    world
}

#[test]
fn updates_tell_where_the_task_is_from_its_start_on_over_restarts() {
    let mut world = networked();
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!((world.last().state, world.last().address), (TaskState::Finished, Some(OWN)));
    let mut world = placed(networked().found());
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!((world.last().state, world.last().address), (TaskState::Finished, Some(OWN)));
}

#[test]
fn who_finds_what_is_left_of_a_task_has_its_address_on_record() {
    let mut found = networked().found();
    for container in &mut found.containers {
        (container.launch, container.remains, container.address) = (None, true, None);
    }
    let container_id = found.containers[0].container_id.clone();
    let mut world = placed(found);
    world.step(Input::Exited { container_id, exited: exited(Exit::Code(0)) });
    assert_eq!((world.last().state, world.last().address), (TaskState::Killing, Some(OWN)));
    world.acknowledge_last();
    assert!(world.last().state.is_terminal());
    assert_eq!(world.last().address, Some(OWN));
    let (containers, supervisor_continued) = (Vec::new(), false);
    let world = placed(Recovered { containers, supervisor_continued, ..networked().found() });
    assert!(world.last().state.is_terminal());
    assert_eq!(world.last().address, Some(OWN));
}

#[test]
fn a_task_without_a_network_of_its_own_is_at_its_host_once_it_runs() {
    let mut world = placed(Recovered::default());
    world.running("t");
    assert_eq!(world.last().address, Some(HOST));
    world.acknowledge_last();
    world.run(task("u"));
    let container_id = world.container_of("u");
    world.step(Input::LaunchFailed { container_id, message: "no".into(), exit: None });
    assert_eq!((world.last().state, world.last().address), (TaskState::Failed, None));
}
