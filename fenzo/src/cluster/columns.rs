//! What is free, used and there on every host, as columns by host ordinal: the hot state of placing.
//!
//! A dimension is a measure, ports, or a named scalar. The free amounts of one host lie side by side, so that
//! "has it room?" reads one cache line. Which names are dimensions is learnt from leases and running tasks that have
//! some of them: a name that a task invents is nowhere on offer, or the task wants none of it, and costs no column.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::device::DeviceRequest;
use crate::id::DeviceKind;
use crate::quantity::Milli;
use crate::request::{SetRequest, TaskClass};
use crate::resources::{Measure, Resource, Resources};

/// The dimension of ports; the measures come before it, named scalars after it.
pub(crate) const PORTS: usize = Measure::ALL.len();

/// Where what is free begins in a row.
const FREE: usize = 2 * Measure::ALL.len();

/// Measures and ports.
pub(crate) const FIXED: usize = PORTS + 1;

/// What a task takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// By dimension.
    pub(crate) amounts: Box<[u64]>,
    /// Scalars that no lease has ever offered, and no running task has.
    pub(crate) unknown: Vec<(String, u64)>,
    /// Of named sets.
    pub(crate) sets: BTreeMap<String, SetRequest>,
    /// The groups, beside its own, that count it.
    pub(crate) keys: Vec<usize>,
    /// Of devices.
    pub(crate) devices: BTreeMap<DeviceKind, DeviceRequest>,
}

#[derive(Clone, Debug)]
pub(crate) struct Columns {
    scalars: BTreeMap<String, usize>,
    dimensions: usize,
    /// The length of a row.
    stride: usize,
    /// For each host: used and total by measure, then free by dimension, then total by scalar.
    rows: Vec<u64>,
    states: Vec<State>,
    /// What hosts have in common beside amounts, as a number; 0 for those that it does not reach.
    likeness: Vec<u64>,
    offering: u32,
    /// What is kept from the rest of the pass, by host and dimension; `free` is less by it.
    withheld: BTreeMap<usize, Box<[u64]>>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            scalars: BTreeMap::new(),
            dimensions: FIXED,
            stride: FREE + FIXED,
            rows: Vec::new(),
            states: Vec::new(),
            likeness: Vec::new(),
            offering: 0,
            withheld: BTreeMap::new(),
        }
    }
}

/// What is no amount.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    tasks_on: u32,
    offered: bool,
    held: bool,
}

/// The state of one host, to be written into its row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// By dimension.
    pub(crate) free: Vec<u64>,
    pub(crate) used: [u64; 4],
    pub(crate) total: [u64; 4],
    /// Total by scalar, as dimensions after the fixed ones.
    pub(crate) scalars: Vec<u64>,
    pub(crate) tasks_on: u32,
    pub(crate) offered: bool,
    pub(crate) held: bool,
}

