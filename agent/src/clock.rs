//! The only clock of the shell: monotonic, anchored to the wall clock once at the start.
//!
//! A wall clock that jumps later changes nothing.

use proto::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall: Time,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // A clock before 1970 reads as 1970: only differences matter then.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), wall: Time::ZERO + wall }
    }

    pub(crate) fn now(&self) -> Time {
        self.wall + self.started.elapsed()
    }

    pub(crate) fn started(&self) -> Time {
        self.wall
    }

    /// When `time` comes, on the runtime's clock; a time past is now.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        // Far deadlines are cut: the loop looks again when it wakes.
        self.started + time.since(self.wall).min(Duration::from_secs(86_400 * 365))
    }

    /// The time of a moment that the kernel counts in nanoseconds since boot.
    pub(crate) fn since_boot(&self, nanos: u64) -> Time {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec.unsigned_abs() as u32);
        self.now() - now.saturating_sub(Duration::from_nanos(nanos))
    }
}
