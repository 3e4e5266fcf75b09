//! Which idle hosts go first when a group is made smaller.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::attribute::{AttributeValue, lookup};
use crate::status::HostStatus;

type Order = dyn Fn(&HostStatus) -> u32 + Send + Sync;
type Score = dyn Fn(&HostStatus) -> f64 + Send + Sync;

/// The order in which idle hosts are removed.
///
/// Hosts are split into classes, which go in ascending order; in a class the host with the highest weighted sum
/// of scores goes first, then the smaller name. A host of which any score is 0 is not removed at all, and neither
/// is one for which a closure panics.
#[derive(Clone, Default)]
pub struct ScaleDownOrder {
    classes: Option<Arc<Order>>,
    scores: Vec<(u32, ScaleDownScore)>,
}

/// What speaks for removing a host.
#[derive(Clone)]
pub enum ScaleDownScore {
    /// Later hosts with the same value of an attribute score higher, so that the values stay even: the k-th,
    /// counted from 0, scores `initial + step * (1 + 1/2 + 1/4 ...)` with k terms.
    Balanced {
        /// Name of the attribute.
        attribute: String,
        /// The score of the first host with a value.
        initial: f64,
        /// How much the second scores more.
        step: f64,
    },
    /// A closure; what it returns is brought into 0 ..= 1, and is 0 if it panics.
    Custom(Arc<Score>),
}

impl ScaleDownOrder {
    /// All hosts alike: by name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same in classes.
    #[must_use]
    pub fn with_classes<F>(mut self, class: F) -> Self
    where
        F: Fn(&HostStatus) -> u32 + Send + Sync + 'static,
    {
        self.classes = Some(Arc::new(class));
        self
    }

    /// The same with one more score, which counts `weight` times.
    #[must_use]
    pub fn with_score(mut self, weight: u32, score: ScaleDownScore) -> Self {
        self.scores.push((weight, score));
        self
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        let zero = self.scores.iter().any(|(weight, _)| *weight == 0);
        zero.then_some("the weight of a score must not be 0")
    }

    /// The hosts that may go, those that go first in front.
    #[must_use]
    pub fn sort(&self, hosts: Vec<HostStatus>) -> Vec<HostStatus> {
        let mut classes: BTreeMap<u32, Vec<HostStatus>> = BTreeMap::new();
        for host in hosts {
            let class = match &self.classes {
                Some(class) => asked(&**class, &host),
                None => Some(0),
            };
            if let Some(class) = class {
                classes.entry(class).or_default().push(host);
            }
        }
        classes.into_values().flat_map(|hosts| self.sort_class(hosts)).collect()
    }

    fn sort_class(&self, hosts: Vec<HostStatus>) -> Vec<HostStatus> {
        let mut sums = vec![Some(0.0); hosts.len()];
        for (weight, score) in &self.scores {
            for (sum, score) in sums.iter_mut().zip(score.of_all(&hosts)) {
                let weighted = f64::from(*weight) * score;
                *sum = sum.filter(|_| score > 0.0).map(|sum| sum + weighted);
            }
        }
        let mut removable: Vec<(f64, HostStatus)> =
            sums.into_iter().zip(hosts).filter_map(|(sum, host)| Some((sum?, host))).collect();
        removable.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.host.cmp(&other.host)));
        removable.into_iter().map(|(_, host)| host).collect()
    }
}

impl ScaleDownScore {
    /// A score from a closure.
    pub fn custom<F>(score: F) -> Self
    where
        F: Fn(&HostStatus) -> f64 + Send + Sync + 'static,
    {
        Self::Custom(Arc::new(score))
    }

