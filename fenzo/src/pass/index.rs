//! What a class remembers of its hosts where no ranking serves: fitness is a closure, or most hosts are refused.
//!
//! It finds the host that a scan over all finds, to the last bit. It keeps the hosts that admit the class, and how
//! many a closure keeps from it. Where all that matters is a host's own, one set in order of rank is enough. Where
//! value rules decide as well, hosts are in cells of equal attribute values and equal scores but for the
//! calculator, which alone tells hosts of a cell apart, whatever value rules say about the cell as a whole. After a
//! placement only the host that got the task is looked at again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::fitness::Score;

use super::Choice;
use super::class::{Against, Class};
use super::find::Candidate;

/// Order within a cell: higher calculator or rank first, then smaller name.
#[derive(Clone, Copy, Debug)]
struct Place {
    order: f64,
    label: u64,
    host: usize,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.total_cmp(&self.order).then(self.label.cmp(&other.label))
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

/// The parts of a host's score that change only with the host.
#[derive(Clone, Copy, Debug)]
struct Parts {
    calculator: f64,
    host_soft: f64,
    sets: Option<f64>,
}

/// What is known of a host.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// It cannot take the class.
    Out,
    /// A closure refuses it, the one at this position, and nothing else does.
    Refused(usize),
    /// It is in a cell, at its place by this order.
    In { cell: usize, order: f64, parts: Parts },
}

/// What the hosts of a cell have in common: values, and parts of the score as bits.
type Key = (Box<[u32]>, Option<(u64, Option<u64>)>);

struct Cell {
    values: Box<[u32]>,
    hosts: BTreeSet<Place>,
}

/// The hosts that admit a class.
pub(crate) struct Index {
    cells: Vec<Cell>,
    cell_by_key: BTreeMap<Key, usize>,
    entries: Vec<Entry>,
    /// How many hosts closures refuse that nothing else does, by position among the hard host rules.
    refused: Vec<u32>,
    /// How much of the cluster's log has been seen; `None` before the first look.
    seen: Option<usize>,
}

impl Index {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            cells: Vec::new(),
            cell_by_key: BTreeMap::new(),
            entries: vec![Entry::Out; hosts],
            refused: Vec::new(),
            seen: None,
        }
    }

    /// How many hosts closures refuse that nothing else does, by position among the hard host rules.
    pub(crate) fn refused(&self) -> &[u32] {
        &self.refused
    }

    /// Looks again at the hosts that have changed since the last time.
    pub(crate) fn refresh(
        &mut self,
        class: &Class<'_>,
        cluster: &Cluster,
        choice: &Choice,
        evaluations: &mut u64,
    ) {
        self.refused.resize(class.host_hard().len(), 0);
        let (log, all) = (cluster.changes(), cluster.columns().offering());
        let fresh = self.seen.map(|seen| &log[seen..]);
        self.seen = Some(log.len());
        match fresh {
            // Past this many changes it is cheaper to look at everything once.
            Some(changed) if changed.len() < all as usize => {
                for host in changed {
                    self.look_at(*host, class, cluster, choice);
                }
                *evaluations += changed.len() as u64;
            }
            Some(_) | None => {
                for host in 0..cluster.names().slots() {
                    self.look_at(host, class, cluster, choice);
                }
                *evaluations += u64::from(all);
            }
        }
    }

    fn look_at(&mut self, host: usize, class: &Class<'_>, cluster: &Cluster, choice: &Choice) {
        let label = cluster.names().label(host);
        match std::mem::replace(&mut self.entries[host], Entry::Out) {
            Entry::Out => {}
            Entry::Refused(rule) => self.refused[rule] -= 1,
            Entry::In { cell, order, .. } => {
                self.cells[cell].hosts.remove(&Place { order, label, host });
            }
        }
        match class.against(cluster, host) {
            None => {}
            Some(Against::Closure(rule)) => {
                self.refused[rule] += 1;
                self.entries[host] = Entry::Refused(rule);
                return;
            }
            Some(Against::Other) => return,
        }
        let calculator = class.calculator(cluster, choice, host);
        if choice.refuses(calculator) {
            return;
        }
        let (host_soft, sets) = (class.host_soft(cluster, host), class.sets_of(cluster, host));
        let parts = Parts { calculator, host_soft, sets };
        let values: Box<[u32]> =
            class.columns().map(|column| cluster.values().of_host(column, host)).collect();
        // Without value rules a host's rank is its own.
        let own = values.is_empty();
        let order = if own { parts.score(class, choice, 0.0).rank() } else { calculator };
        let bits = || (host_soft.to_bits(), sets.map(f64::to_bits));
        let cell = self.cell((values, (!own).then(bits)));
        self.cells[cell].hosts.insert(Place { order, label, host });
        self.entries[host] = Entry::In { cell, order, parts };
    }

    fn cell(&mut self, key: Key) -> usize {
        let cells = &mut self.cells;
        *self.cell_by_key.entry(key).or_insert_with_key(|(values, _)| {
            cells.push(Cell { values: values.clone(), hosts: BTreeSet::new() });
            cells.len() - 1
        })
    }

    /// The best host, or the first that is good enough, unless the first that fits is the best one anyway. The
    /// index must be fresh.
    pub(crate) fn best(
        &self,
        class: &Class<'_>,
        cluster: &Cluster,
        choice: &Choice,
        first_is_best: bool,
    ) -> Option<Candidate> {
        if choice.good_enough.is_some() && !first_is_best {
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
            if let Some(candidate) = self.best_of(cell, class, choice, value_soft) {
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
            let Entry::In { cell, parts, .. } = self.entries[host] else { continue };
            let Some(value_soft) = verdicts[cell] else { continue };
            let score = parts.score(class, choice, value_soft);
            let label = cluster.names().label(host);
            let candidate = Candidate { host, label, score };
            if candidate.is_good_enough(choice) {
                return Some(candidate);
            }
            best = Some(Candidate::better(best, candidate));
        }
        best
    }

    /// The best host of a cell. Rank grows with the calculator, but two calculators may round to one rank: then
    /// the smaller name wins, so all places of the highest rank are looked at, one for each calculator.
    fn best_of(
        &self,
        cell: &Cell,
        class: &Class<'_>,
        choice: &Choice,
        value_soft: f64,
    ) -> Option<Candidate> {
        let candidate = |place: &Place| match self.entries[place.host] {
            Entry::In { parts, .. } => {
                let score = parts.score(class, choice, value_soft);
                Candidate { host: place.host, label: place.label, score }
            }
            Entry::Out | Entry::Refused(_) => unreachable!("hosts in cells have their parts"),
        };
        let mut place = *cell.hosts.first()?;
        let mut best = candidate(&place);
        loop {
            let rest = Place { label: u64::MAX, ..place };
            let Some(next) = cell.hosts.range(rest..).next() else { break };
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

impl Parts {
    fn score(&self, class: &Class<'_>, choice: &Choice, value_soft: f64) -> Score {
        class.combine(choice, self.calculator, self.host_soft, value_soft, self.sets)
    }
}
