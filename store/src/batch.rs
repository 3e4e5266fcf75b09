//! A batch: changes that become durable together or not at all.

use crate::{StoreError, record};

pub(crate) enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

/// What one change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// The key has this value afterwards.
    Put(&'a [u8], &'a [u8]),
    /// The key has none.
    Delete(&'a [u8]),
}

/// Changes in order; of several to one key the last wins.
#[derive(Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.changes.push(Change::Put(key, value));
    }

    /// Removes `key`; it need not exist.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.bytes += key.len();
        self.changes.push(Change::Delete(key));
    }

    /// Appends the changes of `later`.
    pub fn append(&mut self, mut later: Self) {
        self.bytes += later.bytes;
        self.changes.append(&mut later.changes);
    }

    /// Its changes, in order.
    pub fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        self.changes.iter().map(|change| match change {
            Change::Put(key, value) => Edit::Put(key, value),
            Change::Delete(key) => Edit::Delete(key),
        })
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many changes it has.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Refuses what the store cannot keep, before anything is written.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.changes.iter().try_for_each(|change| match change {
            Change::Put(key, value) => record::check_fit(key, value),
            Change::Delete(key) => record::check_fit(key, &[]),
        })
    }
}
