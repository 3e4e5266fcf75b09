//! What the masters keep for a framework: a few keys with versioned values.
//!
//! Each write names the version that it expects (compare and set), so that of two writers one
//! loses and knows it, and a write whose answer was lost can be made again without harm. A
//! framework's versions count up with each of its writes and are never used twice. A write that
//! names itself is told from another's of the same value.

use std::sync::Arc;

/// Keys that the masters keep for a framework, unless they were told otherwise.
pub const STATE_KEYS: usize = 1000;
/// Bytes that they keep under one key, unless they were told otherwise.
pub const STATE_VALUE_BYTES: usize = 64 << 10;
/// Bytes that they keep for a framework, keys and values, unless they were told otherwise.
pub const STATE_BYTES: usize = 1 << 20;

/// A question or a write, and the number under which it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCall {
    /// The caller's: it comes back with the answer.
    pub number: u64,
    /// What is asked for.
    pub ask: StateAsk,
}

/// What is asked of a framework's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateAsk {
    /// Write a key.
    Put {
        /// Which.
        key: Arc<str>,
        /// In place of what it has.
        value: Arc<[u8]>,
        /// The version that it has; 0 when it is not to be there.
        version: u64,
        /// Drawn at random by the writer, and kept with the value: where the key has the value of
        /// this very write, it is done, whatever the versions. Without it every write is new.
        write: Option<u64>,
        /// What else must hold.
        fence: Option<StateFence>,
    },
    /// Delete a key.
    Delete {
        /// Which.
        key: Arc<str>,
        /// The version that it has.
        version: u64,
    },
    /// Read a key.
    Get {
        /// Which.
        key: Arc<str>,
    },
    /// Read all keys that begin so.
    List {
        /// Their beginning; nothing for all.
        prefix: Arc<str>,
    },
}

impl StateAsk {
    /// The call's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "STATE_PUT",
            Self::Delete { .. } => "STATE_DELETE",
            Self::Get { .. } => "STATE_GET",
            Self::List { .. } => "STATE_LIST",
        }
    }
}

/// A key, and the version that it must have for something else to be done.
///
/// Whoever moves the key on bars all others, whatever they have under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFence {
    /// Which.
    pub key: Arc<str>,
    /// The version; 0 when it is not to be there.
    pub version: u64,
}

/// The answer to a [`StateCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAnswer {
    /// The call's.
    pub number: u64,
    /// What became of it.
    pub outcome: StateOutcome,
}

/// What became of a question or a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateOutcome {
    /// It is written or deleted, durably.
    Done {
        /// The key.
        key: Arc<str>,
        /// The version that it has now; 0 when it is gone.
        version: u64,
    },
    /// What is there, in the order of the keys.
    Found(Vec<StateEntry>),
    /// The key has another version than the one that was named; nothing is changed.
    Conflict {
        /// The key: that of the write, or that of its fence.
        key: Arc<str>,
        /// The version that it has; 0 when it is not there.
        version: u64,
    },
    /// It may not be: a limit. Nothing is changed.
    Refused {
        /// Which limit, with the figures.
        message: Arc<str>,
    },
}

/// A key with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: Arc<str>,
    /// The version of the value, at least 1.
    pub version: u64,
    /// The value.
    pub value: Arc<[u8]>,
}
