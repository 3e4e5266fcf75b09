//! Persistent volumes: the scenarios of Apache Mesos under their names, and what goes beyond them.

use crate::Effect;
use crate::testing::*;
use proto::operator::{Call as OperatorCall, Response};
use proto::scheduler::{CallBody, Event};
use proto::{
    Capability, Operation, OperationState, Piece, ResourceChange, Resources, TaskState, VolumeMount,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn framework(c: &mut Cluster, name: &str) -> FrameworkSide {
    let capabilities = &[Capability::PartitionAware, Capability::SharedResources];
    c.framework_from(framework_info(name, &[name], capabilities))
}

pub(super) fn v(mb: u64) -> Piece {
    volume("v", "eng", mb)
}

pub(super) fn s(mb: u64) -> Piece {
    shared_volume("s", "eng", mb)
}

/// An agent of 4 cpus, 1024 MB and 100 MB of disk, of which all is reserved for `eng`; and a
/// framework of that role, which is offered it in `m-O0`.
pub(super) fn cluster() -> (Cluster, FrameworkSide, AgentSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    let resources = reserved(&disk(100), &["eng"]);
    let change = ResourceChange::Reserve { source: Resources::new(), resources };
    c.operator(OperatorCall::ChangeResources { agent_id: agent.id.clone(), change });
    let eng = framework(&mut c, "eng");
    (c, eng, agent)
}

/// The newest offer to the framework.
pub(super) fn newest(c: &Cluster, framework: &FrameworkSide) -> String {
    let ord = c.master.framework_ids[&framework.id];
    let number = c.master.frameworks[ord].offers.last().expect("there is an offer");
    c.master.offers[number].id.to_string()
}

pub(super) fn offered(c: &Cluster, framework: &FrameworkSide) -> Resources {
    let ord = c.master.framework_ids[&framework.id];
    let mut all = Resources::new();
    for number in &c.master.frameworks[ord].offers {
        all.add(&c.master.offers[number].resources);
    }
    all
}

pub(super) fn total(c: &Cluster, agent: &AgentSide) -> Resources {
    c.master.registry().agents()[&agent.id].info.resources.clone()
}

pub(super) fn plain() -> Resources {
    cpus_mem(4, 1024)
}

/// What else the agent has, besides what is not reserved.
pub(super) fn besides(c: &Cluster, agent: &AgentSide) -> Resources {
    let mut all = total(c, agent);
    all.subtract(&plain()).unwrap();
    all
}

pub(super) fn space_left(mb: u64) -> Resources {
    all(&[space("eng", mb)])
}

pub(super) fn order(c: &mut Cluster, agent: &AgentSide, change: ResourceChange) -> Vec<String> {
    c.operator(OperatorCall::ChangeResources { agent_id: agent.id.clone(), change })
}

pub(super) fn launch(id: &str, resources: Resources) -> Operation {
    Operation::Launch(vec![task_info(id, "m-S0", resources)])
}

pub(super) fn has(lines: &[String], end: &str) -> bool {
    lines.iter().any(|line| line.ends_with(end))
}

/// The problem that an operation was refused for.
pub(super) fn problem(c: &Cluster) -> String {
    let message = |effect: &Effect| match effect {
        Effect::ToFramework { event: Event::UpdateOperationStatus(status), .. }
            if status.state == OperationState::Error =>
        {
            status.message.as_deref().map(str::to_owned)
        }
        _ => None,
    };
    c.effects.iter().find_map(message).unwrap_or_default()
}

#[test]
fn create_and_destroy_persistent_volumes() {
    let (mut c, eng, agent) = cluster();
    let lines = c.accept(&eng, &["m-O0"], vec![create("c", &[v(60)])]);
    expect(
        &lines[..3],
        &[
            &format!("registry: holdings m-S0 {}", all(&[v(60), space("eng", 40)])),
            "registry: operation c CREATE OPERATION_PENDING",
            "c1 <- VOLUMES 1 v",
        ],
    );
    // It is offered at once, and done when the agent says so.
    assert!(offered(&c, &eng).contains(&all(&[v(60)])));
    let lines = c.applied(&agent, 1, &[]);
    expect(
        &lines,
        &[
            "registry: operation c CREATE OPERATION_FINISHED",
            "c3 <- UPDATE_OPERATION_STATUS c OPERATION_FINISHED ack",
        ],
    );
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![destroy("d", &[v(60)])]);
    assert!(has(&lines, "VOLUMES 2, destroyed v"), "{lines:?}");
    assert_eq!(besides(&c, &agent), space_left(100));
    assert_eq!(c.master.registry().agents()[&agent.id].doomed, [v(60)]);
    let lines = c.applied(&agent, 2, &[]);
    assert!(has(&lines, "d OPERATION_FINISHED ack"), "{lines:?}");
    assert!(c.master.registry().agents()[&agent.id].doomed.is_empty());
}

