//! A framework's records in what the masters keep for it, instead of in a directory.
//!
//! Batches of records become entries of a journal, one write each, and all that have come while
//! one was under way go together into the next. From time to time all records are written as a
//! snapshot, in pages beside the old one, and `head` is moved to it by compare-and-set; what was
//! before is deleted then. Every write but that of `head` itself is fenced by the version of
//! `head`: who takes the framework over moves it first, reads all after that, and so knows
//! everything that was ever acknowledged, and nothing more can be.
//!
//! At any moment what stands at the masters reads back as all records up to some batch, whole
//! batches, and no fewer than those that were reported durable.

mod layout;
mod opening;

use crate::core::boundary::Write;
use crate::core::record::RecordError;
pub use layout::Records;
pub(crate) use layout::record_bytes;
use layout::{HEAD, Head};
pub use opening::{head_key, taken_over};
use proto::scheduler::{STATE_BYTES, STATE_VALUE_BYTES, StateAsk, StateFence, StateOutcome};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Bytes of a stream under one key.
const PIECE: usize = STATE_VALUE_BYTES - 1;
/// Entries of the journal from which on a snapshot is taken: of the thousand keys of a framework
/// they leave most to others, and a start reads no more than these.
const MOST_ENTRIES: usize = 300;
/// Bytes of the journal from which on a snapshot is taken.
const MOST_BYTES: usize = 96 << 10;
/// Bytes of records that may be kept. Of the 1 MiB that a framework has there must be room for
/// them twice, as the new snapshot is written beside the old one, and for the journal with one
/// entry more than makes it too long.
pub(crate) const CAPACITY: usize = 3 * STATE_BYTES / 8;
/// Deletions under way at once.
const DELETIONS: usize = 32;

/// Why the framework's records at the masters cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalError {
    key: String,
    problem: String,
}

impl JournalError {
    fn new(key: &str, problem: impl Into<String>) -> Self {
        Self { key: key.to_owned(), problem: problem.into() }
    }

    /// A record of the framework is wrong.
    pub(crate) fn of_record(error: &RecordError) -> Self {
        Self { key: error.key.clone(), problem: error.problem.clone() }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.key.escape_debug(), self.problem)
    }
}

impl std::error::Error for JournalError {}

/// Another instance of the framework has moved `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced;

/// A key that is there.
type Held = (Arc<str>, u64);

/// A write or a deletion that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    Entry { bytes: usize, batches: u64 },
    Page,
    Head { head: Head, batches: u64 },
    Delete,
}

/// A snapshot on its way.
#[derive(Debug)]
struct Snapshot {
    head: Head,
    /// Batches that waited and are in it.
    batches: u64,
    /// Pages that are not written yet.
    missing: usize,
    written: Vec<Held>,
}

/// See the module. What it asks is asked of the masters in its order, and each answer comes back
/// under the number of what was asked.
#[derive(Debug)]
pub struct Journal {
    head: Head,
    head_version: u64,
    /// The number of the next entry.
    next: u64,
    /// The generation of the next snapshot; no page of it is there.
    next_generation: u64,
    /// The first name of a write; they count up.
    nonce: u64,
    requests: u64,
    under_way: BTreeMap<u64, (Deed, StateAsk)>,
    /// Encoded batches that are in no write yet.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    entries: Vec<Held>,
    entries_bytes: usize,
    pages: Vec<Held>,
    snapshot: Option<Snapshot>,
    garbage: Vec<Held>,
    /// Writes that the masters had no room for.
    refused: Vec<(Deed, StateAsk)>,
    why_refused: Option<Arc<str>>,
    durable: u64,
}

impl Journal {
    /// Takes a batch on: it is made durable whole.
    pub fn append(&mut self, writes: &[Write]) {
        let batch = layout::write_changes(writes);
        self.waiting_bytes += batch.len();
        self.waiting.push_back(batch);
    }

    /// How many of the batches that were taken on are durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// What must hold for this instance to subscribe: that nobody took over. Nothing while it is
    /// moving `head` itself.
    pub fn fence(&self) -> Option<StateFence> {
        let moving = self.under_way.values().any(|(deed, _)| matches!(deed, Deed::Head { .. }));
        (!moving).then(|| self.own_fence())
    }

    fn own_fence(&self) -> StateFence {
        StateFence { key: Arc::from(HEAD), version: self.head_version }
    }

    /// Why the masters do not take what is to be written, while that is so. Ask for
    /// [`retry`](Self::retry) after a while.
    pub fn refused(&self) -> Option<&Arc<str>> {
        self.why_refused.as_ref()
    }

    /// Gives what was refused another chance.
    pub fn retry(&mut self) {
        self.why_refused = None;
    }

    /// What is to be asked of the masters now, with the numbers under which the answers come back.
    /// `records` are all records, with every batch that was taken on.
    pub fn asks(&mut self, records: &Records) -> Vec<(u64, StateAsk)> {
        let mut asks = Vec::new();
        if self.why_refused.is_none() {
            for (deed, ask) in std::mem::take(&mut self.refused) {
                self.ask(deed, ask, &mut asks);
            }
            let writes = self.under_way.values().any(|(deed, _)| *deed != Deed::Delete);
            if !writes && self.snapshot.is_none() && !self.waiting.is_empty() {
                let next = self.waiting.front().map_or(0, Vec::len);
                if next <= PIECE && self.waiting_bytes <= 4 * PIECE && !self.is_long() {
                    self.write_entry(&mut asks);
                } else if self.is_tidy() {
                    self.begin_snapshot(records, &mut asks);
                }
            }
            self.finish_snapshot(&mut asks);
        }
        self.delete_garbage(&mut asks);
        asks
    }

