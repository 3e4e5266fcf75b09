//! What [`explain`](super::explain::explain) says, for many classes at once: hosts are counted by bisection and by
//! attribute value, and only a few of them are looked at.
//!
//! It counts what devices do not decide, nor closures that judge members of sets, and keeps up with what is placed. Counts are exact, but for
//! closures, of which it knows those hosts that nothing else refuses. The hosts that are named are
//! the closest of those looked at: the ones that a rule names, and those that the ranking expects to be close.

use std::collections::{BTreeMap, BTreeSet};

use crate::attribute::AttributeTest;
use crate::cluster::Cluster;
use crate::cluster::ranking::Ranking;
use crate::cluster::values::NO_VALUE;
use crate::constraint::Constraint;
use crate::result::{Explanation, Reason};

use super::class::Class;
use super::explain::{Cause, Close, collect, reason};
use super::rule::{HostRule, named_hosts};
use super::set_counts::SetCounts;

/// After so many hosts of which none came closer than one before, no more are looked at for a class.
const LOOKS: usize = 64;

/// How many hosts on offer have each value of a column, and how many have none.
type Offered = (Vec<u32>, u32);

/// After so many changed hosts everything is counted anew.
const CHANGED: usize = 256;

/// How many hosts lack how much, are in use, and have which values.
pub(crate) struct Survey {
    offered: u32,
    held: u32,
    /// Hosts with tasks.
    in_use: u32,
    /// What was free on the hosts on offer when they were counted, ascending, by dimension; what is kept for a
    /// head is free.
    free: Vec<Vec<u64>>,
    /// The same by host, and what else was counted.
    rows: Vec<Option<Row>>,
    /// How much of the cluster's log has been seen.
    seen: usize,
    /// The hosts whose rows are not in `free`, which has what these were when they were counted.
    changed: BTreeMap<usize, Box<[u64]>>,
    /// Hosts of which something is kept.
    kept: BTreeSet<usize>,
    by_column: BTreeMap<usize, Offered>,
    /// Once a class minds sets.
    sets: Option<SetCounts>,
}

/// What is counted of one host.
struct Row {
    free: Box<[u64]>,
    held: bool,
    in_use: bool,
}

impl Row {
    fn of(cluster: &Cluster, host: usize) -> Self {
        let columns = cluster.columns();
        let kept = columns.withheld(host);
        let free = columns.free(host).iter().enumerate();
        let free = free.map(|(dimension, free)| free + kept.map_or(0, |kept| kept[dimension]));
        Self {
            free: free.collect(),
            held: columns.is_held(host) && kept.is_none(),
            in_use: columns.tasks_on(host) > 0,
        }
    }
}

