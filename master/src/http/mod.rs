//! The HTTP API: paths to handlers, and what every handler shares.
//!
//! Paths are matched by their longest prefix, with or without `/master` before them and a slash
//! behind them, as clients of Mesos write them.

mod events;
pub(crate) mod follow;
mod json;
mod legacy;
mod logs;
mod media;
pub(crate) mod operator;
pub(crate) mod pieces;
mod read;
mod scheduler;
mod select;
mod sessions;
mod system;

use crate::Config;
use crate::connections::{Message, OutboxLimits, Streams};
use crate::logging::Logging;
use crate::membership::Membership;
use crate::reads::{Model, NoAnswer, Reads};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
pub(crate) use legacy::stale::Stale;
pub(crate) use legacy::{About, Totals};
use legacy::{Forward, Read};
use pieces::{Pieces, Reading};
use proto::Limits;
pub use sessions::SessionsFrom;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Context(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inbox: mpsc::Sender<Message>,
    streams: Arc<Streams>,
    counts: Arc<HttpCounts>,
    limits: Limits,
    agent_limits: Limits,
    outbox: OutboxLimits,
    request_timeout: Duration,
    read_whole: Duration,
    about: Arc<About>,
    reads: Reads,
    logging: Arc<Logging>,
    membership: Membership,
    sessions_from: SessionsFrom,
}

impl Context {
    pub(crate) fn new(
        config: &Config,
        about: About,
        inbox: mpsc::Sender<Message>,
        streams: Arc<Streams>,
        reads: Reads,
        follower: &follow::Following,
        term: u64,
    ) -> Self {
        Self(Arc::new(Shared {
            inbox,
            streams,
            counts: Arc::clone(&follower.counts),
            limits: config.limits.clone(),
            agent_limits: config.agent_limits.clone(),
            outbox: OutboxLimits {
                waiting: config.outbox_events,
                bytes: config.outbox_bytes,
                stall: config.reader_stall,
            },
            request_timeout: config.request_timeout,
            read_whole: config.read_whole,
            about: Arc::new(about),
            reads,
            logging: Arc::clone(&follower.logging),
            sessions_from: config.sessions_from,
            membership: Membership { term, ..follower.membership.clone() },
        }))
    }

    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.0.streams
    }

    pub(crate) fn about(&self) -> &Arc<About> {
        &self.0.about
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.0.membership
    }

    pub(crate) fn sessions_from(&self) -> SessionsFrom {
        self.0.sessions_from
    }

    pub(crate) fn logging(&self) -> &Arc<Logging> {
        &self.0.logging
    }

    /// What the core knows, and nothing older than what was acknowledged before the call: a master
    /// that was stopped for a while, or is cut off, finds out first whether it still leads.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn model(&self) -> Result<Arc<Model>, Refusal> {
        self.0.membership.surely_lead().await?;
        Ok(self.0.reads.snapshot().await?)
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn agent_limits(&self) -> &Limits {
        &self.0.agent_limits
    }

    /// The two ends of an answer to a reader over HTTP.
    pub(crate) fn answer(&self) -> (Pieces, Reading) {
        pieces::pieces(self.reads().pace(), self.0.outbox.stall, self.0.read_whole)
    }

    pub(crate) fn outbox_limits(&self) -> OutboxLimits {
        self.0.outbox
    }

    /// Hands a message to the core's task, waiting while it has too many.
    ///
    /// # Errors
    /// When the master is stopping.
    pub(crate) fn send(&self, message: Message) -> impl Future<Output = Result<(), Stopping>> + '_ {
        // At once where there is room, so that what waits for the next message has no room for one.
        let sent = match self.0.inbox.try_send(message) {
            Ok(()) => Ok(None),
            Err(TrySendError::Closed(_)) => Err(Stopping),
            Err(TrySendError::Full(message)) => Ok(Some(Box::pin(self.0.inbox.send(message)))),
        };
        async move {
            if let Some(waiting) = sent? {
                return waiting.await.map_err(|_| Stopping);
            }
            // Who brings many lets others have their turn.
            tokio::task::coop::consume_budget().await;
            Ok(())
        }
    }
}

