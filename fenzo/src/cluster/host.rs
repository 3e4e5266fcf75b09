//! What is remembered of one host: its leases, its running tasks, its attributes.
//!
//! This is the cold record; what placing reads is the row of columns that [`Host::row`] makes of it. Sums are
//! kept as leases and tasks come and go, so that a row costs what it holds and not what is on the host.

use std::collections::BTreeMap;

use crate::attribute::Attributes;
use crate::constraint::Constraint;
use crate::id::{LeaseId, TaskId};
use crate::lease::{Lease, SetOffer};
use crate::quantity::Time;
use crate::request::TaskClass;
use crate::resources::{PortRange, union, without};

use super::Cluster;
use super::columns::{Columns, FIXED, PORTS, Row};
use super::devices::HostDevices;
use super::leases::Leases;
use super::sets::HostSets;
use super::tasks::{Noted, Running, Tasks};

/// No sum in a row is greater, so that two of them can be added.
const MOST: u64 = u64::MAX / 2;

/// Of fewer leases than this one is found by looking at each.
const FEW: usize = 16;

/// A host with its leases and running tasks, which are named by ordinals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// In order of their ids.
    pub(crate) leases: Vec<usize>,
    /// In no particular order.
    pub(crate) running: Vec<usize>,
    pub(crate) attributes: Attributes,
    /// The named sets of the latest lease.
    pub(crate) offered_sets: Vec<SetOffer>,
    /// The same with their users.
    pub(crate) sets: HostSets,
    /// The devices on offer with what is left of each; made anew with the row.
    pub(crate) devices: HostDevices,
    /// The ports of its leases, disjoint and ascending: a port that two leases name is one port all the same. Made
    /// anew with the row, if need be.
    offered_ports: Vec<PortRange>,
    /// They are no longer that: leases have come or gone.
    ports_changed: bool,
    /// What is left of them, where running tasks are kept account of.
    left_ports: Option<Vec<PortRange>>,
    /// What its leases offer, by measure.
    offered: [u128; 4],
    /// How many leases offer named scalars.
    with_scalars: u32,
    /// How many leases offer devices.
    with_devices: u32,
    /// Demand of the running tasks, by measure.
    running_demand: [u128; 4],
    /// How many running tasks take named scalars.
    running_scalars: u32,
    /// How many running tasks want the host for themselves.
    exclusive: u32,
    /// The latest lease whose attributes were taken.
    pub(super) latest: Option<Latest>,
}

/// A lease, whether it is still held or not.
#[derive(Clone, Debug)]
pub(super) enum Latest {
    Held(usize),
    Gone(Box<(Time, LeaseId)>),
}

impl Latest {
    /// When it was offered, and its id.
    pub(super) fn said<'l>(&'l self, leases: &'l Leases) -> (Time, &'l LeaseId) {
        match self {
            Self::Held(lease) => {
                let lease = leases.get(*lease);
                (lease.offered_at, &lease.id)
            }
            Self::Gone(gone) => (gone.0, &gone.1),
        }
    }
}

/// What a lease tells of its host.
pub(super) struct Learnt {
    /// It is the latest.
    pub(super) latest: bool,
    /// The host's attributes are new.
    pub(super) changes: bool,
}

impl Host {
    pub(crate) fn is_idle(&self) -> bool {
        self.leases.is_empty() && self.running.is_empty()
    }

    /// Takes over what a lease that is about to be held says.
    pub(super) fn learn(&mut self, lease: &Lease, leases: &Leases) -> Learnt {
        let newer = |latest: &Latest| latest.said(leases) <= (lease.offered_at, &lease.id);
        let latest = self.leases.is_empty() || self.latest.as_ref().is_none_or(newer);
        let changes = latest && self.attributes != lease.attributes;
        if latest {
            if changes {
                self.attributes.clone_from(&lease.attributes);
            }
            self.offered_sets.clone_from(&lease.sets);
        }
        for (sum, amount) in self.offered.iter_mut().zip(lease.offered.measures()) {
            *sum += u128::from(amount);
        }
        self.with_scalars += u32::from(!lease.offered.scalars.is_empty());
        self.with_devices += u32::from(!lease.devices.is_empty());
        if self.leases.is_empty() && lease.ports.len() == 1 {
            self.offered_ports.extend_from_slice(&lease.ports);
        } else {
            self.ports_changed |= !lease.ports.is_empty();
        }
        Learnt { latest, changes }
    }

