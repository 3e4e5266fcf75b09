//! How much of a processor reads may take: short ones all of it, those that never end a part.
//!
//! The thread that serves readers knows how much time of a processor it took: what it waits for one
//! on a busy machine is not its work. What it may spend grows with time, up to a burst; when it is
//! spent, pieces of answers wait for their turn, in order. So the cost of readers in a loop is
//! bounded, however many they are and however much they ask for.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The part of one processor that reads may take in the long run.
const SHARE: f64 = 0.25;
/// The work that may be done at once after a time without any.
const BURST: Duration = Duration::from_secs(2);

/// What the thread spends that all reads are made on.
#[derive(Debug)]
pub(crate) struct Pace {
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
    pub(crate) fn new() -> Self {
        let left = BURST.as_secs_f64();
        Self { budget: Mutex::new(Budget { left, refilled: Instant::now(), taken: 0.0 }) }
    }

    /// Waits until one more piece may be worked on, behind all who asked before. Others on the
    /// machine have their turn in any case.
    pub(crate) async fn turn(&self) {
        rustix::thread::sched_yield();
        let mut budget = self.budget.lock().await;
        let wait = budget.settle(Instant::now(), worked());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Seconds of a processor that this thread took so far.
fn worked() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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
    fn work_counts_and_waiting_does_not() {
        let before = worked();
        while worked() - before < 0.005 {
            std::hint::spin_loop();
        }
        // Another thread has the processor meanwhile.
        let (waits, spun) = (worked(), Duration::from_millis(50));
        let other = std::thread::spawn(move || {
            let begin = Instant::now();
            while begin.elapsed() < spun {
                std::hint::spin_loop();
            }
        });
        other.join().unwrap();
        assert!(worked() - waits < spun.as_secs_f64());
    }
}
