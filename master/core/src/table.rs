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

/// Entities by ordinal; ordinals are used again, lowest first.
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
