//! What the scheduler remembers between runs: hosts by ordinal, with leases, running tasks and their order.
//!
//! There is one state and no copy of it. What changes a host marks it; [`Cluster::begin`] brings the rows of
//! the marked hosts up to date, so a run costs what has changed and not what there is. A pass places on the
//! live state through [`Cluster::take`]; a trial is undone with [`Cluster::roll_back`], which is what gangs
//! and what-if questions rest on. After the pass [`Cluster::end`] leaves only what was there before: placed
//! tasks run when the caller says so.

pub(crate) mod ahead;
mod block;
mod bound;
pub(crate) mod columns;
pub(crate) mod devices;
pub(crate) mod directory;
mod glance;
pub(crate) mod groups;
mod host;
mod leases;
mod names;
pub(crate) mod ranking;
pub(crate) mod said;
pub(crate) mod seek;
pub(crate) mod sets;
mod tasks;
pub(crate) mod values;

#[cfg(test)]
mod tests;

use crate::attribute::Attributes;
use crate::device::DeviceUse;
use crate::id::{GroupName, HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::quantity::Time;
use crate::request::TaskClass;
use crate::result::{LeaseProblem, SetUse};
use crate::set_fitness::SetFitness;
use bound::BoundSets;
use columns::{Columns, Demand, PORTS, Row};
use devices::Pick;
use groups::Groups;
pub(crate) use host::{Host, wants_host_alone};
use leases::Leases;
use names::Names;
use ranking::Ranking;
pub(crate) use tasks::Running;
use tasks::{Noted, Tasks};
use values::Values;

/// A task put on a host in a pass.
#[derive(Clone, Debug)]
struct Placement {
    host: usize,
    group: usize,
    /// The other groups that count it.
    keys: Vec<usize>,
    demand: [u64; 4],
    sets: Vec<SetUse>,
    devices: Vec<Pick>,
    held_before: bool,
}

/// The names that tasks of a class are known by, beside that of their group.
pub(crate) fn keys(class: &TaskClass) -> impl Iterator<Item = &GroupName> {
    class.keys.iter().filter(|key| **key != class.group)
}

/// All hosts, and where leases, tasks and groups are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    names: Names,
    hosts: Vec<Host>,
    columns: Columns,
    values: Values,
    groups: Groups,
    ranking: Option<Ranking>,
    /// A host has one lease, of all that it has, and keeps it when it gets tasks.
    single_lease: bool,
    /// The named sets of all hosts.
    bound: BoundSets,
    /// Who judges their members, if it is not the built-in rule.
    set_fitness: Option<SetFitness>,
    leases: Leases,
    tasks: Tasks,
    /// Hosts whose rows are out of date.
    marked: Vec<usize>,
    is_marked: Vec<bool>,
    /// The placements of this pass that stand.
    placements: Vec<Placement>,
    /// The hosts that changed in this pass, with every placement and every undoing.
    changes: Vec<usize>,
}

impl Cluster {
    /// No hosts; those to come are kept in order of these weights, if there is such an order. With
    /// `single_lease`, a host has one lease, of all that it has, and keeps it when it gets tasks.
    pub(crate) fn new(weights: Option<[f64; 4]>, single_lease: bool) -> Self {
        let mut cluster = Self { single_lease, ..Self::default() };
        cluster.rank_by(weights);
        cluster
    }

    /// Keeps hosts in another order from now on.
    pub(crate) fn rank_by(&mut self, weights: Option<[f64; 4]>) {
        self.ranking = weights.map(Ranking::new);
        let hosts: Vec<usize> = self.names.in_order().collect();
        for host in hosts {
            self.mark(host);
        }
    }

    /// Whether a host has one lease, of all that it has.
    pub(crate) fn is_single_lease(&self) -> bool {
        self.single_lease
    }

    pub(crate) fn lease_count(&self) -> usize {
        self.leases.count()
    }

    pub(crate) fn running_on(&self, task: &TaskId) -> Option<&HostId> {
        Some(self.names.id(self.tasks.get(self.tasks.find(task)?).host))
    }

    /// A running task.
    pub(crate) fn running(&self, task: &TaskId) -> Option<&Running> {
        Some(&self.tasks.get(self.tasks.find(task)?).running)
    }

