//! Hosts on which nothing may be placed until a time: which are, and whose time has come.
//!
//! Hosts that went away are disabled without an end, and ever more of them: a run must not go through them. None is
//! forgotten before its time or before it is enabled again, whether it is known or not: what was switched off must
//! never come back by itself.

use std::collections::BTreeMap;

use crate::id::HostId;
use crate::quantity::Time;

/// The hosts that are disabled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disabled {
    /// Until when, and the number by which it stands in the order of time.
    by_name: BTreeMap<HostId, (Time, u64)>,
    /// By time, and in the order in which they were told.
    by_time: BTreeMap<(Time, u64), HostId>,
    told: u64,
}

impl Disabled {
    pub(crate) fn contains(&self, host: &HostId) -> bool {
        self.by_name.contains_key(host)
    }

    /// Until when a host is disabled, if it is.
    pub(crate) fn until(&self, host: &HostId) -> Option<Time> {
        self.by_name.get(host).map(|(until, _)| *until)
    }

    /// Disables a host until a time, in place of what was said before.
    pub(crate) fn add(&mut self, host: &HostId, until: Time) {
        self.remove(host);
        let place = (until, self.told);
        self.told += 1;
        self.by_name.insert(host.clone(), place);
        self.by_time.insert(place, host.clone());
    }

    /// Ends the disabling of a host; false if it was not disabled.
    pub(crate) fn remove(&mut self, host: &HostId) -> bool {
        let Some(place) = self.by_name.remove(host) else { return false };
        self.by_time.remove(&place);
        true
    }

    /// Forgets those whose time has come.
    pub(crate) fn end_until(&mut self, now: Time) {
        while let Some(entry) = self.by_time.first_entry()
            && entry.key().0 <= now
        {
            self.by_name.remove(&entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: usize) -> HostId {
        format!("h{n}").into()
    }

    #[test]
    fn they_end_in_order_of_time_and_none_is_left_behind() {
        let mut disabled = Disabled::default();
        let at = Time::from_secs;
        for n in 0..10 {
            disabled.add(&host(n), at(n as u64 % 5 + 1));
        }
        // What is said last counts.
        disabled.add(&host(0), at(9));
        assert!(disabled.remove(&host(1)) && !disabled.remove(&host(1)));
        disabled.end_until(at(3));
        let left: Vec<usize> = (0..10).filter(|n| disabled.contains(&host(*n))).collect();
        assert_eq!(left, [0, 3, 4, 8, 9]);
        assert_eq!(disabled.until(&host(0)), Some(at(9)));
        disabled.end_until(at(9));
        assert_eq!((disabled.by_name.len(), disabled.by_time.len()), (0, 0));
    }

    #[test]
    fn what_is_disabled_without_an_end_stays_so() {
        const HOSTS: usize = 100_100;
        let mut disabled = Disabled::default();
        for n in 0..HOSTS {
            disabled.add(&host(n), Time::from_nanos(u64::MAX));
        }
        disabled.end_until(Time::from_nanos(u64::MAX - 1));
        assert!((0..HOSTS).all(|n| disabled.contains(&host(n))));
        assert!((0..HOSTS).all(|n| disabled.remove(&host(n))));
        assert_eq!((disabled.by_name.len(), disabled.by_time.len()), (0, 0));
    }
}
