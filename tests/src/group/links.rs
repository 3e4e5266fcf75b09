//! The ways between masters: free, cut in one or both directions, flapping, or slow.
//!
//! What is sent over a way that is cut is lost, as on a connection that breaks; otherwise the order
//! is kept. The ways from masters to agents and frameworks are another matter.

use crate::prng::Prng;
use proto::Time;
use std::time::Duration;

/// A way that comes and goes changes so often.
const FLAP: u64 = 200_000_000;

#[derive(Clone, Copy, Debug)]
struct Way {
    latency: Duration,
    cut: Time,
    flaps: Time,
    /// Half a second longer until then.
    slow: Time,
    /// When the last message arrives.
    last: Time,
}

/// All ways between masters.
#[derive(Debug)]
pub(crate) struct Links {
    count: usize,
    ways: Vec<Way>,
}

impl Links {
    pub(crate) fn new(count: usize, random: &mut Prng) -> Self {
        let most = [1, 2, 10][random.index(3)];
        let mut way = || Way {
            latency: random.millis(0, most),
            cut: Time::ZERO,
            flaps: Time::ZERO,
            slow: Time::ZERO,
            last: Time::ZERO,
        };
        Self { count, ways: (0..count * count).map(|_| way()).collect() }
    }

    fn way(&self, from: usize, to: usize) -> &Way {
        &self.ways[from * self.count + to]
    }

    fn way_mut(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.count + to]
    }

    /// Whether nothing arrives that is sent now.
    pub(crate) fn is_cut(&self, now: Time, from: usize, to: usize) -> bool {
        let way = self.way(from, to);
        way.cut > now || (way.flaps > now && (now.as_nanos() / FLAP).is_multiple_of(2))
    }

    /// Whether each reaches the other.
    pub(crate) fn meet(&self, now: Time, a: usize, b: usize) -> bool {
        a == b || (!self.is_cut(now, a, b) && !self.is_cut(now, b, a))
    }

    /// When something that is sent now arrives.
    pub(crate) fn arrives(&mut self, now: Time, from: usize, to: usize, random: &mut Prng) -> Time {
        let way = self.way_mut(from, to);
        let more = if way.slow > now { Duration::from_millis(500) } else { Duration::ZERO };
        way.last = way.last.max(now + way.latency + random.millis(0, 1) + more);
        way.last
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, until: Time) {
        let way = self.way_mut(from, to);
        way.cut = way.cut.max(until);
    }

    /// Neither hears the other.
    pub(crate) fn part(&mut self, a: usize, b: usize, until: Time) {
        self.cut(a, b, until);
        self.cut(b, a, until);
    }

    /// Both ways come and go.
    pub(crate) fn flap(&mut self, a: usize, b: usize, until: Time) {
        for (from, to) in [(a, b), (b, a)] {
            let way = self.way_mut(from, to);
            way.flaps = way.flaps.max(until);
        }
    }

    /// Everything to and from it takes longer; nobody else is slow then.
    pub(crate) fn slow_down(&mut self, host: usize, until: Time) {
        self.ways.iter_mut().for_each(|way| way.slow = Time::ZERO);
        for other in 0..self.count {
            self.way_mut(host, other).slow = until;
            self.way_mut(other, host).slow = until;
        }
    }

    pub(crate) fn heal(&mut self) {
        for way in &mut self.ways {
            (way.cut, way.flaps, way.slow) = (Time::ZERO, Time::ZERO, Time::ZERO);
        }
    }
}
