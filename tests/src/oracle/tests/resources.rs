//! Nothing of what is reserved, made and asked for gets lost.

use super::*;
use agent_core::Volume;
use master_core::testing::{create, reserved, volume};
use master_core::{Holdings, KnownOperation, OperationEnd};
use proto::{OperationId, OperationState, OperationStatus, ResourceOperation, VolumeId};

/// An agent with this on top of its configuration.
fn registry_with(changed: Resources) -> Registry {
    let mut registry = Registry::new();
    let resources = cpus_mem(4, 1024).plus(&Resources::scalars([("disk", 100_000)]));
    registry.apply(&RegistryOp::AdmitAgent {
        info: AgentInfo { resources, ..admitted() },
        version: Arc::from("1"),
        nonce: None,
        registered: Time::ZERO,
    });
    let holdings = Holdings { changed, doomed: Vec::new() };
    registry.apply(&RegistryOp::SetHoldings { agent_id: agent(), holdings });
    registry
}

fn one() -> Volume {
    Volume { role: Role::new("eng").unwrap(), id: VolumeId::new("v1").unwrap() }
}

#[test]
fn i22_a_volume_that_nobody_destroyed_is_deleted_or_empty() {
    let made = Resources::from_iter([volume("v1", "eng", 10)]);
    let after = |changed: &Resources| {
        let mut volumes = Volumes::default();
        volumes.begin(&registry_with(changed.clone()));
        volumes
    };
    assert_eq!(id_of(after(&made).deleted(&agent(), &one())), "I22");
    assert_eq!(after(&Resources::new()).deleted(&agent(), &one()), Ok(()), "it was destroyed");
    let mut volumes = after(&made);
    assert_eq!(id_of(volumes.used(&agent(), &one(), None)), "I22");
    assert_eq!(volumes.used(&agent(), &one(), Some(1)), Ok(()));
    assert_eq!(volumes.used(&agent(), &one(), Some(1)), Ok(()));
    assert_eq!(id_of(volumes.used(&agent(), &one(), Some(2))), "I22");
    volumes.follow(&agent(), &registry_with(Resources::new()));
    assert_eq!(volumes.deleted(&agent(), &one()), Ok(()));
    assert_eq!(volumes.used(&agent(), &one(), Some(2)), Ok(()), "another of the same name");
}

#[test]
fn i22_a_host_has_other_volumes_than_the_registry_names() {
    let mut volumes = Volumes::default();
    volumes.begin(&registry_with(Resources::from_iter([volume("v1", "eng", 10)])));
    let (there, none) = (BTreeSet::from([one()]), BTreeSet::new());
    assert_eq!(volumes.settled(&agent(), &there), Ok(()));
    assert!(volumes.settled(&agent(), &none).unwrap_err().contains("only the registry"));
    volumes.follow(&agent(), &registry_with(Resources::new()));
    assert!(volumes.settled(&agent(), &there).unwrap_err().contains("only the host"));
    let mut registry = registry_with(Resources::new());
    let (changed, doomed) = (Resources::new(), vec![volume("v1", "eng", 10)]);
    let holdings = Holdings { changed, doomed };
    registry.apply(&RegistryOp::SetHoldings { agent_id: agent(), holdings });
    volumes.follow(&agent(), &registry);
    assert_eq!(volumes.settled(&agent(), &there), Ok(()), "its deletion is still to come");
    assert_eq!(volumes.settled(&agent(), &none), Ok(()));
}