#[test]
fn operators_create_and_destroy_volumes() {
    let (mut c, eng, agent) = cluster();
    let volumes = all(&[v(60)]);
    let lines = order(&mut c, &agent, ResourceChange::Create { volumes: volumes.clone() });
    assert!(has(&lines, "RESCIND m-O0") && has(&lines, "VOLUMES 1 v"), "{lines:?}");
    assert!(has(&lines, "answer: Ok"), "{lines:?}");
    c.operator(OperatorCall::GetOperations);
    let Some(Effect::Answer { response, .. }) = c.effects.first() else { panic!("no answer") };
    let Response::Operations(operations) = &**response else { panic!("not operations") };
    assert_eq!(operations[0].latest_status.state, OperationState::Pending);
    assert_eq!((operations.len(), &operations[0].framework_id), (1, &None));
    let lines = c.applied(&agent, 1, &[]);
    expect(&lines, &["registry: operation removed"]);
    let lines = order(&mut c, &agent, ResourceChange::Create { volumes: volumes.clone() });
    assert!(lines[0].starts_with("CREATE_VOLUMES refused (400)"), "{lines:?}");
    let lines = order(&mut c, &agent, ResourceChange::Destroy { volumes: volumes.clone() });
    assert!(has(&lines, "VOLUMES 2, destroyed v"), "{lines:?}");
    let lines = order(&mut c, &agent, ResourceChange::Destroy { volumes });
    assert!(lines[0].starts_with("DESTROY_VOLUMES refused (409)"), "{lines:?}");
    assert!(offered(&c, &eng).contains(&space_left(100)));
}

#[test]
fn grow_volume() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![grow("g", &v(60), "eng", 30)]);
    assert!(has(&lines, "VOLUMES 2 v"), "{lines:?}");
    // Durable at once, and nobody's until the agent has done it.
    assert_eq!(besides(&c, &agent), all(&[v(90), space("eng", 10)]));
    assert_eq!(offered(&c, &eng), Resources::new(), "what is left was refused");
    let lines = c.applied(&agent, 2, &[]);
    assert!(has(&lines, "g OPERATION_FINISHED ack"), "{lines:?}");
    assert_eq!(offered(&c, &eng), plain().plus(&all(&[v(90), space("eng", 10)])));
}

#[test]
fn shrink_volume() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let change = ResourceChange::Shrink { volume: v(60), subtract_milli: 20_000 };
    let lines = order(&mut c, &agent, change);
    assert!(has(&lines, "VOLUMES 2 v") && has(&lines, "answer: Ok"), "{lines:?}");
    assert_eq!(besides(&c, &agent), all(&[v(40), space("eng", 60)]));
    assert_eq!(
        c.master.agents[c.master.agent_ids[&agent.id]].pending,
        all(&[v(40), space("eng", 20)])
    );
    c.applied(&agent, 2, &[]);
    assert!(c.master.agents[c.master.agent_ids[&agent.id]].pending.is_empty());
}

#[test]
fn non_speculative_grow_and_launch() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    let task = launch("t", cpus_mem(1, 64).plus(&all(&[v(90)])));
    let lines = c.accept(&eng, &[&offer], vec![grow("g", &v(60), "eng", 30), task]);
    assert!(lines.iter().any(|line| line.contains("t TASK_ERROR")), "{lines:?}");
    assert!(has(&c.applied(&agent, 2, &[]), "g OPERATION_FINISHED ack"));
}

