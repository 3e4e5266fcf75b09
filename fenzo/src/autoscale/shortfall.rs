//! How many hosts tasks lack: by placing them, as a question, on hosts that are not there yet.
//!
//! What is asked for is enough: with so many hosts as many tasks are placed as with one host for each. Where
//! fitness or wishes would spread tasks over all that there is, fewer are tried until that costs a placement.

use std::collections::BTreeMap;

use crate::attribute::AttributeValue;
use crate::id::{HostId, TaskId};
use crate::lease::Lease;
use crate::request::TaskRequest;
use crate::result::SchedulingResult;
use crate::scheduler::TaskScheduler;

/// More hosts of a group.
pub(super) struct More<'a> {
    pub(super) name: &'a AttributeValue,
    /// What each of them offers.
    pub(super) like: Lease,
    pub(super) hosts: u32,
}

/// Lowers the numbers of hosts to what is enough; gives the tasks that find one.
pub(super) fn fewest(
    scheduler: &mut TaskScheduler,
    tasks: &[TaskRequest],
    more: &mut [More<'_>],
) -> Vec<TaskId> {
    let answer = trial(scheduler, tasks, more);
    let mut used: BTreeMap<HostId, u32> = BTreeMap::new();
    for assignment in &answer.assignments {
        used.insert(assignment.host.clone(), 1);
    }
    for of in more.iter_mut() {
        of.hosts =
            (0..of.hosts).map(|number| used.contains_key(&of.name(number))).map(u32::from).sum();
    }
    let placed = answer.assignments.iter().flat_map(|assignment| &assignment.tasks);
    let placed: Vec<TaskId> = placed.map(|task| task.request.id.clone()).collect();
    if !scheduler.may_spread(tasks) || trial(scheduler, tasks, more).placed() < placed.len() {
        return placed;
    }
    for at in 0..more.len() {
        // Enough at `enough`, too few at `too_few` - 1.
        let (mut too_few, mut enough) = (0, more[at].hosts);
        while too_few < enough {
            more[at].hosts = too_few + (enough - too_few) / 2;
            if trial(scheduler, tasks, more).placed() < placed.len() {
                too_few = more[at].hosts + 1;
            } else {
                enough = more[at].hosts;
            }
        }
        more[at].hosts = enough;
    }
    placed
}

fn trial(
    scheduler: &mut TaskScheduler,
    tasks: &[TaskRequest],
    more: &[More<'_>],
) -> SchedulingResult {
    let leases = more.iter().flat_map(|of| (0..of.hosts).map(|number| of.lease(number)));
    scheduler.what_if(tasks, leases.collect())
}

impl More<'_> {
    fn name(&self, number: u32) -> HostId {
        // Digits that sort as numbers do: the first of equal hosts are used first.
        HostId::from(format!("{} ({number:010})", self.like.host))
    }

    fn lease(&self, number: u32) -> Lease {
        let host = self.name(number);
        Lease { id: host.as_str().into(), host, ..self.like.clone() }
    }
}