    /// Whether nothing is left of older snapshots: there is room for a new one.
    fn is_tidy(&self) -> bool {
        self.garbage.is_empty() && self.under_way.is_empty()
    }

    fn is_long(&self) -> bool {
        self.entries.len() >= MOST_ENTRIES || self.entries_bytes >= MOST_BYTES
    }

    fn ask(&mut self, deed: Deed, ask: StateAsk, asks: &mut Vec<(u64, StateAsk)>) {
        self.requests += 1;
        self.under_way.insert(self.requests, (deed, ask.clone()));
        asks.push((self.requests, ask));
    }

    fn put(&mut self, key: String, value: Vec<u8>, version: u64, fenced: bool) -> StateAsk {
        self.nonce = self.nonce.wrapping_add(1);
        StateAsk::Put {
            key: key.into(),
            value: value.into(),
            version,
            write: Some(self.nonce),
            fence: fenced.then(|| self.own_fence()),
        }
    }

    /// As many batches as fit into one write.
    fn write_entry(&mut self, asks: &mut Vec<(u64, StateAsk)>) {
        let (mut stream, mut batches) = (Vec::new(), 0);
        while let Some(batch) = self.waiting.front()
            && stream.len() + batch.len() <= PIECE
        {
            stream.extend_from_slice(batch);
            self.waiting_bytes -= batch.len();
            self.waiting.pop_front();
            batches += 1;
        }
        let deed = Deed::Entry { bytes: stream.len(), batches };
        let ask = self.put(layout::entry_key(self.next), layout::seal(&stream), 0, true);
        self.next += 1;
        self.ask(deed, ask, asks);
    }

    /// Writes all records beside the old snapshot; what waited is in it.
    fn begin_snapshot(&mut self, records: &Records, asks: &mut Vec<(u64, StateAsk)>) {
        let mut stream = Vec::new();
        for (key, value) in records {
            layout::write_change(key, Some(value), &mut stream);
        }
        let batches = self.waiting.len() as u64;
        self.waiting.clear();
        self.waiting_bytes = 0;
        let generation = self.next_generation;
        self.next_generation += 1;
        let mut pages = 0;
        for page in stream.chunks(PIECE) {
            let ask = self.put(layout::page_key(generation, pages), layout::seal(page), 0, true);
            self.ask(Deed::Page, ask, asks);
            pages += 1;
        }
        let head = Head { generation, pages, first: self.next };
        let missing = pages as usize;
        self.snapshot = Some(Snapshot { head, batches, missing, written: Vec::new() });
    }

    /// Moves the head once all pages are there.
    fn finish_snapshot(&mut self, asks: &mut Vec<(u64, StateAsk)>) {
        let ready = self.snapshot.take_if(|snapshot| snapshot.missing == 0);
        let Some(Snapshot { head, batches, written, .. }) = ready else { return };
        self.garbage.append(&mut self.pages);
        self.garbage.append(&mut self.entries);
        self.entries_bytes = 0;
        self.pages = written;
        let ask = self.put(HEAD.to_owned(), head.write(), self.head_version, false);
        self.ask(Deed::Head { head, batches }, ask, asks);
    }

    /// What no head names any more. Not fenced: a version that is garbage is so for ever.
    fn delete_garbage(&mut self, asks: &mut Vec<(u64, StateAsk)>) {
        let busy = |(deed, _): &(Deed, StateAsk)| matches!(deed, Deed::Head { .. });
        if self.under_way.values().chain(&self.refused).any(busy) {
            // Until the head has moved, they are all that there is.
            return;
        }
        while self.under_way.len() < DELETIONS
            && let Some((key, version)) = self.garbage.pop()
        {
            self.ask(Deed::Delete, StateAsk::Delete { key, version }, asks);
        }
    }

    /// What became of something that was asked for.
    ///
    /// # Errors
    /// When another instance has taken over.
    pub fn answered(&mut self, number: u64, outcome: StateOutcome) -> Result<(), Fenced> {
        let Some((deed, ask)) = self.under_way.remove(&number) else { return Ok(()) };
        match (deed, outcome) {
            // It is gone, or somebody else's business.
            (Deed::Delete, _) => {}
            (deed, StateOutcome::Done { key, version }) => self.done(deed, key, version),
            (deed, StateOutcome::Refused { message }) => {
                self.why_refused = Some(message);
                self.refused.push((deed, ask));
            }
            (_, StateOutcome::Conflict { .. } | StateOutcome::Found(_)) => return Err(Fenced),
        }
        Ok(())
    }

    fn done(&mut self, deed: Deed, key: Arc<str>, version: u64) {
        match deed {
            Deed::Entry { bytes, batches } => {
                self.entries.push((key, version));
                self.entries_bytes += bytes;
                self.durable += batches;
            }
            Deed::Page => {
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.missing -= 1;
                    snapshot.written.push((key, version));
                }
            }
            Deed::Head { head, batches } => {
                self.head = head;
                self.head_version = version;
                self.durable += batches;
            }
            Deed::Delete => {}
        }
    }
}

#[cfg(test)]
mod tests;
