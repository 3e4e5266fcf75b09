//! How many hosts lack members of named sets for a class, without a look at each host.
//!
//! Hosts whose sets serve every task alike are counted together: there are few such kinds as a rule. It must know
//! of every change of a host on offer, and serves only where no closure judges members.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::cluster::sets::HostSets;
use crate::request::SetRequest;

/// The answers for so many kinds of requests are kept.
const KEPT: usize = 64;

type Requests = BTreeMap<String, SetRequest>;

/// The hosts on offer by what is left of their sets.
#[derive(Default)]
pub(super) struct SetCounts {
    of_host: Vec<Option<Arc<HostSets>>>,
    hosts: BTreeMap<Arc<HostSets>, u32>,
    /// For requests that were asked about since the last change: sets that cannot serve them, on how many hosts.
    lacking: BTreeMap<Requests, Vec<(String, u32)>>,
}

impl SetCounts {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let mut counts = Self::default();
        counts.of_host.resize_with(cluster.names().slots(), || None);
        for host in cluster.names().in_order().filter(|host| cluster.columns().is_offered(*host)) {
            counts.add(host, &cluster.host(host).sets);
        }
        counts
    }

    fn add(&mut self, host: usize, sets: &HostSets) {
        let kind = match self.hosts.get_key_value(sets) {
            Some((kind, _)) => Arc::clone(kind),
            None => Arc::new(sets.clone()),
        };
        *self.hosts.entry(Arc::clone(&kind)).or_default() += 1;
        self.of_host[host] = Some(kind);
    }

    /// Notes what has become of a host on offer.
    pub(super) fn update(&mut self, host: usize, cluster: &Cluster) {
        let now = &cluster.host(host).sets;
        let Some(before) = self.of_host[host].take_if(|before| **before != *now) else { return };
        if let Some(hosts) = self.hosts.get_mut(&before) {
            *hosts -= 1;
            if *hosts == 0 {
                self.hosts.remove(&before);
            }
        }
        self.add(host, now);
        self.lacking.clear();
    }

    /// The sets that cannot serve these requests, and how many hosts each of them keeps out first of all.
    pub(super) fn lacking(&mut self, requests: &Requests) -> &[(String, u32)] {
        if !self.lacking.contains_key(requests) {
            let mut lacking: BTreeMap<&str, u32> = BTreeMap::new();
            for (kind, hosts) in &self.hosts {
                if let Some(set) = kind.lacks(requests) {
                    *lacking.entry(set).or_default() += hosts;
                }
            }
            let lacking = lacking.into_iter().map(|(set, hosts)| (set.to_owned(), hosts)).collect();
            if self.lacking.len() >= KEPT {
                self.lacking.clear();
            }
            self.lacking.insert(requests.clone(), lacking);
        }
        self.lacking.get(requests).map_or(&[], Vec::as_slice)
    }
}