    /// The scores of hosts, in their order.
    #[must_use]
    pub fn of_all(&self, hosts: &[HostStatus]) -> Vec<f64> {
        match self {
            Self::Custom(score) => {
                let score = |host| asked(&**score, host).map_or(0.0, crate::constraint::unit);
                hosts.iter().map(score).collect()
            }
            Self::Balanced { attribute, initial, step } => {
                let mut next: BTreeMap<Option<AttributeValue>, (f64, f64)> = BTreeMap::new();
                let mut scores = Vec::with_capacity(hosts.len());
                for host in hosts {
                    let value = lookup(&host.host, &host.attributes, attribute);
                    let (score, step) = next.entry(value).or_insert((*initial, *step));
                    scores.push(*score);
                    *score += *step;
                    *step /= 2.0;
                }
                scores
            }
        }
    }
}

/// So many of some hosts, one after the other: the first with the value of an attribute that most of those left
/// have.
pub(super) fn from_largest(hosts: Vec<HostStatus>, name: &str, count: usize) -> Vec<HostStatus> {
    let mut by_value: BTreeMap<Option<AttributeValue>, VecDeque<usize>> = BTreeMap::new();
    for (at, host) in hosts.iter().enumerate() {
        by_value.entry(lookup(&host.host, &host.attributes, name)).or_default().push_back(at);
    }
    let mut groups: Vec<VecDeque<usize>> = by_value.into_values().collect();
    // The greatest first; of equal ones that whose first host comes first.
    let place = |(group, hosts): (usize, &VecDeque<usize>)| {
        hosts.front().map(|first| (Reverse(hosts.len()), *first, group))
    };
    let mut largest: BTreeSet<_> = groups.iter().enumerate().filter_map(place).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count
        && let Some((_, first, group)) = largest.pop_first()
    {
        chosen.push(first);
        groups[group].pop_front();
        largest.extend(place((group, &groups[group])));
    }
    let mut hosts: Vec<Option<HostStatus>> = hosts.into_iter().map(Some).collect();
    chosen.into_iter().filter_map(|at| hosts[at].take()).collect()
}

/// What a closure says of a host; nothing if it panics.
fn asked<T>(closure: &dyn Fn(&HostStatus) -> T, host: &HostStatus) -> Option<T> {
    // A panic leaves nothing half done: closures get shared references only.
    catch_unwind(AssertUnwindSafe(|| closure(host))).ok()
}

impl fmt::Debug for ScaleDownOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScaleDownOrder").field("scores", &self.scores).finish_non_exhaustive()
    }
}

impl fmt::Debug for ScaleDownScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balanced { .. } => "Balanced",
            Self::Custom(_) => "Custom",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease::Lease;
    use crate::resources::Resources;

    /// One by one, counting anew each time.
    fn one_by_one(mut hosts: Vec<HostStatus>, count: usize) -> Vec<HostStatus> {
        let value = |host: &HostStatus| host.attributes.get("zone").cloned();
        let mut chosen = Vec::new();
        while chosen.len() < count && !hosts.is_empty() {
            let size = |host: &HostStatus| {
                hosts.iter().filter(|other| value(other) == value(host)).count()
            };
            let most = hosts.iter().map(size).max();
            let first = hosts.iter().position(|host| Some(size(host)) == most).unwrap();
            chosen.push(hosts.remove(first));
        }
        chosen
    }

    proptest! {
        #[test]
        fn the_first_of_the_largest_goes_each_time(zones in prop::collection::vec(0..5_u8, 0..40), count in 0..45_usize) {
            let host = |(at, zone): (usize, &u8)| {
                let lease = Lease::new(format!("l{at}"), format!("h{at}"), Resources::default());
                let lease = if *zone == 0 { lease } else { lease.with_attribute("zone", format!("z{zone}")) };
                HostStatus::of_lease(&lease)
            };
            let hosts: Vec<HostStatus> = zones.iter().enumerate().map(host).collect();
            let names = |hosts: Vec<HostStatus>| -> Vec<String> {
                hosts.into_iter().map(|host| host.host.as_str().to_owned()).collect()
            };
            let chosen = names(from_largest(hosts.clone(), "zone", count));
            prop_assert_eq!(chosen, names(one_by_one(hosts, count)));
        }
    }
}
