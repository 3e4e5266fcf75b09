//! Sessions over HTTP: `LAUNCH_NESTED_CONTAINER_SESSION` and the calls around it.
//!
//! A session lives as long as the connection that launched it: its answer is the stream of what the
//! program prints, with a heartbeat now and then, and dropping it kills the program. Input comes on a
//! connection of its own. Nothing is read from a program that the client has not room for: some
//! records wait at the most, then the program does.

use super::call::{MESSAGE_TYPE, PATIENCE, RECORDS, Refusal, limits, parent, respond};
use super::log::Reading;
use super::{Ask, Context};
use crate::containerizer::WaitStatus;
use crate::sessions::{End, Ends, OpenError, Session, State};
use crate::supervisor::task::{LaunchError, Stdio};
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use proto::agent_api::{
    self, AttachInput, Call, ContainerPath, ProcessIo, StandardStream, WindowSize,
};
use proto::{CommandInfo, ContainerId, Encoding, Wire, recordio};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

/// Most bytes of one record of output.
const PIECE: usize = 32 << 10;
/// Records that may wait for the client.
const WAITING: usize = 4;
/// What is taken from a program that has ended, of each stream: what its pipe may hold. Others that it
/// left behind could go on for ever.
const REST: usize = 256 << 10;
/// How often a stream without output shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a terminal takes for the end of its input.
const END_OF_INPUT: &[u8] = &[4];

/// A session that the server is to order.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) container: ContainerId,
    pub(crate) number: u64,
    pub(crate) command: Box<CommandInfo>,
    pub(crate) stdio: Stdio,
    /// Whether it was ordered, or why it cannot be.
    pub(crate) reply: oneshot::Sender<Result<(), EntryError>>,
}

/// Why a session is not ordered.
#[derive(Debug)]
pub(crate) enum EntryError {
    /// No such container runs.
    NoContainer,
    /// It cannot be.
    Impossible(String),
}

/// Kills the program of a session when its client is gone.
struct Tied {
    session: Arc<Session>,
    context: Context,
    /// Whether the server was asked for it.
    is_asked: bool,
    /// Our ends, until they are in use. The supervisor opens the others by their names, which mean
    /// the same for as long as these are held.
    ends: Option<Ends>,
    /// What the server has not answered yet.
    ordered: Option<oneshot::Receiver<Result<(), EntryError>>>,
}

impl Drop for Tied {
    fn drop(&mut self) {
        if !self.is_asked {
            let error = LaunchError::Refused("its client is gone".into());
            self.context.sessions.failed(self.session.number, error);
        } else if !self.session.state().borrow().is_over() {
            let (context, session) = (self.context.clone(), Arc::clone(&self.session));
            let (ordered, ends) = (self.ordered.take(), self.ends.take());
            // Here nothing can be waited for; without a runtime the agent is ending, and with it
            // every session.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    give_up(&context, &session, ordered).await;
                    // The state's sender is the session's, so it cannot be gone.
                    let _ = session.state().wait_for(|state| *state != State::Asked).await;
                    drop(ends);
                });
            }
        }
    }
}

/// Ends a session whose client is gone: kills its program once that is ordered. One that is refused
/// would else be waited for by nobody, and keep its place.
async fn give_up(
    context: &Context,
    session: &Session,
    ordered: Option<oneshot::Receiver<Result<(), EntryError>>>,
) {
    let number = session.number;
    if let Some(ordered) = ordered
        && !matches!(ordered.await, Ok(Ok(())))
    {
        let error = LaunchError::Refused("its client is gone".into());
        context.sessions.failed(number, error);
        return;
    }
    let kill = Ask::SignalSession { number, signal: libc::SIGKILL };
    // An agent that ends takes its sessions with it.
    let _ = context.asks.send(kill).await;
}