/// The master is stopping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopping;

/// HTTP answers by route and status code.
#[derive(Debug, Default)]
pub(crate) struct HttpCounts(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl HttpCounts {
    fn count(&self, route: &'static str, status: StatusCode) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((route, status.as_u16())).or_default() += 1;
    }

    /// Route, status code, answers.
    pub(crate) fn read(&self) -> Vec<(&'static str, u16, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((route, code), count)| (*route, *code, *count)).collect()
    }
}

/// Everything that is not gRPC.
pub(crate) fn router(context: Context) -> Router {
    Router::new().fallback(dispatch).with_state(context)
}

#[derive(Clone, Copy)]
enum Route {
    Scheduler,
    Operator,
    Version,
    Health,
    Redirect,
    Metrics,
    Index,
    Read(Read),
    Forward(Forward),
    Weights,
    Quota,
    Files,
    Logs,
    Sessions,
    Logging,
    Stats,
    NotBuilt,
}

/// Longer paths before their prefixes.
const ROUTES: &[(&str, Route)] = &[
    ("/api/v1/scheduler", Route::Scheduler),
    ("/api/v1", Route::Operator),
    ("/version", Route::Version),
    ("/health", Route::Health),
    ("/redirect", Route::Redirect),
    ("/metrics/snapshot", Route::Read(Read::Metrics)),
    ("/metrics", Route::Metrics),
    ("/state-summary", Route::Read(Read::Summary)),
    ("/state", Route::Read(Read::State)),
    ("/slaves", Route::Read(Read::Agents)),
    ("/frameworks", Route::Read(Read::Frameworks)),
    ("/tasks", Route::Read(Read::Tasks)),
    ("/roles", Route::Read(Read::Roles)),
    ("/weights", Route::Weights),
    ("/quota", Route::Quota),
    ("/offers", Route::Read(Read::Offers)),
    ("/operations", Route::Read(Read::Operations)),
    ("/reserve", Route::Forward(Forward::Reserve)),
    ("/unreserve", Route::Forward(Forward::Unreserve)),
    ("/create-volumes", Route::Forward(Forward::CreateVolumes)),
    ("/destroy-volumes", Route::Forward(Forward::DestroyVolumes)),
    ("/teardown", Route::Forward(Forward::Teardown)),
    ("/maintenance/schedule", Route::Forward(Forward::Schedule)),
    ("/maintenance/status", Route::Forward(Forward::Status)),
    ("/machine/down", Route::Forward(Forward::MachineDown)),
    ("/machine/up", Route::Forward(Forward::MachineUp)),
    ("/flags", Route::Read(Read::Flags)),
    ("/files", Route::Files),
    ("/registrar(1)/registry", Route::NotBuilt),
    ("/logs", Route::Logs),
    ("/sessions", Route::Sessions),
    ("/logging/toggle", Route::Logging),
    ("/system/stats.json", Route::Stats),
];

fn route(path: &str) -> Option<(&'static str, Route)> {
    let path = match path.strip_prefix("/master") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    if path.is_empty() || path == "/" {
        return Some(("/", Route::Index));
    }
    ROUTES.iter().copied().find(|(prefix, _)| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether the path is one of operators: what is answered there may be big, and is not urgent.
pub(crate) fn is_for_operators(path: &str) -> bool {
    match route(path) {
        Some((_, Route::Scheduler | Route::Version | Route::Health | Route::Redirect)) | None => {
            false
        }
        Some((_, Route::Metrics | Route::Index)) => false,
        Some((_, Route::Operator | Route::Read(_) | Route::Forward(_))) => true,
        Some((_, Route::Weights | Route::Quota | Route::Files | Route::NotBuilt)) => true,
        Some((_, Route::Logs | Route::Sessions | Route::Logging | Route::Stats)) => false,
    }
}

/// Whether the path is that of sessions, where it counts who asks.
pub(crate) fn is_for_sessions(path: &str) -> bool {
    matches!(route(path), Some((_, Route::Sessions)))
}

async fn dispatch(State(context): State<Context>, request: Request) -> Response {
    let Some((name, route)) = route(request.uri().path()) else {
        let response = text(StatusCode::NOT_FOUND, "there is nothing at this path");
        context.0.counts.count("unknown", response.status());
        return response;
    };
    let method = request.method().clone();
    let answer: Result<Response, Refusal> = match route {
        Route::Scheduler => scheduler::handle(&context, request).await,
        Route::Operator => operator::handle(&context, request).await,
        Route::Version => read::version(&context.about().version, &method),
        Route::Health => read::health(&context.membership().standing, &method),
        Route::Stats => system::stats(&method),
        Route::Redirect => read::redirect(&context.about().authority, &method),
        Route::Metrics => read::metrics(&context, &method).await,
        Route::Index => read::index(&context, &method),
        Route::Read(read) => legacy::read(&context, request, read).await,
        Route::Weights if matches!(method, Method::GET | Method::HEAD) => {
            legacy::read(&context, request, Read::Weights).await
        }
        Route::Weights => legacy::forward(&context, request, Forward::Weights).await,
        Route::Quota if matches!(method, Method::GET | Method::HEAD) => {
            legacy::read(&context, request, Read::Quota).await
        }
        Route::Quota => legacy::forward(&context, request, Forward::Quota).await,
        Route::Logging => legacy::toggle(context.logging(), &request),
        Route::Forward(to) => legacy::forward(&context, request, to).await,
        Route::Files => legacy::files(&request),
        Route::Logs => logs::logs(&context, request).await,
        Route::Sessions => sessions::sessions(&context, request).await,
        Route::NotBuilt => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "{name} of the Mesos API is not built yet; POST /api/v1 has GET_STATE and more"
            ),
        )),
    };
    let response = answer.unwrap_or_else(IntoResponse::into_response);
    context.0.counts.count(name, response.status());
    response
}

