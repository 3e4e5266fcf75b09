//! `POST /api/v1`: the operator API of Mesos. What only reads is answered from the copy of the state.

pub(crate) mod local;
pub(crate) mod read;
pub(crate) mod subscribe;

use super::legacy::Query;
use super::pieces::collecting;
use super::select::Wanted;
use super::{Context, Refusal, empty, media, read_body, require_post};
use crate::connections::{Message, Outcome};
use crate::listen::{Kill, Origin, Peer};
use crate::reads::SMALL;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use grpc::Encoded;
use http::{HeaderValue, StatusCode, header};
use proto::{Encoding, Wire, operator};
use tokio::sync::oneshot;

pub(super) async fn handle(context: &Context, mut request: Request) -> Result<Response, Refusal> {
    require_post(&request)?;
    let encoding = media::content_type(request.headers())?;
    let kill: Kill = request.extensions_mut().remove().unwrap_or_default();
    let from = request.extensions().get().copied();
    let (parts, body) = request.into_parts();
    let body = read_body(context, body).await?;
    let call = operator::Call::decode(&body, encoding, context.limits()).map_err(|error| {
        Refusal::bad_request(format!("Failed to validate master::Call: {error}"))
    })?;
    let accept = media::accept(&parts.headers)?;
    if let operator::Call::Subscribe { resume } = call {
        return subscribe::subscribe(context, resume, accept, (from, kill)).await;
    }
    if let Some((read, wanted)) = read::read_of(&call) {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let wanted = if query.is_empty() { wanted } else { query.wanted(usize::MAX) };
        if accept == Encoding::Protobuf && !wanted.fields.is_all() {
            return Err(Refusal::bad_request("'fields' can be named for answers in JSON only"));
        }
        return read_copy(context, from, (read.clone(), wanted), accept).await;
    }
    // What an agent has changes at once, and what it does about its volumes takes its time.
    let done = match call {
        operator::Call::ChangeResources { .. } => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let response = match answer(context, call).await? {
        operator::Response::Ok => return Ok(empty(done)),
        response => response,
    };
    let mut answer = Response::new(Body::from(response.encode(accept)));
    let media_type = HeaderValue::from_static(accept.media_type());
    answer.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(answer)
}

/// Answers a call that the copy has no answer to.
///
/// # Errors
/// Why it is not done.
pub(crate) async fn answer(
    context: &Context,
    call: operator::Call,
) -> Result<operator::Response, Refusal> {
    if let Some(response) = local::answer(context, &call).await? {
        return Ok(response);
    }
    let (reply, outcome) = oneshot::channel();
    context.send(Message::Operator { call, reply }).await?;
    match outcome.await.map_err(|_| Refusal::stopping())? {
        Outcome::Answer(response) => Ok(*response),
        Outcome::Accepted => Ok(operator::Response::Ok),
        Outcome::Refused { code, message } => Err(Refusal::of_core(code, message)),
    }
}

/// Answers a read in pieces.
async fn read_copy(
    context: &Context,
    from: Option<Origin>,
    (call, wanted): (operator::Call, Wanted),
    encoding: Encoding,
) -> Result<Response, Refusal> {
    let place = context.reads().reader(from).await?;
    let model = context.model().await?;
    let (mut out, reading) = context.answer();
    let job = async move {
        read::write(&mut out, &model, &call, &wanted, encoding).await?;
        // The snapshot need not wait for the reader of the last piece.
        drop(model);
        out.finish().await
    };
    context.reads().write(place, job)?;
    reading.into_response(encoding.media_type()).await.ok_or_else(Refusal::stopping)
}

/// Answers a read in protobuf, whole, for who cannot take it in pieces; `None` for other calls.
///
/// # Errors
/// Why it is not done.
pub(crate) async fn encoded(
    context: &Context,
    call: &operator::Call,
    peer: Option<&Peer>,
) -> Result<Option<Encoded>, Refusal> {
    let Some((call, wanted)) = read::read_of(call) else { return Ok(None) };
    if !wanted.fields.is_all() {
        return Err(Refusal::bad_request("'fields' can be named for answers in JSON only"));
    }
    let reads = context.reads();
    let made = if let Some(pieces) = collect(context, call, &wanted, SMALL, ()).await? {
        reads.whole(pieces, None)
    } else {
        let (making, connection) = reads.place(peer).await?.split();
        let pieces = collect(context, call, &wanted, usize::MAX, making).await?;
        reads.whole(pieces.ok_or_else(Refusal::stopping)?, connection)
    };
    made.map(Some).map_err(|status| Refusal::bad_request(status.message()))
}

/// Writes an answer, if it has at most `most` bytes; `keep` is held until then.
async fn collect(
    context: &Context,
    call: &operator::Call,
    wanted: &Wanted,
    most: usize,
    keep: impl Send + 'static,
) -> Result<Option<Vec<Bytes>>, Refusal> {
    let model = context.model().await?;
    let mut out = collecting(context.reads().pace(), most);
    let (call, wanted) = (call.clone(), wanted.clone());
    let (reply, answer) = oneshot::channel();
    let job = async move {
        let written = read::write(&mut out, &model, &call, &wanted, Encoding::Protobuf).await;
        // Who asked may have left.
        let _ = reply.send(written.ok().and_then(|()| out.collected()));
        drop(keep);
        Ok(())
    };
    context.reads().write_kept(job).await?;
    answer.await.map_err(|_| Refusal::stopping())
}
