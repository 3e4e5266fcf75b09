//! Resources, ranges and attributes.

use super::text;
use crate::{Attribute, AttributeValue, Flavor, Piece, Ranges, ResourceName, Resources, Value};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::sync::Arc;

/// Inclusive ranges, few and close so that they touch, or anywhere.
pub fn ranges() -> impl Strategy<Value = Ranges> {
    let near = (0..60_u64, 0..8_u64).prop_map(|(begin, len)| (begin, begin + len));
    let far = (any::<u64>(), any::<u64>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    vec(prop_oneof![4 => near, 1 => far], 1..5).prop_map(Ranges::new)
}

/// Up to five resources of up to four flavors.
pub fn resources() -> impl Strategy<Value = Resources> {
    vec(piece(), 0..6).prop_map(Resources::from_iter)
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

/// Encoded pieces of a resource that set it apart.
const SPECIAL: [&[u8]; 3] = [
    // role: "a"
    &[0x32, 1, b'a'],
    // shared: {}
    &[0x52, 0],
    // reservations: [{principal: "p", role: "a/b", type: DYNAMIC}]
    &[0x6a, 10, 0x0a, 1, b'p', 0x1a, 3, b'a', b'/', b'b', 0x20, 2],
];

fn flavor() -> impl Strategy<Value = Flavor> {
    let special = prop::sample::select(SPECIAL.to_vec()).prop_map(|s| Some(Arc::from(s)));
    prop_oneof![
        6 => Just(Flavor::default()),
        1 => Just(Flavor { revocable: true, special: None }),
        1 => (any::<bool>(), special)
            .prop_map(|(revocable, special)| Flavor { revocable, special }),
    ]
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