impl Columns {
    /// How many dimensions there are.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Makes room for `slots` hosts.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.rows.resize(slots * self.stride, 0);
        self.states.resize(slots, State::default());
    }

    /// Used, total and free of a host.
    fn row_mut(&mut self, host: usize) -> (&mut [u64], &mut [u64], &mut [u64]) {
        let row = &mut self.rows[host * self.stride..][..FREE + self.dimensions];
        let (used, rest) = row.split_at_mut(FREE / 2);
        let (total, free) = rest.split_at_mut(FREE / 2);
        (used, total, free)
    }

    /// The dimension of a scalar that some lease offers or some running task has, if it is known.
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

    /// Makes the scalars of which there is some dimensions. They are that for good, and cost each host a place in its
    /// row: a name without an amount, which a task may carry to any host, must not be one.
    pub(crate) fn learn_scalars(&mut self, amounts: &Resources) {
        for (name, amount) in &amounts.scalars {
            if *amount > Milli::ZERO && !self.scalars.contains_key(name) {
                self.learn_scalar(name);
            }
        }
    }

    fn learn_scalar(&mut self, name: &str) {
        let (old, totals) = (self.stride, FREE + self.dimensions);
        self.scalars.insert(name.to_owned(), self.dimensions);
        self.dimensions += 1;
        self.stride += 2;
        let mut rows = Vec::with_capacity(self.states.len() * self.stride);
        for row in self.rows.chunks_exact(old) {
            rows.extend_from_slice(&row[..totals]);
            rows.push(0);
            rows.extend_from_slice(&row[totals..]);
            rows.push(0);
        }
        self.rows = rows;
    }

    /// How much of a scalar a host has, by its dimension: what is offered, and what running tasks take.
    pub(crate) fn scalar_total(&self, host: usize, dimension: usize) -> u64 {
        self.rows[host * self.stride + FREE + self.dimensions + dimension - FIXED]
    }

    /// Replaces a host's row, which has all dimensions; true if it tells the ranking anything new.
    pub(crate) fn set(&mut self, host: usize, row: &Row) -> bool {
        if !self.withheld.is_empty() {
            self.withheld.remove(&host);
        }
        let (used, total, free) = self.row_mut(host);
        let same = free == row.free && *used == row.used && *total == row.total;
        used.copy_from_slice(&row.used);
        total.copy_from_slice(&row.total);
        free.copy_from_slice(&row.free);
        let totals = host * self.stride + FREE + self.dimensions;
        self.rows[totals..][..row.scalars.len()].copy_from_slice(&row.scalars);
        let state = &mut self.states[host];
        let was_offered = state.offered;
        *state = State { tasks_on: row.tasks_on, offered: row.offered, held: row.held };
        self.offering -= u32::from(was_offered);
        self.offering += u32::from(row.offered);
        !same || was_offered != row.offered
    }

    /// A number that hosts have in common if no task finds a difference between them but in amounts.
    pub(crate) fn likeness(&self, host: usize) -> u64 {
        self.likeness.get(host).copied().unwrap_or(0)
    }

    /// Replaces that number; true if it is another.
    pub(crate) fn set_likeness(&mut self, host: usize, likeness: u64) -> bool {
        if self.likeness(host) == likeness {
            return false;
        }
        if self.likeness.len() <= host {
            self.likeness.resize(host + 1, 0);
        }
        self.likeness[host] = likeness;
        true
    }

    /// Puts a task on a host; gives whether the host was held exclusively before, for [`Columns::give_back`].
    pub(crate) fn take(&mut self, host: usize, demand: &Demand, alone: bool) -> bool {
        let (used, _, free) = self.row_mut(host);
        for (free, amount) in free.iter_mut().zip(&demand.amounts) {
            *free = free.checked_sub(*amount).expect("a task is placed only where it fits");
        }
        for (used, amount) in used.iter_mut().zip(&demand.amounts) {
            *used = used.saturating_add(*amount);
        }
        let state = &mut self.states[host];
        state.tasks_on = state.tasks_on.saturating_add(1);
        let held_before = state.held;
        state.held |= alone;
        held_before
    }

    /// Undoes the latest [`Columns::take`] on a host that is not yet undone.
    pub(crate) fn give_back(&mut self, host: usize, demand: &Demand, held_before: bool) {
        let (used, _, free) = self.row_mut(host);
        for (free, amount) in free.iter_mut().zip(&demand.amounts) {
            *free += amount;
        }
        for (used, amount) in used.iter_mut().zip(&demand.amounts) {
            *used -= amount;
        }
        let state = &mut self.states[host];
        state.tasks_on -= 1;
        state.held = held_before;
    }

    /// Keeps some of what is free on a host from the rest of the pass, in place of what was kept before; `alone`
    /// keeps everybody off.
    pub(crate) fn withhold(&mut self, host: usize, amounts: Box<[u64]>, alone: bool) {
        let before = self.withheld.remove(&host).unwrap_or_default();
        let (.., row) = self.row_mut(host);
        for (free, amount) in row.iter_mut().zip(&before) {
            *free += amount;
        }
        for (free, amount) in row.iter_mut().zip(&amounts) {
            *free = free.checked_sub(*amount).expect("no more is kept than is free");
        }
        self.withheld.insert(host, amounts);
        self.states[host].held |= alone;
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
        let mut amounts = vec![0; self.dimensions()];
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
        Demand {
            amounts: amounts.into(),
            unknown,
            keys: Vec::new(),
            sets: class.sets.clone(),
            devices: class.devices.clone(),
        }
    }

    /// What a host has left, by dimension.
    pub(crate) fn free(&self, host: usize) -> &[u64] {
        &self.rows[host * self.stride + FREE..][..self.dimensions]
    }

    /// What running and placed tasks take of the measures.
    pub(crate) fn used(&self, host: usize) -> &[u64; 4] {
        let used = self.rows[host * self.stride..].first_chunk();
        used.expect("a row begins with what is used")
    }

    /// What the host has of the measures: what is offered, and what running tasks take.
    pub(crate) fn total(&self, host: usize) -> &[u64; 4] {
        let total = self.rows[host * self.stride + FREE / 2..].first_chunk();
        total.expect("in a row, what is there follows what is used")
    }

    /// Running tasks and those placed in this pass.
    pub(crate) fn tasks_on(&self, host: usize) -> u32 {
        self.states[host].tasks_on
    }

    /// Whether there is a lease to place on.
    pub(crate) fn is_offered(&self, host: usize) -> bool {
        self.states[host].offered
    }

    /// How many hosts have a lease to place on.
    pub(crate) fn offering(&self) -> u32 {
        self.offering
    }

    /// Whether a task has the host for itself.
    pub(crate) fn is_held(&self, host: usize) -> bool {
        self.states[host].held
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

/// How many dimensions of a demand are lacking, and the sum of the lacking shares of each.
pub(crate) fn lacking<F: Borrow<u64>>(
    free: impl IntoIterator<Item = F>,
    demand: &[u64],
) -> (usize, f64) {
    let float = crate::fitness::float;
    let (mut dimensions, mut shares) = (0, 0.0);
    for (wanted, free) in demand.iter().zip(free) {
        let free = *free.borrow();
        if *wanted > free {
            dimensions += 1;
            shares += float(wanted - free) / float(*wanted);
        }
    }
    (dimensions, shares)
}
