//! Listening, and the accept loop: HTTP/1.1 and HTTP/2 on one port, with limits on slow senders.

use crate::Error;
use crate::front::Front;
use crate::origin::Caller;
pub(crate) use crate::origin::Origin;
use crate::rewound::Rewound;
use grpc::machine::Callers;
use grpc::slim::Serving;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Listens on `address`.
///
/// # Errors
/// Names the port and a fix.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    bind(address).map_err(|source| {
        let (host, port) = (address.ip().to_string(), address.port());
        match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { host, port },
            io::ErrorKind::PermissionDenied => Error::PortDenied { host, port },
            _ => Error::Listen { address: address.to_string(), source },
        }
    })
}

/// Connections that may wait to be accepted. After a restart all agents come at once, and who finds
/// no place is reset. The system has a limit of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 16_384;

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port is free as soon as nobody listens there, whatever is left of old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Files that a master has open besides its connections, and some more.
const OWN_FILES: u64 = 256;

/// So many of `wanted` connections as the system lets this process have. Who starts a process often
/// lets it have 1,024 files, though it may raise that by itself: here it does.
pub(crate) fn places(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Fails only where nothing was to be raised.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    let places = usize::try_from(files.saturating_sub(OWN_FILES)).unwrap_or(usize::MAX).max(1);
    if places < wanted {
        tracing::info!(files, connections = places, "connections are bounded by open files");
    }
    places.min(wanted)
}

/// Ends a connection from elsewhere: for readers that do not read.
///
/// That of a request over HTTP/2 ends nothing: the connection has other streams, which are read. If
/// its peer does not even answer pings, its keep-alive ends it; if it does, what stays is a piece
/// of an answer for each stream, of which there are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kill(Arc<Notify>);

