//! A run that looks ahead: a plan for all tasks is carried out under all rules, and taken if it is better than
//! placing in turn.
//!
//! The plan knows sums of room and nothing else, so every task is still asked about here, in its turn: a host
//! that may not take it is not used because a plan says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::packing::ahead::bound::fewest_hosts;
use crate::packing::ahead::plan::{Plan, plan};
use crate::packing::ahead::{PackingReport, Room};
use crate::request::TaskRequest;
use crate::result::SchedulingResult;

use super::find::Candidate;
use super::{Bounds, Choice, INDEX_ENTRIES, Pass};

/// What [`run`](super::run) does, or something better that this much work finds.
pub(crate) fn run(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
    work: u64,
) -> SchedulingResult {
    let before = super::what_if(cluster, choice, bounds, tasks);
    let in_turn = (before.placed(), before.assignments.len());
    let rooms = rooms(cluster);
    let mut left = work;
    let planned = run_planned(cluster, choice, bounds, tasks, (&rooms, in_turn), &mut left);
    let mut result = planned.unwrap_or_else(|| super::run(cluster, choice, bounds, tasks));
    let placed = result.assignments.iter().flat_map(|assignment| &assignment.tasks);
    let demands: Vec<_> =
        placed.map(|task| cluster.columns().demand_of(&task.request.class).amounts).collect();
    let demands: Vec<&[u64]> = demands.iter().map(|amounts| &**amounts).collect();
    let lower_bound = fewest_hosts(&rooms, &demands);
    let count = |hosts: usize| u32::try_from(hosts).unwrap_or(u32::MAX);
    result.packing = Some(PackingReport {
        lower_bound: count(lower_bound),
        hosts: count(result.assignments.len()),
        in_turn: count(in_turn.1),
        work: work - left,
    });
    result
}

/// The hosts on offer, those with the same left together.
fn rooms(cluster: &Cluster) -> Vec<Room> {
    let columns = cluster.columns();
    let mut rooms: BTreeMap<&[u64], Vec<usize>> = BTreeMap::new();
    for host in cluster.names().in_order() {
        if columns.is_offered(host) && !columns.is_held(host) {
            rooms.entry(columns.free(host)).or_default().push(host);
        }
    }
    rooms.into_iter().map(|(free, hosts)| Room { free: free.into(), hosts }).collect()
}

/// Carries out a plan; `None`, and nothing is changed, if that is no better than in turn.
fn run_planned(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
    (rooms, (placed, hosts)): (&[Room], (usize, usize)),
    work: &mut u64,
) -> Option<SchedulingResult> {
    let mut pass = Pass::new(cluster, choice, bounds, tasks, INDEX_ENTRIES);
    let (planned, plan) = pass.plan(rooms, work);
    let promising = plan.hosts < hosts || placed < tasks.len();
    if promising {
        let mut host_of = vec![None; tasks.len()];
        for (task, host) in planned.into_iter().zip(plan.host_of) {
            host_of[task] = host;
        }
        pass.place_planned(tasks, &host_of);
        let used: BTreeSet<usize> = pass.placed.iter().map(|(host, ..)| *host).collect();
        let better =
            pass.placed.len() > placed || (pass.placed.len() == placed && used.len() < hosts);
        if better {
            return Some(pass.finish());
        }
        pass.roll_back(0);
    }
    pass.finish();
    None
}

impl Pass<'_> {
    /// A plan for the tasks without rules and wishes, which room alone decides about, and which those are.
    fn plan(&self, rooms: &[Room], work: &mut u64) -> (Vec<usize>, Plan) {
        let decided = |class: usize| {
            let class = &self.classes[class];
            class.wants_room_alone() && class.wishes_nothing() && class.demand().unknown.is_empty()
        };
        let planned: Vec<usize> =
            (0..self.class_of.len()).filter(|task| decided(self.class_of[*task])).collect();
        let demands: Vec<&[u64]> = planned
            .iter()
            .map(|task| &*self.classes[self.class_of[*task]].demand().amounts)
            .collect();
        let plan = plan(rooms, &demands, fewest_hosts(rooms, &demands), work);
        (planned, plan)
    }

    /// Places tasks in turn, each on the host that a plan has for it, if that may take it.
    fn place_planned(&mut self, tasks: &[TaskRequest], host_of: &[Option<usize>]) {
        for (position, task) in tasks.iter().enumerate() {
            if self.is_spent() {
                self.untried.extend(tasks[position..].iter().map(|task| task.id.clone()));
                break;
            }
            let class = self.class_of[position];
            match host_of[position].and_then(|host| self.candidate(class, host)) {
                Some(candidate) => self.put(class, task, candidate),
                None => {
                    self.place(class, task);
                }
            }
            self.had_its_turn(position);
        }
        self.explain_rest();
    }

    /// A host for a class, if it may take it.
    fn candidate(&mut self, class: usize, host: usize) -> Option<Candidate> {
        if self.over_limit(class).is_some() {
            return None;
        }
        self.evaluations += 1;
        let (rules, cluster) = (&self.classes[class], &*self.cluster);
        if !rules.admits(cluster, host) {
            return None;
        }
        let value_soft = rules.value_soft_of(cluster, host)?;
        let calculator = rules.calculator(cluster, self.choice, host);
        let refused = self.choice.refuses(calculator);
        let score = rules.score(cluster, self.choice, host, calculator, value_soft);
        (!refused).then(|| Candidate { host, label: cluster.names().label(host), score })
    }
}
