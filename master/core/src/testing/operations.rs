//! Reservations, volumes and operations for tests, from short texts.

use super::{AgentSide, Cluster, FrameworkSide, offer_id, role};
use proto::agent_link::{AgentCall, VolumeFailure};
use proto::scheduler::CallBody;
use proto::{
    Disk, Filters, Flavor, Operation, OperationId, Persistence, Piece, Reservation,
    ReservationKind, ResourceChange, ResourceName, ResourceOperation, Resources, Special, Value,
    VolumeId, VolumeMount,
};
use std::sync::Arc;

/// A dynamic reservation for a role.
pub fn reservation(to: &str) -> Reservation {
    let (kind, role) = (ReservationKind::Dynamic, role(to));
    Reservation { kind, role, principal: None, labels: Vec::new() }
}

/// A reservation of an agent's configuration.
pub fn static_reservation(to: &str) -> Reservation {
    Reservation { kind: ReservationKind::Static, ..reservation(to) }
}

/// The resources, dynamically reserved for these roles, each below the one before.
pub fn reserved(resources: &Resources, roles: &[&str]) -> Resources {
    roles.iter().fold(resources.clone(), |all, to| all.push_reservation(&reservation(to)))
}

/// Whole MB of disk.
pub fn disk(mb: u64) -> Resources {
    Resources::scalars([("disk", mb * 1000)])
}

/// Whole MB of disk, dynamically reserved for a role.
pub fn space(to: &str, mb: u64) -> Piece {
    let special = Special { reservations: vec![reservation(to)], ..Special::default() };
    let (name, value) = (ResourceName::new("disk"), Value::Scalar(mb * 1000));
    Piece { name, flavor: Flavor::new(false, special), value }
}

/// A volume of whole MB on dynamically reserved disk.
pub fn volume(id: &str, to: &str, mb: u64) -> Piece {
    let id = VolumeId::new(id).expect("a test's id is valid");
    let mount = VolumeMount { container_path: Arc::from("data"), read_only: false };
    let disk = Disk {
        source: None,
        persistence: Some(Persistence { id, principal: None }),
        mount: Some(mount),
    };
    let plain = space(to, mb);
    Piece { flavor: plain.flavor.with(|special| special.disk = Some(disk)), ..plain }
}

/// A volume that several tasks may use.
pub fn shared_volume(id: &str, to: &str, mb: u64) -> Piece {
    let volume = volume(id, to, mb);
    Piece { flavor: volume.flavor.with(|special| special.shared = true), ..volume }
}

/// Some pieces, as resources.
pub fn all(pieces: &[Piece]) -> Resources {
    pieces.iter().cloned().collect()
}

/// An operation of an ACCEPT; without an id when that is empty.
pub fn operation(id: &str, change: ResourceChange) -> Operation {
    let id = (!id.is_empty()).then(|| operation_id(id));
    Operation::Change(Box::new(ResourceOperation { id, allocation_role: None, change }))
}

/// The id of a text.
pub fn operation_id(id: &str) -> OperationId {
    OperationId::new(id).expect("a test's id is valid")
}

/// RESERVE of what is not reserved, or one reservation less.
pub fn reserve(id: &str, resources: Resources) -> Operation {
    operation(id, ResourceChange::Reserve { source: Resources::new(), resources })
}

/// UNRESERVE.
pub fn unreserve(id: &str, resources: Resources) -> Operation {
    operation(id, ResourceChange::Unreserve { resources })
}

/// CREATE.
pub fn create(id: &str, volumes: &[Piece]) -> Operation {
    operation(id, ResourceChange::Create { volumes: all(volumes) })
}

/// DESTROY.
pub fn destroy(id: &str, volumes: &[Piece]) -> Operation {
    operation(id, ResourceChange::Destroy { volumes: all(volumes) })
}

/// GROW_VOLUME by whole MB of disk that is reserved for the role.
pub fn grow(id: &str, volume: &Piece, to: &str, mb: u64) -> Operation {
    let (volume, addition) = (volume.clone(), space(to, mb));
    operation(id, ResourceChange::Grow { volume, addition })
}

/// SHRINK_VOLUME by whole MB.
pub fn shrink(id: &str, volume: &Piece, mb: u64) -> Operation {
    let (volume, subtract_milli) = (volume.clone(), mb * 1000);
    operation(id, ResourceChange::Shrink { volume, subtract_milli })
}

impl Cluster {
    /// A framework accepts offers, with a filter of 5 s on what is left as it was.
    pub fn accept(
        &mut self,
        framework: &FrameworkSide,
        offers: &[&str],
        operations: Vec<Operation>,
    ) -> Vec<String> {
        let offer_ids = offers.iter().map(|id| offer_id(id)).collect();
        let filters = Filters::DEFAULT;
        self.call(framework, CallBody::Accept { offer_ids, operations, filters })
    }
}

impl Cluster {
    /// An agent did what `VOLUMES sequence` told it, but for these volumes of role `eng`.
    pub fn applied(
        &mut self,
        agent: &AgentSide,
        sequence: u64,
        failures: &[(&str, &str)],
    ) -> Vec<String> {
        let failure = |(id, message): &(&str, &str)| VolumeFailure {
            role: role("eng"),
            id: VolumeId::new(*id).expect("a test's id is valid"),
            message: Arc::from(*message),
        };
        let failures = failures.iter().map(failure).collect();
        self.agent_call(agent, AgentCall::VolumesApplied { sequence, failures })
    }
}
