//! Amounts by name alone: what shares, minima, quota and demands are reckoned in.

use super::ResourceName;

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
