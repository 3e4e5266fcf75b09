//! The boundary of a framework's core: what comes in, and what its shell must do, in order.
//!
//! `Persist` is a barrier: no effect after it may leave the process before its writes are durable.

use super::driver::Signal;
use super::group::{GroupId, GroupSpec, SpecError};
use super::outcome::Outcome;
use proto::scheduler::{Call, Event, StateAsk, StateOutcome};
use proto::{AgentId, FrameworkId, TaskId};
use std::fmt;
use std::sync::Arc;

/// The number of a connection to a master, counted up by the core from 1.
pub type ConnectionId = u64;

/// One durable write: a key and its new value; without a value the key is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key; keys sort by kind, group and unit.
    pub key: Vec<u8>,
    /// The value, or nothing to delete the key.
    pub value: Option<Vec<u8>>,
}

/// What the shell of any driver must do with a master and the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these writes durable, all or none; a barrier for everything after it.
    Persist(Vec<Write>),
    /// Open a connection to this master (`host:port`) and answer with `Connected` or `Closed`.
    Connect {
        /// The connection's number.
        connection: ConnectionId,
        /// The master's address.
        master: Arc<str>,
    },
    /// Close the connection; whatever still arrives on it is ignored.
    Disconnect {
        /// The connection's number.
        connection: ConnectionId,
    },
    /// Send a call on a connection, in order.
    Send {
        /// The connection's number.
        connection: ConnectionId,
        /// The call.
        call: Box<Call>,
    },
    /// Answer a request of the framework's owner.
    Answer {
        /// The number that came with the request.
        request: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tell the framework's owner and those who watch.
    Notice(Notice),
    /// What became of a question or a write about what the masters keep for the framework.
    State {
        /// The number that came with it.
        request: u64,
        /// What became of it.
        outcome: StateOutcome,
    },
}

/// What a scheduler's core is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The deadline has passed.
    Tick,
    /// The connection is open.
    Connected {
        /// Its number.
        connection: ConnectionId,
    },
    /// The connection could not be opened, or it broke.
    Closed {
        /// Its number.
        connection: ConnectionId,
        /// The leading master, when the one that answered said so.
        leader: Option<Arc<str>>,
    },
    /// An event from the master.
    Event {
        /// The connection on which it came.
        connection: ConnectionId,
        /// The event.
        event: Event,
    },
    /// Take on a group of units.
    Submit {
        /// Comes back with the answer.
        request: u64,
        /// The group.
        spec: Box<GroupSpec>,
    },
    /// End a group, or one unit of it.
    Kill {
        /// Comes back with the answer.
        request: u64,
        /// The group.
        group: GroupId,
        /// The unit; all when absent.
        index: Option<u32>,
    },
    /// Change how many replicas a group keeps.
    Scale {
        /// Comes back with the answer.
        request: u64,
        /// The group.
        group: GroupId,
        /// The new count.
        count: u32,
    },
    /// Read or write what the masters keep for the framework.
    State {
        /// Comes back with what became of it.
        request: u64,
        /// What is asked for.
        ask: StateAsk,
    },
    /// Forget an ended group and all that is recorded of it.
    Forget {
        /// Comes back with the answer.
        request: u64,
        /// The group.
        group: GroupId,
    },
}

/// The answer to a request; it leaves when what it says is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The group is taken on under this id.
    Submitted(GroupId),
    /// A group with the same token was taken on before; nothing changed.
    AlreadySubmitted(GroupId),
    /// Done, or under way and durable.
    Done,
    /// Refused.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such group.
    UnknownGroup(GroupId),
    /// The group has no such unit.
    UnknownUnit {
        /// The group.
        group: GroupId,
        /// What was asked for.
        index: u32,
        /// How many units it has.
        count: u32,
    },
    /// Only replica groups can be scaled.
    NotScalable(GroupId),
    /// The group still has units that have not ended.
    StillLiving(GroupId),
    /// The token was used for a group with another specification.
    TokenTaken(GroupId),
    /// The specification cannot be taken on.
    Spec(SpecError),
    /// The records of the group, and of its units' ends, would be more than the masters keep.
    NoRoom {
        /// Bytes that it needs.
        needs: usize,
        /// Bytes of the records that there are.
        used: usize,
        /// Bytes promised to units that have not ended.
        promised: usize,
        /// The most that there may be.
        capacity: usize,
    },
    /// The masters have no room for any framework's records.
    MastersFull(Arc<str>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownGroup(group) => write!(f, "there is no {group}"),
            Self::UnknownUnit { group, index, count } => {
                write!(f, "{group} has no unit {index}: it has {count}, from 0")
            }
            Self::NotScalable(group) => write!(f, "{group} is a batch: its size is fixed"),
            Self::StillLiving(group) => write!(f, "{group} has not ended: kill it first"),
            Self::TokenTaken(group) => {
                write!(f, "the token was used for {group}, whose specification differs")
            }
            Self::Spec(error) => error.fmt(f),
            Self::NoRoom { needs, used, promised, capacity } => write!(
                f,
                "needs {needs} bytes of the masters' state; this framework's records may take \
                 {capacity}, {used} are used and {promised} are promised to what has not ended: \
                 wait for ends, submit fewer units, or run a framework with --state local"
            ),
            Self::MastersFull(why) => write!(f, "the masters take no more records now: {why}"),
        }
    }
}

/// News for the framework's owner; whatever it rests on is durable when it leaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The master knows the framework and talks to it.
    Subscribed(FrameworkId),
    /// The connection is gone; the driver connects again by itself.
    Disconnected,
    /// The master ended the framework and said why; the driver does not try again.
    Stopped(Arc<str>),
    /// A call was refused.
    Refused {
        /// The call's name.
        call: Arc<str>,
        /// The status code.
        code: u16,
        /// Why.
        message: Arc<str>,
    },
    /// A group was taken on.
    Submitted(GroupId),
    /// A unit changed.
    Unit {
        /// Its group.
        group: GroupId,
        /// Its index.
        index: u32,
        /// Its attempt, from 0.
        attempt: u32,
        /// What happened.
        change: UnitChange,
    },
    /// All units of a group ended (a ledger is complete; a replica group was killed).
    GroupEnded(GroupId),
    /// A task that is not ours, or no longer, was found and is being killed.
    Stray(TaskId),
    /// For a framework that decides everything by itself: what the driver has for it.
    Signal(Box<Signal>),
}

/// What happened to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitChange {
    /// It was given an agent; the launch is on its way.
    Launched(AgentId),
    /// It runs.
    Running,
    /// It is being killed.
    Killing,
    /// Its agent is out of reach.
    Unreachable,
    /// The attempt ended; the unit will be tried again.
    Retrying(Outcome),
    /// The unit ended for good.
    Ended(Outcome),
}
