//! What a member is told.

use crate::members::MemberId;
use crate::message::Message;
use bytes::Bytes;

/// An entry that somebody wants in the log.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Chosen by who proposes; named by what becomes of it.
    pub id: u64,
    /// For the state machine; not empty.
    pub data: Bytes,
}

/// A change of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more is told everything, and does not vote.
    AddLearner {
        /// Never a member before.
        member: MemberId,
        /// Where it is to be found.
        address: String,
    },
    /// A learner votes from now on.
    Promote {
        /// The learner.
        member: MemberId,
    },
    /// A member, of whatever kind, is found elsewhere from now on.
    Readdress {
        /// The member.
        member: MemberId,
        /// Where it is to be found; not empty.
        address: String,
    },
    /// A member is none any more; not the leader, which hands over first.
    Remove {
        /// The member.
        member: MemberId,
    },
}

impl Change {
    /// Whom it is about.
    pub fn member(&self) -> MemberId {
        match self {
            Self::AddLearner { member, .. }
            | Self::Promote { member }
            | Self::Readdress { member, .. }
            | Self::Remove { member } => *member,
        }
    }
}

/// What a member is told. Lists are for things that came together: they leave together.
#[derive(Clone, Debug)]
pub enum Input {
    /// The deadline has passed.
    Tick,
    /// Of other members.
    Messages(Vec<Message>),
    /// A message that brings a snapshot, with its content.
    Snapshot {
        /// The message.
        message: Message,
        /// The whole content, checked by whoever carried it.
        content: Bytes,
    },
    /// All writes up to this one are durable. They become durable in order.
    Persisted {
        /// The write's number.
        number: u64,
    },
    /// Entries for the log. Each is answered by `Committed` or by `Dropped`.
    Propose(Vec<Proposal>),
    /// Reads that must see everything agreed upon before now. Each is answered by `ReadReady` or
    /// by `ReadDropped`.
    Read(Vec<u64>),
    /// Changes of the members, all or none; several at once pass through a joint membership.
    /// Answered as a proposal is.
    Change {
        /// As of a proposal.
        id: u64,
        /// What changes.
        changes: Vec<Change>,
    },
    /// Another voter should lead.
    Transfer {
        /// Which; absent for the one that knows most.
        to: Option<MemberId>,
    },
    /// The answer to `Effect::Hash`.
    Hashed {
        /// The index that was asked for.
        index: u64,
        /// The state's hash at it.
        hash: u64,
    },
    /// The snapshot that `Effect::TakeSnapshot` asked for is durable.
    SnapshotTaken {
        /// Its index.
        index: u64,
        /// Bytes of its content.
        bytes: usize,
    },
    /// A snapshot has been carried to another member, or could not be.
    SnapshotSent {
        /// To whom.
        to: MemberId,
        /// Whether it arrived.
        arrived: bool,
    },
    /// Another member says that this one was removed.
    Removed {
        /// Which one says so.
        by: MemberId,
        /// The entry as of which it knows the members.
        index: u64,
    },
    /// Something that was to be sent to this member was not.
    Unreachable {
        /// Which.
        member: MemberId,
    },
}
