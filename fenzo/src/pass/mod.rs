//! One run from start to end: tasks sorted into classes, each task placed in turn on the live state.
//!
//! Ordinals of classes, groups and columns live for one pass and never leave it. Nothing here lays out
//! hosts: the cluster has them as columns already, and takes back at the end what the pass has placed.

pub(crate) mod ahead;
pub(crate) mod batch;
mod class;
mod explain;
mod failing;
mod find;
mod gang;
mod grow;
mod index;
mod reserve;
mod rule;
mod set_counts;
mod survey;
mod timeline;

#[cfg(test)]
mod looks;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::constraint::Constraint;
use crate::fitness::{Combination, Fitness};
use crate::gang::Gang;
use crate::id::{HostId, TaskId};
use crate::limit::Limits;
use crate::queue::{Order, Step};
use crate::request::{TaskClass, TaskRequest};
use crate::reservation::Outlook;
use crate::resources::Resource;
use crate::result::{
    Explanation, Failure, HostAssignment, Obstacle, PlacedTask, Reason, SchedulingResult,
};
use batch::sort_into_classes;
use class::Class;
use failing::KnownFailure;
use find::{Candidate, Walk};
use gang::Domain;
use index::Index;
use reserve::Kept;
use survey::Survey;

/// Greatest number of host entries in all indexes together: about 100 bytes each.
const INDEX_ENTRIES: usize = 4_000_000;

/// Room for this many placements at most is made before a pass has any.
const EXPECTED: usize = 1024;

/// So many hosts may be passed by for one task before an index for its class is thought of.
const CROWDED: u64 = 64;

/// What the scheduler's builder decided about choosing a host.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) fitness: Fitness,
    /// A host whose combined score is at least this ends the search.
    pub(crate) good_enough: Option<f64>,
    pub(crate) combination: Combination,
    /// A closure that is asked about every host, whatever the task.
    pub(crate) filter: Option<Constraint>,
}

impl Choice {
    /// Whether a host is refused for its calculator alone.
    pub(crate) fn refuses(&self, calculator: f64) -> bool {
        calculator.is_nan() || (self.combination == Combination::Fenzo1 && calculator <= 0.0)
    }
}

/// What bounds one run, besides what the hosts offer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    pub(crate) limits: &'a Limits,
    /// No task is tried once this many are placed.
    pub(crate) placements: usize,
    /// No task is tried once this many hosts have been looked at.
    pub(crate) evaluations: u64,
    /// What is known of the time after the run, if room is to be kept for the head of the queue.
    pub(crate) outlook: Option<Outlook<'a>>,
}

/// Places `tasks` in order. Hosts that get tasks give up their leases; the rest of the cluster stays as it is.
pub(crate) fn run(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
) -> SchedulingResult {
    let mut pass = Pass::new(cluster, choice, bounds, tasks, INDEX_ENTRIES);
    pass.place_all(tasks);
    pass.finish()
}

/// Places the tasks of a queue in the order that it decides; `tasks` are those that are ready, and those at the
/// positions `refused` are passed over.
pub(crate) fn run_queue(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
    order: &mut Order,
    refused: &BTreeSet<usize>,
) -> SchedulingResult {
    let mut pass = Pass::new(cluster, choice, bounds, tasks, INDEX_ENTRIES);
    pass.place_queue(tasks, order, refused);
    pass.finish()
}

/// Places gangs in this order, each with the number of its members, which are `tasks`.
pub(crate) fn run_gangs(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
    gangs: &[(&Gang, usize)],
) -> SchedulingResult {
    let mut pass = Pass::new(cluster, choice, bounds, tasks, INDEX_ENTRIES);
    let mut rest = 0;
    for (gang, size) in gangs {
        let members = rest..rest + size;
        rest = members.end;
        pass.place_gang(tasks, members, gang);
    }
    pass.explain_rest();
    pass.finish()
}

