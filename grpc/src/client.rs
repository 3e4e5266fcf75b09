//! The calling side: one connection, one stream.
//!
//! A connection that breaks ends the stream; whoever holds it decides when to connect again.

use crate::codec::{Incoming, WireCodec};
use crate::{
    AGENT_LINK_PATH, CLUSTER_KEY, OPERATOR_EVENTS_PATH, OPERATOR_PATH, SCHEDULER_PATH, tuning,
};
use proto::agent_link::AgentCall;
use proto::scheduler::{Call, Event};
use proto::{Limits, Wire, operator};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long the connection may take to be made.
    pub connect_timeout: Duration,
    /// How often a silent connection is pinged.
    pub keep_alive_interval: Duration,
    /// How long a ping may stay unanswered.
    pub keep_alive_timeout: Duration,
    /// Messages that wait to be sent; who sends more waits.
    pub queue: usize,
    /// Limits on what the master sends. Wider than the master's own: one OFFERS event speaks of
    /// many agents, one answer of the whole cluster.
    pub limits: Limits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: tuning::CONNECT_TIMEOUT,
            keep_alive_interval: tuning::KEEP_ALIVE_INTERVAL,
            keep_alive_timeout: tuning::KEEP_ALIVE_TIMEOUT,
            queue: tuning::CLIENT_QUEUE,
            limits: Limits { body_bytes: 256 << 20, list_items: 4 << 20, ..Limits::DEFAULT },
        }
    }
}

/// Why there is no connection. `Display` is a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be one.
    #[error("'{address}' is no address: it should be HOST:PORT, such as 127.0.0.1:5050")]
    Address {
        /// What was given.
        address: String,
    },
    /// Nobody answers.
    #[error("no master answers at {address}: check that it runs and that the address is right")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: tonic::transport::Error,
    },
    /// Somebody answers, but not with this service.
    #[error("{address} does not take the connection: {}", .status.message())]
    Refused {
        /// Where.
        address: String,
        /// What it said.
        status: Box<Status>,
    },
}

impl ConnectError {
    /// Where the leading master is, if a master that does not lead said so: `HOST:PORT`.
    pub fn leader(&self) -> Option<&str> {
        match self {
            Self::Refused { status, .. } => crate::leader(status),
            Self::Address { .. } | Self::Unreachable { .. } => None,
        }
    }
}

/// An open stream: what to send goes in, what was received comes out. Dropping `sender` ends it.
#[derive(Debug)]
pub struct Duplex<Out, In> {
    /// Takes messages; waits while the queue is full; fails once the stream is over.
    pub sender: mpsc::Sender<Out>,
    /// Gives messages.
    pub incoming: Incoming<In>,
    /// The cluster that the master says it leads, which is known before anything is sent. Whatever
    /// it is, it was not checked.
    pub cluster: Option<String>,
}

async fn channel(address: &str, options: &ClientOptions) -> Result<Channel, ConnectError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| ConnectError::Address { address: address.to_owned() })?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(tuning::STREAM_WINDOW)
        .initial_connection_window_size(tuning::CONNECTION_WINDOW)
        .http2_keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true);
    endpoint
        .connect()
        .await
        .map_err(|source| ConnectError::Unreachable { address: address.to_owned(), source })
}

/// One connection that many streams share. Each stream is as if it had its own, but for what is
/// in flight: that is shared.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    address: Arc<str>,
    options: ClientOptions,
}

impl Connection {
    /// Connects to the master at `address` (`HOST:PORT`).
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn open(address: &str, options: &ClientOptions) -> Result<Self, ConnectError> {
        let channel = channel(address, options).await?;
        Ok(Self { channel, address: Arc::from(address), options: options.clone() })
    }

    /// Opens an agent's stream, as [`AgentLinkClient::connect`] does.
    ///
    /// # Errors
    /// Why there is no stream.
    pub async fn agent_link<Said>(&self) -> Result<Duplex<AgentCall, Said>, ConnectError>
    where
        Said: Wire + Send + Sync + 'static,
    {
        self.stream(AGENT_LINK_PATH).await
    }

    /// Opens the stream of the service at `path`, whose messages these must be.
    ///
    /// # Errors
    /// Why there is no stream.
    pub async fn stream<Out, In>(&self, path: &'static str) -> Result<Duplex<Out, In>, ConnectError>
    where
        Out: Wire + Send + Sync + 'static,
        In: Wire + Send + Sync + 'static,
    {
        let address = || self.address.to_string();
        let refused =
            |status| ConnectError::Refused { address: address(), status: Box::new(status) };
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.options.limits.body_bytes);
        grpc.ready()
            .await
            .map_err(|source| ConnectError::Unreachable { address: address(), source })?;
        let (sender, queue) = mpsc::channel(self.options.queue);
        let codec = WireCodec::<Out, In>::new(Arc::new(self.options.limits.clone()));
        let path = http::uri::PathAndQuery::from_static(path);
        let request = Request::new(ReceiverStream::new(queue));
        let response = grpc.streaming(request, path, codec).await.map_err(refused)?;
        let cluster = response
            .metadata()
            .get_bin(CLUSTER_KEY)
            .and_then(|name| String::from_utf8(name.to_bytes().ok()?.to_vec()).ok());
        Ok(Duplex { sender, incoming: Incoming::new(response.into_inner()), cluster })
    }
}