impl Kill {
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

/// Connections on which an agent's stream was asked for, by what serves them.
#[derive(Debug, Default)]
pub(crate) struct AgentServers {
    /// The one that is made for them.
    slim: AtomicU64,
    /// The one for everybody: the first request came late.
    general: AtomicU64,
}

impl AgentServers {
    /// Connections by the name of their server.
    pub(crate) fn read(&self) -> [(&'static str, u64); 2] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("slim", of(&self.slim)), ("general", of(&self.general))]
    }
}

/// What serves a connection.
#[derive(Clone, Copy, Debug)]
enum Server {
    Slim,
    General,
}

/// One connection, as its requests know it.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<PeerState>);

#[derive(Debug)]
struct PeerState {
    caller: Caller,
    server: Server,
    agents: Arc<AgentServers>,
    /// Whether a request came.
    asked: AtomicBool,
    /// Whether one for an agent's stream came.
    is_agent: AtomicBool,
    /// Most connections never need it.
    place: OnceLock<Arc<Semaphore>>,
}

impl PeerState {
    fn agents(&self) -> &AtomicU64 {
        match self.server {
            Server::Slim => &self.agents.slim,
            Server::General => &self.agents.general,
        }
    }
}

impl Drop for PeerState {
    fn drop(&mut self) {
        if *self.is_agent.get_mut() {
            self.agents().fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Peer {
    fn new(caller: Caller, server: Server, agents: Arc<AgentServers>) -> Self {
        let (asked, is_agent, place) = Default::default();
        Self(Arc::new(PeerState { caller, server, agents, asked, is_agent, place }))
    }

    /// Of a connection that there is not.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        let origin = Origin::of(std::net::Ipv4Addr::LOCALHOST.into());
        let caller = Caller { origin, is_local: true, ends: None };
        Self::new(caller, Server::General, Arc::default())
    }

    /// A request came, for what is at `path`.
    fn ask(&self, path: &str) {
        self.0.asked.store(true, Ordering::Relaxed);
        if path == grpc::AGENT_LINK_PATH && !self.0.is_agent.swap(true, Ordering::Relaxed) {
            self.0.agents().fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The place for what one connection may have once.
    pub(crate) fn place(&self) -> Arc<Semaphore> {
        Arc::clone(self.0.place.get_or_init(|| Arc::new(Semaphore::new(1))))
    }
}

/// The limits of the accept loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    pub(crate) max_connections: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) callers: Callers,
}

/// What answers the requests of connections.
pub(crate) struct Accepting {
    pub(crate) front: Front,
    /// Where connections of other members are served: signs of life must not wait for the core.
    pub(crate) members: Handle,
    /// What is answered there.
    pub(crate) only_members: Front,
    pub(crate) agents: Arc<AgentServers>,
}

/// Accepts connections for ever; ends when it is dropped, and its connections with it.
///
/// Connections whose first request is one of operators are served where the front says: what they
/// read may be big, and writing it must not keep the core waiting.
pub(crate) async fn accept(listener: TcpListener, limits: AcceptLimits, accepting: Accepting) {
    let builder = Arc::new(builder(limits.idle_timeout));
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: those that
                // are served go on, and the next may be accepted once one of them ends.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(limit = limits.max_connections, "connection refused: too many");
            continue;
        };
        if !limits.callers.take(&stream, from) {
            tracing::warn!(%from, "connection refused: of another user");
            connections.spawn(async move {
                Callers::refuse(stream).await;
                drop(place);
            });
            continue;
        }
        let caller = Caller::of(&stream, from);
        let builder = Arc::clone(&builder);
        let Accepting { front, members, only_members, agents } = &accepting;
        let members = (members.clone(), only_members.clone());
        let asked = Asked { front: front.clone(), caller, members, agents: Arc::clone(agents) };
        connections.spawn(async move {
            let first_request = Instant::now() + limits.request_timeout;
            // Each in a box of its own: what a connection is, it is for years, and it must not take
            // the room of what it is not.
            match Box::pin(asker(&stream, first_request)).await {
                Some(Asker::Stream) => {
                    let agent = Box::pin(first_stream(stream, builder, asked, first_request));
                    if let Some(agent) = agent.await
                        && let Err(error) = agent.await
                    {
                        tracing::debug!(%error, "connection of an agent ended");
                    }
                }
                Some(Asker::Other) => {
                    Box::pin(serve(stream.into(), &builder, asked, first_request)).await;
                }
                Some(Asker::Operator) => match asked.front.operators() {
                    Some(operators) => {
                        let narrow = Some(OPERATOR_SEND_BUFFER);
                        let stream = Rewound::from(stream);
                        let to = Elsewhere { runtime: operators, narrow };
                        Box::pin(hand_over(stream, builder, asked, first_request, to)).await;
                    }
                    None => Box::pin(serve(stream.into(), &builder, asked, first_request)).await,
                },
                None => {}
            }
            drop(place);
        });
    }
}

/// What answers the requests of a connection, and whose it is.
struct Asked {
    front: Front,
    caller: Caller,
    members: (Handle, Front),
    agents: Arc<AgentServers>,
}

impl Asked {
    fn service(self, server: Server) -> WithKill {
        let peer = Peer::new(self.caller, server, self.agents);
        WithKill { front: self.front, kill: Kill::default(), peer }
    }
}

/// Who made a connection, by its first bytes.
enum Asker {
    Operator,
    /// Speaks HTTP/2: an agent, or a scheduler, or whoever else.
    Stream,
    Other,
}

/// Who made the connection; `None` when nothing comes in time.
async fn asker(stream: &TcpStream, until: Instant) -> Option<Asker> {
    let mut begin = [0; 96];
    let read = tokio::time::timeout_at(until, stream.peek(&mut begin)).await.ok()?.ok()?;
    // What is cut in the middle goes the common way, which is only slower for big answers.
    let line = String::from_utf8_lossy(begin.get(..read)?);
    if line.starts_with("PRI * HTTP/2") {
        return Some(Asker::Stream);
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let path = path.split(['?', '\r', '\n']).next().unwrap_or_default();
    let is_operator = crate::http::is_for_operators(path);
    Some(if is_operator { Asker::Operator } else { Asker::Other })
}

/// How long the first words of a client that looks like an agent may stay without its first request.
const FIRST_WORDS: Duration = Duration::from_millis(100);

/// A connection of an agent, and what serves it.
type AgentConnection =
    Serving<TcpStream, WithKill, axum::routing::future::RouteFuture<Infallible>, axum::body::Body>;

/// Serves a connection over HTTP/2; one of an agent is given back, to be served without what the
/// others need.
async fn first_stream(
    mut stream: TcpStream,
    builder: Arc<auto::Builder<TokioExecutor>>,
    asked: Asked,
    first_request: Instant,
) -> Option<Box<AgentConnection>> {
    let begun = match grpc::slim::begin(&mut stream, FIRST_WORDS).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::debug!(%error, "connection lost before it was served");
            return None;
        }
    };
    if begun.path.as_deref() != Some(grpc::AGENT_LINK_PATH) {
        let is_member = begun.path.as_deref() == Some(::registrar::PATH);
        let stream = Rewound { begun: begun.bytes.into(), stream };
        if is_member {
            let (runtime, front) = asked.members.clone();
            let (to, asked) = (Elsewhere { runtime, narrow: None }, Asked { front, ..asked });
            Box::pin(hand_over(stream, builder, asked, first_request, to)).await;
        } else {
            Box::pin(serve(stream, &builder, asked, first_request)).await;
        }
        return None;
    }
    // Small events must not wait for the answer to the packet before them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before it was served");
        return None;
    }
    Some(Box::new(Serving::new(stream, &begun.bytes, asked.service(Server::Slim))))
}

/// Bytes that the system keeps for an operator's connection (it takes twice as many). It says that
/// there is room again when a third is free: with the megabytes that it would go up to by itself,
/// a reader that takes 100 KB a second would seem to stand still for ten seconds. 2.5 MB a second
/// can be read over 100 ms of distance.
const OPERATOR_SEND_BUFFER: usize = 128 * 1024;

/// Another runtime for a connection.
struct Elsewhere {
    runtime: Handle,
    /// Bytes that the system keeps for it, if not as many as it likes.
    narrow: Option<usize>,
}

/// Serves the connection on another runtime; it ends when this future is dropped.
async fn hand_over(
    stream: Rewound,
    builder: Arc<auto::Builder<TokioExecutor>>,
    asked: Asked,
    first_request: Instant,
    to: Elsewhere,
) {
    let Rewound { begun, stream } = stream;
    let narrow = to.narrow.map_or(Ok(()), |bytes| set_socket_send_buffer_size(&stream, bytes));
    let stream = match narrow.map_err(io::Error::from).and_then(|()| stream.into_std()) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "connection lost before it was served");
            return;
        }
    };
    let serving = to.runtime.spawn(async move {
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let stream = Rewound { begun, stream };
                serve(stream, &builder, asked, first_request).await;
            }
            Err(error) => tracing::debug!(%error, "connection lost before it was served"),
        }
    });
    let mut serving = AbortOnDrop(serving);
    // It is cancelled only when the master ends; a panic in it is told by its thread.
    let _ = (&mut serving.0).await;
}

