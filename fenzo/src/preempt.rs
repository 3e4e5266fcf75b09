//! Which running tasks to end so that one that waits fits: a plan, which the caller may carry out or not.
//!
//! The tasks of a plan are all on one host, and each is needed: without ending it, the task would not fit. The
//! cheapest plan ends the fewest tasks, then those of the lowest priority, then those that lose least work.
//! What it promises is proven before it is given, by placing the task on the live state without the others, so
//! constraints hold as well as sums.

use std::collections::BTreeMap;

use crate::cluster::devices::HostDevices;
use crate::device::{Device, DeviceUse};
use crate::id::{GroupName, HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::request::TaskRequest;
use crate::resources::{PortRange, Resources};
use crate::scheduler::TaskScheduler;
use crate::status::HostStatus;

/// Up to this many tasks of a host are chosen by trying every set; beyond, one after the other.
const TRIED_EXACTLY: usize = 3;

/// How many plans are proven before none is given: the cheapest first.
const PROVEN: usize = 64;

/// A running task that may be ended for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemptible {
    /// The task.
    pub task: TaskId,
    /// It is ended only for tasks of higher priority.
    pub priority: i32,
    /// What is lost with it, in whatever unit the caller counts.
    pub lost_work: u64,
}

/// The cheapest way to make room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreemptionPlan {
    /// The host on which the task would run.
    pub host: HostId,
    /// The tasks to end, in order of id; none, if there is room already.
    pub tasks: Vec<TaskId>,
    /// The greatest priority among them.
    pub priority: Option<i32>,
    /// What is lost with them, in all.
    pub lost_work: u64,
}

/// Fewest tasks, then lowest priorities, then least work, then the first host.
type Cost = (usize, Option<i32>, u64, HostId);

struct Running<'a> {
    of: &'a Preemptible,
    group: &'a GroupName,
    demand: &'a Resources,
    ports: u32,
    devices: &'a [DeviceUse],
}

impl TaskScheduler {
    /// The cheapest set of running tasks of lower priority whose end makes room for `task` of this priority.
    ///
    /// `budgets` says how many tasks of a group may be ended at most; a group that it does not name has no
    /// bound. Tasks of `candidates` that do not run are passed over. Nothing is changed by asking.
    pub fn preemption_plan(
        &mut self,
        task: &TaskRequest,
        priority: i32,
        candidates: &[Preemptible],
        budgets: &BTreeMap<GroupName, usize>,
    ) -> Option<PreemptionPlan> {
        let answer = self.what_if(std::slice::from_ref(task), vec![]);
        if let Some(host) = answer.host_of(&task.id) {
            let host = host.clone();
            return Some(PreemptionPlan { host, tasks: Vec::new(), priority: None, lost_work: 0 });
        }
        let mut on_host: BTreeMap<HostId, Vec<&Preemptible>> = BTreeMap::new();
        for candidate in candidates.iter().filter(|candidate| candidate.priority < priority) {
            if let Some(host) = self.running_on(&candidate.task) {
                on_host.entry(host.clone()).or_default().push(candidate);
            }
        }
        let mut plans: BTreeMap<Cost, Vec<TaskId>> = BTreeMap::new();
        for status in self.hosts() {
            let Some(candidates) = on_host.get(&status.host) else { continue };
            if let Some((cost, tasks)) = self.cheapest(&status, task, candidates, budgets) {
                plans.insert(cost, tasks);
            }
        }
        let plan = plans
            .into_iter()
            .take(PROVEN)
            .find(|((.., host), tasks)| self.proves(task, host, tasks))?;
        let ((_, priority, lost_work, host), tasks) = plan;
        Some(PreemptionPlan { host, tasks, priority, lost_work })
    }

