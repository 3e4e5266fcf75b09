//! Leases: offers of a host's resources, which the scheduler may use until they expire.

use crate::attribute::{AttributeValue, Attributes};
use crate::id::{HostId, LeaseId};
use crate::quantity::Time;
use crate::resources::{PortRange, Resources};

/// An offer of some resources of one host. Several leases of one host add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id. A lease whose id the scheduler already holds is ignored.
    pub id: LeaseId,
    /// The host whose resources these are.
    pub host: HostId,
    /// The quantities on offer.
    pub offered: Resources,
    /// The ports on offer.
    pub ports: Vec<PortRange>,
    /// The host's attributes. With several leases of a host, those of the latest count.
    pub attributes: Attributes,
    /// When it was offered: it expires this long after.
    pub offered_at: Time,
}

impl Lease {
    /// A lease of these quantities, without ports and attributes, offered at [`Time::ZERO`].
    pub fn new(id: impl Into<LeaseId>, host: impl Into<HostId>, offered: Resources) -> Self {
        Self {
            id: id.into(),
            host: host.into(),
            offered,
            ports: Vec::new(),
            attributes: Attributes::new(),
            offered_at: Time::ZERO,
        }
    }

    /// The same with these ports as well.
    #[must_use]
    pub fn with_ports(mut self, ports: PortRange) -> Self {
        self.ports.push(ports);
        self
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with_attribute(
        mut self,
        name: impl Into<String>,
        value: impl Into<AttributeValue>,
    ) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The same, offered at another moment.
    #[must_use]
    pub fn with_offered_at(mut self, offered_at: Time) -> Self {
        self.offered_at = offered_at;
        self
    }
}
