//! `/logs`: what a task printed, from the agent that has it, so that who asks need not know which
//! one that is, nor reach it.
//!
//! `task_id` names the task, `framework_id` whose it is where several have one of that name, and
//! `stream` is `stdout` (or absent) or `stderr`; the rest of the query is the agent's `/files/log`.
//! Bytes are carried as the reader takes them: a slow one costs a buffer of fixed size.

use super::legacy::Query;
use super::{Context, Refusal, read};
use crate::reads::Model;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::{AgentId, FrameworkId, TaskId};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Logs that are carried at one time.
const AT_A_TIME: usize = 256;
static PLACES: Semaphore = Semaphore::const_new(AT_A_TIME);
/// Bytes of one log that wait for its reader.
pub(super) const BUFFER: usize = 64 << 10;
/// How long an agent may take to be reached, and to begin its answer beyond what it is to wait.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// How long an agent waits for a task that is on its way to it.
const ARRIVAL_MS: u64 = 5_000;
/// Most bytes of an agent's reason not to answer.
const REASON: usize = 4 << 10;
/// Parameters that go on to the agent, which checks them.
const NUMBERS: [&str; 5] = ["offset", "since", "ago", "tail", "length"];
/// What an agent says of where its answer begins.
const OFFSET: HeaderName = HeaderName::from_static("tepui-log-offset");

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    agent_id: AgentId,
    framework_id: FrameworkId,
    task_id: TaskId,
}

