//! Leases: offers of a host's resources, which the scheduler may use until they expire.

use crate::attribute::{AttributeValue, Attributes};
use crate::device::Device;
use crate::id::{HostId, LeaseId};
use crate::quantity::Time;
use crate::resources::{PortRange, Resources};

/// A named set of a host: network interfaces with addresses, say.
///
/// A member serves one value at a time: it is free, or bound to the value of the tasks that use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOffer {
    /// Its name.
    pub name: String,
    /// How many members.
    pub members: u32,
    /// How much each of them has.
    pub each: u32,
}

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
    /// Named sets of equal members; with several leases of a host, those of the latest count.
    pub sets: Vec<SetOffer>,
    /// The devices on offer, one by one.
    pub devices: Vec<Device>,
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
            sets: Vec::new(),
            devices: Vec::new(),
            offered_at: Time::ZERO,
        }
    }

    /// The same with these quantities as well: of one name they add up, as where an offer has some that are
    /// reserved and some that are not.
    #[must_use]
    pub fn with_more(mut self, offered: &Resources) -> Self {
        self.offered.add(offered);
        self
    }

    /// The same with these ports as well.
    #[must_use]
    pub fn with_ports(mut self, ports: PortRange) -> Self {
        self.ports.push(ports);
        self
    }

    /// The same with a named set of `members` that have so much `each`.
    #[must_use]
    pub fn with_set(mut self, name: impl Into<String>, members: u32, each: u32) -> Self {
        self.sets.push(SetOffer { name: name.into(), members, each });
        self
    }

    /// The same with a device.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.devices.push(device);
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
