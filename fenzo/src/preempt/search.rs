//! The cheapest set of tasks over all hosts: by size, and within a size by branch and bound.
//!
//! A set of the least size cannot have anything to spare. The work is bounded; who runs out of it is told, and
//! may ask for some set that will do.

use std::collections::BTreeMap;

use crate::id::GroupName;

use super::field::Field;

/// So many partial sets are looked at in one search.
const LOOKS: u64 = 300_000;

/// So many sets are proven in one search, where sums do not decide.
const PROOFS: u64 = 100;

/// What ending some tasks costs beside their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// The greatest priority.
    pub(super) priority: i32,
    pub(super) lost_work: u64,
}

/// A cost, the position of the field, and the positions of the pieces.
type Found = (Cost, usize, Vec<usize>);

pub(super) struct Search<'b> {
    budgets: &'b BTreeMap<GroupName, usize>,
    looks: u64,
    proofs: u64,
    /// The end of a task never makes a host worse.
    only_gains: bool,
}

/// Says whether a set of a field that makes room by sums does so indeed.
type Proof<'p, 'f> = dyn FnMut(&Field<'f>, &[usize]) -> bool + 'p;

impl<'b> Search<'b> {
    pub(super) fn new(budgets: &'b BTreeMap<GroupName, usize>, only_gains: bool) -> Self {
        Self { budgets, looks: LOOKS, proofs: PROOFS, only_gains }
    }

    /// Whether something was left out for want of work.
    pub(super) fn is_spent(&self) -> bool {
        self.looks == 0 || self.proofs == 0
    }

    /// The cheapest set of least size; of equal cost, that of the first field.
    pub(super) fn cheapest<'f>(
        &mut self,
        fields: &[Field<'f>],
        proves: &mut Proof<'_, 'f>,
    ) -> Option<Found> {
        let least: Vec<Option<usize>> = fields.iter().map(Field::least).collect();
        let most = fields.iter().map(|field| field.pieces.len()).max()?;
        let mut dead = vec![false; fields.len()];
        for size in 1..=most {
            let mut best: Option<Found> = None;
            for (position, field) in fields.iter().enumerate() {
                let possible = |least: usize| least <= size && size <= field.pieces.len();
                if dead[position] || !least[position].is_some_and(possible) {
                    continue;
                }
                let mut branch = Branch::new(field, size);
                let bound = best.as_ref().map(|(cost, ..)| *cost);
                if let Some((cost, chosen)) = self.descend(&mut branch, 0, bound, proves) {
                    best = Some((cost, position, chosen));
                }
                dead[position] = branch.dead;
            }
            if best.is_some() || self.is_spent() {
                return best;
            }
        }
        None
    }

    /// The cheapest set of the branch below `from` that costs less than `bound`.
    fn descend<'f>(
        &mut self,
        branch: &mut Branch<'_, 'f>,
        from: usize,
        bound: Option<Cost>,
        proves: &mut Proof<'_, 'f>,
    ) -> Option<(Cost, Vec<usize>)> {
        self.looks = self.looks.checked_sub(1)?;
        if branch.chosen.len() == branch.size {
            if !branch.makes_room() || !branch.has_musts() {
                return None;
            }
            self.proofs = self.proofs.checked_sub(1)?;
            if proves(branch.field, &branch.chosen) {
                return Some((branch.cost, branch.chosen.clone()));
            }
            if self.only_gains && !branch.doubted {
                // Where the end of all does not help, the end of some does not.
                let all: Vec<usize> = (0..branch.field.pieces.len()).collect();
                self.proofs = self.proofs.saturating_sub(1);
                (branch.doubted, branch.dead) = (true, !proves(branch.field, &all));
            }
            return None;
        }
        let mut best: Option<(Cost, Vec<usize>)> = None;
        let missing = branch.size - branch.chosen.len();
        for next in from..=branch.field.pieces.len() - missing {
            let bound = best.as_ref().map(|(cost, _)| *cost).or(bound);
            let cost = branch.cost_with(next);
            // Pieces go by priority, then by work: later ones of the same size cost no less in the one, so only
            // the priority ends the loop.
            if bound.is_some_and(|bound| cost.priority > bound.priority) {
                break;
            }
            let must = branch.field.pieces[next].must;
            let least = Cost {
                lost_work: cost.lost_work.saturating_add(branch.cheapest(next + 1, missing - 1)),
                ..cost
            };
            let dear = bound.is_some_and(|bound| least >= bound);
            if !dear && branch.permits(next, self.budgets) {
                let before = branch.take(next, cost);
                if branch.can_make_room() {
                    best = self.descend(branch, next + 1, bound, proves).or(best);
                }
                branch.give_back(before);
            }
            // Who leaves out what must be in it has no set.
            if must || branch.dead {
                break;
            }
        }
        best
    }

    /// Some set that will do and has nothing to spare, for each field the cheap ones first; the best of those.
    pub(super) fn some<'f>(
        &mut self,
        fields: &[Field<'f>],
        proves: &mut Proof<'_, 'f>,
    ) -> Option<Found> {
        let mut best: Option<(usize, Found)> = None;
        for (position, field) in fields.iter().enumerate() {
            let mut branch = Branch::new(field, usize::MAX);
            for next in 0..field.pieces.len() {
                if branch.makes_room() && branch.has_musts() {
                    break;
                }
                if branch.permits(next, self.budgets) {
                    let cost = branch.cost_with(next);
                    branch.take(next, cost);
                }
            }
            let fits = |chosen: &[usize]| {
                let mut branch = Branch::new(field, usize::MAX);
                for piece in chosen {
                    let cost = branch.cost_with(*piece);
                    branch.take(*piece, cost);
                }
                (branch.makes_room() && branch.has_musts()).then_some(branch.cost)
            };
            let mut chosen = branch.chosen;
            if fits(&chosen).is_none() || !proves(field, &chosen) {
                continue;
            }
            for at in (0..chosen.len()).rev() {
                let mut without = chosen.clone();
                without.remove(at);
                if fits(&without).is_some() && proves(field, &without) {
                    chosen = without;
                }
            }
            let Some(cost) = fits(&chosen) else { continue };
            let rank = |size: usize, cost: Cost| (size, cost);
            if best
                .as_ref()
                .is_none_or(|(size, (least, ..))| rank(chosen.len(), cost) < rank(*size, *least))
            {
                best = Some((chosen.len(), (cost, position, chosen)));
            }
        }
        best.map(|(_, found)| found)
    }
}

