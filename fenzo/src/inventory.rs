//! What the scheduler remembers between runs: leases it holds, tasks that run, attributes of hosts.
//!
//! A host is remembered while it has a lease or a running task. Each index here is kept in step by the one
//! function that changes it; nothing is ever recounted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attribute::Attributes;
use crate::constraint::Constraint;
use crate::id::{GroupName, HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::quantity::Time;
use crate::request::TaskClass;

/// A host with its leases and running tasks.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) attributes: Attributes,
    pub(crate) running: BTreeMap<TaskId, Arc<TaskClass>>,
    /// Demand of the running tasks, by measure.
    pub(crate) running_demand: [u128; 4],
    /// How many running tasks want the host for themselves.
    pub(crate) exclusive: u32,
    /// The latest lease whose attributes were taken.
    latest: Option<(Time, LeaseId)>,
}

/// All hosts, and where leases, tasks and groups are.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    hosts: BTreeMap<HostId, Host>,
    leases: BTreeMap<LeaseId, HostId>,
    leases_by_age: BTreeSet<(Time, LeaseId)>,
    tasks: BTreeMap<TaskId, HostId>,
    groups: BTreeMap<GroupName, BTreeMap<HostId, u32>>,
}

impl Inventory {
    pub(crate) fn hosts(&self) -> &BTreeMap<HostId, Host> {
        &self.hosts
    }

    /// The hosts that run tasks of a group, with how many.
    pub(crate) fn group(&self, group: &GroupName) -> Option<&BTreeMap<HostId, u32>> {
        self.groups.get(group)
    }

    pub(crate) fn lease_count(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn running_on(&self, task: &TaskId) -> Option<&HostId> {
        self.tasks.get(task)
    }

    /// When the oldest lease was offered.
    pub(crate) fn oldest_lease(&self) -> Option<Time> {
        self.leases_by_age.first().map(|(offered_at, _)| *offered_at)
    }

    /// Holds a lease; gives its id back if there is one of that id already.
    pub(crate) fn add_lease(&mut self, lease: Lease) -> Result<(), LeaseId> {
        if self.leases.contains_key(&lease.id) {
            return Err(lease.id);
        }
        self.leases.insert(lease.id.clone(), lease.host.clone());
        self.leases_by_age.insert((lease.offered_at, lease.id.clone()));
        let host = self.hosts.entry(lease.host.clone()).or_default();
        let age = (lease.offered_at, lease.id.clone());
        if host.latest.as_ref().is_none_or(|latest| *latest <= age) {
            host.attributes.clone_from(&lease.attributes);
            host.latest = Some(age);
        }
        host.leases.insert(lease.id.clone(), lease);
        Ok(())
    }

    /// Forgets a lease; false if it was not held.
    pub(crate) fn remove_lease(&mut self, lease: &LeaseId) -> bool {
        let Some(host_id) = self.leases.remove(lease) else { return false };
        let host = self.hosts.get_mut(&host_id).expect("the host of a held lease is remembered");
        let removed = host.leases.remove(lease).expect("a held lease is with its host");
        self.leases_by_age.remove(&(removed.offered_at, removed.id));
        self.forget_if_idle(&host_id);
        true
    }

    /// Forgets all leases of a host and gives their ids, ascending.
    pub(crate) fn remove_leases_of(&mut self, host_id: &HostId) -> Vec<LeaseId> {
        let Some(host) = self.hosts.get(host_id) else { return Vec::new() };
        let leases: Vec<LeaseId> = host.leases.keys().cloned().collect();
        for lease in &leases {
            self.remove_lease(lease);
        }
        leases
    }

    /// Forgets the leases offered at or before `bound` and gives their ids, oldest first.
    pub(crate) fn remove_leases_until(&mut self, bound: Time) -> Vec<LeaseId> {
        let mut removed = Vec::new();
        while let Some((offered_at, lease)) = self.leases_by_age.first() {
            if *offered_at > bound {
                break;
            }
            let lease = lease.clone();
            self.remove_lease(&lease);
            removed.push(lease);
        }
        removed
    }

    /// Notes that a task runs; gives the host it was noted on before, if any.
    pub(crate) fn add_task(
        &mut self,
        task: TaskId,
        class: Arc<TaskClass>,
        host_id: HostId,
    ) -> Option<HostId> {
        let before = self.tasks.get(&task).cloned();
        if let Some(before) = &before {
            self.remove_task(&task, before);
        }
        let host = self.hosts.entry(host_id.clone()).or_default();
        for (sum, demand) in host.running_demand.iter_mut().zip(class.demand.measures()) {
            *sum += u128::from(demand);
        }
        host.exclusive += u32::from(wants_host_alone(&class));
        *self.groups.entry(class.group.clone()).or_default().entry(host_id.clone()).or_default() +=
            1;
        host.running.insert(task.clone(), class);
        self.tasks.insert(task, host_id);
        before
    }

    /// Notes that a task no longer runs on a host; false if it was not noted there.
    pub(crate) fn remove_task(&mut self, task: &TaskId, host_id: &HostId) -> bool {
        if self.tasks.get(task) != Some(host_id) {
            return false;
        }
        self.tasks.remove(task);
        let host = self.hosts.get_mut(host_id).expect("the host of a noted task is remembered");
        let class = host.running.remove(task).expect("a noted task is with its host");
        for (sum, demand) in host.running_demand.iter_mut().zip(class.demand.measures()) {
            *sum -= u128::from(demand);
        }
        host.exclusive -= u32::from(wants_host_alone(&class));
        let group = self.groups.get_mut(&class.group).expect("a noted task is in its group");
        let count = group.get_mut(host_id).expect("a group knows the hosts of its tasks");
        *count -= 1;
        if *count == 0 {
            group.remove(host_id);
            if group.is_empty() {
                self.groups.remove(&class.group);
            }
        }
        self.forget_if_idle(host_id);
        true
    }

    fn forget_if_idle(&mut self, host_id: &HostId) {
        let idle = |host: &Host| host.leases.is_empty() && host.running.is_empty();
        if self.hosts.get(host_id).is_some_and(idle) {
            self.hosts.remove(host_id);
        }
    }
}

/// Whether tasks of the class admit no other task on their host.
pub(crate) fn wants_host_alone(class: &TaskClass) -> bool {
    class.hard.contains(&Constraint::ExclusiveHost)
}
