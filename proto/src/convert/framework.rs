//! Frameworks as their schedulers describe them.

use super::{At, list_with, maybe, resources, text, time, w};
use crate::{Capabilities, Capability, DecodeError, FrameworkInfo, Labels, Quantities, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl From<&FrameworkInfo> for w::FrameworkInfo {
    fn from(info: &FrameworkInfo) -> Self {
        let single = info.single_role && info.roles.len() == 1;
        let capability = |capability| w::framework_info::Capability {
            r#type: Some(i32::from(capability as u8)),
        };
        let names = || info.roles.iter().map(|role| role.as_str().to_owned());
        Self {
            user: Some(info.user.to_string()),
            name: Some(info.name.to_string()),
            id: info.id.as_ref().map(Into::into),
            failover_timeout: Some(info.failover_timeout.as_secs_f64()),
            checkpoint: Some(info.checkpoint),
            role: if single { names().next() } else { None },
            hostname: (!info.hostname.is_empty()).then(|| info.hostname.to_string()),
            principal: info.principal.as_deref().map(str::to_owned),
            webui_url: info.webui_url.as_deref().map(str::to_owned),
            capabilities: info.capabilities.iter().map(capability).collect(),
            labels: write_labels(&info.labels),
            roles: if single { Vec::new() } else { names().collect() },
            offer_filters: info.min_allocatable.iter().map(offer_filters).collect(),
        }
    }
}

impl TryFrom<w::FrameworkInfo> for FrameworkInfo {
    type Error = DecodeError;
    fn try_from(wire: w::FrameworkInfo) -> Result<Self, DecodeError> {
        let capabilities: Capabilities =
            wire.capabilities.iter().filter_map(|c| capability(c.r#type)).collect();
        let (roles, single_role) = roles(wire.role, wire.roles, capabilities)?;
        let failover_timeout = wire
            .failover_timeout
            .map_or(Ok(Duration::ZERO), |s| time::interval(s, "failover_timeout"))?;
        Ok(Self {
            user: text(wire.user, "user")?,
            name: text(wire.name, "name")?,
            id: maybe(wire.id, "id")?,
            failover_timeout,
            checkpoint: wire.checkpoint.unwrap_or(false),
            roles,
            single_role,
            hostname: wire.hostname.unwrap_or_default().into(),
            principal: wire.principal.map(Into::into),
            webui_url: wire.webui_url.map(Into::into),
            capabilities,
            labels: read_labels(wire.labels).at("labels")?,
            min_allocatable: min_allocatable(wire.offer_filters)?,
        })
    }
}

fn offer_filters((role, minima): (&Role, &Vec<Quantities>)) -> (String, w::OfferFilters) {
    let quantities = |minimum: &Quantities| w::offer_filters::ResourceQuantities {
        quantities: resources::write_amounts(minimum.iter()),
    };
    let quantities = minima.iter().map(quantities).collect();
    let minima = w::offer_filters::MinAllocatableResources { quantities };
    let filters = w::OfferFilters { min_allocatable_resources: Some(minima) };
    (role.as_str().to_owned(), filters)
}

fn min_allocatable(
    wire: BTreeMap<String, w::OfferFilters>,
) -> Result<BTreeMap<Role, Vec<Quantities>>, DecodeError> {
    let minimum = |wire: w::offer_filters::ResourceQuantities| {
        resources::read_quantities(wire.quantities, "quantities")
    };
    let mut all = BTreeMap::new();
    for (name, filters) in wire {
        let Some(minima) = filters.min_allocatable_resources else { continue };
        let within = |error: DecodeError| error.under(&name).within("offer_filters");
        let minima = list_with(minima.quantities, "quantities", minimum)
            .map_err(|error| within(error.within("min_allocatable_resources")))?;
        let role = Role::new(&*name).map_err(|error| within(error.into()))?;
        all.insert(role, minima);
    }
    Ok(all)
}

fn capability(number: Option<i32>) -> Option<Capability> {
    Capability::ALL.into_iter().find(|c| Some(i32::from(*c as u8)) == number)
}

/// The roles, and whether they came in the single field. A framework that names none has `*`.
fn roles(
    single: Option<String>,
    several: Vec<String>,
    capabilities: Capabilities,
) -> Result<(BTreeSet<Role>, bool), DecodeError> {
    match (single, several.is_empty()) {
        (Some(_), false) => Err(DecodeError::new("roles", "must not stand together with 'role'")),
        (Some(role), true) => Ok((BTreeSet::from([Role::new(role).at("role")?]), true)),
        (None, true) => {
            let single = !capabilities.has(Capability::MultiRole);
            Ok((BTreeSet::from([Role::any()]), single))
        }
        (None, false) => {
            let mut roles = BTreeSet::new();
            for (i, role) in several.into_iter().enumerate() {
                let at = format!("roles[{i}]");
                let role = Role::new(role).at(&at)?;
                if let Some(twice) = roles.replace(role) {
                    return Err(DecodeError::new(at, format!("'{twice}' stands twice")));
                }
            }
            Ok((roles, false))
        }
    }
}

pub(super) fn write_labels(labels: &Labels) -> Option<w::Labels> {
    let label = |(key, value): &(Arc<str>, Option<Arc<str>>)| w::Label {
        key: Some(key.to_string()),
        value: value.as_deref().map(str::to_owned),
    };
    (!labels.is_empty()).then(|| w::Labels { labels: labels.iter().map(label).collect() })
}

pub(super) fn read_labels(labels: Option<w::Labels>) -> Result<Labels, DecodeError> {
    super::list_with(labels.unwrap_or_default().labels, "labels", |label: w::Label| {
        Ok((text(label.key, "key")?, label.value.map(Into::into)))
    })
}
