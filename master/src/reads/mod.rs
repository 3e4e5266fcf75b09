//! Reads that never hurt: operators read a copy of what the core knows, and never ask the core.
//!
//! The core publishes what changes; a thread of its own keeps the copy; a read gets a snapshot of
//! it, which costs a few microseconds however big the cluster is, and is written out on a second
//! thread that gives way to everything else on the machine and takes a bounded part of it. That
//! thread also serves the connections of operators, so that the core's thread has no part in what
//! they read. It must never wait for a reader, and never make the core wait.

mod chunked;
mod feed;
mod model;
mod pace;
mod places;
pub(crate) mod views;
mod watch;
mod weight;
mod whole;

use crate::connections::Outbox;
use crate::listen::{Origin, Peer};
use bytes::Bytes;
pub(crate) use chunked::{Form, Run};
pub(crate) use feed::{Feed, Lag};
use grpc::{Encoded, Status};
use master_core::Change;
use model::Keeper;
pub(crate) use model::{AgentRow, FrameworkRow, Model, PastFramework, RoleShare, Share, holds};
pub(crate) use pace::Pace;
use places::Places;
pub(crate) use places::{Held, ReadLimits};
use proto::operator::Resume;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use watch::Watch;
pub(crate) use watch::{Beginning, Happened, WatchCounts};
use whole::Whole;
pub(crate) use whole::{Place, SMALL};

/// Reads whose answers are kept whole that are made at a time; more wait, for nobody who reads.
const KEPT_READS: usize = 256;
/// How much the thread that serves reads gives way, from 0 to 19.
const NICE: i32 = 10;
/// So long after the newest read what was written for reads is kept.
const KEPT: Duration = Duration::from_secs(5);

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Ask {
    Apply(Vec<Change>),
    /// The copy fell behind: nothing more comes until all of it comes anew.
    Behind,
    Anew(Vec<Change>),
    Snapshot(oneshot::Sender<Arc<Model>>),
    Watch {
        watcher: Outbox<Arc<Happened>>,
        resume: Option<Resume>,
        reply: oneshot::Sender<Beginning>,
    },
}

/// Where reads come from.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    asks: mpsc::UnboundedSender<Ask>,
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Places>,
    /// The places of what is kept whole, which waits for no reader.
    kept: Arc<Semaphore>,
    whole: Arc<Whole>,
    counts: Arc<ReadCounts>,
    watch_counts: Arc<WatchCounts>,
    pace: Arc<Pace>,
    newest: Arc<Newest>,
    runtime: Handle,
    lag: Arc<Lag>,
}

/// When a snapshot was last taken, and the snapshot.
#[derive(Debug, Default)]
struct Newest(Mutex<Option<(Instant, Arc<Model>)>>);

impl Newest {
    fn set(&self, model: &Arc<Model>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(model)));
    }

    /// Lets go of what was written for reads, once nobody has read for a while.
    fn forget_if_old(&self) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, model)) = newest.take_if(|(at, _)| at.elapsed() > KEPT) {
            model.forget_written();
        }
    }
}

/// How reads ended.
#[derive(Debug, Default)]
pub(crate) struct ReadCounts {
    pub(crate) done: AtomicU64,
    /// The reader was too slow, or left.
    pub(crate) cut_off: AtomicU64,
}

/// What is counted here for metrics.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) reads: Arc<ReadCounts>,
    pub(crate) watches: Arc<WatchCounts>,
    pub(crate) lag: Arc<Lag>,
}

/// The reader is gone, or was cut off: nothing more need be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread;

/// Why there is no answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The threads for reads are gone: the master is stopping.
    Stopping,
    /// The copy fell too far behind the core, and is being made anew.
    Behind,
    /// Too many big answers are being made, or wait to be read on this connection.
    Busy,
    /// Too many answers are being read, of all or of this address, and none ended in time.
    NoPlace(ReadLimits),
}

