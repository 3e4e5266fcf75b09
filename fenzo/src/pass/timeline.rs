//! How a host becomes free: what runs on it, when that ends, and when a class fits there.
//!
//! Ends that are not known come after all that are. What a pass has placed already is counted like what runs.

use crate::cluster::columns::covers;
use crate::cluster::devices::HostDevices;
use crate::cluster::{Cluster, wants_host_alone};
use crate::constraint::Constraint;
use crate::device::DeviceUse;
use crate::id::GroupName;
use crate::quantity::Time;
use crate::request::TaskClass;
use crate::reservation::{Outlook, Start};
use crate::result::{PlacedTask, SetUse};

use super::class::Class;

/// When a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    At(Time),
    Unknown,
}

struct Ending<'a> {
    at: End,
    class: &'a TaskClass,
    amounts: Box<[u64]>,
    sets: &'a [SetUse],
    devices: &'a [DeviceUse],
}

/// What is on a host, those that end first in front.
pub(super) struct Timeline<'a> {
    pub(super) host: usize,
    /// What is free now, by dimension.
    pub(super) free: Box<[u64]>,
    endings: Vec<Ending<'a>>,
}

/// The moment from which on a class fits.
pub(super) struct Opening {
    pub(super) start: Start,
    /// What is free then, by dimension.
    pub(super) free: Box<[u64]>,
}

impl<'a> Timeline<'a> {
    /// `placed`: what this pass has put on the host.
    pub(super) fn new(
        cluster: &'a Cluster,
        outlook: &Outlook<'a>,
        host: usize,
        placed: impl Iterator<Item = &'a PlacedTask>,
    ) -> Self {
        let dimensions = cluster.columns().dimensions();
        let ending = |at: Option<Time>,
                      class: &'a TaskClass,
                      sets: &'a [SetUse],
                      devices: &'a [DeviceUse]| {
            let mut amounts = vec![0; dimensions].into_boxed_slice();
            cluster.add_demand(class, &mut amounts);
            // What should have ended is expected to end any moment.
            let at = at.map_or(End::Unknown, |at| End::At(at.max(outlook.now)));
            Ending { at, class, amounts, sets, devices }
        };
        let mut endings: Vec<Ending<'a>> = cluster
            .running_of(host)
            .map(|(id, running)| {
                let at = outlook.ends.get(id).copied();
                ending(at, &running.class, &running.sets, &running.devices)
            })
            .collect();
        endings.extend(placed.map(|task| {
            let run_time = task.request.run_time;
            let at = run_time.map(|run_time| outlook.now.saturating_add(run_time));
            ending(at, &task.request.class, &task.sets, &task.devices)
        }));
        // The order of arrival in the host's record breaks ties.
        endings.sort_by_key(|ending| ending.at);
        Self { host, free: cluster.columns().free(host).into(), endings }
    }

    /// The first moment at which a class has room, nobody it cannot be with is there, and sets serve it.
    pub(super) fn opening(&self, cluster: &Cluster, class: &Class<'_>) -> Option<Opening> {
        let demand = &class.demand().amounts;
        let mut order: Vec<&Ending<'_>> = self.endings.iter().collect();
        // Of those whose end nobody knows, the ones that are in the way, then the ones that free most.
        let known = order.partition_point(|ending| ending.at != End::Unknown);
        order[known..].sort_by(|one, other| {
            let weight =
                |ending: &Ending<'_>| (bars(class, ending.class), freed(&ending.amounts, demand));
            let (one, other) = (weight(one), weight(other));
            other.0.cmp(&one.0).then(other.1.total_cmp(&one.1))
        });
        let mut free = self.free.clone();
        let mut bars_left = order.iter().filter(|ending| bars(class, ending.class)).count();
        let mut start = None;
        let mut unknown = 0;
        for gone in 0..=order.len() {
            if let Some(ending) = gone.checked_sub(1).map(|last| order[last]) {
                add(&mut free, &ending.amounts);
                bars_left -= usize::from(bars(class, ending.class));
                match ending.at {
                    End::At(at) => start = Some(at),
                    End::Unknown => unknown += 1,
                }
            }
            let rest = || order[gone..].iter().map(|ending| ending.sets);
            let given_back = || order[..gone].iter().flat_map(|ending| ending.devices);
            let (sets, devices) = (&class.demand().sets, &class.demand().devices);
            if bars_left == 0
                && covers(&free, demand)
                && (!class.minds_sets() || cluster.sets_serve(self.host, sets, rest()))
                && (devices.is_empty()
                    || cluster.devices_with(self.host, given_back()).lacks(devices).is_none())
            {
                let start = match unknown {
                    0 => Start::At(start.unwrap_or(Time::ZERO)),
                    unknown => Start::AfterEnds(unknown),
                };
                return Some(Opening { start, free });
            }
        }
        None
    }

    /// The moments at which something ends.
    pub(super) fn ends(&self) -> impl Iterator<Item = End> {
        self.endings.iter().map(|ending| ending.at)
    }

    /// The devices that are free at a moment.
    pub(super) fn devices_at(&self, moment: End, cluster: &Cluster) -> HostDevices {
        let gone = self.endings.iter().filter(|ending| ending.at <= moment);
        cluster.devices_with(self.host, gone.flat_map(|ending| ending.devices))
    }

    /// What is free at a moment, and whether anybody is still there who bars a class then.
    pub(super) fn at(&self, moment: End, class: &Class<'_>) -> (Box<[u64]>, bool) {
        let mut free = self.free.clone();
        let mut barred = false;
        for ending in &self.endings {
            if ending.at <= moment {
                add(&mut free, &ending.amounts);
            } else {
                barred |= bars(class, ending.class);
            }
        }
        (free, barred)
    }
}

