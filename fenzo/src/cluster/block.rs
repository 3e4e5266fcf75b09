//! Hosts that follow each other on a shelf of the ranking: rows of equal length, so that searching them reads few
//! cache lines. It must not decide who belongs where; the shelf does.

use super::glance::Half;

/// Greatest length of a block.
pub(super) const BLOCK: usize = 32;

/// How many hosts of a block are compared with a demand before asking whether one of them may do.
const AT_ONCE: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) digest: u64,
    pub(super) host: usize,
    /// The second half of what is free at a glance.
    pub(super) second: Half,
}

/// What decides a host's place before its name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Ascending as fitness descends.
    pub(super) key: u64,
    /// A digest of the used amounts that fitness looks at and of named sets; a number beside it where hosts that
    /// are not alike have the same. Hosts of one key and one digest are alike, and stand together.
    pub(super) digest: u64,
}

/// Hosts that follow each other: rows of equal length.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) keys: Vec<u64>,
    /// The first half of what each of them has free at a glance.
    pub(super) free: Vec<Half>,
    pub(super) entries: Vec<Entry>,
}

impl Block {
    pub(super) fn empty() -> Self {
        let room = BLOCK + 1;
        Self {
            keys: Vec::with_capacity(room),
            free: Vec::with_capacity(room),
            entries: Vec::with_capacity(room),
        }
    }

    pub(super) fn state(&self, at: usize) -> State {
        State { key: self.keys[at], digest: self.entries[at].digest }
    }

    /// Where the hosts end that are in this state from an offset on.
    pub(super) fn end_of(&self, state: State, from: usize) -> usize {
        let same_key = self.keys[from..].partition_point(|key| *key == state.key);
        let same_key = &self.entries[from..from + same_key];
        from + same_key.partition_point(|entry| entry.digest == state.digest)
    }

    /// Takes over the entries of another block from one on.
    pub(super) fn take_from(&mut self, other: &mut Self, from: usize) {
        self.keys.extend(other.keys.drain(from..));
        self.free.extend(other.free.drain(from..));
        self.entries.extend(other.entries.drain(from..));
    }
}

/// The first of some hosts that may cover a demand, by half of what there is.
pub(super) fn first_that_may_cover(free: &[Half], wanted: Half) -> Option<usize> {
    let covers = |free: &Half| free.may_cover(wanted);
    let mut parts = free.chunks_exact(AT_ONCE);
    for (part, of) in parts.by_ref().enumerate() {
        // Without a branch for each.
        if of.iter().fold(false, |any, free| any | covers(free)) {
            return of.iter().position(covers).map(|at| part * AT_ONCE + at);
        }
    }
    let rest = free.len() - parts.remainder().len();
    parts.remainder().iter().position(covers).map(|at| rest + at)
}
