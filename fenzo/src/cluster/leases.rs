//! The leases that are held, by ordinal, by id and by age.
//!
//! An ordinal belongs to a lease from when it is added until it is removed, and is then given to another.

use std::collections::BTreeMap;

use crate::id::LeaseId;
use crate::lease::Lease;
use crate::quantity::Time;

use super::directory::Directory;

#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    host: usize,
    /// Where it stands among those of its age.
    position: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    slots: Vec<Option<Held>>,
    vacant: Vec<usize>,
    directory: Directory,
    /// In no particular order within an age.
    by_age: BTreeMap<Time, Vec<usize>>,
}

impl Leases {
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// The ordinal of a lease that is held.
    pub(crate) fn find(&self, id: &LeaseId) -> Option<usize> {
        self.directory.find(id.as_str(), |lease| self.get(lease).id.as_str())
    }

    /// A lease by its ordinal.
    pub(crate) fn get(&self, lease: usize) -> &Lease {
        &self.held(lease).lease
    }

    /// The host of a lease.
    pub(crate) fn host(&self, lease: usize) -> usize {
        self.held(lease).host
    }

    fn held(&self, lease: usize) -> &Held {
        self.slots[lease].as_ref().expect("an ordinal is used as long as its lease is held")
    }

    /// Holds a lease whose id is not held; gives its ordinal.
    pub(crate) fn add(&mut self, lease: Lease, host: usize) -> usize {
        let ordinal = self.vacant.pop().unwrap_or(self.slots.len());
        let slots = &self.slots;
        let text_of =
            |lease: usize| slots[lease].as_ref().map_or("", |held| held.lease.id.as_str());
        self.directory.insert(lease.id.as_str(), ordinal, text_of);
        let same_age = self.by_age.entry(lease.offered_at).or_default();
        let held = Some(Held { lease, host, position: same_age.len() });
        same_age.push(ordinal);
        match self.slots.get_mut(ordinal) {
            Some(slot) => *slot = held,
            None => self.slots.push(held),
        }
        ordinal
    }

    /// Forgets a lease.
    pub(crate) fn remove(&mut self, lease: usize) {
        let held = self.slots[lease].as_ref();
        let held = held.expect("an ordinal is used as long as its lease is held");
        let (offered_at, position) = (held.lease.offered_at, held.position);
        self.directory.remove(held.lease.id.as_str(), lease);
        self.slots[lease] = None;
        self.vacant.push(lease);
        let same_age = self.by_age.get_mut(&offered_at).expect("a lease is of some age");
        same_age.swap_remove(position);
        match same_age.get(position) {
            Some(moved) => {
                let moved = self.slots[*moved].as_mut().expect("what is of an age is held");
                moved.position = position;
            }
            None if same_age.is_empty() => {
                self.by_age.remove(&offered_at);
            }
            None => {}
        }
    }

    /// When the oldest lease was offered.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.by_age.first_key_value().map(|(offered_at, _)| *offered_at)
    }

    /// All leases of the greatest age, if it is at least that of `bound`, in order of id.
    pub(crate) fn oldest_until(&self, bound: Time) -> Option<Vec<usize>> {
        let (_, same_age) = self.by_age.first_key_value().filter(|(age, _)| **age <= bound)?;
        let mut leases = same_age.clone();
        leases.sort_unstable_by_key(|lease| &self.get(*lease).id);
        Some(leases)
    }

    /// The host of a lease that may have been removed, when none was added since.
    pub(crate) fn host_of(&self, lease: usize) -> Option<usize> {
        Some(self.slots[lease].as_ref()?.host)
    }
}
