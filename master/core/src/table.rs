//! Tables of entities under dense ordinals.
//!
//! An id is for peers and for ever; an ordinal is for us, as long as the entity is in its table.
//! Indexing with an ordinal whose entity has left is a bug of ours, and panics.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A dense ordinal.
pub(crate) trait Ordinal: Copy + Ord {
    fn from_index(index: usize) -> Self;
    fn index(self) -> usize;
}

macro_rules! ordinal {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl Ordinal for $name {
            fn from_index(index: usize) -> Self {
                Self(u32::try_from(index).expect("fewer than 2^32 entities fit in memory"))
            }
            fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

ordinal! {
    /// A framework in the table.
    FrameworkOrd
}
ordinal! {
    /// An agent in the table.
    AgentOrd
}
ordinal! {
    /// A role in the sorter's tree.
    RoleOrd
}
ordinal! {
    /// A framework's place in a role.
    SeatOrd
}

/// Entities by ordinal; ordinals that are free are used again, the one freed last first.
#[derive(Debug)]
pub(crate) struct Table<O, T> {
    slots: Vec<Option<T>>,
    free: Vec<O>,
    ordinals: PhantomData<O>,
}

impl<O: Ordinal, T> Table<O, T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ordinals: PhantomData }
    }

    pub(crate) fn insert(&mut self, entity: T) -> O {
        if let Some(ord) = self.free.pop() {
            self.slots[ord.index()] = Some(entity);
            return ord;
        }
        self.slots.push(Some(entity));
        O::from_index(self.slots.len() - 1)
    }

    pub(crate) fn remove(&mut self, ord: O) -> T {
        let entity = self.slots[ord.index()].take().expect("an ordinal outlives its entity");
        self.free.push(ord);
        entity
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (O, &T)> {
        let filled = |(index, slot): (usize, &'_ Option<T>)| slot.as_ref().map(|_| index);
        self.slots.iter().enumerate().filter_map(filled).map(|index| {
            let ord = O::from_index(index);
            (ord, &self[ord])
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn get(&self, ord: O) -> Option<&T> {
        self.slots.get(ord.index()).and_then(Option::as_ref)
    }
}

impl<O: Ordinal, T> Index<O> for Table<O, T> {
    type Output = T;
    fn index(&self, ord: O) -> &T {
        self.slots[ord.index()].as_ref().expect("an ordinal outlives its entity")
    }
}

impl<O: Ordinal, T> IndexMut<O> for Table<O, T> {
    fn index_mut(&mut self, ord: O) -> &mut T {
        self.slots[ord.index()].as_mut().expect("an ordinal outlives its entity")
    }
}

/// A set of ordinals: one bit each, as far as the greatest.
#[derive(Clone, Debug)]
pub(crate) struct OrdSet<O> {
    words: Vec<u64>,
    len: usize,
    ordinals: PhantomData<O>,
}

impl<O> Default for OrdSet<O> {
    fn default() -> Self {
        Self { words: Vec::new(), len: 0, ordinals: PhantomData }
    }
}

impl<O: Ordinal> OrdSet<O> {
    fn place(ord: O) -> (usize, u64) {
        (ord.index() / 64, 1 << (ord.index() % 64))
    }

    /// Says whether it is new.
    pub(crate) fn insert(&mut self, ord: O) -> bool {
        let (word, bit) = Self::place(ord);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += usize::from(is_new);
        is_new
    }

    /// Says whether it was there.
    pub(crate) fn remove(&mut self, ord: O) -> bool {
        let (word, bit) = Self::place(ord);
        let was_there = self.words.get(word).is_some_and(|word| word & bit != 0);
        if was_there {
            self.words[word] &= !bit;
            self.len -= 1;
        }
        was_there
    }

    pub(crate) fn set(&mut self, ord: O, there: bool) {
        if there {
            self.insert(ord);
        } else {
            self.remove(ord);
        }
    }

    pub(crate) fn contains(&self, ord: O) -> bool {
        let (word, bit) = Self::place(ord);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empties it and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
        self.len = 0;
    }

    /// Adds all of `other`.
    pub(crate) fn add_all(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        self.len = self.words.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// How many are not in `other`.
    pub(crate) fn count_without(&self, other: &Self) -> usize {
        self.words_without(other).map(|word| word.count_ones() as usize).sum()
    }

    fn words_without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(theirs).map(|(mine, theirs)| mine & !theirs)
    }

    /// Those that are not in `other`, in order.
    pub(crate) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = O> + 'a {
        self.words_without(other)
            .enumerate()
            .flat_map(|(at, word)| Bits(word).map(move |bit| O::from_index(at * 64 + bit)))
    }

    /// Those that are not in `other`, in order, from a place on.
    pub(crate) fn without_from<'a>(
        &'a self,
        other: &'a Self,
        from: usize,
    ) -> impl Iterator<Item = O> + 'a {
        let first = from / 64;
        self.words_without(other)
            .enumerate()
            .skip(first)
            .map(move |(at, word)| {
                (at, if at == first { word & (!0 << (from % 64)) } else { word })
            })
            .flat_map(|(at, word)| Bits(word).map(move |bit| O::from_index(at * 64 + bit)))
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = O> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(at, word)| Bits(*word).map(move |bit| O::from_index(at * 64 + bit)))
    }
}

/// The numbers of the bits that are set in a word.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        // The lowest bit is taken out; of nothing, nothing.
        (self.0 != 0).then(|| {
            self.0 &= self.0 - 1;
            bit
        })
    }
}
