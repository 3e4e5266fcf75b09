//! Which hosts have members of named sets bound to which values, so that a task finds those that it can share.
//!
//! A member that is shared suits a task better than a free one, by as much as it is fuller. The hosts where a task
//! could share are few as a rule and looked at one by one; of all others it is known how well they can suit at
//! most, and so they need not be looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::fitness::float;
use crate::request::SetRequest;

use crate::result::SetUse;

use super::Cluster;
use super::sets::{HostSets, Open};

/// Where more hosts could be shared than this, they are not looked at one by one.
const FEW: usize = 256;

/// The hosts with a member that is bound to a value. Members that are bound to no value count only if some of
/// their amount is taken, which only the caller can say of running tasks.
type Hosts = BTreeMap<Option<String>, BTreeSet<usize>>;

/// The named sets of all hosts, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundSets(BTreeMap<String, Bound>);

#[derive(Clone, Debug, Default)]
struct Bound {
    hosts: Hosts,
    /// How many hosts have the set.
    known: usize,
    /// How many hosts on offer have a member with so much that nobody uses.
    free: BTreeMap<u32, usize>,
    /// How many hosts on offer have a member with so much that is bound to no value, and none of it taken.
    idle: BTreeMap<u32, usize>,
}

impl Cluster {
    /// Whether any host has named sets.
    pub(crate) fn has_sets(&self) -> bool {
        !self.bound.0.is_empty()
    }

    pub(crate) fn bound_sets(&self) -> &BoundSets {
        &self.bound
    }

    /// Forgets the sets of a host, which are about to change.
    pub(super) fn forget_sets(&mut self, host: usize) {
        let offered = self.columns.is_offered(host);
        self.bound.remove(host, &self.hosts[host].sets, offered);
    }

    /// Notes the sets of a host that is on offer or not from now on, which were forgotten; true if they may be
    /// others than before.
    pub(super) fn learn_sets(&mut self, host: usize, offered: bool) -> bool {
        let sets = &self.hosts[host].sets;
        self.bound.add(host, sets, offered);
        self.columns.set_likeness(host, sets.likeness()) || !sets.is_empty()
    }

    /// Uses members of the sets of a host, and says which.
    pub(super) fn take_sets(
        &mut self,
        host: usize,
        requests: &BTreeMap<String, SetRequest>,
    ) -> Vec<SetUse> {
        let sets = &mut self.hosts[host].sets;
        if sets.is_empty() {
            return Vec::new();
        }
        self.bound.count_open(sets, false);
        let uses = sets.take(requests);
        self.bound.count_open(sets, true);
        self.bound.add_values(host, sets);
        self.columns.set_likeness(host, sets.likeness());
        uses
    }

    /// Undoes [`Cluster::take_sets`].
    pub(super) fn give_back_sets(&mut self, host: usize, uses: &[SetUse]) {
        if uses.is_empty() {
            return;
        }
        let sets = &mut self.hosts[host].sets;
        self.bound.count_open(sets, false);
        self.bound.remove_values(host, sets);
        sets.give_back(uses);
        self.bound.add_values(host, sets);
        self.bound.count_open(sets, true);
        self.columns.set_likeness(host, sets.likeness());
    }
}

impl BoundSets {
    /// Notes the sets of a host.
    fn add(&mut self, host: usize, sets: &HostSets, offered: bool) {
        for open in sets.open() {
            if !self.0.contains_key(open.name) {
                self.0.insert(open.name.to_owned(), Bound::default());
            }
            self.0.get_mut(open.name).expect("it was just made sure of").known += 1;
        }
        if offered {
            self.count_open(sets, true);
        }
        self.add_values(host, sets);
    }

    /// Counts a host on offer, or no longer, by what of its sets is open to tasks that share nothing.
    fn count_open(&mut self, sets: &HostSets, more: bool) {
        for Open { name, each, free, idle } in sets.open() {
            let bound = self.0.get_mut(name).expect("the sets of a known host are known");
            for (sizes, counts) in [(&mut bound.free, free), (&mut bound.idle, idle)] {
                if !counts {
                    continue;
                }
                let hosts = sizes.entry(each).or_default();
                if more {
                    *hosts += 1;
                } else if *hosts > 1 {
                    *hosts -= 1;
                } else {
                    sizes.remove(&each);
                }
            }
        }
    }

    /// Notes what members of a known host are bound to, beside what was noted before.
    fn add_values(&mut self, host: usize, sets: &HostSets) {
        for (name, value) in sets.shared() {
            let bound = self.0.get_mut(name).expect("the sets of a known host are known");
            let owned = value.map(str::to_owned);
            bound.hosts.entry(owned).or_default().insert(host);
        }
    }

    /// Forgets what members of a host are bound to.
    fn remove_values(&mut self, host: usize, sets: &HostSets) {
        for (name, value) in sets.shared() {
            let bound = self.0.get_mut(name).expect("the sets of a known host are known");
            let value = value.map(str::to_owned);
            if let Some(hosts) = bound.hosts.get_mut(&value) {
                hosts.remove(&host);
                if hosts.is_empty() {
                    bound.hosts.remove(&value);
                }
            }
        }
    }

    /// Forgets the sets of a host.
    fn remove(&mut self, host: usize, sets: &HostSets, offered: bool) {
        self.remove_values(host, sets);
        if offered {
            self.count_open(sets, false);
        }
        for open in sets.open() {
            let bound = self.0.get_mut(open.name).expect("the sets of a known host are known");
            bound.known -= 1;
            if bound.known == 0 {
                self.0.remove(open.name);
            }
        }
    }

    /// The hosts where a task could share a member that is in use, if they are few.
    pub(crate) fn hosts_that_share(
        &self,
        requests: &BTreeMap<String, SetRequest>,
    ) -> Option<BTreeSet<usize>> {
        let mut all = BTreeSet::new();
        for (name, bound) in &self.0 {
            let value = requests.get(name).map(|request| request.value.clone());
            let hosts = bound.hosts.get(&value).into_iter().flatten();
            all.extend(hosts.take(FEW + 1));
            if all.len() > FEW {
                return None;
            }
        }
        Some(all)
    }

    /// The best fitness of the sets of any other host on offer.
    pub(crate) fn most_unshared(&self, requests: &BTreeMap<String, SetRequest>) -> f64 {
        let most = |sizes: &BTreeMap<u32, usize>, share: f64| {
            let least = sizes.first_key_value();
            least.map_or(0.0, |(each, _)| share / float(u64::from(*each) + 1))
        };
        let of = self.0.iter().map(|(name, bound)| {
            // A task without a request is best off where others without one are.
            let idle = if requests.contains_key(name) { 0.0 } else { most(&bound.idle, 1.0) };
            most(&bound.free, 0.5).max(idle)
        });
        of.fold(0.0, f64::max)
    }
}
