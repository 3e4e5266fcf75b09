//! The member of the group that this master is: the log on a thread of its own, and the handle
//! that hands facts in.
//!
//! The log's loop has its own runtime, so that a long step of the core never keeps it from its
//! signs of life, nor the disk from its next commit.

use super::records::{self, Records};
use super::{Confirmed, Done, Registrar, RegistrarError};
use crate::Config;
use crate::registry_record::{self, Completed};
use ::registrar::{Change, Failure, Lease, Loss, MemberId, Role, Status, Stopped};
use master_core::{Registry, RegistryOp};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use store::{Batch, Home};
use tokio::sync::watch;

/// Bytes of an entry from which on more facts go into the next one: what fits into one record of
/// the log need not be cut.
const ENTRY_BYTES: usize = 4 << 10;

/// Between two questions to a majority whether this member still leads.
const CONFIRM_AGAIN: Duration = Duration::from_millis(10);

/// What there is to say where facts are not kept.
#[derive(Clone)]
struct Fate {
    /// Why the member ended by itself, if it did.
    end: Arc<OnceLock<Stopped>>,
    /// The data directory.
    dir: PathBuf,
}

impl Fate {
    fn of(&self, failure: Failure) -> RegistrarError {
        match (failure, self.end.get()) {
            (Failure::Ended, Some(stopped)) => RegistrarError::Stopped(stopped.clone()),
            (Failure::Ended, None) => RegistrarError::Ended,
            (failure, _) => RegistrarError::Refused { dir: self.dir.clone(), failure },
        }
    }
}

/// The member of the group that a master runs, whatever part it plays. Its disk is let go of when
/// this and everything that is under way with it are gone.
pub struct Member {
    handle: Arc<Handle>,
    cluster_id: Arc<str>,
    id: MemberId,
}

/// The way to the member for those who must not keep it from ending.
#[derive(Clone)]
pub(crate) struct Asks(Weak<Handle>);

/// The handle, and the thread that ends with it.
struct Handle {
    registrar: Option<::registrar::Registrar<Records>>,
    runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<()>>,
    fate: Fate,
    /// The data directory: locked until the member is gone.
    _home: Arc<Home>,
}

impl Handle {
    fn registrar(&self) -> &::registrar::Registrar<Records> {
        self.registrar.as_ref().expect("it is there until the drop")
    }
}

impl Drop for Handle {
    /// Waits until the disk is let go of: the directory is free then.
    fn drop(&mut self) {
        drop(self.registrar.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has printed its message.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asks")
    }
}

/// What the thread says once the member runs, or does not.
type Began =
    Result<(::registrar::Registrar<Records>, tokio::runtime::Handle), ::registrar::RegistrarError>;

/// The thread.
fn run(config: ::registrar::Config, tell: &Sender<Result<Began, io::Error>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever waits is there until it was told.
            let _ = tell.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let (registrar, task) = match ::registrar::start(config, Records::default()) {
            Ok(started) => started,
            Err(error) => {
                let _ = tell.send(Ok(Err(error)));
                return;
            }
        };
        let _ = tell.send(Ok(Ok((registrar, tokio::runtime::Handle::current()))));
        ended(task).await;
    });
}

/// Says why the member ended, if it was not let go of.
async fn ended(task: tokio::task::JoinHandle<Result<(), Stopped>>) {
    match task.await {
        Ok(Ok(()) | Err(Stopped::Lost(Loss::Removed))) => {}
        Ok(Err(stopped)) => tracing::error!(%stopped, "the registrar stopped"),
        Err(panic) => tracing::error!(%panic, "the registrar stopped"),
    }
}

