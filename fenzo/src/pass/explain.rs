//! Why a class fits nowhere: every reason of every host, counted, and the host that came closest.
//!
//! It is asked once for a class that fails, and reads the same rules that decided the failure. Classes without
//! hard constraints are many in some batches, and what is free only shrinks in a run: they are explained
//! together at its end, by a [`Survey`] that counts hosts by bisection.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::cluster::ranking::{Ranking, lacking};
use crate::constraint::Constraint;
use crate::fitness::float;
use crate::id::DeviceKind;
use crate::quantity::Milli;
use crate::resources::Resource;
use crate::result::{Explanation, NearMiss, Obstacle, Reason};

use super::class::Class;

/// Something that keeps a class from a host, before it is put into words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Dimension(usize),
    /// A scalar that nobody offers.
    Unknown(usize),
    Set,
    Devices,
    Held,
    HostRule(usize),
    ValueRule(usize),
    Fitness,
    /// There is room, which is kept for the head of the queue.
    Reserved,
}

/// How many hosts lack how much, for classes that are judged by room alone.
pub(crate) struct Survey {
    offered: u32,
    held: u32,
    /// What is free on the hosts on offer, ascending, by dimension.
    free: Vec<Vec<u64>>,
}

impl Survey {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let columns = cluster.columns();
        let offered = || cluster.names().in_order().filter(|host| columns.is_offered(*host));
        let mut free: Vec<Vec<u64>> = vec![Vec::new(); columns.dimensions()];
        for host in offered() {
            for (sorted, free) in free.iter_mut().zip(columns.free(host)) {
                sorted.push(*free);
            }
        }
        for sorted in &mut free {
            sorted.sort_unstable();
        }
        let offered_hosts = columns.offering();
        let held = offered().filter(|host| columns.is_held(*host)).count();
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        Self { offered: offered_hosts, held, free }
    }

    /// What [`explain`] says about a class without hard constraints; of several hosts that come equally close,
    /// the one that stands first in the ranking is named.
    pub(crate) fn explain(
        &self,
        class: &Class<'_>,
        cluster: &Cluster,
        ranking: &Ranking,
    ) -> Explanation {
        let mut reasons = BTreeMap::new();
        let mut count = |reason: Reason, hosts: u32| {
            if hosts > 0 {
                reasons.insert(reason, hosts);
            }
        };
        for (dimension, (wanted, free)) in class.demand().amounts.iter().zip(&self.free).enumerate()
        {
            let lacking = free.partition_point(|free| free < wanted);
            let lacking = u32::try_from(lacking).unwrap_or(u32::MAX);
            count(Reason::Lacks(cluster.columns().resource(dimension)), lacking);
        }
        for unknown in 0..class.demand().unknown.len() {
            count(reason(class, cluster, Cause::Unknown(unknown)), self.offered);
        }
        count(Reason::HeldExclusively, self.held);
        let mut causes = Vec::new();
        let mut distance = |host: usize| {
            causes.clear();
            let distance = collect(class, cluster, host, &mut causes);
            (causes.len(), distance)
        };
        let nearest = ranking.nearest(&class.demand().amounts, cluster.columns(), &mut distance);
        let nearest = nearest.map(|host| near_miss(class, cluster, host));
        Explanation { hosts: self.offered, reasons, nearest }
    }
}

fn near_miss(class: &Class<'_>, cluster: &Cluster, host: usize) -> NearMiss {
    let mut causes = Vec::new();
    collect(class, cluster, host, &mut causes);
    let obstacles = causes.iter().map(|cause| obstacle(class, cluster, host, *cause)).collect();
    NearMiss { host: cluster.names().id(host).clone(), obstacles }
}

pub(crate) fn explain(class: &Class<'_>, cluster: &Cluster) -> Explanation {
    let mut lacking_sets: BTreeMap<&str, u32> = BTreeMap::new();
    let mut lacking_devices: BTreeMap<&DeviceKind, u32> = BTreeMap::new();
    let mut hosts = 0;
    let mut counts: BTreeMap<Cause, u32> = BTreeMap::new();
    let mut nearest: Option<(usize, f64, usize)> = None;
    let mut causes = Vec::new();
    for host in cluster.names().in_order().filter(|host| cluster.columns().is_offered(*host)) {
        hosts += 1;
        causes.clear();
        let distance = collect(class, cluster, host, &mut causes);
        for cause in &causes {
            *counts.entry(*cause).or_default() += 1;
            if *cause == Cause::Set
                && let Some(set) = class.lacks_set(cluster, host)
            {
                *lacking_sets.entry(set).or_default() += 1;
            }
            if *cause == Cause::Devices
                && let Some((kind, _)) = class.lacks_devices(cluster, host)
            {
                *lacking_devices.entry(kind).or_default() += 1;
            }
        }
        let closer = |(fewest, least, _): (usize, f64, usize)| {
            causes.len().cmp(&fewest).then(distance.total_cmp(&least)).is_lt()
        };
        if nearest.is_none_or(closer) {
            nearest = Some((causes.len(), distance, host));
        }
    }
    let mut reasons: BTreeMap<Reason, u32> = BTreeMap::new();
    for (set, count) in lacking_sets {
        reasons.insert(Reason::LacksSet(set.to_owned()), count);
    }
    for (kind, count) in lacking_devices {
        reasons.insert(Reason::LacksDevices(kind.clone()), count);
    }
    for (cause, count) in counts {
        if cause == Cause::Set || cause == Cause::Devices {
            continue;
        }
        // Two constraints in the same words are one reason.
        let reason = reasons.entry(reason(class, cluster, cause)).or_default();
        *reason = count.max(*reason);
    }
    let nearest = nearest.map(|(_, _, host)| near_miss(class, cluster, host));
    Explanation { hosts, reasons, nearest }
}

