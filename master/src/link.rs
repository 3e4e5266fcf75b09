//! gRPC streams of schedulers and agents, and the operator's calls, as messages to the core.

use crate::connections::{Message, Pending, Reply, Weigh, outbox};
use crate::http::{Context, Refusal};
use crate::listen::{Kill, Peer};
use crate::watch_link::Told;
use axum::Router;
use grpc::{
    Code, Encoded, Incoming, OperatorHandler, OperatorService, Status, StreamHandler, StreamService,
};
use master_core::ConnectionId;
use proto::agent_link::{AgentCall, Command};
use proto::scheduler::{Call, CallBody, Event};
use proto::{AgentInfo, Encoding, Wire, operator};
use std::pin::Pin;
use std::task::{self, Poll};
use tokio_stream::Stream;

pub(crate) fn router(context: Context) -> Router {
    let limits = context.limits().clone();
    let agent_limits = context.agent_limits().clone();
    let cluster = context.about().cluster.clone();
    let link = Link(context);
    let schedulers = StreamService::<_, Call, Event>::new(link.clone(), limits.clone());
    let agents = StreamService::<_, AgentCall, Command>::new(link.clone(), agent_limits);
    let events = StreamService::<_, operator::Call, Told>::new(link.clone(), limits.clone());
    Router::new()
        .route_service(grpc::SCHEDULER_PATH, schedulers.of_cluster(cluster.clone()))
        .route_service(grpc::AGENT_LINK_PATH, agents.of_cluster(cluster))
        .route_service(grpc::OPERATOR_EVENTS_PATH, events.with_first())
        .route_service(grpc::OPERATOR_PATH, OperatorService::new(link, limits))
}

#[derive(Clone)]
pub(crate) struct Link(Context);

impl Link {
    pub(crate) fn context(&self) -> &Context {
        &self.0
    }
}

/// What a stream sends: its outbox, until the master closes it.
struct Outgoing<T>(Pending<T>);

impl<T: Weigh> Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<T>> {
        self.0.poll_take(cx)
    }
}

fn kill(extensions: &mut http::Extensions) -> Kill {
    extensions.remove().unwrap_or_default()
}

impl StreamHandler<Call, Event> for Link {
    type Outgoing = Pin<Box<dyn Stream<Item = Event> + Send>>;

    fn connect(
        &self,
        mut extensions: http::Extensions,
        mut incoming: Incoming<Call>,
    ) -> Result<Self::Outgoing, Status> {
        let context = self.0.clone();
        let connection = context.streams().number();
        let (outbox, pending) = outbox(context.outbox_limits(), kill(&mut extensions));
        tokio::spawn(async move {
            let mut message = Message::OpenFramework { connection, outbox };
            // Ends with the stream, or with the master.
            while context.send(message).await.is_ok() {
                message = match read(&mut incoming).await {
                    Read::Message(call) => scheduler_message(connection, call),
                    Read::End => break,
                    Read::Unreadable(problem) => {
                        let unreadable = Message::FrameworkUnreadable { connection, problem };
                        let _ = context.send(unreadable).await;
                        break;
                    }
                };
            }
            // Fails only when the master ends.
            let _ = context.send(Message::FrameworkClosed(connection)).await;
        });
        Ok(Box::pin(Outgoing(pending)))
    }
}

impl StreamHandler<AgentCall, Command> for Link {
    type Outgoing = Pin<Box<dyn Stream<Item = Command> + Send>>;

    fn connect(
        &self,
        mut extensions: http::Extensions,
        mut incoming: Incoming<AgentCall>,
    ) -> Result<Self::Outgoing, Status> {
        let context = self.0.clone();
        let connection = context.streams().number();
        let (outbox, pending) = outbox(context.outbox_limits(), kill(&mut extensions));
        tokio::spawn(async move {
            let mut message = Message::OpenAgent { connection, outbox };
            while context.send(message).await.is_ok() {
                message = match read(&mut incoming).await.bounded() {
                    Read::Message(call) => Message::Agent { connection, call },
                    Read::End => break,
                    Read::Unreadable(problem) => {
                        let unreadable = Message::AgentUnreadable { connection, problem };
                        let _ = context.send(unreadable).await;
                        break;
                    }
                };
            }
            // Fails only when the master ends.
            let _ = context.send(Message::AgentClosed(connection)).await;
        });
        Ok(Box::pin(Outgoing(pending)))
    }
}