async fn open<Out, In>(
    address: &str,
    path: &'static str,
    options: &ClientOptions,
) -> Result<Duplex<Out, In>, ConnectError>
where
    Out: Wire + Send + Sync + 'static,
    In: Wire + Send + Sync + 'static,
{
    Connection::open(address, options).await?.stream(path).await
}

/// The scheduler's client.
pub struct SchedulerClient;

impl SchedulerClient {
    /// Opens a stream to the master at `address` (`HOST:PORT`).
    ///
    /// # Errors
    /// Why there is no stream.
    pub async fn connect(
        address: &str,
        options: &ClientOptions,
    ) -> Result<Duplex<Call, Event>, ConnectError> {
        open(address, SCHEDULER_PATH, options).await
    }
}

/// The agent's client.
pub struct AgentLinkClient;

impl AgentLinkClient {
    /// Opens a stream to the master at `address` (`HOST:PORT`). What it says is a `Command`; who
    /// does not care in which epoch it is said reads an `AgentEvent`.
    ///
    /// # Errors
    /// Why there is no stream.
    pub async fn connect<Said>(
        address: &str,
        options: &ClientOptions,
    ) -> Result<Duplex<AgentCall, Said>, ConnectError>
    where
        Said: Wire + Send + Sync + 'static,
    {
        open(address, AGENT_LINK_PATH, options).await
    }
}

/// The client of those who watch: SUBSCRIBE goes up, events come down.
pub struct WatchClient;

impl WatchClient {
    /// Opens a stream to the master at `address` (`HOST:PORT`). The first message on it must be
    /// SUBSCRIBE.
    ///
    /// # Errors
    /// Why there is no stream.
    pub async fn connect(
        address: &str,
        options: &ClientOptions,
    ) -> Result<Duplex<operator::Call, operator::StreamEvent>, ConnectError> {
        open(address, OPERATOR_EVENTS_PATH, options).await
    }
}

/// Why no master answered a call. `Display` is a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// It is refused.
    #[error("{}", .0.message())]
    Refused(Status),
    /// No address was given.
    #[error("the address of no master is known")]
    Nobody,
}

impl AskError {
    fn leader(&self) -> Option<&str> {
        match self {
            Self::Connect(error) => error.leader(),
            Self::Refused(status) => crate::leader(status),
            Self::Nobody => None,
        }
    }
}

/// The operator's client: one connection for many calls.
#[derive(Clone, Debug)]
pub struct OperatorClient {
    channel: Channel,
    limits: Arc<Limits>,
}

impl OperatorClient {
    /// Connects to the master at `address` (`HOST:PORT`).
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(address: &str, options: &ClientOptions) -> Result<Self, ConnectError> {
        let channel = channel(address, options).await?;
        Ok(Self { channel, limits: Arc::new(options.limits.clone()) })
    }

    /// Makes one call of the master that leads, which is found from any of these addresses, and
    /// gives the connection for more of them.
    ///
    /// # Errors
    /// Why the last one that was tried did not answer.
    pub async fn at_leader(
        masters: impl IntoIterator<Item = impl AsRef<str>>,
        options: &ClientOptions,
        call: &operator::Call,
    ) -> Result<(Self, operator::Response), AskError> {
        let attempt = |at: String| async move {
            let client = Self::connect(&at, options).await.map_err(AskError::Connect)?;
            let response = client.call(call.clone()).await.map_err(AskError::Refused)?;
            Ok((client, response))
        };
        let asked = crate::follow_leader(masters, attempt, AskError::leader).await;
        asked.map_err(|error| error.unwrap_or(AskError::Nobody))
    }

    /// Makes one call.
    ///
    /// # Errors
    /// The master's refusal, or `Unavailable` when the connection broke.
    pub async fn call(&self, call: operator::Call) -> Result<operator::Response, Status> {
        let mut grpc =
            Grpc::new(self.channel.clone()).max_decoding_message_size(self.limits.body_bytes);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = WireCodec::<operator::Call, operator::Response>::new(Arc::clone(&self.limits));
        let path = http::uri::PathAndQuery::from_static(OPERATOR_PATH);
        Ok(grpc.unary(Request::new(call), path, codec).await?.into_inner())
    }
}
