//! Reads that never hurt: operators read a copy of what the core knows, and never ask the core.
//!
//! The core publishes what changes; a thread of its own keeps the copy; a read gets a snapshot of
//! it, which costs a few microseconds however big the cluster is, and is written out on a second
//! thread that gives way to everything else on the machine. It must never wait for a reader, and
//! never make the core wait.

mod chunked;
mod model;
mod views;

use master_core::Change;
use model::Keeper;
pub(crate) use model::{AgentRow, FrameworkRow, Model, PastFramework, RoleShare, Share, holds};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Reads that are written out at a time; more wait. Each may hold an old snapshot.
const READS: usize = 256;
/// How much the thread that writes reads gives way, from 0 to 19.
const NICE: i32 = 10;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Ask {
    Apply(Vec<Change>),
    Snapshot(oneshot::Sender<Arc<Model>>),
}

/// Where reads come from.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    asks: mpsc::UnboundedSender<Ask>,
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Semaphore>,
    counts: Arc<ReadCounts>,
}

/// How reads ended.
#[derive(Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) done: AtomicU64,
    /// The reader was too slow, or left.
    pub(crate) cut_off: AtomicU64,
}

/// Where changes go to.
#[derive(Debug)]
pub(crate) struct Feed(mpsc::UnboundedSender<Ask>);

/// The reader is gone, or was cut off: nothing more need be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread;

/// The threads for reads are gone: the master is stopping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped;

impl Feed {
    /// Tells the copy of changes. Never waits.
    pub(crate) fn tell(&self, changes: Vec<Change>) {
        // Fails only when the master ends.
        let _ = self.0.send(Ask::Apply(changes));
    }
}

impl Reads {
    /// Starts the threads; they end with the last handle.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(completed_tasks: usize) -> io::Result<(Self, Feed)> {
        let (asks, mut asked) = mpsc::unbounded_channel();
        let mut keeper = Keeper::new(completed_tasks);
        let keep = move || {
            while let Some(ask) = asked.blocking_recv() {
                match ask {
                    Ask::Apply(changes) => changes.into_iter().for_each(|one| keeper.apply(one)),
                    // Who asked may have left.
                    Ask::Snapshot(reply) => drop(reply.send(Arc::new(keeper.snapshot()))),
                }
            }
        };
        std::thread::Builder::new().name("reads-model".to_owned()).spawn(keep)?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let write = move || {
            give_way();
            runtime.block_on(run(queue));
        };
        std::thread::Builder::new().name("reads-writer".to_owned()).spawn(write)?;
        let feed = Feed(asks.clone());
        let (places, counts) = (Arc::new(Semaphore::new(READS)), Arc::default());
        Ok((Self { asks, jobs, places, counts }, feed))
    }

    pub(crate) fn counts(&self) -> &Arc<ReadCounts> {
        &self.counts
    }

    /// Everything as it stands: at least all that was answered before this was called.
    ///
    /// # Errors
    /// When the master is stopping.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Model>, Stopped> {
        let (reply, snapshot) = oneshot::channel();
        self.asks.send(Ask::Snapshot(reply)).map_err(|_| Stopped)?;
        snapshot.await.map_err(|_| Stopped)
    }

    /// Writes a read out on the thread for reads, once there is a place for it.
    ///
    /// # Errors
    /// When the master is stopping.
    pub(crate) async fn write(
        &self,
        job: impl Future<Output = Result<(), Unread>> + Send + 'static,
    ) -> Result<(), Stopped> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Stopped)?;
        let counts = Arc::clone(&self.counts);
        let job = Box::pin(async move {
            let outcome = match job.await {
                Ok(()) => &counts.done,
                Err(Unread) => &counts.cut_off,
            };
            outcome.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
        self.jobs.send(job).map_err(|_| Stopped)
    }
}

async fn run(mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut running = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            job = queue.recv() => match job {
                Some(job) => drop(running.spawn(job)),
                None => return,
            },
            Some(_) = running.join_next() => {}
        }
    }
}

/// A read is never urgent: the thread takes what time others leave.
fn give_way() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(%error, "reads do not give way");
    }
}

#[cfg(test)]
mod tests;