/// What [`run`] would answer; the whole cluster stays as it is.
pub(crate) fn what_if(
    cluster: &mut Cluster,
    choice: &Choice,
    bounds: Bounds<'_>,
    tasks: &[TaskRequest],
) -> SchedulingResult {
    let mut pass = Pass::new(cluster, choice, bounds, tasks, INDEX_ENTRIES);
    pass.place_all(tasks);
    let result = pass.result();
    pass.roll_back(0);
    pass.finish();
    result
}

/// Every host on offer with all that keeps a class from it.
pub(crate) fn explain_in_full(
    cluster: &mut Cluster,
    choice: &Choice,
    class: &TaskClass,
) -> Vec<(HostId, Vec<Obstacle>)> {
    cluster.begin();
    let class = Class::new(class, choice.filter.as_ref(), cluster);
    let list = explain::in_full(&class, cluster);
    cluster.end();
    for group in class.groups() {
        cluster.release(group);
    }
    list
}

struct Pass<'a> {
    cluster: &'a mut Cluster,
    choice: &'a Choice,
    bounds: Bounds<'a>,
    classes: Vec<Class<'a>>,
    /// Class of each task.
    class_of: Vec<usize>,
    /// Tasks of each class that are still to come.
    to_come: Vec<u32>,
    indexes: Vec<Option<Index>>,
    index_entries: usize,
    index_limit: usize,
    known_failures: Vec<Option<KnownFailure>>,
    /// Host, class and task of each placement that stands.
    placed: Vec<(usize, usize, PlacedTask)>,
    failures: Vec<Failure>,
    untried: Vec<TaskId>,
    /// Failures that are explained when the run ends: position and class.
    unexplained: Vec<(usize, usize)>,
    /// How many were explained at once.
    explained: usize,
    survey: Option<Survey>,
    /// How many hosts were looked at to explain failures.
    looks: u64,
    kept: Kept,
    /// Where a gang is being placed that has to be at one place.
    domain: Option<Domain>,
    /// For each class, its failure by what hosts say.
    failure_of: Vec<Option<usize>>,
    evaluations: u64,
}

impl<'a> Pass<'a> {
    fn new(
        cluster: &'a mut Cluster,
        choice: &'a Choice,
        bounds: Bounds<'a>,
        tasks: &'a [TaskRequest],
        index_limit: usize,
    ) -> Self {
        cluster.begin();
        let (distinct, class_of) = sort_into_classes(tasks);
        let classes: Vec<Class<'a>> = distinct
            .into_iter()
            .map(|class| Class::new(class, choice.filter.as_ref(), cluster))
            .collect();
        let mut to_come = vec![0; classes.len()];
        for class in &class_of {
            to_come[*class] += 1;
        }
        Self {
            indexes: classes.iter().map(|_| None).collect(),
            known_failures: classes.iter().map(|_| None).collect(),
            failure_of: vec![None; classes.len()],
            placed: Vec::with_capacity(tasks.len().min(EXPECTED)),
            cluster,
            choice,
            bounds,
            classes,
            class_of,
            to_come,
            index_entries: 0,
            index_limit,
            failures: Vec::new(),
            untried: Vec::new(),
            unexplained: Vec::new(),
            explained: 0,
            survey: None,
            looks: 0,
            kept: Kept::default(),
            domain: None,
            evaluations: 0,
        }
    }

    fn place_all(&mut self, tasks: &[TaskRequest]) {
        for (position, task) in tasks.iter().enumerate() {
            if self.is_spent() {
                self.untried.extend(tasks[position..].iter().map(|task| task.id.clone()));
                break;
            }
            let class = self.class_of[position];
            if !self.place(class, task) {
                self.reserve(class, &task.id);
            }
            self.had_its_turn(position);
        }
        self.explain_rest();
    }

