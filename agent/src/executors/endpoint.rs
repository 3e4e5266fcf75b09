//! `POST /api/v1/executor`: the executor API of Mesos, in both encodings.
//!
//! The token is looked at before anything else is read, so that nobody but an executor can make
//! the agent hold a body.

use super::{Secret, Streams};
use crate::http::Ask;
use agent_core::{ExecutorInput, Input};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use proto::executor::{Call, CallBody, Event};
use proto::{ContainerId, Encoding, Limits, Wire, recordio};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A silent stream says that it is there, as often as Mesos' does.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) streams: Streams,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) secret: Secret,
    /// Whether calls without a token are taken.
    pub(crate) open_to_all: bool,
    /// How long the body of a call may take.
    pub(crate) timeout: Duration,
}

/// A call, for the owner of the core.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) call: Call,
    /// The executor whose token came with it.
    pub(crate) holder: Option<ContainerId>,
    /// The stream that a SUBSCRIBE opens.
    pub(crate) stream: u64,
    /// The executor that made the call, once it is taken.
    pub(crate) reply: oneshot::Sender<Result<ContainerId, Refused>>,
}

/// Why a call is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let text = format!("{}\n", self.message);
        let mut response = (self.status, text).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"mesos-agent-executor\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/api/v1/executor", any(handle))
        .route("/slave(1)/api/v1/executor", any(handle))
        .with_state(context)
}

async fn handle(State(context): State<Context>, request: Request) -> Response {
    answer(&context, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(context: &Context, request: Request) -> Result<Response, Refused> {
    if request.method() != Method::POST {
        let message = format!("Expecting 'POST', received '{}'", request.method());
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let (parts, body) = request.into_parts();
    let holder = holder(context, &parts.headers)?;
    let encoding = content_type(&parts.headers)?;
    let accepted = accept(&parts.headers)?;
    let body = read(context, body).await?;
    let call = Call::decode(&body, encoding, &Limits::DEFAULT).map_err(|error| {
        let message = format!("Failed to validate executor::Call: {error}");
        Refused::new(StatusCode::BAD_REQUEST, message)
    })?;
    if matches!(call.body, CallBody::Subscribe { .. }) {
        return subscribe(context, call, holder, accepted).await;
    }
    ask(context, call, holder, 0).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Whose token the request carries.
fn holder(context: &Context, headers: &HeaderMap) -> Result<Option<ContainerId>, Refused> {
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return match context.open_to_all {
            true => Ok(None),
            false => Err(Refused::new(
                StatusCode::UNAUTHORIZED,
                "Expecting 'Authorization: Bearer TOKEN' with the executor's \
                 MESOS_EXECUTOR_AUTHENTICATION_TOKEN",
            )),
        };
    };
    let token = given.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let holder = token.and_then(|(_, token)| context.secret.holder(token.trim()));
    holder.map(Some).ok_or_else(|| {
        let message = "the token in 'Authorization' is of no executor of this agent";
        Refused::new(StatusCode::UNAUTHORIZED, message)
    })
}

async fn read(context: &Context, body: Body) -> Result<Bytes, Refused> {
    let limit = Limits::DEFAULT.body_bytes;
    match tokio::time::timeout(context.timeout, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let message = format!("the body could not be read, or has more than {limit} bytes");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
}

/// Hands a call to the core.
async fn ask(
    context: &Context,
    call: Call,
    holder: Option<ContainerId>,
    stream: u64,
) -> Result<ContainerId, Refused> {
    let stopping = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
    let (reply, answer) = oneshot::channel();
    let asked = Asked { call, holder, stream, reply };
    let sent = context.asks.send(Ask::Executor(Box::new(asked))).await;
    sent.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?
}

async fn subscribe(
    context: &Context,
    call: Call,
    holder: Option<ContainerId>,
    encoding: Encoding,
) -> Result<Response, Refused> {
    let (number, records) = context.streams.open(encoding);
    let taken = ask(context, call, holder, number).await;
    let container_id = taken.inspect_err(|_| context.streams.close(number))?;
    let reader = Reader { context: context.clone(), container_id, number, encoding, records };
    let body = futures_util::stream::unfold(reader, async |mut reader| {
        let record = match tokio::time::timeout(HEARTBEAT, reader.records.recv()).await {
            Ok(record) => record?,
            Err(_) => recordio::encode(&Event::Heartbeat.encode(reader.encoding)),
        };
        Some((Ok::<_, std::convert::Infallible>(record), reader))
    });
    let mut response = Response::new(Body::from_stream(body));
    let media = HeaderValue::from_static(encoding.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}

/// The reading end of a stream; its drop tells the core.
struct Reader {
    context: Context,
    container_id: ContainerId,
    number: u64,
    encoding: Encoding,
    records: mpsc::Receiver<Bytes>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.context.streams.close(self.number);
        let input = ExecutorInput::Closed { stream: self.number };
        let input = Input::Executor { container_id: self.container_id.clone(), input };
        let inbox = self.context.inbox.clone();
        // The runtime may be ending, and the agent with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { inbox.send(input).await });
        }
    }
}

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// The media type without its parameters, in lower case.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn content_type(headers: &HeaderMap) -> Result<Encoding, Refused> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        let message = "Expecting 'Content-Type' to be present";
        return Err(Refused::new(StatusCode::BAD_REQUEST, message));
    };
    let named = essence(value.to_str().unwrap_or_default());
    BOTH.into_iter().find(|encoding| encoding.media_type() == named).ok_or_else(|| {
        let message = "Expecting 'Content-Type' of application/json or application/x-protobuf";
        Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })
}

/// The encoding of the events; JSON when both will do.
fn accept(headers: &HeaderMap) -> Result<Encoding, Refused> {
    let given = headers.get_all(header::ACCEPT).iter();
    let ranges: Vec<String> = given
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(essence)
        .collect();
    let fits = |encoding: &Encoding| {
        ranges.is_empty()
            || ranges.iter().any(|range| {
                range == "*/*" || range == "application/*" || range == encoding.media_type()
            })
    };
    BOTH.into_iter().find(fits).ok_or_else(|| {
        let message = "Expecting 'Accept' to allow application/json or application/x-protobuf";
        Refused::new(StatusCode::NOT_ACCEPTABLE, message)
    })
}
