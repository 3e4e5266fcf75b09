//! A new process on an old work directory.

use crate::testing::{World, exited, framework, key, killed_by, options, plain_framework, task};
use crate::{CheckpointOp, Effect, Exited, Input, Note, Options, Recovered};
use proto::agent_link::AgentCall;
use proto::{Exit, Reason, Resources, TaskInfo, TaskState};
use std::time::Duration;

mod remains;

/// A restart after which the agent is part of the cluster again; what was sent is in `effects`.
fn restarted(world: World) -> World {
    back(world.restart())
}

fn back(mut world: World) -> World {
    world.register();
    world
}

fn rebooted(world: &World) -> World {
    let recovered =
        Recovered { containers: Vec::new(), supervisor_continued: false, ..world.found() };
    back(World::with(Options { boot_id: "boot-2".into(), ..options() }, recovered))
}

fn tally(world: &World) -> Option<(usize, usize, usize)> {
    world.effects.iter().find_map(|effect| match effect {
        Effect::Note(Note::Recovered { running, ended, lost }) => Some((*running, *ended, *lost)),
        _ => None,
    })
}

#[test]
fn a_running_task_is_taken_back_and_goes_on() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    let mut world = restarted(world);
    assert_eq!(tally(&world), Some((1, 0, 0)));
    assert_eq!(world.states(), []);
    assert_eq!(world.kills, []);
    assert_eq!(*world.agent.free(), Resources::cpus_mem(3_000, 960_000));
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!(world.states(), [TaskState::Finished]);
}

#[test]
fn a_thousand_running_tasks_are_taken_back() {
    let mut world = World::registered();
    for n in 0..1_000 {
        let small = TaskInfo { resources: Resources::cpus_mem(4, 1_000), ..task(&format!("t{n}")) };
        world.run(small);
    }
    let ids: Vec<_> = world.containers.keys().cloned().collect();
    for container_id in ids {
        world.step(Input::Launched { container_id, sandbox: "/s".into(), address: None });
    }
    let world = world.restart();
    assert_eq!(tally(&world), Some((1_000, 0, 0)));
    assert_eq!(world.agent.tasks().filter(|t| t.state == TaskState::Running).count(), 1_000);
}

#[test]
fn an_unacknowledged_update_is_sent_again_with_its_uuid() {
    let mut world = World::registered();
    world.running("t");
    let first = world.last();
    let world = restarted(world);
    assert_eq!(world.sent(), [first]);
}

#[test]
fn an_end_that_nobody_saw_is_told_with_its_exit_status() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    let id = world.container_of("t");
    world.containers.get_mut(&id).unwrap().exited = Some(exited(Exit::Code(7)));
    let world = restarted(world);
    assert_eq!(tally(&world), Some((0, 1, 0)));
    let status = world.last();
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.outcome.unwrap().exit, Some(Exit::Code(7)));
    assert_eq!(world.agent.free(), world.agent.total());
}

#[test]
fn a_task_that_started_and_ended_while_the_agent_was_away_tells_both_in_order() {
    let mut world = World::registered();
    world.run(task("t"));
    let id = world.container_of("t");
    world.containers.get_mut(&id).unwrap().exited = Some(exited(Exit::Code(0)));
    let mut world = restarted(world);
    world.acknowledge_last();
    assert_eq!(world.states(), [TaskState::Running, TaskState::Finished]);
}

#[test]
fn the_same_update_has_the_same_uuid_when_its_record_was_lost() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    let first = world.last();
    // The records after the launch did not reach the disk.
    world.disk.recovered.updates.clear();
    let mut world = restarted(world);
    world.acknowledge_last();
    assert_eq!(world.last().uuid, first.uuid);
    assert_eq!(world.last().state, TaskState::Finished);
}

#[test]
fn a_task_whose_record_was_lost_is_taken_back_from_the_supervisor() {
    let mut world = World::registered();
    world.running("t");
    world.disk.recovered.tasks.clear();
    world.disk.recovered.updates.clear();
    world.disk.recovered.frameworks.clear();
    let world = restarted(world);
    assert_eq!(world.states(), [TaskState::Running]);
    assert_eq!(world.disk.recovered.tasks.len(), 1);
    assert_eq!(world.disk.recovered.frameworks.len(), 1);
}

#[test]
fn a_lost_identity_is_read_from_the_tasks() {
    let mut world = World::registered();
    world.running("t");
    world.disk.recovered.agent = None;
    world.disk.recovered.agent_corrupt = true;
    let world = restarted(world);
    assert_eq!(world.agent.agent_id(), Some(&crate::testing::agent_id()));
    assert_eq!(world.disk.recovered.agent.as_ref().unwrap().agent_id, crate::testing::agent_id());
}

