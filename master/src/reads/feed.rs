//! Where changes go to on their way from the core to the copy for readers.
//!
//! The core never waits for the copy. What waits for the copy is counted and bounded: a copy that
//! falls too far behind gets no more changes, is told everything anew once it has caught up with
//! what it has, and until then answers that it is behind.

use super::Ask;
use master_core::Change;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Changes that may wait for the copy.
const WAITING: usize = 1 << 20;

/// How far the copy is behind.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    waiting: AtomicUsize,
    /// The copy wants everything anew.
    wants: AtomicBool,
    /// Times that it was made anew.
    anew: AtomicU64,
}

impl Lag {
    /// Changes that the copy has not taken yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Times that the copy fell behind and was made anew.
    pub(crate) fn anew(&self) -> u64 {
        self.anew.load(Ordering::Relaxed)
    }

    pub(super) fn applied(&self, changes: usize) {
        self.waiting.fetch_sub(changes, Ordering::Relaxed);
    }

    pub(super) fn ask_anew(&self) {
        self.wants.store(true, Ordering::Release);
    }
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Feed {
    asks: mpsc::UnboundedSender<Ask>,
    lag: Arc<Lag>,
    most: usize,
    /// The copy was told that it is behind.
    lost: bool,
}

impl Feed {
    pub(super) fn new(asks: mpsc::UnboundedSender<Ask>, lag: Arc<Lag>) -> Self {
        Self { asks, lag, most: WAITING, lost: false }
    }

    /// The same with another bound.
    #[cfg(test)]
    pub(super) fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    #[cfg(test)]
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Tells the copy of changes. Never waits; what a copy that is behind cannot take is dropped,
    /// because it will be told everything.
    pub(crate) fn tell(&mut self, changes: Vec<Change>) {
        if self.lost {
            return;
        }
        let count = changes.len();
        let before = self.lag.waiting.fetch_add(count, Ordering::Relaxed);
        // One batch alone may be bigger: the first one tells everything.
        let ask = if before > 0 && before + count > self.most {
            self.lag.waiting.fetch_sub(count, Ordering::Relaxed);
            self.lost = true;
            tracing::warn!(waiting = before, "the copy for readers is behind and is made anew");
            Ask::Behind
        } else {
            Ask::Apply(changes)
        };
        // Fails only when the master ends.
        let _ = self.asks.send(ask);
    }

    /// Whether the copy has caught up with what it had, and is to be told everything.
    pub(crate) fn wants_anew(&self) -> bool {
        self.lost && self.lag.wants.load(Ordering::Acquire)
    }

    /// Tells the copy everything; as after `wants_anew`.
    pub(crate) fn tell_anew(&mut self, all: Vec<Change>) {
        self.lost = false;
        self.lag.wants.store(false, Ordering::Relaxed);
        self.lag.anew.fetch_add(1, Ordering::Relaxed);
        // Fails only when the master ends.
        let _ = self.asks.send(Ask::Anew(all));
    }
}
