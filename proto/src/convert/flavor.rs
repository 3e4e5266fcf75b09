//! What sets a resource apart: on the wire it is the part of a resource that most do not have.
//!
//! Two forms come in: that of clients with RESERVATION_REFINEMENT (`reservations`, a stack) and the
//! older one (`role` and `reservation`). One form is kept.

use super::framework::{read_labels, write_labels};
use super::{At, list, present, text, w};
use crate::error::shown;
use crate::wire::tepui::v1::ResourceTail;
use crate::{
    DecodeError, Disk, DiskKind, DiskSource, Flavor, Labels, Persistence, Reservation,
    ReservationKind, Role, Special, VolumeId, VolumeMount,
};
use prost::Message;
use std::sync::Arc;
use w::resource::disk_info::{self, source};
use w::resource::reservation_info::Type;
use w::resource::{DiskInfo, ReservationInfo};

/// Field 6, `role`, with the value `*`: how old clients say "unreserved".
const UNRESERVED: &[u8] = &[0x32, 1, b'*'];

/// The bytes of a resource's rarer fields, for clients with RESERVATION_REFINEMENT or without.
pub(super) fn write(flavor: &Flavor, old_role: bool) -> Vec<u8> {
    let Some(special) = &flavor.special else {
        return if old_role { UNRESERVED.to_vec() } else { Vec::new() };
    };
    let mut tail = ResourceTail {
        disk: special.disk.as_ref().map(Into::into),
        shared: special.shared.then_some(w::resource::SharedInfo {}),
        provider_id: special
            .provider
            .as_ref()
            .map(|id| w::ResourceProviderId { value: Some(id.to_string()) }),
        ..ResourceTail::default()
    };
    match &special.reservations[..] {
        [] if old_role => tail.role = Some("*".to_owned()),
        [only] if old_role => {
            tail.role = Some(only.role.as_str().to_owned());
            // A static reservation is a role and nothing else.
            tail.reservation = (only.kind == ReservationKind::Dynamic).then(|| ReservationInfo {
                principal: only.principal.as_deref().map(str::to_owned),
                labels: write_labels(&only.labels),
                ..ReservationInfo::default()
            });
        }
        stack => tail.reservations = stack.iter().map(Into::into).collect(),
    }
    tail.encode_to_vec()
}

/// Reads the bytes of a resource's rarer fields.
pub(super) fn read(revocable: bool, tail: &[u8], name: &str) -> Result<Flavor, DecodeError> {
    if tail.is_empty() || tail == UNRESERVED {
        return Ok(Flavor { revocable, special: None });
    }
    // The check before decoding saw it as a part of the resource.
    let tail =
        ResourceTail::decode(tail).map_err(|error| DecodeError::new("", error.to_string()))?;
    let disk: Option<Disk> = super::maybe(tail.disk, "disk")?;
    if disk.is_some() && name != "disk" {
        let problem = format!("must not be set for '{}'", shown(name));
        return Err(DecodeError::new("disk", problem));
    }
    let is_volume = disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
    if tail.shared.is_some() && !is_volume {
        return Err(DecodeError::new("shared", "must be set for persistent volumes only"));
    }
    let special = Special {
        reservations: stack(tail.role, tail.reservation, tail.reservations)?,
        disk,
        shared: tail.shared.is_some(),
        provider: tail.provider_id.and_then(|id| id.value).map(Into::into),
    };
    Ok(Flavor::new(revocable, special))
}

/// The stack of reservations, in whichever form it came.
fn stack(
    role: Option<String>,
    reservation: Option<ReservationInfo>,
    reservations: Vec<ReservationInfo>,
) -> Result<Vec<Reservation>, DecodeError> {
    let role = role.filter(|role| role != "*");
    if reservations.is_empty() {
        return match (role, reservation) {
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => {
                Err(DecodeError::new("reservation", "must stand together with a 'role'"))
            }
            (Some(role), dynamic) => {
                let role = Role::new(role).at("role")?;
                let kind = match dynamic {
                    Some(_) => ReservationKind::Dynamic,
                    None => ReservationKind::Static,
                };
                let info = dynamic.unwrap_or_default();
                let labels = read_labels(info.labels).at("reservation.labels")?;
                let principal = info.principal.map(Into::into);
                Ok(vec![Reservation { kind, role, principal, labels }])
            }
        };
    }
    let stack: Vec<Reservation> = list(reservations, "reservations")?;
    for (i, pair) in stack.windows(2).enumerate() {
        let at = |field: &str| format!("reservations[{}].{field}", i + 1);
        if !pair[1].role.is_below(&pair[0].role) {
            let problem = format!("'{}' must be below '{}'", pair[1].role, pair[0].role);
            return Err(DecodeError::new(at("role"), problem));
        }
        if pair[1].kind == ReservationKind::Static {
            return Err(DecodeError::new(at("type"), "must be DYNAMIC on top of another"));
        }
    }
    // Masters say both forms to those who may understand one only.
    if let (Some(role), Some(last)) = (role, stack.last())
        && role != last.role.as_str()
    {
        let problem = format!("'{}' differs from the last of 'reservations'", shown(&role));
        return Err(DecodeError::new("role", problem));
    }
    Ok(stack)
}

