//! The values of attributes as columns by host ordinal, for the attributes that constraints ask about.
//!
//! A column is made when a constraint first names its attribute and kept in step with the hosts from then on.
//! Each value knows its hosts, so that a test that few hosts pass looks at those alone.

use std::collections::BTreeMap;

use crate::attribute::{self, AttributeTest, AttributeValue, Attributes};
use crate::id::HostId;

/// "This host has no such attribute", or is not known.
pub(crate) const NO_VALUE: u32 = u32::MAX;

/// More columns than this are not kept if the last pass did not ask about them.
const KEPT: usize = 64;

/// A column with this many more values than twice those that hosts have is made anew.
const STALE: usize = 1024;

#[derive(Clone, Debug)]
struct Column {
    name: String,
    ordinals: BTreeMap<AttributeValue, u32>,
    of_host: Vec<u32>,
    /// The hosts with each value, in no particular order.
    members: Vec<Vec<u32>>,
    /// Where each host stands among the members of its value.
    position: Vec<u32>,
    /// How many values have hosts.
    live: usize,
    /// The pass that last asked about it.
    asked: u64,
}

impl Column {
    fn set(&mut self, host: usize, value: Option<AttributeValue>) {
        if self.of_host.len() <= host {
            self.of_host.resize(host + 1, NO_VALUE);
            self.position.resize(host + 1, 0);
        }
        let next = ordinal(self.members.len());
        let value = value.map_or(NO_VALUE, |value| *self.ordinals.entry(value).or_insert(next));
        if value == next {
            self.members.push(Vec::new());
        }
        let before = self.of_host[host];
        if before == value {
            return;
        }
        if before != NO_VALUE {
            let position = self.position[host] as usize;
            let members = &mut self.members[before as usize];
            members.swap_remove(position);
            self.live -= usize::from(members.is_empty());
            if let Some(moved) = members.get(position) {
                self.position[*moved as usize] = ordinal(position);
            }
        }
        self.of_host[host] = value;
        if value != NO_VALUE {
            let members = &mut self.members[value as usize];
            self.live += usize::from(members.is_empty());
            self.position[host] = ordinal(members.len());
            members.push(ordinal(host));
        }
    }
}

/// All columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    columns: Vec<Column>,
    pass: u64,
}

/// What a test says about every value of a column.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts {
    pub(crate) column: usize,
    by_value: Box<[bool]>,
    absent: bool,
}

impl Values {
    /// Begins a pass; columns that nobody asks about any more may go, so no ordinal of a column lives on.
    pub(crate) fn begin_pass(&mut self) {
        let pass = self.pass;
        let many = self.columns.len() > KEPT;
        self.columns.retain(|column| {
            (!many || column.asked == pass) && column.members.len() <= 2 * column.live + STALE
        });
        self.pass += 1;
    }

    /// The column of an attribute; `hosts` are all known hosts, for a column that is new.
    pub(crate) fn column<'a>(
        &mut self,
        name: &str,
        hosts: impl Iterator<Item = (usize, &'a HostId, &'a Attributes)>,
    ) -> usize {
        if let Some(column) = self.columns.iter().position(|column| column.name == name) {
            self.columns[column].asked = self.pass;
            return column;
        }
        let mut column = Column {
            name: name.to_owned(),
            ordinals: BTreeMap::new(),
            of_host: Vec::new(),
            members: Vec::new(),
            position: Vec::new(),
            live: 0,
            asked: self.pass,
        };
        for (host, id, attributes) in hosts {
            column.set(host, attribute::lookup(id, attributes, name));
        }
        self.columns.push(column);
        self.columns.len() - 1
    }

    /// Notes the attributes of a host; `None` for one that is forgotten.
    pub(crate) fn set(&mut self, host: usize, id: &HostId, attributes: Option<&Attributes>) {
        for column in &mut self.columns {
            let value =
                attributes.and_then(|attributes| attribute::lookup(id, attributes, &column.name));
            column.set(host, value);
        }
    }

    /// The value of a column on a host, or [`NO_VALUE`].
    pub(crate) fn of_host(&self, column: usize, host: usize) -> u32 {
        self.columns[column].of_host.get(host).copied().unwrap_or(NO_VALUE)
    }

    /// The hosts with each value of a column, by the value's ordinal.
    pub(crate) fn members(&self, column: usize) -> &[Vec<u32>] {
        &self.columns[column].members
    }

    /// How many values of a column hosts have.
    pub(crate) fn living(&self, column: usize) -> usize {
        self.columns[column].live
    }

    /// Asks a test about every value of a column.
    pub(crate) fn verdicts(&self, column: usize, test: &AttributeTest) -> Verdicts {
        let of = &self.columns[column];
        let mut by_value = vec![false; of.members.len()];
        for (value, ordinal) in &of.ordinals {
            by_value[*ordinal as usize] = test.passes(Some(value));
        }
        Verdicts { column, by_value: by_value.into(), absent: test.passes(None) }
    }

    /// The hosts that pass, if they are those with certain values; `None` if a host without the attribute
    /// passes as well.
    pub(crate) fn passing(&self, verdicts: &Verdicts) -> Option<Passing<'_>> {
        if verdicts.absent {
            return None;
        }
        let members = &self.columns[verdicts.column].members;
        let chosen: Vec<&[u32]> = members
            .iter()
            .zip(&verdicts.by_value)
            .filter(|(hosts, passes)| **passes && !hosts.is_empty())
            .map(|(hosts, _)| hosts.as_slice())
            .collect();
        Some(Passing(chosen))
    }

    /// How many of some hosts pass, which are given by value, with those that have none.
    pub(crate) fn count_passing(
        &self,
        verdicts: &Verdicts,
        (by_value, absent): (&[u32], u32),
    ) -> u32 {
        let with = by_value.iter().zip(&verdicts.by_value).filter(|(_, passes)| **passes);
        let with: u32 = with.map(|(hosts, _)| *hosts).sum();
        if verdicts.absent { with + absent } else { with }
    }

    pub(crate) fn passes(&self, verdicts: &Verdicts, host: usize) -> bool {
        match self.of_host(verdicts.column, host) {
            NO_VALUE => verdicts.absent,
            value => verdicts.by_value[value as usize],
        }
    }
}

/// Hosts that pass a test, by value.
pub(crate) struct Passing<'a>(Vec<&'a [u32]>);

impl<'a> Passing<'a> {
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|hosts| hosts.len()).sum()
    }

    pub(crate) fn hosts(self) -> impl Iterator<Item = usize> + 'a {
        self.0.into_iter().flatten().map(|host| *host as usize)
    }
}

fn ordinal(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 hosts")
}
