//! The way to one other member: a stream that is made anew whenever it ends.
//!
//! Messages may get lost, the core knows how to go on; so nothing waits for a member that is away.

use crate::disk;
use crate::frame::{CHUNK_BYTES, Content, Frame};
use crate::node::Notice;
use crate::perform::Rosters;
use grpc::{ClientOptions, Connection, Duplex};
use proto::Limits;
use registrar_core::{MemberId, Message, Refused};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// The same with a member that refused to listen.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// How long the other side may take for a greeting, or for the next piece of a snapshot: then it is
/// given up, and tried again later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames that may wait to be sent; further ones are lost.
const QUEUE: usize = 1_024;

/// Bytes of the largest answer: the other side says little more than that it listens no more.
const ANSWER_BYTES: usize = 4 << 10;

/// Whose stream it is.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) group: Arc<str>,
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    /// What `from` knows of the members.
    pub(crate) rosters: Rosters,
}

/// The way to one other member. Dropped, it is closed.
pub(crate) struct Link {
    ends: Ends,
    open: Arc<Mutex<Open>>,
    task: JoinHandle<()>,
    /// Snapshots under way.
    carrying: JoinSet<()>,
}

/// What is open at the moment.
#[derive(Default)]
struct Open {
    connection: Option<Connection>,
    sender: Option<mpsc::Sender<Frame>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn options() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(1),
        keep_alive_interval: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(2),
        queue: QUEUE,
        limits: Limits { body_bytes: ANSWER_BYTES, ..Limits::DEFAULT },
    }
}

impl Link {
    /// Begins to connect to `address`.
    pub(crate) fn start(
        ends: Ends,
        address: String,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        let open = Arc::<Mutex<Open>>::default();
        let task = tokio::spawn(keep(ends.clone(), address, Arc::clone(&open), notices));
        Self { ends, open, task, carrying: JoinSet::new() }
    }

    /// Sends messages, or loses them.
    pub(crate) fn send(&self, messages: &[Message]) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = open.sender.as_ref();
        sender.is_some_and(|sender| sender.try_send(Frame::messages(messages)).is_ok())
    }

    /// Carries a snapshot on a stream of its own; says so when it has arrived, or has not.
    pub(crate) fn carry(
        &mut self,
        message: Message,
        index: u64,
        store: Arc<Store>,
        notices: mpsc::UnboundedSender<Notice>,
    ) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (ends, connection) = (self.ends.clone(), open.connection.clone());
        drop(open);
        while self.carrying.try_join_next().is_some() {}
        self.carrying.spawn(async move {
            let to = ends.to;
            let carried = match connection {
                Some(connection) => carry(&ends, &connection, &message, index, store).await,
                None => Err("there is no connection".to_owned()),
            };
            if let Err(reason) = &carried {
                tracing::info!(member = %to, index, reason, "a snapshot did not arrive");
            }
            // Nobody listens any more once the member ended.
            let _ = notices.send(Notice::Carried { to, arrived: carried.is_ok() });
        });
    }
}

async fn keep(
    ends: Ends,
    address: String,
    open: Arc<Mutex<Open>>,
    notices: mpsc::UnboundedSender<Notice>,
) {
    let mut refused = None;
    loop {
        let mut pause = PAUSE;
        match connect(&ends, &address).await {
            Ok((connection, duplex)) => {
                tracing::debug!(member = %ends.to, address, "linked");
                let Duplex { sender, mut incoming, .. } = duplex;
                let set = |connection, sender| {
                    *open.lock().unwrap_or_else(PoisonError::into_inner) =
                        Open { connection, sender };
                };
                set(Some(connection), Some(sender));
                // Nothing comes on it but its end, with a reason at times.
                while let Ok(Some(frame)) = incoming.next().await {
                    let Ok(Content::Refused(reason)) = frame.read() else { continue };
                    pause = REFUSED_PAUSE;
                    if refused.replace(reason) != Some(reason) {
                        tracing::warn!(member = %ends.to, address, ?reason, "it does not listen");
                    }
                    if let Refused::Removed { index } = reason {
                        // As below.
                        let _ = notices.send(Notice::Removed { by: ends.to, index });
                    }
                }
                set(None, None);
                tracing::debug!(member = %ends.to, address, "link over");
            }
            Err(reason) => tracing::debug!(member = %ends.to, address, reason, "no link"),
        }
        if notices.send(Notice::Unreachable(ends.to)).is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn connect(ends: &Ends, address: &str) -> Result<(Connection, Duplex<Frame, Frame>), String> {
    let connection = Connection::open(address, &options()).await.map_err(|e| e.to_string())?;
    let duplex = patiently(greet(ends, &connection)).await??;
    Ok((connection, duplex))
}

async fn greet(ends: &Ends, connection: &Connection) -> Result<Duplex<Frame, Frame>, String> {
    let duplex: Duplex<Frame, Frame> =
        connection.stream(crate::PATH).await.map_err(|error| error.to_string())?;
    let greeting = ends.rosters.borrow().greeting(ends.from);
    let hello = Frame::hello(&ends.group, ends.to, &greeting);
    duplex.sender.send(hello).await.map_err(|_| "the stream ended".to_owned())?;
    Ok(duplex)
}

async fn patiently<T>(step: impl Future<Output = T>) -> Result<T, String> {
    let late = |_| "the other side is too slow".to_owned();
    tokio::time::timeout(PATIENCE, step).await.map_err(late)
}

async fn send(sender: &mpsc::Sender<Frame>, frame: Frame) -> Result<(), String> {
    let ended = |_| "the stream ended".to_owned();
    patiently(sender.send(frame)).await?.map_err(ended)
}

async fn carry(
    ends: &Ends,
    connection: &Connection,
    message: &Message,
    index: u64,
    store: Arc<Store>,
) -> Result<(), String> {
    let replaced = || "it was replaced by a newer one".to_owned();
    let Duplex { sender, mut incoming, .. } = patiently(greet(ends, connection)).await??;
    let (newest, bytes, crc) = disk::read_snapshot(&store).ok_or_else(replaced)?;
    if newest != index {
        return Err(replaced());
    }
    send(&sender, Frame::snapshot(message, bytes, crc)).await?;
    let parts = disk::parts_of(usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut next = 0;
    while next < parts {
        let store = Arc::clone(&store);
        // The disk may be slow; others have things to do meanwhile.
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            while next < parts && chunk.len() < CHUNK_BYTES {
                chunk.extend_from_slice(&disk::read_part(&store, index, next)?);
                next += 1;
            }
            Some((chunk, next))
        });
        let (chunk, after) = read.await.map_err(|error| error.to_string())?.ok_or_else(replaced)?;
        next = after;
        send(&sender, Frame::chunk(&chunk)).await?;
    }
    match patiently(incoming.next()).await? {
        Ok(Some(frame)) if frame.clone().read() == Ok(Content::Arrived) => Ok(()),
        Ok(_) => Err("the other side ended the stream".to_owned()),
        Err(status) => Err(status.message().to_owned()),
    }
}
