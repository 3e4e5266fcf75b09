//! Resources: named scalars in thousandths, inclusive ranges and sets, with exact arithmetic.
//!
//! Mesos compares and adds scalars in thousandths (`common/values.cpp`); here they are nothing
//! else. Two pieces add up only when name and flavor are equal, and whole pieces (persistent
//! volumes, disks of their own, shared ones) never. A `Resources` is canonical, so `==` is honest.

mod flags;
mod flavor;
mod quantities;
mod reserved;
mod shared;
mod value;

pub use flavor::{
    Disk, DiskKind, DiskSource, Flavor, Persistence, Reservation, ReservationKind, Special,
    VolumeMount,
};
pub use quantities::Quantities;
use shared::Shared;
pub use value::{Ranges, Value};

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The name of a kind of resource: `cpus`, `mem`, `disk`, `gpus`, `ports`, `network` or any other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    /// Any non-empty name; decoding limits its length.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One resource: a name, a flavor and an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its name.
    pub name: ResourceName,
    /// Its flavor.
    pub flavor: Flavor,
    /// How much of it.
    pub value: Value,
}

impl Piece {
    /// The amount of a scalar in thousandths; nothing for ranges and sets.
    pub fn size(&self) -> u64 {
        match self.value {
            Value::Scalar(milli) => milli,
            Value::Ranges(_) | Value::Set(_) => 0,
        }
    }
}

