//! The read endpoints of Mesos from before its v1 API, which user interfaces, command lines and
//! monitors still use: exact names of fields, filtered, paged and projected by the query, and
//! written from a snapshot in bounded pieces.
//!
//! Every list takes the same parameters: `limit`, `offset`, `fields` (names of fields of its
//! elements, with commas between), and what its elements belong to (`framework_id`, `slave_id`,
//! `task_id`, `role`).

mod agents;
mod forward;
mod frameworks;
mod metrics;
mod operations;
mod query;
mod roles;
pub(crate) mod stale;
mod state;
mod tasks;
mod toggle;

use super::{Context, Refusal};
use crate::Config;
use crate::http::pieces::{Pieces, Unread};
use crate::reads::Model;
use crate::registrar::OpenRegistry;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
pub(crate) use forward::{Forward, forward};
use http::{Method, StatusCode};
pub(crate) use metrics::{Totals, snapshot as metrics};
use proto::{MasterId, Time};
pub(crate) use query::Query;
use std::net::SocketAddr;
use std::sync::Arc;
pub(super) use toggle::toggle;

/// What a master says of itself, besides what it knows.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) master_id: MasterId,
    pub(crate) hostname: Arc<str>,
    /// `HOST:PORT` under which others reach it.
    pub(crate) authority: String,
    pub(crate) port: u16,
    pub(crate) version: Arc<str>,
    pub(crate) started: Time,
    pub(crate) cluster: Option<Arc<str>>,
    /// What it was started with, by name.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl About {
    pub(crate) fn new(
        config: &Config,
        address: SocketAddr,
        opened: &OpenRegistry,
        started: Time,
    ) -> Self {
        let cluster = opened.registry.cluster_id().cloned();
        Self::of(config, address, opened.master_id.clone(), cluster, started)
    }

    fn of(
        config: &Config,
        address: SocketAddr,
        master_id: MasterId,
        cluster: Option<Arc<str>>,
        started: Time,
    ) -> Self {
        Self {
            master_id,
            hostname: config.hostname.clone(),
            authority: format!("{}:{}", config.hostname, address.port()),
            port: address.port(),
            version: config.options.version.clone(),
            started,
            cluster,
            flags: config.flags(),
        }
    }
}

/// A read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    State,
    Summary,
    Agents,
    Frameworks,
    Tasks,
    Roles,
    Weights,
    Quota,
    Offers,
    Operations,
    Flags,
    Metrics,
}

/// Answers a read: GET, HEAD and POST alike, because clients use them all.
pub(super) async fn read(
    context: &Context,
    request: Request,
    read: Read,
) -> Result<Response, Refusal> {
    let method = request.method();
    let from = request.extensions().get().copied();
    match (read, method) {
        // Mesos has writes at this path, which are not reads that clients mistake.
        (Read::Weights | Read::Quota, &Method::GET | &Method::HEAD) => {}
        (Read::Weights | Read::Quota, _) => {
            return Err(Refusal::method("GET", method, "GET, HEAD"));
        }
        (_, &Method::GET | &Method::HEAD | &Method::POST) => {}
        _ => return Err(Refusal::method("GET", method, "GET, HEAD, POST")),
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let callback = query.callback()?.map(str::to_owned);
    let media_type = if callback.is_some() { "text/javascript" } else { "application/json" };
    let totals = match read {
        Read::Metrics => Some(crate::http::operator::local::totals(context).await?),
        _ => None,
    };
    let place = context.reads().reader(from).await?;
    let model = context.model().await?;
    let (mut out, reading) = context.answer();
    let about = Arc::clone(context.about());
    let job = async move {
        if let Some(name) = &callback {
            out.json.raw(&format!("{name}("));
        }
        let done = write(&mut out, &model, &query, &about, read, totals).await;
        // The snapshot need not wait for the reader of the last piece.
        drop(model);
        if callback.is_some() {
            out.json.raw(");");
        }
        done?;
        out.finish().await
    };
    context.reads().write(place, job)?;
    reading.into_response(media_type).await.ok_or_else(Refusal::stopping)
}

async fn write(
    out: &mut Pieces,
    model: &Model,
    query: &Query,
    about: &About,
    read: Read,
    totals: Option<Totals>,
) -> Result<(), Unread> {
    match (read, totals) {
        (Read::State, _) => state::write(out, model, query, about).await,
        (Read::Summary, _) => state::summary(out, model, query, about).await,
        (Read::Agents, _) => agents::write(out, model, query).await,
        (Read::Frameworks, _) => frameworks::write(out, model, query).await,
        (Read::Tasks, _) => tasks::write(out, model, query).await,
        (Read::Roles, _) => roles::write(out, model, query).await,
        (Read::Weights, _) => roles::weights(out, model, query).await,
        (Read::Quota, _) => roles::quota(out, model, query).await,
        (Read::Offers, _) => frameworks::offers(out, model, query).await,
        (Read::Operations, _) => operations::write(out, model, query).await,
        (Read::Flags, _) => state::write_flags(out, about).await,
        (Read::Metrics, Some(totals)) => metrics::write(out, model, about, &totals).await,
        // Metrics are never asked for without their totals.
        (Read::Metrics, None) => Err(Unread),
    }
}

/// `/files/...`: a master attaches no files, so there is nothing to browse, read or download.
pub(super) fn files(request: &Request) -> Result<Response, Refusal> {
    let path = request.uri().path();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    if path.trim_end_matches('/').ends_with("/debug") {
        let mut response = Response::new(Body::from("{}"));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        return Ok(response);
    }
    match query.get("path") {
        None => Err(Refusal::bad_request("Expecting 'path=value' in query")),
        Some(path) => Err(Refusal::new(StatusCode::NOT_FOUND, no_file(path))),
    }
}

/// Why there is no such file.
pub(crate) fn no_file(path: &str) -> String {
    match path.trim_end_matches('/') {
        "/master/log" => {
            "the master has no log file: it logs to its standard error, which whoever started it keeps"
                .to_owned()
        }
        _ => "the master has no files; those of a task are with its agent".to_owned(),
    }
}
