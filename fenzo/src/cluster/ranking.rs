//! Hosts in order of fitness, kept from run to run: the best host with room is found without looking at most.
//!
//! For packers, spreaders and their weighted means, the fitness of a host is a constant for the task plus a
//! key of the host alone, as long as hosts have the same totals. So hosts stand on one *shelf* for each totals
//! (clusters have few kinds of machines), sorted by key, then name. A shelf is cut into blocks, and each
//! block, and each run of blocks, knows the most that any of its hosts has free in each dimension: what is too
//! full is stepped over at once. Keys are rounded, so the order is true up to [`SLACK`]; who uses it looks
//! that far past the best and compares exact scores.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::columns::{Columns, covers};
use super::names::Names;

/// How far a later host's exact calculator may exceed an earlier one's: rounding, with room to spare.
pub(crate) const SLACK: f64 = 1e-9;

/// Greatest length of a block.
const BLOCK: usize = 64;

/// How many blocks share one summary above theirs.
const RUN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    host: usize,
}

/// What decides a host's place before its name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// Ascending as fitness descends.
    key: u64,
    /// A digest of the used amounts that fitness looks at. Hosts of one key and one digest are taken to be
    /// alike, and stand together.
    digest: u64,
}

/// Where a host stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    totals: [u64; 4],
    state: State,
}

/// A position on a shelf.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    block: usize,
    offset: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    blocks: Vec<Vec<Entry>>,
    /// The most that is free in each block, by dimension.
    tops: Vec<u64>,
    /// The same for each run of blocks.
    runs: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    weights: [f64; 4],
    shelves: BTreeMap<[u64; 4], Shelf>,
    places: Vec<Option<Place>>,
}

impl Ranking {
    /// An order by the sum over the measures of weight * used / total, highest first.
    pub(crate) fn new(weights: [f64; 4]) -> Self {
        Self { weights, shelves: BTreeMap::new(), places: Vec::new() }
    }

    /// The shelves, in the order of their totals.
    pub(crate) fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.shelves.values()
    }

    /// Puts a host where it belongs now: nowhere, if it offers nothing.
    pub(crate) fn update(&mut self, host: usize, columns: &Columns, names: &Names) {
        if self.places.len() <= host {
            self.places.resize(host + 1, None);
        }
        let wanted = columns.is_offered(host).then(|| self.place(host, columns));
        let stands = self.places[host];
        if let (Some(stands), Some(wanted)) = (stands, wanted)
            && stands.totals == wanted.totals
        {
            let shelf = self.shelves.get_mut(&wanted.totals).expect("a host stands on its shelf");
            shelf.shift(Entry { state: stands.state, host }, wanted.state, columns, names);
            self.places[host] = Some(wanted);
            return;
        }
        if let Some(stands) = stands {
            let shelf = self.shelves.get_mut(&stands.totals).expect("a host stands on its shelf");
            let cursor = shelf.position(Entry { state: stands.state, host }, names);
            shelf.remove(cursor, columns);
            if shelf.blocks.is_empty() {
                self.shelves.remove(&stands.totals);
            }
        }
        if let Some(wanted) = wanted {
            let shelf = self.shelves.entry(wanted.totals).or_default();
            shelf.insert(Entry { state: wanted.state, host }, columns, names);
        }
        self.places[host] = wanted;
    }

    /// Makes all summaries anew, after the number of dimensions has changed.
    pub(crate) fn summarize(&mut self, columns: &Columns) {
        for shelf in self.shelves.values_mut() {
            shelf.tops = vec![0; shelf.blocks.len() * columns.dimensions()];
            for block in 0..shelf.blocks.len() {
                shelf.find_top(block, columns);
            }
            shelf.find_runs(0, columns);
        }
    }

    /// The first host that comes closest to a demand that none has room for. `distance` tells how many reasons
    /// there are against a host and how much it lacks; it must not be less than [`lacking`].
    pub(crate) fn nearest(
        &self,
        demand: &[u64],
        columns: &Columns,
        distance: &mut dyn FnMut(usize) -> (usize, f64),
    ) -> Option<usize> {
        let mut nearest: Option<((usize, f64), usize)> = None;
        let width = columns.dimensions();
        for shelf in self.shelves.values() {
            let closer = |top: &[u64], nearest: Option<((usize, f64), usize)>| {
                nearest.is_none_or(|(distance, _)| lacking(top, demand) < distance)
            };
            for (run, blocks) in shelf.blocks.chunks(RUN).enumerate() {
                if !closer(&shelf.runs[run * width..][..width], nearest) {
                    continue;
                }
                for (block, entries) in (run * RUN..).zip(blocks) {
                    for entry in entries {
                        if !closer(&shelf.tops[block * width..][..width], nearest) {
                            break;
                        }
                        let distance = distance(entry.host);
                        if nearest.is_none_or(|(nearest, _)| distance < nearest) {
                            nearest = Some((distance, entry.host));
                        }
                    }
                }
            }
        }
        nearest.map(|(_, host)| host)
    }

    fn place(&self, host: usize, columns: &Columns) -> Place {
        let (used, total) = (columns.used(host), columns.total(host));
        let mut totals = [0; 4];
        let (mut sum, mut digest) = (0.0, 0xcbf2_9ce4_8422_2325_u64);
        for measure in 0..4 {
            let weight = self.weights[measure];
            if weight == 0.0 {
                continue;
            }
            totals[measure] = total[measure];
            digest = (digest.rotate_left(23) ^ used[measure]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if total[measure] > 0 {
                let float = crate::fitness::float;
                sum += weight * (float(used[measure]) / float(total[measure]));
            }
        }
        // Adding zero makes -0.0 positive; the sign bit then sorts as numbers do.
        let bits = (0.0 - sum).to_bits();
        let key = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        Place { totals, state: State { key, digest } }
    }
}

