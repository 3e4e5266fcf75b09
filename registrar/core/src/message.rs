//! What members say to each other.

use crate::codec::{Reader, Unreadable, Writer};
use crate::members::MemberId;
use crate::records::{SnapshotMeta, read_run, write_run};
use bytes::Bytes;
use raft::eraftpb::{self, MessageType};

/// A message from one member to another. Opaque: only a [`crate::Member`] makes and reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    /// Which start of the sender says so.
    pub(crate) incarnation: u64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Raft(Box<eraftpb::Message>),
    /// The state's hash at an index.
    Hash {
        index: u64,
        hash: u64,
    },
    /// The sender lost the end of its log: it has entries up to `last` only, whatever it said.
    Forgot {
        term: u64,
        last: u64,
    },
    /// A leader counts nothing any more that the receiver said before it forgot; when it has all
    /// up to `commit`, it has all that ever was agreed upon with its help.
    Recall {
        term: u64,
        commit: u64,
        /// For that start of the receiver only: a later one forgot more.
        asker: u64,
    },
}

const RAFT: u8 = 1;
const HASH: u8 = 2;
const FORGOT: u8 = 3;
const RECALL: u8 = 4;

/// The kinds that may come from a peer, and their numbers on the wire.
const KINDS: [(MessageType, u8); 11] = [
    (MessageType::MsgAppend, 1),
    (MessageType::MsgAppendResponse, 2),
    (MessageType::MsgRequestVote, 3),
    (MessageType::MsgRequestVoteResponse, 4),
    (MessageType::MsgSnapshot, 5),
    (MessageType::MsgHeartbeat, 6),
    (MessageType::MsgHeartbeatResponse, 7),
    (MessageType::MsgTimeoutNow, 8),
    (MessageType::MsgReadIndex, 9),
    (MessageType::MsgReadIndexResp, 10),
    (MessageType::MsgRequestPreVote, 11),
];
const PRE_VOTE_RESPONSE: (MessageType, u8) = (MessageType::MsgRequestPreVoteResponse, 12);

fn kind(number: u8) -> Option<MessageType> {
    let mut kinds = KINDS.iter().chain([&PRE_VOTE_RESPONSE]);
    kinds.find(|(_, of)| *of == number).map(|(kind, _)| *kind)
}

/// The number of a kind; none for those that never leave a member.
pub(crate) fn number(kind: MessageType) -> Option<u8> {
    let mut kinds = KINDS.iter().chain([&PRE_VOTE_RESPONSE]);
    kinds.find(|(of, _)| *of == kind).map(|(_, number)| *number)
}

impl Message {
    /// Who says it.
    pub fn from(&self) -> MemberId {
        self.from
    }

    /// To whom.
    pub fn to(&self) -> MemberId {
        self.to
    }

    /// The index of the snapshot whose content must go with it, if it brings one.
    pub fn snapshot(&self) -> Option<u64> {
        match &self.body {
            Body::Raft(message) if message.get_msg_type() == MessageType::MsgSnapshot => {
                Some(message.get_snapshot().get_metadata().index)
            }
            Body::Raft(_) | Body::Hash { .. } | Body::Forgot { .. } | Body::Recall { .. } => None,
        }
    }

