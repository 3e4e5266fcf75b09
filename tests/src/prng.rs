//! The only source of chance in a simulation: xoshiro256**, seeded by splitmix64.
//!
//! Each part of the world draws from a stream of its own, split off by name, so that a change in
//! one part does not shuffle the others. It must never be seeded by anything but the run's seed.

use std::time::Duration;

/// One stream of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Prng {
    seed: u64,
    state: [u64; 4],
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Prng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self { seed, state: std::array::from_fn(|_| splitmix(&mut state)) }
    }

    /// Another stream, the same for the same name, whatever was drawn from this one.
    #[must_use]
    pub fn split(&self, name: &str) -> Self {
        let mixed = name.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::new(mixed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a multiplication is far below what a simulation could notice.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// An index of a list of this length; 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with this probability, in percent.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `low` to `high` milliseconds, in steps of a microsecond.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1000, high * 1000))
    }

    /// A wait whose mean is `mean`: evenly spread from nothing to twice as much.
    pub fn wait(&mut self, mean: Duration) -> Duration {
        let most = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX / 2).saturating_mul(2);
        Duration::from_micros(self.below(most.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_seed_and_name_only() {
        let mut drawn = Prng::new(7);
        drawn.number();
        assert_eq!(drawn.split("a").number(), Prng::new(7).split("a").number());
        assert_ne!(Prng::new(7).split("a").number(), Prng::new(7).split("b").number());
        assert_ne!(Prng::new(7).number(), Prng::new(8).number());
    }

    #[test]
    fn draws_stay_in_their_bounds_and_reach_both_ends() {
        let mut prng = Prng::new(1);
        let drawn: Vec<u64> = (0..1000).map(|_| prng.between(3, 6)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&6));
        assert_eq!(prng.below(0), 0);
    }
}
