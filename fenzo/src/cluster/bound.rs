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
use super::sets::HostSets;

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
    /// How many hosts have members with so much each.
    sizes: BTreeMap<u32, usize>,
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
        self.bound.remove(host, &self.hosts[host].sets);
    }

    /// Notes the sets of a host, which were forgotten; true if they are others than before.
    pub(super) fn learn_sets(&mut self, host: usize) -> bool {
        let sets = &self.hosts[host].sets;
        self.bound.add(host, sets);
        self.columns.set_likeness(host, sets.likeness())
    }

    /// Uses members of the sets of a host, and says which.
    pub(super) fn take_sets(
        &mut self,
        host: usize,
        requests: &BTreeMap<String, SetRequest>,
    ) -> Vec<SetUse> {
        let sets = &mut self.hosts[host].sets;
        let uses = sets.take(requests);
        if !sets.is_empty() {
            self.bound.add_values(host, sets);
            self.columns.set_likeness(host, sets.likeness());
        }
        uses
    }

    /// Undoes [`Cluster::take_sets`].
    pub(super) fn give_back_sets(&mut self, host: usize, uses: &[SetUse]) {
        if uses.is_empty() {
            return;
        }
        let sets = &mut self.hosts[host].sets;
        self.bound.remove_values(host, sets);
        sets.give_back(uses);
        self.bound.add_values(host, sets);
        self.columns.set_likeness(host, sets.likeness());
    }
}

impl BoundSets {
    /// Notes the sets of a host.
    fn add(&mut self, host: usize, sets: &HostSets) {
        for (name, each) in sets.sizes() {
            if !self.0.contains_key(name) {
                self.0.insert(name.to_owned(), Bound::default());
            }
            let bound = self.0.get_mut(name).expect("it was just made sure of");
            *bound.sizes.entry(each).or_default() += 1;
        }
        self.add_values(host, sets);
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
    fn remove(&mut self, host: usize, sets: &HostSets) {
        self.remove_values(host, sets);
        for (name, each) in sets.sizes() {
            let bound = self.0.get_mut(name).expect("the sets of a known host are known");
            let hosts = bound.sizes.get_mut(&each).expect("a known host counts");
            *hosts -= 1;
            if *hosts == 0 {
                bound.sizes.remove(&each);
            }
            if bound.sizes.is_empty() {
                self.0.remove(name);
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

    /// The best fitness of the sets of any other host.
    pub(crate) fn most_unshared(&self, requests: &BTreeMap<String, SetRequest>) -> f64 {
        let most = self.0.iter().map(|(name, bound)| {
            let least = bound.sizes.first_key_value().map_or(0, |(each, _)| *each);
            // A task without a request is best off where others without one are.
            let share = if requests.contains_key(name) { 0.5 } else { 1.0 };
            share / float(u64::from(least) + 1)
        });
        most.fold(0.0, f64::max)
    }
}
