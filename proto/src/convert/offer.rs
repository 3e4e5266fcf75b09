//! Offers, inverse offers and requests.

use super::resources::{self, Style};
use super::{At, agent, list, maybe, need, port, text, w};
use crate::scheduler::Demand;
use crate::{DecodeError, Filters, InverseOffer, Offer, Role};
use std::net::IpAddr;
use std::sync::Arc;

/// What the framework that reads an offer understands.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    /// It has MULTI_ROLE: offers say which role they are for.
    pub(super) multi_role: bool,
    /// It has RESERVATION_REFINEMENT: unreserved resources have no `role`.
    pub(super) refinement: bool,
}

impl Reader {
    /// Our own drivers and tools.
    pub(super) const MODERN: Self = Self { multi_role: true, refinement: true };
}

pub(super) fn write(offer: &Offer, reader: Reader) -> w::Offer {
    let role = reader.multi_role.then_some(&offer.role);
    let style = Style { role, old_role: !reader.refinement };
    w::Offer {
        id: Some((&offer.id).into()),
        framework_id: Some((&offer.framework_id).into()),
        agent_id: Some((&offer.agent_id).into()),
        hostname: Some(offer.hostname.to_string()),
        resources: resources::write(&offer.resources, style),
        executor_ids: offer.executor_ids.iter().map(Into::into).collect(),
        attributes: offer.attributes.iter().map(Into::into).collect(),
        url: Some(url(&offer.hostname, offer.port)),
        unavailability: offer.unavailability.map(Into::into),
        allocation_info: role
            .map(|role| w::resource::AllocationInfo { role: Some(role.as_str().to_owned()) }),
        domain: offer.domain.as_ref().map(Into::into),
    }
}

/// The path of an agent's API, which Mesos' clients expect.
pub(super) const AGENT_PATH: &str = "/slave(1)";

/// Where the agent's API is.
fn url(hostname: &str, port: u16) -> w::Url {
    w::Url {
        scheme: Some("http".to_owned()),
        address: Some(w::Address {
            hostname: Some(hostname.to_owned()),
            ip: hostname.parse::<IpAddr>().ok().map(|ip| ip.to_string()),
            port: Some(port.into()),
        }),
        path: Some(AGENT_PATH.to_owned()),
    }
}

impl TryFrom<w::Offer> for Offer {
    type Error = DecodeError;
    fn try_from(wire: w::Offer) -> Result<Self, DecodeError> {
        let (resources, mut role) = resources::read(wire.resources, "resources")?;
        if let Some(name) = wire.allocation_info.and_then(|info| info.role) {
            resources::agree(&mut role, &name).at("allocation_info.role")?;
        }
        let port = address(wire.url)?.map_or(agent::DEFAULT_PORT, |(_, port)| port);
        Ok(Self {
            id: need(wire.id, "id")?,
            framework_id: need(wire.framework_id, "framework_id")?,
            agent_id: need(wire.agent_id, "agent_id")?,
            hostname: text(wire.hostname, "hostname")?,
            port,
            role: role.unwrap_or_else(Role::any),
            resources,
            attributes: list::<_, _, Vec<_>>(wire.attributes, "attributes")?.into(),
            domain: agent::domain(wire.domain)?,
            executor_ids: list(wire.executor_ids, "executor_ids")?,
            unavailability: maybe(wire.unavailability, "unavailability")?,
        })
    }
}

/// Name or address, and port.
fn address(url: Option<w::Url>) -> Result<Option<(Arc<str>, u16)>, DecodeError> {
    let Some(address) = url.and_then(|url| url.address) else { return Ok(None) };
    let Some(number) = address.port else { return Ok(None) };
    let host = address.hostname.or(address.ip).unwrap_or_default();
    Ok(Some((host.into(), port(number, "url.address.port")?)))
}

impl From<&InverseOffer> for w::InverseOffer {
    fn from(offer: &InverseOffer) -> Self {
        Self {
            id: Some((&offer.id).into()),
            url: offer.address.as_ref().map(|(host, port)| url(host, *port)),
            framework_id: Some((&offer.framework_id).into()),
            agent_id: offer.agent_id.as_ref().map(Into::into),
            unavailability: Some(offer.unavailability.into()),
            resources: resources::plain(&offer.resources),
        }
    }
}

impl TryFrom<w::InverseOffer> for InverseOffer {
    type Error = DecodeError;
    fn try_from(wire: w::InverseOffer) -> Result<Self, DecodeError> {
        Ok(Self {
            id: need(wire.id, "id")?,
            framework_id: need(wire.framework_id, "framework_id")?,
            agent_id: maybe(wire.agent_id, "agent_id")?,
            address: address(wire.url)?,
            unavailability: need(wire.unavailability, "unavailability")?,
            resources: resources::read_plain(wire.resources, "resources")?,
        })
    }
}

impl From<&Filters> for w::Filters {
    fn from(filters: &Filters) -> Self {
        Self { refuse_seconds: Some(filters.refuse.as_secs_f64()) }
    }
}

/// Filters are never wrong: what makes no sense means the default.
pub(super) fn filters(wire: Option<w::Filters>) -> Filters {
    Filters::from_seconds(wire.and_then(|filters| filters.refuse_seconds))
}

impl From<&Demand> for w::Request {
    fn from(demand: &Demand) -> Self {
        Self {
            agent_id: demand.agent_id.as_ref().map(|id| Box::new(id.into())),
            resources: resources::plain(&demand.resources),
            count: Some(demand.count),
            role: demand.role.as_ref().map(|role| role.as_str().to_owned()),
            deadline: demand.deadline.map(|deadline| Box::new(deadline.into())),
            priority: (demand.priority != 0).then_some(demand.priority),
        }
    }
}

impl TryFrom<w::Request> for Demand {
    type Error = DecodeError;
    fn try_from(wire: w::Request) -> Result<Self, DecodeError> {
        let count = wire.count.unwrap_or(1);
        if count == 0 {
            return Err(DecodeError::new("count", "must be at least 1"));
        }
        Ok(Self {
            role: maybe(wire.role, "role")?,
            agent_id: maybe(wire.agent_id.map(|id| *id), "agent_id")?,
            resources: resources::read_plain(wire.resources, "resources")?,
            count,
            deadline: maybe(wire.deadline.map(|deadline| *deadline), "deadline")?,
            priority: wire.priority.unwrap_or(0),
        })
    }
}
