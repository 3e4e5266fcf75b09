//! The thread that makes changes durable: one commit at a time, what gathers meanwhile is the next.
//!
//! A commit that found the disk full changed nothing; its changes come back, so that they can be
//! tried again in their place. After any other failure the store is closed for good.

use super::Change;
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
    /// Nothing was changed, because the disk is full: here are the changes.
    Full(Vec<Change>, Arc<StoreError>),
    /// What the disk holds is unknown: the process must end.
    Failed(Arc<StoreError>),
}

/// Hands changes to the thread.
pub(crate) struct Writer {
    orders: Option<Sender<Vec<Change>>>,
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
    ) -> Result<(Self, UnboundedReceiver<Committed>), std::io::Error> {
        let (orders, waiting) = channel::<Vec<Change>>();
        let (answers, committed) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                while let Ok(changes) = waiting.recv() {
                    if !commit(&*store, changes, &answers) {
                        return;
                    }
                }
            })?;
        Ok((Self { orders: Some(orders), thread: Some(thread) }, committed))
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
fn commit(store: &dyn Storage, changes: Vec<Change>, answers: &UnboundedSender<Committed>) -> bool {
    let mut batch = Batch::new();
    for (key, value) in &changes {
        match value {
            Some(value) => batch.put(key.as_slice(), value.as_slice()),
            None => batch.delete(key.as_slice()),
        }
    }
    fail::fail_point!("commit-begins");
    let answer = match store.commit(batch) {
        Ok(()) => Committed::Durable,
        Err(error @ StoreError::Full { .. }) => Committed::Full(changes, Arc::new(error)),
        Err(error) => Committed::Failed(Arc::new(error)),
    };
    fail::fail_point!("commit-durable");
    let go_on = !matches!(answer, Committed::Failed(_));
    answers.send(answer).is_ok() && go_on
}
