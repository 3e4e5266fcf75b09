//! Streams to frameworks and agents: their numbers, their bounded outboxes, and what is done with
//! a reader that does not read.
//!
//! A slow reader never slows the master or another stream. A burst may fill an outbox far beyond
//! its limit as long as the reader keeps taking; one that stands still is cut off, is told so
//! should it read again, and loses its connection soon after. Messages are counted, and their
//! bytes as well: a few big ones fill an outbox as many small ones do.

mod line;
pub(crate) mod weight;

use crate::http::Totals;
use crate::listen::Kill;
use line::{Line, State, Waiting};
use master_core::ConnectionId;
use proto::scheduler::{Call, Event, Subscribe};
use proto::{FrameworkId, agent_link, operator};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
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
        outbox: Outbox<agent_link::Command>,
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

/// The sending end of one stream.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    line: Arc<Line<T>>,
    kill: Kill,
    limits: OutboxLimits,
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
    line: Arc<Line<T>>,
}

impl<T> Pending<T> {
    /// The next message; `None` at the end.
    pub(crate) fn poll_take(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<T>> {
        self.line.poll_take(cx)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.line.close();
    }
}

/// The two ends of a stream; there is room for a burst and one last word.
pub(crate) fn outbox<T>(limits: OutboxLimits, kill: Kill) -> (Outbox<T>, Pending<T>) {
    let line = Arc::new(Line::new());
    let pending = Pending { line: Arc::clone(&line) };
    (Outbox { line, kill, limits, seen: (0, Instant::now()) }, pending)
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

impl<T> Drop for Outbox<T> {
    fn drop(&mut self) {
        self.line.finish();
    }
}

impl<T: Weigh + Send + 'static> Outbox<T> {
    pub(crate) fn is_gone(&self) -> bool {
        self.line.state().is_closed
    }

    /// Puts a message behind those that wait.
    pub(crate) fn send(&mut self, message: T) -> Sent {
        let (weight, limits) = (message.weight() as u64, self.limits);
        let (state, limit) = (self.line.state(), limits.bytes as u64);
        if state.is_closed {
            return Sent::Gone;
        }
        if state.bytes > 0 && state.bytes + weight > limit.saturating_mul(BURST_BYTES) {
            return Sent::Full;
        }
        let is_much = state.len() >= limits.waiting || state.bytes >= limit;
        if is_much && is_stuck(&state, &mut self.seen, &limits) {
            return Sent::Full;
        }
        self.line.put(state, Waiting { weight, message: Box::new(message) });
        Sent::Waiting
    }

    /// Ends the stream after what waits and `last_word`. If the reader still has not read it all
    /// after `grace`, what waits is dropped, and the connection ends if it has no other streams.
    pub(crate) fn cut_off(self, last_word: Option<T>, grace: Duration) {
        if let Some(last_word) = last_word {
            // Beyond all bounds; a reader that just left needs none.
            let (weight, message) = (last_word.weight() as u64, Box::new(last_word));
            self.line.put(self.line.state(), Waiting { weight, message });
        }
        let (kill, line) = (self.kill.clone(), Arc::clone(&self.line));
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            if line.close() {
                kill.now();
            }
        });
    }
}

/// Whether the reader stands still, or has all that a burst may hold. `seen` is how far it was, and
/// when.
fn is_stuck<T>(state: &State<T>, seen: &mut (u64, Instant), limits: &OutboxLimits) -> bool {
    if state.taken != seen.0 {
        *seen = (state.taken, Instant::now());
    }
    state.len() >= limits.waiting.saturating_mul(BURST) || seen.1.elapsed() > limits.stall
}

#[cfg(test)]
mod tests;
