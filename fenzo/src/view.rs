//! What a closure may see of a host: a read-only window on the live state.
//!
//! It shows this host and nothing of any other, so that a closure's answer can change only when the host does.

use crate::attribute::Attributes;
use crate::cluster::Cluster;
use crate::cluster::columns::PORTS;
use crate::cluster::devices::Kind;
use crate::device::Device;
use crate::fitness::float;
use crate::id::{DeviceKind, GroupName, HostId};
use crate::lease::Lease;
use crate::quantity::Milli;
use crate::resources::{Measure, Resource};

/// One host as it stands in the middle of a run: what was placed earlier in the run is taken off already.
#[derive(Clone, Copy)]
pub struct HostView<'a> {
    cluster: &'a Cluster,
    host: usize,
}

impl<'a> HostView<'a> {
    pub(crate) fn new(cluster: &'a Cluster, host: usize) -> Self {
        Self { cluster, host }
    }

    /// The host's name.
    #[must_use]
    pub fn id(&self) -> &'a HostId {
        self.cluster.names().id(self.host)
    }

    /// The host's attributes, from its latest lease.
    #[must_use]
    pub fn attributes(&self) -> &'a Attributes {
        &self.cluster.host(self.host).attributes
    }

    /// The host's leases that are held, in order of id.
    pub fn leases(&self) -> impl Iterator<Item = &'a Lease> + use<'a> {
        self.cluster.leases_of(self.host)
    }

    /// How much of a quantity is left to place on.
    #[must_use]
    pub fn free(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().free(self.host)[measure as usize])
    }

    /// How much of a resource is left to place on; ports are whole units. None of a scalar that no lease offers.
    #[must_use]
    pub fn free_of(&self, resource: &Resource) -> Milli {
        let columns = self.cluster.columns();
        let free = columns.free(self.host);
        match (resource, columns.dimension(resource)) {
            (Resource::Ports, _) => Milli::whole(free[PORTS]),
            (_, Some(dimension)) => Milli::from_thousandths(free[dimension]),
            (_, None) => Milli::ZERO,
        }
    }

    /// How much of a named scalar the running tasks and those placed in this run take.
    #[must_use]
    pub fn used_scalar(&self, name: &str) -> Milli {
        Milli::from_thousandths(self.scalar(name).0)
    }

    /// How much of a named scalar the host has: what is offered, and what running tasks take.
    #[must_use]
    pub fn total_scalar(&self, name: &str) -> Milli {
        Milli::from_thousandths(self.scalar(name).1)
    }

    /// Used and total of a named scalar.
    fn scalar(&self, name: &str) -> (u64, u64) {
        let columns = self.cluster.columns();
        let Some(dimension) = columns.scalar(name) else { return (0, 0) };
        let kept = columns.withheld(self.host).map_or(0, |kept| kept[dimension]);
        let free = columns.free(self.host)[dimension].saturating_add(kept);
        let total = columns.scalar_total(self.host, dimension);
        (total.saturating_sub(free), total)
    }

    /// How much of a quantity the running tasks and those placed in this run take.
    #[must_use]
    pub fn used(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().used(self.host)[measure as usize])
    }

    /// How much of a quantity the scheduler knows the host to have: what is offered, and what running tasks
    /// take.
    #[must_use]
    pub fn total(&self, measure: Measure) -> Milli {
        Milli::from_thousandths(self.cluster.columns().total(self.host)[measure as usize])
    }

    /// The devices on offer, with what is left of each.
    pub fn devices(&self) -> impl Iterator<Item = Device> + use<'a> {
        self.cluster.host(self.host).devices.devices()
    }

    pub(crate) fn devices_of(&self, kind: &DeviceKind) -> Option<&'a Kind> {
        self.cluster.host(self.host).devices.of(kind)
    }

    /// How many tasks run on the host or were placed on it in this run.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.cluster.columns().tasks_on(self.host)
    }

    /// How many of them are of `group`.
    #[must_use]
    pub fn tasks_of(&self, group: &GroupName) -> u32 {
        let groups = self.cluster.groups();
        groups.get(group).map_or(0, |group| groups.on_host(group, self.host))
    }

    /// used / total of a quantity with `more` thousandths used in addition; 0 where there is none.
    pub(crate) fn used_ratio(&self, measure: Measure, more: u64) -> f64 {
        let total = self.cluster.columns().total(self.host)[measure as usize];
        if total == 0 {
            return 0.0;
        }
        float(self.cluster.columns().used(self.host)[measure as usize].saturating_add(more))
            / float(total)
    }

    /// The same of a named scalar.
    pub(crate) fn used_scalar_ratio(&self, name: &str, more: u64) -> f64 {
        let (used, total) = self.scalar(name);
        if total == 0 { 0.0 } else { float(used.saturating_add(more)) / float(total) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::fitness::Fitness;
    use crate::id::HostId;
    use crate::lease::Lease;
    use crate::quantity::{Milli, Time};
    use crate::request::{TaskClass, TaskRequest};
    use crate::resources::{PortRange, Resource, Resources};
    use crate::scheduler::TaskScheduler;

    fn gpus(cpus: u64, gpus: u64) -> Resources {
        let scalars = [("gpus".to_owned(), Milli::whole(gpus))].into();
        Resources { scalars, ..Resources::cpus_mem(cpus, cpus) }
    }

    /// Three hosts with 8 gpus each, of which 0, 5 and 2 are in use; one without any.
    fn scheduler(fitness: Fitness) -> TaskScheduler {
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        for (host, used) in [("a", 0), ("b", 5), ("c", 2)] {
            let class = Arc::new(TaskClass::new("old", gpus(1, used)));
            let task = TaskRequest::new(format!("old-{host}"), &class);
            scheduler.task_assigned(&task, &host.into());
            let lease = Lease::new(host, host, gpus(10, 8 - used));
            let lease = lease.with_ports(PortRange::new(10, 19).unwrap());
            scheduler.schedule_once(Time::ZERO, &[], vec![lease]);
        }
        let lease = Lease::new("d", "d", Resources::cpus_mem(10, 100));
        scheduler.schedule_once(Time::ZERO, &[], vec![lease]);
        scheduler
    }

    /// Where the tasks of a class go, in their order.
    fn hosts(fitness: Fitness, class: TaskClass, tasks: usize) -> Vec<HostId> {
        let class = Arc::new(class);
        let tasks: Vec<TaskRequest> =
            (0..tasks).map(|n| TaskRequest::new(format!("t{n}"), &class)).collect();
        let result = scheduler(fitness).schedule_once(Time::ZERO, &tasks, vec![]);
        let host_of = |task: &TaskRequest| {
            let has = |host: &&crate::HostAssignment| {
                host.tasks.iter().any(|placed| placed.request.id == task.id)
            };
            result.assignments.iter().find(has).unwrap().host.clone()
        };
        tasks.iter().map(host_of).collect()
    }

    #[test]
    fn packers_and_spreaders_go_by_named_scalars() {
        let class = || TaskClass::new("g", gpus(1, 1));
        let packed = hosts(Fitness::scalar_packer("gpus"), class(), 5);
        assert_eq!(packed, ["b", "b", "b", "c", "c"].map(HostId::from));
        let spread = hosts(Fitness::scalar_spreader("gpus"), class(), 5);
        assert_eq!(spread, ["a", "a", "a", "c", "a"].map(HostId::from));
        // Who needs none keeps away from hosts that have some, or goes where they are in use.
        let plain = || TaskClass::new("p", Resources::cpus_mem(1, 1));
        assert_eq!(hosts(Fitness::scalar_packer("gpus"), plain(), 1), ["b".into()]);
        // Cpus weigh little: all hosts have the same of them but for the one that has no gpus.
        let mean = vec![(9, Fitness::scalar_packer("gpus")), (1, Fitness::cpu_spreader())];
        assert_eq!(hosts(Fitness::Weighted(mean), class(), 4)[3], "c".into());
        let nothing = Fitness::scalar_packer("licences");
        assert_eq!(hosts(nothing, plain(), 1), ["a".into()]);
        assert!(TaskScheduler::builder().fitness(Fitness::scalar_packer("")).build().is_err());
    }

    #[test]
    fn closures_see_what_is_free_of_any_resource() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let fitness = Fitness::custom(move |_, host| {
            if host.id().as_str() == "b" {
                let of = |resource| host.free_of(&resource);
                let scalar = |name: &str| Resource::Scalar(name.to_owned());
                let free = [of(Resource::Cpus), of(Resource::Ports), of(scalar("gpus"))];
                let none = of(scalar("licences")).saturating_add(host.used_scalar("licences"));
                assert_eq!(none, Milli::ZERO);
                let (used, total) = (host.used_scalar("gpus"), host.total_scalar("gpus"));
                notes.lock().unwrap().push((free, used, total));
                return 1.0;
            }
            0.0
        });
        let class = TaskClass::new("g", gpus(1, 1)).with_ports(2);
        assert_eq!(hosts(fitness, class, 2), ["b".into(), "b".into()]);
        let whole =
            |free: [u64; 3], used| (free.map(Milli::whole), Milli::whole(used), Milli::whole(8));
        let seen = seen.lock().unwrap();
        assert_eq!(seen[..2], [whole([10, 10, 3], 5), whole([9, 8, 2], 6)]);
    }
}