#[test]
fn non_speculative_shrink_and_launch() {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    let task = launch("t", cpus_mem(1, 64).plus(&all(&[v(40)])));
    let lines = c.accept(&eng, &[&offer], vec![shrink("s", &v(60), 20), task]);
    assert!(lines.iter().any(|line| line.contains("t TASK_ERROR")), "{lines:?}");
    assert!(has(&c.applied(&agent, 2, &[]), "s OPERATION_FINISHED ack"));
}

#[test]
fn access_persistent_volume() {
    let (mut c, eng, agent) = cluster();
    let uses = cpus_mem(1, 64).plus(&all(&[v(60)]));
    let lines = c.accept(&eng, &["m-O0"], vec![create("", &[v(60)]), launch("t", uses.clone())]);
    let at = |end: &str| lines.iter().position(|line| line.ends_with(end));
    assert!(at("VOLUMES 1 v") < at("RUN m-0000 eng t"), "{lines:?}");
    c.applied(&agent, 1, &[]);
    let lines = order(&mut c, &agent, ResourceChange::Destroy { volumes: all(&[v(60)]) });
    assert!(lines[0].starts_with("DESTROY_VOLUMES refused (409)"), "{lines:?}");
    assert!(lines[0].ends_with("is used by a task"), "{lines:?}");
    c.update(&agent, &eng, "t", TaskState::Finished, 1);
    c.advance_alive(Duration::from_secs(6));
    assert!(offered(&c, &eng).contains(&all(&[v(60)])), "what it wrote is for the next task");
    let twice = uses.plus(&all(&[v(60)]));
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![launch("t2", twice)]);
    assert!(has(&lines, "Task uses persistent volume v twice"), "{lines:?}");
}

#[test]
fn volumes_are_checked_before_they_are_made() {
    let (mut c, eng, _) = cluster();
    let mounted = |at: &str, read_only| {
        let mount = VolumeMount { container_path: Arc::from(at), read_only };
        let flavor = v(1).flavor.with(|special| special.disk.as_mut().unwrap().mount = Some(mount));
        Piece { flavor, ..v(1) }
    };
    let unmounted = v(1).flavor.with(|special| special.disk.as_mut().unwrap().mount = None);
    let cases = [
        (vec![Piece { flavor: unmounted, ..v(1) }], "does not say its container_path"),
        (vec![mounted("/data", false)], "not at '/data'"),
        (vec![mounted("a/../b", false)], "not at 'a/../b'"),
        (vec![mounted("data", true)], "must be mounted for writing"),
        (vec![v(1), v(2)], "the role has a volume v on this agent; choose another id"),
        (vec![v(101)], "wanted disk 101, available 100"),
        (vec![volume("v", "other", 1)], "none available"),
    ];
    for (volumes, wanted) in cases {
        let offer = newest(&c, &eng);
        c.accept(&eng, &[&offer], vec![create("o", &volumes)]);
        assert!(problem(&c).contains(wanted), "{}", problem(&c));
        c.call(&eng, CallBody::Revive { roles: vec![] });
    }
    let other = c.framework_from(framework_info("plain", &["eng"], &[]));
    let offer = newest(&c, &eng);
    c.decline(&eng, &[&offer], Duration::from_secs(500));
    let offer = newest(&c, &other);
    c.accept(&other, &[&offer], vec![create("o", &[s(1)])]);
    assert!(problem(&c).contains("SHARED_RESOURCES"), "{}", problem(&c));
}

#[test]
fn a_deletion_is_told_until_it_is_confirmed() {
    let (mut c, eng, mut agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], vec![destroy("d", &[v(60)])]);
    // An answer to what was said before confirms nothing.
    expect(&c.applied(&agent, 1, &[]), &[]);
    let lines = c.reregister(&mut agent, vec![], &[]);
    let volumes: Vec<&String> = lines.iter().filter(|line| line.contains("VOLUMES")).collect();
    assert!(volumes.len() == 1 && volumes[0].ends_with("VOLUMES 3, destroyed v"), "{lines:?}");
    let answer = lines.iter().position(|line| line.contains("REREGISTERED"));
    assert!(answer < lines.iter().position(|line| line.contains("VOLUMES")), "{lines:?}");
    // A failure is told as such, and the deletion is tried again.
    let lines = c.applied(&agent, 3, &[("v", "busy")]);
    assert!(has(&lines, "d OPERATION_FAILED ack"), "{lines:?}");
    c.restart_master();
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(has(&lines, "VOLUMES 1, destroyed v"), "{lines:?}");
    let lines = c.applied(&agent, 1, &[]);
    expect(&lines, &[&format!("registry: holdings m-S0 {}", space_left(100))]);
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(!lines.iter().any(|line| line.contains("VOLUMES")), "{lines:?}");
}

