//! The events, as pages that are waited for, or as a stream (server-sent events).

use super::query::Query;
use super::{Answer, Shared, WAIT};
use crate::api;
use crate::events::{Page, is_of};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::show;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use driver::core::{GroupId, Notice};
use futures_util::stream;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Most events of one page, and as many as there are by default.
const PAGE: (usize, usize) = (10_000, 1000);

pub(super) async fn events(
    State(service): Shared,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer<Response> {
    let query = Query::parse(query.as_deref(), &["after", "job", "timeout", "limit"])?;
    let job = match query.get("job") {
        Some(job) => Some(service.seen(job).await?.group.id),
        None => None,
    };
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let resumed = header("last-event-id").and_then(|id| id.parse::<u64>().ok());
    let after = query.number::<u64>("after")?.or(resumed);
    let from = after.map_or_else(|| service.log.next_number(), |after| after.saturating_add(1));
    if header(header::ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/event-stream")) {
        return Ok(follow(service, job, from));
    }
    let limit = query.number("limit")?.unwrap_or(PAGE.1);
    if limit == 0 || limit > PAGE.0 {
        let problem = format!("must be from 1 to {}, is {limit}", PAGE.0);
        return Err(Refusal::new(400, "limit", problem));
    }
    let timeout = query.seconds("timeout", WAIT.0)?.unwrap_or(WAIT.1);
    let page = next_page(&service, job.as_ref(), from, limit, timeout).await;
    Ok(Json(shown(&page)).into_response())
}

/// `next` is what to give as `after`: the number before the next event.
fn shown(page: &Page) -> api::Events {
    api::Events {
        events: page.entries.iter().map(show::event).collect(),
        next: page.next.saturating_sub(1),
        gap: page.gap,
    }
}

/// What there is, as soon as there is anything.
async fn next_page(
    service: &Service,
    job: Option<&GroupId>,
    from: u64,
    limit: usize,
    timeout: Duration,
) -> Page {
    let wanted = |notice: &Notice| job.is_none_or(|job| is_of(notice, job));
    let mut news = service.log.watch();
    let mut ending = service.ending.clone();
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    loop {
        news.mark_unchanged();
        let page = service.log.page(from, limit, wanted);
        if !page.entries.is_empty() || page.gap {
            return page;
        }
        tokio::select! {
            _ = news.changed() => {}
            () = &mut deadline => return page,
            _ = ending.wait_for(|ending| *ending) => return page,
        }
    }
}

struct Following {
    service: Arc<Service>,
    job: Option<GroupId>,
    from: u64,
    ready: VecDeque<sse::Event>,
}

/// An endless stream of events; one without data tells that some are missing.
fn follow(service: Arc<Service>, job: Option<GroupId>, from: u64) -> Response {
    let start = Following { service, job, from, ready: VecDeque::new() };
    let events = stream::unfold(start, |mut following| async {
        loop {
            if let Some(event) = following.ready.pop_front() {
                return Some((Ok::<_, Infallible>(event), following));
            }
            if *following.service.ending.borrow() {
                return None;
            }
            let (job, from) = (following.job.as_ref(), following.from);
            let page = next_page(&following.service, job, from, PAGE.1, WAIT.0).await;
            following.from = page.next;
            if page.gap {
                following.ready.push_back(sse::Event::default().event("gap").data("{}"));
            }
            for entry in &page.entries {
                let event = sse::Event::default().id(entry.number.to_string());
                following.ready.extend(event.json_data(show::event(entry)).ok());
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
