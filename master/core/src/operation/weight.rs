//! How much reservations, volumes and operations weigh.
//!
//! What frameworks and operators reserve and make is kept in records of the registry, which take so
//! much and no more. Counted by the words, never by the encoding's measure, and never less than
//! what is written.

use proto::{Labels, Piece, Reservation, ResourceChange, ResourceOperation, Role, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every item of a list weighs beside its words.
const ITEM: usize = 32;

/// What is reserved and made on an agent weighs so much, with what is doomed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) pieces: usize,
    pub(crate) bytes: usize,
}

impl Weight {
    pub(super) fn of<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Self {
        let mut all = Self::default();
        for piece in pieces {
            all.pieces += 1;
            all.bytes += piece_bytes(piece);
        }
        all
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { pieces: self.pieces + other.pieces, bytes: self.bytes + other.bytes }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            pieces: self.pieces.saturating_sub(other.pieces),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// What weighs so much, by the role that each piece is reserved to.
pub(super) fn by_role<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> BTreeMap<Role, Weight> {
    let mut roles: BTreeMap<Role, Weight> = BTreeMap::new();
    for piece in pieces {
        if let Some(role) = piece.flavor.reserved_to() {
            let weight = roles.entry(role.clone()).or_default();
            *weight = weight.plus(Weight::of([piece]));
        }
    }
    roles
}

/// Bytes of what a reservation says beside its role.
pub(super) fn reservation_bytes(reservation: &Reservation) -> usize {
    words([&reservation.principal]) + label_bytes(&reservation.labels)
}

/// Bytes of an operation.
pub(super) fn operation_bytes(operation: &ResourceOperation) -> usize {
    let id = operation.id.as_ref().map_or(0, |id| id.as_str().len());
    let pieces = match &operation.change {
        ResourceChange::Reserve { source, resources } => {
            Weight::of(source.pieces()).plus(Weight::of(resources.pieces()))
        }
        ResourceChange::Unreserve { resources } => Weight::of(resources.pieces()),
        ResourceChange::Create { volumes } | ResourceChange::Destroy { volumes } => {
            Weight::of(volumes.pieces())
        }
        ResourceChange::Grow { volume, addition } => Weight::of([volume, addition]),
        ResourceChange::Shrink { volume, .. } => Weight::of([volume]),
    };
    4 * ITEM + id + pieces.bytes
}

fn piece_bytes(piece: &Piece) -> usize {
    let flavor = &piece.flavor;
    let stack = flavor.reservations().iter();
    let stack: usize =
        stack.map(|one| 2 * ITEM + one.role.as_str().len() + reservation_bytes(one)).sum();
    let mut disk_bytes = 0;
    if let Some(disk) = flavor.disk() {
        disk_bytes += ITEM;
        if let Some(volume) = &disk.persistence {
            disk_bytes += ITEM + volume.id.as_str().len() + words([&volume.principal]);
        }
        if let Some(mount) = &disk.mount {
            disk_bytes += ITEM + mount.container_path.len();
        }
        if let Some(source) = &disk.source {
            disk_bytes += words([&source.root, &source.id, &source.profile, &source.vendor]);
            disk_bytes += ITEM + label_bytes(&source.metadata);
        }
    }
    let provider = flavor.special.as_ref().map_or(0, |special| words([&special.provider]));
    let value = match &piece.value {
        Value::Scalar(_) => 0,
        Value::Ranges(ranges) => ITEM * ranges.pairs().len(),
        Value::Set(items) => items.iter().map(|item| ITEM + item.len()).sum(),
    };
    2 * ITEM + piece.name.as_str().len() + stack + disk_bytes + provider + value
}

fn words<const N: usize>(all: [&Option<Arc<str>>; N]) -> usize {
    all.into_iter().flatten().map(|text| ITEM + text.len()).sum()
}

fn label_bytes(labels: &Labels) -> usize {
    let value = |value: &Option<Arc<str>>| value.as_ref().map_or(0, |value| value.len());
    labels.iter().map(|(key, text)| ITEM + key.len() + value(text)).sum()
}

#[cfg(test)]
mod tests {
    use super::Weight;
    use crate::testing::{all, reserved, shared_volume};
    use proto::{Encoding, Flavor, Piece, Ranges, ResourceName, Resources, Value, Wire};
    use std::sync::Arc;

    #[test]
    fn nothing_takes_more_than_it_weighs() {
        let piece = |name: &str, value| {
            let (name, flavor) = (ResourceName::new(name), Flavor::default());
            Resources::from_iter([Piece { name, flavor, value }])
        };
        let far = |n: u64| (u64::MAX - 4 * n, u64::MAX - 4 * n);
        let ranges = piece("ports", Value::Ranges(Ranges::new((0..50).map(far))));
        let items = (0..50).map(|n| Arc::from(format!("item{n}"))).collect();
        let set = piece("zones", Value::Set(items));
        let cpus = Resources::cpus_mem(u64::MAX, u64::MAX);
        let volume = all(&[shared_volume("an-id", "eng/dev", 1)]);
        for resources in [ranges, set, cpus] {
            for resources in [reserved(&resources, &["a", "a/b", "a/b/c"]), resources] {
                let bytes = resources.encode(Encoding::Protobuf).len();
                assert!(bytes <= Weight::of(resources.pieces()).bytes, "{bytes}: {resources}");
            }
        }
        let bytes = volume.encode(Encoding::Protobuf).len();
        assert!(bytes <= Weight::of(volume.pieces()).bytes, "{bytes}: {volume}");
    }
}
