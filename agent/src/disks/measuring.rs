//! The thread that measures sandboxes.
//!
//! Two are walked by turns: the next of the many that are small, and the next of those that have
//! shown to be large, some of which are under way at one time and have their turns as well. So who
//! has a million files waits for others of its kind, and makes nobody else wait for more than a turn.
//! What takes more than it may is told at once; and a walk ends after so many entries, however fast a
//! task makes more, so that everybody has a turn some time.

use super::walk::Walk;
use super::{Asked, Bounds, Measured};
use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Steps of one turn.
const TURN: usize = 512;
/// How much longer it rests than it walks.
const REST: u32 = 4;

/// Large ones that are under way at one time; each takes memory and descriptors.
const LARGE_WALKS: usize = 4;

/// Some of them under way, the others one after the other.
struct Queue {
    waiting: VecDeque<Asked>,
    walks: VecDeque<(Asked, Walk)>,
    most: usize,
}

impl Queue {
    fn of(most: usize) -> Self {
        Self { waiting: VecDeque::new(), walks: VecDeque::new(), most }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.walks.is_empty()
    }

    /// Takes a walk that is under way; where there are too many, it is begun anew.
    fn take(&mut self, asked: Asked, walk: Walk) {
        if self.walks.len() < self.most {
            self.walks.push_back((asked, walk));
        } else {
            self.waiting.push_back(asked);
        }
    }

    /// Walks for a turn; what came to an end.
    fn turn(&mut self, entries: u64) -> Option<Measured> {
        if self.walks.len() < self.most
            && let Some(asked) = self.waiting.pop_front()
        {
            match Walk::begin(&asked.path, asked.layer.as_deref()) {
                Ok(walk) => self.walks.push_front((asked, walk)),
                Err(error) => return Some(Measured { asked, result: Err(error) }),
            }
        }
        let (asked, mut walk) = self.walks.pop_front()?;
        let more = walk.go_on(TURN);
        if more && walk.bytes() <= asked.limit && walk.entries() < entries {
            self.walks.push_back((asked, walk));
            return None;
        }
        Some(Measured { asked, result: Ok((walk.bytes(), walk.entries())) })
    }
}

/// Measures what is asked for until nobody asks or listens any more.
pub(super) fn measure(
    lists: &Receiver<Vec<Asked>>,
    bounds: Bounds,
    tell: &UnboundedSender<Measured>,
) {
    let (mut small, mut big) = (Queue::of(1), Queue::of(LARGE_WALKS));
    loop {
        let idle = small.is_empty() && big.is_empty();
        let first = if idle { lists.recv().map(Some) } else { Ok(None) };
        let Ok(first) = first else { return };
        for asked in first.into_iter().chain(lists.try_iter()).flatten() {
            let queue = if asked.entries > bounds.large { &mut big } else { &mut small };
            queue.waiting.push_back(asked);
        }
        let begun = Instant::now();
        let ended = [small.turn(bounds.most), big.turn(bounds.most)];
        if let Some((asked, walk)) =
            small.walks.pop_front_if(|(_, walk)| walk.entries() > bounds.large)
        {
            big.take(asked, walk);
        }
        for measured in ended.into_iter().flatten() {
            if tell.send(measured).is_err() {
                return;
            }
        }
        std::thread::sleep(begun.elapsed().min(Duration::from_millis(100)) * REST);
    }
}
