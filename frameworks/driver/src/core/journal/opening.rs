//! The start: who takes over moves `head` and reads everything after that.

use super::layout::{self, HEAD, Head, Key, Records};
use super::{Journal, JournalError};
use proto::scheduler::StateEntry;
use std::collections::{BTreeMap, VecDeque};

/// The key that whoever takes over writes anew, with what [`taken_over`] makes of what it holds.
pub fn head_key() -> &'static str {
    HEAD
}

/// What to write under the head's key to take over from whoever wrote `held` there.
///
/// # Errors
/// When what is there is no head.
pub fn taken_over(held: Option<&[u8]>) -> Result<Vec<u8>, JournalError> {
    let head = held.map(Head::read).transpose()?.unwrap_or_default();
    Ok(head.write())
}

impl Journal {
    /// All records, and the journal to go on with, from everything that the masters keep for the
    /// framework, read after the head was moved to `head_version`. `nonce` is a number that nobody
    /// else draws: writes are named with it.
    ///
    /// # Errors
    /// When something is missing or cannot be read, or the head has moved on.
    pub fn open(
        kept: Vec<StateEntry>,
        head_version: u64,
        nonce: u64,
    ) -> Result<(Self, Records), JournalError> {
        let (mut head, mut pages, mut entries) = (None, BTreeMap::new(), BTreeMap::new());
        for entry in kept {
            match Key::read(&entry.key) {
                Some(Key::Head) => head = Some(entry),
                Some(Key::Page(generation, page)) => {
                    pages.insert((generation, page), entry);
                }
                Some(Key::Entry(number)) => {
                    entries.insert(number, entry);
                }
                None => {}
            }
        }
        let held = head.ok_or_else(|| JournalError::new(HEAD, "is missing"))?;
        if held.version != head_version {
            let problem = "was moved by another instance of the framework";
            return Err(JournalError::new(HEAD, problem));
        }
        let head = Head::read(&held.value)?;
        let mut journal = Self::new(head, head_version, nonce);
        let mut records = Records::new();
        let stream = journal.take_pages(pages)?;
        let name = format!("s/{:016x}", head.generation);
        layout::apply(&name, &stream, &mut records)?;
        journal.take_entries(entries, &mut records)?;
        Ok((journal, records))
    }

    fn new(head: Head, head_version: u64, nonce: u64) -> Self {
        Self {
            head,
            head_version,
            next: head.first,
            next_generation: head.generation.saturating_add(1),
            nonce,
            requests: 0,
            under_way: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            entries: Vec::new(),
            entries_bytes: 0,
            pages: Vec::new(),
            snapshot: None,
            garbage: Vec::new(),
            refused: Vec::new(),
            why_refused: None,
            durable: 0,
        }
    }

    /// The pages of the snapshot that counts, as one stream; all others are garbage.
    fn take_pages(
        &mut self,
        pages: BTreeMap<(u64, u32), StateEntry>,
    ) -> Result<Vec<u8>, JournalError> {
        let (mut stream, mut expected) = (Vec::new(), 0);
        let Head { generation, pages: count, .. } = self.head;
        for ((of, page), entry) in pages {
            self.next_generation = self.next_generation.max(of.saturating_add(1));
            if of != generation || page >= count {
                self.garbage.push((entry.key, entry.version));
                continue;
            }
            if page == expected {
                expected += 1;
            }
            stream.extend_from_slice(layout::open(&entry.key, &entry.value)?);
            self.pages.push((entry.key, entry.version));
        }
        if expected != count {
            return Err(JournalError::new(&layout::page_key(generation, expected), "is missing"));
        }
        Ok(stream)
    }

    /// What came after the snapshot, in its order; what came before is garbage.
    fn take_entries(
        &mut self,
        entries: BTreeMap<u64, StateEntry>,
        records: &mut Records,
    ) -> Result<(), JournalError> {
        for (number, entry) in entries {
            if number < self.head.first {
                self.garbage.push((entry.key, entry.version));
                continue;
            }
            if number != self.next {
                return Err(JournalError::new(&layout::entry_key(self.next), "is missing"));
            }
            let stream = layout::open(&entry.key, &entry.value)?;
            layout::apply(&entry.key, stream, records)?;
            self.entries_bytes += stream.len();
            self.entries.push((entry.key, entry.version));
            self.next = number.saturating_add(1);
        }
        Ok(())
    }
}