#[test]
fn a_lost_identity_without_tasks_makes_a_new_agent() {
    let recovered = Recovered { agent_corrupt: true, ..Recovered::default() };
    let mut world = World::with(options(), recovered);
    assert!(world.effects.contains(&Effect::Persist(CheckpointOp::DeleteAgent)));
    world.step(Input::LinkUp { link: world.link });
    assert!(
        world.effects.iter().any(|effect| matches!(
            effect,
            Effect::ToMaster { call: AgentCall::Register { .. }, .. }
        ))
    );
}

#[test]
fn a_launch_that_never_reached_the_supervisor_is_dropped() {
    let mut world = World::registered();
    world.run(task("t"));
    world.containers.clear();
    let world = restarted(world);
    assert_eq!(tally(&world), Some((0, 0, 1)));
    let status = world.last();
    assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::AgentRestarted)));
}

#[test]
fn a_task_whose_updates_cannot_be_read_is_not_taken_for_one_that_never_ran() {
    let mut world = World::registered();
    world.running("t");
    world.containers.clear();
    world.disk.recovered.updates.clear();
    world.disk.recovered.corrupt.push(key("t"));
    let status = restarted(world).last();
    assert_eq!((status.state, status.reason), (TaskState::Gone, Some(Reason::CheckpointCorrupt)));
}

#[test]
fn a_launch_that_never_reached_the_supervisor_is_lost_to_a_simple_framework() {
    let mut world = World::registered();
    world.run_as(plain_framework(), task("t"));
    world.containers.clear();
    assert_eq!(restarted(world).last().state, TaskState::Lost);
}

#[test]
fn tasks_of_a_lost_supervisor_fail_with_that_reason() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.containers.clear();
    let recovered = Recovered { supervisor_continued: false, ..world.found() };
    let world = back(World::with(options(), recovered));
    let status = world.last();
    assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
}

#[test]
fn a_supervisor_that_is_lost_while_the_agent_runs_fails_its_tasks() {
    let mut world = World::registered();
    world.running("a");
    world.acknowledge_last();
    world.running("b");
    let b = world.container_of("b");
    let kept = world.containers[&b].clone();
    world.step(Input::Supervisor { containers: vec![kept] });
    let status = world.last();
    assert_eq!((status.task_id.as_str(), status.reason), ("a", Some(Reason::SupervisorLost)));
    assert_eq!(world.disk.recovered.sandboxes.len(), 1, "its sandbox is collected one day");
    assert!(world.effects.contains(&Effect::Note(Note::SupervisorLost { tasks: 1 })));
    world.exit("b", exited(Exit::Code(0)));
    assert_eq!(*world.agent.free(), *world.agent.total());
}

#[test]
fn after_a_reboot_every_task_is_gone_and_the_agent_keeps_its_id() {
    let mut world = World::registered();
    world.running("a");
    world.acknowledge_last();
    world.run(task("b"));
    let world = rebooted(&world);
    assert_eq!(world.agent.agent_id(), Some(&crate::testing::agent_id()));
    let told: Vec<_> = world.sent().iter().map(|s| (s.state, s.reason)).collect();
    assert_eq!(told, [(TaskState::Gone, Some(Reason::AgentRebooted)); 2]);
    assert_eq!(&*world.disk.recovered.agent.as_ref().unwrap().boot_id, "boot-2");
}

#[test]
fn an_end_on_record_survives_a_reboot() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    let world = rebooted(&world);
    assert_eq!(world.states(), [TaskState::Finished]);
}

#[test]
fn a_task_that_only_the_master_knows_after_a_reboot_is_gone() {
    let world = World::registered();
    let recovered = world.found();
    let mut world = World::with(Options { boot_id: "boot-2".into(), ..options() }, recovered);
    world.step(Input::LinkUp { link: world.link });
    world.hear(proto::agent_link::AgentEvent::Reregistered {
        agent_id: crate::testing::agent_id(),
        master_id: proto::MasterId::new("M").unwrap(),
        ping_timeout: Duration::from_secs(5),
        reconcile: vec![key("t")],
    });
    assert_eq!(world.last().reason, Some(Reason::AgentRebooted));
}

#[test]
fn a_rebooted_host_under_another_name_is_another_agent() {
    let mut world = World::registered();
    world.running("t");
    let mut options = Options { boot_id: "boot-2".into(), ..options() };
    options.info.hostname = "other".into();
    let recovered = Recovered { containers: Vec::new(), ..world.found() };
    let world = World::with(options, recovered);
    assert_eq!(world.agent.agent_id(), None);
    assert!(world.disk.recovered.agent.is_none() && world.disk.recovered.tasks.is_empty());
    assert!(world.disk.recovered.frameworks.is_empty());
}

