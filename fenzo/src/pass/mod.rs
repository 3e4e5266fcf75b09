//! One run from start to end: hosts laid out by ordinal, tasks sorted into classes, each task placed in turn.
//!
//! Ordinals (of hosts, groups, classes, attribute columns) are dense, live for one pass, and never leave it.
//! Hosts are numbered in the order of their names, so "the smaller ordinal" is the tie-break rule.
//!
//! Cost, for H hosts, T tasks in C classes: O(H + L) to lay out; for a class with one task, one scan O(H);
//! for a class with more, O(H log H) once and then O(log H) a task and attribute value, plus O(log H) for each
//! host that other classes changed meanwhile. A task equal to one that failed is O(1). Memory is O(H) plus
//! O(H) for each class that is indexed at the time, within a bound.

mod class;
mod explain;
mod index;
pub(crate) mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fitness::Fitness;
use crate::inventory::Inventory;
use crate::request::{TaskClass, TaskRequest};
use crate::result::{Explanation, Failure, HostAssignment, PlacedTask, SchedulingResult};
use class::Class;
use index::Index;
use world::World;

/// Greatest number of host entries in all indexes together: about 50 bytes each.
const INDEX_ENTRIES: usize = 4_000_000;

/// What the scheduler's builder decided about choosing a host.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) fitness: Fitness,
    /// A host whose combined score is at least this ends the search.
    pub(crate) good_enough: Option<f64>,
}

/// Places `tasks` in order on the hosts of the inventory, which stays as it is.
pub(crate) fn run(
    inventory: &Inventory,
    choice: &Choice,
    tasks: &[TaskRequest],
) -> SchedulingResult {
    Pass::new(inventory, choice, tasks, INDEX_ENTRIES).place_all(tasks)
}

/// A failure that holds for every task of a class as long as nothing that could lift it has happened.
struct KnownFailure {
    /// Position in the result's failures.
    position: usize,
    /// State of the class's group when it failed; matters if the class is balanced.
    group_version: u64,
    /// Tasks placed in the pass when it failed; matters if a closure may change its mind.
    placed: usize,
}

struct Pass<'a> {
    world: World<'a>,
    choice: &'a Choice,
    classes: Vec<Class<'a>>,
    /// Class of each task.
    class_of: Vec<usize>,
    /// Tasks of each class that are still to come.
    to_come: Vec<u32>,
    indexes: Vec<Option<Index>>,
    index_entries: usize,
    index_limit: usize,
    known_failures: Vec<Option<KnownFailure>>,
    placed: Vec<Vec<PlacedTask>>,
    failures: Vec<Failure>,
    evaluations: u64,
}

impl<'a> Pass<'a> {
    fn new(
        inventory: &'a Inventory,
        choice: &'a Choice,
        tasks: &'a [TaskRequest],
        index_limit: usize,
    ) -> Self {
        let (distinct, class_of) = sort_into_classes(tasks);
        let mut world = World::new(inventory, &distinct);
        let classes: Vec<Class<'a>> =
            distinct.into_iter().map(|class| Class::new(class, inventory, &mut world)).collect();
        let mut to_come = vec![0; classes.len()];
        for class in &class_of {
            to_come[*class] += 1;
        }
        Self {
            indexes: classes.iter().map(|_| None).collect(),
            known_failures: classes.iter().map(|_| None).collect(),
            placed: vec![Vec::new(); world.hosts()],
            world,
            choice,
            classes,
            class_of,
            to_come,
            index_entries: 0,
            index_limit,
            failures: Vec::new(),
            evaluations: 0,
        }
    }

    fn place_all(mut self, tasks: &[TaskRequest]) -> SchedulingResult {
        for (position, task) in tasks.iter().enumerate() {
            let class = self.class_of[position];
            self.place(class, task);
            self.to_come[class] -= 1;
            if self.to_come[class] == 0 && self.indexes[class].take().is_some() {
                self.index_entries -= self.world.hosts();
            }
        }
        let mut result = SchedulingResult {
            failures: self.failures,
            evaluations: self.evaluations,
            ..SchedulingResult::default()
        };
        for (host, tasks) in self.placed.into_iter().enumerate() {
            if !tasks.is_empty() {
                let leases = self.world.leases(host);
                let host = self.world.id(host).clone();
                result.assignments.push(HostAssignment { host, leases, tasks });
            }
        }
        result
    }

    fn place(&mut self, class: usize, task: &TaskRequest) {
        if let Some(position) = self.known_failure(class) {
            self.failures[position].tasks.push(task.id.clone());
            return;
        }
        match self.find(class) {
            Some(candidate) => {
                let ports = self.world.take(candidate.host, &self.classes[class]);
                let request = task.clone();
                let score = candidate.score;
                self.placed[candidate.host].push(PlacedTask { request, ports, score });
            }
            None => self.fail(class, task),
        }
    }

    /// The failure that a task of the class is sure to share, if there is one.
    fn known_failure(&self, class: usize) -> Option<usize> {
        let known = self.known_failures[class].as_ref()?;
        let rules = &self.classes[class];
        let group_changed = self.world.group_version(rules.group()) != known.group_version;
        let anything_changed = self.world.log().len() != known.placed;
        let lifted =
            (rules.has_balance() && group_changed) || (rules.has_closure() && anything_changed);
        (!lifted).then_some(known.position)
    }

    fn find(&mut self, class: usize) -> Option<index::Candidate> {
        let rules = &self.classes[class];
        let hosts = self.world.hosts();
        let indexed = self.indexes[class].is_some();
        let room = self.index_entries + hosts <= self.index_limit;
        if !indexed && (self.to_come[class] < 2 || !room) {
            return index::scan(rules, &self.world, self.choice, &mut self.evaluations);
        }
        if !indexed {
            self.index_entries += hosts;
        }
        let index = self.indexes[class].get_or_insert_with(|| Index::new(hosts));
        index.refresh(rules, &self.world, self.choice, &mut self.evaluations);
        index.best(rules, &self.world, self.choice)
    }

    fn fail(&mut self, class: usize, task: &TaskRequest) {
        let rules = &self.classes[class];
        let explanation: Explanation = explain::explain(rules, &self.world);
        self.known_failures[class] = Some(KnownFailure {
            position: self.failures.len(),
            group_version: self.world.group_version(rules.group()),
            placed: self.world.log().len(),
        });
        let tasks = vec![task.id.clone()];
        self.failures.push(Failure { tasks, explanation: Arc::new(explanation) });
    }
}

/// The distinct classes in order of first appearance, and the class of each task.
fn sort_into_classes(tasks: &[TaskRequest]) -> (Vec<&TaskClass>, Vec<usize>) {
    let mut by_address: BTreeMap<*const TaskClass, usize> = BTreeMap::new();
    let mut by_value: BTreeMap<&TaskClass, usize> = BTreeMap::new();
    let mut distinct: Vec<&TaskClass> = Vec::new();
    let mut class_of = Vec::with_capacity(tasks.len());
    for task in tasks {
        let address = Arc::as_ptr(&task.class);
        let ordinal = *by_address.entry(address).or_insert_with(|| {
            *by_value.entry(&task.class).or_insert_with(|| {
                distinct.push(&task.class);
                distinct.len() - 1
            })
        });
        class_of.push(ordinal);
    }
    (distinct, class_of)
}
