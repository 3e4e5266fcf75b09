//! The pieces of a `Resources`, shared between its copies until one of them changes.
//!
//! What an agent has free goes into an offer, the master's record of it, an event, a filter: many
//! copies, few changes. A copy costs one reference, and copies are equal without a look at them.

use super::Piece;
use std::ops::Deref;
use std::sync::Arc;

/// A list of pieces. Nothing at all needs no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Option<Arc<Vec<Piece>>>);

impl Shared {
    pub(super) const EMPTY: Self = Self(None);

    /// Whether both are copies of one list.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Changes the list, for this copy alone.
    pub(super) fn edit<T>(&mut self, change: impl FnOnce(&mut Vec<Piece>) -> T) -> T {
        let list = Arc::make_mut(self.0.get_or_insert_default());
        let done = change(list);
        if list.is_empty() {
            self.0 = None;
        }
        done
    }
}

impl From<Vec<Piece>> for Shared {
    fn from(pieces: Vec<Piece>) -> Self {
        Self((!pieces.is_empty()).then(|| Arc::new(pieces)))
    }
}

impl Deref for Shared {
    type Target = [Piece];
    fn deref(&self) -> &[Piece] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || **self == **other
    }
}

impl Eq for Shared {}
