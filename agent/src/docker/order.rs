//! What the agent wants of a container of the engine, and whether it still waits for it.

use crate::supervisor::task::Limits;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the agent wants of a container.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Kill(Duration),
    Signal(i32),
    Update(Limits),
    Usage,
    /// Its end is on record with the agent.
    Forget,
    /// The disk that it may take is exceeded.
    Exceeded {
        usage_bytes: u64,
        limit_bytes: u64,
    },
    /// Look whether anybody still waits for the launch ([`Answer`]).
    Abandon,
}

/// Whether the agent heard that a container runs, which decides whether it is asked after once the
/// supervisor was replaced: what is not answered then is given up, by both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is being made.
    Open,
    /// It was told to run.
    Given,
    /// Nobody waits for it any more.
    Unwanted,
}

/// The answer of one container, shared with who may give it up.
pub(crate) type Answering = Arc<Mutex<Answer>>;

pub(crate) fn answer(answering: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answering.lock().unwrap_or_else(PoisonError::into_inner)
}
