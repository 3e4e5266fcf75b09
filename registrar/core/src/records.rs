//! What a member keeps on disk, and in which form.

use crate::codec::{Reader, Unreadable, Writer};
use crate::members::Members;
use bytes::Bytes;
use raft::eraftpb::{self, EntryType};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry(pub(crate) eraftpb::Entry);

/// Bytes of the fixed fields of an entry.
const ENTRY_HEAD: usize = 1 + 8 + 4 + 4;

impl Entry {
    /// Its place in the log, from 1.
    pub fn index(&self) -> u64 {
        self.0.index
    }

    /// The term of the leader that made it.
    pub fn term(&self) -> u64 {
        self.0.term
    }

    /// Bytes of its encoded form.
    pub fn bytes(&self) -> usize {
        ENTRY_HEAD + self.0.data.len() + self.0.context.len()
    }

    /// Entries that follow each other, in the form for disk and wire.
    pub fn encode_run(entries: &[Self]) -> Vec<u8> {
        let bytes = entries.iter().map(Self::bytes).sum::<usize>();
        let mut writer = Writer::with_capacity(bytes + 16);
        write_run(entries.iter().map(|entry| &entry.0), &mut writer);
        writer.0
    }

    /// From that form.
    ///
    /// # Errors
    /// Names what cannot be read.
    pub fn decode_run(bytes: Bytes) -> Result<Vec<Self>, Unreadable> {
        let mut reader = Reader(bytes);
        let entries = read_run(&mut reader)?;
        reader.end("entries")?;
        Ok(entries.into_iter().map(Self).collect())
    }
}

pub(crate) fn write_run<'a>(
    entries: impl ExactSizeIterator<Item = &'a eraftpb::Entry>,
    writer: &mut Writer,
) {
    writer.int(entries.len() as u64);
    let mut first = true;
    for entry in entries {
        if std::mem::take(&mut first) {
            writer.int(entry.index);
        }
        writer.byte(match entry.entry_type {
            EntryType::EntryNormal => 0,
            EntryType::EntryConfChange => 1,
            EntryType::EntryConfChangeV2 => 2,
        });
        writer.int(entry.term);
        writer.bytes(&entry.data);
        writer.bytes(&entry.context);
    }
}

pub(crate) fn read_run(reader: &mut Reader) -> Result<Vec<eraftpb::Entry>, Unreadable> {
    let count = reader.int("number of entries")?;
    if count > (reader.0.len() / ENTRY_HEAD) as u64 {
        return Err(Unreadable { field: "number of entries" });
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let first = reader.int("index of an entry")?;
    if first > u64::MAX / 2 {
        return Err(Unreadable { field: "index of an entry" });
    }
    let mut entries = Vec::with_capacity(count as usize);
    for index in first..first + count {
        let mut entry = eraftpb::Entry::default();
        entry.set_entry_type(match reader.byte("kind of an entry")? {
            0 => EntryType::EntryNormal,
            2 => EntryType::EntryConfChangeV2,
            _ => return Err(Unreadable { field: "kind of an entry" }),
        });
        entry.index = index;
        entry.term = reader.int("term of an entry")?;
        entry.data = reader.bytes("data of an entry")?;
        entry.context = reader.bytes("context of an entry")?;
        entries.push(entry);
    }
    Ok(entries)
}

/// What a member promised: never forgotten, or it must not take part any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term it knows.
    pub term: u64,
    /// Whom it voted for in that term; zero for nobody.
    pub vote: u64,
    /// Up to where it knows the log to be agreed upon; may lag.
    pub commit: u64,
}

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry in it.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The members at that index.
    pub members: Members,
}

impl SnapshotMeta {
    /// The form on disk and on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.int(self.index);
        writer.int(self.term);
        writer.bytes(&self.members.encode());
        writer.0
    }

    /// From that form.
    ///
    /// # Errors
    /// Names what cannot be read.
    pub fn decode(bytes: Bytes) -> Result<Self, Unreadable> {
        let mut reader = Reader(bytes);
        let (index, term) = (reader.int("index")?, reader.int("term")?);
        if index == 0 || index > u64::MAX / 2 {
            return Err(Unreadable { field: "index" });
        }
        let members = Members::decode(reader.bytes("members")?)?;
        reader.end("snapshot")?;
        Ok(Self { index, term, members })
    }

    pub(crate) fn to_raft(&self) -> eraftpb::Snapshot {
        // The state itself is not raft's matter; this is what its messages carry of it.
        let data = Bytes::from(self.encode());
        let mut snapshot = eraftpb::Snapshot { data, ..eraftpb::Snapshot::default() };
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (self.index, self.term);
        meta.set_conf_state(self.members.conf_state());
        snapshot
    }
}

/// What a member finds on its disk when it starts.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Its promises.
    pub hard_state: HardState,
    /// Its newest snapshot; absent for one that waits to be told everything, as it has nothing or
    /// `forgot` it.
    pub snapshot: Option<SnapshotMeta>,
    /// Bytes of that snapshot's content.
    pub content_bytes: usize,
    /// Index and term of the entry before the first of `entries`.
    pub compacted: (u64, u64),
    /// Its log: without holes, and not ending before the snapshot.
    pub entries: Vec<Entry>,
    /// It has lost entries that it may have acknowledged, or the snapshot with all before it: it
    /// must not take part in elections until a leader has given them back.
    pub forgot: bool,
    /// Counts its starts, from 1: what an earlier one said does not count any more.
    pub incarnation: u64,
}

impl Restored {
    /// A founding member of a new group. All founders must say the same.
    pub fn founder(members: Members) -> Self {
        // Not from nothing: who joins later must be told of the founders by a snapshot.
        Self {
            hard_state: HardState { term: 1, vote: 0, commit: 1 },
            snapshot: Some(SnapshotMeta { index: 1, term: 1, members }),
            compacted: (1, 1),
            incarnation: 1,
            ..Self::default()
        }
    }

    /// One that was or will be added to a group that exists.
    pub fn newcomer() -> Self {
        Self { incarnation: 1, ..Self::default() }
    }
}