/// A set of resources. Sums are exact; equality is equality of amounts. Copies share memory until
/// one of them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Sorted by (name, flavor), none empty; unique but for whole pieces, which are sorted by size
    /// as well and stand as often as they are there.
    pieces: Shared,
}

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Self { pieces: Shared::EMPTY }
    }

    /// Plain scalars in thousandths: `Resources::scalars([("cpus", 1500), ("mem", 64_000)])`.
    pub fn scalars<'a>(amounts: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut all = Self::new();
        for (name, milli) in amounts {
            all.add_piece(Piece {
                name: ResourceName::new(name),
                flavor: Flavor::default(),
                value: Value::Scalar(milli),
            });
        }
        all
    }

    /// `cpus` in thousandths of a cpu and `mem` in thousandths of a MB (Mesos means MiB).
    pub fn cpus_mem(cpus_milli: u64, mem_milli: u64) -> Self {
        Self::scalars([("cpus", cpus_milli), ("mem", mem_milli)])
    }

    /// The pieces, sorted by name and flavor.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces of this name and flavor: one at the most, but for whole ones.
    pub fn of_flavor(&self, name: &ResourceName, flavor: &Flavor) -> &[Piece] {
        let order = |p: &Piece| p.name.cmp(name).then_with(|| p.flavor.cmp(flavor));
        let from = self.pieces.partition_point(|p| order(p) == Ordering::Less);
        let rest = &self.pieces[from..];
        &rest[..rest.partition_point(|p| order(p) == Ordering::Equal)]
    }

    fn find(&self, piece: &Piece) -> Result<usize, usize> {
        let order = |p: &Piece| {
            p.name.cmp(&piece.name).then_with(|| p.flavor.cmp(&piece.flavor)).then_with(|| {
                if piece.flavor.is_whole() { p.size().cmp(&piece.size()) } else { Ordering::Equal }
            })
        };
        self.pieces.binary_search_by(order)
    }

    /// Adds one piece. A piece of another kind of value than the one there (a peer's mistake) is
    /// dropped and `false` is returned.
    pub fn add_piece(&mut self, mut piece: Piece) -> bool {
        if piece.value.is_empty() {
            return true;
        }
        if piece.flavor.special.as_ref().is_some_and(|special| special.is_empty()) {
            piece.flavor.special = None;
        }
        match self.find(&piece) {
            Ok(at) if piece.flavor.is_whole() => {
                self.pieces.edit(|pieces| pieces.insert(at, piece));
                true
            }
            Ok(at) => self.pieces.edit(|pieces| pieces[at].value.add(&piece.value)),
            Err(at) => {
                self.pieces.edit(|pieces| pieces.insert(at, piece));
                true
            }
        }
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        if self.is_empty() {
            self.pieces = other.pieces.clone();
            return;
        }
        for piece in other.pieces() {
            self.add_piece(piece.clone());
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }

    /// Whether all of `other` is in it.
    pub fn contains(&self, other: &Self) -> bool {
        self.pieces.is_same(&other.pieces) || (0..other.pieces.len()).all(|i| self.has(other, i))
    }

    /// Whether the `i`th piece of `wanted` is in it, beside the ones before.
    fn has(&self, wanted: &Self, i: usize) -> bool {
        let piece = &wanted.pieces[i];
        if piece.flavor.is_whole() {
            let needed = wanted.pieces[..=i].iter().rev().take_while(|p| *p == piece).count();
            return self.copies(piece) >= needed;
        }
        self.find(piece).is_ok_and(|at| self.pieces[at].value.contains(&piece.value))
    }

    /// How many pieces are equal to this one, which is whole.
    fn copies(&self, piece: &Piece) -> usize {
        let Ok(at) = self.find(piece) else { return 0 };
        let (before, from) = self.pieces.split_at(at);
        before.iter().rev().take_while(|p| *p == piece).count()
            + from.iter().take_while(|p| *p == piece).count()
    }

    /// Takes all of `other` away.
    ///
    /// # Errors
    /// When not all of it is there; says which piece is short, and nothing changes.
    pub fn subtract(&mut self, other: &Self) -> Result<(), Shortfall> {
        if self.pieces.is_same(&other.pieces) {
            self.pieces = Shared::EMPTY;
            return Ok(());
        }
        if let Some(shortfall) = self.shortfall(other) {
            return Err(shortfall);
        }
        for piece in other.pieces() {
            if let Ok(at) = self.find(piece) {
                self.pieces.edit(|pieces| {
                    if piece.flavor.is_whole() {
                        pieces.remove(at);
                    } else {
                        pieces[at].value.subtract(&piece.value);
                    }
                });
            }
        }
        if self.pieces.iter().any(|piece| piece.value.is_empty()) {
            self.pieces.edit(|pieces| pieces.retain(|piece| !piece.value.is_empty()));
        }
        Ok(())
    }

    /// The first piece of `wanted` that is not in it, if any.
    pub fn shortfall(&self, wanted: &Self) -> Option<Shortfall> {
        let short = (0..wanted.pieces.len()).find(|i| !self.has(wanted, *i))?;
        let piece = &wanted.pieces[short];
        Some(Shortfall {
            name: piece.name.clone(),
            wanted: piece.value.clone(),
            available: self.find(piece).ok().map(|at| self.pieces[at].value.clone()),
        })
    }

    /// The sum of all scalars of `name`, over all flavors, in thousandths.
    pub fn scalar(&self, name: &str) -> u64 {
        self.counted().filter(|piece| piece.name.as_str() == name).fold(0, |sum, piece| match piece
            .value
        {
            Value::Scalar(milli) => sum.saturating_add(milli),
            Value::Ranges(_) | Value::Set(_) => sum,
        })
    }

    /// The pieces, but of copies of one shared piece the first only: however many use it, there is
    /// no more of it.
    fn counted(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().enumerate().filter_map(|(i, piece)| {
            let again = piece.flavor.is_shared() && i > 0 && self.pieces[i - 1] == *piece;
            (!again).then_some(piece)
        })
    }

    /// Thousandths of a cpu.
    pub fn cpus(&self) -> u64 {
        self.scalar("cpus")
    }

    /// Thousandths of a MB.
    pub fn mem(&self) -> u64 {
        self.scalar("mem")
    }

    /// All plain values of the ranges called `name`, such as `ports`.
    pub fn ranges(&self, name: &str) -> Ranges {
        let mut all = Ranges::default();
        for piece in self.pieces.iter().filter(|piece| piece.name.as_str() == name) {
            if let Value::Ranges(ranges) = &piece.value {
                all.add(ranges);
            }
        }
        all
    }

    /// Amounts by name, over all flavors: scalars in thousandths; ranges and sets by their count,
    /// in thousandths too.
    pub fn quantities(&self) -> Quantities {
        let mut all = Quantities::default();
        for piece in self.counted() {
            let milli = match &piece.value {
                Value::Scalar(milli) => *milli,
                Value::Ranges(ranges) => ranges.count().saturating_mul(1000),
                Value::Set(items) => (items.len() as u64).saturating_mul(1000),
            };
            all.add(&piece.name, milli);
        }
        all
    }
}

impl fmt::Display for Resources {
    /// Mesos' short form: `cpus:1.5; mem:64; ports:[31000-32000]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pieces.is_empty() {
            return f.write_str("{}");
        }
        for (i, piece) in self.pieces.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}{}:{}", piece.name, piece.flavor, piece.value)?;
        }
        Ok(())
    }
}

impl FromIterator<Piece> for Resources {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut all = Self::new();
        for piece in pieces {
            all.add_piece(piece);
        }
        all
    }
}

/// What was wanted and how much of it there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The resource's name.
    pub name: ResourceName,
    /// What was wanted.
    pub wanted: Value,
    /// What is there; absent when there is none.
    pub available: Option<Value>,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wanted {} {}, ", self.name, self.wanted)?;
        match &self.available {
            Some(available) => write!(f, "available {available}"),
            None => f.write_str("none available"),
        }
    }
}