    /// When the oldest lease was offered.
    pub(crate) fn oldest_lease(&self) -> Option<Time> {
        self.leases.oldest()
    }

    /// Holds a lease; gives its id back if there is one of that id already, or none may be added to the host.
    pub(crate) fn add_lease(&mut self, lease: Lease) -> Result<(), (LeaseId, LeaseProblem)> {
        if self.holds(&lease.id) {
            return Err((lease.id, LeaseProblem::Held));
        }
        if self.single_lease && self.has_lease(&lease.host) {
            return Err((lease.id, LeaseProblem::HostHasOne));
        }
        self.columns.learn_scalars(&lease.offered);
        let host = self.insert_host(&lease.host);
        let learnt = self.hosts[host].learn(&lease, &self.leases);
        if learnt.changes {
            let attributes = Some(&self.hosts[host].attributes);
            self.values.set(host, self.names.id(host), attributes);
        }
        let lease = self.leases.add(lease, host);
        self.hosts[host].add_lease(lease, learnt.latest, &self.leases);
        self.mark(host);
        Ok(())
    }

    pub(crate) fn holds(&self, lease: &LeaseId) -> bool {
        self.leases.find(lease).is_some()
    }

    fn has_lease(&self, host: &HostId) -> bool {
        self.names.get(host).is_some_and(|host| !self.hosts[host].leases.is_empty())
    }

    /// Forgets a lease; false if it was not held.
    pub(crate) fn remove_lease(&mut self, lease: &LeaseId) -> bool {
        let Some(lease) = self.leases.find(lease) else { return false };
        self.drop_lease(lease);
        true
    }

    fn drop_lease(&mut self, lease: usize) {
        let host = self.leases.host(lease);
        self.hosts[host].remove_lease(lease, &self.leases);
        self.leases.remove(lease);
        self.mark(host);
    }

    /// Forgets all leases of a host and gives their ids, ascending.
    pub(crate) fn remove_leases_of(&mut self, host_id: &HostId) -> Vec<LeaseId> {
        self.names.get(host_id).map_or(Vec::new(), |host| self.take_leases(host))
    }

    fn take_leases(&mut self, host: usize) -> Vec<LeaseId> {
        let leases = self.leases_of(host).map(|lease| lease.id.clone()).collect();
        while let Some(lease) = self.hosts[host].leases.last() {
            self.drop_lease(*lease);
        }
        leases
    }

    /// Forgets all leases of the hosts that pass, in order of name, and gives their ids.
    pub(crate) fn remove_leases_where(
        &mut self,
        passes: impl Fn(&HostId, &Attributes) -> bool,
    ) -> Vec<LeaseId> {
        let chosen: Vec<usize> = self
            .names
            .in_order()
            .filter(|host| passes(self.names.id(*host), &self.hosts[*host].attributes))
            .collect();
        chosen.into_iter().flat_map(|host| self.take_leases(host)).collect()
    }

    /// Forgets all leases of hosts with one offered at or before `bound`, of at most `hosts` of them, those with
    /// the oldest first; gives their ids, and how many hosts they are of.
    pub(crate) fn remove_expired_hosts(&mut self, bound: Time, hosts: u32) -> (Vec<LeaseId>, u32) {
        let (mut removed, mut count) = (Vec::new(), 0);
        while count < hosts
            && let Some(same_age) = self.leases.oldest_until(bound)
        {
            for lease in same_age {
                if count == hosts {
                    return (removed, count);
                }
                // It may have gone with another lease of its host.
                if let Some(host) = self.leases.host_of(lease) {
                    removed.extend(self.take_leases(host));
                    count += 1;
                }
            }
        }
        (removed, count)
    }

    /// Forgets the leases offered at or before `bound` and gives their ids, oldest first.
    pub(crate) fn remove_leases_until(&mut self, bound: Time) -> Vec<LeaseId> {
        let mut removed = Vec::new();
        while let Some(same_age) = self.leases.oldest_until(bound) {
            for lease in same_age {
                removed.push(self.leases.get(lease).id.clone());
                self.drop_lease(lease);
            }
        }
        removed
    }

