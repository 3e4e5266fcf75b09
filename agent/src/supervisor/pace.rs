//! How often to look at what should be gone in a moment, and is not: soon at first, and less and
//! less often. What the kernel does not let go of, as a process that waits for a file server, may
//! be there for days.

use std::time::{Duration, Instant};

/// For so long after it began, at each opportunity, and after this pause at the latest.
const FIRST: Duration = Duration::from_millis(2);
const SOON: Duration = Duration::from_millis(50);
/// Between two looks at the most.
const MOST: Duration = Duration::from_millis(250);

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
    next: Instant,
    pause: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, next: now, pause: FIRST }
    }

    /// There is something new to look at.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self { begun: now, next: now + FIRST, pause: FIRST };
    }

    /// When the next look is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether to look now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let soon = now < self.begun + SOON;
        let due = soon || now >= self.next;
        if due {
            self.pause = if soon { FIRST } else { (2 * self.pause).min(MOST) };
            self.next = now + self.pause;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_looked_at_less_and_less_often_until_something_new_comes() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        pace.begin(begun);
        let (mut looks, mut now) = (Vec::new(), begun);
        while now < begun + Duration::from_secs(10) {
            // As the loop does that has nothing else to do.
            now = pace.next();
            assert!(pace.is_due(now));
            looks.push(now.duration_since(begun).as_millis());
        }
        assert_eq!(looks[..3], [2, 4, 6]);
        assert!(looks.len() < 80, "{} looks in ten seconds", looks.len());
        let later = begun + Duration::from_secs(11);
        pace.begin(later);
        assert_eq!(pace.next(), later + FIRST);
        assert!(pace.is_due(later), "at each opportunity");
    }
}
