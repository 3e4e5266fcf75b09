//! Volumes are there before who uses them, and go only when nobody does.

use super::{Volume, claim};
use crate::testing::{PING_TIMEOUT, World, exited, framework_id, killed_by, options, task};
use crate::{CheckpointOp, Effect, Input, VolumeOrder};
use proto::agent_link::{AgentCall, AgentEvent, VolumeFailure};
use proto::{
    Disk, Exit, Flavor, MasterId, Persistence, Piece, Reason, Reservation, ReservationKind,
    ResourceName, Resources, Role, Special, TaskInfo, TaskState, Value, VolumeId, VolumeMount,
};

fn volume(id: &str) -> Volume {
    Volume { role: Role::new("a/b").unwrap(), id: VolumeId::new(id).unwrap() }
}

fn reservation(kind: ReservationKind, role: &str) -> Reservation {
    Reservation { kind, role: Role::new(role).unwrap(), principal: None, labels: Vec::new() }
}

/// A volume of 64 MB at `path`.
fn piece_at(id: &str, path: &str) -> Piece {
    let id = VolumeId::new(id).unwrap();
    let mount = VolumeMount { container_path: path.into(), read_only: false };
    let disk = Disk {
        source: None,
        persistence: Some(Persistence { id, principal: None }),
        mount: Some(mount),
    };
    let special = Special {
        reservations: vec![reservation(ReservationKind::Dynamic, "a/b")],
        disk: Some(disk),
        ..Special::default()
    };
    Piece {
        name: ResourceName::new("disk"),
        flavor: Flavor::new(false, special),
        value: Value::Scalar(64_000),
    }
}

fn piece(id: &str) -> Piece {
    piece_at(id, "data")
}

fn shared(id: &str) -> Piece {
    let piece = piece(id);
    Piece { flavor: piece.flavor.with(|special| special.shared = true), ..piece }
}

fn task_with(id: &str, volumes: impl IntoIterator<Item = Piece>) -> TaskInfo {
    let mut task = task(id);
    volumes.into_iter().for_each(|piece| assert!(task.resources.add_piece(piece)));
    task
}

impl World {
    fn volumes(&mut self, sequence: u64, volumes: &[Piece], destroyed: &[Piece]) {
        let (volumes, destroyed) = (volumes.to_vec(), destroyed.to_vec());
        self.hear(AgentEvent::Volumes { sequence, volumes, destroyed });
    }

    /// The newest order of volumes.
    fn order(&self) -> VolumeOrder {
        let mut orders = self.effects.iter().filter_map(|effect| match effect {
            Effect::ApplyVolumes(order) => Some(VolumeOrder::clone(order)),
            _ => None,
        });
        orders.next_back().expect("volumes were ordered")
    }

    /// All answers since the effects were cleared.
    fn answers(&self) -> Vec<(u64, Vec<VolumeFailure>)> {
        let answers = self.effects.iter().filter_map(|effect| match effect {
            Effect::ToMaster { call: AgentCall::VolumesApplied { sequence, failures }, .. } => {
                Some((*sequence, failures.clone()))
            }
            _ => None,
        });
        answers.collect()
    }

    fn made(&mut self, number: u64) {
        self.step(Input::VolumesMade { number, failures: Vec::new() });
    }

    fn deleted(&mut self, number: u64) {
        self.step(Input::VolumesDeleted { number, failures: Vec::new() });
    }

    /// Says which volumes there are, and lets the shell make and delete them.
    fn have(&mut self, sequence: u64, volumes: &[Piece], destroyed: &[Piece]) {
        self.volumes(sequence, volumes, destroyed);
        let number = self.order().number;
        self.made(number);
        self.deleted(number);
    }

    fn launches(&self) -> usize {
        self.effects.iter().filter(|effect| matches!(effect, Effect::Launch(_))).count()
    }
}

