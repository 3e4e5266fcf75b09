//! The registrar's core: one member of a group that keeps a log, the same on all of them.
//!
//! It wraps tikv's `raft`, which does the consensus, behind the two verbs of every core:
//! [`Member::step`] takes one input and pushes effects, [`Member::deadline`] says when the next
//! tick is due. What must be durable before something else leaves is held back here: an effect may
//! be performed as soon as it is pushed, and [`Effect::Write`] is answered by
//! [`Input::Persisted`]. It knows nothing of what the entries mean; a [`StateMachine`] does.
//!
//! Pure and synchronous: no I/O, no clock, no log, no entropy of its own; and nothing that a peer
//! or a disk says may make it panic.
#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod agreement;
mod codec;
mod effect;
mod input;
mod log;
mod machine;
mod member;
mod members;
mod message;
mod options;
mod records;
mod recovery;
mod roster;
#[cfg(feature = "testing")]
pub mod testing;

pub use codec::Unreadable;
pub use effect::{Effect, Loss, Refusal, Role, Write};
pub use input::{Change, Input, Proposal};
pub use machine::StateMachine;
pub use member::{Member, Status};
pub use members::{MemberId, Members};
pub use message::Message;
pub use options::Options;
pub use records::{Entry, HardState, Restored, SnapshotMeta};
pub use recovery::Alone;
pub use roster::{Greeting, Refused, Roster};
