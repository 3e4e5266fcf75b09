//! Reaching a master, registering, and noticing that it is gone.

use crate::testing::{PING_TIMEOUT, World, agent_id, exited, key, plain_framework, task};
use crate::{Agent, CheckpointOp, Effect, Input, Note, Recovered};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{AgentId, ClusterId, Exit, MasterId, Reason, Resources, TaskState, Time};
use std::time::Duration;

fn connects(world: &World) -> usize {
    world.effects.iter().filter(|effect| matches!(effect, Effect::Connect { .. })).count()
}

fn calls(world: &World) -> Vec<&AgentCall> {
    let calls = world.effects.iter().filter_map(|effect| match effect {
        Effect::ToMaster { call, .. } => Some(call),
        _ => None,
    });
    calls.collect()
}

fn reregistered(reconcile: Vec<(proto::FrameworkId, proto::TaskId)>) -> AgentEvent {
    AgentEvent::Reregistered {
        agent_id: agent_id(),
        master_id: MasterId::new("M2").unwrap(),
        ping_timeout: PING_TIMEOUT,
        reconcile,
    }
}

#[test]
fn a_new_agent_connects_at_once_and_registers_with_its_resources() {
    let mut world = World::fresh();
    assert_eq!(connects(&world), 1);
    world.step(Input::LinkUp { link: world.link });
    match &calls(&world)[..] {
        [AgentCall::Register { info, version, .. }] => {
            assert_eq!(info.id, None);
            assert_eq!(info.resources, Resources::cpus_mem(4_000, 1_024_000));
            assert_eq!(&**version, "0.1.0");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_registration_carries_the_same_nonce() {
    let mut world = World::fresh();
    world.step(Input::LinkUp { link: world.link });
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    let nonces: Vec<_> = calls(&world)
        .into_iter()
        .map(|call| match call {
            AgentCall::Register { nonce, .. } => *nonce,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(nonces.len(), 2);
    assert_eq!(nonces[0], nonces[1]);
}

#[test]
fn the_identity_is_on_record_before_anything_is_done_under_it() {
    let mut world = World::fresh();
    world.register();
    let record = world.disk.recovered.agent.clone().unwrap();
    assert_eq!((record.agent_id, &*record.boot_id), (agent_id(), "boot-1"));
    assert!(world.effects.iter().any(|e| matches!(e, Effect::Persist(CheckpointOp::PutAgent(_)))));
}

#[test]
fn an_agent_with_an_id_reregisters_with_all_its_tasks() {
    let mut world = World::registered();
    world.running("a");
    world.run(task("b"));
    world.running("c");
    world.exit("c", exited(Exit::Code(0)));
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.effects.clear();
    world.step(Input::LinkUp { link: world.link });
    let tasks = match &calls(&world)[..] {
        [AgentCall::Reregister { info, tasks, frameworks, .. }] => {
            assert_eq!(info.id, Some(agent_id()));
            assert_eq!(frameworks.len(), 1);
            tasks.clone()
        }
        other => panic!("{other:?}"),
    };
    let told: Vec<_> = tasks
        .iter()
        .map(|t| (t.task_id.as_str(), t.state, t.status.map(|s| s.0), t.resources.is_empty()))
        .collect();
    let running = Some(TaskState::Running);
    assert_eq!(
        told,
        [
            ("a", TaskState::Running, running, false),
            ("b", TaskState::Staging, None, false),
            // What it used: a master that starts anew remembers it with that.
            ("c", TaskState::Finished, running, false),
        ]
    );
}

#[test]
fn attempts_are_spread_and_grow_apart() {
    let mut world = World::fresh();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.step(Input::LinkDown { link: world.link, reason: "refused".into() });
        let at = world.agent.deadline().unwrap();
        pauses.push(at.since(world.now));
        world.now = at;
        world.step(Input::Tick);
    }
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(10)));
    assert!(pauses[..2].iter().all(|pause| *pause <= Duration::from_millis(200)));
    assert!(pauses[7..].iter().any(|pause| *pause > Duration::from_secs(1)));
    assert_eq!(connects(&world), 13);
}

#[test]
fn a_redirect_is_followed_at_once() {
    let mut world = World::fresh();
    let first = world.link;
    world.step(Input::Redirected { link: first, reason: "another leads".into() });
    assert!(world.effects.contains(&Effect::Connect { link: first + 1 }), "{:?}", world.effects);
    // What the old attempt says again counts no more.
    world.step(Input::Redirected { link: first, reason: "late".into() });
    assert_eq!(connects(&world), 2);
}

#[test]
fn a_redirect_is_followed_at_once_however_many_attempts_failed_before() {
    let mut world = World::fresh();
    for _ in 0..8 {
        world.step(Input::LinkDown { link: world.link, reason: "refused".into() });
        world.now = world.agent.deadline().unwrap();
        world.step(Input::Tick);
    }
    let before = connects(&world);
    world.step(Input::Redirected { link: world.link, reason: "another leads".into() });
    assert_eq!(connects(&world), before + 1, "who knows the leader does not wait");
}

#[test]
fn redirects_in_a_circle_wait_longer_and_longer() {
    let mut world = World::fresh();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let before = connects(&world);
        world.step(Input::Redirected { link: world.link, reason: "another leads".into() });
        let at_once = connects(&world) > before;
        let wait = world.agent.deadline().map_or(Duration::ZERO, |at| at.since(world.now));
        pauses.push(if at_once { Duration::ZERO } else { wait });
        if !at_once {
            world.now = world.agent.deadline().unwrap();
            world.step(Input::Tick);
        }
    }
    assert_eq!(pauses[..3], [Duration::ZERO; 3]);
    assert!(pauses[3..].iter().all(|pause| !pause.is_zero()), "{pauses:?}");
    assert!(pauses[7..].iter().any(|pause| *pause > Duration::from_secs(1)), "{pauses:?}");
}

#[test]
fn a_registration_without_an_answer_is_given_up() {
    let mut world = World::fresh();
    world.step(Input::LinkUp { link: world.link });
    let first = world.link;
    world.pass(Duration::from_secs(11));
    assert!(world.effects.contains(&Effect::Disconnect { link: first }));
    assert!(world.link > first);
}

#[test]
fn a_silent_master_is_taken_for_gone_and_one_that_pings_is_not() {
    let mut world = World::registered();
    let first = world.link;
    for sequence in 0..10 {
        world.pass(Duration::from_secs(4));
        world.hear(AgentEvent::Ping { sequence });
    }
    assert!(world.agent.is_registered());
    assert_eq!(calls(&world).len(), 10);
    assert_eq!(calls(&world)[3], &AgentCall::Pong { sequence: 3 });
    world.pass(PING_TIMEOUT);
    assert!(!world.agent.is_registered());
    assert!(world.effects.contains(&Effect::Disconnect { link: first }));
}

#[test]
fn a_ping_timeout_of_nothing_does_not_break_the_link_at_once() {
    let mut world = World::fresh();
    world.step(Input::LinkUp { link: world.link });
    world.hear(AgentEvent::Registered {
        agent_id: agent_id(),
        master_id: MasterId::new("M").unwrap(),
        ping_timeout: Duration::ZERO,
    });
    assert!(world.agent.is_registered());
}

#[test]
fn what_an_old_stream_says_is_ignored() {
    let mut world = World::registered();
    let old = world.link;
    world.step(Input::LinkDown { link: old, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.register();
    world.effects.clear();
    let event = AgentEvent::Ping { sequence: 1 };
    world.step(Input::FromMaster { link: old, epoch: 0, event });
    world.step(Input::LinkDown { link: old, reason: "late".into() });
    world.step(Input::LinkUp { link: old });
    assert_eq!(world.effects, []);
    assert!(world.agent.is_registered());
}

#[test]
fn tasks_that_the_agent_does_not_know_are_answered_for() {
    let mut world = World::registered();
    world.running("known");
    world.acknowledge_last();
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    world.effects.clear();
    world.hear(reregistered(vec![key("known"), key("unknown")]));
    let status = world.last();
    assert_eq!(world.sent().len(), 1);
    assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::Reconciliation)));
    assert_eq!(status.task_id.as_str(), "unknown");
    world.acknowledge(&status);
    assert_eq!(world.agent.tasks().count(), 1);
}