impl crate::Agent {
    /// Breaks A11: a volume that a task uses is being deleted.
    pub(crate) fn plant_deletion_under(&mut self, key: &crate::state::TaskKey) {
        let task = self.task_mut(key).expect("there is such a task");
        let launched = task.launched.as_mut().expect("it was launched");
        std::sync::Arc::make_mut(&mut launched.info).resources.add_piece(piece("v"));
        let delete = vec![volume("v")];
        let order =
            super::Order { link: 1, sequence: 1, delete, failures: Vec::new(), done: false };
        self.volumes.orders.insert(1, order);
    }
}

#[test]
fn a_launch_waits_for_the_volumes_before_it_and_nothing_else_does() {
    let mut world = World::registered();
    world.volumes(1, &[piece("v")], &[]);
    let order = world.order();
    assert_eq!((order.make[0].volume.clone(), order.make[0].made_before), (volume("v"), false));
    world.run(task_with("t", [piece("v")]));
    world.kill("t", None);
    world.hear(AgentEvent::Ping { sequence: 5 });
    assert_eq!((world.launches(), world.answers().len()), (0, 0));
    let pong =
        |effect: &Effect| matches!(effect, Effect::ToMaster { call: AgentCall::Pong { .. }, .. });
    assert!(world.effects.iter().any(pong));
    world.made(order.number);
    let at = |wanted: fn(&Effect) -> bool| world.effects.iter().position(wanted).unwrap();
    let kept = at(|effect| matches!(effect, Effect::Persist(CheckpointOp::PutVolumes(_))));
    let launched = at(|effect| matches!(effect, Effect::Launch(_)));
    let killed = at(|effect| matches!(effect, Effect::Kill { .. }));
    assert!(kept < launched && launched < killed, "in the order of the master's words");
    world.deleted(order.number);
    assert_eq!(world.answers(), [(1, Vec::new())]);
}

#[test]
fn what_is_there_is_not_made_again() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.effects.clear();
    world.volumes(2, &[piece("v")], &[]);
    assert_eq!(world.answers(), [(2, Vec::new())]);
    world.volumes(3, &[], &[]);
    world.run(task_with("t", [piece("v")]));
    let refused = world.last();
    assert_eq!(
        (refused.state, refused.reason),
        (TaskState::Dropped, Some(Reason::ResourcesUnknown))
    );
    let message = refused.message.unwrap();
    assert_eq!(&*message, "There is no volume v of role a/b on this agent");
}

#[test]
fn a_volume_that_could_not_be_made_fails_its_task_by_name() {
    let mut world = World::registered();
    world.volumes(1, &[piece("v"), piece("w")], &[]);
    let number = world.order().number;
    let failed = volume("v").failure("its directory is gone");
    world.step(Input::VolumesMade { number, failures: vec![failed.clone()] });
    world.deleted(number);
    assert_eq!(world.answers(), [(1, vec![failed])]);
    world.run(task_with("t", [piece("v")]));
    let end = world.last();
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::ContainerLaunchFailed)));
    let message = end.message.unwrap();
    assert_eq!(&*message, "The volume v of role a/b cannot be used: its directory is gone");
    world.run(task_with("u", [piece("w")]));
    assert_eq!(world.launches(), 1);
    // It is tried anew with the next word of the master.
    world.volumes(2, &[piece("v"), piece("w")], &[]);
    assert_eq!(world.order().make.len(), 1);
}

#[test]
fn a_volume_in_use_is_deleted_when_its_task_has_ended_and_that_is_told() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.run(task_with("t", [piece("v")]));
    world.launched("t");
    world.effects.clear();
    world.volumes(2, &[], &[piece("v"), piece("w")]);
    let order = world.order();
    assert_eq!((order.make.len(), order.delete), (0, vec![volume("w")]));
    world.deleted(order.number);
    let used = volume("v").failure("task t of framework F1 uses it");
    assert_eq!(world.answers(), [(2, vec![used])]);
    world.effects.clear();
    world.exit("t", exited(Exit::Code(0)));
    let order = world.order();
    assert_eq!(order.delete, [volume("v")]);
    world.deleted(order.number);
    assert_eq!(world.answers(), [(2, Vec::new())]);
    let record = world.disk.recovered.volumes.clone().unwrap();
    assert_eq!(record.volumes, []);
}