#[test]
fn slave_recovery_and_master_failover_with_an_operation_under_way() {
    let (mut c, mut eng, mut agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[v(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], vec![grow("g", &v(60), "eng", 30)]);
    let (after, pending) = (total(&c, &agent), all(&[v(90)]));
    let kept = |c: &Cluster| c.master.agents[c.master.agent_ids[&agent_id("m-S0")]].pending.clone();
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(has(&lines, "VOLUMES 3 v"), "{lines:?}");
    assert_eq!((total(&c, &agent), kept(&c)), (after.clone(), pending.clone()));
    c.restart_master();
    c.resubscribe(&mut eng);
    c.reregister(&mut agent, vec![], &[]);
    assert_eq!((total(&c, &agent), kept(&c)), (after.clone(), pending));
    let lines = c.applied(&agent, 1, &[]);
    assert!(has(&lines, "g OPERATION_FINISHED ack"), "{lines:?}");
    assert_eq!((total(&c, &agent), kept(&c)), (after, Resources::new()));
}

/// A shared volume on an agent of its own framework, and the next offer of it.
fn shared() -> (Cluster, FrameworkSide, AgentSide, String) {
    let (mut c, eng, agent) = cluster();
    c.accept(&eng, &["m-O0"], vec![create("", &[s(60)])]);
    c.applied(&agent, 1, &[]);
    let offer = newest(&c, &eng);
    (c, eng, agent, offer)
}

fn uses() -> Resources {
    cpus_mem(1, 64).plus(&all(&[s(60)]))
}

#[test]
fn shared_persistent_volume_multiple_tasks() {
    let (mut c, eng, agent, offer) = shared();
    let lines = c.accept(&eng, &[&offer], vec![launch("t1", uses()), launch("t2", uses())]);
    assert_eq!(lines.iter().filter(|line| line.contains("RUN")).count(), 2, "{lines:?}");
    c.update(&agent, &eng, "t1", TaskState::Finished, 1);
    // One of the tasks lives: the volume is used.
    c.advance_alive(Duration::from_secs(6));
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], vec![destroy("d", &[s(60)])]);
    assert!(problem(&c).ends_with("is used by a task"), "{}", problem(&c));
    c.update(&agent, &eng, "t2", TaskState::Finished, 2);
    c.advance_alive(Duration::from_secs(6));
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![destroy("d", &[s(60)])]);
    assert!(has(&lines, "VOLUMES 2, destroyed s"), "{lines:?}");
}

#[test]
fn shared_persistent_volume_rescind_on_destroy() {
    let (mut c, eng, _, offer) = shared();
    // Both frameworks are offered the volume, each with something of its own.
    c.accept(&eng, &[&offer], vec![launch("t", cpus_mem(1, 64))]);
    c.quota(&[("eng", "", "cpus:2;mem:500;disk:200")]);
    let other = framework(&mut c, "eng");
    c.call(&eng, CallBody::Revive { roles: vec![] });
    c.quota(&[("eng", "", "cpus:3;mem:700;disk:200")]);
    let holders: Vec<&FrameworkSide> = [&eng, &other]
        .into_iter()
        .filter(|side| offered(&c, side).contains(&all(&[s(60)])))
        .collect();
    assert_eq!(holders.len(), 2, "{} and {}", offered(&c, &eng), offered(&c, &other));
    let (mine, theirs) = (newest(&c, &eng), newest(&c, &other));
    let lines = c.accept(&eng, &[&mine], vec![destroy("d", &[s(60)])]);
    assert!(has(&lines, &format!("RESCIND {theirs}")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("destroyed s")), "{lines:?}");
}

