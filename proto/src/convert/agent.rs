//! Agents and fault domains.

use super::{list, maybe, port, present, resources, text, w};
use crate::{AgentInfo, DecodeError, Domain};
use w::domain_info::FaultDomain;
use w::domain_info::fault_domain::{RegionInfo, ZoneInfo};

/// Mesos' default port of an agent.
pub(super) const DEFAULT_PORT: u16 = 5051;

impl From<&AgentInfo> for w::AgentInfo {
    fn from(info: &AgentInfo) -> Self {
        Self {
            hostname: Some(info.hostname.to_string()),
            resources: resources::plain(&info.resources),
            attributes: info.attributes.iter().map(Into::into).collect(),
            id: info.id.as_ref().map(Into::into),
            port: Some(info.port.into()),
            domain: info.domain.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<w::AgentInfo> for AgentInfo {
    type Error = DecodeError;
    fn try_from(wire: w::AgentInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            id: maybe(wire.id, "id")?,
            hostname: text(wire.hostname, "hostname")?,
            port: wire.port.map_or(Ok(DEFAULT_PORT), |number| port(number, "port"))?,
            resources: resources::read_plain(wire.resources, "resources")?,
            attributes: list(wire.attributes, "attributes")?,
            domain: domain(wire.domain)?,
        })
    }
}

impl From<&Domain> for w::DomainInfo {
    fn from(domain: &Domain) -> Self {
        Self {
            fault_domain: Some(FaultDomain {
                region: Some(RegionInfo { name: Some(domain.region.to_string()) }),
                zone: Some(ZoneInfo { name: Some(domain.zone.to_string()) }),
            }),
        }
    }
}

/// The fault domain; a domain without one says nothing.
pub(super) fn domain(wire: Option<w::DomainInfo>) -> Result<Option<Domain>, DecodeError> {
    let Some(fault) = wire.and_then(|domain| domain.fault_domain) else { return Ok(None) };
    let region = present(fault.region, "domain.fault_domain.region")?.name;
    let zone = present(fault.zone, "domain.fault_domain.zone")?.name;
    Ok(Some(Domain {
        region: text(region, "domain.fault_domain.region.name")?,
        zone: text(zone, "domain.fault_domain.zone.name")?,
    }))
}