#[test]
fn what_is_to_be_there_is_never_deleted() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.effects.clear();
    world.volumes(2, &[piece("v")], &[piece("v")]);
    let [(2, failures)] = &world.answers()[..] else { panic!("{:?}", world.answers()) };
    assert!(failures[0].message.contains("nothing was deleted"));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::ApplyVolumes(_))));
}

#[test]
fn after_a_restart_volumes_are_looked_for_and_those_of_living_tasks_are_kept() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.run(task_with("t", [piece("v")]));
    world.launched("t");
    let mut world = world.restart();
    world.register();
    world.volumes(1, &[piece("v"), piece("new")], &[]);
    let make = world.order().make;
    let before: Vec<_> = make.iter().map(|w| (w.volume.id.as_str(), w.made_before)).collect();
    assert_eq!(before, [("new", false), ("v", true)]);
    let number = world.order().number;
    world.made(number);
    world.deleted(number);
    world.effects.clear();
    world.volumes(2, &[piece("new")], &[piece("v")]);
    assert!(world.answers()[0].1[0].message.contains("task t"));
    world.exit("t", killed_by(9));
    assert_eq!(world.order().delete, [volume("v")]);
}

#[test]
fn what_waited_on_a_stream_goes_with_it() {
    let mut world = World::registered();
    world.volumes(1, &[piece("v")], &[]);
    let number = world.order().number;
    world.run(task_with("t", [piece("v")]));
    world.step(Input::LinkDown { link: world.link, reason: "cut".into() });
    world.effects.clear();
    world.made(number);
    world.deleted(number);
    assert_eq!((world.launches(), world.answers().len()), (0, 0), "the master says it anew");
    world.pass(PING_TIMEOUT);
    world.register();
    world.volumes(1, &[piece("v")], &[]);
    assert_eq!(world.answers(), [(1, Vec::new())], "it was made");
}

#[test]
fn answers_come_in_order() {
    let mut world = World::registered();
    world.volumes(1, &[], &[piece("old")]);
    let first = world.order().number;
    world.volumes(2, &[piece("v")], &[]);
    let second = world.order().number;
    world.made(second);
    world.deleted(second);
    assert_eq!(world.answers(), []);
    world.run(task_with("t", [piece("v")]));
    assert_eq!(world.launches(), 1, "a deletion holds up no launch");
    world.deleted(first);
    assert_eq!(world.answers(), [(1, Vec::new()), (2, Vec::new())]);
    // Nobody waits for these.
    world.made(77);
    world.deleted(77);
    assert_eq!(world.answers().len(), 2);
}

#[test]
fn what_is_being_deleted_is_not_deleted_a_second_time() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.effects.clear();
    world.volumes(2, &[], &[piece("v")]);
    let first = world.order();
    assert_eq!(first.delete, [volume("v")]);
    // The master's next word comes before the answer.
    world.volumes(3, &[piece("w")], &[piece("v")]);
    let second = world.order();
    assert_eq!((second.make.len(), second.delete), (1, Vec::new()));
    world.made(second.number);
    world.deleted(second.number);
    world.deleted(first.number);
    assert_eq!(world.answers(), [(2, Vec::new()), (3, Vec::new())]);
    // Another one of the same name is safe now.
    world.effects.clear();
    world.volumes(4, &[piece("v"), piece("w")], &[]);
    let order = world.order();
    assert_eq!((order.make.len(), order.delete), (1, Vec::new()));
    world.made(order.number);
    world.deleted(order.number);
    let deletions = world.effects.iter().filter(|effect| match effect {
        Effect::ApplyVolumes(order) => !order.delete.is_empty(),
        _ => false,
    });
    assert_eq!(deletions.count(), 0);
}

