//! Looking ahead: what a host could do if some of its tasks were gone.
//!
//! Questions about the live state; nothing is changed by asking.

use std::collections::BTreeMap;

use crate::device::{Amount, Device, DeviceRequest, DeviceUse};
use crate::id::DeviceKind;
use crate::quantity::Milli;
use crate::request::{SetRequest, TaskClass};
use crate::result::SetUse;

use super::Cluster;
use super::columns::PORTS;
use super::devices::HostDevices;
use super::sets::HostSets;

impl Cluster {
    /// Adds to `amounts` what a task of a class takes, by dimension.
    pub(crate) fn add_demand(&self, class: &TaskClass, amounts: &mut [u64]) {
        for (amount, more) in amounts.iter_mut().zip(class.demand.measures()) {
            *amount = amount.saturating_add(more);
        }
        amounts[PORTS] = amounts[PORTS].saturating_add(u64::from(class.ports));
        for (name, more) in &class.demand.scalars {
            if let Some(dimension) = self.columns.scalar(name) {
                amounts[dimension] = amounts[dimension].saturating_add(more.thousandths());
            }
        }
    }

    /// The devices of a host as they are in this pass, with what these users give back.
    pub(crate) fn devices_with<'a>(
        &self,
        host: usize,
        given_back: impl Iterator<Item = &'a DeviceUse>,
    ) -> HostDevices {
        let mut devices = self.hosts[host].devices.clone();
        let freed: Vec<Device> = given_back.map(DeviceUse::freed).collect();
        devices.add(&freed);
        devices
    }

    /// Whether the named sets of a host would serve a task if nobody but these used them.
    pub(crate) fn sets_serve<'a>(
        &self,
        host: usize,
        requests: &BTreeMap<String, SetRequest>,
        users: impl Iterator<Item = &'a [SetUse]>,
    ) -> bool {
        let mut sets = HostSets::default();
        for set in &self.hosts[host].offered_sets {
            sets.add(&set.name, set.members, set.each);
        }
        if let Some(fitness) = &self.set_fitness {
            sets.be_judged_by(fitness, self.names.id(host));
        }
        for uses in users {
            sets.note(uses);
        }
        sets.lacks(requests).is_none()
    }
}

/// The first devices that serve a task, where they do.
pub(crate) fn first_fit(
    devices: &HostDevices,
    requests: &BTreeMap<DeviceKind, DeviceRequest>,
) -> Vec<DeviceUse> {
    let mut uses = Vec::new();
    for (kind, request) in requests {
        let (count, share) = match request.amount() {
            Amount::Whole(count) => (count as usize, Milli::whole(1)),
            Amount::Part(share) => (1, Milli::from_thousandths(u64::from(share))),
        };
        let models = request.models();
        let fits = |device: &Device| {
            device.kind == *kind
                && device.free >= share
                && (models.is_empty() || models.contains(&device.model))
        };
        let chosen = devices.devices().filter(fits).take(count);
        uses.extend(chosen.map(|Device { kind, id, model, .. }| DeviceUse {
            kind,
            id,
            model,
            share,
        }));
    }
    uses
}
