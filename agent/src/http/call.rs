//! `POST /api/v1`: calls of Mesos' agent API, as far as they are built: sessions in containers, and
//! what containers there are.
//!
//! Whoever may open a session may do what the task may. So the operator says from where that is
//! allowed, and pages in browsers never may: a request says its type as no form can, and one that
//! names the page that it comes from is refused.

use super::{Ask, Context};
use super::{limits as task_limits, session};
use crate::listen::Peer;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::agent_api::{self, Call, ContainerPath};
use proto::{ContainerId, Encoding, Limits, Wire};
use std::time::Duration;

/// Longest body of a call, and longest record of input.
pub(super) const BODY: usize = 1 << 20;
/// How long a body, and the first record of a stream, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Which encoding the records of a stream have.
pub(super) const MESSAGE_TYPE: HeaderName = HeaderName::from_static("message-content-type");
const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
/// The media type of streams.
pub(super) const RECORDS: &str = "application/recordio";

/// From where sessions may be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionsFrom {
    /// From nowhere.
    Nowhere,
    /// From this machine, by root and the agent's own user.
    #[default]
    Loopback,
    /// From everywhere that reaches the agent's port.
    Anywhere,
}

/// Why a call is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, format!("{}\n", self.message)).into_response()
    }
}

pub(super) fn limits() -> Limits {
    Limits { body_bytes: BODY, ..Limits::DEFAULT }
}

/// The media type of a header, without its parameters.
fn essence(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.split([';', ',']).next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn encoding(named: &str) -> Option<Encoding> {
    [Encoding::Json, Encoding::Protobuf].into_iter().find(|e| e.media_type() == named)
}

/// The encoding of the answer, or of its records; JSON when the caller does not say.
pub(super) fn accept(headers: &HeaderMap) -> Encoding {
    let named = [MESSAGE_ACCEPT, header::ACCEPT];
    let named = named.iter().filter_map(|name| essence(headers, name));
    named.filter_map(|named| encoding(&named)).next().unwrap_or(Encoding::Json)
}

/// The encoding of the body, or of its records if it is a stream.
fn content(headers: &HeaderMap) -> Result<(bool, Encoding), Refusal> {
    let named = essence(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let is_stream = named == RECORDS;
    let named = if is_stream { essence(headers, &MESSAGE_TYPE).unwrap_or_default() } else { named };
    let encoding = encoding(&named).ok_or_else(|| {
        let message = "Content-Type must be application/json or application/x-protobuf; of a \
                       stream, application/recordio with one of these as Message-Content-Type";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    Ok((is_stream, encoding))
}

pub(super) async fn call(State(context): State<Context>, request: Request) -> Response {
    answer(&context, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(context: &Context, request: Request) -> Result<Response, Refusal> {
    let (is_stream, encoding) = content(request.headers())?;
    let peer = request.extensions().get::<Peer>().copied();
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    if is_stream {
        may_enter(context, &headers, peer)?;
        return session::input(context, body, encoding).await;
    }
    let body = whole(body).await?;
    let call = Call::decode(&body, encoding, &limits())
        .map_err(|error| Refusal::bad(format!("Failed to validate agent::Call: {error}")))?;
    let accept = accept(&headers);
    match call {
        Call::LaunchNestedContainerSession { container, command, terminal } => {
            may_enter(context, &headers, peer)?;
            session::launch(context, container, command, terminal, accept).await
        }
        Call::AttachContainerInput(_) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ATTACH_CONTAINER_INPUT is a stream: send it as application/recordio",
        )),
        Call::AttachContainerOutput { container } => {
            session::output(context, &container, accept).await
        }
        Call::WaitContainer { container, nested } => {
            session::wait(context, &container, nested, accept).await
        }
        Call::KillContainer { container, signal, .. } => {
            may_enter(context, &headers, peer)?;
            session::kill(context, &container, signal).await
        }
        Call::UpdateContainerLimits { container, limits } => {
            may_enter(context, &headers, peer)?;
            task_limits::update(context, container, limits).await
        }
        Call::GetContainers { show_nested, .. } => containers(context, show_nested, accept).await,
        other => {
            let message = format!(
                "{other:?} is not built yet: the agent's state is at /state, files of its tasks at \
                 /files/browse and /files/read, and tasks are launched and killed at the master"
            );
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message))
        }
    }
}

async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, BODY)).await;
    let read = read.map_err(|_| {
        let message = format!("the call did not arrive within {} s", PATIENCE.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    })?;
    read.map_err(|_| {
        let message = format!("the call broke off, or is longer than {BODY} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
}

/// Whether who asks may open sessions, and end and feed them.
fn may_enter(context: &Context, headers: &HeaderMap, peer: Option<Peer>) -> Result<(), Refusal> {
    let denied = |message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, message));
    if headers.contains_key(header::ORIGIN) {
        return denied("pages in browsers may not open sessions, nor change limits");
    }
    let local = || peer.is_some_and(Peer::is_operator);
    match context.sessions_from {
        SessionsFrom::Anywhere => Ok(()),
        SessionsFrom::Loopback if local() => Ok(()),
        SessionsFrom::Loopback => denied(
            "sessions may be opened, and limits changed, from the agent's own machine only, by root and its own user; its operator can allow \
             more with 'tepui agent --sessions-from anywhere'",
        ),
        SessionsFrom::Nowhere => {
            denied("this agent's operator allows no sessions (--sessions-from nowhere)")
        }
    }
}

/// An answer in one piece.
pub(super) fn respond(response: &agent_api::Response, encoding: Encoding) -> Response {
    let kind = [(header::CONTENT_TYPE, encoding.media_type())];
    (kind, response.encode(encoding)).into_response()
}

/// GET_CONTAINERS. What tasks use is told at `/containers`, in more detail.
async fn containers(
    context: &Context,
    show_nested: bool,
    accept: Encoding,
) -> Result<Response, Refusal> {
    let stopping = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
    let mut views = context.ask(Ask::Containers).await.map_err(stopping)?;
    if show_nested {
        let nested = context.sessions.running().into_iter().map(|path| {
            let ContainerPath { parent, id } = path;
            let of: Option<&agent_api::ContainerView> =
                views.iter().find(|view| Some(&view.container_id) == parent.as_ref());
            agent_api::ContainerView {
                framework_id: of.and_then(|of| of.framework_id.clone()),
                executor_id: of.and_then(|of| of.executor_id.clone()),
                executor_name: of.and_then(|of| of.executor_name.clone()),
                container_id: id,
                parent,
                usage: None,
            }
        });
        let nested: Vec<_> = nested.collect();
        views.extend(nested);
    }
    Ok(respond(&agent_api::Response::Containers(views), accept))
}

/// The container of a task that a session is in.
pub(super) fn parent(path: &ContainerPath) -> Result<&ContainerId, Refusal> {
    path.parent.as_ref().ok_or_else(|| {
        let id = &path.id;
        Refusal::bad(format!("container {id} is that of a task: name a session in it (parent)"))
    })
}
