//! Why a class fits nowhere: every reason of every host, counted, and the host that came closest.
//!
//! It is asked once for a class that fails, and reads the same rules that decided the failure.

use std::collections::BTreeMap;

use crate::constraint::Constraint;
use crate::fitness::float;
use crate::quantity::Milli;
use crate::resources::Resource;
use crate::result::{Explanation, NearMiss, Obstacle, Reason};

use super::class::Class;
use super::world::World;

/// Something that keeps a class from a host, before it is put into words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Dimension(usize),
    Held,
    HostRule(usize),
    ValueRule(usize),
}

pub(crate) fn explain(class: &Class<'_>, world: &World<'_>) -> Explanation {
    let mut hosts = 0;
    let mut counts: BTreeMap<Cause, u32> = BTreeMap::new();
    let mut nearest: Option<(usize, f64, usize)> = None;
    let mut causes = Vec::new();
    for host in (0..world.hosts()).filter(|host| world.is_offered(*host)) {
        hosts += 1;
        causes.clear();
        let distance = collect(class, world, host, &mut causes);
        for cause in &causes {
            *counts.entry(*cause).or_default() += 1;
        }
        let closer = |(fewest, least, _): (usize, f64, usize)| {
            causes.len().cmp(&fewest).then(distance.total_cmp(&least)).is_lt()
        };
        if nearest.is_none_or(closer) {
            nearest = Some((causes.len(), distance, host));
        }
    }
    let mut reasons: BTreeMap<Reason, u32> = BTreeMap::new();
    for (cause, count) in counts {
        // Two constraints in the same words are one reason.
        let reason = reasons.entry(reason(class, world, cause)).or_default();
        *reason = count.max(*reason);
    }
    let nearest = nearest.map(|(_, _, host)| {
        causes.clear();
        collect(class, world, host, &mut causes);
        let obstacles = causes.iter().map(|cause| obstacle(class, world, host, *cause)).collect();
        NearMiss { host: world.id(host).clone(), obstacles }
    });
    Explanation { hosts, reasons, nearest }
}

/// All that keeps a class from a host; gives how far away it is: the lacking share of each resource, and 1 for
/// each constraint.
fn collect(class: &Class<'_>, world: &World<'_>, host: usize, causes: &mut Vec<Cause>) -> f64 {
    let mut distance = 0.0;
    for (dimension, wanted) in class.demand() {
        let free = world.free(*dimension, host);
        if *wanted > free {
            causes.push(Cause::Dimension(*dimension));
            distance += float(wanted - free) / float(*wanted);
        }
    }
    let constraints = causes.len();
    if world.is_held(host) {
        causes.push(Cause::Held);
    }
    for (position, constraint) in class.host_hard().iter().enumerate() {
        if class.host_score(constraint, world, host) <= 0.0 {
            causes.push(Cause::HostRule(position));
        }
    }
    for (position, rule) in class.value_hard().iter().enumerate() {
        if !class.value_rule_holds(rule, world, host) {
            causes.push(Cause::ValueRule(position));
        }
    }
    distance + float((causes.len() - constraints) as u64)
}

fn reason(class: &Class<'_>, world: &World<'_>, cause: Cause) -> Reason {
    match cause {
        Cause::Dimension(dimension) => Reason::Lacks(world.resource(dimension)),
        Cause::Held => Reason::HeldExclusively,
        Cause::HostRule(_) | Cause::ValueRule(_) => {
            Reason::Constraint(constraint(class, cause).map_or(String::new(), ToString::to_string))
        }
    }
}

fn obstacle(class: &Class<'_>, world: &World<'_>, host: usize, cause: Cause) -> Obstacle {
    match cause {
        Cause::Dimension(dimension) => {
            let resource = world.resource(dimension);
            let amount = |amount: u64| match &resource {
                Resource::Ports => Milli::whole(amount),
                Resource::Cpus
                | Resource::Memory
                | Resource::Disk
                | Resource::Network
                | Resource::Scalar(_) => Milli::from_thousandths(amount),
            };
            let demand = class.demand().iter().find(|(of, _)| *of == dimension);
            let wanted = amount(demand.map_or(0, |(_, wanted)| *wanted));
            let free = amount(world.free(dimension, host));
            Obstacle::Lacks { resource, wanted, free }
        }
        Cause::Held => Obstacle::HeldExclusively,
        Cause::HostRule(_) | Cause::ValueRule(_) => Obstacle::Constraint(
            constraint(class, cause).map_or(String::new(), ToString::to_string),
        ),
    }
}

fn constraint<'a>(class: &Class<'a>, cause: Cause) -> Option<&'a Constraint> {
    match cause {
        Cause::HostRule(position) => Some(class.host_hard()[position]),
        Cause::ValueRule(position) => Some(class.value_hard()[position].constraint),
        Cause::Dimension(_) | Cause::Held => None,
    }
}