    /// The cheapest set on one host whose sums make room.
    fn cheapest(
        &self,
        status: &HostStatus,
        task: &TaskRequest,
        candidates: &[&Preemptible],
        budgets: &BTreeMap<GroupName, usize>,
    ) -> Option<(Cost, Vec<TaskId>)> {
        let mut running: Vec<Running<'_>> = candidates
            .iter()
            .filter_map(|of| {
                let (class, devices) = self.running_of(&of.task)?;
                let (group, demand, ports) = (&class.group, &class.demand, class.ports);
                Some(Running { of, group, demand, ports, devices })
            })
            .collect();
        // Those that are cheapest to end first, so that equal sets are found in order of cost.
        running.sort_by_key(|one| (one.of.priority, one.of.lost_work, &one.of.task));
        let permitted = |chosen: &[usize]| {
            let mut ended: BTreeMap<&GroupName, usize> = BTreeMap::new();
            chosen.iter().all(|one| {
                let group = running[*one].group;
                let count = ended.entry(group).or_default();
                *count += 1;
                budgets.get(group).is_none_or(|budget| *count <= *budget)
            })
        };
        let fits = |chosen: &[usize]| {
            let mut free = status.offered.clone();
            let mut ports = self.free_ports(&status.host);
            for one in chosen {
                free.add(running[*one].demand);
                ports += u64::from(running[*one].ports);
            }
            free.covers(&task.class.demand)
                && ports >= u64::from(task.class.ports)
                && serves(status, chosen.iter().flat_map(|one| running[*one].devices), task)
        };
        let cost = |chosen: &[usize]| -> Cost {
            let priority = chosen.iter().map(|one| running[*one].of.priority).max();
            let lost = chosen
                .iter()
                .fold(0, |sum: u64, one| sum.saturating_add(running[*one].of.lost_work));
            (chosen.len(), priority, lost, status.host.clone())
        };
        let chosen = choose(running.len(), &permitted, &fits, &cost)?;
        let mut tasks: Vec<TaskId> =
            chosen.iter().map(|one| running[*one].of.task.clone()).collect();
        tasks.sort_unstable();
        Some((cost(&chosen), tasks))
    }

    /// Whether the task is placed on the host once these tasks are gone. The state is as before afterwards.
    fn proves(&mut self, task: &TaskRequest, host: &HostId, tasks: &[TaskId]) -> bool {
        let mut freed = Resources::default();
        let mut ports = Vec::new();
        let ended: Vec<_> = tasks.iter().filter_map(|task| self.take_running(task)).collect();
        for (_, running) in &ended {
            freed.add(&running.class.demand);
            ports.extend(running.ports.iter().map(|port| u64::from(*port)));
        }
        let mut lease = Lease::new(LeaseId::from("what preemption frees"), host.clone(), freed);
        lease.ports = ports.into_iter().filter_map(|port| PortRange::new(port, port)).collect();
        (lease.attributes, lease.sets) = self.attributes_of(host);
        let uses = ended.iter().flat_map(|(_, running)| &running.devices);
        lease.devices = uses.map(DeviceUse::freed).collect();
        let answer = self.what_if(std::slice::from_ref(task), vec![lease]);
        for (id, running) in ended {
            self.put_running(id, running, host);
        }
        answer.host_of(&task.id) == Some(host)
    }
}

/// Whether the devices on offer and those that are given back serve a task.
fn serves<'a>(
    status: &HostStatus,
    freed: impl Iterator<Item = &'a DeviceUse>,
    task: &TaskRequest,
) -> bool {
    if task.class.devices.is_empty() {
        return true;
    }
    let mut devices = HostDevices::default();
    devices.add(&status.devices);
    let freed: Vec<Device> = freed.map(DeviceUse::freed).collect();
    devices.add(&freed);
    devices.lacks(&task.class.devices).is_none()
}

/// The cheapest set of `of` things that is permitted and fits, and of which nothing can be left out.
fn choose(
    of: usize,
    permitted: &dyn Fn(&[usize]) -> bool,
    fits: &dyn Fn(&[usize]) -> bool,
    cost: &dyn Fn(&[usize]) -> Cost,
) -> Option<Vec<usize>> {
    for size in 1..=TRIED_EXACTLY.min(of) {
        let mut best: Option<(Cost, Vec<usize>)> = None;
        let mut chosen: Vec<usize> = (0..size).collect();
        loop {
            if permitted(&chosen) && fits(&chosen) {
                let cost = cost(&chosen);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, chosen.clone()));
                }
            }
            // The next set of this size, in order.
            let Some(last) = (0..size).rev().find(|at| chosen[*at] < of - size + at) else { break };
            chosen[last] += 1;
            for at in last + 1..size {
                chosen[at] = chosen[at - 1] + 1;
            }
        }
        if let Some((_, chosen)) = best {
            return Some(chosen);
        }
    }
    // One after the other until it fits; then whatever is not needed is left out, the dearest first.
    let mut chosen: Vec<usize> = Vec::new();
    for next in 0..of {
        chosen.push(next);
        if !permitted(&chosen) {
            chosen.pop();
        } else if fits(&chosen) {
            break;
        }
    }
    for at in (0..chosen.len()).rev() {
        let mut without = chosen.clone();
        without.remove(at);
        if fits(&without) {
            chosen = without;
        }
    }
    fits(&chosen).then_some(chosen)
}