impl Member {
    /// Starts the member of a data directory.
    pub(super) fn start(
        config: ::registrar::Config,
        home: &Arc<Home>,
    ) -> Result<Self, RegistrarError> {
        let (tell, told) = channel();
        let (cluster_id, id) = (Arc::clone(&config.group), config.id);
        let thread = std::thread::Builder::new()
            .name("registrar".to_owned())
            .spawn(move || run(config, &tell))
            .map_err(RegistrarError::Thread)?;
        // Without a word only if it panicked.
        let began = match told.recv() {
            Ok(Ok(began)) => began.map_err(RegistrarError::from),
            Ok(Err(error)) => Err(RegistrarError::Thread(error)),
            Err(_) => Err(RegistrarError::Ended),
        };
        let (registrar, runtime) = match began {
            Ok(began) => began,
            Err(error) => {
                // Until then the disk is locked. A panic there has printed its message.
                let _ = thread.join();
                return Err(error);
            }
        };
        let fate = Fate { end: registrar.end(), dir: home.dir().to_owned() };
        let (registrar, thread, home) = (Some(registrar), Some(thread), Arc::clone(home));
        let handle = Arc::new(Handle { registrar, runtime, thread, fate, _home: home });
        Ok(Self { handle, cluster_id, id })
    }

    /// Its id in the group.
    pub(crate) fn id(&self) -> MemberId {
        self.id
    }

    /// The cluster whose registry this is.
    pub(crate) fn cluster_id(&self) -> &Arc<str> {
        &self.cluster_id
    }

    /// How it stands; changes are to be waited for.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.handle.registrar().status()
    }

    /// What other members talk to.
    pub(crate) fn service(&self) -> ::registrar::Service {
        self.handle.registrar().service()
    }

    /// Where the member runs: what other members say is best read there.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.handle.runtime
    }

    pub(crate) fn asks(&self) -> Asks {
        Asks(Arc::downgrade(&self.handle))
    }

    /// Why it ended.
    pub(crate) fn end(&self) -> RegistrarError {
        self.handle.fate.of(Failure::Ended)
    }

    /// All records there are, at the least those that were agreed upon before the call.
    pub(super) async fn records(&self) -> Result<Records, RegistrarError> {
        // A copy, so that signs of life go out while it is being read.
        let copied = self.handle.registrar().read(Records::clone).await;
        copied.map_err(|failure| self.handle.fate.of(failure))
    }

    /// One record alone, as new as with `records`.
    pub(super) async fn record(&self, key: &'static [u8]) -> Result<Records, RegistrarError> {
        let copied = self.handle.registrar().read(move |records| records.only(key)).await;
        copied.map_err(|failure| self.handle.fate.of(failure))
    }

    /// Makes the changes of a batch, durably.
    pub(super) async fn write(&self, batch: &Batch) -> Result<(), RegistrarError> {
        let proposed = self.handle.registrar().propose(records::entry(batch)).await;
        proposed.map(|_| ()).map_err(|failure| self.handle.fate.of(failure))
    }

    /// Who makes facts durable while this member leads in `term`, and in no other one.
    pub(super) fn leading(&self, term: u64, completed: Completed) -> Leading {
        let (handle, lease) = (Arc::clone(&self.handle), self.handle.registrar().lease());
        let status = self.status();
        Leading { handle, term, completed, backlog: Arc::default(), lease, status }
    }

    /// The same runtime for what has to wait outside of any.
    pub(super) fn block_on<T: Send>(&self, done: impl Future<Output = T> + Send) -> T {
        // On a thread of its own: the caller may be one of a runtime.
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.handle.runtime.block_on(done));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Asks {
    fn handle(&self) -> Result<Arc<Handle>, Failure> {
        self.0.upgrade().ok_or(Failure::Ended)
    }

    /// Another member should lead.
    pub(crate) async fn transfer(&self, to: Option<MemberId>) -> Result<(), Failure> {
        self.handle()?.registrar().transfer(to).await
    }

    /// Changes the members, all or none; returns once that is agreed upon.
    pub(crate) async fn change(&self, changes: Vec<Change>) -> Result<u64, Failure> {
        self.handle()?.registrar().change(changes).await
    }

    /// The facts as they are known here, which may be old, and up to which entry of the log.
    pub(crate) async fn facts(&self, config: &Config) -> Result<(Registry, u64), RegistrarError> {
        let handle = self.0.upgrade().ok_or(RegistrarError::Ended)?;
        let index = handle.registrar().status().borrow().applied;
        let copied = handle.registrar().peek(Records::clone).await;
        let records = copied.map_err(|failure| handle.fate.of(failure))?;
        let config = config.clone();
        // Many facts take a while to read.
        let read = tokio::task::spawn_blocking(move || super::read_facts(&records, &config)).await;
        let (registry, ..) = read.map_err(|_| RegistrarError::Ended)??;
        Ok((registry, index))
    }

    /// Returns if the member leads in `term`, at least until it was asked. A majority is asked only
    /// where nothing was heard of it for a while.
    ///
    /// # Errors
    /// It does not, or cannot know.
    pub(crate) async fn surely_lead(&self, term: u64) -> Result<(), Failure> {
        let handle = self.handle()?;
        let registrar = handle.registrar();
        if registrar.lease().holds() && leads_in(&registrar.status().borrow(), term) {
            return Ok(());
        }
        registrar.confirm(term).await
    }
}

