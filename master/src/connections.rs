//! Streams to frameworks and agents: their numbers, their bounded outboxes, and what is done with
//! a reader that does not read.
//!
//! A slow reader never slows the master or another stream. A burst may fill an outbox far beyond
//! its limit as long as the reader keeps taking; one that stands still is cut off, is told so
//! should it read again, and loses its connection soon after. Messages are counted, and their
//! bytes as well: a few big ones fill an outbox as many small ones do.

pub(crate) mod weight;

use crate::http::Totals;
use crate::listen::Kill;
use master_core::ConnectionId;
use proto::scheduler::{Call, Event, Subscribe};
use proto::{FrameworkId, agent_link, operator};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{self, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;
pub(crate) use weight::Weigh;

/// What connections tell the task that owns the core.
#[derive(Debug)]
pub(crate) enum Message {
    /// A stream to a framework exists.
    OpenFramework {
        connection: ConnectionId,
        outbox: Outbox<Event>,
    },
    Subscribe {
        connection: ConnectionId,
        framework_id: Option<FrameworkId>,
        call: Box<Subscribe>,
    },
    Call {
        connection: Option<ConnectionId>,
        call: Call,
        reply: Reply,
    },
    /// It sent what cannot be read: it is told so, and its stream ends.
    FrameworkUnreadable {
        connection: ConnectionId,
        problem: String,
    },
    FrameworkClosed(ConnectionId),
    /// A stream to an agent exists.
    OpenAgent {
        connection: ConnectionId,
        outbox: Outbox<agent_link::AgentEvent>,
    },
    Agent {
        connection: ConnectionId,
        call: agent_link::AgentCall,
    },
    /// As with a framework.
    AgentUnreadable {
        connection: ConnectionId,
        problem: String,
    },
    AgentClosed(ConnectionId),
    Operator {
        call: operator::Call,
        reply: oneshot::Sender<Outcome>,
    },
    /// Wants the metrics as text.
    Scrape(oneshot::Sender<String>),
    /// Wants what is counted in the core.
    Totals(oneshot::Sender<Totals>),
}

/// Who waits for the answer to a call.
#[derive(Debug)]
pub(crate) enum Reply {
    Http(oneshot::Sender<Outcome>),
    /// A gRPC stream: only a refusal is sent.
    Stream(ConnectionId),
}

/// How a request was answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    Accepted,
    Refused { code: u16, message: String },
    Answer(Box<operator::Response>),
}

/// Numbers streams, and finds them by the id that frameworks know them by.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    next: AtomicU64,
    by_id: Mutex<HashMap<Uuid, ConnectionId>>,
}

impl Streams {
    /// A number that no stream had before.
    pub(crate) fn number(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A new id for `connection`.
    pub(crate) fn name(&self, connection: ConnectionId) -> Uuid {
        let id = Uuid::new_v4();
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        id
    }

    pub(crate) fn find(&self, id: &str) -> Option<ConnectionId> {
        let id = Uuid::parse_str(id).ok()?;
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    pub(crate) fn forget(&self, id: &Uuid) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// What both ends of a stream know.
#[derive(Debug)]
struct Progress<T> {
    /// Messages that the reader took.
    taken: AtomicU64,
    /// Their bytes.
    taken_bytes: AtomicU64,
    /// What waits; gone once the stream is cut off for good. Nobody contends for it: the sender
    /// takes it once, at that time.
    queue: Mutex<Option<mpsc::Receiver<Waiting<T>>>>,
}

/// A message and what it weighs. A queue has room for some of these from its beginning on, and most
/// streams are silent, so they are small.
#[derive(Debug)]
struct Waiting<T> {
    weight: u64,
    message: Box<T>,
}

/// The sending end of one stream.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    sender: mpsc::Sender<Waiting<T>>,
    kill: Kill,
    /// Gone once the stream's reading end is.
    progress: Weak<Progress<T>>,
    limits: OutboxLimits,
    /// Bytes of all messages that were sent.
    sent_bytes: u64,
    /// How far the reader was, and when, at the newest progress seen beyond the limit.
    seen: (u64, Instant),
}

/// How much may wait for one reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    /// Messages that may wait for a reader that stands still.
    pub(crate) waiting: usize,
    /// Bytes that may wait for it.
    pub(crate) bytes: usize,
    /// How long a reader with more than that may stand still.
    pub(crate) stall: Duration,
}

/// A reader that takes messages may have so many times more of them waiting, but no more.
const BURST: usize = 16;

/// As `BURST`, of bytes. One message alone may be bigger.
const BURST_BYTES: u64 = 4;

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    progress: Arc<Progress<T>>,
}

