//! `/sessions`: calls of an agent's API that are about sessions in containers, carried to it, so that
//! who opens one need not reach the agent.
//!
//! `POST /sessions?agent_id=ID` takes what `POST /api/v1` of that agent takes, as far as it is about
//! sessions, and answers what it answers. Who may open sessions by way of this master its operator
//! says, as an agent's does: the agent sees but the master's address, and has its own rule for that.
//! Bytes are carried as they are taken: what waits is one buffer of fixed size for each direction.

use super::legacy::Query;
use super::logs::{BUFFER, root};
use super::{Context, Refusal, media, read_body, require_post};
use crate::origin::Caller;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::agent_api::Call;
use proto::{AgentId, Wire};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Sessions, and tasks whose output is shown, at a time; as many may have input, and be waited for.
const AT_A_TIME: usize = 128;
static OUTPUTS: Semaphore = Semaphore::const_new(AT_A_TIME);
static INPUTS: Semaphore = Semaphore::const_new(AT_A_TIME);
static CALLS: Semaphore = Semaphore::const_new(AT_A_TIME);
/// How long an agent may take to be reached, and to answer what it need not wait for.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(40);
/// Most bytes of an agent's reason not to answer.
const REASON: usize = 4 << 10;
/// The media type of streams, and the headers that say what their records are.
const RECORDS: &str = "application/recordio";
const MESSAGE_TYPE: HeaderName = HeaderName::from_static("message-content-type");
const MESSAGE_ACCEPT: HeaderName = HeaderName::from_static("message-accept");
/// Headers that go on to the agent, and those that come back.
const THERE: [HeaderName; 4] = [header::CONTENT_TYPE, header::ACCEPT, MESSAGE_TYPE, MESSAGE_ACCEPT];
const BACK: [HeaderName; 2] = [header::CONTENT_TYPE, MESSAGE_TYPE];

/// From where sessions may be opened by way of a master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionsFrom {
    /// From nowhere.
    Nowhere,
    /// From this machine, by root and the master's own user.
    #[default]
    Loopback,
    /// From everywhere that reaches the master's port.
    Anywhere,
}

impl SessionsFrom {
    /// Whether who asks may open sessions, and end and feed them.
    fn check(self, headers: &HeaderMap, is_local: impl FnOnce() -> bool) -> Result<(), Refusal> {
        let denied = |message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, message));
        if headers.contains_key(header::ORIGIN) {
            return denied("pages in browsers may not open sessions");
        }
        match self {
            Self::Anywhere => Ok(()),
            Self::Loopback if is_local() => Ok(()),
            Self::Loopback => denied(
                "sessions may be opened by way of this master from its own machine only, by root \
                 and its own user; its operator can allow more with 'tepui master --sessions-from anywhere'",
            ),
            Self::Nowhere => denied(
                "this master's operator allows no sessions by way of it (--sessions-from nowhere)",
            ),
        }
    }
}

/// What is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Answered by a stream, and at once.
    Output,
    /// A stream that is answered when it ends.
    Input,
    /// Answered when the session is over.
    Wait,
    /// Answered at once.
    Short,
}

impl Kind {
    /// What a call is, and whether it does something to a container.
    fn of(call: &Call) -> Result<(Self, bool), Refusal> {
        match call {
            Call::LaunchNestedContainerSession { .. } => Ok((Self::Output, true)),
            Call::AttachContainerOutput { .. } => Ok((Self::Output, false)),
            Call::WaitContainer { .. } => Ok((Self::Wait, false)),
            Call::KillContainer { .. } => Ok((Self::Short, true)),
            Call::GetContainers { .. } => Ok((Self::Short, false)),
            Call::AttachContainerInput(_) => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "ATTACH_CONTAINER_INPUT is a stream: send it as application/recordio",
            )),
            _ => Err(Refusal::bad_request(
                "only calls about sessions in containers are carried to agents: ask the agent itself",
            )),
        }
    }

    fn place(self) -> Result<SemaphorePermit<'static>, Refusal> {
        let places = match self {
            Self::Output => &OUTPUTS,
            Self::Input => &INPUTS,
            Self::Wait | Self::Short => &CALLS,
        };
        places.try_acquire().map_err(|_| {
            let message = format!(
                "{AT_A_TIME} sessions are open by way of this master: close one, ask again, or ask \
                 the agent itself"
            );
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })
    }

    /// How long the agent may take to begin its answer.
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Output | Self::Short => Some(CONNECT + ANSWER),
            Self::Input | Self::Wait => None,
        }
    }
}