#[test]
fn a_rebooted_host_with_less_of_everything_keeps_its_id() {
    let mut world = World::registered();
    world.running("t");
    let mut options = Options { boot_id: "boot-2".into(), ..options() };
    options.info.resources = Resources::cpus_mem(500, 1_000);
    let recovered = Recovered { containers: Vec::new(), ..world.found() };
    let world = back(World::with(options, recovered));
    assert_eq!(world.agent.agent_id(), Some(&crate::testing::agent_id()));
    assert_eq!(*world.agent.free(), Resources::cpus_mem(500, 1_000));
}

#[test]
fn a_corrupt_record_loses_that_task_and_no_other() {
    let mut world = World::registered();
    world.running("good");
    world.running("bad");
    world.disk.recovered.tasks.retain(|r| r.task.task_id.as_str() != "bad");
    world.disk.recovered.updates.retain(|r| r.task_id.as_str() != "bad");
    world.disk.recovered.corrupt.push(key("bad"));
    let bad = world.container_of("bad");
    let mut without = world.found();
    without.containers.retain(|container| container.container_id != bad);
    let lost = back(World::with(options(), without));
    let told: Vec<_> =
        lost.sent().iter().map(|s| (s.task_id.to_string(), s.state, s.reason)).collect();
    let corrupt = Some(Reason::CheckpointCorrupt);
    assert_eq!(
        told,
        [
            ("bad".to_owned(), TaskState::Gone, corrupt),
            ("good".to_owned(), TaskState::Running, None)
        ]
    );
    // With the supervisor's word nothing is lost at all.
    let kept = restarted(world);
    assert_eq!(kept.states(), [TaskState::Running, TaskState::Running]);
}

#[test]
fn updates_without_their_task_are_delivered() {
    let mut world = World::registered();
    world.run(TaskInfo { resources: Resources::cpus_mem(8_000, 1_000), ..task("t") });
    let refused = world.last();
    let mut world = restarted(world);
    assert_eq!(world.sent(), [refused]);
    world.acknowledge_last();
    assert_eq!(world.agent.tasks().count(), 0);
}

#[test]
fn updates_of_a_life_whose_task_record_is_gone_end_as_corrupt() {
    let mut world = World::registered();
    world.running("t");
    world.disk.recovered.tasks.clear();
    world.containers.clear();
    let mut world = restarted(world);
    world.acknowledge_last();
    assert_eq!(world.last().reason, Some(Reason::CheckpointCorrupt));
}

#[test]
fn an_acknowledged_end_whose_deletion_was_lost_is_sent_again_and_forgotten() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", exited(Exit::Code(0)));
    let found = world.found();
    world.acknowledge_last();
    let mut again = back(World::with(options(), found));
    assert_eq!(again.states(), [TaskState::Finished]);
    again.acknowledge_last();
    assert!(again.containers.is_empty());
}

#[test]
fn a_container_of_which_nothing_is_known_is_killed_and_forgotten() {
    let mut world = World::registered();
    world.running("t");
    world.disk.recovered.tasks.clear();
    world.disk.recovered.updates.clear();
    let id = world.container_of("t");
    let mut found = world.found();
    found.containers[0].launch = None;
    let mut world = back(World::with(options(), found));
    assert_eq!(world.kills, [(id.clone(), Duration::ZERO)]);
    world.step(Input::Exited { container_id: id, exited: killed_by(9) });
    assert!(world.containers.is_empty());
    assert_eq!(world.states(), []);
}

#[test]
fn a_report_without_its_launch_is_completed_from_the_checkpoint() {
    let mut world = World::registered();
    world.running("t");
    let mut found = world.found();
    found.containers[0].launch = None;
    let world = World::with(options(), found);
    assert_eq!(world.agent.tasks().count(), 1);
    assert_eq!(world.kills, []);
}

#[test]
fn of_two_containers_of_one_task_the_newer_one_counts() {
    let mut world = World::registered();
    world.running("t");
    let mut found = world.found();
    let mut newer = found.containers[0].clone();
    newer.container_id = proto::ContainerId::new("newer").unwrap();
    newer.launch.as_mut().unwrap().container_id = newer.container_id.clone();
    found.containers[0].exited = Some(exited(Exit::Code(0)));
    for containers in [
        vec![found.containers[0].clone(), newer.clone()],
        vec![newer.clone(), found.containers[0].clone()],
    ] {
        let world = back(World::with(options(), Recovered { containers, ..found.clone() }));
        assert_eq!(world.states(), [TaskState::Running]);
        assert_eq!(world.last().container_id, Some(newer.container_id.clone()));
        assert_eq!(world.containers.len(), 1);
    }
}

