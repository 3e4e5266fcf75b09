//! The thread that measures sandboxes.
//!
//! Two are walked by turns: the next of the many that are small, and the next of those that have
//! shown to be large. So who has a million files waits for others of its kind, and makes nobody
//! else wait for more than a turn.

use super::walk::Walk;
use super::{Asked, Measured};
use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Steps of one turn.
const TURN: usize = 512;
/// How much longer it rests than it walks.
const REST: u32 = 4;

/// One after the other.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Asked>,
    walk: Option<(Asked, Walk)>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.walk.is_none()
    }

    /// Walks for a turn; what came to an end.
    fn turn(&mut self) -> Option<Measured> {
        let (asked, mut walk) = match self.walk.take() {
            Some(under_way) => under_way,
            None => {
                let asked = self.waiting.pop_front()?;
                match Walk::begin(&asked.path) {
                    Ok(walk) => (asked, walk),
                    Err(error) => return Some(Measured { asked, result: Err(error) }),
                }
            }
        };
        if walk.go_on(TURN) {
            self.walk = Some((asked, walk));
            return None;
        }
        Some(Measured { asked, result: Ok((walk.bytes(), walk.entries())) })
    }
}

/// Measures what is asked for until nobody asks or listens any more. `large` entries make a sandbox
/// large.
pub(super) fn measure(lists: &Receiver<Vec<Asked>>, large: u64, tell: &UnboundedSender<Measured>) {
    let (mut small, mut big) = (Queue::default(), Queue::default());
    loop {
        let idle = small.is_empty() && big.is_empty();
        let first = if idle { lists.recv().map(Some) } else { Ok(None) };
        let Ok(first) = first else { return };
        for asked in first.into_iter().chain(lists.try_iter()).flatten() {
            let queue = if asked.entries > large { &mut big } else { &mut small };
            queue.waiting.push_back(asked);
        }
        let begun = Instant::now();
        let ended = [small.turn(), big.turn()];
        // It is begun anew when it has its turn there: only one of them takes memory.
        if let Some((asked, _)) = small.walk.take_if(|(_, walk)| walk.entries() > large) {
            big.waiting.push_back(asked);
        }
        for measured in ended.into_iter().flatten() {
            if tell.send(measured).is_err() {
                return;
            }
        }
        std::thread::sleep(begun.elapsed().min(Duration::from_millis(100)) * REST);
    }
}
