//! Listening, and the accept loop: HTTP/1.1 with limits on slow senders and on their number.
//!
//! It must never hold more of a request than its head: the two handlers that read a body (calls, and
//! custom executors' once their token was seen) bound it.

use crate::{Config, Error};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`; port 0 takes any.
///
/// # Errors
/// Names the port and a fix.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::PortInUse { host: address.ip().to_string(), port: address.port() }
        }
        _ => Error::Listen { address: address.to_string(), source },
    })
}

/// The limits of the accept loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptLimits {
    /// Connections at one time; more are closed unanswered.
    pub(crate) connections: usize,
    /// How long the head of a request may take from the moment it is waited for.
    pub(crate) request_timeout: Duration,
}

impl AcceptLimits {
    /// Those that the operator chose.
    pub(crate) fn of(config: &Config) -> Self {
        Self { connections: config.max_connections, request_timeout: config.request_timeout }
    }
}

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The address of ours that it connected to.
    pub(crate) to: SocketAddr,
    /// Whether it is root's or our own user's, and no task's; asked only of what is of this machine.
    pub(crate) is_operators: fn(SocketAddr, SocketAddr) -> bool,
}

impl Peer {
    /// Whether it is the operator of this machine: a process that came by the loopback, or from the
    /// address that it connected to, and of a user who is no task's.
    pub(crate) fn is_operator(self) -> bool {
        let (from, to) = (self.address.ip().to_canonical(), self.to.ip().to_canonical());
        let is_local = from.is_loopback() || from == to;
        is_local && (self.is_operators)(self.address, self.to)
    }
}

/// Serves connections for ever; ends when it is dropped, and its connections with it.
pub(crate) async fn accept(listener: TcpListener, router: axum::Router, limits: AcceptLimits) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_timeout)
        .max_buf_size(HEAD_BYTES);
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: those that are
                // served go on, and the next may be accepted once one of them ends.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(limit = limits.connections, "connection refused: too many");
            continue;
        };
        let (builder, router) = (builder.clone(), router.clone());
        connections.spawn(async move {
            serve(stream, from, &builder, router).await;
            drop(place);
        });
    }
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    builder: &http1::Builder,
    router: axum::Router,
) {
    // Small answers must not wait for the peer to confirm what came before them.
    let served = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(to) => {
            let inner = TowerToHyperService::new(router);
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer {
                    address: from,
                    to,
                    is_operators: grpc::machine::is_operators,
                });
                inner.call(request)
            });
            let served = builder.serve_connection(TokioIo::new(stream), service).await;
            served.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = served {
        tracing::debug!(error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Where a server with few places and little patience listens.
    async fn serving() -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(async || "here\n"));
        let request_timeout = Duration::from_millis(100);
        let limits = AcceptLimits { connections: 2, request_timeout };
        (address, tokio::spawn(accept(listener, router, limits)))
    }

    /// What comes until the other side closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text));
        // A reset is an end as well.
        let _ = read.await.expect("it is closed within the bound");
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (address, server) = serving().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HT").await.unwrap();
        let answer = rest(&mut slow).await;
        assert!(!answer.contains("here"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_is_not_read() {
        let (address, server) = serving().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        server.abort();
    }

    #[tokio::test]
    async fn more_connections_than_there_are_places_are_closed_unanswered() {
        let (address, server) = serving().await;
        let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut places = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(ask).await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            assert_eq!(&start, b"HTTP/1.1 200");
            places.push(stream);
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        assert_eq!(rest(&mut third).await, "");
        // One that goes away makes room.
        rest(&mut places.remove(0)).await;
        let mut fourth = TcpStream::connect(address).await.unwrap();
        let close = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        fourth.write_all(close.as_bytes()).await.unwrap();
        assert!(rest(&mut fourth).await.ends_with("here\n"));
        server.abort();
    }
}
