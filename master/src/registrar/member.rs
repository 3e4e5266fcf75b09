//! The member of the group that this master is: the log on a thread of its own, and the handle
//! that hands facts in.
//!
//! The log's loop has its own runtime, so that a long step of the core never keeps it from its
//! signs of life, nor the disk from its next commit.

use super::records::{self, Records};
use super::{Done, Registrar, RegistrarError};
use crate::registry_record::{self, Completed};
use ::registrar::{Failure, Role, Stopped};
use master_core::RegistryOp;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use store::{Batch, Home};

/// Bytes of an entry from which on more facts go into the next one: what fits into one record of
/// the log need not be cut.
const ENTRY_BYTES: usize = 4 << 10;

/// What there is to say where facts are not kept.
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

/// A member that leads.
pub(super) struct Leading {
    handle: Handle,
    fate: Arc<Fate>,
    completed: Completed,
    backlog: Arc<AtomicUsize>,
    /// The data directory: locked until the member is gone.
    _home: Arc<Home>,
}

/// The handle, and the thread that ends with it.
struct Handle {
    registrar: Option<::registrar::Registrar<Records>>,
    thread: Option<JoinHandle<()>>,
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

/// Starts the member of a data directory and waits until it leads; then `look` sees all records
/// there are. There is nobody else whom it would have to wait for.
pub(super) fn lead<R: Send + 'static>(
    config: ::registrar::Config,
    home: &Arc<Home>,
    look: impl FnOnce(&Records) -> R + Send + 'static,
) -> Result<(Leading, R), RegistrarError> {
    let (tell, told) = channel();
    let dir = home.dir().to_owned();
    let thread = std::thread::Builder::new()
        .name("registrar".to_owned())
        .spawn(move || run(config, dir, look, &tell))
        .map_err(RegistrarError::Thread)?;
    // Without a word only if it panicked.
    let began = told.recv().unwrap_or(Err(RegistrarError::Ended));
    let (registrar, fate, seen) = match began {
        Ok(began) => began,
        Err(error) => {
            // Until then the disk is locked. A panic there has printed its message.
            let _ = thread.join();
            return Err(error);
        }
    };
    let handle = Handle { registrar: Some(registrar), thread: Some(thread) };
    let backlog = Arc::new(AtomicUsize::new(0));
    let leading = Leading {
        handle,
        fate: Arc::new(fate),
        completed: Completed::new(),
        backlog,
        _home: Arc::clone(home),
    };
    Ok((leading, seen))
}

type Began<R> = Result<(::registrar::Registrar<Records>, Fate, R), RegistrarError>;

/// The thread.
fn run<R: Send + 'static>(
    config: ::registrar::Config,
    dir: PathBuf,
    look: impl FnOnce(&Records) -> R + Send + 'static,
    tell: &Sender<Began<R>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever waits is there until it was told.
            let _ = tell.send(Err(RegistrarError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        let (registrar, task) = match ::registrar::start(config, Records::default()) {
            Ok(started) => started,
            Err(error) => {
                let _ = tell.send(Err(error.into()));
                return;
            }
        };
        let fate = Fate { end: registrar.end(), dir };
        let began = begin(&registrar, look).await;
        let _ = tell.send(match began {
            Ok(seen) => Ok((registrar, fate, seen)),
            Err(failure) => {
                // Its last handle: it ends.
                drop(registrar);
                Err(fate.of(failure))
            }
        });
        ended(task).await;
    });
}

async fn begin<R: Send + 'static>(
    registrar: &::registrar::Registrar<Records>,
    look: impl FnOnce(&Records) -> R + Send + 'static,
) -> Result<R, Failure> {
    let mut status = registrar.status();
    status.wait_for(|now| now.role == Role::Leader).await.map_err(|_| Failure::Ended)?;
    registrar.read(look).await
}

/// Says why the member ended, if it was not let go of.
async fn ended(task: tokio::task::JoinHandle<Result<(), Stopped>>) {
    match task.await {
        Ok(Ok(())) => {}
        Ok(Err(stopped)) => tracing::error!(%stopped, "the registrar stopped"),
        Err(panic) => tracing::error!(%panic, "the registrar stopped"),
    }
}

impl Leading {
    /// Tells it which completed frameworks there are, oldest first.
    pub(super) fn completed(mut self, completed: Completed) -> Self {
        self.completed = completed;
        self
    }

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
        let registrar = self.handle.registrar.as_ref().expect("it is there until the drop");
        let last = entries.pop().expect("there is one at the least");
        let bytes = entries.iter().map(bytes::Bytes::len).sum::<usize>() + last.len();
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
        // Where an earlier one fails, the whole does, whatever becomes of the last one.
        let earlier = Arc::new(OnceLock::new());
        for entry in entries {
            let earlier = Arc::clone(&earlier);
            registrar.submit(entry, move |result| {
                if let Err(failure) = result {
                    // One reason is enough.
                    let _ = earlier.set(failure);
                }
            });
        }
        let (backlog, fate) = (Arc::clone(&self.backlog), Arc::clone(&self.fate));
        registrar.submit(last, move |result| {
            // Before whoever waits for it is told.
            backlog.fetch_sub(bytes, Ordering::Relaxed);
            let result = earlier.get().map_or(result.map(|_| ()), |failure| Err(failure.clone()));
            done(result.map_err(|failure| fate.of(failure)));
        });
    }

    fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
