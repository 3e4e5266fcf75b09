//! How much of a processor reads may take: short ones all of it, those that never end a part.
//!
//! The thread that serves readers counts how long it is busy. What it may spend grows with time, up
//! to a burst; when it is spent, pieces of answers wait for their turn, in order. So the cost of
//! readers in a loop is bounded, however many they are and however much they ask for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The part of one processor that reads may take in the long run.
const SHARE: f64 = 0.25;
/// The work that may be done at once after a time without any.
const BURST: Duration = Duration::from_secs(2);

/// What one thread spends on reads.
#[derive(Debug)]
pub(crate) struct Pace {
    base: Instant,
    /// Nanoseconds after `base` at which the thread began to work; 0 while it has nothing to do.
    busy_since: AtomicU64,
    /// Nanoseconds of work until then.
    worked: AtomicU64,
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    /// Seconds of work that may still be done; below zero there is a debt.
    left: f64,
    refilled: Instant,
    /// Seconds of work that were taken off.
    taken: f64,
}

impl Budget {
    /// Counts what came in since the last time and what was worked; answers how long to wait.
    fn settle(&mut self, now: Instant, worked: f64) -> Duration {
        let came = now.duration_since(self.refilled).as_secs_f64() * SHARE;
        let spent = worked - self.taken;
        (self.refilled, self.taken) = (now, worked);
        self.left = (self.left + came - spent).min(BURST.as_secs_f64());
        Duration::from_secs_f64((-self.left / SHARE).max(0.0))
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let budget = Budget { left: BURST.as_secs_f64(), refilled: now, taken: 0.0 };
        let (busy_since, worked) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { base: now, busy_since, worked, budget: Mutex::new(budget) }
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The thread has something to do.
    pub(super) fn begin(&self) {
        self.busy_since.store(self.nanos().max(1), Ordering::Relaxed);
    }

    /// It has nothing more to do.
    pub(super) fn end(&self) {
        let since = self.busy_since.swap(0, Ordering::Relaxed);
        if since > 0 {
            self.worked.fetch_add(self.nanos().saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// Seconds of work so far.
    fn worked(&self) -> f64 {
        let now = match self.busy_since.load(Ordering::Relaxed) {
            0 => 0,
            since => self.nanos().saturating_sub(since),
        };
        Duration::from_nanos(self.worked.load(Ordering::Relaxed) + now).as_secs_f64()
    }

    /// Waits until one more piece may be worked on, behind all who asked before. Others on the
    /// machine have their turn in any case.
    pub(crate) async fn turn(&self) {
        rustix::thread::sched_yield();
        let mut budget = self.budget.lock().await;
        let wait = budget.settle(Instant::now(), self.worked());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_what_goes_on_gets_its_share() {
        let pace = Pace::new();
        let mut budget = pace.budget.into_inner();
        let mut now = budget.refilled;
        let mut worked = 0.0;
        // As much as fits: a tenth of a second of work, and the wait that is asked for.
        let begin = now;
        while now - begin < Duration::from_secs(100) {
            worked += 0.1;
            now += Duration::from_millis(100);
            now += budget.settle(now, worked);
        }
        let expected = BURST.as_secs_f64() + 100.0 * SHARE;
        assert!((worked - expected).abs() < 0.5, "{worked} of {expected} seconds");
        // After a long time there is one burst, not more.
        now += Duration::from_secs(3600);
        assert!(budget.settle(now, worked).is_zero());
        assert!((budget.left - BURST.as_secs_f64()).abs() < 1e-9);
    }

    #[test]
    fn work_is_counted_between_its_begin_and_its_end() {
        let pace = Pace::new();
        pace.end();
        assert!(pace.worked() < 1e-9);
        pace.begin();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        assert!(pace.worked() >= 0.005);
        pace.end();
        let worked = pace.worked();
        assert!(worked >= 0.005 && pace.worked().to_bits() == worked.to_bits());
    }
}
