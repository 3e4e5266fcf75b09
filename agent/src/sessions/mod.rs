//! Sessions that people have in containers: their names, ends and limits, shared between the server,
//! which orders and hears, and the handlers of the API, which carry bytes.
//!
//! The supervisor runs a session's program on pipes or a terminal that are made here; it carries
//! nothing. So a slow client holds up its own session alone, and a session holds a few descriptors
//! and no memory of ours but the records that are under way.

mod ends;

pub(crate) use ends::{End, Ends};

use crate::containerizer::{ContainerEvent, WaitStatus};
use crate::supervisor::task::{LaunchError, Stdio};
use proto::agent_api::{ContainerPath, WindowSize};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Sessions at one time: on this agent, and in one container.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 8;
/// Sessions that are over and can still be waited for.
const OVER: usize = 256;

/// How far a session has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The supervisor has not answered.
    Asked,
    /// Its program runs.
    Running,
    /// It could not be started.
    Failed(LaunchError),
    /// Its program has ended, or died with its supervisor.
    Over(WaitStatus),
}

impl State {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Over(_))
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) path: ContainerPath,
    pub(crate) is_terminal: bool,
    state: watch::Sender<State>,
    /// Its input, while nobody has it; none once it was closed.
    input: Mutex<Option<Arc<End>>>,
}

impl Session {
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) -> State {
        let mut state = self.state();
        // The sender is ours, so it cannot be gone.
        let over = state.wait_for(State::is_over).await;
        over.map_or(State::Over(WaitStatus::Unknown), |state| state.clone())
    }

    /// Takes its input; none when another has it, or it is closed.
    pub(crate) fn take_input(&self) -> Option<Arc<End>> {
        lock(&self.input).take()
    }

    /// Gives its input back, so that another may go on.
    pub(crate) fn return_input(&self, input: Arc<End>) {
        if !self.state.borrow().is_over() {
            *lock(&self.input) = Some(input);
        }
    }

    /// Its terminal has another size; nothing without one.
    pub(crate) fn resize(&self, input: &End, size: WindowSize) {
        if self.is_terminal {
            // A size that cannot be set is a program that draws badly, no more.
            let _ = ends::resize(input, size);
        }
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("there is a session {0} already")]
    Exists(ContainerPath),
    #[error("{MOST} sessions are open on this agent: close one, or try again later")]
    TooMany,
    #[error("{MOST_OF_ONE} sessions are open in this container: close one, or try again later")]
    TooManyOfOne,
    #[error("its pipes or its terminal cannot be made: {0}")]
    Io(#[from] io::Error),
}

#[derive(Debug, Default)]
struct Known {
    next: u64,
    all: HashMap<u64, Arc<Session>>,
    names: HashMap<ContainerPath, u64>,
    /// Those that are over, oldest first.
    over: VecDeque<u64>,
}

