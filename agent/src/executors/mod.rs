//! Custom executors, as the outside sees them: their streams, their variables, their endpoint.
//!
//! Who may speak for an executor is who has its token (`token`), which no other task sees. What is
//! said goes to the core; nothing here decides what becomes of a task.

mod endpoint;
#[cfg(test)]
mod tests;
mod token;
mod variables;

pub(crate) use endpoint::{Asked, Context, Refused, router};
pub(crate) use token::Secret;
pub(crate) use variables::{Settings, variables};

use bytes::Bytes;
use proto::executor::Event;
use proto::{ContainerId, Encoding, Wire, recordio};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Events that may wait for one executor; one that does not read them loses its stream.
const WAITING: usize = 256;

#[derive(Debug)]
struct Open {
    encoding: Encoding,
    records: mpsc::Sender<Bytes>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Open>,
}

/// The streams of all executors, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<Table>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new stream: its number, and where its records arrive.
    fn open(&self, encoding: Encoding) -> (u64, mpsc::Receiver<Bytes>) {
        let (records, arriving) = mpsc::channel(WAITING);
        let mut table = self.lock();
        table.last += 1;
        let number = table.last;
        table.open.insert(number, Open { encoding, records });
        (number, arriving)
    }

    /// Sends an event; a stream that is full, or whose reader is gone, is closed.
    pub(crate) fn send(&self, container_id: &ContainerId, number: u64, event: &Event) {
        let mut table = self.lock();
        let Some(open) = table.open.get(&number) else { return };
        let record = recordio::encode(&event.encode(open.encoding));
        if open.records.try_send(record).is_err() {
            tracing::warn!(container = %container_id, "an executor does not read its events");
            table.open.remove(&number);
        }
    }

    /// Closes a stream, once its reader has what was sent.
    pub(crate) fn close(&self, number: u64) {
        self.lock().open.remove(&number);
    }
}
