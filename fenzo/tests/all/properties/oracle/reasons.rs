//! Why a task fits nowhere, counted host by host.

use std::collections::BTreeMap;

use fenzo::{Constraint, DeviceKind, Explanation, HostId, Measure, Reason, Resource, TaskClass};

use super::Oracle;
use super::state::amounts;
use crate::properties::world::closures;

/// Which of several reasons in the same words it is, and the words.
type Against = (usize, Reason);

fn resource(name: &str) -> Resource {
    match name {
        "Cpus" => Resource::Cpus,
        "Memory" => Resource::Memory,
        "Disk" => Resource::Disk,
        "Network" => Resource::Network,
        scalar => Resource::Scalar(scalar["scalar ".len()..].to_owned()),
    }
}

/// The reason without the name of the set or the kind of device: which of several is named is not said here.
fn unnamed(reason: &Reason) -> Reason {
    match reason {
        Reason::LacksSet(_) => Reason::LacksSet(String::new()),
        Reason::LacksDevices(_) => Reason::LacksDevices(DeviceKind::from("")),
        other => other.clone(),
    }
}

impl Oracle<'_> {
    /// Checks the explanation of a class that fits nowhere before anything is placed: every count, how many
    /// reasons the nearest host has, and how many hosts a single change would open.
    pub(crate) fn check_reasons(&self, class: &TaskClass, why: &Explanation) {
        if self.is_over_limit(class) {
            let over = why.reasons.keys().all(|reason| matches!(reason, Reason::OverLimit(_)));
            assert!(over && why.reasons.len() == 1, "{:?}", why.reasons);
            return;
        }
        let is_offered = |host: &&HostId| self.state.leases_of(host).next().is_some();
        let offered: Vec<&HostId> = self.state.hosts.iter().filter(is_offered).collect();
        let mut counts: BTreeMap<Against, u32> = BTreeMap::new();
        let (mut fewest, mut single) = (usize::MAX, 0);
        for host in &offered {
            let against = self.against(class, host);
            fewest = fewest.min(against.len());
            single += u32::from(against.len() == 1);
            for one in against {
                *counts.entry(one).or_default() += 1;
            }
        }
        // Of several constraints in the same words the one that refuses most hosts counts.
        let mut expected: BTreeMap<Reason, u32> = BTreeMap::new();
        for ((_, reason), count) in counts {
            let most = expected.entry(reason).or_default();
            *most = count.max(*most);
        }
        let mut told: BTreeMap<Reason, u32> = BTreeMap::new();
        for (reason, count) in &why.reasons {
            *told.entry(unnamed(reason)).or_default() += count;
        }
        assert_eq!(told, expected, "{class:?}");
        assert_eq!(why.hosts as usize, offered.len());
        assert_eq!(why.nearest.is_some(), !offered.is_empty());
        if let Some(nearest) = &why.nearest {
            assert_eq!(nearest.obstacles.len(), fewest, "{nearest} is not the nearest");
            assert_eq!(self.against(class, &nearest.host).len(), fewest, "{nearest}");
        }
        let opened: u32 = why.remedies.iter().map(|remedy| remedy.hosts).sum();
        assert_eq!(opened, single, "{:?}", why.remedies);
    }

    /// All that keeps a class from a host.
    fn against(&self, class: &TaskClass, host: &HostId) -> Vec<Against> {
        let state = &self.state;
        let mut against = Vec::new();
        let free = state.free(host);
        for (name, wanted) in amounts(&class.demand) {
            if wanted > free.get(&name).copied().unwrap_or(0) {
                against.push((0, Reason::Lacks(resource(&name))));
            }
        }
        if state.free_ports(host).len() < class.ports as usize {
            against.push((0, Reason::Lacks(Resource::Ports)));
        }
        if state.use_of_sets(class, host).is_none() {
            against.push((0, Reason::LacksSet(String::new())));
        }
        if state.use_of_devices(class, host).is_none() {
            against.push((0, Reason::LacksDevices(DeviceKind::from(""))));
        }
        if state.on_host(host).any(|on| on.class.hard.contains(&Constraint::ExclusiveHost)) {
            against.push((0, Reason::HeldExclusively));
        }
        let filter = self.rule.filter.map(|name| {
            let tasks = state.on_host(host).count();
            let (used, total) = state.used_and_total(host, Measure::Cpus);
            (name.to_owned(), closures::expected(name, host, tasks, total - used) > 0.0)
        });
        let hard = class.hard.iter();
        let hard = hard.map(|rule| (rule.to_string(), state.holds(rule, class, host)));
        for (position, (words, holds)) in filter.into_iter().chain(hard).enumerate() {
            if !holds {
                against.push((position, Reason::Constraint(words)));
            }
        }
        if against.is_empty() {
            against.push((0, Reason::ZeroFitness));
        }
        against
    }
}
