//! When a commit may begin: at once while little happens, in company while much does.
//!
//! A sync costs the same for one record as for a hundred, and so does waking all who take part.
//! Alone, a record must not wait for others that do not come; in a crowd, a few milliseconds
//! make one commit of many. It never says that a commit must wait for a reason other than this.

use std::time::{Duration, Instant};

/// How the rate is measured: too short and a single burst of one piece of work looks like many.
const WINDOW: Duration = Duration::from_millis(4);
/// Between the beginnings of two commits in a crowd.
const GAP: Duration = Duration::from_millis(4);

/// Measures how much happens, and says when the next commit may begin.
#[derive(Debug)]
pub struct Pace {
    /// From so many in a millisecond on, commits wait for company.
    crowd: u32,
    since: Option<Instant>,
    count: u32,
    crowded: bool,
    began: Option<Instant>,
}

impl Pace {
    /// `crowd` things in a millisecond are many.
    pub fn new(crowd: u32) -> Self {
        Self { crowd, since: None, count: 0, crowded: false, began: None }
    }

    /// So many things happened.
    pub fn note(&mut self, things: usize, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.count = self.count.saturating_add(u32::try_from(things).unwrap_or(u32::MAX));
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= WINDOW {
            let many = elapsed.as_micros().saturating_mul(u128::from(self.crowd)) / 1000;
            self.crowded = u128::from(self.count) >= many;
            (self.since, self.count) = (Some(now), 0);
        }
    }

    /// A commit begins.
    pub fn began(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Until when the next commit waits; absent when it may begin now.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        // After a silence longer than a window nothing is known of a crowd.
        let fresh = self.since.is_some_and(|at| now.saturating_duration_since(at) < 2 * WINDOW);
        let until = self.began.filter(|_| self.crowded && fresh)? + GAP;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn what_comes_alone_never_waits() {
        let (mut pace, start) = (Pace::new(3), Instant::now());
        // One piece of work after the other, three things each, as fast as one may be.
        for turn in 0..100 {
            let now = after(start, turn * 1_500);
            pace.note(3, now);
            assert_eq!(pace.pause(now), None);
            pace.began(now);
        }
    }

    #[test]
    fn in_a_crowd_commits_keep_their_distance_and_a_silence_ends_it() {
        let (mut pace, start) = (Pace::new(3), Instant::now());
        for turn in 0..50 {
            pace.note(1, after(start, turn * 100));
        }
        let now = after(start, 5_000);
        assert_eq!(pace.pause(now), None, "the first one has nothing to keep a distance to");
        pace.began(now);
        assert_eq!(pace.pause(now), Some(now + GAP));
        assert_eq!(pace.pause(now + GAP), None);
        let later = now + Duration::from_millis(500);
        pace.began(later);
        assert_eq!(pace.pause(later), None, "the crowd has gone");
        pace.note(20, later);
        assert_eq!(pace.pause(later), None, "a burst after a silence is no crowd yet");
    }
}
