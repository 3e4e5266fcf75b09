//! What a class remembers of its hosts when fitness is a closure, so that no ranking can be kept.
//!
//! It finds the host that a scan over all finds, to the last bit. It keeps the hosts that admit the class in
//! cells of equal attribute values and equal soft score of the host rules; in a
//! cell only the calculator tells hosts apart, so one ordered set a cell is enough, whatever value rules say
//! about the cell as a whole. After a placement only the host that got the task is looked at again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;

use super::Choice;
use super::class::Class;
use super::find::Candidate;

/// Order within a cell: higher calculator first, then smaller name.
#[derive(Clone, Copy, Debug)]
struct Place {
    calculator: f64,
    label: u64,
    host: usize,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        other.calculator.total_cmp(&self.calculator).then(self.label.cmp(&other.label))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

struct Cell {
    values: Box<[u32]>,
    host_soft: f64,
    hosts: BTreeSet<Place>,
}

/// The hosts that admit a class.
pub(crate) struct Index {
    cells: Vec<Cell>,
    cell_by_key: BTreeMap<(Box<[u32]>, u64), usize>,
    /// Cell and calculator of each host that is in a cell.
    entries: Vec<Option<(usize, f64)>>,
    /// How much of the cluster's log has been seen; `None` before the first look.
    seen: Option<usize>,
}

impl Index {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            cells: Vec::new(),
            cell_by_key: BTreeMap::new(),
            entries: vec![None; hosts],
            seen: None,
        }
    }

    /// Looks again at the hosts that have changed since the last time.
    pub(crate) fn refresh(
        &mut self,
        class: &Class<'_>,
        cluster: &Cluster,
        choice: &Choice,
        evaluations: &mut u64,
    ) {
        let log = cluster.changes();
        let fresh = self.seen.map(|seen| &log[seen..]);
        self.seen = Some(log.len());
        match fresh {
            // Past this many changes it is cheaper to look at everything once.
            Some(changed) if changed.len() < cluster.names().slots() => {
                for host in changed {
                    self.look_at(*host, class, cluster, choice);
                }
                *evaluations += changed.len() as u64;
            }
            Some(_) | None => {
                for host in 0..cluster.names().slots() {
                    self.look_at(host, class, cluster, choice);
                }
                *evaluations += cluster.names().slots() as u64;
            }
        }
    }

    fn look_at(&mut self, host: usize, class: &Class<'_>, cluster: &Cluster, choice: &Choice) {
        let label = cluster.names().label(host);
        if let Some((cell, calculator)) = self.entries[host].take() {
            self.cells[cell].hosts.remove(&Place { calculator, label, host });
        }
        if !class.admits(cluster, host) {
            return;
        }
        let values: Box<[u32]> =
            class.columns().map(|column| cluster.values().of_host(column, host)).collect();
        let host_soft = class.host_soft(cluster, host);
        let calculator = class.calculator(cluster, choice, host);
        if choice.refuses(calculator) {
            return;
        }
        let cells = &mut self.cells;
        let cell = *self.cell_by_key.entry((values, host_soft.to_bits())).or_insert_with_key(
            |(values, _)| {
                let values = values.clone();
                cells.push(Cell { values, host_soft, hosts: BTreeSet::new() });
                cells.len() - 1
            },
        );
        cells[cell].hosts.insert(Place { calculator, label, host });
        self.entries[host] = Some((cell, calculator));
    }

    /// The best host, or the first that is good enough. The index must be fresh.
    pub(crate) fn best(
        &self,
        class: &Class<'_>,
        cluster: &Cluster,
        choice: &Choice,
    ) -> Option<Candidate> {
        if choice.good_enough.is_some() {
            return self.first_good_enough(class, cluster, choice);
        }
        let mut best = None;
        for cell in &self.cells {
            if cell.hosts.is_empty() {
                continue;
            }
            let Some(value_soft) = class.value_soft(cluster, cell.values.iter().copied()) else {
                continue;
            };
            if let Some(candidate) = cell.best(class, choice, value_soft) {
                best = Some(Candidate::better(best, candidate));
            }
        }
        best
    }

    fn first_good_enough(
        &self,
        class: &Class<'_>,
        cluster: &Cluster,
        choice: &Choice,
    ) -> Option<Candidate> {
        let verdicts: Vec<Option<f64>> = self
            .cells
            .iter()
            .map(|cell| class.value_soft(cluster, cell.values.iter().copied()))
            .collect();
        let mut best = None;
        for host in cluster.names().in_order() {
            let Some((cell, calculator)) = &self.entries[host] else { continue };
            let Some(value_soft) = verdicts[*cell] else { continue };
            let score =
                class.combine(choice, *calculator, self.cells[*cell].host_soft, value_soft, None);
            let label = cluster.names().label(host);
            let candidate = Candidate { host, label, score };
            if candidate.is_good_enough(choice) {
                return Some(candidate);
            }
            best = Some(Candidate::better(best, candidate));
        }
        best
    }
}

impl Cell {
    /// The best host of the cell. Rank grows with the calculator, but two calculators may round to one rank:
    /// then the smaller name wins, so all places of the highest rank are looked at, one for each calculator.
    fn best(&self, class: &Class<'_>, choice: &Choice, value_soft: f64) -> Option<Candidate> {
        let candidate = |place: &Place| Candidate {
            host: place.host,
            label: place.label,
            score: class.combine(choice, place.calculator, self.host_soft, value_soft, None),
        };
        let mut place = *self.hosts.first()?;
        let mut best = candidate(&place);
        loop {
            let rest = Place { label: u64::MAX, ..place };
            let Some(next) = self.hosts.range(rest..).next() else { break };
            let other = candidate(next);
            if other.score.rank().total_cmp(&best.score.rank()) == Ordering::Less {
                break;
            }
            best = Candidate::better(Some(best), other);
            place = *next;
        }
        Some(best)
    }
}
