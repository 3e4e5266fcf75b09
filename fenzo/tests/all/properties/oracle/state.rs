//! What is on every host, recounted from leases and tasks for every question.

use std::collections::{BTreeMap, BTreeSet};

use fenzo::{
    AttributeValue, DeviceUse, HOSTNAME, HostId, Lease, Level, Measure, Resources, SetUse,
    TaskClass, TaskId, TaskRequest, TaskScheduler,
};

use super::Rule;

/// A task that runs before the batch comes, with what it uses.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) task: TaskRequest,
    pub(crate) host: HostId,
    pub(crate) ports: Vec<u16>,
    pub(crate) sets: Vec<SetUse>,
    pub(crate) devices: Vec<DeviceUse>,
}

impl Restored {
    pub(crate) fn note(&self, scheduler: &mut TaskScheduler) {
        let Self { task, host, ports, sets, devices } = self.clone();
        scheduler.task_restored(&task, &host, ports, sets, devices);
    }
}

/// A task on a host.
#[derive(Clone)]
pub(crate) struct On<'a> {
    pub(crate) id: TaskId,
    pub(crate) host: HostId,
    pub(crate) class: &'a TaskClass,
    pub(crate) ports: Vec<u16>,
    pub(crate) sets: Vec<SetUse>,
    pub(crate) devices: Vec<DeviceUse>,
    /// Placed by the run that is replayed.
    pub(crate) new: bool,
}

#[derive(Clone)]
pub(crate) struct State<'a> {
    /// Those that are held, in order of id.
    pub(crate) leases: Vec<&'a Lease>,
    pub(crate) hosts: BTreeSet<HostId>,
    /// Running ones in order of id, then new ones in order of placement.
    pub(crate) on: Vec<On<'a>>,
    pub(crate) single_lease: bool,
    pub(crate) judges_sets: bool,
}

/// Amounts by dimension, in the order of the columns; ports are counted apart.
pub(crate) fn amounts(resources: &Resources) -> BTreeMap<String, u64> {
    let scalars = resources.scalars.iter();
    let mut amounts: BTreeMap<String, u64> =
        scalars.map(|(name, of)| (format!("scalar {name}"), of.thousandths())).collect();
    for measure in Measure::ALL {
        amounts.insert(format!("{measure:?}"), of(resources, measure));
    }
    amounts
}

/// The amount of a measure.
pub(crate) fn of(resources: &Resources, measure: Measure) -> u64 {
    match measure {
        Measure::Cpus => resources.cpus.thousandths(),
        Measure::Memory => resources.mem.thousandths(),
        Measure::Disk => resources.disk.thousandths(),
        Measure::Network => resources.network.thousandths(),
    }
}

/// The attributes that tell the places of a level apart, from the top of the tree down.
fn names(level: &Level) -> Vec<String> {
    if level.is_host() {
        return vec![HOSTNAME.to_owned()];
    }
    level.to_string().rsplit(" of ").map(str::to_owned).collect()
}

impl<'a> State<'a> {
    pub(crate) fn new(leases: &'a [Lease], running: &'a [Restored], rule: &Rule) -> Self {
        let is_usable = |lease: &&Lease| {
            let zone = lease.attributes.get("zone");
            let active = zone.is_some_and(|zone| rule.active_zones.contains(zone));
            (active || rule.active_zones.is_empty()) && !rule.disabled.contains(&lease.host)
        };
        let mut held: Vec<&Lease> = Vec::new();
        for lease in leases.iter().filter(is_usable) {
            if !rule.single_lease || held.iter().all(|other| other.host != lease.host) {
                held.push(lease);
            }
        }
        held.sort_by_key(|lease| &lease.id);
        let mut hosts: BTreeSet<HostId> = held.iter().map(|lease| lease.host.clone()).collect();
        hosts.extend(running.iter().map(|of| of.host.clone()));
        let mut on: Vec<On<'a>> = running.iter().map(On::running).collect();
        on.sort_by(|one, other| one.id.cmp(&other.id));
        let (single_lease, judges_sets) = (rule.single_lease, rule.judges_sets);
        Self { leases: held, hosts, on, single_lease, judges_sets }
    }

    pub(crate) fn leases_of(&self, host: &HostId) -> impl Iterator<Item = &'a Lease> {
        self.leases.iter().filter(move |lease| lease.host == *host).copied()
    }

    pub(crate) fn on_host(&self, host: &HostId) -> impl Iterator<Item = &On<'a>> {
        self.on.iter().filter(move |on| on.host == *host)
    }

    /// The lease whose attributes and sets are the host's.
    pub(crate) fn latest(&self, host: &HostId) -> Option<&'a Lease> {
        self.leases_of(host).max_by_key(|lease| (lease.offered_at, lease.id.clone()))
    }

    pub(crate) fn attribute(&self, host: &HostId, name: &str) -> Option<AttributeValue> {
        if name == HOSTNAME {
            return Some(host.as_str().into());
        }
        self.latest(host)?.attributes.get(name).cloned()
    }

    /// Where a host is on a level; `None` for one that is nowhere.
    pub(crate) fn place(&self, host: &HostId, level: &Level) -> Option<Vec<AttributeValue>> {
        names(level).iter().map(|name| self.attribute(host, name)).collect()
    }

    fn sum(tasks: impl Iterator<Item = &'a TaskClass>) -> BTreeMap<String, u64> {
        let mut sum = Resources::default();
        tasks.for_each(|class| sum.add(&class.demand));
        amounts(&sum)
    }

    /// What is left of each amount.
    pub(crate) fn free(&self, host: &HostId) -> BTreeMap<String, u64> {
        let mut offered = Resources::default();
        self.leases_of(host).for_each(|lease| offered.add(&lease.offered));
        let mut free = amounts(&offered);
        // A lease that stays is of all that there is.
        let counts = |on: &&On<'_>| on.new || self.single_lease;
        let taken = Self::sum(self.on_host(host).filter(counts).map(|on| on.class));
        for (name, amount) in &mut free {
            *amount = amount.saturating_sub(taken.get(name).copied().unwrap_or(0));
        }
        free
    }

    /// What all tasks of the host take of a measure, and what it has in all.
    pub(crate) fn used_and_total(&self, host: &HostId, measure: Measure) -> (u64, u64) {
        let used = self.on_host(host).map(|on| of(&on.class.demand, measure)).sum();
        (used, used + self.free(host)[&format!("{measure:?}")])
    }

    /// The ports that nobody has, ascending, before this run's tasks have any.
    pub(crate) fn free_ports(&self, host: &HostId) -> BTreeSet<u16> {
        let ranges = self.leases_of(host).flat_map(|lease| &lease.ports);
        let mut ports: BTreeSet<u16> = ranges.flat_map(|r| r.begin()..=r.end()).collect();
        for on in self.on_host(host).filter(|on| on.new || self.single_lease) {
            ports.retain(|port| !on.ports.contains(port));
        }
        ports
    }

    /// How many tasks pass that are on hosts that pass.
    pub(crate) fn count(
        &self,
        who: impl Fn(&TaskClass) -> bool,
        at: impl Fn(&HostId) -> bool,
    ) -> usize {
        self.on.iter().filter(|on| who(on.class) && at(&on.host)).count()
    }
}

impl<'a> On<'a> {
    fn running(of: &'a Restored) -> Self {
        let Restored { task, host, ports, sets, devices } = of;
        Self {
            id: task.id.clone(),
            host: host.clone(),
            class: &task.class,
            ports: ports.clone(),
            sets: sets.clone(),
            devices: devices.clone(),
            new: false,
        }
    }
}