#[test]
fn i20_an_operation_adds_to_what_an_agent_has() {
    let mut ledger = Ledger::default();
    let disk = Resources::scalars([("disk", 100_000)]);
    let total = cpus_mem(4, 1024).plus(&disk);
    assert_eq!(ledger.has(&agent(), &total), Ok(()));
    let kept = reserved(&cpus_mem(1, 24), &["eng"]).plus(&cpus_mem(3, 1000)).plus(&disk);
    assert_eq!(ledger.has(&agent(), &kept), Ok(()));
    let more = total.plus(&reserved(&cpus_mem(1, 0), &["eng"]));
    assert_eq!(id_of(ledger.has(&agent(), &more)), "I20");
    let with_volume = cpus_mem(4, 1024)
        .plus(&Resources::from_iter([volume("v1", "eng", 10)]))
        .plus(&Resources::scalars([("disk", 90_000)]));
    assert_eq!(ledger.has(&agent(), &with_volume), Ok(()));
    let less = cpus_mem(4, 1024).plus(&Resources::from_iter([volume("v1", "eng", 10)]));
    assert_eq!(id_of(ledger.has(&agent(), &less)), "I20");
}

fn put(end: bool) -> RegistryOp {
    let proto::Operation::Change(change) = create("op", &[volume("v1", "eng", 10)]) else {
        panic!("CREATE is a change");
    };
    let operation: ResourceOperation = *change;
    let end = end.then_some(OperationEnd { state: OperationState::Finished, message: None });
    let framework_id = Some(framework());
    let operation = KnownOperation { framework_id, agent_id: agent(), operation, end };
    RegistryOp::PutOperation { uuid: uuid(1), operation }
}

fn acknowledge() -> Call {
    let body = CallBody::AcknowledgeOperationStatus {
        agent_id: Some(agent()),
        uuid: uuid(1),
        operation_id: OperationId::new("op").unwrap(),
    };
    Call { framework_id: Some(framework()), body }
}

#[test]
fn i23_an_operation_is_forgotten_before_its_framework_knows() {
    let here = [framework()];
    let remove = RegistryOp::RemoveOperation { uuid: uuid(1) };
    let mut operations = Operations::default();
    assert_eq!(operations.registry_changes(&put(true), here.iter()), Ok(()));
    assert!(operations.all_told(|_| false).unwrap_err().contains("is not over"));
    assert_eq!(operations.all_told(|_| true), Ok(()), "its framework is over");
    assert_eq!(id_of(operations.registry_changes(&remove, here.iter())), "I23");
    let mut operations = Operations::default();
    assert_eq!(operations.registry_changes(&put(true), here.iter()), Ok(()));
    operations.framework_calls(&acknowledge());
    assert_eq!(operations.registry_changes(&remove, here.iter()), Ok(()));
    assert_eq!(operations.all_told(|_| false), Ok(()));
    let mut operations = Operations::default();
    let gone = RegistryOp::MarkGone { agent_id: agent(), since: Time::ZERO, kept: false };
    for op in [put(false), gone, remove] {
        assert_eq!(operations.registry_changes(&op, here.iter()), Ok(()), "its agent is gone");
    }
    let mut operations = Operations::default();
    assert_eq!(operations.registry_changes(&put(false), here.iter()), Ok(()));
    operations.begin(&Registry::new());
    assert_eq!(operations.all_told(|_| false), Ok(()), "a crash took it back, and nobody was told");
}

#[test]
fn i23_an_operation_has_two_ends() {
    let status = |byte: Option<u8>, state| OperationStatus {
        operation_id: Some(OperationId::new("op").unwrap()),
        state,
        message: None,
        converted: Resources::new(),
        uuid: byte.map(uuid),
        agent_id: None,
    };
    let mut operations = Operations::default();
    let mut heard = |byte, state| id_of(operations.heard(&framework(), &status(byte, state)));
    assert_eq!(heard(None, OperationState::Pending), "nothing");
    assert_eq!(heard(Some(1), OperationState::Finished), "nothing");
    assert_eq!(heard(Some(1), OperationState::Finished), "nothing", "at least once");
    assert_eq!(heard(None, OperationState::Unknown), "nothing", "it is forgotten by now");
    assert_eq!(heard(Some(1), OperationState::Failed), "I23");
    assert_eq!(heard(Some(2), OperationState::Finished), "I23");
}