impl From<&Reservation> for ReservationInfo {
    fn from(reservation: &Reservation) -> Self {
        Self {
            principal: reservation.principal.as_deref().map(str::to_owned),
            labels: write_labels(&reservation.labels),
            role: Some(reservation.role.as_str().to_owned()),
            r#type: Some(reservation.kind as i32),
        }
    }
}

impl TryFrom<ReservationInfo> for Reservation {
    type Error = DecodeError;
    fn try_from(wire: ReservationInfo) -> Result<Self, DecodeError> {
        let kind = match super::known(wire.r#type, |number| Type::try_from(number).ok()) {
            Some(Type::Static) => ReservationKind::Static,
            Some(Type::Dynamic) => ReservationKind::Dynamic,
            Some(Type::Unknown) | None => {
                return Err(DecodeError::new("type", "must be STATIC or DYNAMIC"));
            }
        };
        let role = Role::new(present(wire.role, "role")?).at("role")?;
        if role == Role::any() {
            return Err(DecodeError::new("role", "must not be '*': nothing is reserved to it"));
        }
        let labels: Labels = read_labels(wire.labels).at("labels")?;
        Ok(Self { kind, role, principal: wire.principal.map(Into::into), labels })
    }
}

impl From<&Disk> for DiskInfo {
    fn from(disk: &Disk) -> Self {
        let persistence = |persistence: &Persistence| disk_info::Persistence {
            id: Some(persistence.id.as_str().to_owned()),
            principal: persistence.principal.as_deref().map(str::to_owned),
        };
        let volume = |mount: &VolumeMount| w::Volume {
            container_path: Some(mount.container_path.to_string()),
            mode: Some(match mount.read_only {
                true => w::volume::Mode::Ro as i32,
                false => w::volume::Mode::Rw as i32,
            }),
        };
        Self {
            persistence: disk.persistence.as_ref().map(persistence),
            volume: disk.mount.as_ref().map(volume),
            source: disk.source.as_ref().map(write_source),
        }
    }
}

fn write_source(source: &DiskSource) -> disk_info::Source {
    let root = source.root.as_deref().map(str::to_owned);
    let mut out = disk_info::Source {
        r#type: Some(source.kind as i32),
        id: source.id.as_deref().map(str::to_owned),
        metadata: write_labels(&source.metadata),
        profile: source.profile.as_deref().map(str::to_owned),
        vendor: source.vendor.as_deref().map(str::to_owned),
        ..disk_info::Source::default()
    };
    match source.kind {
        DiskKind::Mount => out.mount = root.map(|root| source::Mount { root: Some(root) }),
        // Of devices and raw space nobody says a directory; if one does, it stays.
        DiskKind::Path | DiskKind::Block | DiskKind::Raw => {
            out.path = root.map(|root| source::Path { root: Some(root) });
        }
    }
    out
}

impl TryFrom<DiskInfo> for Disk {
    type Error = DecodeError;
    fn try_from(wire: DiskInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            source: wire.source.map(read_source).transpose().at("source")?,
            persistence: wire.persistence.map(read_persistence).transpose().at("persistence")?,
            mount: wire.volume.map(read_mount).transpose().at("volume")?,
        })
    }
}

fn read_persistence(wire: disk_info::Persistence) -> Result<Persistence, DecodeError> {
    let id = VolumeId::new(present(wire.id, "id")?).at("id")?;
    Ok(Persistence { id, principal: wire.principal.map(Into::into) })
}

fn read_mount(wire: w::Volume) -> Result<VolumeMount, DecodeError> {
    let mode = super::known(wire.mode, |number| w::volume::Mode::try_from(number).ok());
    let read_only = present(mode, "mode")? == w::volume::Mode::Ro;
    Ok(VolumeMount { container_path: text(wire.container_path, "container_path")?, read_only })
}

fn read_source(wire: disk_info::Source) -> Result<DiskSource, DecodeError> {
    use source::Type;
    let kind = match super::known(wire.r#type, |number| Type::try_from(number).ok()) {
        Some(Type::Path) => DiskKind::Path,
        Some(Type::Mount) => DiskKind::Mount,
        Some(Type::Block) => DiskKind::Block,
        Some(Type::Raw) => DiskKind::Raw,
        Some(Type::Unknown) | None => {
            return Err(DecodeError::new("type", "must be PATH, MOUNT, BLOCK or RAW"));
        }
    };
    let root = match kind {
        DiskKind::Mount => wire.mount.and_then(|mount| mount.root),
        DiskKind::Path | DiskKind::Block | DiskKind::Raw => wire.path.and_then(|path| path.root),
    };
    let shared = |text: Option<String>| text.map(Arc::from);
    Ok(DiskSource {
        kind,
        root: shared(root),
        id: shared(wire.id),
        metadata: read_labels(wire.metadata).at("metadata")?,
        profile: shared(wire.profile),
        vendor: shared(wire.vendor),
    })
}