    /// Adds a lease that is held; [`Host::learn`] has been told what it says, and whether it is the latest.
    pub(super) fn add_lease(&mut self, lease: usize, latest: bool, leases: &Leases) {
        if latest {
            self.latest = Some(Latest::Held(lease));
        }
        let id = &leases.get(lease).id;
        let before = |other: &usize| leases.get(*other).id < *id;
        let position = match self.leases.last() {
            None => 0,
            Some(_) => self.leases.partition_point(before),
        };
        self.leases.insert(position, lease);
    }

    /// Forgets a lease that is about to be dropped.
    pub(crate) fn remove_lease(&mut self, lease: usize, leases: &Leases) {
        let said = leases.get(lease);
        let at = match self.leases.len() {
            0..FEW => self.leases.iter().rposition(|other| *other == lease),
            _ => self.leases.binary_search_by(|other| leases.get(*other).id.cmp(&said.id)).ok(),
        };
        self.leases.remove(at.expect("a host knows its leases"));
        if matches!(self.latest, Some(Latest::Held(latest)) if latest == lease) {
            // Without leases, whatever comes next is the latest.
            let gone = || Latest::Gone(Box::new((said.offered_at, said.id.clone())));
            self.latest = (!self.leases.is_empty()).then(gone);
        }
        for (sum, amount) in self.offered.iter_mut().zip(said.offered.measures()) {
            *sum -= u128::from(amount);
        }
        self.with_scalars -= u32::from(!said.offered.scalars.is_empty());
        self.with_devices -= u32::from(!said.devices.is_empty());
        self.ports_changed |= !said.ports.is_empty();
        if self.leases.is_empty() {
            self.offered_ports.clear();
            self.ports_changed = false;
        }
    }

    /// Notes a task that is about to run; gives where it stands among those of the host.
    pub(crate) fn add_task(&mut self, task: usize, class: &TaskClass) {
        for (sum, demand) in self.running_demand.iter_mut().zip(class.demand.measures()) {
            *sum += u128::from(demand);
        }
        self.running_scalars += u32::from(!class.demand.scalars.is_empty());
        self.exclusive += u32::from(wants_host_alone(class));
        self.running.push(task);
    }

    /// Takes a task off; gives the one that stands in its place now, if any.
    pub(crate) fn remove_task(&mut self, noted: &Noted) -> Option<usize> {
        let class = &*noted.running.class;
        for (sum, demand) in self.running_demand.iter_mut().zip(class.demand.measures()) {
            *sum -= u128::from(demand);
        }
        self.running_scalars -= u32::from(!class.demand.scalars.is_empty());
        self.exclusive -= u32::from(wants_host_alone(class));
        self.running.swap_remove(noted.position);
        self.running.get(noted.position).copied()
    }

    /// The ports on offer that no running task is known to have.
    fn ports(&self) -> &[PortRange] {
        self.left_ports.as_ref().unwrap_or(&self.offered_ports)
    }

    /// Makes the host's row, its ports and its sets anew. `whole`: its lease is all that it has, running tasks
    /// included.
    pub(crate) fn row(
        &mut self,
        leases: &Leases,
        tasks: &Tasks,
        columns: &Columns,
        whole: bool,
        row: &mut Row,
    ) {
        row.free.clear();
        row.free.resize(columns.dimensions(), 0);
        for (free, sum) in row.free.iter_mut().zip(self.offered) {
            *free = u64::try_from(sum).unwrap_or(MOST).min(MOST);
        }
        if self.with_scalars > 0 {
            for lease in &self.leases {
                for (name, amount) in &leases.get(*lease).offered.scalars {
                    // What nobody ever had any of is no dimension.
                    let Some(dimension) = columns.scalar(name) else { continue };
                    let free = &mut row.free[dimension];
                    *free = u64::saturating_add(*free, amount.thousandths()).min(MOST);
                }
            }
        }
        if !(self.offered_sets.is_empty() && self.sets.is_empty()) {
            self.sets = self.sets_in_use(tasks);
        }
        self.devices = self.devices_on_offer(leases);
        if std::mem::take(&mut self.ports_changed) {
            let ranges = self.leases.iter().flat_map(|lease| &leases.get(*lease).ports);
            self.offered_ports = union(ranges.copied().collect());
        }
        if whole {
            self.take_running(tasks, columns, &mut row.free);
        }
        row.free[PORTS] = self.ports().iter().map(|range| u64::from(range.count())).sum();
        row.used = self.running_demand.map(|sum| u64::try_from(sum).unwrap_or(MOST).min(MOST));
        row.total = row.used;
        for (total, free) in row.total.iter_mut().zip(&row.free) {
            *total += free;
        }
        self.total_scalars(tasks, columns, row);
        row.tasks_on = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        row.offered = !self.leases.is_empty();
        row.held = self.exclusive > 0;
    }

