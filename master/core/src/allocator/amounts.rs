//! Amounts of scalar resources, by kind: what shares, quotas and headroom are reckoned in.
//!
//! Names are interned once; the usual four kinds need no memory beside the record that they are
//! in. Amounts never overflow and never go below zero: both ends saturate.

use proto::{Quantities, ResourceName, Resources, Value};
use std::collections::BTreeMap;

/// Kinds that need no memory of their own.
const FEW: usize = 4;
/// The names of the first kinds.
const USUAL: [&str; FEW] = ["cpus", "mem", "disk", "gpus"];

/// Thousandths by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amounts {
    few: [u64; FEW],
    /// Without trailing zeros, so that equality is equality of amounts.
    more: Vec<u64>,
}

impl Amounts {
    pub(crate) fn get(&self, kind: usize) -> u64 {
        match kind.checked_sub(FEW) {
            None => self.few[kind],
            Some(beyond) => self.more.get(beyond).copied().unwrap_or(0),
        }
    }

    pub(crate) fn set(&mut self, kind: usize, milli: u64) {
        let Some(beyond) = kind.checked_sub(FEW) else {
            self.few[kind] = milli;
            return;
        };
        if beyond < self.more.len() {
            self.more[beyond] = milli;
            self.trim();
        } else if milli > 0 {
            self.more.resize(beyond + 1, 0);
            self.more[beyond] = milli;
        }
    }

    fn trim(&mut self) {
        while self.more.last() == Some(&0) {
            self.more.pop();
        }
    }

    /// The number of kinds up to the last that is not zero, and at least the usual ones.
    fn kinds(&self) -> usize {
        FEW + self.more.len()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.few == [0; FEW] && self.more.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.few.iter_mut().zip(other.few) {
            *mine = mine.saturating_add(theirs);
        }
        if self.more.len() < other.more.len() {
            self.more.resize(other.more.len(), 0);
        }
        for (mine, theirs) in self.more.iter_mut().zip(&other.more) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.few.iter_mut().zip(other.few) {
            *mine = mine.saturating_sub(theirs);
        }
        for (mine, theirs) in self.more.iter_mut().zip(&other.more) {
            *mine = mine.saturating_sub(*theirs);
        }
        self.trim();
    }

    /// What is left when `other` is taken away.
    pub(crate) fn less(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// The lesser of both, kind by kind.
    pub(crate) fn lesser(&self, other: &Self) -> Self {
        let mut least = self.clone();
        for (mine, theirs) in least.few.iter_mut().zip(other.few) {
            *mine = (*mine).min(theirs);
        }
        least.more.truncate(other.more.len());
        for (mine, theirs) in least.more.iter_mut().zip(&other.more) {
            *mine = (*mine).min(*theirs);
        }
        least.trim();
        least
    }

    /// The greater of both, kind by kind.
    pub(crate) fn greater(&self, other: &Self) -> Self {
        let mut most = self.clone();
        for kind in 0..other.kinds() {
            if other.get(kind) > most.get(kind) {
                most.set(kind, other.get(kind));
            }
        }
        most
    }

    /// Whether at least `other` is in it, kind by kind.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.few.iter().zip(other.few).all(|(mine, theirs)| *mine >= theirs)
            && (FEW..other.kinds()).all(|kind| self.get(kind) >= other.get(kind))
    }

    /// Kinds and their amounts, without zeros.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        (0..self.kinds()).map(|kind| (kind, self.get(kind))).filter(|(_, milli)| *milli > 0)
    }

    /// The largest fraction of `total` that it is; what the cluster has not counts nothing.
    pub(crate) fn dominant(&self, total: &Self) -> f64 {
        let fraction = |kind: usize| match total.get(kind) {
            0 => 0.0,
            all => self.get(kind) as f64 / all as f64,
        };
        (0..self.kinds()).map(fraction).fold(0.0, f64::max)
    }
}

/// The most that may be added, by kind; a kind that is not named has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds(Vec<(usize, u64)>);

impl Bounds {
    pub(crate) fn from_pairs(pairs: impl IntoIterator<Item = (usize, u64)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied()
    }

    /// Of each kind the lower bound of both.
    pub(crate) fn lower(&mut self, other: &Self) {
        for (kind, most) in other.iter() {
            self.lower_one(kind, most);
        }
    }

    /// Lowers the bound of one kind, or sets it.
    pub(crate) fn lower_one(&mut self, kind: usize, most: u64) {
        match self.0.iter_mut().find(|(own, _)| *own == kind) {
            Some((_, own)) => *own = (*own).min(most),
            None => self.0.push((kind, most)),
        }
    }

