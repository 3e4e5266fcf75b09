//! Hosts in order of fitness, kept from run to run: the best host with room is found without looking at most.
//!
//! For packers, spreaders and their weighted means, the fitness of a host is a constant for the task plus a
//! key of the host alone, as long as hosts have the same totals. So hosts stand on one *shelf* for each totals
//! (clusters have few kinds of machines), sorted by key, then name. A shelf is cut into blocks, and each
//! block, and each run of blocks, knows the most that any of its hosts has free in each dimension: what is too
//! full is stepped over at once. What is free stands beside the entries, so that a block is read in one go. Keys are rounded, so the order is true up to [`SLACK`]; who uses it looks
//! that far past the best and compares exact scores.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::columns::{Columns, covers};
use super::glance::Glance;
use super::names::Names;

/// How far a later host's exact calculator may exceed an earlier one's: rounding, with room to spare.
pub(crate) const SLACK: f64 = 1e-9;

/// Greatest length of a block.
const BLOCK: usize = 32;

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

/// Hosts that follow each other.
#[derive(Clone, Debug)]
struct Block {
    entries: Vec<Entry>,
    /// What each of them has free.
    free: Vec<Glance>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    blocks: Vec<Block>,
    /// The first entry of each block.
    firsts: Vec<Entry>,
    /// The most that is free in each block.
    tops: Vec<Glance>,
    /// The same for each run of blocks.
    runs: Vec<Glance>,
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