/// Whether a class could be on a host once others have gone: by rules that nobody's end changes. Rules about
/// where co-tasks are elsewhere count as they are now.
pub(super) fn could_host(class: &Class<'_>, cluster: &Cluster, host: usize) -> bool {
    let host_rules = class.host_hard().iter().all(|rule| match rule.constraint {
        Constraint::UniqueHost | Constraint::AntiAffinity { .. } | Constraint::ExclusiveHost => {
            true
        }
        Constraint::Attribute { .. }
        | Constraint::UniqueAttribute { .. }
        | Constraint::Balanced { .. }
        | Constraint::Affinity { .. }
        | Constraint::Spread { .. }
        | Constraint::Custom(_) => class.host_holds(rule, cluster, host),
    });
    host_rules
        && class.demand().unknown.is_empty()
        && class.value_hard().iter().all(|rule| class.value_rule_holds(rule, cluster, host))
}

/// Whether a class cannot join a task on its host.
fn bars(class: &Class<'_>, other: &TaskClass) -> bool {
    let has = |key: &GroupName| other.group == *key || other.keys.contains(key);
    wants_host_alone(other)
        || class.class().hard.iter().any(|rule| match rule {
            Constraint::ExclusiveHost => true,
            Constraint::UniqueHost => has(&class.class().group),
            Constraint::AntiAffinity { key, level } => level.is_host() && has(key),
            Constraint::Attribute { .. }
            | Constraint::UniqueAttribute { .. }
            | Constraint::Balanced { .. }
            | Constraint::Affinity { .. }
            | Constraint::Spread { .. }
            | Constraint::Custom(_) => false,
        })
}

fn add(free: &mut [u64], amounts: &[u64]) {
    for (free, amount) in free.iter_mut().zip(amounts) {
        *free = free.saturating_add(*amount);
    }
}

/// How much of a demand something frees, as a sum of shares.
fn freed(amounts: &[u64], demand: &[u64]) -> f64 {
    let float = crate::fitness::float;
    let wanted = amounts.iter().zip(demand).filter(|(_, wanted)| **wanted > 0);
    wanted.map(|(amount, wanted)| float(*amount.min(wanted)) / float(*wanted)).sum()
}
