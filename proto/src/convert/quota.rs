//! Quota and weights of roles.

use super::{At, list, present, resources, w};
use crate::{DecodeError, Quantities, QuotaConfig, Resources, Role, Value, Weight};
use std::collections::BTreeSet;
use w::quota as wire;

impl From<&QuotaConfig> for wire::QuotaConfig {
    fn from(config: &QuotaConfig) -> Self {
        let limits = config.limits.iter().map(|(name, milli)| (name, *milli));
        Self {
            role: Some(config.role.as_str().to_owned()),
            guarantees: resources::write_amounts(config.guarantees.iter()),
            limits: resources::write_amounts(limits),
        }
    }
}

impl TryFrom<wire::QuotaConfig> for QuotaConfig {
    type Error = DecodeError;
    fn try_from(wire: wire::QuotaConfig) -> Result<Self, DecodeError> {
        Ok(Self {
            role: Role::new(present(wire.role, "role")?).at("role")?,
            guarantees: resources::read_quantities(wire.guarantees, "guarantees")?,
            limits: resources::read_amounts(wire.limits, "limits")?,
        })
    }
}

/// Quota of several roles, each once.
pub(super) fn configs(
    wire: Vec<wire::QuotaConfig>,
    field: &str,
) -> Result<Vec<QuotaConfig>, DecodeError> {
    let configs: Vec<QuotaConfig> = list(wire, field)?;
    let mut seen = BTreeSet::new();
    match configs.iter().position(|config| !seen.insert(&config.role)) {
        None => Ok(configs),
        Some(i) => {
            let problem = format!("'{}' stands twice", configs[i].role);
            Err(DecodeError::new(format!("{field}[{i}].role"), problem))
        }
    }
}

/// A guarantee in the old form: plain scalars.
pub(super) fn guarantee(resources: &Resources) -> Result<Quantities, DecodeError> {
    for piece in resources.pieces() {
        let scalar = matches!(piece.value, Value::Scalar(_));
        if !scalar || !piece.flavor.is_plain() {
            let problem = format!("'{}' must be a scalar, unreserved and no volume", piece.name);
            return Err(DecodeError::new("guarantee", problem));
        }
    }
    Ok(resources.quantities())
}

impl From<&Weight> for w::WeightInfo {
    fn from(weight: &Weight) -> Self {
        Self {
            weight: Some(weight.weight_milli as f64 / 1000.0),
            role: Some(weight.role.as_str().to_owned()),
        }
    }
}

impl TryFrom<w::WeightInfo> for Weight {
    type Error = DecodeError;
    fn try_from(wire: w::WeightInfo) -> Result<Self, DecodeError> {
        let weight_milli = resources::milli(present(wire.weight, "weight")?, "weight")?;
        if weight_milli == 0 {
            return Err(DecodeError::new("weight", "must be at least 0.001"));
        }
        Ok(Self { role: Role::new(present(wire.role, "role")?).at("role")?, weight_milli })
    }
}
