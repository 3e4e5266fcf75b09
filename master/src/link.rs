//! gRPC streams of schedulers and agents, and the operator's calls, as messages to the core.

use crate::connections::{Message, Outcome, Pending, Reply, outbox};
use crate::http::Context;
use crate::listen::Kill;
use axum::Router;
use grpc::{
    Code, Incoming, OperatorHandler, OperatorService, Status, StreamHandler, StreamService,
};
use master_core::ConnectionId;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::operator;
use proto::scheduler::{Call, CallBody, Event};
use std::pin::Pin;
use std::task::{self, Poll};
use tokio::sync::oneshot;
use tokio_stream::Stream;

pub(crate) fn router(context: Context) -> Router {
    let limits = context.limits().clone();
    let agent_limits = context.agent_limits().clone();
    let link = Link(context);
    Router::new()
        .route_service(
            grpc::SCHEDULER_PATH,
            StreamService::<_, Call, Event>::new(link.clone(), limits.clone()),
        )
        .route_service(
            grpc::AGENT_LINK_PATH,
            StreamService::<_, AgentCall, AgentEvent>::new(link.clone(), agent_limits),
        )
        .route_service(grpc::OPERATOR_PATH, OperatorService::new(link, limits))
}

#[derive(Clone)]
struct Link(Context);

/// What a stream sends: its outbox, until the master closes it.
struct Outgoing<T>(Pending<T>);

impl<T> Stream for Outgoing<T> {
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

impl StreamHandler<AgentCall, AgentEvent> for Link {
    type Outgoing = Pin<Box<dyn Stream<Item = AgentEvent> + Send>>;

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
                message = match read(&mut incoming).await {
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
        let ended = || Status::unavailable("the master is stopping");
        let (reply, outcome) = oneshot::channel();
        self.0.send(Message::Operator { call, reply }).await.map_err(|_| ended())?;
        match outcome.await.map_err(|_| ended())? {
            Outcome::Answer(response) => Ok(*response),
            Outcome::Accepted => Ok(operator::Response::Ok),
            Outcome::Refused { code, message } => Err(Status::new(grpc_code(code), message)),
        }
    }
}

fn grpc_code(http: u16) -> Code {
    match http {
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        501 => Code::Unimplemented,
        _ => Code::InvalidArgument,
    }
}
