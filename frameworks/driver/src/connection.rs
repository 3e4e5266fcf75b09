//! One connection to a master: a task that opens it, one that writes and one that reads.
//!
//! It decides nothing: what happens is told to the loop, with the connection's number. A master of
//! another cluster than that of the records is told nothing.

use grpc::{ClientOptions, SchedulerClient, Status};
use proto::ClusterId;
use proto::scheduler::{Call, Event};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What becomes of a connection.
#[derive(Debug)]
pub(crate) enum Happening {
    Connected,
    Event(Event),
    /// It is over. A master that does not lead names the one that does.
    Closed {
        leader: Option<Arc<str>>,
    },
    /// The master is of a cluster that the records may not belong to; nothing was said to it.
    OtherCluster(StoreError),
}

/// How long a connection that is closed by us may take to send what is queued.
const FAREWELL: Duration = Duration::from_secs(2);

/// The loop's end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    calls: mpsc::UnboundedSender<Call>,
    task: JoinHandle<()>,
}

impl Connection {
    /// Starts to connect.
    pub(crate) fn open(
        number: u64,
        master: Arc<str>,
        options: ClientOptions,
        store: Option<Arc<Store>>,
        inbox: mpsc::Sender<(u64, Happening)>,
    ) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let over = run(number, master, options, store, queue, &inbox).await;
            // The loop is gone only when nobody listens any more.
            let _ = inbox.send((number, over)).await;
        });
        Self { number, calls, task }
    }

    /// Queues a call. On a broken connection it is lost, as on the wire.
    pub(crate) fn send(&self, call: Call) {
        if self.calls.send(call).is_err() {
            tracing::debug!(connection = self.number, "call on a closed connection");
        }
    }

    /// Sends what is queued and closes; what arrives meanwhile is not read any more.
    pub(crate) fn close(self) -> JoinHandle<()> {
        drop(self.calls);
        self.task
    }
}

/// Carries both ways until it is over; says how it ended.
async fn run(
    number: u64,
    master: Arc<str>,
    options: ClientOptions,
    store: Option<Arc<Store>>,
    mut queue: mpsc::UnboundedReceiver<Call>,
    inbox: &mpsc::Sender<(u64, Happening)>,
) -> Happening {
    let opened = SchedulerClient::connect(&master, &options).await;
    let mut duplex = match opened {
        Ok(duplex) => duplex,
        Err(error) => {
            tracing::info!("{error}");
            return Happening::Closed { leader: error.leader().map(Arc::from) };
        }
    };
    match duplex.cluster.take().map(ClusterId::new) {
        Some(Ok(cluster)) => {
            // What the masters keep is of their cluster anyway.
            if let Some(store) = store
                && let Err(error) = bind(store, cluster).await
            {
                return Happening::OtherCluster(error);
            }
        }
        Some(Err(problem)) => {
            tracing::warn!(%master, %problem, "the master names no cluster");
            return Happening::Closed { leader: None };
        }
        None => {}
    }
    let _ = inbox.send((number, Happening::Connected)).await;
    let sender = duplex.sender;
    let writer = tokio::spawn(async move {
        while let Some(call) = queue.recv().await {
            if sender.send(call).await.is_err() {
                break;
            }
        }
    });
    let reader = async {
        loop {
            match duplex.incoming.next().await {
                Ok(Some(event)) => {
                    if inbox.send((number, Happening::Event(event))).await.is_err() {
                        return None;
                    }
                }
                Ok(None) => return None,
                Err(status) => {
                    log_break(&master, &status);
                    return grpc::leader(&status).map(Arc::from);
                }
            }
        }
    };
    let mut writer = writer;
    let leader = tokio::select! {
        leader = reader => leader,
        // Closed by us: what is queued has been handed over; the master ends the stream.
        _ = &mut writer => {
            let drain = async { while let Ok(Some(_)) = duplex.incoming.next().await {} };
            let _ = tokio::time::timeout(FAREWELL, drain).await;
            None
        }
    };
    writer.abort();
    Happening::Closed { leader }
}

fn log_break(master: &str, status: &Status) {
    tracing::info!(%master, status = %status.message(), "connection to the master broke");
}

/// Binds the records to the cluster, unless they belong to another one. Writes once in the life of
/// a directory.
async fn bind(store: Arc<Store>, cluster: ClusterId) -> Result<(), StoreError> {
    if store.identity().cluster.as_deref() == Some(cluster.as_str()) {
        return Ok(());
    }
    let binding = tokio::task::spawn_blocking(move || store.bind_cluster(cluster.as_str()));
    // It fails only when the process ends.
    binding.await.unwrap_or(Ok(()))
}