/// Ends a task with its value.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn builder(idle_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Covers the wait between requests as well, so it cannot be short.
        .header_read_timeout(idle_timeout)
        // With `pipeline_flush` there would be no bound on what is written but not yet sent.
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(grpc::tuning::KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(grpc::tuning::KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(grpc::tuning::STREAM_WINDOW)
        .initial_connection_window_size(grpc::tuning::CONNECTION_WINDOW)
        .max_concurrent_streams(128)
        .max_header_list_size(64 * 1024);
    builder
}

async fn serve(
    stream: Rewound,
    builder: &auto::Builder<TokioExecutor>,
    asked: Asked,
    first_request: Instant,
) {
    // Small events must not wait for the answer to the packet before them.
    if let Err(error) = stream.stream.set_nodelay(true) {
        tracing::debug!(%error, "connection lost before it was served");
        return;
    }
    let service = asked.service(Server::General);
    let (kill, peer) = (service.kill.clone(), service.peer.clone());
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let first_request = tokio::time::sleep_until(first_request);
    tokio::pin!(first_request);
    let mut fresh = true;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = kill.0.notified() => return,
            () = &mut first_request, if fresh => {
                if !peer.0.asked.load(Ordering::Relaxed) {
                    return;
                }
                fresh = false;
            }
        }
    }
}

/// Gives each request the means to end its connection, or to have its place.
#[derive(Clone)]
struct WithKill {
    front: Front,
    kill: Kill,
    peer: Peer,
}

impl<B> tower::Service<http::Request<B>> for WithKill
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<std::convert::Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        self.peer.ask(path);
        let is_big = matches!(path, grpc::OPERATOR_PATH | grpc::OPERATOR_EVENTS_PATH);
        let is_read = crate::http::is_for_operators(path);
        let is_session = !is_read && crate::http::is_for_sessions(path);
        if request.version() < http::Version::HTTP_2 {
            request.extensions_mut().insert(self.kill.clone());
        } else if is_big {
            request.extensions_mut().insert(self.peer.clone());
        }
        if is_read {
            request.extensions_mut().insert(self.peer.0.caller.origin);
        } else if is_session {
            request.extensions_mut().insert(self.peer.0.caller);
        }
        tower::Service::call(&mut self.front.router(), request.map(axum::body::Body::new))
    }
}
