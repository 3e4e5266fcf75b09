//! What the scheduler knows of a host, for the caller to look at: a picture, not a handle.

use std::collections::BTreeMap;

use crate::attribute::Attributes;
use crate::cluster::Cluster;
use crate::device::Device;
use crate::id::{HostId, LeaseId, TaskId};
use crate::lease::{Lease, SetOffer};
use crate::quantity::Time;
use crate::resources::Resources;

/// One host, as it stands between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// The host.
    pub host: HostId,
    /// Its attributes, from its latest lease.
    pub attributes: Attributes,
    /// The leases that are held.
    pub leases: Vec<LeaseId>,
    /// What the leases offer together.
    pub offered: Resources,
    /// The tasks that run on it.
    pub tasks: Vec<TaskId>,
    /// What the tasks take together.
    pub used: Resources,
    /// The named sets of its latest lease.
    pub sets: Vec<SetOffer>,
    /// How many members of each set are bound to users that run, and how many are free.
    pub set_members: BTreeMap<String, (u32, u32)>,
    /// The devices on offer, with what is free of each.
    pub devices: Vec<Device>,
    /// Until when it is disabled, if it is.
    pub disabled_until: Option<Time>,
}

impl HostStatus {
    pub(crate) fn new(cluster: &Cluster, host: usize, disabled_until: Option<Time>) -> Self {
        let record = cluster.host(host);
        let (mut offered, mut used) = (Resources::default(), Resources::default());
        for lease in cluster.leases_of(host) {
            offered.add(&lease.offered);
        }
        let mut tasks = Vec::with_capacity(record.running.len());
        for (task, running) in cluster.running_of(host) {
            used.add(&running.class.demand);
            tasks.push(task.clone());
        }
        tasks.sort_unstable();
        Self {
            host: cluster.names().id(host).clone(),
            attributes: record.attributes.clone(),
            leases: cluster.leases_of(host).map(|lease| lease.id.clone()).collect(),
            offered,
            tasks,
            used,
            sets: record.offered_sets.clone(),
            set_members: cluster.set_members(host),
            devices: cluster.devices_on_offer(host).devices().collect(),
            disabled_until,
        }
    }

    /// A host on which nothing runs, as a lease tells of it.
    pub(crate) fn of_lease(lease: &Lease) -> Self {
        Self {
            host: lease.host.clone(),
            attributes: lease.attributes.clone(),
            leases: vec![lease.id.clone()],
            offered: lease.offered.clone(),
            tasks: Vec::new(),
            used: Resources::default(),
            sets: lease.sets.clone(),
            set_members: BTreeMap::new(),
            devices: lease.devices.clone(),
            disabled_until: None,
        }
    }

    /// What runs and what is offered, together: all that is known to be there.
    #[must_use]
    pub fn known(&self) -> Resources {
        let mut known = self.used.clone();
        known.add(&self.offered);
        known
    }

    /// Whether it offers something and nothing runs on it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.leases.is_empty() && self.tasks.is_empty()
    }
}