    /// Notes that a task runs; gives the host it was noted on before, if any.
    pub(crate) fn add_task(
        &mut self,
        task: TaskId,
        running: Running,
        host_id: &HostId,
    ) -> Option<HostId> {
        let before = self.tasks.find(&task).map(|before| self.drop_task(before));
        let before = before.map(|host| self.names.id(host).clone());
        self.columns.learn_scalars(&running.class.demand);
        let host = self.insert_host(host_id);
        let group = self.groups.insert(&running.class.group);
        self.groups.add(group, host, &running.class.demand.measures(), &self.values);
        for key in keys(&running.class) {
            let key = self.groups.insert(key);
            self.groups.add(key, host, &[0; 4], &self.values);
        }
        let position = self.hosts[host].running.len();
        let task = self.tasks.add(Noted { id: task, running, host, group, position });
        self.hosts[host].add_task(task, &self.tasks.get(task).running.class);
        self.mark(host);
        before
    }

    /// Notes that a task no longer runs on a host; false if it was not noted there.
    pub(crate) fn remove_task(&mut self, task: &TaskId, host_id: &HostId) -> bool {
        let Some(task) = self.tasks.find(task) else { return false };
        if self.names.id(self.tasks.get(task).host) != host_id {
            return false;
        }
        self.drop_task(task);
        true
    }

    /// Forgets a task; gives its host.
    fn drop_task(&mut self, task: usize) -> usize {
        let noted = self.tasks.remove(task);
        let Noted { host, group, position, .. } = noted;
        if let Some(moved) = self.hosts[host].remove_task(&noted) {
            self.tasks.set_position(moved, position);
        }
        let measures = noted.running.class.demand.measures();
        self.groups.remove(group, host, &measures, &self.values);
        self.groups.release(group);
        for key in keys(&noted.running.class) {
            let key = self.groups.get(key).expect("a noted task is in the groups of its keys");
            self.groups.remove(key, host, &[0; 4], &self.values);
            self.groups.release(key);
        }
        self.mark(host);
        host
    }

    fn insert_host(&mut self, id: &HostId) -> usize {
        if let Some(host) = self.names.get(id) {
            return host;
        }
        let host = self.names.insert(id);
        let slots = self.names.slots();
        self.hosts.resize_with(slots, Host::default);
        self.is_marked.resize(slots, false);
        self.columns.grow(slots);
        self.values.set(host, id, Some(&Attributes::new()));
        host
    }

    fn mark(&mut self, host: usize) {
        if !std::mem::replace(&mut self.is_marked[host], true) {
            self.marked.push(host);
        }
    }

    /// Begins a pass: the rows are up to date from here to [`Cluster::end`].
    pub(crate) fn begin(&mut self) {
        self.values.begin_pass();
        let mut row = Row::default();
        let mut marked = std::mem::take(&mut self.marked);
        for host in marked.drain(..) {
            self.is_marked[host] = false;
            self.forget_sets(host);
            self.hosts[host].row(
                &self.leases,
                &self.tasks,
                &self.columns,
                self.single_lease,
                &mut row,
            );
            if let Some(fitness) = &self.set_fitness {
                self.hosts[host].sets.be_judged_by(fitness, self.names.id(host));
            }
            let new_sets = self.learn_sets(host, row.offered);
            let changed = self.columns.set(host, &row) || new_sets;
            if let Some(ranking) = &mut self.ranking
                && (changed || !ranking.knows(host))
            {
                let hosts = &self.hosts;
                let same_sets = |host: usize, other: usize| hosts[host].sets == hosts[other].sets;
                ranking.update(host, &self.columns, &self.names, same_sets);
            }
            if self.hosts[host].is_idle() {
                self.values.set(host, self.names.id(host), None);
                self.forget_sets(host);
                self.hosts[host] = Host::default();
                self.names.remove(host);
            }
        }
        self.marked = marked;
    }