    /// Whether a host stands on a shelf.
    pub(crate) fn knows(&self, host: usize) -> bool {
        self.places.get(host).is_some_and(Option::is_some)
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
            shelf.remove(cursor);
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
            let closer = |top: Glance, nearest: Option<((usize, f64), usize)>| {
                let lacking = || lacking(top.at_most(width), demand);
                nearest.is_none_or(|(distance, _)| lacking() < distance)
            };
            for (run, blocks) in shelf.blocks.chunks(RUN).enumerate() {
                if !closer(shelf.runs[run], nearest) {
                    continue;
                }
                for (block, of) in (run * RUN..).zip(blocks) {
                    for entry in &of.entries {
                        if !closer(shelf.tops[block], nearest) {
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

impl State {
    /// Sorts as the state does, in one comparison.
    fn joined(self) -> u128 {
        u128::from(self.key) << 64 | u128::from(self.digest)
    }

    /// The sum that the key stands for.
    fn sum(self) -> f64 {
        let bits = if self.key >> 63 == 1 { self.key ^ 1 << 63 } else { !self.key };
        0.0 - f64::from_bits(bits)
    }
}

impl Shelf {
    /// The host at a position that [`Shelf::seek`] has given.
    pub(crate) fn host(&self, at: Cursor) -> usize {
        self.blocks[at.block].entries[at.offset].host
    }

    /// The host that stands first. There are no empty shelves.
    pub(crate) fn first(&self) -> usize {
        self.firsts[0].host
    }

    /// By how much the calculator of a block's first host is less than that of the shelf's.
    fn behind(&self, block: usize) -> f64 {
        self.firsts[0].state.sum() - self.firsts[block].state.sum()
    }

    /// The first host at or after `from` that has room for a demand. `worth` is asked from time to time whether
    /// there is any sense in going on, with the least by which calculators to come are below that of the
    /// shelf's first host.
    pub(crate) fn seek(
        &self,
        from: Cursor,
        demand: &[u64],
        columns: &Columns,
        worth: impl Fn(f64) -> bool,
    ) -> Option<Cursor> {
        let Cursor { mut block, mut offset } = from;
        let wanted = Glance::of(demand);
        while block < self.blocks.len() {
            if offset == 0 {
                if block.is_multiple_of(RUN) && !self.runs[block / RUN].may_cover(wanted) {
                    block += RUN;
                    continue;
                }
                if !self.tops[block].may_cover(wanted) {
                    block += 1;
                    continue;
                }
                if !worth(self.behind(block)) {
                    return None;
                }
            }
            let Block { entries, free } = &self.blocks[block];
            let rest = free.get(offset..).unwrap_or_default();
            match rest.iter().position(|free| free.may_cover(wanted)) {
                Some(found) => {
                    offset += found;
                    if covers(columns.free(entries[offset].host), demand) {
                        return Some(Cursor { block, offset });
                    }
                    offset += 1;
                }
                None => (block, offset) = (block + 1, 0),
            }
        }
        None
    }

    /// The position after this host.
    pub(crate) fn next(&self, at: Cursor) -> Cursor {
        Cursor { offset: at.offset + 1, ..at }
    }

    /// The position after this host and all that are in the same state but have a greater name.
    pub(crate) fn after_alike(&self, at: Cursor) -> Cursor {
        let state = self.blocks[at.block].entries[at.offset].state;
        let within = |block: usize, from: usize| {
            let entries = &self.blocks[block].entries;
            from + entries[from..].partition_point(|entry| entry.state == state)
        };
        let end = within(at.block, at.offset);
        if end < self.blocks[at.block].entries.len() {
            return Cursor { block: at.block, offset: end };
        }
        // Of the blocks that begin with hosts in this state, the last may go on with others.
        let alike = self.firsts[at.block + 1..].partition_point(|entry| entry.state == state);
        match alike {
            0 => Cursor { block: at.block + 1, offset: 0 },
            _ => Cursor { block: at.block + alike, offset: within(at.block + alike, 0) },
        }
    }

    /// Where an entry is, or would be. There is at least one block.
    fn position(&self, entry: Entry, names: &Names) -> Cursor {
        let (state, label) = (entry.state.joined(), names.label(entry.host));
        let mut block = self.firsts.partition_point(|first| first.state.joined() < state);
        if self.firsts.get(block).is_some_and(|first| first.state == entry.state) {
            let alike =
                |first: &Entry| first.state == entry.state && names.label(first.host) <= label;
            block += self.firsts[block..].partition_point(alike);
        }
        let block = block.saturating_sub(1);
        let entries = &self.blocks[block].entries;
        let mut offset = entries.partition_point(|other| other.state.joined() < state);
        if entries.get(offset).is_some_and(|other| other.state == entry.state) {
            let alike =
                |other: &Entry| other.state == entry.state && names.label(other.host) < label;
            offset += entries[offset..].partition_point(alike);
        }
        Cursor { block, offset }
    }

    /// Moves an entry to its new state.
    fn shift(&mut self, entry: Entry, state: State, columns: &Columns, names: &Names) {
        let cursor = self.position(entry, names);
        if entry.state == state {
            self.blocks[cursor.block].free[cursor.offset] = Glance::of(columns.free(entry.host));
            self.find_top(cursor.block);
            self.find_run_of(cursor.block);
            return;
        }
        self.remove(cursor);
        self.insert(Entry { state, ..entry }, columns, names);
    }

    fn insert(&mut self, entry: Entry, columns: &Columns, names: &Names) {
        let free = Glance::of(columns.free(entry.host));
        if self.blocks.is_empty() {
            self.blocks.push(Block::empty());
            self.firsts.push(entry);
            self.tops.push(Glance::NOTHING);
            self.runs.push(Glance::NOTHING);
        }
        let at = self.position(entry, names);
        let block = &mut self.blocks[at.block];
        block.entries.insert(at.offset, entry);
        block.free.insert(at.offset, free);
        self.firsts[at.block] = block.entries[0];
        let len = block.entries.len();
        if len <= BLOCK {
            self.tops[at.block] = self.tops[at.block].max(free);
            self.runs[at.block / RUN] = self.runs[at.block / RUN].max(free);
            return;
        }
        // What arrives in order leaves full blocks behind.
        let cut = if at.offset + 1 == len { BLOCK } else { BLOCK / 2 };
        let mut rest = Block::empty();
        rest.take_from(block, cut);
        self.firsts.insert(at.block + 1, rest.entries[0]);
        self.blocks.insert(at.block + 1, rest);
        self.tops.insert(at.block + 1, Glance::NOTHING);
        self.find_top(at.block);
        self.find_top(at.block + 1);
        self.find_runs(at.block / RUN);
    }

    fn remove(&mut self, at: Cursor) {
        let block = &mut self.blocks[at.block];
        block.entries.remove(at.offset);
        block.free.remove(at.offset);
        let len = block.entries.len();
        if let Some(first) = block.entries.first() {
            self.firsts[at.block] = *first;
        }
        let next = self.blocks.get(at.block + 1).map_or(usize::MAX, |next| next.entries.len());
        let merges = len < BLOCK / 4 && next <= BLOCK / 2;
        if len > 0 && !merges {
            let before = self.tops[at.block];
            self.find_top(at.block);
            if self.tops[at.block] != before {
                self.find_run_of(at.block);
            }
            return;
        }
        // An empty block goes; a small one is joined to the next.
        let gone = if len == 0 { at.block } else { at.block + 1 };
        let mut rest = self.blocks.remove(gone);
        self.firsts.remove(gone);
        self.tops.remove(gone);
        if len > 0 {
            self.blocks[at.block].take_from(&mut rest, 0);
            self.find_top(at.block);
        }
        self.find_runs(at.block / RUN);
    }

    fn find_top(&mut self, block: usize) {
        let free = self.blocks[block].free.iter();
        self.tops[block] = free.fold(Glance::NOTHING, |top, free| top.max(*free));
    }

    /// The summary of the run that a block is in.
    fn find_run_of(&mut self, block: usize) {
        let run = block / RUN;
        let end = ((run + 1) * RUN).min(self.blocks.len());
        let tops = self.tops[run * RUN..end].iter();
        self.runs[run] = tops.fold(Glance::NOTHING, |most, top| most.max(*top));
    }

    /// The summaries of all runs from one on, after blocks have come or gone.
    fn find_runs(&mut self, from: usize) {
        let runs = self.blocks.len().div_ceil(RUN);
        self.runs.resize(runs, Glance::NOTHING);
        for run in from..runs {
            self.find_run_of(run * RUN);
        }
    }
}

impl Block {
    fn empty() -> Self {
        Self { entries: Vec::with_capacity(BLOCK + 1), free: Vec::with_capacity(BLOCK + 1) }
    }

    /// Takes over the entries of another block from one on.
    fn take_from(&mut self, other: &mut Self, from: usize) {
        self.entries.extend(other.entries.drain(from..));
        self.free.extend(other.free.drain(from..));
    }
}

/// How many dimensions of a demand are lacking, and the sum of the lacking shares of each.
pub(crate) fn lacking<F: Borrow<u64>>(
    free: impl IntoIterator<Item = F>,
    demand: &[u64],
) -> (usize, f64) {
    let float = crate::fitness::float;
    let (mut dimensions, mut shares) = (0, 0.0);
    for (wanted, free) in demand.iter().zip(free) {
        let free = *free.borrow();
        if *wanted > free {
            dimensions += 1;
            shares += float(wanted - free) / float(*wanted);
        }
    }
    (dimensions, shares)
}