#[test]
fn shared_persistent_volume_multiple_frameworks() {
    let (mut c, eng, agent, offer) = shared();
    c.accept(&eng, &[&offer], vec![launch("t1", uses())]);
    let other = framework(&mut c, "eng");
    let offer = newest(&c, &other);
    let lines = c.accept(&other, &[&offer], vec![launch("t2", uses())]);
    assert!(has(&lines, "RUN m-0001 eng t2"), "{lines:?}");
    let record = &c.master.agents[c.master.agent_ids[&agent.id]];
    let copies = record.used.pieces().iter().filter(|piece| piece.flavor.is_shared()).count();
    assert_eq!(copies, 2, "both use it");
    assert!(record.free.contains(&all(&[s(60)])), "and it is there for others");
}

#[test]
fn shared_persistent_volume_master_failover() {
    let (mut c, mut eng, mut agent, offer) = shared();
    c.accept(&eng, &[&offer], vec![launch("t1", uses()), launch("t2", uses())]);
    let before = total(&c, &agent);
    c.restart_master();
    let running = ["t1", "t2"].map(|id| agent_task(&eng, id, uses(), TaskState::Running));
    let lines = c.reregister(&mut agent, running.to_vec(), &[&eng]);
    assert!(has(&lines, "VOLUMES 1 s"), "{lines:?}");
    c.resubscribe(&mut eng);
    assert_eq!(total(&c, &agent), before);
    assert_eq!(c.master.agents[c.master.agent_ids[&agent.id]].used, uses().plus(&uses()));
    assert!(offered(&c, &eng).contains(&all(&[s(60)])));
}

#[test]
fn shared_persistent_volume_multiple_iterations() {
    let (mut c, eng, _, mut offer) = shared();
    for round in 0..3 {
        let lines = c.accept(&eng, &[&offer], vec![launch(&format!("t{round}"), uses())]);
        assert!(lines.iter().any(|line| line.contains("RUN")), "{lines:?}");
        c.advance_alive(Duration::from_secs(6));
        offer = newest(&c, &eng);
        assert!(offered(&c, &eng).contains(&all(&[s(60)])));
    }
}

#[test]
fn destroy_persistent_volume_multiple_tasks() {
    let (mut c, eng, _, offer) = shared();
    let operations = vec![launch("t1", uses()), launch("t2", uses()), destroy("d", &[s(60)])];
    let lines = c.accept(&eng, &[&offer], operations);
    assert!(problem(&c).ends_with("is used by a task"), "{}", problem(&c));
    assert_eq!(lines.iter().filter(|line| line.contains("RUN")).count(), 2, "{lines:?}");
}

#[test]
fn shared_resources_capability() {
    let (mut c, eng, _, offer) = shared();
    c.decline(&eng, &[&offer], Duration::from_secs(500));
    let plain = c.framework_from(framework_info("plain", &["eng"], &[]));
    assert_eq!(offered(&c, &plain), self::plain().plus(&space_left(40)), "all but the shared one");
}

#[test]
fn allocate_shared_resources() {
    for with_quota in [false, true] {
        let (mut c, eng, _, offer) = shared();
        if with_quota {
            c.quota(&[("eng", "cpus:4;mem:1024;disk:100", "")]);
        }
        // While it is offered, and while it is used, it is there for others of the role.
        c.accept(&eng, &[&offer], vec![launch("t", uses())]);
        let other = framework(&mut c, "eng");
        assert!(offered(&c, &other).contains(&all(&[s(60)])), "{}", offered(&c, &other));
    }
}

#[test]
fn shared_allocated_resource_quota_accounting() {
    let (mut c, eng, _, offer) = shared();
    c.quota(&[("eng", "", "cpus:8;mem:2048;disk:100")]);
    let disk_of = |c: &Cluster| {
        let standing = c.master.allocator.sorter.standing(&role("eng")).unwrap();
        standing.consumed.get(&proto::ResourceName::new("disk"))
    };
    assert_eq!(disk_of(&c), 100_000);
    // Its reservation counts once, however many tasks use it.
    c.accept(&eng, &[&offer], vec![launch("t1", uses()), launch("t2", uses())]);
    assert_eq!(disk_of(&c), 100_000);
}