#[test]
fn frameworks_without_tasks_are_not_kept_over_a_restart() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", exited(Exit::Code(0)));
    world.acknowledge_last();
    world.acknowledge_last();
    assert_eq!(world.disk.recovered.frameworks.len(), 1);
    let world = world.restart();
    assert!(world.disk.recovered.frameworks.is_empty());
}

#[test]
fn a_limited_run_goes_on_counting_from_its_start() {
    let mut world = World::registered();
    world.run(TaskInfo { max_completion_time: Some(Duration::from_secs(20)), ..task("t") });
    world.launched("t");
    let later = world.now + Duration::from_secs(15);
    let mut found = world.found();
    found.containers[0].started = later - Duration::from_secs(15);
    let mut agent = crate::Agent::new(options(), 1, found, later);
    let mut effects = Vec::new();
    agent.step(later, Input::Tick, &mut effects);
    agent.step(later + Duration::from_secs(5), Input::Tick, &mut effects);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Kill { .. })));
}

#[test]
fn a_sandbox_whose_record_was_lost_is_recorded_again() {
    let mut world = World::registered();
    world.running("t");
    world.acknowledge_last();
    world.exit("t", Exited { sandbox: Some("/s/1".into()), ..exited(Exit::Code(0)) });
    world.disk.recovered.sandboxes.clear();
    let world = world.restart();
    assert_eq!(world.disk.recovered.sandboxes.len(), 1);
}

#[test]
fn recovery_twice_is_recovery_once() {
    let mut world = World::registered();
    world.running("a");
    world.run(task("b"));
    let id = world.container_of("a");
    world.containers.get_mut(&id).unwrap().exited = Some(exited(Exit::Code(0)));
    let once = world.restart();
    let told = once.disk.recovered.updates.clone();
    let twice = once.restart();
    assert_eq!(twice.disk.recovered.updates, told);
}

#[test]
fn a_changed_framework_is_found_as_it_was_last_described() {
    let mut world = World::registered();
    world.running("t");
    let mut changed = framework();
    changed.name = "renamed".into();
    world.hear(proto::agent_link::AgentEvent::UpdateFramework { framework: changed.into() });
    let mut world = world.restart();
    world.step(Input::LinkUp { link: world.link });
    let name = world.effects.iter().find_map(|effect| match effect {
        Effect::ToMaster { call: AgentCall::Reregister { frameworks, .. }, .. } => {
            Some(frameworks[0].name.to_string())
        }
        _ => None,
    });
    assert_eq!(name.as_deref(), Some("renamed"));
}

/// The agent comes back with its clock behind all that it had written down.
fn set_back(world: &World) -> World {
    World::seeded(options(), world.found(), world.seed + 1, proto::Time::from_millis(1_000_000))
}

#[test]
fn a_clock_that_was_set_back_delays_no_update_and_no_limit() {
    let mut world = World::registered();
    world.now = world.now + Duration::from_secs(30_000_000);
    world.run(TaskInfo { max_completion_time: Some(Duration::from_secs(20)), ..task("t") });
    world.launched("t");
    let told = world.last();

    let mut world = set_back(&world);
    assert!(world.now < told.timestamp && world.now < world.found().containers[0].started);
    world.register();
    assert_eq!(world.last().uuid, told.uuid, "it is sent at once");
    world.acknowledge_last();
    world.pass(Duration::from_secs(19));
    assert_eq!(world.kills, []);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kills.len(), 1, "it has run for 20 s since the agent can tell");
}

#[test]
fn a_clock_that_was_set_back_keeps_no_sandbox_longer_than_a_new_one() {
    let mut world = World::registered();
    world.now = world.now + Duration::from_secs(30_000_000);
    world.running("t");
    world.exit("t", Exited { sandbox: Some("/s/1".into()), ..exited(Exit::Code(0)) });
    world.acknowledge_last();
    world.acknowledge_last();

    let mut world = set_back(&world);
    let delay = options().gc_delay * 9 / 10;
    world.now = world.now + delay - Duration::from_secs(1);
    world.step(Input::Tick);
    let collected = |world: &World| {
        world.effects.iter().any(|effect| matches!(effect, Effect::CollectSandbox { .. }))
    };
    assert!(!collected(&world));
    world.now = world.now + Duration::from_secs(1);
    world.step(Input::Tick);
    assert!(collected(&world));
}
