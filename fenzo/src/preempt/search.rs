//! The cheapest set of tasks over all hosts: by size, and within a size by branch and bound.
//!
//! A set of the least size cannot have anything to spare. The work is bounded, that of preparing the search as
//! well; who runs out of it is told, and may ask for some set that will do.

use std::collections::BTreeMap;

use crate::id::GroupName;

use super::Preemptible;
use super::branch::{Branch, Tables};
use super::field::Field;

/// So many times a piece is put to a partial set in one search.
const LOOKS: u64 = 1_000_000;

/// Sets of more pieces than this are not searched for: the search goes as deep as they are large.
const LARGEST: usize = 500;

/// So many sets are proven in one search, where sums do not decide.
const PROOFS: u64 = 100;

/// What ending some tasks costs beside their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// The greatest priority.
    pub(super) priority: i32,
    pub(super) lost_work: u64,
}

impl Cost {
    /// What ending nobody costs.
    pub(super) const NOTHING: Self = Self { priority: i32::MIN, lost_work: 0 };

    /// The cost with one task more.
    pub(super) fn with(self, of: &Preemptible) -> Self {
        Self {
            priority: self.priority.max(of.priority),
            lost_work: self.lost_work.saturating_add(of.lost_work),
        }
    }
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
        // Those that no set can free are left out, and so are those of which every set was looked at.
        let mut open: Vec<Open<'_, 'f>> = Vec::with_capacity(fields.len());
        for (position, field) in fields.iter().enumerate() {
            if let Some(least) = field.least() {
                open.push(Open { position, field, least, tables: None });
            }
        }
        let mut size = 0;
        while let Some(least) = open.iter().map(|open| open.least).min() {
            size = least.max(size + 1);
            if size > LARGEST {
                self.looks = 0;
                return None;
            }
            let mut best: Option<Found> = None;
            open.retain_mut(|Open { position, field, least, tables }| {
                if *least > size || field.pieces.len() < size {
                    return field.pieces.len() > size;
                }
                let tables = tables.get_or_insert_with(|| Tables::new(field, self.budgets));
                let mut branch = Branch::new(field, tables, size);
                let bound = best.as_ref().map(|(cost, ..)| *cost);
                if let Some((cost, chosen)) = self.descend(&mut branch, 0, bound, proves) {
                    best = Some((cost, *position, chosen));
                }
                !branch.dead && field.pieces.len() > size
            });
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
        if branch.chosen.len() == branch.size {
            return self.proven(branch, proves);
        }
        let mut best: Option<(Cost, Vec<usize>)> = None;
        let missing = branch.size - branch.chosen.len();
        for next in from..=branch.field.pieces.len() - missing {
            let Some(looks) = self.looks.checked_sub(1) else { break };
            self.looks = looks;
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
            if !dear && branch.permits(next) {
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

    /// The set of a branch that has as many pieces as it should, if its end makes room.
    fn proven<'f>(
        &mut self,
        branch: &mut Branch<'_, 'f>,
        proves: &mut Proof<'_, 'f>,
    ) -> Option<(Cost, Vec<usize>)> {
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
        None
    }

    /// Some set that will do and has nothing to spare, for each field the cheap ones first; the best of those.
    pub(super) fn some<'f>(
        &mut self,
        fields: &[Field<'f>],
        proves: &mut Proof<'_, 'f>,
    ) -> Option<Found> {
        let mut best: Option<(usize, Found)> = None;
        for (position, field) in fields.iter().enumerate() {
            let Some((cost, chosen)) = self.enough(field, proves) else { continue };
            if best
                .as_ref()
                .is_none_or(|(size, (least, ..))| (chosen.len(), cost) < (*size, *least))
            {
                best = Some((chosen.len(), (cost, position, chosen)));
            }
        }
        best.map(|(_, found)| found)
    }

    /// Pieces of a field that make room, none of which can be left out.
    fn enough<'f>(
        &self,
        field: &Field<'f>,
        proves: &mut Proof<'_, 'f>,
    ) -> Option<(Cost, Vec<usize>)> {
        // The bounds of a search are not needed for this.
        let tables = Tables::without_bounds(field, self.budgets);
        let mut branch = Branch::new(field, &tables, field.pieces.len());
        for next in 0..field.pieces.len() {
            if branch.makes_room() && branch.has_musts() {
                break;
            }
            if branch.permits(next) {
                let cost = branch.cost_with(next);
                branch.take(next, cost);
            }
        }
        if !branch.makes_room() || !branch.has_musts() || !proves(field, &branch.chosen) {
            return None;
        }
        for at in (0..branch.chosen.len()).rev() {
            if !branch.can_spare(at) {
                continue;
            }
            let mut without = branch.chosen.clone();
            without.remove(at);
            if proves(field, &without) {
                branch.leave_out(at);
            }
        }
        Some((branch.cost_of_all(), branch.chosen))
    }
}

/// A field of which not every set was looked at.
struct Open<'s, 'f> {
    position: usize,
    field: &'s Field<'f>,
    /// No set of fewer pieces makes room.
    least: usize,
    /// Made when they are needed, and kept for the next size.
    tables: Option<Tables>,
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
