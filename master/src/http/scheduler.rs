//! `POST /api/v1/scheduler`: the scheduler API of Mesos, with its order of checks.

use super::events::EventBody;
use super::{Context, Refusal, empty, media, read_body, require_post};
use crate::connections::{Message, Outcome, Reply, outbox};
use crate::listen::Kill;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use master_core::ConnectionId;
use proto::scheduler::{Call, CallBody};
use proto::{Encoding, Wire};
use tokio::sync::oneshot;

const STREAM_ID: &str = "mesos-stream-id";

pub(super) async fn handle(context: &Context, mut request: Request) -> Result<Response, Refusal> {
    require_post(&request)?;
    let encoding = media::content_type(request.headers())?;
    let kill: Kill = request.extensions_mut().remove().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let body = read_body(context, body).await?;
    let call = Call::decode(&body, encoding, context.limits()).map_err(|error| {
        Refusal::bad_request(format!("Failed to validate scheduler::Call: {error}"))
    })?;
    let accept = media::accept(&parts.headers)?;
    let stream_id = parts.headers.get(STREAM_ID);
    match call {
        Call { body: CallBody::Subscribe(_) | CallBody::Unsubscribable(_), .. }
            if stream_id.is_some() =>
        {
            Err(Refusal::bad_request(
                "Subscribe calls should not include the 'Mesos-Stream-Id' header",
            ))
        }
        Call { framework_id, body: CallBody::Subscribe(call) } => {
            let message = |connection| Message::Subscribe { connection, framework_id, call };
            subscribe(context, message, accept, kill).await
        }
        Call { body: CallBody::Unsubscribable(problem), .. } => {
            let problem = problem.to_string();
            let message = |connection| Message::FrameworkUnreadable { connection, problem };
            subscribe(context, message, accept, kill).await
        }
        call => {
            // Mesos answers this one only when it is done.
            let done = match call.body {
                CallBody::UpdateFramework(_) => StatusCode::OK,
                _ => StatusCode::ACCEPTED,
            };
            let connection =
                stream_id.and_then(|id| id.to_str().ok()).and_then(|id| context.streams().find(id));
            let (reply, outcome) = oneshot::channel();
            let message = Message::Call { connection, call, reply: Reply::Http(reply) };
            context.send(message).await?;
            match outcome.await.map_err(|_| Refusal::stopping())? {
                Outcome::Accepted | Outcome::Answer(_) => Ok(empty(done)),
                Outcome::Refused { code, message } => Err(Refusal::of_core(code, message)),
            }
        }
    }
}

/// Opens the stream: what follows, also a refusal, is an event on it.
async fn subscribe(
    context: &Context,
    message: impl FnOnce(ConnectionId) -> Message,
    encoding: Encoding,
    kill: Kill,
) -> Result<Response, Refusal> {
    let connection = context.streams().number();
    let stream_id = context.streams().name(connection);
    let (outbox, pending) = outbox(context.outbox_limits(), kill);
    // From here on its drop tells the core.
    let body = EventBody::new(context.clone(), connection, stream_id, pending, encoding);
    let open = Message::OpenFramework { connection, outbox };
    context.send(open).await?;
    context.send(message(connection)).await?;
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    let id = HeaderValue::from_str(&stream_id.to_string()).expect("a UUID is plain ASCII");
    headers.insert("Mesos-Stream-Id", id);
    Ok(response)
}
