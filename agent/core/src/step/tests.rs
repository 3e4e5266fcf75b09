//! Random lives: whatever happens, the invariants hold, nothing panics, and a framework sees the
//! updates of each task in order, once after de-duplication, with exactly one end.

use crate::status_updates::is_sight;
use crate::testing::{
    World, agent_id, exited, framework, framework_id, key, killed_by, options, task,
};
use crate::{Effect, Input, Recovered};
use proptest::collection::vec;
use proptest::prelude::*;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{ContainerId, Exit, MasterId, StatusUuid, TaskId, TaskState, TaskStatus};
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that may happen; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Happening {
    Run(u8),
    Kill(u8),
    Start(u8),
    FailStart(u8),
    End(u8, u8),
    Acknowledge(u8),
    AcknowledgeNonsense(u8),
    Break,
    Reconnect,
    Pass(u16),
    Crash,
    LoseRecords,
    LoseSupervisor,
    Disk(u32),
    Reconcile(u8),
    Ping,
    UpdateFramework,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => any::<u8>().prop_map(Happening::Run),
        2 => any::<u8>().prop_map(Happening::Kill),
        6 => any::<u8>().prop_map(Happening::Start),
        1 => any::<u8>().prop_map(Happening::FailStart),
        5 => any::<(u8, u8)>().prop_map(|(which, how)| Happening::End(which, how)),
        8 => any::<u8>().prop_map(Happening::Acknowledge),
        1 => any::<u8>().prop_map(Happening::AcknowledgeNonsense),
        1 => Just(Happening::Break),
        3 => Just(Happening::Reconnect),
        2 => any::<u16>().prop_map(Happening::Pass),
        1 => Just(Happening::Crash),
        1 => Just(Happening::LoseRecords),
        1 => Just(Happening::LoseSupervisor),
        1 => (0..1_000_000u32).prop_map(Happening::Disk),
        1 => any::<u8>().prop_map(Happening::Reconcile),
        2 => Just(Happening::Ping),
        1 => Just(Happening::UpdateFramework),
    ]
}

/// The updates of one container, each once.
type Life = Vec<(TaskState, StatusUuid)>;

/// What the framework has seen.
#[derive(Default)]
struct Ledger {
    /// Sent, not yet acknowledged.
    sent: Vec<TaskStatus>,
    /// Per task and container, in the order of first sight.
    seen: BTreeMap<(TaskId, Option<ContainerId>), Life>,
}

impl Ledger {
    fn take(&mut self, world: &mut World) {
        for effect in std::mem::take(&mut world.effects) {
            let Effect::ToMaster { call: AgentCall::Update { status, .. }, .. } = effect else {
                continue;
            };
            let uuid = status.uuid.expect("an update has a uuid");
            let life =
                self.seen.entry((status.task_id.clone(), status.container_id.clone())).or_default();
            // What is seen of a task leaves its state as it was.
            if !life.iter().any(|(_, seen)| *seen == uuid) && !is_sight(&status) {
                life.push((status.state, uuid));
            }
            self.sent.push(*status);
        }
    }

    fn check(&self) {
        for ((task, container), life) in &self.seen {
            // Without a container each refused launch of one id has an end of its own.
            if container.is_some() {
                let ends = life.iter().filter(|(state, _)| state.is_terminal()).count();
                assert!(ends <= 1, "{task} in {container:?}: {life:?}");
                let order: Vec<_> = life.windows(2).map(|two| (two[0].0, two[1].0)).collect();
                for (a, b) in order {
                    assert_eq!(a.transition(b), proto::Transition::Advance, "{task}: {life:?}");
                }
            }
        }
    }
}

fn choose<T: Clone>(all: &[T], which: u8) -> Option<T> {
    if all.is_empty() { None } else { Some(all[usize::from(which) % all.len()].clone()) }
}

/// The containers that run, or that ended, as the supervisor knows them.
fn containers(world: &World, running: bool) -> Vec<ContainerId> {
    let chosen = world.containers.values().filter(|c| c.exited.is_none() == running);
    chosen.map(|c| c.container_id.clone()).collect()
}

fn end(which: u8, how: u8, world: &mut World) {
    let Some(container_id) = choose(&containers(world, true), which) else { return };
    let killed = world.kills.iter().any(|(id, _)| *id == container_id);
    let exited = if killed { killed_by(15) } else { exited(Exit::Code(i32::from(how % 3))) };
    let container = world.containers.get_mut(&container_id).unwrap();
    container.exited = Some(exited.clone());
    if !how.is_multiple_of(5) {
        world.step(Input::Exited { container_id, exited });
    }
}

fn fail_start(which: u8, world: &mut World) {
    let Some(container_id) = choose(&containers(world, true), which) else { return };
    let launching = world
        .agent
        .key_of(&container_id)
        .and_then(|key| world.agent.task(&key).map(|t| t.phase == crate::state::Phase::Launching));
    if launching == Some(true) {
        world.step(Input::LaunchFailed { container_id, message: "no".into(), exit: None });
    }
}

fn reconnect(world: &mut World, reconcile: Vec<(proto::FrameworkId, TaskId)>) {
    world.pass(Duration::from_secs(11));
    if world.agent.is_registered() {
        return;
    }
    world.step(Input::LinkUp { link: world.link });
    let (agent_id, master_id) = (agent_id(), MasterId::new("M").unwrap());
    let ping_timeout = Duration::from_secs(60);
    world.hear(if world.agent.agent_id().is_some() {
        AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile }
    } else {
        AgentEvent::Registered { agent_id, master_id, ping_timeout }
    });
}

fn crash(world: World, records: bool) -> World {
    let mut world = world;
    if !records {
        world.disk = world.durable.clone();
    }
    let found = world.found();
    let now = world.now;
    let mut next = World::seeded(options(), found, world.seed + 1, world.now);
    next.now = now;
    next
}

