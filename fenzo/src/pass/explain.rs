//! Why a class fits nowhere: every reason of every host, counted, the hosts that came closest, and what would help.
//!
//! It looks at every host, once for a class that fails, and reads the same rules that decided the failure. Where
//! many classes fail, a [`Survey`](super::survey::Survey) says the same of most of them for less.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::cluster::columns::lacking;
use crate::constraint::Constraint;
use crate::fitness::float;
use crate::id::{DeviceKind, HostId};
use crate::quantity::Milli;
use crate::resources::Resource;
use crate::result::{Change, Explanation, NearMiss, Obstacle, Reason, Remedy};

use super::class::Class;

/// So many hosts that came close are named.
const NEAR: usize = 3;

/// Something that keeps a class from a host, before it is put into words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
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
    /// It is not at the place that the gang is confined to.
    Elsewhere,
}

fn near_miss(class: &Class<'_>, cluster: &Cluster, host: usize, place: Place) -> NearMiss {
    let mut causes = Vec::new();
    collect(class, cluster, host, place, &mut causes);
    let obstacles = causes.iter().map(|cause| obstacle(class, cluster, host, *cause)).collect();
    NearMiss { host: cluster.names().id(host).clone(), obstacles }
}

/// The hosts that came closest of those looked at, and what each kind of change would do.
#[derive(Default)]
pub(super) struct Close {
    /// Reasons, distance and host, ascending; equal ones as they came.
    nearest: Vec<(usize, f64, usize)>,
    /// For each cause that alone stands against hosts: how many, and the least lacking of them. They are few.
    alone: Vec<(Cause, u32, f64, usize)>,
}

impl Close {
    /// Notes a host with all that is against it.
    pub(super) fn note(&mut self, host: usize, causes: &[Cause], distance: f64) {
        let closer = |(fewest, least, _): &(usize, f64, usize)| {
            fewest.cmp(&causes.len()).then(least.total_cmp(&distance)).is_le()
        };
        let full = self.nearest.len() == NEAR;
        if !(full && self.nearest.last().is_some_and(closer)) {
            let at = self.nearest.partition_point(closer);
            self.nearest.truncate(NEAR - 1);
            self.nearest.insert(at, (causes.len(), distance, host));
        }
        if let [cause] = causes {
            match self.alone.iter_mut().find(|(of, ..)| of == cause) {
                Some((_, hosts, least, nearest)) => {
                    *hosts += 1;
                    if distance < *least {
                        (*least, *nearest) = (distance, host);
                    }
                }
                None => self.alone.push((*cause, 1, distance, host)),
            }
        }
    }

    /// Puts it into words.
    pub(super) fn into_explanation(
        self,
        hosts: u32,
        reasons: BTreeMap<Reason, u32>,
        class: &Class<'_>,
        cluster: &Cluster,
        place: Place,
    ) -> Explanation {
        let mut near =
            self.nearest.into_iter().map(|(.., host)| near_miss(class, cluster, host, place));
        let (nearest, also_near) = (near.next(), near.collect());
        let mut alone = self.alone;
        alone.sort_unstable_by_key(|(cause, ..)| *cause);
        let remedy = |(cause, hosts, _, host): (Cause, u32, f64, usize)| Remedy {
            change: change(class, cluster, host, cause),
            host: cluster.names().id(host).clone(),
            hosts,
        };
        let remedies = alone.into_iter().map(remedy).collect();
        Explanation { hosts, reasons, nearest, also_near, remedies }
    }
}

/// The place that a gang is confined to, by column and value.
pub(super) type Place = Option<(usize, u32)>;

pub(crate) fn explain(class: &Class<'_>, cluster: &Cluster, place: Place) -> Explanation {
    let mut lacking_sets: BTreeMap<&str, u32> = BTreeMap::new();
    let mut lacking_devices: BTreeMap<&DeviceKind, u32> = BTreeMap::new();
    let mut hosts = 0;
    let mut counts: BTreeMap<Cause, u32> = BTreeMap::new();
    let mut close = Close::default();
    let mut causes = Vec::new();
    for host in cluster.names().in_order().filter(|host| cluster.columns().is_offered(*host)) {
        hosts += 1;
        causes.clear();
        let distance = collect(class, cluster, host, place, &mut causes);
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
        close.note(host, &causes, distance);
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
    close.into_explanation(hosts, reasons, class, cluster, place)
}

/// Every host on offer with all that keeps a class from it; nothing, where it would be taken.
pub(crate) fn in_full(class: &Class<'_>, cluster: &Cluster) -> Vec<(HostId, Vec<Obstacle>)> {
    let mut causes = Vec::new();
    let offered = cluster.names().in_order().filter(|host| cluster.columns().is_offered(*host));
    offered
        .map(|host| {
            causes.clear();
            collect(class, cluster, host, None, &mut causes);
            causes.retain(|cause| *cause != Cause::Fitness);
            let words = causes.iter().map(|cause| obstacle(class, cluster, host, *cause));
            (cluster.names().id(host).clone(), words.collect())
        })
        .collect()
}

/// All that keeps a class from a host; gives how far away it is: the lacking share of each resource, and 1 for
/// each constraint.
pub(super) fn collect(
    class: &Class<'_>,
    cluster: &Cluster,
    host: usize,
    place: Place,
    causes: &mut Vec<Cause>,
) -> f64 {
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
    if place.is_some_and(|(column, value)| cluster.values().of_host(column, host) != value) {
        causes.push(Cause::Elsewhere);
    }
    if cluster.columns().is_held(host) {
        // A head that wants its host alone holds it as well.
        let held = if kept.is_some() { Cause::Reserved } else { Cause::Held };
        if causes.last() != Some(&held) {
            causes.push(held);
        }
    }
    for (position, rule) in class.host_hard().iter().enumerate() {
        if !class.host_holds(rule, cluster, host) {
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

/// What would have to change so that this cause is none.
fn change(class: &Class<'_>, cluster: &Cluster, host: usize, cause: Cause) -> Change {
    match obstacle(class, cluster, host, cause) {
        Obstacle::Lacks { resource, wanted, free } => {
            Change::More { resource, amount: wanted.saturating_sub(free) }
        }
        Obstacle::LacksSet(set) => Change::Without(Reason::LacksSet(set)),
        Obstacle::LacksDevices { kind, .. } => Change::Without(Reason::LacksDevices(kind)),
        Obstacle::HeldExclusively
        | Obstacle::Reserved
        | Obstacle::Elsewhere
        | Obstacle::Constraint(_)
        | Obstacle::ZeroFitness => Change::Without(reason(class, cluster, cause)),
    }
}

pub(super) fn reason(class: &Class<'_>, cluster: &Cluster, cause: Cause) -> Reason {
    match cause {
        Cause::Dimension(dimension) => Reason::Lacks(cluster.columns().resource(dimension)),
        Cause::Unknown(unknown) => {
            Reason::Lacks(Resource::Scalar(class.demand().unknown[unknown].0.clone()))
        }
        Cause::Held => Reason::HeldExclusively,
        Cause::Fitness => Reason::ZeroFitness,
        Cause::Reserved => Reason::Reserved,
        Cause::Elsewhere => Reason::Elsewhere,
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
        Cause::Elsewhere => Obstacle::Elsewhere,
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
        | Cause::Elsewhere
        | Cause::Fitness
        | Cause::Set
        | Cause::Devices => None,
    }
}