impl Reads {
    /// Starts the threads; they end with the last handle. A watcher that was cut off has `grace` to
    /// read why. Within a runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        completed_tasks: usize,
        grace: Duration,
        limits: ReadLimits,
    ) -> io::Result<(Self, Feed)> {
        let (asks, asked) = mpsc::unbounded_channel();
        let lag = Arc::<Lag>::default();
        let watch_counts = Arc::<WatchCounts>::default();
        let watch = Watch::new(grace, Arc::clone(&watch_counts));
        let copy = Copy::new(completed_tasks, watch, Arc::clone(&lag));
        let shell = tokio::runtime::Handle::current();
        let keep = move || {
            // Streams that are cut off are closed by the shell's own tasks.
            let _shell = shell.enter();
            copy.keep(asked);
        };
        std::thread::Builder::new().name("reads-model".to_owned()).spawn(keep)?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let (pace, newest) = (Arc::new(Pace::new()), Arc::<Newest>::default());
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let last = Arc::clone(&newest);
        let serve = move || {
            give_way();
            runtime.block_on(run(queue, &last));
        };
        std::thread::Builder::new().name("reads".to_owned()).spawn(serve)?;
        let feed = Feed::new(asks.clone(), Arc::clone(&lag));
        let places = Arc::new(Places::new(limits));
        let kept = Arc::new(Semaphore::new(KEPT_READS));
        let whole = Arc::new(Whole::new());
        let counts = Arc::default();
        let reads = Self {
            asks,
            jobs,
            places,
            kept,
            whole,
            counts,
            watch_counts,
            pace,
            newest,
            runtime: handle,
            lag,
        };
        Ok((reads, feed))
    }

    /// Where connections of operators are served; it ends with the last handle on `self`.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What reads may spend.
    pub(crate) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Adds one who watches: it is told everything that happens from now on, or from where its
    /// stream was cut.
    ///
    /// # Errors
    /// When the master is stopping, or the copy is behind.
    pub(crate) async fn watch(
        &self,
        watcher: Outbox<Arc<Happened>>,
        resume: Option<Resume>,
    ) -> Result<Beginning, NoAnswer> {
        let (reply, beginning) = oneshot::channel();
        let ask = Ask::Watch { watcher, resume, reply };
        self.asks.send(ask).map_err(|_| NoAnswer::Stopping)?;
        beginning.await.map_err(|_| self.none())
    }

    /// Why an answer did not come.
    fn none(&self) -> NoAnswer {
        if self.asks.is_closed() { NoAnswer::Stopping } else { NoAnswer::Behind }
    }

    /// For metrics.
    pub(crate) fn counts(&self) -> Counted {
        Counted {
            reads: Arc::clone(&self.counts),
            watches: Arc::clone(&self.watch_counts),
            lag: Arc::clone(&self.lag),
        }
    }

    /// Everything as it stands: at least all that was answered before this was called.
    ///
    /// # Errors
    /// When the master is stopping, or the copy is behind.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Model>, NoAnswer> {
        let (reply, snapshot) = oneshot::channel();
        self.asks.send(Ask::Snapshot(reply)).map_err(|_| NoAnswer::Stopping)?;
        let model = snapshot.await.map_err(|_| self.none())?;
        self.newest.set(&model);
        Ok(model)
    }

    /// Waits for the place of an answer that is in memory whole and not small.
    ///
    /// # Errors
    /// When none is free in time, or the master is stopping.
    pub(crate) async fn place(&self, peer: Option<&Peer>) -> Result<Place, NoAnswer> {
        self.whole.place(peer).await
    }

    /// An answer that is in memory whole, and waits for its reader from now on.
    ///
    /// # Errors
    /// When it is more than a message can hold.
    pub(crate) fn whole(
        &self,
        pieces: Vec<Bytes>,
        connection: Option<OwnedSemaphorePermit>,
    ) -> Result<Encoded, Status> {
        self.whole.answer(pieces, connection)
    }

    /// A place for a reader from there. It is taken before what is to be read: a snapshot would grow
    /// old waiting for it.
    ///
    /// # Errors
    /// When there is none in time, or the master is stopping.
    pub(crate) async fn reader(&self, from: Option<Origin>) -> Result<Held, NoAnswer> {
        self.places.take(from).await
    }

    /// Writes a read out on the thread for reads, for the reader that has this place; it may wait
    /// for that reader.
    ///
    /// # Errors
    /// When the master is stopping.
    pub(crate) fn write(
        &self,
        place: Held,
        job: impl Future<Output = Result<(), Unread>> + Send + 'static,
    ) -> Result<(), NoAnswer> {
        self.write_at(place, job)
    }

    /// The same for an answer that is kept whole, which must wait for nobody: those who read slowly
    /// have no part in when it is made.
    ///
    /// # Errors
    /// When the master is stopping.
    pub(crate) async fn write_kept(
        &self,
        job: impl Future<Output = Result<(), Unread>> + Send + 'static,
    ) -> Result<(), NoAnswer> {
        let place = Arc::clone(&self.kept).acquire_owned().await.map_err(|_| NoAnswer::Stopping)?;
        self.write_at(place, job)
    }

    fn write_at(
        &self,
        place: impl Send + 'static,
        job: impl Future<Output = Result<(), Unread>> + Send + 'static,
    ) -> Result<(), NoAnswer> {
        let counts = Arc::clone(&self.counts);
        let job = Box::pin(async move {
            let outcome = match job.await {
                Ok(()) => &counts.done,
                Err(Unread) => &counts.cut_off,
            };
            outcome.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
        self.jobs.send(job).map_err(|_| NoAnswer::Stopping)
    }
}

/// What the thread for the copy has.
struct Copy {
    completed_tasks: usize,
    keeper: Keeper,
    watch: Watch,
    /// Readers of one state share its snapshot, and the sums over it.
    newest: Option<Arc<Model>>,
    lag: Arc<Lag>,
    behind: bool,
}

impl Copy {
    fn new(completed_tasks: usize, watch: Watch, lag: Arc<Lag>) -> Self {
        let keeper = Keeper::new(completed_tasks);
        Self { completed_tasks, keeper, watch, newest: None, lag, behind: false }
    }

    // Whoever asked may have left.
    fn keep(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        while let Some(ask) = asked.blocking_recv() {
            match ask {
                Ask::Apply(changes) => {
                    self.lag.applied(changes.len());
                    self.apply(changes);
                }
                Ask::Behind => {
                    self.behind = true;
                    self.newest = None;
                    self.lag.ask_anew();
                }
                Ask::Anew(changes) => {
                    self.keeper = Keeper::new(self.completed_tasks);
                    self.newest = None;
                    changes.into_iter().for_each(|change| self.keeper.apply(change));
                    self.watch.begin_anew();
                    self.behind = false;
                }
                // The reply is dropped, which says it.
                Ask::Snapshot(_) | Ask::Watch { .. } if self.behind => {}
                Ask::Snapshot(reply) => drop(reply.send(self.snapshot())),
                Ask::Watch { watcher, resume, reply } => {
                    let model = self.snapshot();
                    drop(reply.send(self.watch.add(watcher, resume.as_ref(), || model)));
                }
            }
        }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.newest = None;
        for change in changes {
            let watched = watch::before(self.keeper.model(), &change);
            self.keeper.apply(change);
            if let Some(watched) = watched {
                self.watch.tell(self.keeper.model(), watched);
            }
        }
    }

    fn snapshot(&mut self) -> Arc<Model> {
        let keeper = &self.keeper;
        Arc::clone(self.newest.get_or_insert_with(|| Arc::new(keeper.snapshot())))
    }
}

/// What operators see of a core that published all of this, and nothing more.
pub(crate) fn model_of(completed_tasks: usize, all: Vec<Change>) -> Model {
    let mut keeper = Keeper::new(completed_tasks);
    all.into_iter().for_each(|change| keeper.apply(change));
    keeper.snapshot()
}

/// Of one thread, whose time is what reads cost.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn run(mut queue: mpsc::UnboundedReceiver<Job>, newest: &Newest) {
    let mut running = tokio::task::JoinSet::new();
    let mut look = tokio::time::interval(KEPT);
    loop {
        tokio::select! {
            job = queue.recv() => match job {
                Some(job) => drop(running.spawn(job)),
                None => return,
            },
            Some(_) = running.join_next() => {}
            _ = look.tick() => newest.forget_if_old(),
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
