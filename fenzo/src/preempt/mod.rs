//! Which running tasks to end so that one that waits fits: a plan, which the caller may carry out or not.
//!
//! The tasks of a plan are on the host that it frees, and elsewhere only where a rule about co-tasks demands it.
//! Each is needed: without ending it, the task would not fit. The cheapest plan ends the fewest tasks, then
//! those of the lowest priority, then those that lose least work. Where more than sums decide, what a plan
//! promises is proven before it is given, by placing the task on the live state without the others.

mod branch;
mod field;
mod search;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{GroupName, HostId, TaskId};
use crate::overlay::Overlay;
use crate::request::TaskRequest;
use crate::scheduler::TaskScheduler;
use field::Field;
use search::{Cost, Search};

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
    /// There is surely no cheaper one. False, if there were so many sets that not all were looked at, or where
    /// limits, named sets, a filter or [`Combination::Fenzo1`](crate::Combination::Fenzo1) have a say; even then
    /// none of its tasks can be left out.
    pub exact: bool,
}

impl TaskScheduler {
    /// The cheapest set of running tasks of lower priority whose end makes room for `task` of this priority.
    ///
    /// `budgets` says how many tasks of a group may be ended at most; a group that it does not name has no
    /// bound. Tasks of `candidates` that do not run are passed over. Nobody is ended so that the task need not be
    /// near it ([`Constraint::Affinity`](crate::Constraint::Affinity)). Nothing is changed by asking.
    ///
    /// Sets are looked at in order of their size, so a plan of few tasks is found at once; of large sets only
    /// so many are looked at as take some milliseconds, and of those of more than 500 tasks none.
    pub fn preemption_plan(
        &mut self,
        task: &TaskRequest,
        priority: i32,
        candidates: &[Preemptible],
        budgets: &BTreeMap<GroupName, usize>,
    ) -> Option<PreemptionPlan> {
        let answer = self.what_if(std::slice::from_ref(task), vec![]);
        if let Some(host) = answer.host_of(&task.id) {
            let (host, tasks) = (host.clone(), Vec::new());
            return Some(PreemptionPlan { host, tasks, priority: None, lost_work: 0, exact: true });
        }
        let mut seen: BTreeSet<&TaskId> = BTreeSet::new();
        let mut lower: Vec<&Preemptible> = Vec::new();
        for of in candidates {
            let runs = self.running_on(&of.task).is_some();
            if of.priority < priority && runs && seen.insert(&of.task) {
                lower.push(of);
            }
        }
        let by_sums = self.is_told_by_sums(&task.class);
        let fields = self.fields(task, &lower);
        let mut search = Search::new(budgets, !Field::may_lose_by_ending(&task.class));
        let mut proves = |field: &Field<'_>, chosen: &[usize]| {
            by_sums || self.proven_host(task, &field.tasks_of(chosen)).is_some()
        };
        let best = search.cheapest(&fields, &mut proves);
        let exact = !search.is_spent();
        let best = match best {
            Some(best) => Some(best),
            None if exact => None,
            None => search.some(&fields, &mut proves),
        };
        let (Cost { priority, lost_work }, field, chosen) = best?;
        let field = &fields[field];
        let tasks = field.tasks_of(&chosen);
        if by_sums {
            let host = field.host().clone();
            return Some(PreemptionPlan {
                host,
                tasks,
                priority: Some(priority),
                lost_work,
                exact,
            });
        }
        let (host, kept) = self.without_spare(task, tasks)?;
        // Ending a task of a limited group, or one that holds a set, helps on other hosts than its own, too:
        // such sets were not looked at.
        let exact = exact && kept.len() == chosen.len() && self.judges_by_room();
        let ends = |of: &&&Preemptible| kept.binary_search(&of.task).is_ok();
        let cost = lower.iter().filter(ends).fold(Cost::NOTHING, |cost, of| cost.with(of));
        let (priority, lost_work) = (Some(cost.priority), cost.lost_work);
        Some(PreemptionPlan { host, tasks: kept, priority, lost_work, exact })
    }

    /// Where the task is placed once these are gone, less those without whose end it is placed as well.
    fn without_spare(
        &mut self,
        task: &TaskRequest,
        mut tasks: Vec<TaskId>,
    ) -> Option<(HostId, Vec<TaskId>)> {
        let mut host = self.proven_host(task, &tasks)?;
        for at in (0..tasks.len()).rev() {
            let spared = tasks.remove(at);
            match self.proven_host(task, &tasks) {
                Some(better) => host = better,
                None => tasks.insert(at, spared),
            }
        }
        Some((host, tasks))
    }

    /// Where the task is placed once these tasks are gone. The state is as before afterwards.
    fn proven_host(&mut self, task: &TaskRequest, tasks: &[TaskId]) -> Option<HostId> {
        let overlay = self.overlay();
        let overlay = tasks.iter().fold(overlay, Overlay::without_task);
        overlay.place(std::slice::from_ref(task)).host_of(&task.id).cloned()
    }
}
