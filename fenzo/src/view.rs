//! What a closure may see of a host: a read-only window on the live state.
//!
//! It shows this host and nothing of any other, so that a closure's answer can change only when the host does.

use crate::attribute::Attributes;
use crate::cluster::Cluster;
use crate::cluster::devices::Kind;
use crate::device::Device;
use crate::fitness::float;
use crate::id::{DeviceKind, GroupName, HostId};
use crate::lease::Lease;
use crate::quantity::Milli;
use crate::resources::Measure;

/// One host as it stands in the middle of a run: what was placed earlier in the run is taken off already.
#[derive(Clone, Copy)]
pub struct HostView<'a> {
    cluster: &'a Cluster,
    host: usize,
}

impl<'a> HostView<'a> {
    pub(crate) fn new(cluster: &'a Cluster, host: usize) -> Self {
        Self { cluster, host }
    }

    /// The host's name.
    #[must_use]
    pub fn id(&self) -> &'a HostId {
        self.cluster.names().id(self.host)
    }

    /// The host's attributes, from its latest lease.
    #[must_use]
    pub fn attributes(&self) -> &'a Attributes {
        &self.cluster.host(self.host).attributes
    }

    /// The host's leases that are held, in order of id.
    pub fn leases(&self) -> impl Iterator<Item = &'a Lease> + use<'a> {
        self.cluster.leases_of(self.host)
    }

    /// How much of a quantity is left to place on.
    #[must_use]
    pub fn free(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().free(self.host)[measure as usize])
    }

    /// How much of a quantity the running tasks and those placed in this run take.
    #[must_use]
    pub fn used(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().used(self.host)[measure as usize])
    }

    /// How much of a quantity the scheduler knows the host to have: what is offered, and what running tasks
    /// take.
    #[must_use]
    pub fn total(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().total(self.host)[measure as usize])
    }

    /// The devices on offer, with what is left of each.
    pub fn devices(&self) -> impl Iterator<Item = Device> + use<'a> {
        self.cluster.host(self.host).devices.devices()
    }

    pub(crate) fn devices_of(&self, kind: &DeviceKind) -> Option<&'a Kind> {
        self.cluster.host(self.host).devices.of(kind)
    }

    /// How many tasks run on the host or were placed on it in this run.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.cluster.columns().tasks_on(self.host)
    }

    /// How many of them are of `group`.
    #[must_use]
    pub fn tasks_of(&self, group: &GroupName) -> u32 {
        let groups = self.cluster.groups();
        groups.get(group).map_or(0, |group| groups.on_host(group, self.host))
    }

    /// used / total of a quantity with `more` thousandths used in addition; 0 where there is none.
    pub(crate) fn used_ratio(&self, measure: Measure, more: u64) -> f64 {
        let total = self.cluster.columns().total(self.host)[measure as usize];
        if total == 0 {
            return 0.0;
        }
        float(self.cluster.columns().used(self.host)[measure as usize].saturating_add(more))
            / float(total)
    }
}
