//! The store that a framework has at the masters: a few keys with versioned values.
//!
//! It is replicated as all that the masters know, so that a framework which keeps in it what it must
//! not forget can be started on any machine. It is small (a thousand keys, 64 KiB a value, 1 MiB in
//! all), and each write takes a round of the masters: it is for
//! decisions, not for data.

pub use proto::scheduler::StateFence;
use proto::scheduler::{StateAsk, StateEntry, StateOutcome};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Hands a question to the loop; false when that has ended.
type Ask = dyn Fn(StateAsk, oneshot::Sender<StateOutcome>) -> bool + Send + Sync;

/// A handle on what the masters keep for the framework; clone it as you like.
///
/// Every write names the version that it replaces (compare and set): of two writers one loses, and
/// hears it. Versions of a framework count up and never come twice. What waits while no master
/// leads is asked of the next one; a write whose answer was lost on the way is not made twice, and
/// is told from another writer's of the same value. Should somebody have overwritten it meanwhile,
/// it is a conflict. It waits as long as it takes: put a bound around it where that is too long.
///
/// What is kept belongs to the framework's id. It outlives schedulers and masters, and goes when
/// the framework is torn down or does not come back within its failover timeout.
///
/// ```no_run
/// use driver::{Framework, StateError};
///
/// # async fn example(framework: &Framework) -> Result<(), Box<dyn std::error::Error>> {
/// let state = framework.state();
/// loop {
///     // Counts this start, whoever else counts at the same time.
///     let before = state.get("starts").await?;
///     let starts = match &before {
///         Some(held) => std::str::from_utf8(&held.value)?.parse::<u64>()?,
///         None => 0,
///     };
///     let expected = before.map_or(0, |held| held.version);
///     match state.put("starts", (starts + 1).to_string(), expected).await {
///         Ok(_) => break,
///         Err(StateError::Conflict { .. }) => continue,
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StateStore(Arc<Ask>);

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The version, at least 1: name it in the write that replaces this.
    pub version: u64,
    /// The value.
    pub value: Arc<[u8]>,
}

/// Why a key was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The key has another version than was expected. Nothing was changed.
    #[error("'{key}' has version {version}, which is not the one that was expected")]
    Conflict {
        /// The key.
        key: Arc<str>,
        /// The version that it has; 0 when it is not there.
        version: u64,
    },
    /// A limit: which, with the figures. Nothing was changed.
    #[error("{0}")]
    Refused(Arc<str>),
    /// The framework has ended; its task says why. What was under way may have been done.
    #[error("the framework has ended")]
    Ended,
}

/// A number that nobody else draws: each hasher of the standard library has keys of its own.
pub(crate) fn nonce() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateStore").finish_non_exhaustive()
    }
}

impl StateStore {
    pub(crate) fn new(
        ask: impl Fn(StateAsk, oneshot::Sender<StateOutcome>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    async fn ask(&self, ask: StateAsk) -> Result<StateOutcome, StateError> {
        let (reply, outcome) = oneshot::channel();
        if !(self.0)(ask, reply) {
            return Err(StateError::Ended);
        }
        match outcome.await.map_err(|_| StateError::Ended)? {
            StateOutcome::Conflict { key, version } => Err(StateError::Conflict { key, version }),
            StateOutcome::Refused { message } => Err(StateError::Refused(message)),
            outcome => Ok(outcome),
        }
    }

    /// What a key holds, with all writes before it in mind that were answered; `None` when it is
    /// not there.
    ///
    /// # Errors
    /// When the framework has ended.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned>, StateError> {
        let outcome = self.ask(StateAsk::Get { key: key.into() }).await?;
        let StateOutcome::Found(entries) = outcome else { return Ok(None) };
        let held = entries.into_iter().next();
        Ok(held.map(|StateEntry { version, value, .. }| Versioned { version, value }))
    }

    /// All keys that begin with `prefix`, in their order.
    ///
    /// # Errors
    /// When the framework has ended.
    pub async fn list(&self, prefix: &str) -> Result<Vec<StateEntry>, StateError> {
        match self.ask(StateAsk::List { prefix: prefix.into() }).await? {
            StateOutcome::Found(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// Writes a key that has the version `expected`, 0 meaning that it is not there; gives the new
    /// version. It is durable when this returns.
    ///
    /// # Errors
    /// When it has another version, or a limit is in the way.
    pub async fn put(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        expected: u64,
    ) -> Result<u64, StateError> {
        self.put_fenced(key, value, expected, None).await
    }

    /// Like [`put`](Self::put), if another key has the version that the fence names.
    ///
    /// Whoever moves that key on bars all who know only its older version, whatever they have
    /// under way: so an instance of a framework takes over from one that may still be alive.
    ///
    /// # Errors
    /// A conflict names the key whose version differs.
    pub async fn put_fenced(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        expected: u64,
        fence: Option<StateFence>,
    ) -> Result<u64, StateError> {
        let ask = StateAsk::Put {
            key: key.into(),
            value: value.as_ref().into(),
            version: expected,
            write: Some(nonce()),
            fence,
        };
        match self.ask(ask).await? {
            StateOutcome::Done { version, .. } => Ok(version),
            _ => Err(StateError::Ended),
        }
    }

    /// Deletes a key that has the version `expected`. It is durable when this returns.
    ///
    /// # Errors
    /// When it has another version.
    pub async fn delete(&self, key: &str, expected: u64) -> Result<(), StateError> {
        self.ask(StateAsk::Delete { key: key.into(), version: expected }).await.map(|_| ())
    }
}