    /// Sums up what the host has of named scalars, once the row has what is free.
    fn total_scalars(&self, tasks: &Tasks, columns: &Columns, row: &mut Row) {
        row.scalars.clear();
        row.scalars.extend_from_slice(&row.free[FIXED..]);
        if self.running_scalars == 0 {
            return;
        }
        for noted in self.running.iter().map(|task| tasks.get(*task)) {
            for (name, amount) in &noted.running.class.demand.scalars {
                if let Some(dimension) = columns.scalar(name) {
                    let total = &mut row.scalars[dimension - FIXED];
                    *total = total.saturating_add(amount.thousandths());
                }
            }
        }
    }

    /// Takes what running tasks have from what is offered; nothing goes below zero.
    fn take_running(&mut self, tasks: &Tasks, columns: &Columns, free: &mut [u64]) {
        for (free, sum) in free.iter_mut().zip(self.running_demand) {
            *free = free.saturating_sub(u64::try_from(sum).unwrap_or(u64::MAX));
        }
        let mut taken: Vec<u16> = Vec::new();
        for running in self.running.iter().map(|task| &tasks.get(*task).running) {
            for (name, amount) in &running.class.demand.scalars {
                if let Some(dimension) = columns.scalar(name) {
                    free[dimension] = free[dimension].saturating_sub(amount.thousandths());
                }
            }
            self.devices.note(&running.devices);
            taken.extend_from_slice(&running.ports);
        }
        taken.sort_unstable();
        self.left_ports = Some(without(&self.offered_ports, &taken));
    }

    /// The running tasks, in order of their ids.
    pub(crate) fn running_in_order<'t>(&self, tasks: &'t Tasks) -> Vec<&'t Noted> {
        let mut running: Vec<&Noted> = self.running.iter().map(|task| tasks.get(*task)).collect();
        running.sort_unstable_by_key(|noted| &noted.id);
        running
    }

    /// The devices that the leases offer.
    pub(crate) fn devices_on_offer(&self, leases: &Leases) -> HostDevices {
        let mut devices = HostDevices::default();
        if self.with_devices > 0 {
            for lease in &self.leases {
                devices.add(&leases.get(*lease).devices);
            }
        }
        devices
    }

    fn sets_in_use(&self, tasks: &Tasks) -> HostSets {
        let mut sets = HostSets::default();
        for set in &self.offered_sets {
            sets.add(&set.name, set.members, set.each);
        }
        for noted in self.running_in_order(tasks) {
            sets.note(&noted.running.sets);
        }
        sets
    }

    /// How many members of each named set running tasks have bound, and how many are free.
    pub(crate) fn set_members(&self, tasks: &Tasks) -> BTreeMap<String, (u32, u32)> {
        self.sets_in_use(tasks)
            .counts()
            .map(|(name, bound, free)| (name.to_owned(), (bound, free)))
            .collect()
    }

    /// `count` ports, when `left` of those on offer are not taken yet.
    pub(crate) fn take_ports(&self, left: u64, count: u32) -> Vec<u16> {
        if count == 0 {
            return Vec::new();
        }
        let offered: u64 = self.ports().iter().map(|range| u64::from(range.count())).sum();
        let ports = self.ports().iter().flat_map(|range| range.begin()..=range.end());
        let taken = usize::try_from(offered - left).expect("a host has at most 65,536 ports");
        ports.skip(taken).take(count as usize).collect()
    }
}

impl Cluster {
    /// The tasks that run on a host.
    pub(crate) fn running_of(&self, host: usize) -> impl Iterator<Item = (&TaskId, &Running)> {
        let running = self.hosts[host].running.iter().map(|task| self.tasks.get(*task));
        running.map(|noted| (&noted.id, &noted.running))
    }

    /// The leases of a host, in order of id.
    pub(crate) fn leases_of(&self, host: usize) -> impl Iterator<Item = &Lease> {
        self.hosts[host].leases.iter().map(|lease| self.leases.get(*lease))
    }

    /// The devices that the leases of a host offer.
    pub(crate) fn devices_on_offer(&self, host: usize) -> HostDevices {
        self.hosts[host].devices_on_offer(&self.leases)
    }

    /// How many members of each named set of a host its running tasks have bound, and how many are free.
    pub(crate) fn set_members(&self, host: usize) -> BTreeMap<String, (u32, u32)> {
        self.hosts[host].set_members(&self.tasks)
    }
}

/// Whether tasks of the class admit no other task on their host.
pub(crate) fn wants_host_alone(class: &TaskClass) -> bool {
    class.hard.contains(&Constraint::ExclusiveHost)
}
