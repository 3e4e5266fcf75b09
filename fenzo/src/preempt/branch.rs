//! A partial set of the pieces of one field, and what is known of the field beforehand.
//!
//! What is known is found once for a field, whatever the sizes that are tried; it takes time and room by the
//! number of pieces, never by its square.

use std::collections::BTreeMap;

use crate::id::GroupName;

use super::field::Field;
use super::search::Cost;

/// The least that pieces lose is known for up to so many of them; beyond, it is bounded from below.
const KNOWN: usize = 32;

/// What a search knows of a field before it begins.
pub(super) struct Tables {
    /// By dimension, the most that each number of pieces frees.
    most: Vec<Vec<u64>>,
    /// From each piece on, the least that each number of pieces loses.
    least_lost: Vec<Vec<u64>>,
    /// For each piece, the budget that its end is counted in.
    counted_in: Vec<Option<usize>>,
    budgets: Vec<usize>,
    /// How many pieces must be in the set.
    musts: usize,
}

impl Tables {
    pub(super) fn new(field: &Field<'_>, budgets: &BTreeMap<GroupName, usize>) -> Self {
        let most = (0..field.lack.len())
            .map(|dimension| {
                let mut frees: Vec<u64> =
                    field.pieces.iter().map(|piece| piece.frees[dimension]).collect();
                frees.sort_unstable_by(|one, other| other.cmp(one));
                sums(&frees)
            })
            .collect();
        // From the last piece to the first, those that lose least of all behind.
        let mut cheapest: Vec<u64> = Vec::with_capacity(KNOWN + 1);
        let mut least_lost = vec![vec![0]];
        for piece in field.pieces.iter().rev() {
            let lost = piece.of.lost_work;
            cheapest.insert(cheapest.partition_point(|other| *other <= lost), lost);
            cheapest.truncate(KNOWN);
            least_lost.push(sums(&cheapest));
        }
        least_lost.reverse();
        Self { most, least_lost, ..Self::without_bounds(field, budgets) }
    }

    /// What a set costs and whether it is permitted, but nothing about sets to come.
    pub(super) fn without_bounds(field: &Field<'_>, budgets: &BTreeMap<GroupName, usize>) -> Self {
        let mut ordinals: BTreeMap<&GroupName, usize> = BTreeMap::new();
        let mut amounts = Vec::new();
        let mut counted_in = Vec::with_capacity(field.pieces.len());
        for piece in &field.pieces {
            let budget = budgets.get(&piece.group).map(|budget| {
                *ordinals.entry(&piece.group).or_insert_with(|| {
                    amounts.push(*budget);
                    amounts.len() - 1
                })
            });
            counted_in.push(budget);
        }
        let musts = field.pieces.iter().filter(|piece| piece.must).count();
        let (most, least_lost) = (Vec::new(), Vec::new());
        Self { most, least_lost, counted_in, budgets: amounts, musts }
    }

    /// No more than the least that so many pieces lose, from one on.
    fn cheapest(&self, from: usize, count: usize) -> u64 {
        let sums = &self.least_lost[from];
        let known = sums.len() - 1;
        if count <= known {
            return sums[count];
        }
        // None of the others loses less than the last of those that are known.
        let last = if known == 0 { 0 } else { sums[known] - sums[known - 1] };
        sums[known].saturating_add(last.saturating_mul((count - known) as u64))
    }
}

/// A partial set.
pub(super) struct Branch<'s, 'f> {
    pub(super) field: &'s Field<'f>,
    tables: &'s Tables,
    pub(super) size: usize,
    pub(super) chosen: Vec<usize>,
    pub(super) cost: Cost,
    freed: Vec<u64>,
    musts: usize,
    /// What is left of each budget.
    left: Vec<usize>,
    /// A proof has failed; and the end of all pieces does not help either.
    pub(super) doubted: bool,
    pub(super) dead: bool,
}

impl<'s, 'f> Branch<'s, 'f> {
    /// An empty set that is to have so many pieces.
    pub(super) fn new(field: &'s Field<'f>, tables: &'s Tables, size: usize) -> Self {
        Self {
            field,
            tables,
            size,
            chosen: Vec::new(),
            cost: Cost::NOTHING,
            freed: vec![0; field.lack.len()],
            musts: 0,
            left: tables.budgets.clone(),
            doubted: false,
            dead: false,
        }
    }

    pub(super) fn cost_with(&self, piece: usize) -> Cost {
        self.cost.with(self.field.pieces[piece].of)
    }

    /// What the set costs, counted anew.
    pub(super) fn cost_of_all(&self) -> Cost {
        let pieces = self.chosen.iter().map(|piece| self.field.pieces[*piece].of);
        pieces.fold(Cost::NOTHING, Cost::with)
    }

    /// No more than the least that so many pieces lose, from one on.
    pub(super) fn cheapest(&self, from: usize, count: usize) -> u64 {
        self.tables.cheapest(from, count)
    }

    pub(super) fn permits(&self, piece: usize) -> bool {
        self.tables.counted_in[piece].is_none_or(|budget| self.left[budget] > 0)
    }

    /// Adds a piece that is permitted; gives the cost before.
    pub(super) fn take(&mut self, piece: usize, cost: Cost) -> Cost {
        let of = &self.field.pieces[piece];
        for (freed, amount) in self.freed.iter_mut().zip(&of.frees) {
            *freed += amount;
        }
        self.musts += usize::from(of.must);
        if let Some(budget) = self.tables.counted_in[piece] {
            self.left[budget] -= 1;
        }
        self.chosen.push(piece);
        std::mem::replace(&mut self.cost, cost)
    }

    pub(super) fn give_back(&mut self, before: Cost) {
        self.leave_out(self.chosen.len() - 1);
        self.cost = before;
    }

    /// Takes a piece out of the set; the cost stays.
    pub(super) fn leave_out(&mut self, at: usize) {
        let piece = self.chosen.remove(at);
        let of = &self.field.pieces[piece];
        for (freed, amount) in self.freed.iter_mut().zip(&of.frees) {
            *freed -= amount;
        }
        self.musts -= usize::from(of.must);
        if let Some(budget) = self.tables.counted_in[piece] {
            self.left[budget] += 1;
        }
    }

    pub(super) fn makes_room(&self) -> bool {
        self.freed.iter().zip(&self.field.lack).all(|(freed, lack)| freed >= lack)
    }

    /// Whether there would be room without one of the chosen.
    pub(super) fn can_spare(&self, at: usize) -> bool {
        let of = &self.field.pieces[self.chosen[at]];
        let mut amounts = self.freed.iter().zip(&of.frees).zip(&self.field.lack);
        !of.must && amounts.all(|((freed, frees), lack)| freed - frees >= *lack)
    }

    pub(super) fn has_musts(&self) -> bool {
        self.musts == self.tables.musts
    }

    /// Whether the pieces that are still to come could make room.
    pub(super) fn can_make_room(&self) -> bool {
        let left = self.size - self.chosen.len();
        let mut amounts = self.freed.iter().zip(&self.field.lack).zip(&self.tables.most);
        self.tables.musts - self.musts <= left
            && amounts.all(|((freed, lack), most)| {
                freed.saturating_add(most[left.min(most.len() - 1)]) >= *lack
            })
    }
}

/// The sum of the first so many, for each number.
fn sums(amounts: &[u64]) -> Vec<u64> {
    let mut sums = vec![0_u64];
    for amount in amounts {
        sums.push(sums.last().map_or(0, |sum| sum.saturating_add(*amount)));
    }
    sums
}
