//! The HTTP API: paths to the service's verbs, and refusals to status codes.
//!
//! It decides nothing. Every answer is JSON, but the specification's text, the metrics and the
//! stream of events.

mod events;
mod query;

use crate::api;
use crate::events::Until;
use crate::metrics;
use crate::refusal::Refusal;
use crate::service::{Service, Submit};
use crate::spec::{FORMAT_LABEL, Format, MAX_BYTES, TEXT_LABEL};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Bytes};
use driver::core::{Outcome, UnitState};
use query::Query;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

type Shared = State<Arc<Service>>;
type Answer<T> = Result<T, Refusal>;
/// A path's parts, or why they are none.
type Parts<T> = Result<Path<T>, PathRejection>;

/// Most units of one page, and as many as there are by default.
const PAGE: (u32, u32) = (1000, 100);
/// Longest time that a request may wait, and how long it does by default.
const WAIT: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(30));

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.errors)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// All routes.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/jobs", post(submit).get(list))
        .route("/v1/jobs/{job}", get(show))
        .route("/v1/jobs/{job}/spec", get(spec))
        .route("/v1/jobs/{job}/units", get(units))
        .route("/v1/jobs/{job}/units/{index}", get(unit))
        .route("/v1/jobs/{job}/units/{index}/kill", post(kill_unit))
        .route("/v1/jobs/{job}/units/{index}/why", get(why_unit))
        .route("/v1/jobs/{job}/kill", post(kill))
        .route("/v1/jobs/{job}/scale", post(scale))
        .route("/v1/jobs/{job}/wait", get(wait))
        .route("/v1/jobs/{job}/why", get(why))
        .route("/v1/events", get(events::events))
        .route("/health", get(health))
        .route("/metrics", get(figures))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BYTES))
        .layer(middleware::from_fn(no_browsers))
        .with_state(service)
}

/// A page in a browser on this machine reaches loopback too, and must not submit anything: its
/// changes name their origin, tools do not.
async fn no_browsers(request: Request, next: Next) -> Response {
    if request.method() == Method::GET || !request.headers().contains_key(header::ORIGIN) {
        return next.run(request).await;
    }
    let problem = "changes from a page in a browser are refused: use tepui, or another tool";
    Refusal::new(403, "", problem).into_response()
}

fn path<T>(parts: Parts<T>) -> Answer<T> {
    parts.map(|Path(parts)| parts).map_err(|error| Refusal::new(400, "", error.body_text()))
}

async fn no_route() -> Refusal {
    Refusal::new(404, "", "there is nothing at this path; the API is described in docs/jobs.md")
}

async fn no_method() -> Refusal {
    Refusal::new(405, "", "this path takes another method: GET to look, POST to change")
}

async fn submit(
    State(service): Shared,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let query = Query::parse(query.as_deref(), &["token", "dry_run", "dryRun", "format", "wait"])?;
    let body = body.map_err(|error| {
        let problem = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => format!("must have at most {MAX_BYTES} bytes"),
            _ => error.body_text(),
        };
        Refusal::new(400, "", problem)
    })?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Refusal::new(400, "", "the specification is no UTF-8 text"))?;
    let submit = Submit {
        text,
        format: format(&query, &headers)?,
        token: query.token()?,
        dry_run: query.flag("dry_run")? || query.flag("dryRun")?,
    };
    let wait = query.seconds("wait", WAIT.0)?;
    let mut submitted = service.submit(submit).await?;
    if let Some(wait) = wait
        && !submitted.dry_run
    {
        submitted.job = Some(service.wait(&submitted.id, Until::Ended, wait).await?);
    }
    let new = !submitted.already && !submitted.dry_run;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(submitted)).into_response())
}

