//! A framework that keeps resources: it reserves, makes volumes, uses them, and gives them back.
//!
//! What it asks for mostly makes sense; what has become of it is told by the statuses.

use crate::prng::Prng;
use proto::{
    Disk, Flavor, Offer, Operation, OperationId, Persistence, Piece, Reservation, ReservationKind,
    ResourceChange, ResourceOperation, Resources, Role, Value, VolumeId, VolumeMount,
};

fn reservation(role: &Role) -> Reservation {
    let (kind, principal) = (ReservationKind::Dynamic, None);
    Reservation { kind, role: role.clone(), principal, labels: Vec::new() }
}

fn part(piece: &Piece, milli: u64) -> Piece {
    Piece { value: Value::Scalar(milli.min(piece.size())), ..piece.clone() }
}

fn only(piece: Piece) -> Resources {
    Resources::from_iter([piece])
}

/// A volume of reserved disk space.
fn volume(space: &Piece, id: &str) -> Piece {
    let persistence =
        Some(Persistence { id: VolumeId::new(id).expect("a word is an id"), principal: None });
    let mount = Some(VolumeMount { container_path: "data".into(), read_only: false });
    let flavor: Flavor = space.flavor.with(|special| {
        let source = special.disk.take().and_then(|disk| disk.source);
        special.disk = Some(Disk { source, persistence, mount });
    });
    Piece { flavor, ..space.clone() }
}

/// One change of what is offered, or none; `n` makes names.
pub(super) fn some_change(random: &mut Prng, offer: &Offer, n: u32) -> Option<Operation> {
    let pieces = offer.resources.pieces();
    let of = |random: &mut Prng, wanted: &dyn Fn(&Piece) -> bool| -> Option<Piece> {
        let fit: Vec<&Piece> = pieces.iter().filter(|piece| wanted(piece)).collect();
        fit.get(random.index(fit.len())).map(|piece| Piece::clone(piece))
    };
    let dynamic = |piece: &Piece| {
        let last = piece.flavor.reservations().last();
        last.is_some_and(|last| last.kind == ReservationKind::Dynamic)
    };
    let is_disk = |piece: &Piece| piece.name.as_str() == "disk";
    let is_volume = |piece: &Piece| piece.flavor.volume().is_some();
    let amount = random.between(1, 8) * 50_000;
    let change = match random.below(8) {
        // Nothing is kept for everybody: no decoder lets it through.
        0..3 if offer.role == Role::any() => return None,
        0..3 => {
            let free = |piece: &Piece| {
                let size = piece.size() > 0 && !piece.flavor.revocable;
                size && piece.flavor.reservations().is_empty() && !is_volume(piece)
            };
            let disk = random.percent(60);
            let piece = of(random, &|piece| free(piece) && is_disk(piece) == disk)?;
            let amount = if disk { amount } else { amount / 500 };
            let resources = only(part(&piece, amount)).push_reservation(&reservation(&offer.role));
            ResourceChange::Reserve { source: Resources::new(), resources }
        }
        3 => {
            let piece = of(random, &|piece| dynamic(piece) && !is_volume(piece))?;
            ResourceChange::Unreserve { resources: only(piece) }
        }
        4 | 5 => {
            let kept = |piece: &Piece| !piece.flavor.reservations().is_empty();
            let piece = of(random, &|piece| kept(piece) && is_disk(piece) && !is_volume(piece))?;
            // A name that is used again, sometimes too early.
            let id = format!("v{}", n % 3);
            let volumes = only(volume(&part(&piece, amount), &id));
            ResourceChange::Create { volumes }
        }
        6 => ResourceChange::Destroy { volumes: only(of(random, &is_volume)?) },
        _ if random.percent(50) => {
            let volume = of(random, &is_volume)?;
            ResourceChange::Shrink { volume, subtract_milli: 10_000 }
        }
        _ => {
            let volume = of(random, &is_volume)?;
            let reserved = volume.flavor.reservations().to_vec();
            let alike = |piece: &Piece| {
                is_disk(piece) && !is_volume(piece) && piece.flavor.reservations() == reserved
            };
            let addition = part(&of(random, &alike)?, 10_000);
            ResourceChange::Grow { volume, addition }
        }
    };
    let id = random.percent(70).then(|| OperationId::new(format!("op-{n}")).expect("is an id"));
    Some(Operation::Change(Box::new(ResourceOperation { id, allocation_role: None, change })))
}

/// A volume of the offer, for a task.
pub(super) fn some_volume(offered: &Resources) -> Option<Piece> {
    offered.pieces().iter().find(|piece| piece.flavor.volume().is_some()).cloned().map(|piece| {
        let flavor = piece.flavor.with(|special| {
            if let Some(disk) = &mut special.disk {
                disk.mount = Some(VolumeMount { container_path: "data".into(), read_only: false });
            }
        });
        Piece { flavor, ..piece }
    })
}