impl Survey {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let columns = cluster.columns();
        let mut survey = Self {
            offered: columns.offering(),
            held: 0,
            in_use: 0,
            free: vec![Vec::new(); columns.dimensions()],
            rows: Vec::new(),
            seen: cluster.changes().len(),
            changed: BTreeMap::new(),
            kept: BTreeSet::new(),
            by_column: BTreeMap::new(),
            sets: None,
        };
        survey.rows.resize_with(cluster.names().slots(), || None);
        for host in cluster.names().in_order().filter(|host| columns.is_offered(*host)) {
            let row = Row::of(cluster, host);
            for (sorted, free) in survey.free.iter_mut().zip(&row.free) {
                sorted.push(*free);
            }
            if columns.withheld(host).is_some() {
                survey.kept.insert(host);
            }
            survey.held += u32::from(row.held);
            survey.in_use += u32::from(row.in_use);
            survey.rows[host] = Some(row);
        }
        for sorted in &mut survey.free {
            sorted.sort_unstable();
        }
        survey
    }

    /// Counts what has changed since the last time.
    pub(crate) fn catch_up(&mut self, cluster: &Cluster) {
        let log = cluster.changes();
        if log.len() - self.seen + self.changed.len() > CHANGED {
            let by_column = std::mem::take(&mut self.by_column);
            *self = Self { by_column, ..Self::new(cluster) };
            return;
        }
        for host in &log[self.seen..] {
            let Some(row) = &mut self.rows[*host] else { continue };
            let before = std::mem::replace(row, Row::of(cluster, *host));
            self.held = self.held + u32::from(row.held) - u32::from(before.held);
            self.in_use = self.in_use + u32::from(row.in_use) - u32::from(before.in_use);
            self.changed.entry(*host).or_insert(before.free);
            if cluster.columns().withheld(*host).is_some() {
                self.kept.insert(*host);
            }
            if let Some(sets) = &mut self.sets {
                sets.update(*host, cluster);
            }
        }
        self.seen = log.len();
    }

    /// How many hosts have less than this of a dimension.
    fn lacking(&self, dimension: usize, wanted: u64) -> u32 {
        let mut lacking = self.free[dimension].partition_point(|free| *free < wanted);
        for (host, before) in &self.changed {
            let now = self.rows[*host].as_ref().map_or(0, |row| row.free[dimension]);
            lacking += usize::from(now < wanted);
            lacking -= usize::from(before[dimension] < wanted);
        }
        u32::try_from(lacking).unwrap_or(u32::MAX)
    }

    /// Whether it can explain a class without looking at every host.
    pub(crate) fn can_explain(class: &Class<'_>, cluster: &Cluster) -> bool {
        let countable = |rule: &HostRule<'_>| match (rule.constraint, &rule.verdicts) {
            (Constraint::Attribute { .. }, Some(_)) => true,
            (Constraint::Attribute { test, .. }, None) => {
                matches!(test, AttributeTest::Equals(_) | AttributeTest::In(_))
            }
            (_, _) => true,
        };
        // A closure that judges members may say anything of each host.
        !(class.minds_sets() && cluster.judges_sets())
            && class.demand().devices.is_empty()
            && class.host_hard().iter().all(countable)
    }

    /// Explains a class that no host has taken; without a ranking, no host is named. Gives how many hosts it has
    /// looked at as well. It must have caught up.
    pub(crate) fn explain(
        &mut self,
        class: &Class<'_>,
        cluster: &Cluster,
        ranking: Option<&Ranking>,
    ) -> (Explanation, u64) {
        let mut reasons = BTreeMap::new();
        let mut count = |reason: Reason, hosts: u32| {
            if hosts > 0 {
                let of = reasons.entry(reason).or_insert(0);
                *of = hosts.max(*of);
            }
        };
        for (dimension, wanted) in class.demand().amounts.iter().enumerate() {
            let lacking = if *wanted == 0 { 0 } else { self.lacking(dimension, *wanted) };
            count(Reason::Lacks(cluster.columns().resource(dimension)), lacking);
        }
        for unknown in 0..class.demand().unknown.len() {
            count(reason(class, cluster, Cause::Unknown(unknown)), self.offered);
        }
        count(Reason::HeldExclusively, self.held);
        if class.minds_sets() {
            let sets = self.sets.get_or_insert_with(|| SetCounts::new(cluster));
            for (set, hosts) in sets.lacking(&class.demand().sets) {
                count(Reason::LacksSet(set.clone()), *hosts);
            }
        }
        let mut causes = Vec::new();
        let mut reserved = 0;
        for host in &self.kept {
            causes.clear();
            collect(class, cluster, *host, None, &mut causes);
            reserved += u32::from(causes.contains(&Cause::Reserved));
        }
        count(Reason::Reserved, reserved);
        for (position, rule) in class.host_hard().iter().enumerate() {
            let refusing = self.refusing(rule, cluster);
            count(reason(class, cluster, Cause::HostRule(position)), refusing);
        }
        for (position, rule) in class.value_hard().iter().enumerate() {
            let (by_value, absent) = self.by_value(rule.column, cluster);
            let mut refusing = *absent;
            for (value, hosts) in (0_u32..).zip(by_value) {
                if *hosts > 0 && !rule.holds(cluster, value) {
                    refusing += hosts;
                }
            }
            count(reason(class, cluster, Cause::ValueRule(position)), refusing);
        }
        let (close, looks) = match ranking {
            Some(ranking) => look_around(class, cluster, ranking),
            None => (Close::default(), 0),
        };
        (close.into_explanation(self.offered, reasons, class, cluster, None), looks)
    }

    /// How many hosts on offer a host rule refuses.
    fn refusing(&mut self, rule: &HostRule<'_>, cluster: &Cluster) -> u32 {
        let columns = cluster.columns();
        let count = |hosts: &mut dyn Iterator<Item = usize>| {
            let offered = hosts.filter(|host| columns.is_offered(*host)).count();
            u32::try_from(offered).unwrap_or(u32::MAX)
        };
        match (rule.constraint, &rule.verdicts) {
            (_, Some(verdicts)) => {
                let offered = self.by_value(verdicts.column, cluster);
                let passing = cluster.values().count_passing(verdicts, (&offered.0, offered.1));
                self.offered - passing
            }
            (Constraint::Attribute { test, .. }, None) => {
                let hosts = named_hosts(test, cluster).unwrap_or_default();
                self.offered - count(&mut hosts.into_iter())
            }
            (Constraint::UniqueHost | Constraint::AntiAffinity { .. }, None) => {
                count(&mut cluster.groups().hosts_of(rule.group))
            }
            (Constraint::ExclusiveHost, None) => self.in_use,
            // It has been asked about every host that nothing else refuses.
            (Constraint::Custom(_), None) => rule.refused.get(),
            (_, None) => 0,
        }
    }

    fn by_value(&mut self, column: usize, cluster: &Cluster) -> &Offered {
        self.by_column.entry(column).or_insert_with(|| {
            let mut by_value = vec![0; cluster.values().members(column).len()];
            let mut absent = 0;
            let offered = cluster.names().in_order();
            for host in offered.filter(|host| cluster.columns().is_offered(*host)) {
                match cluster.values().of_host(column, host) {
                    NO_VALUE => absent += 1,
                    value => by_value[value as usize] += 1,
                }
            }
            (by_value, absent)
        })
    }
}

/// Looks at the hosts that come closest in room, and at those that a rule names.
fn look_around(class: &Class<'_>, cluster: &Cluster, ranking: &Ranking) -> (Close, u64) {
    let mut close = Close::default();
    let mut causes = Vec::new();
    let (mut in_vain, mut looks) = (0, 0);
    let mut closest = (usize::MAX, f64::INFINITY);
    let mut look = |host: usize| {
        in_vain += 1;
        if in_vain > LOOKS {
            // No host can come closer than this: it ends the search.
            return (0, f64::NEG_INFINITY);
        }
        looks += 1;
        causes.clear();
        let distance = collect(class, cluster, host, None, &mut causes);
        close.note(host, &causes, distance);
        if (causes.len(), distance) < closest {
            (in_vain, closest) = (0, (causes.len(), distance));
        }
        (causes.len(), distance)
    };
    let mut few = class.few_hosts(cluster).unwrap_or_default();
    few.retain(|host| cluster.columns().is_offered(*host));
    few.sort_unstable_by_key(|host| cluster.names().label(*host));
    few.truncate(LOOKS / 2);
    for host in &few {
        look(*host);
    }
    let mut unseen = |host: usize| {
        if few.contains(&host) { (usize::MAX, f64::INFINITY) } else { look(host) }
    };
    ranking.nearest(&class.demand().amounts, cluster.columns(), &mut unseen);
    (close, looks)
}
