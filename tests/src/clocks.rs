//! The wall clocks of the nodes: right until somebody sets them, which a process notices only when
//! it is started again.
//!
//! The shells read the wall clock once, at their start, and count on with a monotonic clock. So a
//! node's time runs as fast as the world's and is off by an amount that lasts for a life. What a
//! core wrote down in one life and compares with its time in the next is what a jump puts to the
//! test. Nothing but the nodes' own times comes from here.

use crate::prng::Prng;
use crate::world::Node;
use proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How far a master's clock may be set ahead in all, from the furthest that it was behind: less than
/// the failover timeout of the frameworks (a week). Beyond it they are let go, as they should be:
/// nobody can tell a clock that was set from a week in which no master ran.
const MASTER_AHEAD: Duration = Duration::from_secs(500_000);

/// How far a clock is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offset {
    behind: bool,
    by: Duration,
}

impl Offset {
    /// So many nanoseconds ahead.
    fn ahead(self) -> i128 {
        let by = i128::try_from(self.by.as_nanos()).expect("a year in nanoseconds fits");
        if self.behind { -by } else { by }
    }
}

/// All clocks.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// As processes that run read them.
    running: BTreeMap<Node, Offset>,
    /// As the next start will read them.
    set: BTreeMap<Node, Offset>,
    /// The furthest behind that a master ran.
    lowest: Offset,
}

impl Clocks {
    /// Somebody sets the clock of a node's host: by seconds, hours or a year, either way.
    pub(crate) fn jump(&mut self, random: &mut Prng, node: Node) -> String {
        let most = [5_000, 3_600_000, 31_536_000_000][random.index(3)];
        let mut offset = Offset { behind: random.percent(50), by: random.millis(0, most) };
        if matches!(node, Node::Master(_)) {
            offset = self.bounded(offset);
        }
        self.set.insert(node, offset);
        let way = if offset.behind { "behind" } else { "ahead" };
        format!("{node:?} {:?} {way}", offset.by)
    }

    /// What a master's clock is set to, where that is not too far ahead of what it was.
    fn bounded(&self, offset: Offset) -> Offset {
        let Offset { behind, by } = self.lowest;
        let most = match behind && by > MASTER_AHEAD {
            true => Offset { behind, by: by - MASTER_AHEAD },
            false => Offset { behind: false, by: MASTER_AHEAD - by },
        };
        if offset.ahead() > most.ahead() { most } else { offset }
    }

    /// A process starts and reads its clock.
    pub(crate) fn start(&mut self, node: Node) {
        if let Some(offset) = self.set.remove(&node) {
            if matches!(node, Node::Master(_)) && offset.ahead() < self.lowest.ahead() {
                self.lowest = offset;
            }
            self.running.insert(node, offset);
        }
    }

    /// What a node says that the time is.
    pub(crate) fn local(&self, node: Node, time: Time) -> Time {
        let Offset { behind, by } = self.running.get(&node).copied().unwrap_or_default();
        if behind { time - by } else { time + by }
    }

    /// When it is that a node means by a time.
    pub(crate) fn global(&self, node: Node, time: Time) -> Time {
        let Offset { behind, by } = self.running.get(&node).copied().unwrap_or_default();
        if behind { time + by } else { time - by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_seen_from_the_next_start_on_and_deadlines_follow_it() {
        let (mut clocks, mut random) = (Clocks::default(), Prng::new(3));
        let (node, now) = (Node::Agent(1), Time::from_millis(1_000_000_000_000));
        let mut seen = Vec::new();
        for _ in 0..20 {
            let before = clocks.local(node, now);
            clocks.jump(&mut random, node);
            assert_eq!(clocks.local(node, now), before, "a life keeps its clock");
            clocks.start(node);
            let local = clocks.local(node, now);
            assert_eq!(clocks.global(node, local), now);
            seen.push(local.cmp(&now));
        }
        assert!(seen.contains(&std::cmp::Ordering::Less), "some are behind");
        assert!(seen.contains(&std::cmp::Ordering::Greater), "some are ahead");
        assert_eq!(clocks.local(Node::Master(0), now), now, "nobody set this one");
    }

    #[test]
    fn a_masters_clock_is_not_set_a_week_ahead_in_several_jumps_either() {
        let now = Time::from_millis(1_000_000_000_000);
        for seed in 0..200 {
            let (mut clocks, mut random) = (Clocks::default(), Prng::new(seed));
            let mut lowest = now;
            for _ in 0..20 {
                clocks.jump(&mut random, Node::Master(0));
                clocks.start(Node::Master(0));
                let local = clocks.local(Node::Master(0), now);
                assert!(local <= lowest + MASTER_AHEAD, "seed {seed}: {local:?}, {lowest:?}");
                lowest = lowest.min(local);
            }
        }
    }
}
