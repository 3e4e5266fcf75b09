//! The agent's side of the supervisor's socket.
//!
//! Starts a supervisor when none serves the directory, connects, takes in the state of everything
//! that outlived the previous agent, and then carries frames both ways. It knows orders and
//! reports, not containers: what they mean is `containerizer::native`'s business. It never
//! reconnects on its own, because a supervisor that is gone has lost its tasks, and that must be
//! told to the agent's core rather than papered over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::options::Options;
use super::task::Recovered;
use super::wire::{self, Order, Report, WireError};

#[cfg(test)]
mod tests;

/// A supervisor on this machine answers within a fraction of this.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);
/// How long a supervisor that is just dying may still take connections: no longer than the next
/// one would wait for its lock.
const DYING_LIMIT: Duration = Duration::from_secs(5);
/// How long one of another release that has nothing to do may take to make room.
const ROOM_LIMIT: Duration = Duration::from_secs(2);

/// Why no supervisor could be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The command could not be run at all.
    #[error("cannot start the supervisor {program:?}")]
    Run {
        /// The program.
        program: OsString,
        /// What the operating system said.
        source: io::Error,
    },
    /// The supervisor started and gave up.
    #[error("the supervisor did not start: {0}")]
    GaveUp(String),
    /// Its socket cannot be reached.
    #[error("cannot connect to the supervisor at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It took the connection, and was gone before it had told its state.
    #[error("the supervisor at {} broke off: {reason}", socket.display())]
    Lost {
        /// The socket.
        socket: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// It speaks another version of the protocol: it is of another release.
    #[error(
        "the supervisor at {} has tasks, and is of another release: {reason}. Its tasks go on. To \
         upgrade, start the release again that started it, let its tasks end (tepui drain) or end \
         them with it (--kill-tasks-on-exit), and then start this one",
        socket.display()
    )]
    OtherVersion {
        /// The socket.
        socket: PathBuf,
        /// Both versions.
        reason: String,
    },
    /// It answered, but not as it should.
    #[error("the supervisor at {} refused: {reason}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// What a supervisor says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) pid: u32,
    pub(crate) isolation: String,
    pub(crate) warning: Option<String>,
}

/// The sending half of a connection: orders go out here.
#[derive(Debug)]
pub(crate) struct Client {
    outbox: Arc<Outbox>,
    direct: StdStream,
    pending: Vec<u8>,
}

/// Bytes the socket did not take at once.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Mutex<Vec<u8>>,
    filled: Notify,
    closed: AtomicBool,
}

impl Drop for Client {
    /// Ends the background tasks with us: they hold the socket open, and the supervisor serves
    /// the next agent only when this one is gone.
    fn drop(&mut self) {
        self.outbox.closed.store(true, Ordering::Release);
        self.outbox.filled.notify_one();
        // Fails if the supervisor has gone first.
        let _ = self.direct.shutdown(std::net::Shutdown::Both);
    }
}

/// Everything that `connect` yields.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) welcome: Welcome,
    pub(crate) recovered: Vec<Recovered>,
    /// Reports from now on, still in the socket.
    pub(crate) incoming: Incoming,
}