impl<T> Pending<T> {
    /// The next message; `None` at the end.
    pub(crate) fn poll_take(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<T>> {
        let mut queue = self.progress.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &mut *queue else { return Poll::Ready(None) };
        let Some(Waiting { weight, message }) = task::ready!(queue.poll_recv(cx)) else {
            return Poll::Ready(None);
        };
        self.progress.taken.fetch_add(1, Ordering::Relaxed);
        self.progress.taken_bytes.fetch_add(weight, Ordering::Relaxed);
        Poll::Ready(Some(*message))
    }
}

/// The two ends of a stream; there is room for a burst and one last word.
pub(crate) fn outbox<T>(limits: OutboxLimits, kill: Kill) -> (Outbox<T>, Pending<T>) {
    let (sender, events) = mpsc::channel(limits.waiting.saturating_mul(BURST) + 1);
    let (taken, taken_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = Arc::new(Progress { taken, taken_bytes, queue: Mutex::new(Some(events)) });
    let (weak, seen) = (Arc::downgrade(&progress), (0, Instant::now()));
    let outbox = Outbox { sender, kill, progress: weak, limits, sent_bytes: 0, seen };
    (outbox, Pending { progress })
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Waiting,
    /// The reader is gone.
    Gone,
    /// The reader is too slow; the message is lost and so must the stream be.
    Full,
}

impl<T: Weigh + Send + 'static> Outbox<T> {
    pub(crate) fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// Puts a message behind those that wait.
    pub(crate) fn send(&mut self, message: T) -> Sent {
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        let (weight, bytes, limit) =
            (message.weight() as u64, self.waiting_bytes(), self.limits.bytes as u64);
        if bytes > 0 && bytes + weight > limit.saturating_mul(BURST_BYTES) {
            return Sent::Full;
        }
        if (waiting >= self.limits.waiting || bytes >= limit) && self.is_stuck() {
            return Sent::Full;
        }
        match self.sender.try_send(Waiting { weight, message: Box::new(message) }) {
            Ok(()) => {
                self.sent_bytes += weight;
                Sent::Waiting
            }
            Err(TrySendError::Closed(_)) => Sent::Gone,
            Err(TrySendError::Full(_)) => Sent::Full,
        }
    }

    /// Bytes that the reader has not taken.
    fn waiting_bytes(&self) -> u64 {
        let taken = self.progress.upgrade().map(|p| p.taken_bytes.load(Ordering::Relaxed));
        // A reader that is gone has nothing waiting. One that takes a message right now may be
        // ahead of the sum.
        taken.map_or(0, |taken| self.sent_bytes.saturating_sub(taken))
    }

    /// Whether the reader stands still, or has all that a burst may hold.
    fn is_stuck(&mut self) -> bool {
        let Some(progress) = self.progress.upgrade() else { return false };
        let taken = progress.taken.load(Ordering::Relaxed);
        if taken != self.seen.0 {
            self.seen = (taken, Instant::now());
        }
        // The last place is for the last word.
        self.sender.capacity() <= 1 || self.seen.1.elapsed() > self.limits.stall
    }

    /// Ends the stream after what waits and `last_word`. If the reader still has not read it all
    /// after `grace`, what waits is dropped, and the connection ends if it has no other streams.
    pub(crate) fn cut_off(self, last_word: Option<T>, grace: Duration) {
        if let Some(last_word) = last_word {
            // The last place is kept for it; a reader that just left needs none.
            let weight = last_word.weight() as u64;
            let _ = self.sender.try_send(Waiting { weight, message: Box::new(last_word) });
        }
        let (kill, progress) = (self.kill, self.progress);
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            if let Some(progress) = progress.upgrade() {
                progress.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
                kill.now();
            }
        });
    }
}

#[cfg(test)]
mod tests;
