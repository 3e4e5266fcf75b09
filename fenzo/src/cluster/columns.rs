//! What is free, used and there on every host, as columns by host ordinal: the hot state of placing.
//!
//! A dimension is a measure, ports, or a named scalar. The free amounts of one host lie side by side, so that
//! "has it room?" reads one cache line. Which names are dimensions is learnt from leases alone: a name that a
//! task invents is nowhere on offer, and costs no column.

use std::collections::BTreeMap;

use crate::device::DeviceRequest;
use crate::id::DeviceKind;
use crate::quantity::Milli;
use crate::request::{SetRequest, TaskClass};
use crate::resources::{Measure, Resource};

/// The dimension of ports; the measures come before it, named scalars after it.
pub(crate) const PORTS: usize = Measure::ALL.len();

/// Measures and ports.
const FIXED: usize = PORTS + 1;

/// What a task takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// By dimension.
    pub(crate) amounts: Box<[u64]>,
    /// Scalars that no lease has ever offered.
    pub(crate) unknown: Vec<(String, u64)>,
    /// Of named sets.
    pub(crate) sets: BTreeMap<String, SetRequest>,
    /// Of devices.
    pub(crate) devices: BTreeMap<DeviceKind, DeviceRequest>,
}

#[derive(Clone, Debug)]
pub(crate) struct Columns {
    scalars: BTreeMap<String, usize>,
    stride: usize,
    free: Vec<u64>,
    used: Vec<[u64; 4]>,
    total: Vec<[u64; 4]>,
    tasks_on: Vec<u32>,
    offered: Vec<bool>,
    offering: u32,
    held: Vec<bool>,
    /// What is kept from the rest of the pass, by host and dimension; `free` is less by it.
    withheld: BTreeMap<usize, Box<[u64]>>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            scalars: BTreeMap::new(),
            stride: FIXED,
            free: Vec::new(),
            used: Vec::new(),
            total: Vec::new(),
            tasks_on: Vec::new(),
            offered: Vec::new(),
            offering: 0,
            held: Vec::new(),
            withheld: BTreeMap::new(),
        }
    }
}

/// The state of one host, to be written into its row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// By dimension.
    pub(crate) free: Vec<u64>,
    pub(crate) used: [u64; 4],
    pub(crate) total: [u64; 4],
    pub(crate) tasks_on: u32,
    pub(crate) offered: bool,
    pub(crate) held: bool,
}

impl Columns {
    /// How many dimensions there are.
    pub(crate) fn dimensions(&self) -> usize {
        self.stride
    }