/// Makes facts durable while its member leads in a term.
pub(super) struct Leading {
    handle: Arc<Handle>,
    term: u64,
    completed: Completed,
    backlog: Arc<AtomicUsize>,
    lease: Lease,
    status: watch::Receiver<Status>,
}

fn leads_in(status: &Status, term: u64) -> bool {
    status.role == Role::Leader && status.term == term
}

impl Leading {
    /// The entries that make the facts of `ops`.
    fn entries(&mut self, ops: &[RegistryOp]) -> Vec<bytes::Bytes> {
        let (mut entries, mut batch) = (Vec::new(), Batch::new());
        for op in ops {
            let mut one = Batch::new();
            registry_record::write(op, &mut self.completed, &mut one);
            if !batch.is_empty() && batch.bytes() + one.bytes() > ENTRY_BYTES {
                entries.push(records::entry(&std::mem::take(&mut batch)));
            }
            batch.append(one);
        }
        entries.push(records::entry(&batch));
        entries
    }
}

impl Registrar for Leading {
    fn propose(&mut self, ops: Vec<RegistryOp>, done: Done) {
        let mut entries = self.entries(&ops);
        let registrar = self.handle.registrar();
        let last = entries.pop().expect("there is one at the least");
        let bytes = entries.iter().map(bytes::Bytes::len).sum::<usize>() + last.len();
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
        // Where an earlier one fails, the whole does, whatever becomes of the last one.
        let earlier = Arc::new(OnceLock::new());
        for entry in entries {
            let earlier = Arc::clone(&earlier);
            registrar.submit_in(self.term, entry, move |result| {
                if let Err(failure) = result {
                    // One reason is enough.
                    let _ = earlier.set(failure);
                }
            });
        }
        let (backlog, fate) = (Arc::clone(&self.backlog), self.handle.fate.clone());
        registrar.submit_in(self.term, last, move |result| {
            // Before whoever waits for it is told.
            backlog.fetch_sub(bytes, Ordering::Relaxed);
            let result = earlier.get().map_or(result.map(|_| ()), |failure| Err(failure.clone()));
            done(result.map_err(|failure| fate.of(failure)));
        });
    }

    fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    fn surely_leads(&self) -> bool {
        // The lease of a later term is none of this core's.
        self.lease.holds() && leads_in(&self.status.borrow(), self.term)
    }

    fn confirm(&self) -> Confirmed<'_> {
        Box::pin(async {
            while self.handle.registrar().confirm(self.term).await.is_err() {
                tokio::time::sleep(CONFIRM_AGAIN).await;
            }
        })
    }
}

#[cfg(test)]
mod tests;
