//! Amounts: exact numbers in thousandths, inclusive ranges, sets of named items.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

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
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(milli) => *milli == 0,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    /// Adds an amount of the same kind; false when the kinds differ.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_add(*b),
            (Self::Ranges(a), Self::Ranges(b)) => a.add(b),
            (Self::Set(a), Self::Set(b)) => a.extend(b.iter().cloned()),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => return false,
        }
        true
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains_all(b),
            (Self::Set(a), Self::Set(b)) => a.is_superset(b),
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => false,
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
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
