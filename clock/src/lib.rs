//! The only clock of the shells: monotonic, anchored to the wall clock once at the start.
//!
//! Every component has one and hands its time to its core, which never asks. A wall clock that
//! jumps later changes nothing. It must never be used to put events of two processes in order.
#![forbid(unsafe_code)]

use proto::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The clock of one process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    wall: Time,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    pub fn start() -> Self {
        Self::anchored(SystemTime::now(), Instant::now())
    }

    /// A clock that showed `wall` at the moment `started`. It never asks what the wall clock shows
    /// later.
    fn anchored(wall: SystemTime, started: Instant) -> Self {
        // A clock before 1970 reads as 1970: only differences matter then.
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started, wall: Time::ZERO + wall }
    }

    /// The time at this moment; it never goes back.
    pub fn now(&self) -> Time {
        self.wall + self.started.elapsed()
    }

    /// When the clock was started.
    pub fn started(&self) -> Time {
        self.wall
    }

    /// When `time` comes, on the runtime's clock; a time before the start is the start, and one
    /// beyond a year is a year from it.
    pub fn instant(&self, time: Time) -> Instant {
        // Far deadlines are cut: the loop looks again when it wakes.
        self.started + time.since(self.wall).min(Duration::from_secs(86_400 * 365))
    }
}

/// A moment, to measure by how a disk or a peer keeps up; no core is told of it.
pub fn moment() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(86_400 * 365);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn time_goes_on_at_the_pace_of_the_monotonic_clock_wherever_the_wall_clock_stood() {
        let right = SystemTime::now();
        let begin = Instant::now();
        for wall in [right, right - 30 * YEAR, right + 500 * YEAR, UNIX_EPOCH - YEAR] {
            // It shows `wall` now, and was read once; an hour later by the other clock is an hour.
            let (now, later) =
                (Clock::anchored(wall, begin), Clock::anchored(wall, begin - 60 * MINUTE));
            let passed = later.now().since(now.started());
            assert!(passed >= 60 * MINUTE && passed < 61 * MINUTE, "{passed:?}");
            assert!(now.now().since(now.started()) < MINUTE);
        }
        assert_eq!(Clock::anchored(UNIX_EPOCH - YEAR, begin).started(), Time::ZERO);
    }

    #[test]
    fn a_deadline_of_the_core_is_met_on_the_monotonic_clock() {
        let begin = Instant::now();
        let clock = Clock::anchored(UNIX_EPOCH + 60 * YEAR, begin);
        assert_eq!(clock.instant(clock.started() + MINUTE), begin + MINUTE);
        // What is past is due now, and what is far beyond the runtime's timers is looked at again.
        assert_eq!(clock.instant(Time::ZERO), begin);
        assert_eq!(clock.instant(clock.started() + 1_000 * YEAR), begin + YEAR);
    }
}