    /// Puts a task of a group on a host, with the devices that were picked for it; gives its ports and what it
    /// uses of named sets and of devices.
    pub(crate) fn take(
        &mut self,
        host: usize,
        group: usize,
        demand: &Demand,
        alone: bool,
        devices: Vec<Pick>,
    ) -> (Vec<u16>, Vec<SetUse>, Vec<DeviceUse>) {
        let kept = self.columns.withheld(host).map_or(0, |kept| kept[PORTS]);
        let left = self.columns.free(host)[PORTS] + kept;
        let held_before = self.columns.take(host, demand, alone);
        let mut measures = [0; 4];
        measures.copy_from_slice(&demand.amounts[..PORTS]);
        self.groups.add(group, host, &measures, &self.values);
        for key in &demand.keys {
            self.groups.add(*key, host, &[0; 4], &self.values);
        }
        let sets = self.take_sets(host, &demand.sets);
        let uses = sets.clone();
        let devices_used = self.hosts[host].devices.take(&devices);
        self.placements.push(Placement {
            host,
            group,
            keys: demand.keys.clone(),
            demand: measures,
            sets,
            devices,
            held_before,
        });
        self.changed(host);
        let count = u32::try_from(demand.amounts[PORTS]).expect("a task asks for ports in a u32");
        (self.hosts[host].take_ports(left, count), uses, devices_used)
    }

    fn changed(&mut self, host: usize) {
        self.changes.push(host);
        if let Some(ranking) = &mut self.ranking {
            let hosts = &self.hosts;
            let same_sets = |host: usize, other: usize| hosts[host].sets == hosts[other].sets;
            ranking.update(host, &self.columns, &self.names, same_sets);
        }
    }

    /// Undoes the placements beyond the first `placed`; `demand_of` tells what each of them took, by position.
    pub(crate) fn roll_back<'d>(&mut self, placed: usize, demand_of: impl Fn(usize) -> &'d Demand) {
        while self.placements.len() > placed {
            let Placement { host, group, keys, demand, sets, devices, held_before } =
                self.placements.pop().expect("there are more placements");
            self.give_back_sets(host, &sets);
            self.hosts[host].devices.give_back(&devices);
            self.columns.give_back(host, demand_of(self.placements.len()), held_before);
            self.groups.remove(group, host, &demand, &self.values);
            for key in keys {
                self.groups.remove(key, host, &[0; 4], &self.values);
            }
            self.changed(host);
        }
    }

    /// Ends a pass: each host that got tasks gives up its leases, and what was placed is not there any more.
    pub(crate) fn end(&mut self) {
        let mut placements = std::mem::take(&mut self.placements);
        for Placement { host, group, keys, demand, .. } in placements.drain(..) {
            self.groups.remove(group, host, &demand, &self.values);
            for key in keys {
                self.groups.remove(key, host, &[0; 4], &self.values);
            }
            while !self.single_lease
                && let Some(lease) = self.hosts[host].leases.last()
            {
                self.drop_lease(*lease);
            }
            self.mark(host);
        }
        // The room is kept for the next pass.
        self.placements = placements;
        self.changes.clear();
    }

    /// Keeps some of what is free on a host from the rest of this pass: see [`Columns::withhold`].
    pub(crate) fn withhold(&mut self, host: usize, amounts: Box<[u64]>, alone: bool) {
        self.columns.withhold(host, amounts, alone);
        self.changed(host);
        self.mark(host);
    }

    /// The column of an attribute.
    pub(crate) fn column(&mut self, name: &str) -> usize {
        let of = |host: usize| (host, self.names.id(host), &self.hosts[host].attributes);
        self.values.column(name, self.names.in_order().map(of))
    }

    /// The ordinal of a group or key, which counts as one of this pass from now on.
    pub(crate) fn group(&mut self, name: &GroupName) -> usize {
        self.groups.insert(name)
    }

    /// Makes a group count its tasks by value: see [`Groups::count_by_value`].
    pub(crate) fn count_by_value(
        &mut self,
        group: usize,
        column: usize,
        domain: Box<[bool]>,
    ) -> usize {
        self.groups.count_by_value(group, column, domain, &self.values)
    }

    /// Drops what a pass has asked of a group.
    pub(crate) fn release(&mut self, group: usize) {
        self.groups.release(group);
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn ranking(&self) -> Option<&Ranking> {
        self.ranking.as_ref()
    }

    /// The hosts with leases or running tasks, in order of name.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = usize> + '_ {
        self.names.in_order().filter(|host| !self.hosts[*host].is_idle())
    }

    pub(crate) fn host(&self, host: usize) -> &Host {
        &self.hosts[host]
    }

    /// The hosts that changed in this pass, one entry for each change.
    pub(crate) fn changes(&self) -> &[usize] {
        &self.changes
    }
}