/// The receiving half of a connection, before anybody listens.
pub(crate) struct Incoming {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// Connects to the supervisor of `options`, starting one with `command` if none listens.
///
/// `command` is the program and its leading arguments, such as `["/usr/bin/tepui", "supervise"]`.
pub(crate) async fn start(
    command: &[OsString],
    options: &Options,
) -> Result<Connected, StartError> {
    let begun = tokio::time::Instant::now();
    let mut ran = false;
    loop {
        let lost = match StdStream::connect(&options.socket) {
            Ok(stream) => match handshake(stream, &options.socket).await {
                Err(error @ (StartError::Lost { .. } | StartError::OtherVersion { .. })) => error,
                answered => return answered,
            },
            // One that was started by an agent before us may be there by now, and end.
            Err(error) if absent(&error) && (!ran || begun.elapsed() < DYING_LIMIT) => {
                run(command, options).await?;
                ran = true;
                continue;
            }
            Err(source) => {
                return Err(StartError::Connect { socket: options.socket.clone(), source });
            }
        };
        // A process that dies closes its connections before its listener, and one of another release
        // ends when it runs nothing. The kernel has no event for it that could be bounded.
        let limit = match lost {
            StartError::OtherVersion { .. } => ROOM_LIMIT,
            _ => DYING_LIMIT,
        };
        if begun.elapsed() > limit {
            return Err(lost);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Nobody listens: there is no socket, or the one there belongs to a process that ended.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Runs the supervisor's command, which returns once the detached process listens.
async fn run(command: &[OsString], options: &Options) -> Result<(), StartError> {
    let (program, leading) = command
        .split_first()
        .ok_or_else(|| StartError::GaveUp("no command was configured for it".into()))?;
    let output = tokio::process::Command::new(program)
        .args(leading)
        .args(options.to_arguments())
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .map_err(|source| StartError::Run { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StartError::GaveUp(format!("{} ({})", said.trim(), output.status)))
}

async fn handshake(stream: StdStream, socket: &Path) -> Result<Connected, StartError> {
    let failed = |source| StartError::Connect { socket: socket.to_owned(), source };
    stream.set_nonblocking(true).map_err(failed)?;
    let direct = stream.try_clone().map_err(failed)?;
    let (mut read, write) = UnixStream::from_std(stream).map_err(failed)?.into_split();
    let outbox = Arc::new(Outbox::default());
    tokio::spawn(drain(write, Arc::clone(&outbox)));
    let mut client = Client { outbox, direct, pending: Vec::new() };
    client.queue(&Order::Hello);
    client.flush();

    let mut buffer = Vec::with_capacity(64 << 10);
    let state = tokio::time::timeout(HANDSHAKE_LIMIT, first_state(&mut read, &mut buffer)).await;
    let state = state.unwrap_or_else(|_| Err(Unanswered::Refused("no answer in time".into())));
    let (welcome, recovered) = state.map_err(|unanswered| {
        let socket = socket.to_owned();
        match unanswered {
            Unanswered::Lost(reason) => StartError::Lost { socket, reason },
            Unanswered::OtherVersion(reason) => StartError::OtherVersion { socket, reason },
            Unanswered::Refused(reason) => StartError::Refused { socket, reason },
        }
    })?;
    Ok(Connected { client, welcome, recovered, incoming: Incoming { read, buffer } })
}

/// Why a supervisor's state was not had.
enum Unanswered {
    /// The connection is over.
    Lost(String),
    /// It speaks another version of the protocol.
    OtherVersion(String),
    /// What it sent says no, or cannot be understood.
    Refused(String),
}

impl From<WireError> for Unanswered {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Version(_) => Self::OtherVersion(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

async fn first_state(
    read: &mut OwnedReadHalf,
    buffer: &mut Vec<u8>,
) -> Result<(Welcome, Vec<Recovered>), Unanswered> {
    let mut welcome = None;
    let mut recovered = Vec::new();
    let mut told: BTreeMap<u64, Arc<[u8]>> = BTreeMap::new();
    loop {
        while let Some(report) = next_report(buffer)? {
            match (report, welcome.take()) {
                (Report::Refused { reason }, _) => return Err(Unanswered::Refused(reason)),
                (Report::Welcome { pid, isolation, warning }, None) => {
                    welcome = Some(Welcome { pid, isolation, warning });
                }
                (Report::Shared { key, bytes }, Some(w)) => {
                    told.insert(key, bytes);
                    welcome = Some(w);
                }
                (Report::Known { known, shared }, Some(w)) => {
                    let shared = shared.and_then(|key| told.get(&key).cloned());
                    recovered.push(Recovered { shared, ..*known });
                    welcome = Some(w);
                }
                (Report::Complete, Some(w)) => return Ok((w, recovered)),
                (other, _) => {
                    return Err(Unanswered::Refused(format!("unexpected report {other:?}")));
                }
            }
        }
        if read.read_buf(buffer).await.map_err(|e| Unanswered::Lost(e.to_string()))? == 0 {
            return Err(Unanswered::Lost("it closed the connection".into()));
        }
    }
}

/// Takes the first whole frame off the buffer.
fn next_report(buffer: &mut Vec<u8>) -> Result<Option<Report>, WireError> {
    let mut reports = Vec::with_capacity(1);
    let consumed = decode_some(buffer, 1, |report| reports.push(report))?;
    buffer.drain(..consumed);
    Ok(reports.pop())
}

/// Decodes up to `most` frames; returns the bytes they took.
fn decode_some(
    buffer: &[u8],
    most: usize,
    mut each: impl FnMut(Report),
) -> Result<usize, WireError> {
    let mut at = 0;
    for _ in 0..most {
        let rest = &buffer[at..];
        let Some(length) = wire::frame_length(rest)? else { break };
        each(Report::decode(&rest[..length])?);
        at += length;
    }
    Ok(at)
}

impl Incoming {
    /// Gives each report to `each` until the connection is over.
    pub(crate) async fn deliver(mut self, mut each: impl FnMut(Report)) {
        loop {
            match decode_some(&self.buffer, usize::MAX, &mut each) {
                Ok(consumed) => drop(self.buffer.drain(..consumed)),
                Err(reason) => {
                    tracing::error!(%reason, "unreadable report from the supervisor");
                    return;
                }
            }
            if !matches!(self.read.read_buf(&mut self.buffer).await, Ok(n) if n > 0) {
                return;
            }
        }
    }
}

/// Writes what did not fit into the socket at once.
async fn drain(write: OwnedWriteHalf, outbox: Arc<Outbox>) {
    while !outbox.closed.load(Ordering::Acquire) {
        outbox.filled.notified().await;
        while !lock(&outbox.bytes).is_empty() {
            if write.writable().await.is_err() {
                return;
            }
            let mut bytes = lock(&outbox.bytes);
            match write.try_write(&bytes) {
                Ok(n) => drop(bytes.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> std::sync::MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Adds an order to the batch; false, without effect, if it is larger than the supervisor
    /// takes.
    pub(crate) fn queue(&mut self, order: &Order) -> bool {
        let before = self.pending.len();
        order.encode(&mut self.pending);
        let fits = self.pending.len() - before <= wire::HEADER + wire::MAX_PAYLOAD;
        if !fits {
            self.pending.truncate(before);
        }
        fits
    }

    /// Sends the batch: straight into the socket while it takes bytes, the rest in the
    /// background. A broken connection shows where reports are read, not here.
    pub(crate) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut waiting = lock(&self.outbox.bytes);
        let mut sent = 0;
        while waiting.is_empty() && sent < self.pending.len() {
            match (&self.direct).write(&self.pending[sent..]) {
                Ok(n) if n > 0 => sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        if sent < self.pending.len() {
            waiting.extend_from_slice(&self.pending[sent..]);
            self.outbox.filled.notify_one();
        }
        self.pending.clear();
    }
}
