//! Constraints made ready for a pass, split by what they look at.
//!
//! A host rule looks at one host and changes its answer only when that host changes; a value rule looks at how
//! a group is spread over the values of an attribute, and answers alike for all hosts with the same value.

use std::cell::Cell;

use crate::attribute::{AttributeTest, AttributeValue, HOSTNAME};
use crate::cluster::Cluster;
use crate::cluster::values::{NO_VALUE, Verdicts};
use crate::constraint::Constraint;
use crate::request::TaskClass;

/// A constraint over the values of an attribute.
pub(crate) struct ValueRule<'a> {
    pub(crate) constraint: &'a Constraint,
    pub(crate) column: usize,
    /// The group or key that is looked at.
    pub(super) group: usize,
    /// Where the group keeps its counts.
    slot: usize,
    pub(super) kind: ValueKind,
}

pub(super) enum ValueKind {
    /// At most one task of the group a value.
    Unique,
    /// Even counts over the values of a domain. `missing`: fewer values are known than are expected, so that
    /// there are values without a task.
    Balanced { max_skew: u32, missing: bool },
    /// Where a task with the key is; `own`: the class has the key itself, so that somebody may be the first.
    Near { own: bool },
    /// Where no task with the key is.
    Away,
}

/// A constraint that looks at one host.
pub(crate) struct HostRule<'a> {
    pub(crate) constraint: &'a Constraint,
    /// For a test of an attribute: what it says about each value.
    pub(crate) verdicts: Option<Verdicts>,
    /// The group or key that is looked at.
    pub(crate) group: usize,
    /// How many hosts a closure has refused in the latest search.
    pub(super) refused: Cell<u32>,
}

impl<'a> HostRule<'a> {
    pub(super) fn new(constraint: &'a Constraint, group: usize, cluster: &mut Cluster) -> Self {
        let group = match constraint {
            Constraint::Affinity { key, .. }
            | Constraint::AntiAffinity { key, .. }
            | Constraint::Spread { key, .. } => cluster.group(key),
            Constraint::Attribute { .. }
            | Constraint::UniqueHost
            | Constraint::UniqueAttribute { .. }
            | Constraint::Balanced { .. }
            | Constraint::ExclusiveHost
            | Constraint::Custom(_) => group,
        };
        let verdicts = match constraint {
            // Every host has its own name: a verdict for each would cost more than asking the test.
            Constraint::Attribute { name, test } if name != HOSTNAME => {
                let column = cluster.column(name);
                Some(cluster.values().verdicts(column, test))
            }
            Constraint::Attribute { .. }
            | Constraint::UniqueHost
            | Constraint::UniqueAttribute { .. }
            | Constraint::Balanced { .. }
            | Constraint::Affinity { .. }
            | Constraint::AntiAffinity { .. }
            | Constraint::Spread { .. }
            | Constraint::ExclusiveHost
            | Constraint::Custom(_) => None,
        };
        Self { constraint, verdicts, group, refused: Cell::new(0) }
    }
}

impl ValueRule<'_> {
    /// 1 where the rule holds for one more task on a host with this value, less where it does not.
    pub(super) fn score(&self, cluster: &Cluster, value: u32) -> f64 {
        if value == NO_VALUE {
            return 0.0;
        }
        let counts = cluster.groups().by_value(self.group, self.slot);
        let here = counts.count(value);
        match self.kind {
            ValueKind::Unique => f64::from(u8::from(here == 0)),
            ValueKind::Balanced { max_skew, missing } => {
                let fewest = if missing { 0 } else { counts.fewest().min(here) };
                let skew = here - fewest;
                // The task adds one; it may lead by `max_skew`, which is at least one.
                1.0 / (1.0 + f64::from(skew.saturating_sub(max_skew - 1)))
            }
            ValueKind::Near { .. } => match counts.most() {
                0 => 0.0,
                most => f64::from(here) / f64::from(most),
            },
            ValueKind::Away => 1.0 / (1.0 + f64::from(here)),
        }
    }

    /// Whether the rule holds for one more task on a host with this value.
    pub(crate) fn holds(&self, cluster: &Cluster, value: u32) -> bool {
        match self.kind {
            ValueKind::Near { own } if value != NO_VALUE => {
                let counts = cluster.groups().by_value(self.group, self.slot);
                counts.count(value) > 0 || (own && counts.total() == 0)
            }
            ValueKind::Near { .. }
            | ValueKind::Unique
            | ValueKind::Balanced { .. }
            | ValueKind::Away => self.score(cluster, value) >= 1.0,
        }
    }
}