/// The format by the query, else by the content type, else YAML, which reads JSON too.
fn format(query: &Query, headers: &HeaderMap) -> Answer<Format> {
    if let Some(name) = query.get("format") {
        let unknown = || {
            let problem = format!("must be yaml, toml or json, is '{}'", name.escape_debug());
            Refusal::new(400, "format", problem)
        };
        return Format::named(name).ok_or_else(unknown);
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content = content.unwrap_or_default();
    let named = [Format::Toml, Format::Json].into_iter().find(|f| content.contains(f.name()));
    Ok(named.unwrap_or(Format::Yaml))
}

async fn list(State(service): Shared, RawQuery(query): RawQuery) -> Answer<Json<api::JobList>> {
    let query = Query::parse(query.as_deref(), &["state", "name"])?;
    let ended = match query.get("state") {
        None => None,
        Some("running") => Some(false),
        Some("ended") => Some(true),
        Some(other) => {
            let problem = format!("must be running or ended, is '{}'", other.escape_debug());
            return Err(Refusal::new(400, "state", problem));
        }
    };
    service.list(query.get("name").map(str::to_owned), ended).await.map(Json)
}

async fn show(State(service): Shared, job: Parts<String>) -> Answer<Json<api::Job>> {
    service.job(&path(job)?).await.map(Json)
}

async fn spec(State(service): Shared, job: Parts<String>) -> Answer<Response> {
    let seen = service.seen(&path(job)?).await?;
    let labels = &seen.group.spec.labels;
    let text = labels.get(TEXT_LABEL).cloned().unwrap_or_default();
    let format = labels.get(FORMAT_LABEL).map_or("yaml", String::as_str);
    let kind = format!("text/plain; charset=utf-8; format={format}");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn units(
    State(service): Shared,
    job: Parts<String>,
    RawQuery(query): RawQuery,
) -> Answer<Json<api::UnitList>> {
    let query = Query::parse(query.as_deref(), &["state", "offset", "limit"])?;
    let job = path(job)?;
    let offset = query.number("offset")?.unwrap_or(0);
    let limit = query.number("limit")?.unwrap_or(PAGE.1);
    if limit == 0 || limit > PAGE.0 {
        let problem = format!("must be from 1 to {}, is {limit}", PAGE.0);
        return Err(Refusal::new(400, "limit", problem));
    }
    let wanted = wanted(query.get("state"))?;
    service.units(&job, wanted, offset, limit as usize).await.map(Json)
}

/// Names of states that units can have, and of what several of them have in common.
const STATES: [&str; 20] = [
    "pending",
    "backing_off",
    "launched",
    "running",
    "killing",
    "unreachable",
    "succeeded",
    "failed",
    "oom_killed",
    "timed_out",
    "rejected",
    "disrupted",
    "system_local",
    "system_transient",
    "stuck",
    "killed",
    "pending_timed_out",
    "live",
    "ended",
    "failed_any",
];

fn wanted(state: Option<&str>) -> Answer<impl Fn(UnitState) -> bool + Clone + Send + 'static> {
    let known = match state {
        None => None,
        Some(state) => Some(STATES.into_iter().find(|known| *known == state).ok_or_else(|| {
            Refusal::new(400, "state", format!("must be one of {}", STATES.join(", ")))
        })?),
    };
    Ok(move |state: UnitState| match known {
        None => true,
        Some("live") => matches!(
            state,
            UnitState::Launched | UnitState::Running | UnitState::Killing | UnitState::Unreachable
        ),
        Some("ended") => matches!(state, UnitState::Ended(_)),
        Some("failed_any") => {
            let UnitState::Ended(outcome) = state else { return false };
            !matches!(outcome, Outcome::Succeeded | Outcome::Killed)
        }
        Some(name) => state.name() == name,
    })
}

async fn unit(
    State(service): Shared,
    parts: Parts<(String, u32)>,
) -> Answer<Json<api::UnitDetail>> {
    let (job, index) = path(parts)?;
    service.unit(&job, index).await.map(Json)
}

async fn kill_unit(State(service): Shared, parts: Parts<(String, u32)>) -> Answer<Json<api::Unit>> {
    let (job, index) = path(parts)?;
    service.kill_unit(&job, index).await.map(Json)
}

async fn why_unit(State(service): Shared, parts: Parts<(String, u32)>) -> Answer<Json<api::Why>> {
    let (job, index) = path(parts)?;
    service.why_unit(&job, index).await.map(Json)
}

async fn why(State(service): Shared, job: Parts<String>) -> Answer<Json<api::Why>> {
    service.why_job(&path(job)?).await.map(Json)
}

async fn kill(State(service): Shared, job: Parts<String>) -> Answer<Json<api::Job>> {
    service.kill(&path(job)?).await.map(Json)
}

async fn scale(
    State(service): Shared,
    job: Parts<String>,
    RawQuery(query): RawQuery,
) -> Answer<Json<api::Job>> {
    let query = Query::parse(query.as_deref(), &["replicas"])?;
    let Some(replicas) = query.number("replicas")? else {
        return Err(Refusal::new(400, "replicas", "is missing: how many the service is to keep"));
    };
    service.scale(&path(job)?, replicas).await.map(Json)
}

async fn wait(
    State(service): Shared,
    job: Parts<String>,
    RawQuery(query): RawQuery,
) -> Answer<Json<api::Job>> {
    let query = Query::parse(query.as_deref(), &["timeout", "until"])?;
    let until = match query.get("until") {
        None | Some("ended") => Until::Ended,
        Some("started") => Until::Started,
        Some(other) => {
            let problem = format!("must be started or ended, is '{}'", other.escape_debug());
            return Err(Refusal::new(400, "until", problem));
        }
    };
    let timeout = query.seconds("timeout", WAIT.0)?.unwrap_or(WAIT.1);
    service.wait(&path(job)?, until, timeout).await.map(Json)
}

async fn health(State(service): Shared) -> Answer<Response> {
    let look = |scheduler: &driver::core::Scheduler, _| api::Health {
        registered: scheduler.is_subscribed(),
        framework_id: scheduler.framework_id().map(ToString::to_string),
        jobs: u32::try_from(scheduler.groups().filter(|group| group.ended.is_none()).count())
            .unwrap_or(u32::MAX),
    };
    let health = service.engine.read(look).await.map_err(Refusal::from)?;
    let status = if health.registered { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(answer(status, &health))
}

fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    (status, Json(value)).into_response()
}

async fn figures(State(service): Shared) -> Answer<Response> {
    let text = metrics::text(&service).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
