//! Group commit: one sync for everything that waits.
//!
//! A thread takes batches in order, merges all that are queued into one commit, and then calls
//! each one's callback in order. While it syncs, the next batches gather; so the rate of syncs
//! follows the disk, and the rate of batches follows the callers. Handing in never waits: who hands
//! in more than the disk takes looks at the backlog, and stops taking on work.
//!
//! Batches build on each other, so nothing follows one that the disk did not take: were a small
//! batch kept behind a big one for which there was no room, the store would have a hole.

use crate::{Batch, Storage, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// A commit is closed when it has so many bytes, so that one sync stays short; its last batch may
/// take it beyond.
pub const MAX_COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The number of the commit that made a batch durable (they count from 1), or why it is not.
pub type CommitResult = Result<u64, Arc<StoreError>>;

type Done = Box<dyn FnOnce(CommitResult) + Send>;

struct Waiting {
    batch: Batch,
    bytes: usize,
    done: Done,
}

/// Commits batches of many callers together.
pub struct GroupCommit {
    queue: Option<Sender<Waiting>>,
    /// Bytes of all batches that are not done.
    backlog: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl GroupCommit {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(storage: Arc<dyn Storage>) -> Result<Self, std::io::Error> {
        let (queue, waiting) = channel();
        let backlog = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&backlog);
        let thread = std::thread::Builder::new()
            .name("group-commit".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || run(&*storage, &waiting, &shared))?;
        Ok(Self { queue: Some(queue), backlog, thread: Some(thread) })
    }

    /// Hands in a batch. `done` is called exactly once, on the committing thread, in the order of
    /// the calls of `submit`, after the batch is durable or has failed; it must be quick.
    ///
    /// Once a commit has failed, whatever the reason, every later batch fails with the same error
    /// and reaches no disk. A batch that no disk could keep fails alone.
    ///
    /// An empty batch is a barrier: it is done when everything before it is. This never blocks,
    /// whatever the disk does; see [`GroupCommit::backlog`].
    pub fn submit(&self, batch: Batch, done: impl FnOnce(CommitResult) + Send + 'static) {
        let queue = self.queue.as_ref().expect("the queue lives until drop");
        let bytes = batch.bytes();
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
        queue
            .send(Waiting { batch, bytes, done: Box::new(done) })
            .expect("the thread lives until the queue is dropped");
    }

    /// Bytes of the batches that were handed in and are not done: who has handed in too many must
    /// wait for some to be done before it takes on more.
    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
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

fn run(storage: &dyn Storage, waiting: &Receiver<Waiting>, backlog: &AtomicUsize) {
    let mut sequence = 0;
    let mut failed: Option<Arc<StoreError>> = None;
    while let Ok(first) = waiting.recv() {
        let mut bytes = first.bytes;
        let mut merged = Batch::new();
        // Each with its own error, if it cannot be kept: its neighbours must not suffer.
        let mut dones = vec![admit(first, &mut merged)];
        while merged.bytes() < MAX_COMMIT_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.bytes;
            dones.push(admit(next, &mut merged));
        }
        let result = match &failed {
            Some(error) => Err(Arc::clone(error)),
            None => storage.commit(merged).map_err(Arc::new),
        };
        sequence += u64::from(result.is_ok());
        failed = result.as_ref().err().map(Arc::clone);
        // Before those who wait for it are told.
        backlog.fetch_sub(bytes, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Damaged, Scan};
    use std::sync::Mutex;

    /// A disk that hangs until it is let go.
    struct Hanging(Mutex<Receiver<()>>);

    impl Storage for Hanging {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
            Ok(None)
        }

        fn scan(&self, _: &[u8]) -> Scan<'_> {
            Box::new(std::iter::empty())
        }

        fn commit(&self, _: Batch) -> Result<(), StoreError> {
            // Ends when the other end is dropped.
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_hangs_holds_up_nobody_who_hands_in() {
        let (go, wait) = channel();
        let group = GroupCommit::start(Arc::new(Hanging(Mutex::new(wait)))).unwrap();
        let (done, results) = channel();
        let batches = 20_000;
        for n in 0..batches {
            let mut batch = Batch::new();
            batch.put(format!("key {n}").into_bytes(), vec![0; 100]);
            let done = done.clone();
            group.submit(batch, move |result| done.send(result.is_ok()).unwrap());
        }
        assert!(group.backlog() > 100 * batches, "{}", group.backlog());
        drop(go);
        assert_eq!(results.iter().take(batches).filter(|durable| *durable).count(), batches);
        assert_eq!(group.backlog(), 0);
    }
}