#[test]
fn what_was_deleted_is_not_deleted_again_for_a_word_that_came_before_the_answer() {
    let mut world = World::registered();
    world.have(1, &[piece("u"), piece("v")], &[]);
    world.volumes(2, &[piece("v")], &[piece("u")]);
    let slow = world.order().number;
    world.volumes(3, &[], &[piece("u"), piece("v")]);
    let quick = world.order().number;
    world.deleted(quick);
    world.deleted(slow);
    world.effects.clear();
    // What the master said before it heard the answers, and when it had: another v.
    world.volumes(4, &[], &[piece("u"), piece("v")]);
    assert_eq!(world.answers(), [(4, Vec::new())]);
    world.volumes(5, &[piece("v")], &[]);
    assert_eq!((world.order().make.len(), world.order().delete), (1, Vec::new()));
    let made = world.order().number;
    world.made(made);
    world.deleted(made);
    // That one is deleted as any other.
    world.volumes(6, &[], &[piece("v")]);
    assert_eq!(world.order().delete, [volume("v")]);
}

#[test]
fn a_deletion_that_failed_is_tried_again_for_the_word_that_waited() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    world.effects.clear();
    world.volumes(2, &[], &[piece("v")]);
    let first = world.order().number;
    world.volumes(3, &[], &[piece("v")]);
    let failed = volume("v").failure("the disk does not answer");
    world.step(Input::VolumesDeleted { number: first, failures: vec![failed.clone()] });
    let again = world.order();
    assert_eq!((again.number > first, again.delete), (true, vec![volume("v")]));
    world.deleted(again.number);
    let busy = volume("v").failure("it is being deleted");
    assert_eq!(world.answers(), [(2, vec![failed]), (3, vec![busy]), (3, Vec::new())]);
}

#[test]
fn what_failed_is_said_with_every_answer_to_the_same_word() {
    let mut world = World::registered();
    world.have(1, &[piece("v"), piece("w"), piece("x")], &[]);
    world.run(task_with("t", [piece("x")]));
    world.launched("t");
    world.effects.clear();
    world.volumes(2, &[piece("w"), piece("x")], &[piece("v")]);
    let first = world.order().number;
    world.volumes(3, &[], &[piece("v"), piece("w"), piece("x")]);
    let second = world.order();
    assert_eq!(second.delete, [volume("w")], "one is being deleted, one is in use");
    world.deleted(first);
    let failed = volume("w").failure("the disk does not answer");
    world.step(Input::VolumesDeleted { number: second.number, failures: vec![failed.clone()] });
    let used = volume("x").failure("task t of framework F1 uses it");
    assert_eq!(world.answers(), [(2, Vec::new()), (3, vec![used, failed.clone()])]);
    world.effects.clear();
    world.exit("t", exited(Exit::Code(0)));
    let number = world.order().number;
    world.deleted(number);
    assert_eq!(world.answers(), [(3, vec![failed])], "it is still there");
}

#[test]
fn one_task_uses_a_volume_and_several_a_shared_one() {
    let mut world = World::registered();
    world.have(1, &[piece("v"), shared("s")], &[]);
    world.run(task_with("t", [piece("v"), shared_at("s", "other")]));
    world.run(task_with("u", [shared("s")]));
    assert_eq!(world.launches(), 2);
    world.run(task_with("x", [piece("v")]));
    let refused = world.last();
    assert_eq!(refused.reason, Some(Reason::ResourcesUnknown));
    assert!(refused.message.unwrap().contains("in use by task t of framework F1"));
}

fn shared_at(id: &str, path: &str) -> Piece {
    let piece = piece_at(id, path);
    Piece { flavor: piece.flavor.with(|special| special.shared = true), ..piece }
}

