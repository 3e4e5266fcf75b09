//! `/files/log`: the whole of what a task printed, over all parts that its log was cut into.
//!
//! `path` is that of `stdout` or `stderr` as for `/files/read`, which knows the newest part alone.
//! Where to begin is said by at most one of `offset` (bytes since the task's start), `since`
//! (milliseconds since the epoch), `ago` (milliseconds before now, by this clock) and `tail` (lines
//! from the end); `length` is the most bytes. The answer is the raw bytes, and its header `tepui-log-offset` says where they begin. What the limits
//! of the log have removed is left out.
//!
//! One piece is read at a time, when the one before it was taken: a slow reader costs one piece.

use super::Context;
use super::files::{FOLLOW_PAUSE, PIECE, Refusal, Target, blocking, is_output, until};
use crate::sandbox::log::LogReader;
use crate::sandbox::{Sandbox, SandboxError};
use crate::sandboxes::Place;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Says where in the log an answer begins.
const OFFSET: HeaderName = HeaderName::from_static("tepui-log-offset");

#[derive(Debug, Deserialize)]
pub(super) struct LogQuery {
    path: Option<String>,
    offset: Option<u64>,
    since: Option<u64>,
    ago: Option<u64>,
    tail: Option<usize>,
    length: Option<u64>,
    #[serde(default)]
    follow: bool,
    /// Milliseconds to wait for a task that this agent has not heard of yet.
    wait_ms: Option<u64>,
}

/// Where an answer begins and what is there at that moment.
#[derive(Clone, Copy, Debug)]
enum From {
    Offset(u64),
    Since(u64),
    Tail(usize),
}

impl LogQuery {
    fn from(&self) -> Result<From, Refusal> {
        let since = self.since.map(From::Since);
        let ago = self.ago.map(|ago| From::Since(now_ms().saturating_sub(ago)));
        let given = [self.offset.map(From::Offset), since, ago, self.tail.map(From::Tail)];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (_, Some(_)) => Err(Refusal::Ambiguous),
            (from, None) => Ok(from.unwrap_or(From::Offset(0))),
        }
    }
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Begin and end of what is asked for, as of now.
fn range(path: &std::path::Path, log: &str, from: From) -> Result<(u64, u64), SandboxError> {
    let sandbox = Sandbox::open(path)?;
    let (first, mut end) = sandbox.log_bounds(log)?;
    let at = match from {
        From::Offset(offset) => offset,
        From::Since(unix_ms) => sandbox.log_since(log, unix_ms)?,
        From::Tail(lines) => {
            let at;
            (at, end) = sandbox.log_tail(log, lines)?;
            at
        }
    };
    // Nothing is before what was removed, nor behind the end as yet.
    Ok((at.max(first), end))
}

pub(super) async fn log(
    State(context): State<Context>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let from = query.from()?;
    let (target, place) = context.arrival(query.path.as_deref(), until(query.wait_ms)).await?;
    if !is_output(&target.relative) {
        return Err(Refusal::NoLog(target.relative));
    }
    let (at, end) = match place.path.clone() {
        Some(path) => {
            let log = target.relative.clone();
            blocking(move || range(&path, &log, from)).await?
        }
        None => (0, 0),
    };
    let stop = query.length.map(|length| at.saturating_add(length));
    let stop = if query.follow { stop } else { Some(stop.unwrap_or(end).min(end)) };
    let reading = Reading { context, target, follow: query.follow, at, stop, reader: None };
    let pieces = futures_util::stream::try_unfold(reading, Reading::next);
    let common =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (OFFSET, at.to_string())];
    Ok((common, Body::from_stream(pieces)).into_response())
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Reading {
    context: Context,
    target: Target,
    follow: bool,
    at: u64,
    /// Where it ends; without it, when the task has ended and all is read.
    stop: Option<u64>,
    reader: Option<LogReader>,
}

impl Reading {
    /// What is written to a log from now on, until its task has ended.
    pub(super) async fn from_now(
        context: &Context,
        container_id: &str,
        log: &str,
    ) -> Result<Self, Refusal> {
        let target = Target::of_container(container_id, log);
        let place = context.sandboxes.of_container(container_id);
        let at = match place.and_then(|place| place.path) {
            Some(path) => {
                let log = log.to_owned();
                blocking(move || Ok(Sandbox::open(&path)?.log_bounds(&log)?.1)).await?
            }
            None => 0,
        };
        let context = context.clone();
        Ok(Self { context, target, follow: true, at, stop: None, reader: None })
    }

    /// The next piece, with the rest; none at the end.
    pub(super) async fn next(mut self) -> Result<Option<(Bytes, Self)>, Refusal> {
        let mut pause = FOLLOW_PAUSE.0;
        loop {
            let left = self.stop.map_or(u64::MAX, |stop| stop.saturating_sub(self.at));
            // Whether it runs is asked before the log is read: what it wrote last is seen. A sandbox
            // that was removed is that of a task that ended.
            let Some(place) = self.context.sandboxes.of_container(&self.target.container_id) else {
                return Ok(None);
            };
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            if length == 0 {
                return Ok(None);
            }
            let mut data = self.read(&place, length).await?;
            if let Some(stop) = self.stop {
                // The reader may have stepped over what is gone.
                let beyond = usize::try_from(self.at.saturating_sub(stop)).unwrap_or(usize::MAX);
                data.truncate(data.len().saturating_sub(beyond));
            }
            if !data.is_empty() {
                return Ok(Some((Bytes::from(data), self)));
            }
            if !self.follow || !place.running {
                return Ok(None);
            }
            let id = &self.target.container_id;
            let changed = self.context.sandboxes.wait_until(Instant::now() + pause, |all| {
                (all.of_container(id).as_ref() != Some(&place)).then_some(())
            });
            changed.await;
            pause = (pause * 2).min(FOLLOW_PAUSE.1);
        }
    }

    async fn read(&mut self, place: &Place, length: usize) -> Result<Vec<u8>, Refusal> {
        let Some(path) = place.path.clone() else { return Ok(Vec::new()) };
        let (reader, log, at) = (self.reader.take(), self.target.relative.clone(), self.at);
        let (reader, data) = blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => Sandbox::open(&path)?.into_log(&log, at),
            };
            let data = reader.read(length)?;
            Ok((reader, data))
        })
        .await?;
        self.at = reader.at();
        self.reader = Some(reader);
        Ok(data)
    }
}