fn scheduler_message(connection: ConnectionId, call: Call) -> Message {
    let Call { framework_id, body } = call;
    match body {
        CallBody::Subscribe(call) => Message::Subscribe { connection, framework_id, call },
        CallBody::Unsubscribable(problem) => {
            Message::FrameworkUnreadable { connection, problem: problem.to_string() }
        }
        body => Message::Call {
            connection: Some(connection),
            call: Call { framework_id, body },
            reply: Reply::Stream(connection),
        },
    }
}

/// What came next on a stream.
enum Read<T> {
    Message(T),
    /// The stream is over, however that came.
    End,
    /// A message that cannot be decoded, and why; nothing can be read behind it.
    Unreadable(String),
}

/// The longest description of an agent or of a framework that an agent may bring, in bytes: it
/// becomes a fact of the registry, whose records have a limit.
const MAX_DESCRIPTION_BYTES: usize = 4 << 20;

impl Read<AgentCall> {
    /// The same, but what describes an agent or a framework at too great a length is unreadable.
    fn bounded(self) -> Self {
        let Self::Message(call) = self else { return self };
        let problem = |what: &str, bytes: usize| {
            (bytes > MAX_DESCRIPTION_BYTES).then(|| {
                format!("the description of {what} has {bytes} bytes, at most {MAX_DESCRIPTION_BYTES} are taken")
            })
        };
        let agent = |info: &AgentInfo| problem("the agent", info.encode(Encoding::Protobuf).len());
        let too_long = match &call {
            AgentCall::Register { info, .. } => agent(info),
            AgentCall::Reregister { info, frameworks, .. } => agent(info).or_else(|| {
                frameworks.iter().find_map(|framework| {
                    let bytes = framework.encode(Encoding::Protobuf).len();
                    problem(&format!("the framework '{}'", framework.name), bytes)
                })
            }),
            AgentCall::Update { .. }
            | AgentCall::Pong { .. }
            | AgentCall::Message { .. }
            | AgentCall::ExecutorEnded { .. }
            | AgentCall::VolumesApplied { .. }
            | AgentCall::DiskPressure { .. } => None,
        };
        too_long.map_or(Self::Message(call), Self::Unreadable)
    }
}

async fn read<T>(incoming: &mut Incoming<T>) -> Read<T> {
    match incoming.next().await {
        Ok(Some(message)) => Read::Message(message),
        Ok(None) => Read::End,
        Err(status) => {
            tracing::debug!(code = ?status.code(), message = status.message(), "stream ended");
            match status.code() {
                Code::InvalidArgument | Code::OutOfRange => {
                    Read::Unreadable(status.message().to_owned())
                }
                _ => Read::End,
            }
        }
    }
}

impl OperatorHandler for Link {
    async fn call(&self, call: operator::Call) -> Result<operator::Response, Status> {
        if let operator::Call::Subscribe { .. } = call {
            return Err(Status::invalid_argument("SUBSCRIBE is a call of the method Subscribe"));
        }
        let answer = crate::http::operator::answer(&self.0, call).await;
        answer.map_err(status)
    }

    async fn encoded(
        &self,
        call: &operator::Call,
        extensions: &http::Extensions,
    ) -> Result<Option<Encoded>, Status> {
        let peer = extensions.get::<Peer>();
        crate::http::operator::encoded(&self.0, call, peer).await.map_err(status)
    }
}

pub(crate) fn status(refusal: Refusal) -> Status {
    Status::new(grpc_code(refusal.status.as_u16()), refusal.message)
}

fn grpc_code(http: u16) -> Code {
    match http {
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::FailedPrecondition,
        503 => Code::Unavailable,
        501 => Code::Unimplemented,
        _ => Code::InvalidArgument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Attribute, Resources};

    fn registration(attributes: usize) -> Read<AgentCall> {
        let attribute = Attribute::text("a".repeat(200), "b".repeat(800));
        let info = AgentInfo {
            id: None,
            hostname: "h".into(),
            port: 1,
            resources: Resources::cpus_mem(1000, 1000),
            attributes: vec![attribute; attributes],
            domain: None,
        };
        Read::Message(AgentCall::Register { info, version: "1".into(), nonce: 1 })
    }

    #[test]
    fn a_description_that_the_registry_could_not_keep_is_unreadable() {
        assert!(matches!(registration(10).bounded(), Read::Message(_)));
        let Read::Unreadable(problem) = registration(20_000).bounded() else {
            panic!("20 MB of attributes were taken");
        };
        assert!(problem.contains("the agent has"), "{problem}");
    }
}
