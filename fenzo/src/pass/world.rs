//! The hosts of one pass as columns: what is free, used and there, and where tasks of each group are.
//!
//! Columns are indexed by host ordinal. [`World::take`] is the only change after the layout, and it only ever
//! takes: nothing is given back within a pass, which is what makes failures cacheable.

use std::collections::BTreeMap;

use crate::attribute::{self, AttributeValue, Attributes};
use crate::id::{GroupName, HostId, LeaseId};
use crate::inventory::{Host, Inventory};
use crate::request::TaskClass;
use crate::resources::{Measure, PortRange, Ports, Resource};

use super::class::Class;

/// The dimension of ports; the measures come before it, named scalars after it.
const PORTS: usize = Measure::ALL.len();

/// "This host has no such attribute" in a [`Column`].
pub(crate) const NO_VALUE: u32 = u32::MAX;

/// An attribute that some constraint spreads over: its value on every host, by ordinal.
struct Column {
    name: String,
    value_of: Vec<u32>,
    values: usize,
}

/// How many tasks of a group there are by value of a column.
pub(crate) struct ByValue {
    column: usize,
    /// The values that balance is about; all of the column, if none are named.
    domain: Option<Vec<bool>>,
    counts: Vec<u32>,
    /// The smallest count in the domain, and how many of its values have it. Counts only grow, so the values
    /// are gone through again only when the last of them has left it.
    fewest: u32,
    at_fewest: usize,
}

impl ByValue {
    fn new(column: usize, domain: Option<Vec<bool>>, counts: Vec<u32>) -> Self {
        let mut by_value = Self { column, domain, counts, fewest: 0, at_fewest: 0 };
        by_value.find_fewest();
        by_value
    }

    fn in_domain(&self, value: usize) -> bool {
        self.domain.as_ref().is_none_or(|domain| domain[value])
    }

    fn find_fewest(&mut self) {
        (self.fewest, self.at_fewest) = (u32::MAX, 0);
        for (value, count) in self.counts.iter().enumerate() {
            if !self.in_domain(value) || *count > self.fewest {
                continue;
            }
            let more = if *count == self.fewest { self.at_fewest } else { 0 };
            (self.fewest, self.at_fewest) = (*count, more + 1);
        }
    }

    fn add(&mut self, value: u32) {
        let value = value as usize;
        self.counts[value] += 1;
        if self.in_domain(value) && self.counts[value] == self.fewest + 1 {
            self.at_fewest -= 1;
            if self.at_fewest == 0 {
                self.find_fewest();
            }
        }
    }

    /// How many tasks there are with a value.
    pub(crate) fn count(&self, value: u32) -> u32 {
        self.counts[value as usize]
    }

    /// The smallest count of the values of the domain; `u32::MAX` if it is empty.
    pub(crate) fn fewest(&self) -> u32 {
        self.fewest
    }
}

/// A group that this pass has tasks of.
struct Group {
    on_host: BTreeMap<usize, u32>,
    by_value: Vec<ByValue>,
    /// Tasks of the group placed in this pass.
    version: u64,
}

/// All hosts of a pass.
pub(crate) struct World<'a> {
    ids: Vec<&'a HostId>,
    records: Vec<&'a Host>,
    /// By dimension, then host. A dimension is a measure, ports, or a named scalar.
    free: Vec<Vec<u64>>,
    used: [Vec<u64>; 4],
    total: [Vec<u64>; 4],
    ports: Vec<Ports>,
    tasks_on: Vec<u32>,
    held: Vec<bool>,
    scalars: BTreeMap<&'a str, usize>,
    groups: Vec<Group>,
    group_names: BTreeMap<&'a GroupName, usize>,
    columns: Vec<Column>,
    /// The hosts that got a task, in order of placement.
    log: Vec<usize>,
}

