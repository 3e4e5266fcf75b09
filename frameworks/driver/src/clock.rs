//! The clock of the shell: the wall clock read once, and from then on the monotonic one.
//!
//! So time never goes back and never jumps while the process lives.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the one place of the shell that asks for the time"
)]

use proto::Time;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    at: Time,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { started: Instant::now(), at: Time::ZERO + since }
    }

    pub(crate) fn now(&self) -> Time {
        self.at + self.started.elapsed()
    }

    /// What the timer of the runtime waits for.
    pub(crate) fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.started + time.since(self.at)).into()
    }
}

/// A moment, to measure how the disk keeps up; no core is told of it.
pub(crate) fn instant() -> Instant {
    Instant::now()
}