#[test]
fn of_a_framework_that_was_never_here_the_master_finds_the_word() {
    let mut world = World::registered();
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    world.hear(reregistered(vec![key("unknown")]));
    assert_eq!(world.last().state, TaskState::Dropped);
}

#[test]
fn a_framework_without_partition_awareness_hears_lost() {
    let mut world = World::registered();
    world.run_as(plain_framework(), task("t"));
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    world.hear(reregistered(vec![key("unknown")]));
    assert_eq!(world.last().state, TaskState::Lost);
}

#[test]
fn a_launch_on_the_stream_before_the_answer_is_reconciled_survives() {
    let mut world = World::registered();
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    world.run(task("t"));
    world.effects.clear();
    world.hear(reregistered(vec![key("t")]));
    assert_eq!(world.states(), []);
    assert_eq!(world.containers.len(), 1);
}

#[test]
fn an_answer_for_another_agent_is_not_believed() {
    let mut world = World::registered();
    world.running("t");
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.step(Input::LinkUp { link: world.link });
    world.hear(AgentEvent::Registered {
        agent_id: AgentId::new("M-S7").unwrap(),
        master_id: MasterId::new("M").unwrap(),
        ping_timeout: PING_TIMEOUT,
    });
    assert!(!world.agent.is_registered());
    assert_eq!(world.agent.agent_id(), Some(&agent_id()));
    assert_eq!(world.kills, []);
}

