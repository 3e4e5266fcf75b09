//! Hosts in order of fitness, kept from run to run: the best host with room is found without looking at most.
//!
//! For packers, spreaders and their weighted means, the fitness of a host is a constant for the task plus a
//! key of the host alone, as long as hosts have the same totals. So hosts stand on one *shelf* for each totals
//! (clusters have few kinds of machines), sorted by key, then name. A shelf is cut into blocks, and each
//! block, and each run of blocks, knows the most that any of its hosts has free in each dimension: what is too
//! full is stepped over at once. Keys and what is free at a glance stand in rows of their own beside the entries,
//! so that searching a block reads few cache lines. Keys are rounded, so the order is true up to [`SLACK`]; who
//! uses it looks that far past the best and compares exact scores.

use std::collections::BTreeMap;

use super::block::{BLOCK, Block, Entry, State};
use super::columns::{Columns, FIXED, lacking};
use super::glance::Glance;
use super::names::Names;
use super::seek::Cursor;

/// How far a later host's exact calculator may exceed an earlier one's: rounding, with room to spare.
pub(crate) const SLACK: f64 = 1e-9;

/// How many blocks share one summary above theirs.
pub(super) const RUN: usize = 16;

/// Where a host stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    totals: [u64; 4],
    state: State,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    pub(super) blocks: Vec<Block>,
    /// The first key and entry of each block.
    pub(super) first_keys: Vec<u64>,
    pub(super) firsts: Vec<Entry>,
    /// The most that is free in each block.
    pub(super) tops: Vec<Glance>,
    /// The same for each run of blocks.
    pub(super) runs: Vec<Glance>,
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

    /// Puts a host where it belongs now: nowhere, if it offers nothing. `same_sets` tells whether the named sets of
    /// two hosts that have some serve every task alike.
    pub(crate) fn update(
        &mut self,
        host: usize,
        columns: &Columns,
        names: &Names,
        same_sets: impl Fn(usize, usize) -> bool,
    ) {
        if self.places.len() <= host {
            self.places.resize(host + 1, None);
        }
        let wanted = columns.is_offered(host).then(|| self.place(host, columns));
        let weights = self.weights;
        let alike = |host: usize, other: usize| {
            let pairs = columns.used(host).iter().zip(columns.used(other));
            let likeness = columns.likeness(host);
            pairs.zip(weights).all(|((used, other), weight)| weight == 0.0 || used == other)
                && likeness == columns.likeness(other)
                && (likeness == 0 || same_sets(host, other))
        };
        let stands = self.places[host];
        if let (Some(stands), Some(mut wanted)) = (stands, wanted)
            && stands.totals == wanted.totals
        {
            let shelf = self.shelves.get_mut(&wanted.totals).expect("a host stands on its shelf");
            wanted.state = shelf.shift(host, stands.state, wanted.state, columns, names, &alike);
            self.places[host] = Some(wanted);
            return;
        }
        if let Some(stands) = stands {
            let shelf = self.shelves.get_mut(&stands.totals).expect("a host stands on its shelf");
            let cursor = shelf.position(host, stands.state, names);
            shelf.remove(cursor);
            if shelf.blocks.is_empty() {
                self.shelves.remove(&stands.totals);
            }
        }
        self.places[host] = wanted.map(|wanted| {
            let shelf = self.shelves.entry(wanted.totals).or_default();
            Place { state: shelf.insert(host, wanted.state, columns, names, &alike), ..wanted }
        });
    }

    /// The first host that comes closest to a demand that none has room for. `distance` tells how many reasons
    /// there are against a host and how much it lacks; it must not be less than [`lacking`]. Which hosts it is asked
    /// about depends on the hosts alone, and not on how they are cut into blocks.
    pub(crate) fn nearest(
        &self,
        demand: &[u64],
        columns: &Columns,
        distance: &mut dyn FnMut(usize) -> (usize, f64),
    ) -> Option<usize> {
        let mut nearest: Option<((usize, f64), usize)> = None;
        // Scalars are left out: which of them a glance shows goes by the order in which their names were learnt.
        let width = columns.dimensions().min(FIXED);
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
                    for (first, entry) in of.free.iter().zip(&of.entries) {
                        if !closer(shelf.tops[block], nearest) {
                            break;
                        }
                        // What the block's summary would pass by is passed by in any block.
                        if !closer(Glance::from_halves([*first, entry.second]), nearest) {
                            continue;
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
        let (mut sum, mut digest) = (0.0, 0xcbf2_9ce4_8422_2325_u64 ^ columns.likeness(host));
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
        Place { totals, state: State { key: key_of(sum), digest } }
    }
}

/// Sorts as the sum does, the greatest first.
pub(super) fn key_of(sum: f64) -> u64 {
    // Adding zero makes -0.0 positive; the sign bit then sorts as numbers do.
    let bits = (0.0 - sum).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The sum that a key stands for.
pub(super) fn sum_of(key: u64) -> f64 {
    let bits = if key >> 63 == 1 { key ^ 1 << 63 } else { !key };
    0.0 - f64::from_bits(bits)
}

impl Shelf {
    /// Where a host is that stands by this state, or would be. There is at least one block.
    fn position(&self, host: usize, state: State, names: &Names) -> Cursor {
        let State { key, digest } = state;
        let label = names.label(host);
        let against = |other: &Entry| {
            other.digest.cmp(&digest).then_with(|| names.label(other.host).cmp(&label))
        };
        let mut block = self.first_keys.partition_point(|first| *first < key);
        if self.first_keys.get(block) == Some(&key) {
            let same_key = self.first_keys[block..].partition_point(|first| *first == key);
            let same_key = &self.firsts[block..block + same_key];
            block += same_key.partition_point(|first| against(first).is_le());
        }
        let block = block.saturating_sub(1);
        let Block { keys, entries, .. } = &self.blocks[block];
        let mut offset = keys.partition_point(|other| *other < key);
        if keys.get(offset) == Some(&key) {
            let same_key = keys[offset..].partition_point(|other| *other == key);
            let same_key = &entries[offset..offset + same_key];
            offset += same_key.partition_point(|other| against(other).is_lt());
        }
        Cursor { block, offset }
    }

    /// Whether the host at a position has a neighbour in its state that is not alike: two digests met by chance,
    /// or were made to. All others in the state are as the neighbour is.
    fn clashes(
        &self,
        at: Cursor,
        host: usize,
        state: State,
        alike: &impl Fn(usize, usize) -> bool,
    ) -> bool {
        let block = &self.blocks[at.block];
        let in_block =
            |offset: usize| (block.state(offset) == state).then(|| block.entries[offset].host);
        let last_before = || {
            let before = &self.blocks[at.block.checked_sub(1)?];
            let last = before.keys.len() - 1;
            (before.state(last) == state).then(|| before.entries[last].host)
        };
        let before = at.offset.checked_sub(1).map_or_else(last_before, in_block);
        let after = || {
            // The host itself may stand at the position already.
            let here = block.entries.get(at.offset).is_some_and(|entry| entry.host == host);
            let offset = at.offset + usize::from(here);
            if offset < block.keys.len() {
                return in_block(offset);
            }
            let (key, first) = (self.first_keys.get(at.block + 1)?, self.firsts[at.block + 1]);
            (State { key: *key, digest: first.digest } == state).then_some(first.host)
        };
        before.or_else(after).is_some_and(|other| !alike(host, other))
    }

    /// Moves a host to its new state; gives the one that it has there.
    fn shift(
        &mut self,
        host: usize,
        before: State,
        state: State,
        columns: &Columns,
        names: &Names,
        alike: &impl Fn(usize, usize) -> bool,
    ) -> State {
        let at = self.position(host, before, names);
        if before == state && !self.clashes(at, host, state, alike) {
            let [first, second] = Glance::of(columns.free(host)).halves();
            let block = &mut self.blocks[at.block];
            (block.free[at.offset], block.entries[at.offset].second) = (first, second);
            self.find_top(at.block);
            self.find_run_of(at.block);
            return state;
        }
        self.remove(at);
        self.insert(host, state, columns, names, alike)
    }

    /// Puts a host in its state, or in the next that is free of hosts that are not alike; gives that.
    fn insert(
        &mut self,
        host: usize,
        mut state: State,
        columns: &Columns,
        names: &Names,
        alike: &impl Fn(usize, usize) -> bool,
    ) -> State {
        let mut at = Cursor::default();
        if !self.blocks.is_empty() {
            at = self.position(host, state, names);
            while self.clashes(at, host, state, alike) {
                state.digest = state.digest.wrapping_add(1);
                at = self.position(host, state, names);
            }
        }
        self.insert_at(at, host, state, Glance::of(columns.free(host)));
        state
    }

    fn insert_at(&mut self, at: Cursor, host: usize, state: State, free: Glance) {
        let [first, second] = free.halves();
        let entry = Entry { digest: state.digest, host, second };
        if self.blocks.is_empty() {
            self.blocks.push(Block::empty());
            self.first_keys.push(state.key);
            self.firsts.push(entry);
            self.tops.push(Glance::NOTHING);
            self.runs.push(Glance::NOTHING);
        }
        let block = &mut self.blocks[at.block];
        block.keys.insert(at.offset, state.key);
        block.free.insert(at.offset, first);
        block.entries.insert(at.offset, entry);
        (self.first_keys[at.block], self.firsts[at.block]) = (block.keys[0], block.entries[0]);
        let len = block.keys.len();
        if len <= BLOCK {
            self.tops[at.block] = self.tops[at.block].max(free);
            self.runs[at.block / RUN] = self.runs[at.block / RUN].max(free);
            return;
        }
        // What arrives in order leaves full blocks behind.
        let cut = if at.offset + 1 == len { BLOCK } else { BLOCK / 2 };
        let mut rest = Block::empty();
        rest.take_from(block, cut);
        self.first_keys.insert(at.block + 1, rest.keys[0]);
        self.firsts.insert(at.block + 1, rest.entries[0]);
        self.blocks.insert(at.block + 1, rest);
        self.tops.insert(at.block + 1, Glance::NOTHING);
        self.find_top(at.block);
        self.find_top(at.block + 1);
        self.find_runs(at.block / RUN);
    }

    fn remove(&mut self, at: Cursor) {
        let block = &mut self.blocks[at.block];
        block.keys.remove(at.offset);
        let first = block.free.remove(at.offset);
        let Entry { second, .. } = block.entries.remove(at.offset);
        let len = block.keys.len();
        if len > 0 {
            (self.first_keys[at.block], self.firsts[at.block]) = (block.keys[0], block.entries[0]);
        }
        let next = self.blocks.get(at.block + 1).map_or(usize::MAX, |next| next.keys.len());
        let merges = len < BLOCK / 4 && next <= BLOCK / 2;
        if len > 0 && !merges {
            let before = self.tops[at.block];
            if !Glance::from_halves([first, second]).is_below(before) {
                self.find_top(at.block);
                if self.tops[at.block] != before {
                    self.find_run_of(at.block);
                }
            }
            return;
        }
        // An empty block goes; a small one is joined to the next.
        let gone = if len == 0 { at.block } else { at.block + 1 };
        let mut rest = self.blocks.remove(gone);
        self.first_keys.remove(gone);
        self.firsts.remove(gone);
        self.tops.remove(gone);
        if len > 0 {
            self.blocks[at.block].take_from(&mut rest, 0);
            self.find_top(at.block);
        }
        self.find_runs(at.block / RUN);
    }

    fn find_top(&mut self, block: usize) {
        let Block { free, entries, .. } = &self.blocks[block];
        let glances = free.iter().zip(entries);
        let glances = glances.map(|(first, of)| Glance::from_halves([*first, of.second]));
        self.tops[block] = glances.fold(Glance::NOTHING, Glance::max);
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
