//! Group commit: one sync for everything that waits.
//!
//! A thread takes batches in order, merges all that are queued into one commit, and then calls
//! each one's callback in order. While it syncs, the next batches gather; so the rate of syncs
//! follows the disk, and the rate of batches follows the callers.

use crate::{Batch, Storage, StoreError};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Batches that may wait; who submits more waits for the disk.
const QUEUE: usize = 4096;
/// A commit is closed when it has so many bytes, so that one sync stays short.
const MAX_COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The number of the commit that made a batch durable (they count from 1), or why it is not.
pub type CommitResult = Result<u64, Arc<StoreError>>;

type Done = Box<dyn FnOnce(CommitResult) + Send>;

struct Waiting {
    batch: Batch,
    done: Done,
}

/// Commits batches of many callers together.
pub struct GroupCommit {
    queue: Option<SyncSender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

impl GroupCommit {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(storage: Arc<dyn Storage>) -> Result<Self, std::io::Error> {
        let (queue, waiting) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("group-commit".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || run(&*storage, &waiting))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands in a batch. `done` is called exactly once, on the committing thread, in the order of
    /// the calls of `submit`, after the batch is durable or has failed; it must be quick.
    ///
    /// An empty batch is a barrier: it is done when everything before it is.
    pub fn submit(&self, batch: Batch, done: impl FnOnce(CommitResult) + Send + 'static) {
        let queue = self.queue.as_ref().expect("the queue lives until drop");
        queue
            .send(Waiting { batch, done: Box::new(done) })
            .expect("the thread lives until the queue is dropped");
    }
}

impl Drop for GroupCommit {
    /// Waits until everything that was handed in is done.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of a callback ended it; its message was printed by the thread.
            let _ = thread.join();
        }
    }
}

fn run(storage: &dyn Storage, waiting: &Receiver<Waiting>) {
    let mut sequence = 0;
    while let Ok(first) = waiting.recv() {
        let mut merged = Batch::new();
        // Each with its own error, if it cannot be kept: its neighbours must not suffer.
        let mut dones = vec![admit(first, &mut merged)];
        while merged.bytes() < MAX_COMMIT_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            dones.push(admit(next, &mut merged));
        }
        let result = storage.commit(merged).map_err(Arc::new);
        sequence += u64::from(result.is_ok());
        for (done, unfit) in dones {
            done(match unfit {
                Some(error) => Err(error),
                None => result.as_ref().map(|()| sequence).map_err(Arc::clone),
            });
        }
    }
}

fn admit(waiting: Waiting, merged: &mut Batch) -> (Done, Option<Arc<StoreError>>) {
    match waiting.batch.check() {
        Ok(()) => {
            merged.append(waiting.batch);
            (waiting.done, None)
        }
        Err(error) => (waiting.done, Some(Arc::new(error))),
    }
}