impl Field<'_> {
    /// No set of fewer pieces makes room; `None` if none does.
    fn least(&self) -> Option<usize> {
        let musts = self.pieces.iter().filter(|piece| piece.must).count();
        let mut least = musts.max(1);
        for (dimension, lack) in self.lack.iter().enumerate() {
            let mut frees: Vec<u64> =
                self.pieces.iter().map(|piece| piece.frees[dimension]).collect();
            frees.sort_unstable_by(|one, other| other.cmp(one));
            let (mut sum, mut count) = (0_u64, 0);
            while sum < *lack {
                sum = sum.saturating_add(*frees.get(count)?);
                count += 1;
            }
            least = least.max(count);
        }
        Some(least)
    }
}

/// A partial set.
struct Branch<'s, 'f> {
    field: &'s Field<'f>,
    size: usize,
    chosen: Vec<usize>,
    cost: Cost,
    freed: Vec<u64>,
    musts: usize,
    /// How many pieces must be in the set.
    all_musts: usize,
    /// By dimension, the most that each number of pieces frees.
    most: Vec<Vec<u64>>,
    /// From each piece on, the least that each number of pieces loses.
    least_lost: Vec<Vec<u64>>,
    /// A proof has failed; and the end of all pieces does not help either.
    doubted: bool,
    dead: bool,
}

impl<'s, 'f> Branch<'s, 'f> {
    fn new(field: &'s Field<'f>, size: usize) -> Self {
        let most = (0..field.lack.len())
            .map(|dimension| {
                let mut frees: Vec<u64> =
                    field.pieces.iter().map(|piece| piece.frees[dimension]).collect();
                frees.sort_unstable_by(|one, other| other.cmp(one));
                sums(frees)
            })
            .collect();
        let least_lost = (0..=field.pieces.len()).map(|from| {
            let mut lost: Vec<u64> =
                field.pieces[from..].iter().map(|piece| piece.of.lost_work).collect();
            lost.sort_unstable();
            sums(lost)
        });
        Self {
            least_lost: least_lost.collect(),
            doubted: false,
            dead: false,
            field,
            size,
            chosen: Vec::new(),
            cost: Cost { priority: i32::MIN, lost_work: 0 },
            freed: vec![0; field.lack.len()],
            musts: 0,
            all_musts: field.pieces.iter().filter(|piece| piece.must).count(),
            most,
        }
    }

    fn cost_with(&self, piece: usize) -> Cost {
        let of = self.field.pieces[piece].of;
        Cost {
            priority: self.cost.priority.max(of.priority),
            lost_work: self.cost.lost_work.saturating_add(of.lost_work),
        }
    }

    /// The least that so many pieces lose, from one on.
    fn cheapest(&self, from: usize, count: usize) -> u64 {
        self.least_lost[from].get(count).copied().unwrap_or(u64::MAX)
    }

    fn permits(&self, piece: usize, budgets: &BTreeMap<GroupName, usize>) -> bool {
        let group = &self.field.pieces[piece].group;
        let same = |chosen: &&usize| self.field.pieces[**chosen].group == *group;
        let count = || self.chosen.iter().filter(same).count();
        budgets.get(group).is_none_or(|budget| count() < *budget)
    }

    /// Adds a piece; gives the cost before.
    fn take(&mut self, piece: usize, cost: Cost) -> Cost {
        let of = &self.field.pieces[piece];
        for (freed, amount) in self.freed.iter_mut().zip(&of.frees) {
            *freed += amount;
        }
        self.musts += usize::from(of.must);
        self.chosen.push(piece);
        std::mem::replace(&mut self.cost, cost)
    }

    fn give_back(&mut self, before: Cost) {
        let piece = self.chosen.pop().expect("what was taken is given back");
        let of = &self.field.pieces[piece];
        for (freed, amount) in self.freed.iter_mut().zip(&of.frees) {
            *freed -= amount;
        }
        self.musts -= usize::from(of.must);
        self.cost = before;
    }

    fn makes_room(&self) -> bool {
        self.freed.iter().zip(&self.field.lack).all(|(freed, lack)| freed >= lack)
    }

    fn has_musts(&self) -> bool {
        self.musts == self.all_musts
    }

    /// Whether the pieces that are still to come could make room.
    fn can_make_room(&self) -> bool {
        let left = self.size - self.chosen.len();
        let amounts = self.freed.iter().zip(&self.field.lack).zip(&self.most);
        let enough = |((freed, lack), most): ((&u64, &u64), &Vec<u64>)| {
            freed.saturating_add(most[left.min(most.len() - 1)]) >= *lack
        };
        self.all_musts - self.musts <= left && amounts.into_iter().all(enough)
    }
}

/// The sum of the first so many, for each number.
fn sums(amounts: Vec<u64>) -> Vec<u64> {
    let mut sums = vec![0_u64];
    for amount in amounts {
        sums.push(sums.last().map_or(0, |sum| sum.saturating_add(amount)));
    }
    sums
}