    /// Makes room for `slots` hosts.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.free.resize(slots * self.stride, 0);
        self.used.resize(slots, [0; 4]);
        self.total.resize(slots, [0; 4]);
        self.tasks_on.resize(slots, 0);
        self.offered.resize(slots, false);
        self.held.resize(slots, false);
    }

    /// The dimension of a scalar that some lease offers, if it is known.
    pub(crate) fn scalar(&self, name: &str) -> Option<usize> {
        self.scalars.get(name).copied()
    }

    /// The dimension of a resource that can be had in any amount; none for ports, and for scalars that no lease
    /// offers.
    pub(crate) fn dimension(&self, resource: &Resource) -> Option<usize> {
        match resource {
            Resource::Cpus => Some(0),
            Resource::Memory => Some(1),
            Resource::Disk => Some(2),
            Resource::Network => Some(3),
            Resource::Ports => None,
            Resource::Scalar(name) => self.scalar(name),
        }
    }

    /// Makes a scalar a dimension; true if it was none before, so that rows have grown.
    pub(crate) fn learn_scalar(&mut self, name: &str) -> bool {
        if self.scalars.contains_key(name) {
            return false;
        }
        self.scalars.insert(name.to_owned(), self.stride);
        let old = self.stride;
        self.stride += 1;
        let mut free = Vec::with_capacity(self.used.len() * self.stride);
        for row in self.free.chunks_exact(old) {
            free.extend_from_slice(row);
            free.push(0);
        }
        self.free = free;
        true
    }

    /// Replaces a host's row, which has all dimensions; true if it tells the ranking anything new.
    pub(crate) fn set(&mut self, host: usize, row: &Row) -> bool {
        let free = &mut self.free[host * self.stride..][..self.stride];
        let same = free == row.free
            && self.offered[host] == row.offered
            && self.used[host] == row.used
            && self.total[host] == row.total;
        free.copy_from_slice(&row.free);
        if !self.withheld.is_empty() {
            self.withheld.remove(&host);
        }
        self.used[host] = row.used;
        self.total[host] = row.total;
        self.tasks_on[host] = row.tasks_on;
        self.offering -= u32::from(self.offered[host]);
        self.offering += u32::from(row.offered);
        self.offered[host] = row.offered;
        self.held[host] = row.held;
        !same
    }

    /// Puts a task on a host; gives whether the host was held exclusively before, for [`Columns::give_back`].
    pub(crate) fn take(&mut self, host: usize, demand: &Demand, alone: bool) -> bool {
        let row = &mut self.free[host * self.stride..][..self.stride];
        for (free, amount) in row.iter_mut().zip(&demand.amounts) {
            *free = free.checked_sub(*amount).expect("a task is placed only where it fits");
        }
        for (used, amount) in self.used[host].iter_mut().zip(&demand.amounts) {
            *used = used.saturating_add(*amount);
        }
        self.tasks_on[host] = self.tasks_on[host].saturating_add(1);
        let held_before = self.held[host];
        self.held[host] |= alone;
        held_before
    }

    /// Undoes the latest [`Columns::take`] on a host that is not yet undone.
    pub(crate) fn give_back(&mut self, host: usize, demand: &Demand, held_before: bool) {
        let row = &mut self.free[host * self.stride..][..self.stride];
        for (free, amount) in row.iter_mut().zip(&demand.amounts) {
            *free += amount;
        }
        for (used, amount) in self.used[host].iter_mut().zip(&demand.amounts) {
            *used -= amount;
        }
        self.tasks_on[host] -= 1;
        self.held[host] = held_before;
    }

    /// Keeps some of what is free on a host from the rest of the pass, in place of what was kept before; `alone`
    /// keeps everybody off.
    pub(crate) fn withhold(&mut self, host: usize, amounts: Box<[u64]>, alone: bool) {
        let row = &mut self.free[host * self.stride..][..self.stride];
        let before = self.withheld.remove(&host).unwrap_or_default();
        for (free, amount) in row.iter_mut().zip(&before) {
            *free += amount;
        }
        for (free, amount) in row.iter_mut().zip(&amounts) {
            *free = free.checked_sub(*amount).expect("no more is kept than is free");
        }
        self.withheld.insert(host, amounts);
        self.held[host] |= alone;
    }

    /// What is kept from the rest of the pass, by dimension; nothing on most hosts.
    pub(crate) fn withheld(&self, host: usize) -> Option<&[u64]> {
        if self.withheld.is_empty() {
            return None;
        }
        self.withheld.get(&host).map(|amounts| &**amounts)
    }

    /// What a class demands.
    pub(crate) fn demand_of(&self, class: &TaskClass) -> Demand {
        let mut amounts = vec![0; self.stride];
        amounts[..PORTS].copy_from_slice(&class.demand.measures());
        amounts[PORTS] = u64::from(class.ports);
        let mut unknown = Vec::new();
        for (name, amount) in &class.demand.scalars {
            match self.scalars.get(name) {
                Some(dimension) => amounts[*dimension] = amount.thousandths(),
                None if *amount > Milli::ZERO => unknown.push((name.clone(), amount.thousandths())),
                None => {}
            }
        }
        Demand { amounts: amounts.into(), unknown, sets: class.sets.clone(), devices: class.devices.clone() }
    }

    /// What a host has left, by dimension.
    pub(crate) fn free(&self, host: usize) -> &[u64] {
        &self.free[host * self.stride..][..self.stride]
    }

    /// What running and placed tasks take of the measures.
    pub(crate) fn used(&self, host: usize) -> &[u64; 4] {
        &self.used[host]
    }

    /// What the host has of the measures: what is offered, and what running tasks take.
    pub(crate) fn total(&self, host: usize) -> &[u64; 4] {
        &self.total[host]
    }

    /// Running tasks and those placed in this pass.
    pub(crate) fn tasks_on(&self, host: usize) -> u32 {
        self.tasks_on[host]
    }

    /// Whether there is a lease to place on.
    pub(crate) fn is_offered(&self, host: usize) -> bool {
        self.offered[host]
    }

    /// How many hosts have a lease to place on.
    pub(crate) fn offering(&self) -> u32 {
        self.offering
    }

    /// Whether a task has the host for itself.
    pub(crate) fn is_held(&self, host: usize) -> bool {
        self.held[host]
    }

    /// The name of a dimension.
    pub(crate) fn resource(&self, dimension: usize) -> Resource {
        match dimension {
            0 => Resource::Cpus,
            1 => Resource::Memory,
            2 => Resource::Disk,
            3 => Resource::Network,
            PORTS => Resource::Ports,
            scalar => {
                let name = self.scalars.iter().find(|(_, dimension)| **dimension == scalar);
                Resource::Scalar(name.map_or(String::new(), |(name, _)| name.clone()))
            }
        }
    }
}

/// Whether what is free covers a demand, dimension by dimension.
pub(crate) fn covers(free: &[u64], demand: &[u64]) -> bool {
    free.iter().zip(demand).all(|(free, amount)| amount <= free)
}
