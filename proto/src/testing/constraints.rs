//! Offer constraints.

use super::{role, text};
use crate::{AttributeConstraint, OfferConstraints, Predicate, Selector};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Any offer constraints.
pub fn offer_constraints() -> impl Strategy<Value = OfferConstraints> {
    let selector = prop_oneof![
        Just(Selector::Hostname),
        Just(Selector::Region),
        Just(Selector::Zone),
        text().prop_map(Selector::Attribute),
    ];
    let predicate = prop_oneof![
        Just(Predicate::Exists),
        Just(Predicate::NotExists),
        text().prop_map(Predicate::TextEquals),
        text().prop_map(Predicate::TextNotEquals),
        text().prop_map(Predicate::TextMatches),
        text().prop_map(Predicate::TextNotMatches),
    ];
    let constraint = (selector, predicate)
        .prop_map(|(selector, predicate)| AttributeConstraint { selector, predicate });
    let groups = vec(vec(constraint, 1..3), 1..3);
    btree_map(role(), groups, 0..3).prop_map(|roles| OfferConstraints { roles })
}
