//! Finding the best host for a class: a scan over all, or an index that remembers the scan.
//!
//! Both give the same host to the last bit: the highest rank, then the smallest ordinal. The index keeps the
//! hosts that admit the class in cells of equal attribute values and equal soft score of the host rules; in a
//! cell only the calculator tells hosts apart, so one ordered set a cell is enough, whatever value rules say
//! about the cell as a whole. After a placement only the host that got the task is looked at again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::fitness::Score;

use super::Choice;
use super::class::Class;
use super::world::World;

/// A host that can take the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) host: usize,
    pub(crate) score: Score,
}

impl Candidate {
    /// The better of two: higher rank, then smaller host.
    fn better(best: Option<Self>, other: Self) -> Self {
        match best {
            None => other,
            Some(best) => match best.score.rank().total_cmp(&other.score.rank()) {
                Ordering::Greater => best,
                Ordering::Less => other,
                Ordering::Equal if best.host < other.host => best,
                Ordering::Equal => other,
            },
        }
    }

    fn is_good_enough(&self, choice: &Choice) -> bool {
        choice.good_enough.is_some_and(|bound| self.score.combined >= bound)
    }
}

/// Evaluates every host in order of name; stops at the first that is good enough.
pub(crate) fn scan(
    class: &Class<'_>,
    world: &World<'_>,
    choice: &Choice,
    evaluations: &mut u64,
) -> Option<Candidate> {
    let columns: Vec<usize> = class.columns().collect();
    let mut values = vec![0; columns.len()];
    let mut best = None;
    for host in 0..world.hosts() {
        *evaluations += 1;
        if !class.admits(world, host) {
            continue;
        }
        for (value, column) in values.iter_mut().zip(&columns) {
            *value = world.value_of(*column, host);
        }
        let Some(value_soft) = class.value_soft(world, &values) else { continue };
        let calculator = class.calculator(world, choice, host);
        let score = class.combine(calculator, class.host_soft(world, host), value_soft);
        let candidate = Candidate { host, score };
        if candidate.is_good_enough(choice) {
            return Some(candidate);
        }
        best = Some(Candidate::better(best, candidate));
    }
    best
}

/// Order within a cell: higher calculator first, then smaller host.
#[derive(Clone, Copy, Debug)]
struct Place {
    calculator: f64,
    host: usize,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        other.calculator.total_cmp(&self.calculator).then(self.host.cmp(&other.host))
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
    /// How much of the world's log has been seen; `None` before the first look.
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
        world: &World<'_>,
        choice: &Choice,
        evaluations: &mut u64,
    ) {
        let log = world.log();
        let fresh = self.seen.map(|seen| &log[seen..]);
        self.seen = Some(log.len());
        match fresh {
            // Past this many changes it is cheaper to look at everything once.
            Some(changed) if changed.len() < world.hosts() => {
                for host in changed {
                    self.look_at(*host, class, world, choice);
                }
                *evaluations += changed.len() as u64;
            }
            Some(_) | None => {
                for host in 0..world.hosts() {
                    self.look_at(host, class, world, choice);
                }
                *evaluations += world.hosts() as u64;
            }
        }
    }

    fn look_at(&mut self, host: usize, class: &Class<'_>, world: &World<'_>, choice: &Choice) {
        if let Some((cell, calculator)) = self.entries[host].take() {
            self.cells[cell].hosts.remove(&Place { calculator, host });
        }
        if !class.admits(world, host) {
            return;
        }
        let values: Box<[u32]> =
            class.columns().map(|column| world.value_of(column, host)).collect();
        let host_soft = class.host_soft(world, host);
        let calculator = class.calculator(world, choice, host);
        let cells = &mut self.cells;
        let cell = *self.cell_by_key.entry((values, host_soft.to_bits())).or_insert_with_key(
            |(values, _)| {
                let values = values.clone();
                cells.push(Cell { values, host_soft, hosts: BTreeSet::new() });
                cells.len() - 1
            },
        );
        cells[cell].hosts.insert(Place { calculator, host });
        self.entries[host] = Some((cell, calculator));
    }

    /// The best host, or the first that is good enough. The index must be fresh.
    pub(crate) fn best(
        &self,
        class: &Class<'_>,
        world: &World<'_>,
        choice: &Choice,
    ) -> Option<Candidate> {
        if choice.good_enough.is_some() {
            return self.first_good_enough(class, world, choice);
        }
        let mut best = None;
        for cell in &self.cells {
            if cell.hosts.is_empty() {
                continue;
            }
            let Some(value_soft) = class.value_soft(world, &cell.values) else { continue };
            if let Some(candidate) = cell.best(class, value_soft) {
                best = Some(Candidate::better(best, candidate));
            }
        }
        best
    }

    fn first_good_enough(
        &self,
        class: &Class<'_>,
        world: &World<'_>,
        choice: &Choice,
    ) -> Option<Candidate> {
        let verdicts: Vec<Option<f64>> =
            self.cells.iter().map(|cell| class.value_soft(world, &cell.values)).collect();
        let mut best = None;
        for (host, entry) in self.entries.iter().enumerate() {
            let Some((cell, calculator)) = entry else { continue };
            let Some(value_soft) = verdicts[*cell] else { continue };
            let score = class.combine(*calculator, self.cells[*cell].host_soft, value_soft);
            let candidate = Candidate { host, score };
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
    /// then the smaller host wins, so all places of the highest rank are looked at, one for each calculator.
    fn best(&self, class: &Class<'_>, value_soft: f64) -> Option<Candidate> {
        let candidate = |place: &Place| Candidate {
            host: place.host,
            score: class.combine(place.calculator, self.host_soft, value_soft),
        };
        let mut place = *self.hosts.first()?;
        let mut best = candidate(&place);
        loop {
            let rest = Place { calculator: place.calculator, host: usize::MAX };
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