pub(super) async fn launch(
    context: &Context,
    path: ContainerPath,
    command: Box<CommandInfo>,
    terminal: Option<Option<WindowSize>>,
    accept: Encoding,
) -> Result<Response, Refusal> {
    let container = parent(&path)?.clone();
    if !command.uris.is_empty() {
        return Err(Refusal::bad("command.uris: a session fetches no files"));
    }
    let (session, stdio, ends) = context.sessions.open(&path, terminal).map_err(|error| {
        let status = match &error {
            OpenError::Exists(_) => StatusCode::CONFLICT,
            OpenError::TooMany | OpenError::TooManyOfOne | OpenError::Io(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Refusal::new(status, error.to_string())
    })?;
    let mut tied = Tied {
        session: Arc::clone(&session),
        context: context.clone(),
        is_asked: false,
        ends: Some(ends),
        ordered: None,
    };
    let number = session.number;
    let missing = format!("no container {container} of a task is running on this agent");
    let (reply, ordered) = oneshot::channel();
    let entry = Box::new(Entry { container, number, command, stdio, reply });
    let sent = context.asks.send(Ask::Enter(entry)).await;
    tied.is_asked = sent.is_ok();
    // It stays with what ends the session, which may happen while it is waited for.
    let ordered = match tied.ordered.insert(ordered) {
        ordered if tied.is_asked => ordered.await.ok(),
        _ => None,
    };
    tied.ordered = None;
    let refused = match ordered {
        Some(Ok(())) => None,
        Some(Err(EntryError::NoContainer)) => Some(Refusal::new(StatusCode::NOT_FOUND, missing)),
        Some(Err(EntryError::Impossible(why))) => Some(Refusal::bad(why)),
        None => Some(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")),
    };
    if let Some(refusal) = refused {
        let error = LaunchError::Refused(refusal.message.clone());
        context.sessions.failed(number, error);
        return Err(refusal);
    }
    let mut state = session.state();
    let begun = state.wait_for(|state| *state != State::Asked).await;
    if let Ok(State::Failed(error)) = begun.as_deref() {
        let status = match error {
            LaunchError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            LaunchError::AlreadyExists => StatusCode::CONFLICT,
            LaunchError::Spawn { .. } | LaunchError::Impossible(_) => StatusCode::BAD_REQUEST,
        };
        return Err(Refusal::new(status, error.to_string()));
    }
    drop(begun);
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
    let (records, waiting) = mpsc::channel(WAITING);
    // Its input is the session's alone, so that it can be closed.
    let Ends { input: _, output, error } = tied.ends.take().ok_or_else(stopping)?;
    tokio::spawn(carry(tied, output, error, Records { records, encoding: accept }));
    Ok(stream(waiting, accept))
}

/// The answer that is made of records.
fn stream(waiting: mpsc::Receiver<Bytes>, encoding: Encoding) -> Response {
    let pieces = futures_util::stream::unfold(waiting, async |mut waiting| {
        waiting.recv().await.map(|record| (Ok::<_, Infallible>(record), waiting))
    });
    let kinds = [(header::CONTENT_TYPE, RECORDS), (MESSAGE_TYPE, encoding.media_type())];
    (kinds, Body::from_stream(pieces)).into_response()
}

/// Where records go.
#[derive(Clone)]
struct Records {
    records: mpsc::Sender<Bytes>,
    encoding: Encoding,
}

impl Records {
    /// Waits until there is room; false when the client is gone.
    async fn send(&self, io: &ProcessIo) -> bool {
        let record = recordio::encode(&io.encode(self.encoding));
        self.records.send(record).await.is_ok()
    }

    async fn output(&self, stream: StandardStream, bytes: &[u8]) -> bool {
        self.send(&ProcessIo::Data(stream, Bytes::copy_from_slice(bytes))).await
    }

    async fn heartbeat(&self) -> bool {
        self.send(&ProcessIo::Heartbeat { interval: Some(HEARTBEAT) }).await
    }
}

fn heartbeats() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Carries what a program prints until it has ended, or its client is gone.
async fn carry(tied: Tied, output: Arc<End>, error: Option<End>, to: Records) {
    let mut ticks = heartbeats();
    let over = tied.session.over();
    tokio::pin!(over);
    let (mut out, mut err) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut out_open, mut err_open) = (true, error.is_some());
    loop {
        let alive = tokio::select! {
            read = output.read(&mut out), if out_open => match read {
                Ok(n) if n > 0 => to.output(StandardStream::Stdout, &out[..n]).await,
                _ => {
                    out_open = false;
                    true
                }
            },
            read = read_error(error.as_ref(), &mut err), if err_open => match read {
                Ok(n) if n > 0 => to.output(StandardStream::Stderr, &err[..n]).await,
                _ => {
                    err_open = false;
                    true
                }
            },
            // The first comes at once: the client knows that the program runs.
            _ = ticks.tick() => to.heartbeat().await,
            () = to.records.closed() => false,
            _ = &mut over => break,
        };
        if !alive {
            return;
        }
    }
    if rest(&output, StandardStream::Stdout, &mut out, &to).await
        && let Some(error) = &error
    {
        rest(error, StandardStream::Stderr, &mut err, &to).await;
    }
}

async fn read_error(end: Option<&End>, into: &mut [u8]) -> std::io::Result<usize> {
    match end {
        Some(end) => end.read(into).await,
        None => Ok(0),
    }
}

/// What is left of a stream whose program has ended; false when the client is gone.
async fn rest(end: &End, stream: StandardStream, buffer: &mut [u8], to: &Records) -> bool {
    let mut left = REST;
    while left > 0
        && let Ok(n) = end.read_now(buffer)
        && n > 0
    {
        left = left.saturating_sub(n);
        if !to.output(stream, &buffer[..n]).await {
            return false;
        }
    }
    true
}

fn no_session(path: &ContainerPath) -> Refusal {
    let message = format!("there is no session {path}: it never was, or has been over for long");
    Refusal::new(StatusCode::NOT_FOUND, message)
}

pub(super) async fn wait(
    context: &Context,
    path: &ContainerPath,
    nested: bool,
    accept: Encoding,
) -> Result<Response, Refusal> {
    parent(path)?;
    let session = context.sessions.find(path).ok_or_else(|| no_session(path))?;
    let exit_status = match session.over().await {
        State::Over(WaitStatus::Exited(code)) => Some(i32::from(code) << 8),
        State::Over(WaitStatus::Signaled(signal)) => Some(i32::from(signal)),
        _ => None,
    };
    Ok(respond(&agent_api::Response::Waited { nested, exit_status }, accept))
}

pub(super) async fn kill(
    context: &Context,
    path: &ContainerPath,
    signal: Option<i32>,
) -> Result<Response, Refusal> {
    parent(path)?;
    let signal = signal.unwrap_or(libc::SIGKILL);
    if !(1..=64).contains(&signal) {
        return Err(Refusal::bad(format!("signal {signal}: there are those from 1 to 64")));
    }
    let session = context.sessions.find(path).ok_or_else(|| no_session(path))?;
    let stopping = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
    // A signal could else be there before the program, and be lost.
    let mut state = session.state();
    let begun = tokio::time::timeout(PATIENCE, state.wait_for(|state| *state != State::Asked));
    if begun.await.is_err() {
        return Err(Refusal::new(StatusCode::CONFLICT, format!("{path} has not begun yet")));
    }
    let ask = Ask::SignalSession { number: session.number, signal };
    context.asks.send(ask).await.map_err(stopping)?;
    Ok(StatusCode::OK.into_response())
}

/// `ATTACH_CONTAINER_INPUT`: records of calls, of which the first names the session.
pub(super) async fn input(
    context: &Context,
    body: Body,
    encoding: Encoding,
) -> Result<Response, Refusal> {
    let mut records = Incoming::new(body, encoding);
    let first = tokio::time::timeout(PATIENCE, records.next()).await.map_err(|_| {
        let message = format!("no record arrived within {} s", PATIENCE.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    })??;
    let Some(AttachInput::Container(path)) = first else {
        return Err(Refusal::bad("the first record must name the container (CONTAINER_ID)"));
    };
    parent(&path)?;
    let session = context.sessions.find(&path).ok_or_else(|| no_session(&path))?;
    let input = session.take_input().ok_or_else(|| {
        let message = format!("the input of {path} is closed, or another client gives it");
        Refusal::new(StatusCode::CONFLICT, message)
    })?;
    let mut tied = Input { session: Arc::clone(&session), input: Some(input) };
    // Answered when the program needs no more: a client that still sends hears it then.
    tokio::select! {
        fed = feed(&mut tied, &mut records) => fed?,
        _ = session.over() => {}
    }
    Ok(StatusCode::OK.into_response())
}

/// Input that goes back when its client is gone.
struct Input {
    session: Arc<Session>,
    input: Option<Arc<End>>,
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            self.session.return_input(input);
        }
    }
}

async fn feed(tied: &mut Input, records: &mut Incoming) -> Result<(), Refusal> {
    while let Some(record) = records.next().await? {
        let AttachInput::Io(io) = record else {
            return Err(Refusal::bad("the container is named once, by the first record"));
        };
        let Some(input) = tied.input.as_ref() else {
            return Err(Refusal::bad("there is no input after its end"));
        };
        let written = match io {
            ProcessIo::Heartbeat { .. } => Ok(()),
            ProcessIo::Resized(size) => {
                tied.session.resize(input, size);
                Ok(())
            }
            ProcessIo::Data(StandardStream::Stdin, bytes) if !bytes.is_empty() => {
                input.write_all(&bytes).await
            }
            ProcessIo::Data(StandardStream::Stdin, _) if tied.session.is_terminal => {
                input.write_all(END_OF_INPUT).await
            }
            ProcessIo::Data(StandardStream::Stdin, _) => {
                tied.input = None;
                Ok(())
            }
            ProcessIo::Data(..) => {
                return Err(Refusal::bad("only STDIN can be given to a container"));
            }
        };
        if written.is_err() {
            // The program reads no more: it may go on without.
            tied.input = None;
            return Ok(());
        }
    }
    Ok(())
}

/// Records of a request's body.
struct Incoming {
    body: BodyDataStream,
    decoder: recordio::Decoder,
    encoding: Encoding,
}

impl Incoming {
    fn new(body: Body, encoding: Encoding) -> Self {
        let decoder = recordio::Decoder::new(super::call::BODY);
        Self { body: body.into_data_stream(), decoder, encoding }
    }

    /// The next one; none at the end, or when the client is gone.
    async fn next(&mut self) -> Result<Option<AttachInput>, Refusal> {
        let bad = |error| Refusal::bad(format!("Failed to validate agent::Call: {error}"));
        loop {
            if let Some(record) = self.decoder.next_record().map_err(bad)? {
                let call = Call::decode(&record, self.encoding, &limits()).map_err(bad)?;
                let Call::AttachContainerInput(input) = call else {
                    return Err(Refusal::bad("a stream of calls is one of ATTACH_CONTAINER_INPUT"));
                };
                return Ok(Some(input));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.decoder.push(&bytes),
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

/// `ATTACH_CONTAINER_OUTPUT` of a task: what it prints from now on, as its log has it.
pub(super) async fn output(
    context: &Context,
    path: &ContainerPath,
    accept: Encoding,
) -> Result<Response, Refusal> {
    if path.parent.is_some() {
        let message = "what a session prints goes to who launched it, and to nobody else";
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    let id = path.id.as_str();
    let place = context.sandboxes.of_container(id).filter(|place| place.running);
    if place.is_none() {
        let message = format!("no container {id} of a task is running on this agent");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    let (records, waiting) = mpsc::channel(WAITING);
    let to = Records { records, encoding: accept };
    for (log, stream) in [("stdout", StandardStream::Stdout), ("stderr", StandardStream::Stderr)] {
        let reading = Reading::from_now(context, id, log)
            .await
            .map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let to = to.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = show(reading, stream, &to) => {}
                () = to.records.closed() => {}
            }
        });
    }
    // Ends with the last of the others.
    let weak = to.records.downgrade();
    drop(to);
    tokio::spawn(async move {
        let mut ticks = heartbeats();
        loop {
            ticks.tick().await;
            let Some(records) = weak.upgrade() else { return };
            if !(Records { records, encoding: accept }).heartbeat().await {
                return;
            }
        }
    });
    Ok(stream(waiting, accept))
}

/// Shows one log until its task has ended.
async fn show(reading: Reading, stream: StandardStream, to: &Records) {
    let mut reading = reading;
    while let Ok(Some((bytes, rest))) = reading.next().await {
        reading = rest;
        for piece in bytes.chunks(PIECE) {
            if !to.output(stream, piece).await {
                return;
            }
        }
    }
}