/// An answer in plain text.
fn text(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(Body::from(message.to_owned()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A request that is not done, and why: the status and a sentence.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The methods that would be, when the method is at fault.
    allow: Option<&'static str>,
    /// In how long it may be done, where that is known.
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), allow: None, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this master is stopping, or leads no more: ask again",
        )
    }

    /// The core's refusal.
    fn of_core(code: u16, message: String) -> Self {
        Self::new(StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST), message)
    }

    fn method(expected: &str, method: &Method, allow: &'static str) -> Self {
        let message = format!("Expecting '{expected}', received '{method}'");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }
}

impl From<NoAnswer> for Refusal {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Stopping => Self::stopping(),
            NoAnswer::Behind => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the master's copy of the state fell behind and is being made anew: ask again",
            ),
            NoAnswer::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many big answers are being made, or wait to be read on this connection: ask \
                 again, or for less at a time",
            ),
            NoAnswer::NoPlace(limits) => Self {
                retry_after: Some(limits.wait),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "{} answers are being read at a time, {} from one address, and none of \
                         these ended within {:?}: ask again, or for less at a time",
                        limits.at_a_time,
                        limits.of_address(),
                        limits.wait
                    ),
                )
            },
        }
    }
}

impl From<Stopping> for Refusal {
    fn from(Stopping: Stopping) -> Self {
        Self::stopping()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = text(self.status, &self.message);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, and never at once.
            let after = HeaderValue::from(after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

fn require_post(request: &Request) -> Result<(), Refusal> {
    match request.method() {
        &Method::POST => Ok(()),
        method => Err(Refusal::method("POST", method, "POST")),
    }
}

/// Reads a body within its limit and in time.
async fn read_body(context: &Context, body: Body) -> Result<Bytes, Refusal> {
    let limit = context.0.limits.body_bytes;
    let too_large = || {
        let message = format!("a request may have at most {limit} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    // What is announced need not be waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let read = Limited::new(body, limit).collect();
    match tokio::time::timeout(context.0.request_timeout, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body could not be read: {error}"))),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {:?}", context.0.request_timeout),
        )),
    }
}
