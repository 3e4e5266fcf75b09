//! Offer constraints: what an agent must be like for a framework to want offers of it.

use crate::Role;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Constraints by role; a role that is not in it takes any agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferConstraints {
    /// Of each role the alternatives, never none: an agent must satisfy one of them.
    pub roles: BTreeMap<Role, Vec<ConstraintGroup>>,
}

/// Constraints that must hold together; never none.
pub type ConstraintGroup = Vec<AttributeConstraint>;

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeConstraint {
    /// What is looked at.
    pub selector: Selector,
    /// What it must be like.
    pub predicate: Predicate,
}

/// What a constraint looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// The agent's hostname.
    Hostname,
    /// The region of its fault domain.
    Region,
    /// The zone of its fault domain.
    Zone,
    /// Its attribute of this name.
    Attribute(Arc<str>),
}

/// What the selected value must be like. As in Mesos, a predicate on text holds for values that
/// are no text (numbers, ranges), and a negative one for values that are not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is this text.
    TextEquals(Arc<str>),
    /// It is not this text.
    TextNotEquals(Arc<str>),
    /// The regular expression (RE2's syntax) matches all of it.
    TextMatches(Arc<str>),
    /// The regular expression does not match all of it.
    TextNotMatches(Arc<str>),
}
