//! `/files/browse`, `/files/read` and `/files/download`, in Mesos' shapes.
//!
//! A path names a container (`/containers/C`) or a task's newest one
//! (`/frameworks/F/executors/E/runs/latest`, with `E` the task's id; `runs/C` for any), and a file
//! in it. What Mesos puts before `/frameworks` is accepted and not looked at. A task's `stdout`
//! and `stderr` may always be asked for: one that printed nothing is empty.

use super::Context;
use crate::sandbox::{Entry, Kind, MAX_READ, Sandbox, SandboxError};
use crate::sandboxes::Place;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes of one `/files/read`, as in Mesos: 16 pages.
const MOST_READ: usize = 16 * 4096;
/// Bytes of one piece of a download.
pub(super) const PIECE: usize = 256 * 1024;
/// First and longest pause before a followed file is looked at again.
pub(super) const FOLLOW_PAUSE: (Duration, Duration) =
    (Duration::from_millis(5), Duration::from_millis(200));
/// Longest that a request waits for a task to arrive, and `/files/read` for more.
const MOST_WAIT: Duration = Duration::from_secs(30);

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/files/browse", get(browse))
        .route("/files/read", get(read))
        .route("/files/download", get(download))
        .route("/files/log", get(super::log::log))
}

#[derive(Debug, Deserialize)]
struct BrowseQuery {
    path: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReadQuery {
    path: Option<String>,
    offset: Option<i64>,
    length: Option<i64>,
    /// Milliseconds to wait for a task that this agent has not heard of yet, and until there is
    /// something beyond `offset`, or the task has ended.
    wait_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct DownloadQuery {
    path: Option<String>,
    offset: Option<u64>,
    #[serde(default)]
    follow: bool,
    /// Milliseconds to wait for a task that this agent has not heard of yet.
    wait_ms: Option<u64>,
}

/// Until when a request waits; as in Mesos it does not, unless it asks for it.
pub(super) fn until(wait_ms: Option<u64>) -> Instant {
    Instant::now() + wait_ms.map_or(Duration::ZERO, Duration::from_millis).min(MOST_WAIT)
}

/// Why a file request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("name a file: ?path=/frameworks/F/executors/TASK/runs/latest/stdout")]
    NoPath,
    #[error("'{0}' names no task of this agent: it never ran here, or its files were removed")]
    Unknown(String),
    #[error("'{0}' is no log: name the stdout or the stderr of a task")]
    NoLog(String),
    #[error("give at most one of offset, since, ago and tail: each says where to begin")]
    Ambiguous,
    #[error("{0} is negative")]
    Negative(&'static str),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the file could not be read")]
    Broken,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoPath | Self::NoLog(_) | Self::Ambiguous | Self::Negative(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Unknown(_) | Self::Sandbox(SandboxError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Sandbox(SandboxError::Busy(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Sandbox(SandboxError::Io { .. }) | Self::Broken => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Sandbox(_) => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}

/// A file, or a directory, of one container.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) container_id: String,
    pub(super) relative: String,
    /// What stands before `relative` in a path of this API.
    prefix: String,
}

impl Target {
    /// A file of a container.
    pub(super) fn of_container(container_id: &str, relative: &str) -> Self {
        Self {
            container_id: container_id.to_owned(),
            relative: relative.to_owned(),
            prefix: format!("/containers/{container_id}"),
        }
    }
}

impl Context {
    fn target(&self, path: Option<&str>) -> Result<Target, Refusal> {
        let path = path.filter(|path| !path.is_empty()).ok_or(Refusal::NoPath)?;
        let unknown = || Refusal::Unknown(path.chars().take(512).collect());
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let from = parts
            .iter()
            .position(|part| matches!(*part, "frameworks" | "containers"))
            .ok_or_else(unknown)?;
        match &parts[from..] {
            ["containers", id, rest @ ..] => Ok(Target::of_container(id, &rest.join("/"))),
            ["frameworks", framework, "executors", task, "runs", run, rest @ ..] => {
                let container_id = match *run {
                    "latest" => self.sandboxes.latest(framework, task).ok_or_else(unknown)?,
                    id => proto::ContainerId::new(id).map_err(|_| unknown())?,
                };
                Ok(Target {
                    container_id: container_id.to_string(),
                    relative: rest.join("/"),
                    prefix: format!("/frameworks/{framework}/executors/{task}/runs/{run}"),
                })
            }
            _ => Err(unknown()),
        }
    }

    fn place(&self, target: &Target) -> Result<Place, Refusal> {
        self.sandboxes
            .of_container(&target.container_id)
            .ok_or_else(|| Refusal::Unknown(target.prefix.clone()))
    }

    /// The target of a path and its place; waits for a launch that is still on its way. Who is told
    /// of a launch by its framework may be here before the agent is.
    pub(super) async fn arrival(
        &self,
        path: Option<&str>,
        until: Instant,
    ) -> Result<(Target, Place), Refusal> {
        let find = || {
            let target = self.target(path)?;
            let place = self.place(&target)?;
            Ok((target, place))
        };
        let known = self.sandboxes.wait_until(until, |_| match find() {
            Err(Refusal::Unknown(_)) => None,
            found => Some(found),
        });
        known.await.unwrap_or_else(find)
    }
}

/// Whether a file that is not there counts as empty.
pub(super) fn is_output(relative: &str) -> bool {
    matches!(relative, "stdout" | "stderr")
}

/// Runs what may block on the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, Refusal> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Broken)??)
}

/// Up to `length` bytes from `offset`, and the file's size.
async fn chunk(
    place: &Place,
    relative: &str,
    offset: u64,
    length: usize,
) -> Result<(Vec<u8>, u64), Refusal> {
    let missing = || SandboxError::NotFound(relative.to_owned());
    let Some(path) = place.path.clone() else {
        return if is_output(relative) { Ok((Vec::new(), 0)) } else { Err(missing().into()) };
    };
    let name = relative.to_owned();
    let read = blocking(move || Sandbox::open(&path)?.read(&name, offset, length)).await;
    match read {
        Ok(chunk) => Ok((chunk.data, chunk.size)),
        Err(Refusal::Sandbox(SandboxError::NotFound(_))) if is_output(relative) => {
            Ok((Vec::new(), 0))
        }
        Err(other) => Err(other),
    }
}

async fn browse(
    State(context): State<Context>,
    Query(query): Query<BrowseQuery>,
) -> Result<Json<Value>, Refusal> {
    let target = context.target(query.path.as_deref())?;
    let Some(path) = context.place(&target)?.path else { return Ok(Json(json!([]))) };
    let relative = target.relative.clone();
    let entries = blocking(move || Sandbox::open(&path)?.browse(&relative)).await?;
    let entries: Vec<Value> = entries.iter().map(|entry| entry_json(entry, &target)).collect();
    Ok(Json(entries.into()))
}

fn entry_json(entry: &Entry, target: &Target) -> Value {
    json!({
        "path": format!("{}/{}", target.prefix, entry.path),
        "size": entry.size,
        "mode": mode_text(entry.kind, entry.mode),
        "nlink": entry.nlink,
        "uid": entry.uid.to_string(),
        "gid": entry.gid.to_string(),
        "mtime": entry.mtime_unix_s,
    })
}

/// As `ls -l` writes it.
fn mode_text(kind: Kind, mode: u32) -> String {
    let kind = match kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Link => 'l',
        Kind::Other => '?',
    };
    let bits = (0..9).rev().map(|bit| match (mode >> bit & 1, bit % 3) {
        (0, _) => '-',
        (_, 2) => 'r',
        (_, 1) => 'w',
        _ => 'x',
    });
    std::iter::once(kind).chain(bits).collect()
}

async fn read(
    State(context): State<Context>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<Value>, Refusal> {
    let until = until(query.wait_ms);
    let (target, place) = context.arrival(query.path.as_deref(), until).await?;
    let length = match query.length {
        None | Some(-1) => MOST_READ,
        Some(length) => {
            usize::try_from(length).map_err(|_| Refusal::Negative("length"))?.min(MOST_READ)
        }
    };
    let offset = query.offset.unwrap_or(0);
    if offset == -1 {
        // Mesos' question for the size alone.
        let (_, size) = chunk(&place, &target.relative, 0, 0).await?;
        return Ok(Json(json!({ "data": "", "offset": size })));
    }
    let offset = u64::try_from(offset).map_err(|_| Refusal::Negative("offset"))?;
    let data = wait_for_more(&context, &target, offset, length, until).await?;
    Ok(Json(json!({ "data": whole_text(&data), "offset": offset })))
}

/// What is beyond `offset`; waits for something while the task runs, but not beyond `until`.
async fn wait_for_more(
    context: &Context,
    target: &Target,
    offset: u64,
    length: usize,
    until: Instant,
) -> Result<Vec<u8>, Refusal> {
    let mut pause = FOLLOW_PAUSE.0;
    loop {
        // Whether it runs is asked before the file is read: what it wrote last is seen.
        let place = context.place(target)?;
        let (data, _) = chunk(&place, &target.relative, offset, length).await?;
        let now = Instant::now();
        if !data.is_empty() || !place.running || now >= until || length == 0 {
            return Ok(data);
        }
        // A file tells nobody that it grew, the end of a task is told.
        let changed = context.sandboxes.wait_until((now + pause).min(until), |all| {
            (all.of_container(&target.container_id).as_ref() != Some(&place)).then_some(())
        });
        changed.await;
        pause = (pause * 2).min(FOLLOW_PAUSE.1);
    }
}

/// Text up to the last whole character, so that a reader who goes on behind it loses none; bytes
/// that are no text become the replacement character.
fn whole_text(data: &[u8]) -> String {
    let end = match std::str::from_utf8(data) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => data.len(),
    };
    String::from_utf8_lossy(&data[..end]).into_owned()
}

/// The raw bytes of a file from an offset, or of one `Range`; with `follow` until the task ended.
async fn download(
    State(context): State<Context>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (target, place) = context.arrival(query.path.as_deref(), until(query.wait_ms)).await?;
    let (_, size) = chunk(&place, &target.relative, 0, 0).await?;
    let name = target.relative.rsplit('/').next().unwrap_or("file").replace(['"', '\\'], "_");
    let common = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", ascii(&name))),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
    ];
    if query.follow {
        let body = follow(context, target, query.offset.unwrap_or(0));
        return Ok((common, body).into_response());
    }
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (start, end) = match asked.and_then(|range| parse_range(range, size)) {
        Some(Ok(range)) => range,
        Some(Err(())) => {
            let whole = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
        }
        None => (query.offset.unwrap_or(0).min(size), size),
    };
    let length = [(header::CONTENT_LENGTH, (end - start).to_string())];
    let body = range_body(place, target.relative, start, end);
    if asked.is_some() && (start, end) != (0, size) {
        let range = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1))];
        return Ok((StatusCode::PARTIAL_CONTENT, common, length, range, body).into_response());
    }
    Ok((common, length, body).into_response())
}