#[test]
fn places_that_cannot_be_are_refused() {
    let mut world = World::registered();
    world.have(1, &[piece("v"), piece("w")], &[]);
    let mut refused = |pieces: Vec<Piece>| {
        let id = format!("t{}", world.effects.len());
        world.run(task_with(&id, pieces));
        let status = world.last();
        assert_eq!((status.state, status.reason), (TaskState::Error, Some(Reason::TaskInvalid)));
        status.message.unwrap().to_string()
    };
    for (path, problem) in [
        ("/data", "must be relative"),
        ("", "plain path"),
        ("a/../b", "plain path"),
        ("./a", "plain path"),
        ("a//b", "plain path"),
        ("a\0b", "plain path"),
        ("stdout", "output"),
        ("stderr/x", "output"),
    ] {
        let message = refused(vec![piece_at("v", path)]);
        assert!(message.contains(problem) && message.contains("volume v"), "{path:?}: {message}");
    }
    let message = refused(vec![piece_at("v", "a/b"), piece_at("w", "a")]);
    assert!(message.contains("collides"), "{message}");
    let unplaced = piece("v");
    let flavor = unplaced.flavor.with(|special| {
        special.disk = special.disk.take().map(|disk| Disk { mount: None, ..disk });
    });
    assert!(refused(vec![Piece { flavor, ..unplaced }]).contains("container_path"));
    let mount = VolumeMount { container_path: "a".into(), read_only: true };
    let flavor = piece("v").flavor.with(|special| {
        special.disk = special.disk.take().map(|disk| Disk { mount: Some(mount), ..disk });
    });
    assert!(refused(vec![Piece { flavor, ..piece("v") }]).contains("reading only"));
}

#[test]
fn what_was_reserved_at_run_time_is_taken_from_what_the_agent_has() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    let free = world.agent.free().clone();
    let mut wanted = task_with("t", [piece("v")]);
    let dynamic = reservation(ReservationKind::Dynamic, "a/b");
    let cpus = Resources::cpus_mem(1_000, 64_000).push_reservation(&dynamic);
    wanted.resources = cpus.plus(&[piece("v")].into_iter().collect());
    world.run(wanted);
    assert_eq!(world.launches(), 1);
    assert_eq!(world.agent.free().cpus(), free.cpus() - 1_000);
    world.launched("t");
    world.exit("t", exited(Exit::Code(0)));
    assert_eq!(*world.agent.free(), free);
}

#[test]
fn a_claim_keeps_what_the_agents_configuration_reserves() {
    let fixed = reservation(ReservationKind::Static, "a");
    let own = Resources::cpus_mem(1_000, 0).push_reservation(&fixed);
    let refined = own.push_reservation(&reservation(ReservationKind::Dynamic, "a/b"));
    assert_eq!(*claim(&refined), own);
    let plain = Resources::cpus_mem(1_000, 64_000);
    assert_eq!(*claim(&plain), plain);
}

#[test]
fn an_agent_that_comes_as_another_one_has_no_volumes() {
    let mut world = World::registered();
    world.have(1, &[piece("v")], &[]);
    assert!(world.disk.recovered.volumes.is_some());
    world.hear(AgentEvent::Refused { message: "gone".into(), gone: true });
    assert_eq!(world.disk.recovered.volumes, None);
    let mut recovered = world.found();
    let kept = crate::VolumesRecord {
        agent_id: proto::AgentId::new("someone else").unwrap(),
        volumes: vec![volume("v")],
    };
    recovered.volumes = Some(kept);
    let mut world = World::with(options(), recovered);
    world.step(Input::LinkUp { link: world.link });
    world.hear(AgentEvent::Registered {
        agent_id: crate::testing::agent_id(),
        master_id: MasterId::new("M").unwrap(),
        ping_timeout: PING_TIMEOUT,
    });
    world.volumes(1, &[piece("v")], &[]);
    assert!(!world.order().make[0].made_before, "it was another agent's");
    let framework = framework_id();
    assert!(world.agent.tasks().all(|task| *task.framework_id != framework));
}

#[test]
fn after_a_reboot_an_agent_with_volumes_keeps_its_id_though_it_has_changed() {
    for has_volumes in [true, false] {
        let mut world = World::registered();
        if has_volumes {
            world.have(1, &[piece("v")], &[]);
        }
        let mut changed = options();
        changed.boot_id = "boot-2".into();
        changed.info.hostname = "other".into();
        let recovered = crate::Recovered { containers: Vec::new(), ..world.found() };
        let world = World::with(changed, recovered);
        assert_eq!(world.agent.agent_id().is_some(), has_volumes);
    }
}
