//! gRPC streams of schedulers and agents, and the operator's calls, as messages to the core.

use crate::connections::{Message, Outcome, Pending, Reply, outbox};
use crate::http::Context;
use crate::listen::Kill;
use axum::Router;
use grpc::{
    Code, Incoming, OperatorHandler, OperatorService, Status, StreamHandler, StreamService,
};
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
        self.0.events.poll_recv(cx)
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
        let (outbox, pending) = outbox(context.outbox_events(), kill(&mut extensions));
        tokio::spawn(async move {
            let mut message = Message::OpenFramework { connection, outbox };
            // Ends with the stream, or with the master.
            while context.send(message).await.is_ok() {
                let Some(Call { framework_id, body }) = read(&mut incoming).await else { break };
                message = match body {
                    CallBody::Subscribe(call) => {
                        Message::Subscribe { connection, framework_id, call }
                    }
                    body => Message::Call {
                        connection: Some(connection),
                        call: Call { framework_id, body },
                        reply: Reply::Stream(connection),
                    },
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
        let (outbox, pending) = outbox(context.outbox_events(), kill(&mut extensions));
        tokio::spawn(async move {
            let mut message = Message::OpenAgent { connection, outbox };
            while context.send(message).await.is_ok() {
                let Some(call) = read(&mut incoming).await else { break };
                message = Message::Agent { connection, call };
            }
            // Fails only when the master ends.
            let _ = context.send(Message::AgentClosed(connection)).await;
        });
        Ok(Box::pin(Outgoing(pending)))
    }
}

/// The next message; `None` at the end of the stream, however it came.
async fn read<T>(incoming: &mut Incoming<T>) -> Option<T> {
    match incoming.next().await {
        Ok(message) => message,
        Err(status) => {
            tracing::debug!(code = ?status.code(), message = status.message(), "stream ended");
            None
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