/// Lets one thing happen.
fn happen(mut world: World, ledger: &mut Ledger, happening: Happening) -> World {
    let id = |n: u8| format!("t{}", n % 6);
    let listening = world.agent.is_registered();
    match happening {
        Happening::Run(n) if listening => world.run(task(&id(n))),
        Happening::Kill(n) if listening => world.kill(&id(n), None),
        Happening::Start(which) => {
            if let Some(container_id) = choose(&containers(&world, true), which) {
                world.step(Input::Launched { container_id, sandbox: "/s".into(), address: None });
            }
        }
        Happening::FailStart(which) => fail_start(which, &mut world),
        Happening::End(which, how) => end(which, how, &mut world),
        Happening::Acknowledge(which) if listening => {
            if let Some(status) = choose(&ledger.sent, which) {
                world.acknowledge(&status);
                ledger.sent.retain(|other| other.uuid != status.uuid);
            }
        }
        Happening::AcknowledgeNonsense(n) => {
            let (framework_id, task_id) = key(&id(n));
            let uuid = StatusUuid([n; 16]);
            world.hear(AgentEvent::Acknowledge { framework_id, task_id, uuid });
        }
        Happening::Break => {
            world.step(Input::LinkDown { link: world.link, reason: "reset".into() });
        }
        Happening::Reconnect => reconnect(&mut world, Vec::new()),
        Happening::Reconcile(n) => reconnect(&mut world, vec![key(&id(n))]),
        Happening::Pass(millis) => world.pass(Duration::from_millis(u64::from(millis))),
        Happening::Crash => world = crash(world, true),
        Happening::LoseRecords => world = crash(world, false),
        Happening::LoseSupervisor => {
            world.containers.clear();
            world.step(Input::Supervisor { containers: Vec::new() });
        }
        Happening::Disk(used_ppm) => world.step(Input::DiskUsage { used_ppm, making_room: false }),
        Happening::Ping => world.hear(AgentEvent::Ping { sequence: 1 }),
        Happening::UpdateFramework => {
            world.hear(AgentEvent::UpdateFramework { framework: framework().into() });
        }
        Happening::Run(_) | Happening::Kill(_) | Happening::Acknowledge(_) => {}
    }
    ledger.take(&mut world);
    ledger.check();
    world
}

/// Then all goes well: every container ends, everything is acknowledged.
fn converge(mut world: World, ledger: &mut Ledger) -> World {
    reconnect(&mut world, Vec::new());
    for container_id in containers(&world, true) {
        let exited = exited(Exit::Code(0));
        world.containers.get_mut(&container_id).unwrap().exited = Some(exited.clone());
        world.step(Input::Exited { container_id, exited });
    }
    let found = world.found();
    let now = world.now;
    world = World::seeded(options(), found, world.seed + 1, world.now);
    world.now = now;
    reconnect(&mut world, Vec::new());
    for _ in 0..100 {
        ledger.take(&mut world);
        for status in std::mem::take(&mut ledger.sent) {
            world.acknowledge(&status);
        }
    }
    ledger.check();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_and_all_ends_are_told(
        happenings in vec(happening(), 1..120)
    ) {
        let mut world = World::with(options(), Recovered::default());
        world.register();
        let mut ledger = Ledger::default();
        for one in happenings {
            world = happen(world, &mut ledger, one);
        }
        let world = converge(world, &mut ledger);
        prop_assert_eq!(world.agent.tasks().count(), 0);
        prop_assert!(world.containers.is_empty());
        prop_assert!(world.disk.recovered.tasks.is_empty());
        prop_assert!(world.disk.recovered.updates.is_empty());
        prop_assert_eq!(world.agent.free(), world.agent.total());
        for ((task, container), life) in &ledger.seen {
            if container.is_some() {
                prop_assert!(life.last().is_some_and(|(s, _)| s.is_terminal()), "{task}: {life:?}");
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(happenings in vec(happening(), 1..60)) {
        let life = || {
            let mut world = World::with(options(), Recovered::default());
            world.register();
            let mut ledger = Ledger::default();
            for one in &happenings {
                world = happen(world, &mut ledger, one.clone());
            }
            format!("{:?}", world.disk.recovered)
        };
        prop_assert_eq!(life(), life());
    }
}

#[test]
fn the_deadline_is_the_earliest_of_all_that_waits() {
    let mut world = World::registered();
    assert_eq!(world.agent.deadline(), Some(world.now + crate::testing::PING_TIMEOUT));
    let limited =
        proto::TaskInfo { max_completion_time: Some(Duration::from_secs(1)), ..task("t") };
    world.run(limited);
    world.launched("t");
    assert_eq!(world.agent.deadline(), Some(world.now + Duration::from_secs(1)));
}

#[test]
fn a_message_for_an_executor_is_noted_and_ignored() {
    let mut world = World::registered();
    world.hear(AgentEvent::Message {
        framework_id: framework_id(),
        executor_id: proto::ExecutorId::new("e").unwrap(),
        data: [1u8].as_slice().into(),
    });
    assert!(matches!(&world.effects[..], [Effect::Note(crate::Note::Ignored { .. })]));
}

#[test]
fn tasks_are_shown_with_what_they_hold() {
    let mut world = World::registered();
    world.running("t");
    let view: Vec<_> = world.agent.tasks().collect();
    assert_eq!(view.len(), 1);
    assert_eq!((view[0].name, view[0].state), ("t", TaskState::Running));
    assert_eq!(view[0].resources.map(proto::Resources::cpus), Some(1_000));
    assert_eq!(view[0].pending_updates, 1);
    assert!(view[0].sandbox.is_some());
}
