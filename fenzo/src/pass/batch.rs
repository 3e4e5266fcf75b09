//! A batch of tasks before any is placed: which are of one class, and which have an id twice.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::directory::{Directory, MULTIPLIER, digest};
use crate::request::{TaskClass, TaskRequest};

/// A class that is compared by numbers before names: most differ there.
struct ByDemand<'a>(&'a TaskClass);

impl Ord for ByDemand<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_demand = || self.0.demand.measures().cmp(&other.0.demand.measures());
        self.0.ports.cmp(&other.0.ports).then_with(by_demand).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for ByDemand<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByDemand<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByDemand<'_> {}

/// The distinct classes in order of first appearance, and the class of each task.
pub(super) fn sort_into_classes(tasks: &[TaskRequest]) -> (Vec<&TaskClass>, Vec<usize>) {
    // Tasks that share a class stand side by side; where each such stretch begins, by the class's address.
    let is_new = |at: &usize| *at == 0 || !Arc::ptr_eq(&tasks[*at].class, &tasks[*at - 1].class);
    let stretches: Vec<usize> = (0..tasks.len()).filter(is_new).collect();
    let mut by_address: Vec<(*const TaskClass, usize)> =
        stretches.iter().map(|at| (Arc::as_ptr(&tasks[*at].class), *at)).collect();
    by_address.sort_unstable();
    // The first task with each address, then with each class; the order of addresses decides nothing.
    let mut first = vec![0; tasks.len()];
    let mut shared = None;
    for (address, at) in by_address {
        let (_, least) = *shared.filter(|(of, _)| *of == address).get_or_insert((address, at));
        shared = Some((address, least));
        first[at] = least;
    }
    let apart = stretches.into_iter().filter(|at| first[*at] == *at);
    let mut prints: Vec<(u32, usize)> = apart.map(|at| (print(&tasks[at].class), at)).collect();
    prints.sort_unstable();
    for alike in prints.chunk_by(|one, other| one.0 == other.0).filter(|alike| alike.len() > 1) {
        let mut by_value: BTreeMap<ByDemand<'_>, usize> = BTreeMap::new();
        for (_, at) in alike {
            first[*at] = *by_value.entry(ByDemand(&tasks[*at].class)).or_insert(*at);
        }
    }
    let mut distinct = Vec::new();
    let mut class_of: Vec<usize> = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        let class = if !is_new(&at) {
            class_of[at - 1]
        } else if first[at] < at {
            class_of[first[at]]
        } else {
            distinct.push(&*task.class);
            distinct.len() - 1
        };
        class_of.push(class);
    }
    (distinct, class_of)
}

/// A number that classes have in common if they are equal, and seldom if they are not.
fn print(class: &TaskClass) -> u32 {
    let amounts = class.demand.measures().into_iter().chain([u64::from(class.ports)]);
    amounts.fold(digest(class.group.as_str()), |print, amount| {
        let word = (u64::from(print) << 32 ^ amount).wrapping_mul(MULTIPLIER);
        (word ^ (word >> 29)) as u32 ^ (word >> 32) as u32
    })
}

/// The positions of tasks whose id an earlier one has, ascending.
pub(crate) fn repeated(tasks: &[TaskRequest]) -> Vec<usize> {
    let text_of = |position: usize| tasks[position].id.as_str();
    let mut known = Directory::with_room_for(tasks.len());
    let mut repeated = Vec::new();
    for position in 0..tasks.len() {
        match known.find(text_of(position), text_of) {
            Some(_) => repeated.push(position),
            None => known.insert(text_of(position), position, text_of),
        }
    }
    repeated
}
