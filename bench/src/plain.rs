//! A server of nothing but our gRPC layer, as a child: the floor of what a master does.
//!
//! It listens as the master does (one thread, the same settings of HTTP/2, agents with the HTTP/2
//! that is made for them). For schedulers it answers each message with one of the size that its
//! first four bytes ask for. For agents it decodes each message and answers as if the agent had
//! come back.

use crate::master::free_address;
use crate::raw::Raw;
use bytes::Bytes;
use grpc::{Incoming, Status, StreamHandler, StreamService};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{AgentId, Limits, MasterId};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// The server as a child.
pub(crate) struct Plain {
    child: Child,
    /// Its `host:port`.
    pub(crate) address: String,
}

impl Plain {
    /// Starts it, for the streams at this path; it may not listen yet.
    pub(crate) fn start(path: &str) -> Self {
        let address = free_address();
        let own = std::env::current_exe().expect("a process has a program");
        let child = Command::new(own)
            .args(["plain", &address, path])
            .stdin(Stdio::null())
            .spawn()
            .expect("a program starts itself");
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // It ends with us in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens.
pub(crate) async fn listening(address: &str) {
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How long the first words of an agent are waited for.
const FIRST_WORDS: Duration = Duration::from_secs(10);

/// Serves the streams at this path for ever.
pub(crate) fn serve(address: &str, path: &str) {
    let is_of_agents = path == grpc::AGENT_LINK_PATH;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket is to be had");
        socket.bind(address.parse().expect("an address")).expect("the port is free");
        let listener = socket.listen(4_096).expect("it is bound");
        let both = Both::new();
        loop {
            let (stream, _) = listener.accept().await.expect("a connection is accepted");
            stream.set_nodelay(true).expect("a socket option");
            match is_of_agents {
                true => drop(tokio::spawn(serve_agents(stream, both.clone()))),
                false => drop(tokio::spawn(serve_schedulers(stream, both.clone()))),
            }
        }
    });
}

/// However it ends, its client notices.
async fn serve_agents(mut stream: TcpStream, both: Both) {
    if let Ok(begun) = grpc::slim::begin(&mut stream, FIRST_WORDS).await {
        let _ = grpc::slim::Serving::new(stream, &begun.bytes, both).await;
    }
}

async fn serve_schedulers(stream: TcpStream, both: Both) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(grpc::tuning::STREAM_WINDOW)
        .initial_connection_window_size(grpc::tuning::CONNECTION_WINDOW)
        .max_concurrent_streams(128);
    let service = TowerToHyperService::new(both);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Both services.
#[derive(Clone)]
struct Both {
    echo: StreamService<Echo, Raw, Raw>,
    agents: StreamService<Greet, AgentCall, AgentEvent>,
}

impl Both {
    fn new() -> Self {
        let limits = Limits { body_bytes: 64 << 20, list_items: 1 << 20, ..Limits::DEFAULT };
        let answer = Bytes::from(vec![0x5a; 16 << 20]);
        Self {
            echo: StreamService::new(Echo(answer), limits.clone()),
            agents: StreamService::new(Greet, limits),
        }
    }
}

impl<B> tower::Service<http::Request<B>> for Both
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = <StreamService<Echo, Raw, Raw> as tower::Service<http::Request<B>>>::Response;
    type Error = std::convert::Infallible;
    type Future = <StreamService<Echo, Raw, Raw> as tower::Service<http::Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() == grpc::AGENT_LINK_PATH {
            self.agents.call(request)
        } else {
            self.echo.call(request)
        }
    }
}

/// What a stream sends.
struct Answers<T>(mpsc::UnboundedReceiver<T>);

impl<T> Stream for Answers<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}

#[derive(Clone)]
struct Echo(Bytes);

impl StreamHandler<Raw, Raw> for Echo {
    type Outgoing = Answers<Raw>;

    fn connect(
        &self,
        _: http::Extensions,
        mut incoming: Incoming<Raw>,
    ) -> Result<Self::Outgoing, Status> {
        let (sender, answers) = mpsc::unbounded_channel();
        let answer = self.0.clone();
        tokio::spawn(async move {
            while let Ok(Some(Raw(message))) = incoming.next().await {
                let size = message.first_chunk().map_or(0, |size| u32::from_le_bytes(*size));
                // Nobody may listen any more; then nothing comes either.
                let _ = sender.send(Raw(answer.slice(..size as usize)));
            }
        });
        Ok(Answers(answers))
    }
}

#[derive(Clone)]
struct Greet;

impl StreamHandler<AgentCall, AgentEvent> for Greet {
    type Outgoing = Answers<AgentEvent>;

    fn connect(
        &self,
        _: http::Extensions,
        mut incoming: Incoming<AgentCall>,
    ) -> Result<Self::Outgoing, Status> {
        let (sender, answers) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(call)) = incoming.next().await {
                // What was decoded is let go of, as everything of a master that does nothing.
                drop(call);
                let _ = sender.send(AgentEvent::Reregistered {
                    agent_id: AgentId::new("agent").expect("an id"),
                    master_id: MasterId::new("master").expect("an id"),
                    ping_timeout: Duration::from_secs(5),
                    reconcile: Vec::new(),
                });
            }
        });
        Ok(Answers(answers))
    }
}
