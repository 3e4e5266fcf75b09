//! What is remembered of one host: its leases, its running tasks, its attributes.
//!
//! This is the cold record; what placing reads is the row of columns that [`Host::row`] makes of it. The
//! record is the truth, and a row can be made from it at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attribute::Attributes;
use crate::constraint::Constraint;
use crate::device::DeviceUse;
use crate::id::{LeaseId, TaskId};
use crate::lease::{Lease, SetOffer};
use crate::quantity::Time;
use crate::request::TaskClass;
use crate::resources::{PortRange, union, without};
use crate::result::SetUse;

use super::columns::{Columns, PORTS, Row};
use super::devices::HostDevices;
use super::sets::HostSets;

/// No sum in a row is greater, so that two of them can be added.
const MOST: u64 = u64::MAX / 2;

/// A task that runs on a host.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) class: Arc<TaskClass>,
    /// Its ports, as far as they are known.
    pub(crate) ports: Vec<u16>,
    /// What it uses of named sets, as far as it is known.
    pub(crate) sets: Vec<SetUse>,
    /// What it uses of devices, as far as it is known.
    pub(crate) devices: Vec<DeviceUse>,
}

impl Running {
    /// One of which nothing but its class is known.
    pub(crate) fn new(class: &Arc<TaskClass>) -> Self {
        let class = Arc::clone(class);
        Self { class, ports: Vec::new(), sets: Vec::new(), devices: Vec::new() }
    }
}

/// A host with its leases and running tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) attributes: Attributes,
    /// The named sets of the latest lease.
    pub(crate) offered_sets: Vec<SetOffer>,
    /// The same with their users.
    pub(crate) sets: HostSets,
    /// The devices on offer with what is left of each; made anew with the row.
    pub(crate) devices: HostDevices,
    pub(crate) running: BTreeMap<TaskId, Running>,
    /// The ports on offer, disjoint and ascending: a port that two leases name is one port all the same.
    pub(crate) ports: Vec<PortRange>,
    /// Demand of the running tasks, by measure.
    running_demand: [u128; 4],
    /// How many running tasks want the host for themselves.
    exclusive: u32,
    /// The latest lease whose attributes were taken.
    latest: Option<(Time, LeaseId)>,
}

impl Host {
    pub(crate) fn is_idle(&self) -> bool {
        self.leases.is_empty() && self.running.is_empty()
    }

    /// Holds a lease; true if the host's attributes are now those of this one.
    pub(crate) fn add_lease(&mut self, lease: Lease) -> bool {
        let age = (lease.offered_at, lease.id.clone());
        let newer = self.latest.as_ref().is_none_or(|latest| *latest <= age);
        let latest = newer || self.leases.is_empty();
        let changes = latest && self.attributes != lease.attributes;
        if latest {
            if changes {
                self.attributes.clone_from(&lease.attributes);
            }
            self.offered_sets.clone_from(&lease.sets);
            self.latest = Some(age);
        }
        self.leases.insert(lease.id.clone(), lease);
        changes
    }

    pub(crate) fn add_task(&mut self, task: TaskId, running: Running) {
        for (sum, demand) in self.running_demand.iter_mut().zip(running.class.demand.measures()) {
            *sum += u128::from(demand);
        }
        self.exclusive += u32::from(wants_host_alone(&running.class));
        self.running.insert(task, running);
    }

    /// Takes a task off; gives its class.
    pub(crate) fn remove_task(&mut self, task: &TaskId) -> Arc<TaskClass> {
        let Running { class, .. } =
            self.running.remove(task).expect("a noted task is with its host");
        for (sum, demand) in self.running_demand.iter_mut().zip(class.demand.measures()) {
            *sum -= u128::from(demand);
        }
        self.exclusive -= u32::from(wants_host_alone(&class));
        class
    }

    /// The host's row, and its ports on offer, made anew. `whole`: its lease is all that it has, running tasks
    /// included.
    pub(crate) fn row(&mut self, columns: &Columns, whole: bool) -> Row {
        let mut free = vec![0; columns.dimensions()];
        let mut ranges = Vec::new();
        for lease in self.leases.values() {
            for (free, amount) in free.iter_mut().zip(lease.offered.measures()) {
                *free = u64::saturating_add(*free, amount).min(MOST);
            }
            for (name, amount) in &lease.offered.scalars {
                let dimension = columns.scalar(name).expect("what leases offer is a dimension");
                let free = &mut free[dimension];
                *free = u64::saturating_add(*free, amount.thousandths()).min(MOST);
            }
            ranges.extend_from_slice(&lease.ports);
        }
        self.ports = union(ranges);
        self.sets = self.sets_in_use();
        self.devices = self.devices_on_offer();
        if whole {
            self.take_running(columns, &mut free);
        }
        let ports: u64 = self.ports.iter().map(|range| u64::from(range.count())).sum();
        free[PORTS] = ports;
        let used = self.running_demand.map(|sum| u64::try_from(sum).unwrap_or(MOST).min(MOST));
        let mut total = used;
        for (total, free) in total.iter_mut().zip(&free) {
            *total += free;
        }
        Row {
            free,
            used,
            total,
            tasks_on: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            offered: !self.leases.is_empty(),
            held: self.exclusive > 0,
        }
    }

    /// Takes what running tasks have from what is offered; nothing goes below zero.
    fn take_running(&mut self, columns: &Columns, free: &mut [u64]) {
        for (free, sum) in free.iter_mut().zip(self.running_demand) {
            *free = free.saturating_sub(u64::try_from(sum).unwrap_or(u64::MAX));
        }
        for running in self.running.values() {
            for (name, amount) in &running.class.demand.scalars {
                if let Some(dimension) = columns.scalar(name) {
                    free[dimension] = free[dimension].saturating_sub(amount.thousandths());
                }
            }
            self.devices.note(&running.devices);
        }
        let mut taken: Vec<u16> =
            self.running.values().flat_map(|running| running.ports.iter().copied()).collect();
        taken.sort_unstable();
        self.ports = without(&self.ports, &taken);
    }

    /// The devices that the leases offer.
    pub(crate) fn devices_on_offer(&self) -> HostDevices {
        let mut devices = HostDevices::default();
        for lease in self.leases.values() {
            devices.add(&lease.devices);
        }
        devices
    }

    fn sets_in_use(&self) -> HostSets {
        let mut sets = HostSets::default();
        for set in &self.offered_sets {
            sets.add(&set.name, set.members, set.each);
        }
        for running in self.running.values() {
            sets.note(&running.sets);
        }
        sets
    }

    /// How many members of each named set running tasks have bound, and how many are free.
    pub(crate) fn set_members(&self) -> BTreeMap<String, (u32, u32)> {
        self.sets_in_use()
            .counts()
            .map(|(name, bound, free)| (name.to_owned(), (bound, free)))
            .collect()
    }

    /// `count` ports, when `left` of those on offer are not taken yet.
    pub(crate) fn take_ports(&self, left: u64, count: u32) -> Vec<u16> {
        if count == 0 {
            return Vec::new();
        }
        let offered: u64 = self.ports.iter().map(|range| u64::from(range.count())).sum();
        let ports = self.ports.iter().flat_map(|range| range.begin()..=range.end());
        let taken = usize::try_from(offered - left).expect("a host has at most 65,536 ports");
        ports.skip(taken).take(count as usize).collect()
    }
}

/// Whether tasks of the class admit no other task on their host.
pub(crate) fn wants_host_alone(class: &TaskClass) -> bool {
    class.hard.contains(&Constraint::ExclusiveHost)
}