impl Shelf {
    /// The host at a position that [`Shelf::seek`] has given.
    pub(crate) fn host(&self, at: Cursor) -> usize {
        self.blocks[at.block][at.offset].host
    }

    /// The first host at or after `from` that has room for a demand.
    pub(crate) fn seek(&self, from: Cursor, demand: &[u64], columns: &Columns) -> Option<Cursor> {
        let Cursor { mut block, mut offset } = from;
        let width = columns.dimensions();
        while block < self.blocks.len() {
            if offset == 0 {
                if block.is_multiple_of(RUN)
                    && !covers(&self.runs[block / RUN * width..][..width], demand)
                {
                    block += RUN;
                    continue;
                }
                if !covers(&self.tops[block * width..][..width], demand) {
                    block += 1;
                    continue;
                }
            }
            let rest = self.blocks[block].get(offset..).unwrap_or_default();
            let fits = |entry: &Entry| covers(columns.free(entry.host), demand);
            if let Some(found) = rest.iter().position(fits) {
                return Some(Cursor { block, offset: offset + found });
            }
            (block, offset) = (block + 1, 0);
        }
        None
    }

    /// The position after this host.
    pub(crate) fn next(&self, at: Cursor) -> Cursor {
        Cursor { offset: at.offset + 1, ..at }
    }

    /// The position after this host and all that are in the same state but have a greater name.
    pub(crate) fn after_alike(&self, at: Cursor) -> Cursor {
        let state = self.blocks[at.block][at.offset].state;
        let within = |block: usize, from: usize| {
            from + self.blocks[block][from..].partition_point(|entry| entry.state == state)
        };
        let end = within(at.block, at.offset);
        if end < self.blocks[at.block].len() {
            return Cursor { block: at.block, offset: end };
        }
        let alike = |block: &Vec<Entry>| block.last().is_some_and(|entry| entry.state == state);
        let block = at.block + 1 + self.blocks[at.block + 1..].partition_point(alike);
        match self.blocks.get(block) {
            Some(_) => Cursor { block, offset: within(block, 0) },
            None => Cursor { block, offset: 0 },
        }
    }

    /// Where an entry is, or would be.
    fn position(&self, entry: Entry, names: &Names) -> Cursor {
        let order = |other: &Entry| {
            let by_name = || names.label(other.host).cmp(&names.label(entry.host));
            other.state.cmp(&entry.state).then_with(by_name)
        };
        let before =
            |block: &Vec<Entry>| block.last().is_some_and(|last| order(last) == Ordering::Less);
        let block = self.blocks.partition_point(before);
        let within = self.blocks.get(block);
        let offset =
            within.map_or(0, |block| block.partition_point(|e| order(e) == Ordering::Less));
        Cursor { block, offset }
    }

