//! Every fact comes back from the store as it went in, whatever came after it.

use super::*;
use master_core::{KnownOperation, OperationEnd, Quota};
use proto::{
    Disk, Flavor, MachineId, MaintenanceWindow, OperationId, OperationState, Persistence, Piece,
    Quantities, Reservation, ReservationKind, ResourceChange, ResourceName, ResourceOperation,
    Resources, Special, Unavailability, Value, VolumeId, VolumeMount,
};
use std::sync::Arc;
use store::{Options, Storage, Store};

fn agent(id: &str) -> AgentInfo {
    AgentInfo {
        id: Some(AgentId::new(id).unwrap()),
        hostname: Arc::from("host"),
        port: 5051,
        resources: Resources::cpus_mem(4000, 1_024_000),
        attributes: Vec::new(),
        domain: None,
    }
}

fn framework(id: &str) -> FrameworkInfo {
    FrameworkInfo { id: Some(FrameworkId::new(id).unwrap()), ..FrameworkInfo::new("u", "f") }
}

fn admit(id: &str, nonce: Option<u64>) -> RegistryOp {
    let (info, version) = (agent(id), Arc::from("1.0"));
    RegistryOp::AdmitAgent { info, version, nonce, registered: Time::from_millis(7) }
}

fn drain(max_grace: Option<Duration>, mark_gone: bool, drained: bool) -> RegistryOp {
    let drain = Drain { since: Time::from_millis(8), max_grace, mark_gone, drained };
    RegistryOp::DrainAgent { agent_id: AgentId::new("a").unwrap(), drain }
}

fn maintenance() -> Maintenance {
    let (named, by_address) =
        (MachineId::named("host"), MachineId { hostname: None, ip: Some(Arc::from("10.0.0.1")) });
    let window = |machine: &MachineId, duration| MaintenanceWindow {
        machines: vec![machine.clone()],
        unavailability: Unavailability { start: Time::from_millis(9), duration },
    };
    Maintenance {
        windows: vec![window(&named, None), window(&by_address, Some(Duration::from_secs(1)))],
        down: [by_address].into(),
    }
}

fn reservation() -> Reservation {
    Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("eng").unwrap(),
        principal: Some(Arc::from("p")),
        labels: Vec::new(),
    }
}

fn volume(id: &str) -> Piece {
    let persistence = Persistence { id: VolumeId::new(id).unwrap(), principal: None };
    let mount = VolumeMount { container_path: Arc::from("data"), read_only: false };
    let disk = Disk { source: None, persistence: Some(persistence), mount: Some(mount) };
    let special =
        Special { reservations: vec![reservation()], disk: Some(disk), ..Special::default() };
    let (name, value) = (ResourceName::new("disk"), Value::Scalar(2000));
    Piece { name, flavor: Flavor::new(false, special), value }
}

fn hold(volumes: &[&str], doomed: &[&str]) -> RegistryOp {
    let reserved = Resources::cpus_mem(1000, 0).push_reservation(&reservation());
    let mut changed = if volumes.is_empty() { Resources::new() } else { reserved };
    volumes.iter().for_each(|id| assert!(changed.add_piece(volume(id))));
    let doomed = doomed.iter().map(|id| volume(id)).collect();
    let agent_id = AgentId::new("s").unwrap();
    RegistryOp::SetHoldings { agent_id, holdings: Holdings { changed, doomed } }
}

fn operation(named: bool, change: ResourceChange, end: Option<OperationEnd>) -> KnownOperation {
    let id = named.then(|| OperationId::new("o").unwrap());
    let framework_id = named.then(|| FrameworkId::new("f").unwrap());
    let operation = ResourceOperation { id, allocation_role: None, change };
    KnownOperation { framework_id, agent_id: AgentId::new("s").unwrap(), operation, end }
}

/// Reservations and volumes of an agent, and operations.
fn changes() -> Vec<RegistryOp> {
    let mut info = agent("s");
    info.resources.add(&Resources::scalars([("disk", 10_000)]));
    let reserved = Resources::cpus_mem(1000, 0).push_reservation(&reservation());
    let reserve = ResourceChange::Reserve { source: Resources::new(), resources: reserved };
    let create = ResourceChange::Create { volumes: [volume("v")].into_iter().collect() };
    let shrink = ResourceChange::Shrink { volume: volume("v"), subtract_milli: 500 };
    let (first, second) = (proto::StatusUuid([7; 16]), proto::StatusUuid([47; 16]));
    let end = |state, message: Option<&str>| {
        Some(OperationEnd { state, message: message.map(Arc::from) })
    };
    let put = |uuid, operation| RegistryOp::PutOperation { uuid, operation };
    vec![
        RegistryOp::AdmitAgent {
            info,
            version: Arc::from("1"),
            nonce: None,
            registered: Time::ZERO,
        },
        hold(&["v", "w"], &[]),
        put(first, operation(true, create, None)),
        put(second, operation(false, shrink.clone(), None)),
        put(second, operation(true, shrink, end(OperationState::Failed, Some("full")))),
        put(first, operation(true, reserve, end(OperationState::Finished, None))),
        RegistryOp::RemoveOperation { uuid: first },
        hold(&["v"], &["w", "u"]),
        hold(&[], &["u"]),
        hold(&[], &[]),
        hold(&["v"], &["u"]),
    ]
}