/// The hosts that a test of the host name names; `None` if it names none.
pub(super) fn named_hosts(test: &AttributeTest, cluster: &Cluster) -> Option<Vec<usize>> {
    let host = |value: &AttributeValue| match value {
        AttributeValue::Text(name) => cluster.names().get(&name.as_str().into()),
        AttributeValue::Scalar(_) => None,
    };
    match test {
        AttributeTest::Equals(value) => Some(host(value).into_iter().collect()),
        AttributeTest::In(values) => Some(values.iter().filter_map(host).collect()),
        AttributeTest::NotEquals(_)
        | AttributeTest::NotIn(_)
        | AttributeTest::Exists
        | AttributeTest::Absent
        | AttributeTest::AtLeast(_)
        | AttributeTest::AtMost(_)
        | AttributeTest::MoreThan(_)
        | AttributeTest::LessThan(_) => None,
    }
}

/// The rule for a constraint over values; `None` for one that looks at a host alone.
pub(super) fn value_rule<'a>(
    constraint: &'a Constraint,
    class: &'a TaskClass,
    own_group: usize,
    cluster: &mut Cluster,
    hard: bool,
) -> Option<ValueRule<'a>> {
    let mut group = own_group;
    let (column, kind, domain) = match constraint {
        Constraint::UniqueAttribute { name } => {
            let column = cluster.column(name);
            (column, ValueKind::Unique, everywhere(cluster, column))
        }
        Constraint::Balanced { name, max_skew, expected_values } => {
            let column = cluster.column(name);
            let domain = domain(class, cluster, column);
            let known = domain.iter().filter(|inside| **inside).count();
            let missing = known < usize::try_from(*expected_values).unwrap_or(usize::MAX);
            (column, ValueKind::Balanced { max_skew: (*max_skew).max(1), missing }, domain)
        }
        // As a wish about one host, it is a matter of that host alone.
        Constraint::Spread { key, level, max_skew } if hard || !level.is_host() => {
            group = cluster.group(key);
            let column = cluster.column(level.column());
            let domain = domain(class, cluster, column);
            let max_skew = (*max_skew).max(1);
            (column, ValueKind::Balanced { max_skew, missing: false }, domain)
        }
        Constraint::Affinity { key, level } if hard || !level.is_host() => {
            group = cluster.group(key);
            let column = cluster.column(level.column());
            let own = *key == class.group || class.keys.contains(key);
            (column, ValueKind::Near { own }, everywhere(cluster, column))
        }
        Constraint::AntiAffinity { key, level } if !level.is_host() => {
            group = cluster.group(key);
            let column = cluster.column(level.column());
            (column, ValueKind::Away, everywhere(cluster, column))
        }
        Constraint::Attribute { .. }
        | Constraint::UniqueHost
        | Constraint::Spread { .. }
        | Constraint::Affinity { .. }
        | Constraint::AntiAffinity { .. }
        | Constraint::ExclusiveHost
        | Constraint::Custom(_) => return None,
    };
    let slot = cluster.count_by_value(group, column, domain);
    Some(ValueRule { constraint, column, group, slot, kind })
}

/// All values of a column.
fn everywhere(cluster: &Cluster, column: usize) -> Box<[bool]> {
    vec![true; cluster.values().members(column).len()].into()
}

/// Which values of a column known hosts have that pass the class's hard attribute tests.
fn domain(class: &TaskClass, cluster: &mut Cluster, column: usize) -> Box<[bool]> {
    let tests = class.hard.iter().filter(|c| matches!(c, Constraint::Attribute { .. }));
    let rules: Vec<HostRule<'_>> = tests.map(|test| HostRule::new(test, 0, cluster)).collect();
    let passes = |host: u32| {
        let host = host as usize;
        rules.iter().all(|rule| match (rule.constraint, &rule.verdicts) {
            (_, Some(verdicts)) => cluster.values().passes(verdicts, host),
            (Constraint::Attribute { name, test }, None) => {
                test.holds(cluster.names().id(host), &cluster.host(host).attributes, name)
            }
            (_, None) => true,
        })
    };
    let members = cluster.values().members(column);
    members.iter().map(|hosts| hosts.iter().any(|host| passes(*host))).collect()
}