/// All that keeps a class from a host; gives how far away it is: the lacking share of each resource, and 1 for
/// each constraint.
fn collect(class: &Class<'_>, cluster: &Cluster, host: usize, causes: &mut Vec<Cause>) -> f64 {
    let free = cluster.columns().free(host);
    let wanted = &class.demand().amounts;
    let mut distance = lacking(free, wanted).1;
    let kept = cluster.columns().withheld(host);
    let mut reserved = false;
    for (dimension, (wanted, free)) in wanted.iter().zip(free).enumerate() {
        let kept = kept.map_or(0, |kept| kept[dimension]);
        if *wanted > free.saturating_add(kept) {
            causes.push(Cause::Dimension(dimension));
        } else if wanted > free {
            reserved = true;
        }
    }
    if reserved {
        causes.push(Cause::Reserved);
    }
    for unknown in 0..class.demand().unknown.len() {
        causes.push(Cause::Unknown(unknown));
        distance += 1.0;
    }
    let constraints = causes.len();
    if class.lacks_set(cluster, host).is_some() {
        causes.push(Cause::Set);
    }
    if class.lacks_devices(cluster, host).is_some() {
        causes.push(Cause::Devices);
    }
    if cluster.columns().is_held(host) {
        causes.push(Cause::Held);
    }
    for (position, rule) in class.host_hard().iter().enumerate() {
        if class.host_score(rule, cluster, host) <= 0.0 {
            causes.push(Cause::HostRule(position));
        }
    }
    for (position, rule) in class.value_hard().iter().enumerate() {
        if !class.value_rule_holds(rule, cluster, host) {
            causes.push(Cause::ValueRule(position));
        }
    }
    if causes.is_empty() {
        // Nothing else can have refused it.
        causes.push(Cause::Fitness);
    }
    distance + float((causes.len() - constraints) as u64)
}

fn reason(class: &Class<'_>, cluster: &Cluster, cause: Cause) -> Reason {
    match cause {
        Cause::Dimension(dimension) => Reason::Lacks(cluster.columns().resource(dimension)),
        Cause::Unknown(unknown) => {
            Reason::Lacks(Resource::Scalar(class.demand().unknown[unknown].0.clone()))
        }
        Cause::Held => Reason::HeldExclusively,
        Cause::Fitness => Reason::ZeroFitness,
        Cause::Reserved => Reason::Reserved,
        // Counted by name, host by host.
        Cause::Set | Cause::Devices => Reason::LacksSet(String::new()),
        Cause::HostRule(_) | Cause::ValueRule(_) => {
            Reason::Constraint(constraint(class, cause).map_or(String::new(), ToString::to_string))
        }
    }
}

fn obstacle(class: &Class<'_>, cluster: &Cluster, host: usize, cause: Cause) -> Obstacle {
    match cause {
        Cause::Dimension(dimension) => {
            let resource = cluster.columns().resource(dimension);
            let amount = |amount: u64| match &resource {
                Resource::Ports => Milli::whole(amount),
                Resource::Cpus
                | Resource::Memory
                | Resource::Disk
                | Resource::Network
                | Resource::Scalar(_) => Milli::from_thousandths(amount),
            };
            let wanted = amount(class.demand().amounts[dimension]);
            let free = amount(cluster.columns().free(host)[dimension]);
            Obstacle::Lacks { resource, wanted, free }
        }
        Cause::Unknown(unknown) => {
            let (name, wanted) = &class.demand().unknown[unknown];
            let wanted = Milli::from_thousandths(*wanted);
            Obstacle::Lacks { resource: Resource::Scalar(name.clone()), wanted, free: Milli::ZERO }
        }
        Cause::Held => Obstacle::HeldExclusively,
        Cause::Fitness => Obstacle::ZeroFitness,
        Cause::Reserved => Obstacle::Reserved,
        Cause::Set => {
            let set = class.lacks_set(cluster, host).unwrap_or_default();
            Obstacle::LacksSet(set.to_owned())
        }
        Cause::Devices => {
            let (kind, wanted) = class.lacks_devices(cluster, host).expect("it is why it fails");
            let devices = cluster.host(host).devices.of(kind);
            let (whole, most) = devices.map_or((0, Milli::ZERO), |devices| devices.free(wanted));
            Obstacle::LacksDevices { kind: kind.clone(), wanted: wanted.clone(), whole, most }
        }
        Cause::HostRule(_) | Cause::ValueRule(_) => Obstacle::Constraint(
            constraint(class, cause).map_or(String::new(), ToString::to_string),
        ),
    }
}

fn constraint<'a>(class: &Class<'a>, cause: Cause) -> Option<&'a Constraint> {
    match cause {
        Cause::HostRule(position) => Some(class.host_hard()[position].constraint),
        Cause::ValueRule(position) => Some(class.value_hard()[position].constraint),
        Cause::Dimension(_)
        | Cause::Unknown(_)
        | Cause::Held
        | Cause::Reserved
        | Cause::Fitness
        | Cause::Set
        | Cause::Devices => None,
    }
}