/// All sessions.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    known: Arc<Mutex<Known>>,
    /// Where pipes are made.
    dir: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one panics half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// None as yet; what a former agent left in `dir` is removed.
    pub(crate) fn new(dir: PathBuf) -> Self {
        // There is none after a clean end.
        let _ = std::fs::remove_dir_all(&dir);
        // The supervisor may still tell of a former agent's sessions: they had other numbers.
        let next = uuid::Uuid::new_v4().as_u64_pair().0 >> 16;
        let known = Known { next, ..Known::default() };
        Self { known: Arc::new(Mutex::new(known)), dir }
    }

    /// Makes a session, with a terminal if one is wanted. The supervisor is to be asked then.
    ///
    /// Its place is taken first, and given back if its ends cannot be made: others need not wait for
    /// the disk.
    pub(crate) fn open(
        &self,
        path: &ContainerPath,
        terminal: Option<Option<WindowSize>>,
    ) -> Result<(Arc<Session>, Stdio, Ends), OpenError> {
        let session = self.reserve(path, terminal.is_some())?;
        let number = session.number;
        let made = match terminal {
            Some(size) => ends::terminal(size),
            None => ends::pipes(&self.dir.join(number.to_string())),
        };
        let (stdio, ends) = made.inspect_err(|error| {
            self.failed(number, LaunchError::Refused(error.to_string()));
        })?;
        *lock(&session.input) = Some(Arc::clone(&ends.input));
        Ok((session, stdio, ends))
    }

    /// Takes a place for a session, which has no ends yet.
    fn reserve(&self, path: &ContainerPath, terminal: bool) -> Result<Arc<Session>, OpenError> {
        let mut known = lock(&self.known);
        if known.names.contains_key(path) {
            return Err(OpenError::Exists(path.clone()));
        }
        let open = || known.all.values().filter(|session| !session.state.borrow().is_over());
        if open().count() >= MOST {
            return Err(OpenError::TooMany);
        }
        if open().filter(|session| session.path.parent == path.parent).count() >= MOST_OF_ONE {
            return Err(OpenError::TooManyOfOne);
        }
        let session = Arc::new(Session {
            number: known.next,
            path: path.clone(),
            is_terminal: terminal,
            state: watch::Sender::new(State::Asked),
            input: Mutex::new(None),
        });
        known.next += 1;
        known.all.insert(session.number, Arc::clone(&session));
        known.names.insert(path.clone(), session.number);
        Ok(session)
    }

    /// Both sides have opened them, or never will.
    fn remove_pipes(&self, number: u64) {
        let dir = self.dir.join(number.to_string());
        let remove = move || {
            // A terminal has none.
            let _ = std::fs::remove_dir_all(dir);
        };
        // Nobody waits for the disk when it can be helped.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }

    pub(crate) fn find(&self, path: &ContainerPath) -> Option<Arc<Session>> {
        let known = lock(&self.known);
        known.names.get(path).and_then(|number| known.all.get(number)).cloned()
    }

    /// Those whose programs run.
    pub(crate) fn running(&self) -> Vec<ContainerPath> {
        let known = lock(&self.known);
        let running = known.all.values().filter(|s| *s.state.borrow() == State::Running);
        let mut paths: Vec<_> = running.map(|session| session.path.clone()).collect();
        paths.sort();
        paths
    }

    /// Takes in what containerizers tell of sessions. Returns the number of one whose program is to
    /// be killed: it began after nobody waited for it any more.
    pub(crate) fn note(&self, event: &ContainerEvent) -> Option<u64> {
        match event {
            ContainerEvent::Entered { number, result: Ok(_), .. } => {
                self.remove_pipes(*number);
                return (!self.change(*number, State::Running)).then_some(*number);
            }
            ContainerEvent::Entered { number, result: Err(error), .. } => {
                self.failed(*number, error.clone());
            }
            ContainerEvent::Left { number, status } => {
                self.change(*number, State::Over(*status));
            }
            ContainerEvent::Lost { .. } => {
                let numbers: Vec<u64> = lock(&self.known).all.keys().copied().collect();
                for number in numbers {
                    self.remove_pipes(number);
                    self.change(number, State::Over(WaitStatus::Unknown));
                }
            }
            _ => {}
        }
        None
    }

    /// It was not started.
    pub(crate) fn failed(&self, number: u64, error: LaunchError) {
        self.remove_pipes(number);
        self.change(number, State::Failed(error));
    }

    /// False when it is over, or nobody knows it.
    fn change(&self, number: u64, state: State) -> bool {
        let mut known = lock(&self.known);
        let Some(session) = known.all.get(&number).cloned() else { return false };
        if session.state.borrow().is_over() {
            return false;
        }
        let failed = matches!(state, State::Failed(_));
        if state.is_over() {
            lock(&session.input).take();
            known.over.push_back(number);
        }
        session.state.send_replace(state);
        if failed {
            // Its name may be tried again at once.
            known.names.remove(&session.path);
        }
        while known.over.len() > OVER
            && let Some(oldest) = known.over.pop_front()
            && let Some(gone) = known.all.remove(&oldest)
            && known.names.get(&gone.path) == Some(&oldest)
        {
            known.names.remove(&gone.path);
        }
        true
    }
}

#[cfg(test)]
mod tests;
