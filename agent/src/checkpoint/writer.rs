//! The thread that makes changes durable: one commit at a time, what gathers meanwhile is the next.
//!
//! What the disk has no room for is kept in the reserve, and put into the store with the next commit
//! that finds room. A commit that finds none there either changed nothing; its changes come back, so
//! that they can be tried again in their place. After any other failure the store is closed for good.

use super::{Change, Reserve};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use store::{Batch, Storage, StoreError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How a commit ended.
#[derive(Debug)]
pub(crate) enum Committed {
    /// All of it is durable.
    Durable,
    /// All of it is durable, in the reserve, because the disk is full.
    Reserved(Arc<StoreError>),
    /// Nothing was changed, because the disk and the reserve are full: here are the changes.
    Full(Vec<Change>, Arc<StoreError>),
    /// What the disk holds is unknown: the process must end.
    Failed(Arc<StoreError>),
}

/// Hands changes to the thread.
pub(crate) struct Writer {
    orders: Option<Sender<Vec<Change>>>,
    reserve: Arc<Reserve>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    /// Waits for the commit that is under way: the store is closed when the writer is gone.
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed by the thread.
            let _ = thread.join();
        }
    }
}

impl Writer {
    /// Starts the thread; its answers come in the order of the commits. It ends with the writer.
    pub(crate) fn start(
        store: Arc<dyn Storage>,
        reserve: Arc<Reserve>,
    ) -> Result<(Self, UnboundedReceiver<Committed>), std::io::Error> {
        let (orders, waiting) = channel::<Vec<Change>>();
        let own = Arc::clone(&reserve);
        let (answers, committed) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                while let Ok(changes) = waiting.recv() {
                    if !commit(&*store, &own, changes, &answers) {
                        return;
                    }
                }
            })?;
        Ok((Self { orders: Some(orders), reserve, thread: Some(thread) }, committed))
    }

    /// Makes the reserve of this size in the background, where there is room for it.
    pub(crate) fn make_reserve(&self, bytes: u64) {
        self.reserve.make(bytes);
    }

    /// Begins a commit. The caller waits for its answer before it begins another.
    pub(crate) fn commit(&self, changes: Vec<Change>) {
        // The thread ends only after it answered with a failure, which ends the agent.
        if let Some(orders) = &self.orders {
            let _ = orders.send(changes);
        }
    }
}

/// False when it makes no sense to go on.
fn commit(
    store: &dyn Storage,
    reserve: &Reserve,
    changes: Vec<Change>,
    answers: &UnboundedSender<Committed>,
) -> bool {
    fail::fail_point!("commit-begins");
    let reserved = reserve.changes();
    let answer = match store.commit(batch(reserved.iter().chain(&changes))) {
        Ok(()) if reserved.is_empty() => Committed::Durable,
        Ok(()) => match reserve.clear() {
            Ok(()) => Committed::Durable,
            Err(error) => Committed::Failed(Arc::new(error)),
        },
        Err(error @ StoreError::Full { .. }) => match reserve.keep(&changes) {
            true => Committed::Reserved(Arc::new(error)),
            false => Committed::Full(changes, Arc::new(error)),
        },
        // Others filled the disk in the middle of an earlier commit. Whoever opens the store anew
        // finds all of it in the reserve; that is for the time when the disk has room again.
        Err(error @ StoreError::Poisoned { .. })
            if !reserve.disk_has_room() && reserve.keep(&changes) =>
        {
            Committed::Reserved(Arc::new(error))
        }
        Err(error) => Committed::Failed(Arc::new(error)),
    };
    fail::fail_point!("commit-durable");
    let go_on = !matches!(answer, Committed::Failed(_));
    answers.send(answer).is_ok() && go_on
}

fn batch<'a>(changes: impl Iterator<Item = &'a Change>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key.as_slice(), value.as_slice()),
            None => batch.delete(key.as_slice()),
        }
    }
    batch
}

/// Puts what an earlier run of the agent left in the reserve into the store. Where the disk has no
/// room yet, the first commit that finds some does it.
///
/// # Errors
/// When the store cannot be written, or the reserve not be cleared.
pub(crate) fn take_over(store: &dyn Storage, reserve: &Reserve) -> Result<(), StoreError> {
    let reserved = reserve.changes();
    if reserved.is_empty() {
        return Ok(());
    }
    match store.commit(batch(reserved.iter())) {
        Ok(()) => reserve.clear(),
        Err(StoreError::Full { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
