//! Seeking along a shelf of the ranking: the next host with room, and the next that is not like one before.
//!
//! Summaries and what hosts show at a glance tell where to look; rows are read only where a glance cannot tell. It
//! must not depend on how hosts are cut into blocks.

use super::block::{Block, Entry, first_that_may_cover};
use super::columns::{Columns, covers};
use super::glance::Glance;
use super::ranking::{RUN, Shelf, key_of, sum_of};

/// A demand that hosts are sought for.
pub(crate) struct Wanted<'a> {
    amounts: &'a [u64],
    glance: Glance,
    /// What is enough at a glance, so that rows need not be read.
    enough: Option<Glance>,
}

impl<'a> Wanted<'a> {
    /// By dimension.
    pub(crate) fn new(amounts: &'a [u64]) -> Self {
        Self { amounts, glance: Glance::of(amounts), enough: Glance::enough_for(amounts) }
    }

    /// Whether a host has room that shows this at a glance, and may cover the demand.
    fn fits(&self, free: Glance, host: usize, columns: &Columns) -> bool {
        self.enough.is_some_and(|enough| free.may_cover(enough))
            || covers(columns.free(host), self.amounts)
    }
}

/// How far along a shelf hosts are worth a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach(u64);

impl Reach {
    /// To the end.
    pub(crate) const ALL: Self = Self(u64::MAX);
}

/// A position on a shelf.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    pub(super) block: usize,
    pub(super) offset: usize,
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

    /// As far as calculators are at most so much below that of the first host.
    pub(crate) fn reach(&self, behind: f64) -> Reach {
        Reach(key_of(sum_of(self.first_keys[0]) - behind))
    }

    /// Whether a host stands within reach.
    pub(crate) fn is_within(&self, at: Cursor, reach: Reach) -> bool {
        self.blocks[at.block].keys[at.offset] <= reach.0
    }

    /// The first host at or after `from` that has room for a demand, if there is one within reach.
    #[inline]
    pub(crate) fn seek(
        &self,
        from: Cursor,
        wanted: &Wanted<'_>,
        columns: &Columns,
        reach: Reach,
    ) -> Option<Cursor> {
        // Who is refused by rules has neighbours with room: the next host is told at once.
        if from.offset > 0 && self.is_next(from, wanted, reach) {
            return Some(from);
        }
        self.seek_further(from, wanted, columns, reach)
    }

    /// Whether what stands at a position is surely what is sought.
    #[inline]
    fn is_next(&self, at: Cursor, wanted: &Wanted<'_>, reach: Reach) -> bool {
        let (Some(enough), Some(block)) = (wanted.enough, self.blocks.get(at.block)) else {
            return false;
        };
        let stands = (block.keys.get(at.offset), block.free.get(at.offset));
        let (Some(key), Some(first)) = stands else { return false };
        let free = || Glance::from_halves([*first, block.entries[at.offset].second]);
        *key <= reach.0 && free().may_cover(enough)
    }

    fn seek_further(
        &self,
        from: Cursor,
        wanted: &Wanted<'_>,
        columns: &Columns,
        reach: Reach,
    ) -> Option<Cursor> {
        let Cursor { mut block, mut offset } = from;
        let [first, second] = wanted.glance.halves();
        while block < self.blocks.len() {
            if offset == 0 {
                if block.is_multiple_of(RUN) && !self.runs[block / RUN].may_cover(wanted.glance) {
                    block += RUN;
                    continue;
                }
                if !self.tops[block].may_cover(wanted.glance) {
                    block += 1;
                    continue;
                }
                if self.first_keys[block] > reach.0 {
                    return None;
                }
            }
            let Block { keys, free, entries } = &self.blocks[block];
            match first_that_may_cover(free.get(offset..).unwrap_or_default(), first) {
                Some(found) => {
                    offset += found;
                    // How hosts are cut into blocks must not decide how many are looked at.
                    if keys[offset] > reach.0 {
                        return None;
                    }
                    let Entry { host, second: rest, .. } = entries[offset];
                    let shown = Glance::from_halves([free[offset], rest]);
                    if rest.may_cover(second) && wanted.fits(shown, host, columns) {
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
        let state = self.blocks[at.block].state(at.offset);
        let end = self.blocks[at.block].end_of(state, at.offset);
        if end < self.blocks[at.block].keys.len() {
            return Cursor { block: at.block, offset: end };
        }
        // Of the blocks that begin with hosts in this state, the last may go on with others.
        let rest = at.block + 1;
        let same_key = self.first_keys[rest..].partition_point(|key| *key == state.key);
        let same_key = &self.firsts[rest..rest + same_key];
        let alike = same_key.partition_point(|entry| entry.digest == state.digest);
        match alike {
            0 => Cursor { block: rest, offset: 0 },
            _ => {
                let block = at.block + alike;
                Cursor { block, offset: self.blocks[block].end_of(state, 0) }
            }
        }
    }
}