fn ops() -> Vec<RegistryOp> {
    let a = || AgentId::new("a").unwrap();
    let at = Time::from_millis(10);
    let eng = || Role::new("eng").unwrap();
    let mut guarantees = Quantities::default();
    guarantees.add(&proto::ResourceName::new("cpus"), 1500);
    let limits = [(proto::ResourceName::new("mem"), 0)].into();
    vec![
        RegistryOp::FoundCluster { cluster_id: Arc::from("c") },
        RegistryOp::BeginEpoch { epoch: 3, master_id: MasterId::new("m").unwrap() },
        admit("a", Some(5)),
        admit("b", None),
        RegistryOp::MarkUnreachable { agent_id: a(), since: at },
        RegistryOp::MarkReachable { agent_id: a() },
        RegistryOp::DeactivateAgent { agent_id: a() },
        RegistryOp::ReactivateAgent { agent_id: a() },
        drain(None, false, false),
        drain(Some(Duration::from_millis(1500)), true, false),
        drain(Some(Duration::ZERO), false, true),
        admit("a", Some(5)),
        RegistryOp::ReactivateAgent { agent_id: a() },
        RegistryOp::DeactivateAgent { agent_id: a() },
        RegistryOp::MarkGone { agent_id: a(), since: at, kept: false },
        RegistryOp::MarkGone { agent_id: AgentId::new("b").unwrap(), since: at, kept: true },
        RegistryOp::RemoveAgent { agent_id: a() },
        RegistryOp::SetMaintenance { maintenance: maintenance() },
        RegistryOp::SetMaintenance { maintenance: Maintenance::default() },
        RegistryOp::HoldFramework { info: framework("f"), registered: at, deadline: at },
        RegistryOp::ReleaseFramework { framework_id: FrameworkId::new("f").unwrap() },
        RegistryOp::HoldFramework { info: framework("f"), registered: at, deadline: at },
        RegistryOp::CompleteFramework { info: framework("f"), registered: at, unregistered: at },
        RegistryOp::SetWeight { role: eng(), weight_milli: 2500 },
        RegistryOp::SetQuota { role: eng(), quota: Quota { guarantees, limits } },
        RegistryOp::RemoveQuota { role: eng() },
    ]
}

/// What a framework keeps.
fn kept() -> Vec<RegistryOp> {
    let id = || FrameworkId::new("k").unwrap();
    let put = |key: &str, value: &[u8], version| RegistryOp::PutState {
        framework_id: id(),
        key: Arc::from(key),
        value: value.into(),
        version,
        write: (version % 2 == 0).then_some(version << 60),
    };
    let delete = |key: &str, version| RegistryOp::DeleteState {
        framework_id: id(),
        key: Arc::from(key),
        version,
    };
    let open = |name: &str| {
        let info = FrameworkInfo { name: Arc::from(name), ..framework("k") };
        RegistryOp::OpenState { info, registered: Time::from_millis(10) }
    };
    vec![
        open("before"),
        put("a/b", b"1", 1),
        put("k", &[0, 255], 2),
        put("a/b", b"", 3),
        delete("k", 4),
        open("after"),
        put("k", b"again", 5),
        delete("k", 6),
        delete("a/b", 7),
        put("ü", b"x", 8),
        RegistryOp::ForgetState { framework_id: id(), keys: vec![Arc::from("ü")] },
        open("anew"),
        put("a", b"1", 1),
    ]
}

#[test]
fn every_fact_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::new("test", 1)).unwrap();
    let (mut registry, mut completed) = (Registry::new(), Completed::new());
    for op in ops().into_iter().chain(changes()).chain(kept()) {
        registry.apply(&op);
        let mut batch = Batch::new();
        write(&op, &mut completed, &mut batch);
        store.commit(batch).unwrap();
        let (facts, _) = read(|prefix| store.scan(prefix), &Limits::default()).unwrap();
        let mut again = Registry::new();
        facts.iter().for_each(|fact| again.apply(fact));
        assert_eq!(again, registry, "after {op:?}");
        // The registry's own snapshot says the same.
        let mut again = Registry::new();
        registry.facts().iter().for_each(|fact| again.apply(fact));
        assert_eq!(again, registry, "after {op:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::new("test", 1)).unwrap();
    let mut batch = Batch::new();
    // More windows than there are bytes.
    batch.put(*b"m", u64::MAX.to_le_bytes().to_vec());
    store.commit(batch).unwrap();
    let (key, problem) = read(|prefix| store.scan(prefix), &Limits::default()).unwrap_err();
    assert_eq!((&*key, &*problem), ("m", "is shorter than its fields"));
}
