//! Quota and weights of roles.

use crate::{Quantities, ResourceName, Role};
use std::collections::BTreeMap;

/// What a role is guaranteed, and what it may have at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaConfig {
    /// The role.
    pub role: Role,
    /// Kept for it.
    pub guarantees: Quantities,
    /// At most so much, in thousandths by name. A name that is not in it has no limit; zero is a
    /// limit.
    pub limits: BTreeMap<ResourceName, u64>,
}

impl QuotaConfig {
    /// No guarantee and no limit.
    pub fn none(role: Role) -> Self {
        Self { role, guarantees: Quantities::default(), limits: BTreeMap::new() }
    }

    /// Whether it says nothing.
    pub fn is_none(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

/// A role's weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The role.
    pub role: Role,
    /// In thousandths; 1000 is Mesos' default of 1. Never 0.
    pub weight_milli: u64,
}
