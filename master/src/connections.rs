//! Streams to frameworks and agents: their numbers, their bounded outboxes, and what is done with
//! a reader that does not read.
//!
//! A full outbox never slows the master or another stream: its reader is cut off, is told so if
//! it still reads, and loses its connection soon after.

use crate::listen::Kill;
use master_core::ConnectionId;
use proto::scheduler::{Call, Event, Subscribe};
use proto::{FrameworkId, agent_link, operator};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

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
    AgentClosed(ConnectionId),
    Operator {
        call: operator::Call,
        reply: oneshot::Sender<Outcome>,
    },
    /// Wants the metrics as text.
    Scrape(oneshot::Sender<String>),
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
    sender: mpsc::Sender<T>,
    kill: Kill,
    /// Dead once the stream's reader end is gone.
    reading: Weak<()>,
}

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    pub(crate) events: mpsc::Receiver<T>,
    _reading: Arc<()>,
}

/// An outbox with room for `capacity` messages, and one last word.
pub(crate) fn outbox<T>(capacity: usize, kill: Kill) -> (Outbox<T>, Pending<T>) {
    let (sender, events) = mpsc::channel(capacity + 1);
    let reading = Arc::new(());
    (
        Outbox { sender, kill, reading: Arc::downgrade(&reading) },
        Pending { events, _reading: reading },
    )
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

impl<T> Outbox<T> {
    pub(crate) fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// Puts a message behind those that wait.
    pub(crate) fn send(&self, message: T) -> Sent {
        if self.sender.capacity() <= 1 && !self.sender.is_closed() {
            return Sent::Full;
        }
        match self.sender.try_send(message) {
            Ok(()) => Sent::Waiting,
            Err(TrySendError::Closed(_)) => Sent::Gone,
            Err(TrySendError::Full(_)) => Sent::Full,
        }
    }

    /// Ends the stream after what waits and `last_word`, and its connection after `grace` if the
    /// reader still has not read it all.
    pub(crate) fn cut_off(self, last_word: Option<T>, grace: Duration) {
        if let Some(last_word) = last_word {
            // The last place is kept for it; a reader that just left needs none.
            let _ = self.sender.try_send(last_word);
        }
        let (kill, reading) = (self.kill, self.reading);
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            if reading.strong_count() > 0 {
                kill.now();
            }
        });
    }
}
