//! One connection to a master: a task that opens it, one that writes and one that reads.
//!
//! It decides nothing: what happens is told to the loop, with the connection's number.

use grpc::{ClientOptions, ConnectError, SchedulerClient};
use proto::scheduler::{Call, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What becomes of a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events; a box each would cost more")]
pub(crate) enum Happening {
    Connected,
    Event(Event),
    Closed { leader: Option<Arc<str>> },
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
        inbox: mpsc::Sender<(u64, Happening)>,
    ) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(number, master, options, queue, inbox));
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

async fn run(
    number: u64,
    master: Arc<str>,
    options: ClientOptions,
    mut queue: mpsc::UnboundedReceiver<Call>,
    inbox: mpsc::Sender<(u64, Happening)>,
) {
    let opened = SchedulerClient::connect(&master, &options).await;
    let mut duplex = match opened {
        Ok(duplex) => duplex,
        Err(error) => {
            log_failure(&error);
            // The loop is gone only when nobody listens any more.
            let _ = inbox.send((number, Happening::Closed { leader: None })).await;
            return;
        }
    };
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
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::info!(%master, status = %status.message(), "connection to the master broke");
                    return;
                }
            }
        }
    };
    let mut writer = writer;
    tokio::select! {
        () = reader => {}
        // Closed by us: what is queued has been handed over; the master ends the stream.
        _ = &mut writer => {
            let drain = async { while let Ok(Some(_)) = duplex.incoming.next().await {} };
            let _ = tokio::time::timeout(FAREWELL, drain).await;
        }
    }
    writer.abort();
    let _ = inbox.send((number, Happening::Closed { leader: None })).await;
}

fn log_failure(error: &ConnectError) {
    tracing::info!("{error}");
}
