//! Where a framework's records are made durable: in a directory, or at the masters.

use crate::core::{Fenced, Journal, Records, Room, Write};
use proto::scheduler::{StateAsk, StateOutcome};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::{Batch, CommitResult, GroupCommit, Store};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Numbers of what the journal asks of the masters, beside those of the framework's owner.
const JOURNAL: u64 = 1 << 63;
/// How long to wait before the masters are asked again for what they had no room for.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) enum Keeper {
    /// A directory, and a thread that commits.
    Directory(Arc<Store>, GroupCommit),
    /// The masters.
    Masters(Box<Replica>),
    /// Nobody: of a framework that makes no records.
    Nobody,
}

/// The records of a framework that are kept at the masters, for those who read them here.
#[derive(Clone, Default)]
pub(crate) struct Copy(Arc<Mutex<Records>>);

impl Copy {
    pub(crate) fn new(records: Records) -> Self {
        Self(Arc::new(Mutex::new(records)))
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records at the masters: a copy of them, and the journal that brings what is new there.
pub(crate) struct Replica {
    pub(crate) journal: Journal,
    copy: Copy,
    /// Bytes of the records.
    used: usize,
    retry: Option<Instant>,
}

impl Replica {
    pub(crate) fn new(journal: Journal, copy: Copy) -> Self {
        let bytes = |(key, value): (&Vec<u8>, &Vec<u8>)| crate::core::record_bytes(key, value);
        let used = copy.read().iter().map(bytes).sum();
        Self { journal, copy, used, retry: None }
    }

    fn keep(&mut self, writes: &[Write]) {
        let mut records = self.copy.read();
        for Write { key, value } in writes {
            let old = match value {
                Some(value) => {
                    self.used += crate::core::record_bytes(key, value);
                    records.insert(key.clone(), value.clone())
                }
                None => records.remove(key),
            };
            self.used -= old.map_or(0, |old| crate::core::record_bytes(key, &old));
        }
        drop(records);
        self.journal.append(writes);
    }

    /// What is to be asked of the masters, with numbers of its own.
    pub(crate) fn asks(&mut self, now: Instant) -> Vec<(u64, StateAsk)> {
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.journal.retry();
        }
        let asks = self.journal.asks(&self.copy.read());
        asks.into_iter().map(|(number, ask)| (JOURNAL | number, ask)).collect()
    }

    /// Whether an answer is the journal's.
    pub(crate) fn asked(request: u64) -> bool {
        request & JOURNAL != 0
    }

    pub(crate) fn answered(
        &mut self,
        request: u64,
        outcome: StateOutcome,
        now: Instant,
    ) -> Result<(), Fenced> {
        self.journal.answered(request & !JOURNAL, outcome)?;
        if self.retry.is_none()
            && let Some(why) = self.journal.refused()
        {
            tracing::warn!("the masters take no records of the framework now: {why}");
            self.retry = Some(now + RETRY);
        }
        Ok(())
    }

    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    pub(crate) fn room(&self) -> Room {
        Room { used: self.used, refused: self.journal.refused().cloned() }
    }
}

impl Keeper {
    /// Whether effects that open and hold the connection go before the records of their turn: the
    /// records need it.
    pub(crate) fn is_at_masters(&self) -> bool {
        matches!(self, Self::Masters(_))
    }

    /// The directory, if it is one.
    pub(crate) fn store(&self) -> Option<&Arc<Store>> {
        match self {
            Self::Directory(store, _) => Some(store),
            Self::Masters(_) | Self::Nobody => None,
        }
    }

    /// Takes the records of a turn. The directory tells of it when they are durable.
    pub(crate) fn commit(
        &mut self,
        writes: Vec<Write>,
        done: &mpsc::UnboundedSender<CommitResult>,
    ) {
        match self {
            Self::Directory(_, committer) => {
                let mut batch = Batch::new();
                for Write { key, value } in writes {
                    match value {
                        Some(value) => batch.put(key, value),
                        None => batch.delete(key),
                    }
                }
                let done = done.clone();
                committer.submit(batch, move |result| {
                    // Nobody listens any more once the loop has ended.
                    let _ = done.send(result);
                });
            }
            Self::Masters(replica) => replica.keep(&writes),
            Self::Nobody => {
                // Nobody listens any more once the loop has ended.
                let _ = done.send(Ok(0));
            }
        }
    }
}
