//! What a member wants done.

use crate::members::{MemberId, Members};
use crate::message::Message;
use crate::records::{Entry, HardState, SnapshotMeta};
use bytes::Bytes;

/// What has to become durable, all or nothing, after all writes before it.
#[derive(Clone, Debug)]
pub struct Write {
    /// Counted from 1.
    pub number: u64,
    /// Its promises from now on.
    pub hard_state: HardState,
    /// Replaces the whole log and the snapshot, if there is one.
    pub snapshot: Option<(SnapshotMeta, Bytes)>,
    /// Follow each other. What the log has from the first one on goes.
    pub entries: Vec<Entry>,
    /// What was forgotten has been given back.
    pub recalled: bool,
}

/// Why something that was asked for was not done, and will not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another one leads, or nobody.
    #[error("this member does not lead")]
    NotLeading {
        /// Who leads, if it is known.
        leader: Option<MemberId>,
    },
    /// It stopped leading: what was proposed may still be agreed upon, or not.
    #[error("this member stopped leading before it was agreed upon: it may still come to pass")]
    LostLeadership,
    /// Too much waits to be agreed upon, or leadership is being handed over.
    #[error("too much waits to be agreed upon, or the lead is being handed over")]
    Busy,
    /// A change of the members is under way.
    #[error("another change of the members is under way")]
    ChangeUnderWay,
    /// The change makes no sense for the members there are.
    #[error("{0}")]
    Change(&'static str),
    /// No majority answered in time.
    #[error("no majority answered in time")]
    NoMajority,
}

/// Why a member must stop: the process must end, or at least this member of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Its state is not that of the others at the same index.
    #[error(
        "the state at index {index} differs from that of the other members (hash {ours:016x}, theirs {theirs:016x}): this member must be replaced"
    )]
    Diverged {
        /// Where.
        index: u64,
        /// Its hash.
        ours: u64,
        /// That of the others.
        theirs: u64,
    },
    /// A leader has its word for entries that it does not have, though its disk looks whole.
    #[error(
        "entries up to {acknowledged} were acknowledged and only those up to {last} are there: the disk lost writes, and this member must be replaced"
    )]
    Forgotten {
        /// What it acknowledged.
        acknowledged: u64,
        /// What it has.
        last: u64,
    },
    /// Another history was agreed upon than the one it has: two groups were mixed.
    #[error(
        "a leader has another entry at index {index}, which was agreed upon here: the members belong to different groups"
    )]
    OtherHistory {
        /// Where.
        index: u64,
    },
    /// It was removed from the group.
    #[error("this member was removed from the group")]
    Removed,
}

/// What part a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It wants to.
    Candidate,
    /// It follows, or waits for a leader.
    Follower,
}

/// What a member wants done. Each may be done at once; the order matters only where it says so.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make durable; answered by `Persisted`. Writes become durable in their order.
    Write(Write),
    /// Carry to its receiver, in order if possible; may get lost.
    Send(Message),
    /// As `Send`, together with the content of the snapshot of this index; answered by
    /// `SnapshotSent`.
    SendSnapshot {
        /// The message.
        message: Message,
        /// The index of the snapshot; if another one is there by now, it did not arrive.
        index: u64,
    },
    /// Apply to the state, in order with the others that touch it (`Restore`, `Hash`,
    /// `TakeSnapshot`, `Committed`, `ReadReady`).
    Apply {
        /// The entry's place.
        index: u64,
        /// The entry.
        data: Bytes,
    },
    /// Replace the state by that of a snapshot.
    Restore {
        /// Of which entry.
        index: u64,
        /// The content.
        content: Bytes,
    },
    /// The proposal is the entry at this index, agreed upon and just applied.
    Committed {
        /// The proposal's.
        id: u64,
        /// Its place.
        index: u64,
    },
    /// The proposal was not taken, or is out of sight.
    Dropped {
        /// The proposal's.
        id: u64,
        /// Why.
        reason: Refusal,
    },
    /// The state is now new enough for this read.
    ReadReady {
        /// The read's.
        id: u64,
        /// What the state has at the least.
        index: u64,
    },
    /// The read cannot be answered here.
    ReadDropped {
        /// The read's.
        id: u64,
        /// Why.
        reason: Refusal,
    },
    /// Who leads has changed.
    Role {
        /// The own part.
        role: Role,
        /// Who leads.
        leader: Option<MemberId>,
        /// Since which term.
        term: u64,
    },
    /// The members have changed. This one may be none of them: then it was removed, and goes on
    /// answering until it was told so.
    Members {
        /// The entry since which these are the members, or a later one.
        index: u64,
        /// All of them.
        members: Members,
    },
    /// Should it be started again, it comes back knowing these members or later ones: from now on
    /// it may say to who is none of them that it was removed. Not of one that was removed itself.
    MembersDurable {
        /// That of `Members`.
        index: u64,
    },
    /// Say the state's hash now; answered by `Hashed`.
    Hash {
        /// The last entry in it.
        index: u64,
    },
    /// Make a snapshot of the state as it is now durable; answered by `SnapshotTaken`.
    TakeSnapshot(SnapshotMeta),
    /// Entries up to this one are not needed any more. May be done whenever it suits, after the
    /// snapshot that replaces them is durable.
    Compact {
        /// The last one to go.
        index: u64,
        /// Its term.
        term: u64,
    },
    /// It must take part no more; nothing that it pushes later counts.
    Stop(Loss),
}
