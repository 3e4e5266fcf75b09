//! Who stands in an order, the first of them first.
//!
//! Whoever is served goes from the front to somewhere near the end, so both must be cheap. A few
//! stand in a list that keeps its memory. Many stand in a tree, the last of them first: it looks for
//! a place from its beginning on, and so finds that of who goes to the end after few comparisons.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// So many stand in the list.
const FEW: usize = 8;

/// An order. Nobody stands in it twice.
#[derive(Debug)]
pub(super) struct Line<K> {
    /// Empty while there are many.
    few: Vec<K>,
    many: BTreeSet<Reverse<K>>,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { few: Vec::new(), many: BTreeSet::new() }
    }
}

impl<K: Copy + Ord> Line<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    pub(super) fn insert(&mut self, key: K) {
        if self.many.is_empty() {
            if self.few.len() < FEW {
                let at = self.few.partition_point(|other| *other < key);
                if self.few.get(at) != Some(&key) {
                    self.few.insert(at, key);
                }
                return;
            }
            self.many.extend(self.few.drain(..).map(Reverse));
        }
        self.many.insert(Reverse(key));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if self.many.is_empty() {
            if let Some(at) = self.few.iter().position(|other| other == key) {
                self.few.remove(at);
            }
        } else if self.many.last() == Some(&Reverse(*key)) {
            // Mostly it is the first who leaves.
            self.many.pop_last();
        } else {
            self.many.remove(&Reverse(*key));
        }
    }

    /// The first first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &K> {
        self.few.iter().chain(self.many.iter().rev().map(|Reverse(key)| key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_stand_in_order() {
        let mut line = Line::default();
        let mut all = BTreeSet::new();
        // Numbers that come again and again, so that it grows and shrinks beyond the few.
        let mut number: u32 = 7;
        for round in 0..2_000_u32 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (number >> 16) % 40;
            if round % 500 < 250 {
                line.insert(key);
                all.insert(key);
            } else {
                line.remove(&key);
                all.remove(&key);
                if let Some(first) = all.pop_first() {
                    line.remove(&first);
                }
            }
            assert!(line.iter().eq(all.iter()));
            assert_eq!(line.is_empty(), all.is_empty());
        }
    }
}