    /// The form on the wire.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(128);
        writer.int(self.from.get());
        writer.int(self.to.get());
        writer.int(self.incarnation);
        match &self.body {
            Body::Raft(message) => {
                writer.byte(RAFT);
                write_raft(message, &mut writer);
            }
            Body::Hash { index, hash } => {
                writer.byte(HASH);
                writer.int(*index);
                writer.int(*hash);
            }
            Body::Forgot { term, last } => {
                writer.byte(FORGOT);
                writer.int(*term);
                writer.int(*last);
            }
            Body::Recall { term, commit, asker } => {
                writer.byte(RECALL);
                writer.int(*term);
                writer.int(*commit);
                writer.int(*asker);
            }
        }
        Bytes::from(writer.0)
    }

    /// From that form. Data of entries share the memory of `bytes`.
    ///
    /// # Errors
    /// Names what cannot be read; nothing was allocated beyond the size of `bytes`.
    pub fn decode(bytes: Bytes) -> Result<Self, Unreadable> {
        let mut reader = Reader(bytes);
        let mut member =
            |field| reader.int(field).and_then(|id| MemberId::new(id).ok_or(Unreadable { field }));
        let (from, to) = (member("sender")?, member("receiver")?);
        let incarnation = reader.int("incarnation")?;
        let body = match reader.byte("kind")? {
            RAFT => Body::Raft(Box::new(read_raft(&mut reader, from, to)?)),
            HASH => Body::Hash { index: reader.int("index")?, hash: reader.int("hash")? },
            FORGOT => Body::Forgot { term: reader.int("term")?, last: reader.int("index")? },
            RECALL => {
                let (term, commit) = (reader.int("term")?, reader.int("index")?);
                Body::Recall { term, commit, asker: reader.int("start")? }
            }
            _ => return Err(Unreadable { field: "kind" }),
        };
        reader.end("message")?;
        Ok(Self { from, to, incarnation, body })
    }
}

fn write_raft(message: &eraftpb::Message, writer: &mut Writer) {
    writer.byte(number(message.get_msg_type()).expect("others are never sent"));
    for value in [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.request_snapshot,
        message.reject_hint,
    ] {
        writer.int(value);
    }
    writer.byte(u8::from(message.reject));
    writer.bytes(&message.context);
    write_run(message.entries.iter(), writer);
    if message.get_msg_type() == MessageType::MsgSnapshot {
        writer.bytes(message.get_snapshot().get_data());
    }
}

/// What raft would take for its own word, or would not survive, is refused here already.
fn read_raft(
    reader: &mut Reader,
    from: MemberId,
    to: MemberId,
) -> Result<eraftpb::Message, Unreadable> {
    let mut message = eraftpb::Message::default();
    let kind = kind(reader.byte("kind")?).ok_or(Unreadable { field: "kind" })?;
    message.set_msg_type(kind);
    (message.from, message.to) = (from.get(), to.get());
    for (field, value) in [
        ("term", &mut message.term),
        ("term of the log", &mut message.log_term),
        ("index", &mut message.index),
        ("commit index", &mut message.commit),
        ("term of the commit", &mut message.commit_term),
        ("requested snapshot", &mut message.request_snapshot),
        ("hint", &mut message.reject_hint),
    ] {
        *value = reader.int(field)?;
        if *value > u64::MAX / 2 {
            return Err(Unreadable { field });
        }
    }
    message.reject = reader.flag("answer")?;
    message.context = reader.bytes("context")?;
    let entries = read_run(reader)?;
    let is_read = [MessageType::MsgReadIndex, MessageType::MsgReadIndexResp].contains(&kind);
    // Without a term it would be a word of the member itself.
    if (message.term == 0) != (kind == MessageType::MsgReadIndex) {
        return Err(Unreadable { field: "term" });
    }
    let fits = if kind == MessageType::MsgAppend {
        let mut term = message.log_term;
        // Raft takes no term for that of an entry it does not have.
        let has_place = term > 0 || message.index == 0;
        has_place
            && entries.iter().zip(message.index + 1..).all(|(entry, index)| {
                let ordered = entry.index == index && (term..=message.term).contains(&entry.term);
                term = entry.term;
                ordered
            })
    } else {
        entries.len() == usize::from(is_read)
    };
    if !fits {
        return Err(Unreadable { field: "entries" });
    }
    message.entries = entries.into();
    if kind == MessageType::MsgSnapshot {
        let meta = SnapshotMeta::decode(reader.bytes("snapshot")?)?;
        message.set_snapshot(meta.to_raft());
    }
    Ok(message)
}
