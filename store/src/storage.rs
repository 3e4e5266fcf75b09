//! The seam under everything that keeps records: another engine, or a simulated disk, fits here.

use crate::{Batch, StoreError};

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A record that cannot be read; its neighbours can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its key; absent when the engine itself could not read on, which ends the scan.
    pub key: Option<Vec<u8>>,
    /// What is wrong, as a clause: "fails its checksum".
    pub problem: String,
}

/// The records of one prefix in the order of their keys.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<Record, Damaged>> + 'a>;

/// Keeps records durably.
pub trait Storage: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// Says that the record is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Damaged>;

    /// All records whose key begins with `prefix`, in order, damaged ones as such.
    fn scan(&self, prefix: &[u8]) -> Scan<'_>;

    /// Makes the changes durable, all or none; they are when this returns `Ok`.
    ///
    /// # Errors
    /// `Full` and `Unfit` changed nothing and the store works on. After any other error the store
    /// refuses all commits, and the process must end: what the disk holds is unknown.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;
}
