//! Places of reads that wait for their readers: so many at a time, and of one address not all.
//!
//! A reader may hold its place for as long as it takes its answer fast enough. Who finds none is
//! told so after a while: nobody waits without end for somebody else's slow reading.

use super::NoAnswer;
use crate::listen::Origin;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Addresses that are remembered before those that hold nothing are forgotten.
const REMEMBERED: usize = 1024;

/// How many reads may wait for their readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadLimits {
    /// Reads at a time. Each may hold an old snapshot.
    pub(crate) at_a_time: usize,
    /// How long a place is waited for.
    pub(crate) wait: Duration,
}

impl ReadLimits {
    /// What one address may have of them: three quarters.
    pub(crate) fn of_address(&self) -> usize {
        (self.at_a_time - self.at_a_time / 4).max(1)
    }
}

/// A place, while this lives.
#[derive(Debug)]
pub(crate) struct Held {
    _of_address: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct Places {
    limits: ReadLimits,
    all: Arc<Semaphore>,
    addresses: Mutex<BTreeMap<Origin, Arc<Semaphore>>>,
}

impl Places {
    pub(super) fn new(limits: ReadLimits) -> Self {
        let all = Arc::new(Semaphore::new(limits.at_a_time));
        Self { limits, all, addresses: Mutex::default() }
    }

    /// Waits for a place of a reader at `from`.
    ///
    /// # Errors
    /// When none is free in time.
    pub(super) async fn take(&self, from: Option<Origin>) -> Result<Held, NoAnswer> {
        let place = async {
            // That of the address first: who has all of its own is not in the way of others.
            let of_address = match from {
                Some(from) => Some(self.of(from).acquire_owned().await?),
                None => None,
            };
            let of_all = Arc::clone(&self.all).acquire_owned().await?;
            Ok::<_, AcquireError>(Held { _of_address: of_address, _of_all: of_all })
        };
        match tokio::time::timeout(self.limits.wait, place).await {
            Ok(place) => place.map_err(|_| NoAnswer::Stopping),
            Err(_) => Err(NoAnswer::NoPlace(self.limits)),
        }
    }

    fn of(&self, from: Origin) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= REMEMBERED {
            // Who waits for a place, or has one, shares it.
            addresses.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.limits.of_address()));
        Arc::clone(addresses.entry(from).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn at(host: u16) -> Option<Origin> {
        let [high, low] = host.to_be_bytes();
        Some(Origin::of(IpAddr::V4(Ipv4Addr::new(10, 0, high, low))))
    }

    #[tokio::test]
    async fn one_address_has_three_quarters_and_who_finds_no_place_is_told() {
        let limits = ReadLimits { at_a_time: 8, wait: Duration::from_millis(30) };
        let places = Places::new(limits);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(places.take(at(1)).await.unwrap());
        }
        let begin = std::time::Instant::now();
        let none = places.take(at(1)).await.unwrap_err();
        assert!(matches!(none, NoAnswer::NoPlace(_)), "{none:?}");
        assert!(begin.elapsed() >= limits.wait);
        // Others have the rest, until that is gone.
        let others = [places.take(at(2)).await.unwrap(), places.take(at(2)).await.unwrap()];
        assert!(places.take(at(3)).await.is_err());
        // What ended is free.
        drop(others);
        let place = places.take(at(3)).await;
        assert!(place.is_ok());
        held.clear();
        assert!(places.take(at(1)).await.is_ok());
    }

    #[tokio::test]
    async fn addresses_that_hold_nothing_are_forgotten() {
        let places = Places::new(ReadLimits { at_a_time: 2, wait: Duration::from_secs(5) });
        let kept = places.take(at(0)).await.unwrap();
        for host in 1..5_000 {
            places.take(at(host)).await.unwrap();
        }
        let addresses = places.addresses.lock().unwrap();
        assert!(addresses.len() <= REMEMBERED, "{}", addresses.len());
        let own = &addresses[&at(0).unwrap()];
        assert_eq!(own.available_permits(), 1, "who has a place is remembered");
        drop(kept);
    }
}