pub(super) async fn logs(context: &Context, request: Request) -> Result<Response, Refusal> {
    read::require_read(request.method())?;
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let task_id = query.get("task_id").ok_or_else(|| {
        Refusal::bad_request("name a task: /logs?task_id=TASK, with &framework_id=ID if need be")
    })?;
    let task_id = TaskId::new(task_id)
        .map_err(|error| Refusal::bad_request(format!("task_id {task_id:?}: {error}")))?;
    let framework = query.get("framework_id").map(|id| {
        FrameworkId::new(id)
            .map_err(|error| Refusal::bad_request(format!("framework_id {id:?}: {error}")))
    });
    let framework = framework.transpose()?;
    let stream = match query.get("stream") {
        None | Some("stdout") => "stdout",
        Some("stderr") => "stderr",
        Some(other) => {
            let message = format!("stream {other:?}: a task has stdout and stderr");
            return Err(Refusal::bad_request(message));
        }
    };
    let model = context.model().await?;
    let found = find(&model, framework.as_ref(), &task_id)?;
    let Some(row) = model.agents.get(&found.agent_id) else {
        let message = format!(
            "task {task_id} ran on agent {}, which is gone, and its log with it",
            found.agent_id
        );
        return Err(Refusal::new(StatusCode::GONE, message));
    };
    let info = &row.record.info;
    let address = format!("{}:{}", info.hostname, info.port);
    drop(model);
    let place = PLACES.try_acquire().map_err(|_| {
        let message = format!("{AT_A_TIME} logs are being read by way of this master: ask again");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let uri = format!("http://{address}{}", path(&found, stream, &query)?);
    let answer = ask(&found, &address, &uri).await?;
    let offset = answer.headers().get(OFFSET).cloned();
    let body = answer.into_body().map_frame(move |frame| {
        let _ = &place;
        frame
    });
    let mut response = Response::new(Body::new(body));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().extend(offset.map(|offset| (OFFSET, offset)));
    Ok(response)
}

/// The task, if there is one of that name: one that is not over before those that are, and of those
/// of one framework the newest.
fn find(
    model: &Model,
    framework: Option<&FrameworkId>,
    task_id: &TaskId,
) -> Result<Source, Refusal> {
    let is_asked = |id: &FrameworkId| framework.is_none_or(|framework| framework == id);
    let mut found: Vec<Source> = Vec::new();
    let mut add = |framework_id: &FrameworkId, agent_id: &AgentId| {
        let known = found.iter_mut().find(|source| source.framework_id == *framework_id);
        let (framework_id, task_id) = (framework_id.clone(), task_id.clone());
        let source = Source { agent_id: agent_id.clone(), framework_id, task_id };
        match known {
            Some(older) => *older = source,
            None => found.push(source),
        }
    };
    // Oldest first.
    let completed =
        model.completed.iter().filter(|((id, _), task)| is_asked(id) && task.task_id == *task_id);
    completed.for_each(|((id, _), task)| add(id, &task.agent_id));
    let over = model.past.iter().map(|(_, framework)| &framework.record.id);
    let known = model.frameworks.iter().map(|(id, _)| id);
    for id in known.chain(over).filter(|id| is_asked(id)) {
        if let Some(task) = model.tasks.get(&(id.clone(), task_id.clone())) {
            add(id, &task.agent_id);
        }
    }
    if found.len() > 1 {
        let mut ids = String::new();
        for source in found.iter().take(5) {
            let _ = write!(ids, " {}", source.framework_id);
        }
        let message = format!(
            "{} frameworks have a task {task_id}: say which one is meant with framework_id:{ids}",
            found.len()
        );
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    found.pop().ok_or_else(|| {
        let message = format!(
            "no task {task_id} is known: it never ran, or ended so long ago that it is forgotten"
        );
        Refusal::new(StatusCode::NOT_FOUND, message)
    })
}

/// What the agent is asked.
fn path(source: &Source, stream: &str, query: &Query) -> Result<String, Refusal> {
    let (framework, task) = (escape(source.framework_id.as_str()), escape(source.task_id.as_str()));
    let mut path = format!(
        "/files/log?path=/frameworks/{framework}/executors/{task}/runs/latest/{stream}&wait_ms={ARRIVAL_MS}"
    );
    for name in NUMBERS {
        let Some(text) = query.get(name) else { continue };
        let number: u64 = text.parse().map_err(|_| {
            Refusal::bad_request(format!("{name}={text:?}: a whole number is needed"))
        })?;
        let _ = write!(path, "&{name}={number}");
    }
    match query.get("follow") {
        None | Some("false") => {}
        Some("true") => path += "&follow=true",
        Some(other) => {
            return Err(Refusal::bad_request(format!("follow={other:?}: true or false is needed")));
        }
    }
    Ok(path)
}

/// Percent-encodes what may not stand in a query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Asks the agent; what it refuses is refused in its words.
async fn ask(
    source: &Source,
    address: &str,
    uri: &str,
) -> Result<http::Response<hyper::body::Incoming>, Refusal> {
    let away = |why: String| {
        let message = format!(
            "agent {} at {address}, which has the log of task {}, {why}; tasks and logs are there \
             again when it is back",
            source.agent_id, source.task_id
        );
        Refusal::new(StatusCode::BAD_GATEWAY, message)
    };
    let uri: http::Uri = uri.parse().map_err(|error| away(format!("has no address: {error}")))?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(BUFFER)
        .build(connector);
    let limit = CONNECT + Duration::from_millis(ARRIVAL_MS) + ANSWER;
    let answer = tokio::time::timeout(limit, client.get(uri)).await;
    let answer = answer
        .map_err(|_| away(format!("did not answer in {} s", limit.as_secs())))?
        .map_err(|error| away(format!("cannot be reached ({})", root(&error))))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let words = Limited::new(answer.into_body(), REASON).collect();
    let words = tokio::time::timeout(ANSWER, words).await.ok().and_then(Result::ok);
    let words = words.map(|words| words.to_bytes()).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let status = if status.is_client_error() { status } else { StatusCode::BAD_GATEWAY };
    let message = format!("agent {}: {}", source.agent_id, words.trim());
    Err(Refusal::new(status, message))
}

/// The cause of all causes.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_an_agent_is_whole_and_nothing_else_gets_through() {
        let source = Source {
            agent_id: AgentId::new("S0").unwrap(),
            framework_id: FrameworkId::new("F").unwrap(),
            task_id: TaskId::new("a b&c=ü").unwrap(),
        };
        let asked =
            path(&source, "stderr", &Query::parse("task_id=x&tail=5&follow=true&path=/etc"));
        let wanted = "/files/log?path=/frameworks/F/executors/a%20b%26c%3D%C3%BC/runs/latest/stderr\
                      &wait_ms=5000&tail=5&follow=true";
        assert_eq!(asked.map_err(|refusal| refusal.message), Ok(wanted.to_owned()));
        for wrong in ["tail=5%26path=/etc", "since=yesterday", "offset=-1", "follow=yes"] {
            let refusal = path(&source, "stdout", &Query::parse(wrong)).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
