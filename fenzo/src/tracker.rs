//! What runs where, what groups take, and which hosts are out of use: questions that change nothing.

use crate::attribute::{AttributeValue, Attributes, lookup};
use crate::fitness::Combination;
use crate::id::{GroupName, HostId, TaskId};
use crate::quantity::Milli;
use crate::request::{TaskClass, TaskRequest};
use crate::resources::Resources;
use crate::scheduler::TaskScheduler;
use crate::status::HostStatus;

impl TaskScheduler {
    /// All running tasks, host by host in order of name.
    pub fn running(&self) -> impl Iterator<Item = (&HostId, &TaskId, &TaskClass)> + '_ {
        self.cluster.occupied().flat_map(|host| {
            let name = self.cluster.names().id(host);
            let tasks = self.cluster.running_of(host);
            tasks.map(move |(task, running)| (name, task, &*running.class))
        })
    }

    /// What the running tasks of a group take of the four measures.
    #[must_use]
    pub fn usage_of(&self, group: &GroupName) -> Resources {
        let group = self.cluster.groups().get(group);
        let used = group.map_or([0; 4], |group| *self.cluster.groups().used(group));
        let amount = |used: u128| Milli::from_thousandths(u64::try_from(used).unwrap_or(u64::MAX));
        let [cpus, mem, disk, network] = used.map(amount);
        Resources { cpus, mem, disk, network, ..Resources::default() }
    }

    /// The hosts whose attribute `name` has a value, in order of name: to disable what its owner calls by another
    /// name, say.
    #[must_use]
    pub fn hosts_with(&self, name: &str, value: &AttributeValue) -> Vec<HostId> {
        let has = |host: &usize| {
            let attributes = &self.cluster.host(*host).attributes;
            lookup(self.cluster.names().id(*host), attributes, name).as_ref() == Some(value)
        };
        let hosts = self.cluster.occupied().filter(has);
        hosts.map(|host| self.cluster.names().id(host).clone()).collect()
    }

    /// The hosts of groups that are not active on which nothing runs, in order of name, as their latest lease
    /// told of them. They are known until they are active again or [`expire_host`](Self::expire_host) says that
    /// they are gone.
    pub fn inactive_hosts(&self) -> impl Iterator<Item = HostStatus> + '_ {
        let idle = |host: &&HostId| {
            let host = self.cluster.names().get(host);
            host.is_none_or(|host| self.cluster.running_of(host).next().is_none())
        };
        let hosts = self.inactive.iter().filter(move |(host, _)| idle(host));
        hosts.map(|(_, lease)| HostStatus::of_lease(lease))
    }

    /// Whether amounts decide where a task without constraints fits.
    pub(crate) fn judges_by_room(&self) -> bool {
        self.choice.filter.is_none()
            && self.choice.combination != Combination::Fenzo1
            && self.limits.is_empty()
            && !self.cluster.has_sets()
    }

    /// Whether tasks may go to hosts that are not needed for want of room.
    pub(crate) fn may_spread(&self, tasks: &[TaskRequest]) -> bool {
        let packs = |weights: [f64; 4]| weights.iter().all(|weight| *weight >= 0.0);
        !self.choice.fitness.weights().is_some_and(packs)
            || tasks.iter().any(|task| !task.class.soft.is_empty())
    }

    /// Whether tasks may be placed on a host at all.
    pub(crate) fn may_use(&self, host: &HostId, attributes: &Attributes) -> bool {
        self.is_usable(host, attributes)
    }
}