    fn place_queue(&mut self, tasks: &[TaskRequest], order: &mut Order, refused: &BTreeSet<usize>) {
        while let Some(step) = order.next() {
            match step {
                Step::Try(position) | Step::Refuse(position) if refused.contains(&position) => {
                    self.had_its_turn(position);
                }
                Step::Try(position) if self.is_spent() => {
                    self.untried.push(tasks[position].id.clone());
                }
                Step::Try(position) => {
                    let class = self.class_of[position];
                    if self.place(class, &tasks[position]) {
                        order.placed();
                    } else {
                        self.reserve(class, &tasks[position].id);
                    }
                    self.had_its_turn(position);
                }
                Step::Refuse(position) => {
                    let explanation = self.refused_everywhere(Reason::KeptForOthers);
                    let tasks = vec![tasks[position].id.clone()];
                    let explanation = Arc::new(explanation);
                    self.failures.push(Failure { tasks, explanation, gang: None });
                    self.had_its_turn(position);
                }
            }
        }
        self.explain_rest();
    }

    /// Whether the run has placed or worked as much as it may.
    fn is_spent(&self) -> bool {
        self.placed.len() >= self.bounds.placements || self.has_worked_enough()
    }

    fn has_worked_enough(&self) -> bool {
        self.evaluations.saturating_add(self.looks) >= self.bounds.evaluations
    }

    /// Drops what its class remembers if this was the last of it.
    fn had_its_turn(&mut self, position: usize) {
        let class = self.class_of[position];
        self.to_come[class] -= 1;
        if self.to_come[class] == 0 && self.indexes[class].take().is_some() {
            self.index_entries -= self.cluster.names().slots();
        }
    }

    /// An explanation by something that holds whatever the host.
    fn refused_everywhere(&self, reason: Reason) -> Explanation {
        let hosts = self.cluster.columns().offering();
        Explanation { hosts, reasons: [(reason, hosts)].into(), ..Explanation::default() }
    }

    /// Undoes the placements beyond the first `placed`.
    fn roll_back(&mut self, placed: usize) {
        let (classes, placements) = (&self.classes, &self.placed);
        self.cluster.roll_back(placed, |position| classes[placements[position].1].demand());
        self.placed.truncate(placed);
    }

    /// What has been placed and what has failed so far, which is no longer the pass's to tell.
    fn result(&mut self) -> SchedulingResult {
        let mut placed = self.placed.clone();
        self.grow(&mut placed);
        SchedulingResult {
            assignments: assignments(placed, self.cluster),
            failures: std::mem::take(&mut self.failures),
            untried: std::mem::take(&mut self.untried),
            evaluations: self.evaluations,
            ..SchedulingResult::default()
        }
    }

    fn finish(mut self) -> SchedulingResult {
        let mut placed = std::mem::take(&mut self.placed);
        self.grow(&mut placed);
        let assignments = assignments(placed, self.cluster);
        self.cluster.end();
        for group in self.classes.iter().flat_map(Class::groups) {
            self.cluster.release(group);
        }
        SchedulingResult {
            assignments,
            failures: self.failures,
            untried: self.untried,
            reservations: self.kept.reservations,
            evaluations: self.evaluations,
            ..SchedulingResult::default()
        }
    }

    /// Places a task; false if no host takes it.
    fn place(&mut self, class: usize, task: &TaskRequest) -> bool {
        if let Some(position) = self.known_failure(class) {
            if let Some(gap) = self.gap(class, task) {
                return self.place_in_gap(class, task, gap);
            }
            self.failures[position].tasks.push(task.id.clone());
            return false;
        }
        if self.waits_for_head(class) {
            let explanation = self.refused_everywhere(Reason::Reserved);
            self.fail(class, task, Some(explanation));
            return false;
        }
        if let Some(resource) = self.over_limit(class) {
            let explanation = self.refused_everywhere(Reason::OverLimit(resource));
            self.fail(class, task, Some(explanation));
            return false;
        }
        let Some(candidate) = self.find(class) else {
            if let Some(gap) = self.gap(class, task) {
                return self.place_in_gap(class, task, gap);
            }
            self.fail(class, task, None);
            return false;
        };
        self.put(class, task, candidate);
        true
    }

    /// Puts a task on a host that admits it.
    fn put(&mut self, class: usize, task: &TaskRequest, Candidate { host, score, .. }: Candidate) {
        let rules = &self.classes[class];
        let alone = rules.wants_host_alone();
        let picks = rules.pick_devices(self.cluster, self.choice, host);
        let (ports, sets, devices) =
            self.cluster.take(host, rules.group(), rules.demand(), alone, picks);
        let request = task.clone();
        let grown = None;
        let task = PlacedTask { request, ports, sets, devices, grown, score };
        self.placed.push((host, class, task));
    }

