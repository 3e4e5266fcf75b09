//! The lease of a member that leads, as others look at it, and the clock that it is measured by.
//!
//! Anybody may look at any time, without asking the member: so one that was stopped and goes on is
//! found out before it does anything else.

use proto::Time;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time since the machine was started. It never goes back, and goes on while a process is
/// stopped and while the machine is suspended. What a hypervisor halts together with its clocks
/// does not notice.
pub(crate) fn uptime() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    Time::ZERO + Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Tells whether a member leads and nobody else can: then what its state shows is all that was
/// acknowledged. Cheap; a group of one always has it while it leads.
///
/// To answer from the state without asking a majority: look at the state first, then at the lease,
/// and if it holds, answer. Where it does not, `read_index` asks. After a hand-over that failed it
/// does not hold for the rest of the term.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        // The clock is looked at last: whoever is stopped in between is not deceived.
        let until = self.0.load(Ordering::Acquire);
        uptime().as_nanos() < until
    }

    /// When it ends unless it is renewed; none when it does not hold. Some hundred years ahead for
    /// a member that nobody could replace.
    pub fn until(&self) -> Option<Instant> {
        let until = Time::from_nanos(self.0.load(Ordering::Acquire));
        let (now, here) = (uptime(), Instant::now());
        (now < until).then(|| here + until.since(now).min(A_LONG_TIME))
    }
}

const A_LONG_TIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The other side: whoever grants it. Dropped, it holds no longer.
#[derive(Debug, Default)]
pub(crate) struct Grant(Arc<AtomicU64>);

impl Grant {
    pub(crate) fn lease(&self) -> Lease {
        Lease(Arc::clone(&self.0))
    }

    /// Ends it, or cuts it short, if `until` says so: to be done before anybody hears of it.
    pub(crate) fn shorten(&self, until: Option<Time>) {
        let until = until.map_or(0, Time::as_nanos);
        if until < self.0.load(Ordering::Relaxed) {
            self.0.store(until, Ordering::Release);
        }
    }

    /// It holds until then: to be done once the state shows what makes it hold.
    pub(crate) fn set(&self, until: Option<Time>) {
        self.0.store(until.map_or(0, Time::as_nanos), Ordering::Release);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_its_time_comes_or_it_is_let_go_of() {
        let grant = Grant::default();
        let lease = grant.lease();
        assert!(!lease.holds() && lease.until().is_none());
        grant.set(Some(Time::from_nanos(u64::MAX)));
        assert!(lease.holds() && lease.until().unwrap() > Instant::now());
        grant.shorten(Some(uptime()));
        assert!(!lease.holds() && lease.until().is_none());
        // What is shortened is not made longer by that.
        grant.shorten(Some(uptime() + A_LONG_TIME));
        assert!(!lease.holds());
        let soon = uptime() + A_LONG_TIME;
        grant.set(Some(soon));
        assert!(lease.clone().holds());
        drop(grant);
        assert!(!lease.holds());
    }
}