fn ascii(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N` as start and end; none for what is no such range.
fn parse_range(text: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => {
            (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(size))
        }
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}

/// The bytes from `start` to `end`. A file that shrinks meanwhile breaks the response.
fn range_body(place: Place, relative: String, start: u64, end: u64) -> Body {
    let pieces = futures_util::stream::try_unfold(start, move |at| {
        let (place, relative) = (place.clone(), relative.clone());
        async move {
            if at >= end {
                return Ok(None);
            }
            let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE).min(MAX_READ);
            let (data, _) = chunk(&place, &relative, at, length).await?;
            if data.is_empty() {
                return Err(Refusal::Broken);
            }
            let next = at + data.len() as u64;
            Ok::<_, Refusal>(Some((Bytes::from(data), next)))
        }
    });
    Body::from_stream(pieces)
}

/// The bytes from `offset` on, until the task has ended and all of it was sent.
fn follow(context: Context, target: Target, offset: u64) -> Body {
    let pieces = futures_util::stream::try_unfold(offset, move |at| {
        let (context, target) = (context.clone(), target.clone());
        async move {
            loop {
                let until = Instant::now() + MOST_WAIT;
                let data = wait_for_more(&context, &target, at, PIECE, until).await?;
                if !data.is_empty() {
                    let next = at + data.len() as u64;
                    return Ok::<_, Refusal>(Some((Bytes::from(data), next)));
                }
                if !context.place(&target)?.running {
                    // It may have written between the last look and its end.
                    let (rest, _) =
                        chunk(&context.place(&target)?, &target.relative, at, PIECE).await?;
                    let next = at + rest.len() as u64;
                    return Ok((!rest.is_empty()).then(|| (Bytes::from(rest), next)));
                }
            }
        }
    });
    Body::from_stream(pieces)
}
