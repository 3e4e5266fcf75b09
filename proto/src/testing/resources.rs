//! Resources, ranges and attributes.

use super::framework::labels;
use super::{maybe, text, volume_id};
use crate::{
    Attribute, AttributeValue, Disk, DiskKind, DiskSource, Flavor, Labels, Persistence, Piece,
    Quantities, Ranges, Reservation, ReservationKind, ResourceName, Resources, Role, Special,
    Value, VolumeMount,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// Inclusive ranges, few and close so that they touch, or anywhere.
pub fn ranges() -> impl Strategy<Value = Ranges> {
    let near = (0..60_u64, 0..8_u64).prop_map(|(begin, len)| (begin, begin + len));
    let far = (any::<u64>(), any::<u64>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    vec(prop_oneof![4 => near, 1 => far], 1..5).prop_map(Ranges::new)
}

/// Up to five resources of up to four flavors.
pub fn resources() -> impl Strategy<Value = Resources> {
    let piece = prop_oneof![8 => piece(), 1 => disk_space(), 1 => volume()];
    vec(piece, 0..6).prop_map(Resources::from_iter)
}

fn piece() -> impl Strategy<Value = Piece> {
    let scalar = (
        prop_oneof!["cpus", "mem", "disk", "gpus", "é \"x\""],
        prop_oneof![4 => 1..100_000_u64, 1 => 1..=100_000_000_000_000_u64],
    );
    let set = btree_set(text(), 1..4);
    let amount = prop_oneof![
        4 => scalar.prop_map(|(name, milli)| (name, Value::Scalar(milli))),
        1 => ranges().prop_map(|ranges| ("ports".to_owned(), Value::Ranges(ranges))),
        1 => set.prop_map(|items| ("zones".to_owned(), Value::Set(items))),
    ];
    (amount, flavor()).prop_map(|((name, value), flavor)| Piece {
        name: ResourceName::new(name),
        flavor,
        value,
    })
}

/// A stack of reservations, each below the one before.
fn reservations() -> impl Strategy<Value = Vec<Reservation>> {
    let one = (any::<bool>(), maybe(text()), labels());
    ("[a-z]{1,4}", vec(one, 0..3)).prop_map(|(root, stack)| {
        let mut name = String::new();
        let reservation = |(i, (fixed, principal, labels)): (usize, (bool, _, Labels))| {
            name = if i == 0 { root.clone() } else { format!("{name}/{root}") };
            Reservation {
                kind: match fixed && i == 0 {
                    true => ReservationKind::Static,
                    false => ReservationKind::Dynamic,
                },
                role: Role::new(&*name).expect("the pattern yields roles"),
                principal,
                labels,
            }
        };
        stack.into_iter().enumerate().map(reservation).collect()
    })
}

fn source() -> impl Strategy<Value = DiskSource> {
    let kind =
        prop::sample::select(vec![DiskKind::Path, DiskKind::Mount, DiskKind::Block, DiskKind::Raw]);
    let texts = (maybe(text()), maybe(text()), maybe(text()), maybe(text()));
    (kind, texts, labels()).prop_map(|(kind, (root, id, profile, vendor), metadata)| DiskSource {
        kind,
        root,
        id,
        metadata,
        profile,
        vendor,
    })
}

fn flavor() -> impl Strategy<Value = Flavor> {
    let special = (any::<bool>(), reservations(), maybe("[a-z]{1,4}"));
    prop_oneof![
        6 => Just(Flavor::default()),
        1 => Just(Flavor { revocable: true, special: None }),
        2 => special.prop_map(|(revocable, reservations, provider)| {
            let provider = provider.map(Into::into);
            Flavor::new(revocable, Special { reservations, provider, ..Special::default() })
        }),
    ]
}

/// Disk space, reserved or not, of the agent or of a disk of its own.
pub(super) fn disk_space() -> impl Strategy<Value = Piece> {
    (reservations(), maybe(source()), 1..100_000_u64).prop_map(|(reservations, source, milli)| {
        let disk = source.map(|source| Disk { source: Some(source), ..Disk::default() });
        let special = Special { reservations, disk, ..Special::default() };
        Piece {
            name: ResourceName::new("disk"),
            flavor: Flavor::new(false, special),
            value: Value::Scalar(milli),
        }
    })
}

/// Any persistent volume.
pub fn volume() -> impl Strategy<Value = Piece> {
    let persistence =
        (volume_id(), maybe(text())).prop_map(|(id, principal)| Persistence { id, principal });
    let mount = (text(), any::<bool>())
        .prop_map(|(container_path, read_only)| VolumeMount { container_path, read_only });
    (disk_space(), persistence, maybe(mount), any::<bool>()).prop_map(
        |(space, persistence, mount, shared)| {
            let flavor = space.flavor.with(|special| {
                let disk = special.disk.get_or_insert_default();
                (disk.persistence, disk.mount) = (Some(persistence.clone()), mount.clone());
                special.shared = shared;
            });
            Piece { flavor, ..space }
        },
    )
}

/// Up to three amounts by name.
pub fn quantities() -> impl Strategy<Value = Quantities> {
    let amount = (prop_oneof!["cpus", "mem", "disk", "gpus"], 1..100_000_000_u64);
    vec(amount, 0..4).prop_map(|amounts| {
        let mut all = Quantities::default();
        for (name, milli) in amounts {
            all.add(&ResourceName::new(name), milli);
        }
        all
    })
}

/// Any attribute.
pub fn attribute() -> impl Strategy<Value = Attribute> {
    const MOST: i64 = 1_000_000_000_000_000;
    let value = prop_oneof![
        text().prop_map(AttributeValue::Text),
        (-MOST..=MOST).prop_map(AttributeValue::Scalar),
        ranges().prop_map(AttributeValue::Ranges),
    ];
    ("[a-z]{1,6}", value).prop_map(|(name, value)| Attribute { name: name.into(), value })
}