impl<'a> World<'a> {
    /// Lays out the hosts. Of named scalars, those that a class demands are laid out.
    pub(crate) fn new(inventory: &'a Inventory, classes: &[&'a TaskClass]) -> Self {
        let hosts = inventory.hosts().len();
        let mut scalars: BTreeMap<&'a str, usize> = BTreeMap::new();
        for class in classes {
            for name in class.demand.scalars.keys() {
                let dimension = PORTS + 1 + scalars.len();
                scalars.entry(name).or_insert(dimension);
            }
        }
        let column = || Vec::with_capacity(hosts);
        let mut world = Self {
            ids: column_of(hosts),
            records: column_of(hosts),
            free: vec![vec![0; hosts]; PORTS + 1 + scalars.len()],
            used: [column(), column(), column(), column()],
            total: [column(), column(), column(), column()],
            ports: column_of(hosts),
            tasks_on: column_of(hosts),
            held: column_of(hosts),
            scalars,
            groups: Vec::new(),
            group_names: BTreeMap::new(),
            columns: Vec::new(),
            log: Vec::new(),
        };
        for (id, record) in inventory.hosts() {
            world.lay_out(id, record);
        }
        world
    }

    fn lay_out(&mut self, id: &'a HostId, record: &'a Host) {
        let host = self.ids.len();
        let mut ranges: Vec<PortRange> = Vec::new();
        for lease in record.leases.values() {
            for (dimension, amount) in lease.offered.measures().into_iter().enumerate() {
                let free = &mut self.free[dimension][host];
                *free = free.saturating_add(amount);
            }
            for (name, amount) in &lease.offered.scalars {
                if let Some(dimension) = self.scalars.get(name.as_str()) {
                    let free = &mut self.free[*dimension][host];
                    *free = free.saturating_add(amount.thousandths());
                }
            }
            ranges.extend_from_slice(&lease.ports);
        }
        let ports = Ports::union(ranges);
        self.free[PORTS][host] = ports.left();
        for measure in 0..PORTS {
            let running = u64::try_from(record.running_demand[measure]).unwrap_or(u64::MAX);
            self.used[measure].push(running);
            self.total[measure].push(running.saturating_add(self.free[measure][host]));
        }
        self.ids.push(id);
        self.records.push(record);
        self.ports.push(ports);
        self.tasks_on.push(u32::try_from(record.running.len()).unwrap_or(u32::MAX));
        self.held.push(record.exclusive > 0);
    }

    /// The ordinal of a group, which counts as one of this pass from now on.
    pub(crate) fn intern_group(&mut self, name: &'a GroupName, inventory: &Inventory) -> usize {
        if let Some(group) = self.group_names.get(name) {
            return *group;
        }
        let mut on_host = BTreeMap::new();
        for (host, count) in inventory.group(name).into_iter().flatten() {
            let ordinal = self.ids.binary_search(&host).expect("hosts with tasks are laid out");
            on_host.insert(ordinal, *count);
        }
        let ordinal = self.groups.len();
        self.groups.push(Group { on_host, by_value: Vec::new(), version: 0 });
        self.group_names.insert(name, ordinal);
        ordinal
    }

    /// The ordinal of the column of an attribute.
    pub(crate) fn intern_column(&mut self, name: &str) -> usize {
        if let Some(column) = self.columns.iter().position(|column| column.name == name) {
            return column;
        }
        let mut values: BTreeMap<AttributeValue, u32> = BTreeMap::new();
        let mut value_of = Vec::with_capacity(self.ids.len());
        for (id, record) in self.ids.iter().zip(&self.records) {
            let value = attribute::lookup(id, &record.attributes, name);
            let next = u32::try_from(values.len()).unwrap_or(NO_VALUE);
            value_of.push(value.map_or(NO_VALUE, |value| *values.entry(value).or_insert(next)));
        }
        let values = values.len();
        self.columns.push(Column { name: name.to_owned(), value_of, values });
        self.columns.len() - 1
    }

    /// Makes a group count its tasks by the values of a column, of which those of the domain (all, if none are
    /// named) are compared; gives the place of the counts.
    pub(crate) fn count_by_value(
        &mut self,
        group: usize,
        column: usize,
        domain: Option<Vec<bool>>,
    ) -> usize {
        let counted = &mut self.groups[group];
        let same = |counts: &ByValue| counts.column == column && counts.domain == domain;
        if let Some(slot) = counted.by_value.iter().position(same) {
            return slot;
        }
        let mut counts = vec![0; self.columns[column].values];
        for (host, count) in &counted.on_host {
            let value = self.columns[column].value_of[*host];
            if value != NO_VALUE {
                counts[value as usize] += count;
            }
        }
        counted.by_value.push(ByValue::new(column, domain, counts));
        counted.by_value.len() - 1
    }

    /// Puts a task of a class on a host and gives its ports.
    pub(crate) fn take(&mut self, host: usize, class: &Class<'_>) -> Vec<u16> {
        for (dimension, amount) in class.demand() {
            let free = &mut self.free[*dimension][host];
            *free = free.checked_sub(*amount).expect("a task is placed only where it fits");
            if let Some(used) = self.used.get_mut(*dimension) {
                used[host] = used[host].saturating_add(*amount);
            }
        }
        self.tasks_on[host] = self.tasks_on[host].saturating_add(1);
        self.held[host] |= class.wants_host_alone();
        let group = &mut self.groups[class.group()];
        group.version += 1;
        *group.on_host.entry(host).or_default() += 1;
        for counted in &mut group.by_value {
            let value = self.columns[counted.column].value_of[host];
            if value != NO_VALUE {
                counted.add(value);
            }
        }
        self.log.push(host);
        self.ports[host].take(class.ports())
    }

    pub(crate) fn hosts(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn id(&self, host: usize) -> &'a HostId {
        self.ids[host]
    }

    pub(crate) fn attributes(&self, host: usize) -> &'a Attributes {
        &self.records[host].attributes
    }

    /// Whether there is a lease to place on.
    pub(crate) fn is_offered(&self, host: usize) -> bool {
        !self.records[host].leases.is_empty()
    }

    pub(crate) fn leases(&self, host: usize) -> Vec<LeaseId> {
        self.records[host].leases.keys().cloned().collect()
    }

    pub(crate) fn free(&self, dimension: usize, host: usize) -> u64 {
        self.free[dimension][host]
    }

    pub(crate) fn used(&self, measure: usize, host: usize) -> u64 {
        self.used[measure][host]
    }

    pub(crate) fn total(&self, measure: usize, host: usize) -> u64 {
        self.total[measure][host]
    }

    /// Running tasks and those placed in this pass.
    pub(crate) fn tasks_on(&self, host: usize) -> u32 {
        self.tasks_on[host]
    }

    /// Whether a task has the host for itself.
    pub(crate) fn is_held(&self, host: usize) -> bool {
        self.held[host]
    }

    pub(crate) fn group_by_name(&self, name: &GroupName) -> Option<usize> {
        self.group_names.get(name).copied()
    }

    /// How many tasks of a group are on a host.
    pub(crate) fn in_group(&self, group: usize, host: usize) -> u32 {
        self.groups[group].on_host.get(&host).copied().unwrap_or(0)
    }

    /// Changes whenever a task of the group is placed.
    pub(crate) fn group_version(&self, group: usize) -> u64 {
        self.groups[group].version
    }

    /// How many tasks of a group are on hosts with each value, for a place given by `count_by_value`.
    pub(crate) fn by_value(&self, group: usize, slot: usize) -> &ByValue {
        &self.groups[group].by_value[slot]
    }

    /// The value of a column on a host, or [`NO_VALUE`].
    pub(crate) fn value_of(&self, column: usize, host: usize) -> u32 {
        self.columns[column].value_of[host]
    }

    /// How many values a column has.
    pub(crate) fn values(&self, column: usize) -> usize {
        self.columns[column].values
    }

    pub(crate) fn log(&self) -> &[usize] {
        &self.log
    }

    /// What a class demands, by dimension, without the zeros.
    pub(crate) fn demand_of(&self, class: &TaskClass) -> Vec<(usize, u64)> {
        let mut demand: Vec<(usize, u64)> =
            class.demand.measures().into_iter().enumerate().collect();
        demand.push((PORTS, u64::from(class.ports)));
        for (name, amount) in &class.demand.scalars {
            let dimension = self.scalars.get(name.as_str()).copied();
            let dimension = dimension.expect("scalars that classes demand are laid out");
            demand.push((dimension, amount.thousandths()));
        }
        demand.retain(|(_, amount)| *amount > 0);
        demand
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
                Resource::Scalar(name.map_or(String::new(), |(name, _)| (*name).to_owned()))
            }
        }
    }
}

fn column_of<T>(hosts: usize) -> Vec<T> {
    Vec::with_capacity(hosts)
}
