//! Randomness from a seed: splitmix64, enough for jitter and the same for the same seed.
//!
//! The seed comes from the shell. It must never be used for anything that has to be unguessable.

use std::time::Duration;

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between half of `full` and `full`.
    pub(crate) fn jitter(&mut self, full: Duration) -> Duration {
        let nanos = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
        let half = nanos / 2;
        Duration::from_nanos(half + if half == 0 { 0 } else { self.next() % (half + 1) })
    }
}

/// `first` doubled `times` times, at most `most`.
pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    first.checked_mul(factor).map_or(most, |wait| wait.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_half_and_full_and_repeats_for_a_seed() {
        let full = Duration::from_secs(1);
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.jitter(full)).collect::<Vec<_>>()
        };
        assert!(draw(7).iter().all(|wait| *wait >= full / 2 && *wait <= full));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn doubling_stops_at_the_longest_wait() {
        let (first, most) = (Duration::from_millis(50), Duration::from_secs(10));
        assert_eq!(doubled(first, 0, most), first);
        assert_eq!(doubled(first, 3, most), Duration::from_millis(400));
        assert_eq!(doubled(first, 31, most), most);
        assert_eq!(doubled(first, 400, most), most);
    }
}
