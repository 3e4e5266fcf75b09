//! Watches the room on the disk, so that a member steps aside before a write fails, and comes back
//! by itself.
//!
//! A write that fails would end the member. While there is too little room it takes no entries, is
//! deaf to the others, who go on without it, and hands the lead over if there is somebody to take
//! it; one that is alone answers reads all the same. What it has stays as it is.

use crate::MAX_ENTRY_BYTES;
use crate::disk::Disk;
use std::time::{Duration, Instant};
use store::{Space, StoreError};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// What the biggest commit needs besides what every commit does: so many that one more begins, and
/// the largest entry, four times each as the store has it.
pub(crate) const BIGGEST: u64 = 4 * (store::MAX_COMMIT_BYTES + MAX_ENTRY_BYTES) as u64;

/// Measures the room.
pub(crate) type Probe = Box<dyn Fn(&Disk) -> Result<Space, StoreError> + Send>;

/// What was found, and when to look again.
pub(crate) struct Watch {
    probe: Probe,
    next: Instant,
    /// What there was, while it is too little.
    full: Option<Space>,
}

impl Watch {
    pub(crate) fn new(probe: Probe, now: Instant) -> Self {
        Self { probe, next: now, full: None }
    }

    /// Too little, if it is: what there is, and what a commit needs.
    pub(crate) fn full(&self) -> Option<Space> {
        self.full
    }

    /// Looks, when it is time; says whether it did.
    pub(crate) fn look(&mut self, disk: &Disk, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + PAUSE;
        match (self.probe)(disk) {
            Ok(space) => self.note(space),
            // Then a write tells.
            Err(error) => tracing::debug!(%error, "the free space is unknown"),
        }
        true
    }

    /// Too little is less than the biggest commit needs; twice of that is room again, so that it
    /// does not waver. Who asks is told how much is room again.
    fn note(&mut self, space: Space) {
        let Space { free, needed: least } = space;
        let least = least.saturating_add(BIGGEST);
        let needed = least.saturating_mul(2);
        let is_full = free < if self.full.is_some() { needed } else { least };
        match (self.full.is_some(), is_full) {
            (false, true) => {
                tracing::error!(free, needed, "too little room on the disk: nothing is taken on");
            }
            (true, false) => tracing::info!(free, "there is room on the disk again"),
            _ => {}
        }
        self.full = is_full.then_some(Space { free, needed });
    }
}