    /// Moves an entry to its new state.
    fn shift(&mut self, entry: Entry, state: State, columns: &Columns, names: &Names) {
        let cursor = self.position(entry, names);
        if entry.state == state {
            self.find_top(cursor.block, columns);
            self.find_runs_of(cursor.block, columns);
            return;
        }
        self.remove(cursor, columns);
        self.insert(Entry { state, ..entry }, columns, names);
    }

    fn insert(&mut self, entry: Entry, columns: &Columns, names: &Names) {
        let width = columns.dimensions();
        let mut at = self.position(entry, names);
        if at.block == self.blocks.len() {
            // Past the end: the last block takes it, so that ascending arrivals fill blocks.
            match self.blocks.last() {
                Some(last) => at = Cursor { block: at.block - 1, offset: last.len() },
                None => {
                    self.blocks.push(Vec::with_capacity(BLOCK));
                    self.tops.resize(width, 0);
                    self.runs.resize(width, 0);
                }
            }
        }
        self.blocks[at.block].insert(at.offset, entry);
        let len = self.blocks[at.block].len();
        if len <= BLOCK {
            let free = columns.free(entry.host);
            raise(&mut self.tops[at.block * width..][..width], free);
            raise(&mut self.runs[at.block / RUN * width..][..width], free);
            return;
        }
        // What arrives in order leaves full blocks behind.
        let cut = if at.offset + 1 == len { BLOCK } else { BLOCK / 2 };
        let mut rest = Vec::with_capacity(BLOCK);
        rest.extend(self.blocks[at.block].drain(cut..));
        self.blocks.insert(at.block + 1, rest);
        self.tops.splice((at.block + 1) * width..(at.block + 1) * width, vec![0; width]);
        self.find_top(at.block, columns);
        self.find_top(at.block + 1, columns);
        self.find_runs(at.block / RUN, columns);
    }

    fn remove(&mut self, at: Cursor, columns: &Columns) {
        self.blocks[at.block].remove(at.offset);
        let len = self.blocks[at.block].len();
        let next = self.blocks.get(at.block + 1).map_or(usize::MAX, Vec::len);
        let merges = len < BLOCK / 4 && next <= BLOCK / 2;
        if len > 0 && !merges {
            self.find_top(at.block, columns);
            self.find_runs_of(at.block, columns);
            return;
        }
        // An empty block goes; a small one is joined to the next.
        let gone = if len == 0 { at.block } else { at.block + 1 };
        let rest = self.blocks.remove(gone);
        let width = columns.dimensions();
        self.tops.drain(gone * width..(gone + 1) * width);
        if len > 0 {
            self.blocks[at.block].extend(rest);
            self.find_top(at.block, columns);
        }
        self.find_runs(at.block / RUN, columns);
    }

    fn find_top(&mut self, block: usize, columns: &Columns) {
        let width = columns.dimensions();
        let top = &mut self.tops[block * width..][..width];
        top.fill(0);
        for entry in &self.blocks[block] {
            raise(top, columns.free(entry.host));
        }
    }

    /// The summary of the run that a block is in.
    fn find_runs_of(&mut self, block: usize, columns: &Columns) {
        let width = columns.dimensions();
        let run = block / RUN;
        let of = &mut self.runs[run * width..][..width];
        of.fill(0);
        let end = ((run + 1) * RUN).min(self.blocks.len());
        for top in self.tops[run * RUN * width..end * width].chunks_exact(width) {
            raise(of, top);
        }
    }

    /// The summaries of all runs from one on, after blocks have come or gone.
    fn find_runs(&mut self, from: usize, columns: &Columns) {
        let runs = self.blocks.len().div_ceil(RUN);
        self.runs.resize(runs * columns.dimensions(), 0);
        for run in from..runs {
            self.find_runs_of(run * RUN, columns);
        }
    }
}

/// How many dimensions of a demand are lacking, and the sum of the lacking shares of each.
pub(crate) fn lacking(free: &[u64], demand: &[u64]) -> (usize, f64) {
    let float = crate::fitness::float;
    let (mut dimensions, mut shares) = (0, 0.0);
    for (wanted, free) in demand.iter().zip(free) {
        if wanted > free {
            dimensions += 1;
            shares += float(wanted - free) / float(*wanted);
        }
    }
    (dimensions, shares)
}

fn raise(top: &mut [u64], free: &[u64]) {
    for (top, free) in top.iter_mut().zip(free) {
        *top = (*top).max(*free);
    }
}