    /// The bound of a kind, if it has one.
    pub(crate) fn of(&self, kind: usize) -> Option<u64> {
        self.iter().find(|(own, _)| *own == kind).map(|(_, most)| most)
    }

    /// Whether there is more of any kind than its bound.
    pub(crate) fn are_surpassed_by(&self, amounts: &Amounts) -> bool {
        self.iter().any(|(kind, most)| amounts.get(kind) > most)
    }

    /// What is still allowed when `consumed` counts already.
    pub(crate) fn room(&self, consumed: &Amounts) -> Self {
        let left = |(kind, most): &(usize, u64)| (*kind, most.saturating_sub(consumed.get(*kind)));
        Self(self.0.iter().map(left).collect())
    }

    /// As much of `amounts` as is allowed.
    pub(crate) fn cut(&self, amounts: &Amounts) -> Amounts {
        let mut cut = amounts.clone();
        for (kind, most) in self.iter() {
            if cut.get(kind) > most {
                cut.set(kind, most);
            }
        }
        cut
    }
}

/// The names of the kinds. A name that was seen once keeps its number, so names come from agents
/// and operators alone: what frameworks ask for teaches none.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    names: Vec<ResourceName>,
    numbers: BTreeMap<ResourceName, usize>,
}

impl Kinds {
    /// The number of a name that was seen.
    pub(crate) fn find(&self, name: &ResourceName) -> Option<usize> {
        match name.as_str() {
            "cpus" => Some(0),
            "mem" => Some(1),
            "disk" => Some(2),
            "gpus" => Some(3),
            _ => self.numbers.get(name).copied(),
        }
    }

    /// The number of a name.
    pub(crate) fn number(&mut self, name: &ResourceName) -> usize {
        self.find(name).unwrap_or_else(|| {
            self.names.push(name.clone());
            let number = FEW + self.names.len() - 1;
            self.numbers.insert(name.clone(), number);
            number
        })
    }

    fn name(&self, number: usize) -> ResourceName {
        match number.checked_sub(FEW) {
            None => ResourceName::new(USUAL[number]),
            Some(beyond) => self.names[beyond].clone(),
        }
    }

    /// Amounts under their names.
    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let mut all = Quantities::default();
        for (kind, milli) in amounts.iter() {
            all.add(&self.name(kind), milli);
        }
        all
    }

    pub(crate) fn amounts(&mut self, quantities: &Quantities) -> Amounts {
        let mut all = Amounts::default();
        for (name, milli) in quantities.iter() {
            all.set(self.number(name), milli);
        }
        all
    }

    /// Gives numbers to the names of scalars that have none yet.
    pub(crate) fn learn(&mut self, resources: &Resources) {
        for piece in resources.pieces() {
            if matches!(piece.value, Value::Scalar(_)) {
                self.number(&piece.name);
            }
        }
    }

    /// The scalars of what a framework asks for; none when one of the names has no number, as then
    /// nobody has any of it.
    pub(crate) fn asked(&self, resources: &Resources) -> Option<Amounts> {
        let mut all = Amounts::default();
        for piece in resources.pieces() {
            if let Value::Scalar(milli) = piece.value {
                let kind = self.find(&piece.name)?;
                all.set(kind, all.get(kind).saturating_add(milli));
            }
        }
        Some(all)
    }

    /// The scalars of some resources whose names have numbers.
    pub(crate) fn parts(&self, resources: &Resources) -> Parts {
        self.sum(resources, true)
    }

    /// As `parts`, without what is shared.
    pub(crate) fn cost(&self, resources: &Resources) -> Parts {
        self.sum(resources, false)
    }

    fn sum(&self, resources: &Resources, shared: bool) -> Parts {
        let mut parts = Parts { pure: true, ..Parts::default() };
        for piece in resources.pieces() {
            if !shared && piece.flavor.is_shared() {
                parts.pure = false;
                continue;
            }
            // A disk of its own is counted, though it is not plain.
            let plain = !piece.flavor.revocable && piece.flavor.reserved_to().is_none();
            parts.pure &= piece.flavor.is_plain();
            match piece.value {
                Value::Scalar(milli) => {
                    let kind = self.find(&piece.name).expect("the name was learned");
                    parts.all.set(kind, parts.all.get(kind).saturating_add(milli));
                    if plain {
                        parts.plain.set(kind, parts.plain.get(kind).saturating_add(milli));
                    }
                }
                Value::Ranges(_) | Value::Set(_) => {}
            }
        }
        parts
    }
}

/// The scalars of some resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// All: what shares are reckoned from.
    pub(crate) all: Amounts,
    /// Those that are neither reserved nor revocable: what quotas and headroom are reckoned from.
    pub(crate) plain: Amounts,
    /// Whether every piece is plain.
    pub(crate) pure: bool,
}