#[test]
fn a_second_answer_to_a_registration_is_ignored() {
    let mut world = World::registered();
    world.hear(reregistered(vec![key("t")]));
    assert!(matches!(&world.effects[..], [Effect::Note(Note::Ignored { .. })]));
}

#[test]
fn a_refused_agent_says_so_and_asks_again_later() {
    let mut world = World::fresh();
    world.step(Input::LinkUp { link: world.link });
    let first = world.link;
    world.hear(AgentEvent::Refused { message: "wrong cluster".into(), gone: false });
    assert!(world.effects.iter().any(|effect| matches!(
        effect,
        Effect::Note(Note::Refused { gone: false, message }) if &**message == "wrong cluster"
    )));
    world.pass(Duration::from_secs(10));
    assert!(world.link > first);
}

#[test]
fn a_stream_that_comes_up_twice_registers_once() {
    let mut world = World::fresh();
    world.step(Input::LinkUp { link: world.link });
    world.step(Input::LinkUp { link: world.link });
    assert_eq!(calls(&world).len(), 1);
}

#[test]
fn an_agent_that_never_heard_its_id_registers_with_the_nonce_of_its_first_start() {
    let nonce_of = |recovered: Recovered, seed: u64| {
        let mut agent = Agent::new(crate::testing::options(), seed, recovered, Time::ZERO);
        let mut effects = Vec::new();
        agent.step(Time::ZERO, Input::Tick, &mut effects);
        agent.nonce
    };
    let kept = Recovered { nonce: Some(7), ..Recovered::default() };
    assert_eq!(nonce_of(kept.clone(), 1), 7);
    assert_eq!(nonce_of(kept.clone(), 2), 7);
    // Once there was an identity, a new one must not be taken for it.
    assert_ne!(nonce_of(Recovered { agent_corrupt: true, ..kept }, 1), 7);
}

/// The stream is open, and leads to this cluster.
fn reach(world: &mut World, cluster: &str) {
    let cluster_id = ClusterId::new(cluster).unwrap();
    world.step(Input::Cluster { link: world.link, cluster_id });
    world.step(Input::LinkUp { link: world.link });
}

fn registered_anew() -> AgentEvent {
    AgentEvent::Registered {
        agent_id: agent_id(),
        master_id: MasterId::new("M").unwrap(),
        ping_timeout: PING_TIMEOUT,
    }
}

#[test]
fn the_first_cluster_that_admits_an_agent_is_durable_with_its_id() {
    let mut world = World::fresh();
    reach(&mut world, "east");
    assert!(world.durable.recovered.agent.is_none(), "it was not admitted yet");
    world.hear(registered_anew());
    let record = world.durable.recovered.agent.as_ref().unwrap();
    assert_eq!(record.cluster_id, Some(ClusterId::new("east").unwrap()));
}

#[test]
fn a_master_of_another_cluster_hears_nothing() {
    let mut world = World::fresh();
    reach(&mut world, "east");
    world.hear(registered_anew());
    world.running("t");
    let mut world = world.restart();
    world.effects.clear();
    reach(&mut world, "west");
    assert_eq!(calls(&world), [] as [&AgentCall; 0]);
    let (own, found) = (ClusterId::new("east").unwrap(), ClusterId::new("west").unwrap());
    assert!(world.effects.contains(&Effect::Note(Note::OtherCluster { own, found })));
    assert!(world.effects.contains(&Effect::Disconnect { link: world.link }));
    assert_eq!(world.kills, [], "its tasks go on");
    // It goes on trying, and finds its own again.
    world.pass(world.agent.options.connect_backoff_max);
    reach(&mut world, "east");
    assert!(matches!(calls(&world)[..], [AgentCall::Reregister { .. }]));
}

#[test]
fn a_master_that_names_no_cluster_is_taken_at_its_word() {
    let mut world = World::fresh();
    reach(&mut world, "east");
    world.hear(registered_anew());
    world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
    world.pass(Duration::from_secs(1));
    world.register();
    let record = world.durable.recovered.agent.as_ref().unwrap();
    assert_eq!(record.cluster_id, Some(ClusterId::new("east").unwrap()));
}
