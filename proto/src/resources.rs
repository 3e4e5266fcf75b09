//! Resources: named scalars in thousandths, inclusive ranges and sets, with exact arithmetic.
//!
//! Mesos compares and adds scalars in thousandths (`common/values.cpp`); here they are nothing
//! else. Two pieces add up only when name and flavor are equal. A `Resources` is canonical: its
//! pieces are sorted, unique and never empty, so `==` is honest.

use std::collections::BTreeSet;
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

/// What sets one resource of a name apart from another of the same name, beyond its amount.
/// The default is plain: unreserved, not revocable, not shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flavor {
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Reservations, disk source, sharing and provider in their encoded form: opaque until the
    /// master can work with them, kept apart so that they never add to plain resources.
    pub special: Option<Arc<[u8]>>,
}

impl Flavor {
    /// Whether this is the plain flavor.
    pub fn is_plain(&self) -> bool {
        !self.revocable && self.special.is_none()
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

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Thousandths.
    Scalar(u64),
    /// Inclusive ranges, such as ports.
    Ranges(Ranges),
    /// Named items.
    Set(BTreeSet<Arc<str>>),
}

impl Value {
    fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(milli) => *milli == 0,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    /// Adds an amount of the same kind; false when the kinds differ.
    fn add(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_add(*b),
            (Self::Ranges(a), Self::Ranges(b)) => a.add(b),
            (Self::Set(a), Self::Set(b)) => a.extend(b.iter().cloned()),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => return false,
        }
        true
    }

    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains_all(b),
            (Self::Set(a), Self::Set(b)) => a.is_superset(b),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => false,
        }
    }

    fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_sub(*b),
            (Self::Ranges(a), Self::Ranges(b)) => a.subtract(b),
            (Self::Set(a), Self::Set(b)) => a.retain(|item| !b.contains(item)),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(milli) => write!(f, "{}", *milli as f64 / 1000.0),
            Self::Ranges(ranges) => write!(f, "{ranges}"),
            Self::Set(items) => {
                f.write_str("{")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Inclusive ranges, sorted and coalesced.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Sorts and coalesces; a pair whose end lies before its begin counts as nothing.
    pub fn new(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(begin, end)| begin <= end).collect();
        pairs.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(pairs.len());
        for (begin, end) in pairs {
            match merged.last_mut() {
                Some((_, last)) if begin <= last.saturating_add(1) => *last = (*last).max(end),
                _ => merged.push((begin, end)),
            }
        }
        Self(merged)
    }

    /// The pairs `(begin, end)`, both inclusive, in order.
    pub fn pairs(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (b, e)| sum.saturating_add((e - b).saturating_add(1)))
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        *self = Self::new(self.0.iter().chain(&other.0).copied());
    }

    /// Takes away all of `other`.
    pub fn subtract(&mut self, other: &Self) {
        let mut rest = Vec::with_capacity(self.0.len());
        for &(begin, end) in &self.0 {
            let mut from = Some(begin);
            for &(b, e) in &other.0 {
                let Some(start) = from else { break };
                if e < start || b > end {
                    continue;
                }
                if b > start {
                    rest.push((start, b - 1));
                }
                from = e.checked_add(1).filter(|next| *next <= end);
            }
            if let Some(start) = from {
                rest.push((start, end));
            }
        }
        self.0 = rest;
    }

    /// Whether all of `other` is in it.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.0.iter().all(|(b, e)| self.0.iter().any(|(begin, end)| begin <= b && e <= end))
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (begin, end)) in self.0.iter().enumerate() {
            write!(f, "{}{begin}-{end}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

/// A set of resources. Sums are exact; equality is equality of amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Sorted by (name, flavor), unique, none empty.
    pieces: Vec<Piece>,
}

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Self { pieces: Vec::new() }
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

    fn find(&self, name: &ResourceName, flavor: &Flavor) -> Result<usize, usize> {
        self.pieces.binary_search_by(|p| p.name.cmp(name).then_with(|| p.flavor.cmp(flavor)))
    }

    /// Adds one piece. A piece of another kind of value than the one there (a peer's mistake) is
    /// dropped and `false` is returned.
    pub fn add_piece(&mut self, piece: Piece) -> bool {
        if piece.value.is_empty() {
            return true;
        }
        match self.find(&piece.name, &piece.flavor) {
            Ok(at) => self.pieces[at].value.add(&piece.value),
            Err(at) => {
                self.pieces.insert(at, piece);
                true
            }
        }
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for piece in &other.pieces {
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
        other.pieces.iter().all(|piece| {
            self.find(&piece.name, &piece.flavor)
                .is_ok_and(|at| self.pieces[at].value.contains(&piece.value))
        })
    }

    /// Takes all of `other` away.
    ///
    /// # Errors
    /// When not all of it is there; says which piece is short, and nothing changes.
    pub fn subtract(&mut self, other: &Self) -> Result<(), Shortfall> {
        if let Some(shortfall) = self.shortfall(other) {
            return Err(shortfall);
        }
        for piece in &other.pieces {
            if let Ok(at) = self.find(&piece.name, &piece.flavor) {
                self.pieces[at].value.subtract(&piece.value);
            }
        }
        self.pieces.retain(|piece| !piece.value.is_empty());
        Ok(())
    }

    /// The first piece of `wanted` that is not in it, if any.
    pub fn shortfall(&self, wanted: &Self) -> Option<Shortfall> {
        wanted.pieces.iter().find_map(|piece| {
            let have = self.find(&piece.name, &piece.flavor).ok().map(|at| &self.pieces[at].value);
            (!have.is_some_and(|have| have.contains(&piece.value))).then(|| Shortfall {
                name: piece.name.clone(),
                wanted: piece.value.clone(),
                available: have.cloned(),
            })
        })
    }

    /// The sum of all scalars of `name`, over all flavors, in thousandths.
    pub fn scalar(&self, name: &str) -> u64 {
        self.pieces.iter().filter(|piece| piece.name.as_str() == name).fold(0, |sum, piece| {
            match piece.value {
                Value::Scalar(milli) => sum.saturating_add(milli),
                Value::Ranges(_) | Value::Set(_) => sum,
            }
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
        for piece in &self.pieces {
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
            let flavor = if piece.flavor.is_plain() { "" } else { "(special)" };
            write!(f, "{separator}{}{flavor}:{}", piece.name, piece.value)?;
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

/// Amounts by name, whatever their flavor: what shares, minima and demands are reckoned in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(Vec<(ResourceName, u64)>);

impl Quantities {
    /// The amounts in thousandths, sorted by name, none zero.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, u64)> {
        self.0.iter().map(|(name, milli)| (name, *milli))
    }

    /// The amount of `name` in thousandths.
    pub fn get(&self, name: &ResourceName) -> u64 {
        self.0.binary_search_by(|(n, _)| n.cmp(name)).map_or(0, |at| self.0[at].1)
    }

    /// Adds thousandths of `name`.
    pub fn add(&mut self, name: &ResourceName, milli: u64) {
        if milli == 0 {
            return;
        }
        match self.0.binary_search_by(|(n, _)| n.cmp(name)) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(milli),
            Err(at) => self.0.insert(at, (name.clone(), milli)),
        }
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (name, milli) in other.iter() {
            self.add(name, milli);
        }
    }

    /// Takes away what is there of `other`.
    pub fn subtract_all(&mut self, other: &Self) {
        for (name, milli) in other.iter() {
            if let Ok(at) = self.0.binary_search_by(|(n, _)| n.cmp(name)) {
                self.0[at].1 = self.0[at].1.saturating_sub(milli);
            }
        }
        self.0.retain(|(_, milli)| *milli > 0);
    }

    /// Whether at least `other` is in it, name by name.
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, milli)| self.get(name) >= milli)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
