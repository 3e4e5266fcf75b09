//! Where the tasks of each group are: by host always, and by attribute value for as long as a pass asks.
//!
//! A group is known while it has tasks or a pass has asked for it. Counts go up with placements and down when
//! a trial is undone, so the smallest count is kept from a table of how many values have each count.

use std::collections::BTreeMap;

use crate::id::GroupName;

use super::directory::Directory;
use super::values::{NO_VALUE, Values};

/// How many tasks of a group there are by value of a column.
#[derive(Clone, Debug)]
pub(crate) struct ByValue {
    column: usize,
    /// The values that balance is about.
    domain: Box<[bool]>,
    counts: Vec<u32>,
    /// How many values of the domain have each count.
    with_count: Vec<u32>,
    fewest: usize,
    /// How many tasks there are with any value.
    total: u32,
}

impl ByValue {
    fn new(column: usize, domain: Box<[bool]>, counts: Vec<u32>) -> Self {
        let most = counts.iter().copied().max().unwrap_or(0) as usize;
        let mut with_count = vec![0; most + 2];
        for (count, inside) in counts.iter().zip(&domain) {
            if *inside {
                with_count[*count as usize] += 1;
            }
        }
        let fewest = with_count.iter().position(|values| *values > 0).unwrap_or(usize::MAX);
        let total = counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
        Self { column, domain, counts, with_count, fewest, total }
    }

    fn add(&mut self, value: u32) {
        self.total += 1;
        let count = &mut self.counts[value as usize];
        *count += 1;
        if !self.domain[value as usize] {
            return;
        }
        let count = *count as usize;
        if self.with_count.len() <= count {
            self.with_count.push(0);
        }
        self.with_count[count - 1] -= 1;
        self.with_count[count] += 1;
        if self.with_count[self.fewest] == 0 {
            self.fewest += 1;
        }
    }

    fn remove(&mut self, value: u32) {
        self.total -= 1;
        let count = &mut self.counts[value as usize];
        *count -= 1;
        if !self.domain[value as usize] {
            return;
        }
        let count = *count as usize;
        self.with_count[count + 1] -= 1;
        self.with_count[count] += 1;
        self.fewest = self.fewest.min(count);
    }

    /// How many tasks there are with a value.
    pub(crate) fn count(&self, value: u32) -> u32 {
        self.counts[value as usize]
    }

    /// How many tasks there are with any value.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// The greatest count of the values of the domain.
    pub(crate) fn most(&self) -> u32 {
        let most = self.with_count.iter().rposition(|values| *values > 0).unwrap_or(0);
        u32::try_from(most).unwrap_or(u32::MAX)
    }

    /// The smallest count of the values of the domain; `u32::MAX` if it is empty.
    pub(crate) fn fewest(&self) -> u32 {
        u32::try_from(self.fewest).unwrap_or(u32::MAX)
    }
}

#[derive(Clone, Debug)]
struct Group {
    name: GroupName,
    /// It has tasks, or a pass has asked for it.
    known: bool,
    on_host: BTreeMap<usize, u32>,
    by_value: Vec<ByValue>,
    /// What its tasks take of the measures.
    used: [u128; 4],
    /// Grows with each placement and each undoing.
    version: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    by_name: Directory,
    list: Vec<Group>,
    vacant: Vec<usize>,
}

impl Groups {
    pub(crate) fn get(&self, name: &GroupName) -> Option<usize> {
        self.by_name.find(name.as_str(), |group| self.list[group].name.as_str())
    }

    /// The ordinal of a group, which is known from now on.
    pub(crate) fn insert(&mut self, name: &GroupName) -> usize {
        if let Some(group) = self.get(name) {
            return group;
        }
        let group = Group {
            name: name.clone(),
            known: true,
            on_host: BTreeMap::new(),
            by_value: Vec::new(),
            used: [0; 4],
            version: 0,
        };
        let ordinal = match self.vacant.pop() {
            Some(ordinal) => {
                self.list[ordinal] = group;
                ordinal
            }
            None => {
                self.list.push(group);
                self.list.len() - 1
            }
        };
        let list = &self.list;
        self.by_name.insert(name.as_str(), ordinal, |group| list[group].name.as_str());
        ordinal
    }

    /// Drops what a pass has asked for, and the group itself if it has no tasks.
    pub(crate) fn release(&mut self, group: usize) {
        let of = &mut self.list[group];
        of.by_value.clear();
        if of.on_host.is_empty() && of.known {
            of.known = false;
            self.by_name.remove(of.name.as_str(), group);
            self.vacant.push(group);
        }
    }

    /// Notes a task on a host, with what it takes of the measures.
    pub(crate) fn add(&mut self, group: usize, host: usize, demand: &[u64; 4], values: &Values) {
        let of = &mut self.list[group];
        of.version += 1;
        for (used, amount) in of.used.iter_mut().zip(demand) {
            *used += u128::from(*amount);
        }
        *of.on_host.entry(host).or_default() += 1;
        for counts in &mut of.by_value {
            match values.of_host(counts.column, host) {
                NO_VALUE => {}
                value => counts.add(value),
            }
        }
    }

    /// Takes a task off a host.
    pub(crate) fn remove(&mut self, group: usize, host: usize, demand: &[u64; 4], values: &Values) {
        let of = &mut self.list[group];
        of.version += 1;
        for (used, amount) in of.used.iter_mut().zip(demand) {
            *used -= u128::from(*amount);
        }
        let count = of.on_host.get_mut(&host).expect("a group knows the hosts of its tasks");
        *count -= 1;
        if *count == 0 {
            of.on_host.remove(&host);
        }
        for counts in &mut of.by_value {
            match values.of_host(counts.column, host) {
                NO_VALUE => {}
                value => counts.remove(value),
            }
        }
    }

    /// Makes a group count its tasks by the values of a column, of which those of the domain are compared;
    /// gives the place of the counts, which holds until the group is released.
    pub(crate) fn count_by_value(
        &mut self,
        group: usize,
        column: usize,
        domain: Box<[bool]>,
        values: &Values,
    ) -> usize {
        let of = &mut self.list[group];
        let same = |counts: &ByValue| counts.column == column && counts.domain == domain;
        if let Some(slot) = of.by_value.iter().position(same) {
            return slot;
        }
        let mut counts = vec![0; domain.len()];
        for (host, count) in &of.on_host {
            let value = values.of_host(column, *host);
            if value != NO_VALUE {
                counts[value as usize] += count;
            }
        }
        of.by_value.push(ByValue::new(column, domain, counts));
        of.by_value.len() - 1
    }

    /// What the tasks of a group take of the measures.
    pub(crate) fn used(&self, group: usize) -> &[u128; 4] {
        &self.list[group].used
    }

    /// How many tasks of a group are on a host.
    pub(crate) fn on_host(&self, group: usize, host: usize) -> u32 {
        self.list[group].on_host.get(&host).copied().unwrap_or(0)
    }

    /// The hosts with tasks of a group.
    pub(crate) fn hosts_of(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        self.list[group].on_host.keys().copied()
    }

    /// Changes whenever a task of the group is placed or taken back.
    pub(crate) fn version(&self, group: usize) -> u64 {
        self.list[group].version
    }

    /// How many tasks of a group are on hosts with each value, for a place given by `count_by_value`.
    pub(crate) fn by_value(&self, group: usize, slot: usize) -> &ByValue {
        &self.list[group].by_value[slot]
    }
}