    fn find(&mut self, class: usize) -> Option<Candidate> {
        let (rules, cluster, choice) = (&self.classes[class], &*self.cluster, self.choice);
        let (hosts, offering) = (cluster.names().slots(), cluster.columns().offering());
        if let Some(domain) = &self.domain {
            rules.forget_refused();
            let hosts = domain.hosts.iter().copied();
            return find::scan(hosts, rules, cluster, choice, &mut self.evaluations);
        }
        let indexed = self.indexes[class].is_some();
        if !indexed && let Some(changed) = self.changed_since_failure(class) {
            let changed = changed.into_iter();
            return find::scan(changed, rules, cluster, choice, &mut self.evaluations);
        }
        rules.forget_refused();
        if let Some(few) = rules.few_hosts(cluster) {
            let mut few = few;
            few.sort_unstable_by_key(|host| cluster.names().label(*host));
            return find::scan(few.into_iter(), rules, cluster, choice, &mut self.evaluations);
        }
        // Without fitness and wishes, the first host that fits is as good as any.
        let first_is_best = matches!(choice.fitness, Fitness::Any) && rules.wishes_nothing();
        let first_is_best = first_is_best && !rules.minds_sets();
        // What a closure says of members of sets no order of hosts can tell.
        let judged = rules.minds_sets() && cluster.judges_sets();
        let room = self.index_entries + hosts <= self.index_limit;
        if let Some(ranking) = cluster.ranking()
            && (choice.good_enough.is_none() || first_is_best)
            && !indexed
            && !judged
        {
            let before = self.evaluations;
            let best = Walk::new(rules, cluster, choice).best(ranking, &mut self.evaluations);
            let looks = self.evaluations - before;
            if room && best.is_some() && looks >= CROWDED && rules.is_decided_host_by_host(cluster)
            {
                // The next tasks would pass by the same hosts: are they worth a look at every host?
                if looks.saturating_mul(u64::from(self.to_come[class])) > 4 * u64::from(offering) {
                    self.index_entries += hosts;
                    self.indexes[class] = Some(Index::new(hosts));
                }
            }
            return best;
        }
        if !indexed && (self.to_come[class] < 2 || !room) {
            let all = cluster.names().in_order();
            return find::scan(all, rules, cluster, choice, &mut self.evaluations);
        }
        if !indexed {
            self.index_entries += hosts;
        }
        let index = self.indexes[class].get_or_insert_with(|| Index::new(hosts));
        index.refresh(rules, cluster, choice, &mut self.evaluations);
        rules.note_refused(index.refused());
        index.best(rules, cluster, choice, first_is_best)
    }

    /// What the class's group may not have more of, if there is a limit.
    fn over_limit(&self, class: usize) -> Option<Resource> {
        let rules = &self.classes[class];
        let used = self.cluster.groups().used(rules.group());
        self.bounds.limits.exceeded(&rules.class().group, used, &rules.demand().amounts)
    }
}

/// Placements by host, in order of name.
fn assignments(placed: Vec<(usize, usize, PlacedTask)>, cluster: &Cluster) -> Vec<HostAssignment> {
    let label = |host: usize| cluster.names().label(host);
    let mut order: Vec<(u64, usize)> =
        placed.iter().map(|(host, ..)| (label(*host), *host)).collect();
    order.sort_unstable();
    let begun = order.chunk_by(|one, other| one == other).map(|alike| HostAssignment {
        host: cluster.names().id(alike[0].1).clone(),
        leases: cluster.leases_of(alike[0].1).map(|lease| lease.id.clone()).collect(),
        tasks: Vec::with_capacity(alike.len()),
    });
    let mut assignments: Vec<HostAssignment> = begun.collect();
    order.dedup();
    for (host, _, task) in placed {
        let before = |other: &(u64, usize)| *other < (label(host), host);
        assignments[order.partition_point(before)].tasks.push(task);
    }
    assignments
}