pub(super) async fn sessions(context: &Context, request: Request) -> Result<Response, Refusal> {
    require_post(&request)?;
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let agent_id = query.get("agent_id").ok_or_else(|| {
        Refusal::bad_request("name the agent that has the container: /sessions?agent_id=ID")
    })?;
    let agent_id = AgentId::new(agent_id)
        .map_err(|error| Refusal::bad_request(format!("agent_id {agent_id:?}: {error}")))?;
    let (parts, body) = request.into_parts();
    let is_local = || parts.extensions.get::<Caller>().is_some_and(Caller::is_operators);
    let check = || context.sessions_from().check(&parts.headers, is_local);
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let (kind, body) = if kind == Some(RECORDS) {
        check()?;
        (Kind::Input, body)
    } else {
        let encoding = media::content_type(&parts.headers)?;
        let body = read_body(context, body).await?;
        let call = Call::decode(&body, encoding, context.limits()).map_err(|error| {
            Refusal::bad_request(format!("Failed to validate agent::Call: {error}"))
        })?;
        let (kind, enters) = Kind::of(&call)?;
        if enters {
            check()?;
        }
        (kind, Body::from(body))
    };
    let model = context.model().await?;
    let Some(row) = model.agents.get(&agent_id) else {
        let message = format!("no agent {agent_id} is known: it never was, or is gone");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    };
    let info = &row.record.info;
    let address = format!("{}:{}", info.hostname, info.port);
    drop(model);
    let place = kind.place()?;
    let mut request = http::Request::post(format!("http://{address}/api/v1"));
    for name in &THERE {
        for value in parts.headers.get_all(name) {
            request = request.header(name, value);
        }
    }
    let answer = ask(&agent_id, &address, request.body(body), kind.limit()).await?;
    let (head, body) = answer.into_parts();
    let body = body.map_frame(move |frame| {
        let _ = &place;
        frame
    });
    let mut response = Response::new(Body::new(body));
    for name in &BACK {
        let value = head.headers.get(name).cloned();
        response.headers_mut().extend(value.map(|value| (name.clone(), value)));
    }
    Ok(response)
}

/// Asks the agent; what it refuses is refused in its words.
async fn ask(
    agent_id: &AgentId,
    address: &str,
    request: Result<http::Request<Body>, http::Error>,
    limit: Option<Duration>,
) -> Result<http::Response<hyper::body::Incoming>, Refusal> {
    let away =
        |status, why: String| Refusal::new(status, format!("agent {agent_id} at {address} {why}"));
    let bad = StatusCode::BAD_GATEWAY;
    let request = request.map_err(|error| away(bad, format!("has no address: {error}")))?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    // What is typed must not wait for the answer to what was typed before.
    connector.set_nodelay(true);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(BUFFER)
        .build(connector);
    let answer = client.request(request);
    let answer = match limit {
        Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| {
            let why = format!("did not answer in {} s", limit.as_secs());
            away(StatusCode::GATEWAY_TIMEOUT, why)
        })?,
        None => answer.await,
    };
    let answer =
        answer.map_err(|error| away(bad, format!("cannot be reached ({})", root(&error))))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let words = Limited::new(answer.into_body(), REASON).collect();
    let words = tokio::time::timeout(CONNECT, words).await.ok().and_then(Result::ok);
    let words = words.map(|words| words.to_bytes()).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let is_its_own = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
    let status = if is_its_own { status } else { bad };
    Err(Refusal::new(status, format!("agent {agent_id}: {}", words.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_who_the_operator_allows_opens_sessions_and_never_a_page() {
        let none = HeaderMap::new();
        let mut page = HeaderMap::new();
        page.insert(header::ORIGIN, HeaderValue::from_static("http://evil"));
        for (from, local, away) in [
            (SessionsFrom::Loopback, true, false),
            (SessionsFrom::Anywhere, true, true),
            (SessionsFrom::Nowhere, false, false),
        ] {
            assert_eq!(from.check(&none, || true).is_ok(), local, "{from:?}");
            assert_eq!(from.check(&none, || false).is_ok(), away, "{from:?}");
            let refusal = from.check(&page, || true).unwrap_err();
            assert_eq!(refusal.status, StatusCode::FORBIDDEN);
        }
        let refusal = SessionsFrom::default().check(&none, || false).unwrap_err();
        assert!(refusal.message.contains("tepui master --sessions-from"), "{}", refusal.message);
    }

    #[test]
    fn only_calls_about_sessions_are_carried() {
        let containers = Call::GetContainers { show_nested: false, show_standalone: false };
        assert_eq!(Kind::of(&containers).map_err(|r| r.message), Ok((Kind::Short, false)));
        for call in [Call::GetState, Call::GetFlags, Call::GetHealth] {
            let refusal = Kind::of(&call).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
    }
}
