//! The agent's own API: its files, its state, its health.
//!
//! Nothing here changes a task; people may enter its container (`session`), as far as the operator
//! allows it. Files are resolved beneath their sandbox by the
//! kernel (`sandbox`), whatever a path says.

mod call;
mod files;
mod limits;
mod log;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod usage;

pub use call::SessionsFrom;
pub(crate) use limits::{LimitsError, NewLimits};
pub(crate) use session::{Entry, EntryError};
pub(crate) use state::state;
pub(crate) use usage::{Container, container_views, usage};

use crate::config::MESOS_VERSION;
use crate::sandboxes::Sandboxes;
use crate::sessions::Sessions;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use proto::agent_api::ContainerView;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// A question that only the owner of the core can answer.
#[derive(Debug)]
pub(crate) enum Ask {
    Metrics(oneshot::Sender<String>),
    State(oneshot::Sender<Value>),
    Health(oneshot::Sender<Health>),
    Usage(oneshot::Sender<Vec<Container>>),
    Containers(oneshot::Sender<Vec<ContainerView>>),
    /// Run this in the container of a task.
    Enter(Box<Entry>),
    /// Put these limits of a task in force.
    UpdateLimits(Box<NewLimits>),
    /// Signal the program of a session.
    SignalSession {
        number: u64,
        signal: i32,
    },
    Executor(Box<crate::executors::Asked>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) registered: bool,
    pub(crate) disk_full: bool,
    pub(crate) reserve_used: bool,
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    sandboxes: Sandboxes,
    sessions: Sessions,
    sessions_from: SessionsFrom,
    asks: mpsc::Sender<Ask>,
}

impl Context {
    pub(crate) fn new(
        sandboxes: Sandboxes,
        (sessions, sessions_from): (Sessions, SessionsFrom),
        asks: mpsc::Sender<Ask>,
    ) -> Self {
        Self { sandboxes, sessions, sessions_from, asks }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Response> {
        let (reply, answer) = oneshot::channel();
        let stopping = || (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping\n");
        self.asks.send(ask(reply)).await.map_err(|_| stopping().into_response())?;
        answer.await.map_err(|_| stopping().into_response())
    }
}

pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/state", get(agent_state))
        .route("/slave(1)/state", get(agent_state))
        .route("/containers", get(containers))
        .route("/slave(1)/containers", get(containers))
        .route("/monitor/statistics", get(containers))
        .route("/slave(1)/monitor/statistics", get(containers))
        .route("/api/v1", post(call::call))
        .route("/slave(1)/api/v1", post(call::call))
        .merge(files::router())
        .fallback(not_found)
        .with_state(context)
}

async fn not_found(uri: axum::http::Uri) -> Response {
    let text = format!(
        "there is no {} here; see /version, /health, /metrics, /state, /containers, /files/browse, \
         /files/read and /files/download\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn version() -> Json<Value> {
    let own = env!("CARGO_PKG_VERSION");
    Json(json!({ "version": MESOS_VERSION, "tepui_version": own }))
}

/// 200 when the agent can take work.
async fn health(State(context): State<Context>) -> Response {
    match context.ask(Ask::Health).await {
        Ok(Health { disk_full: true, .. }) => {
            let text = "the disk is full: status updates wait until it has space again\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Ok(Health { reserve_used: true, .. }) => {
            let text = "the disk is full: status updates go into its reserve; free some space\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Ok(Health { registered: false, .. }) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not registered with a master\n").into_response()
        }
        Ok(Health { .. }) => (StatusCode::OK, "ok\n").into_response(),
        Err(refusal) => refusal,
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    match context.ask(Ask::Metrics).await {
        Ok(text) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(refusal) => refusal,
    }
}

async fn agent_state(State(context): State<Context>) -> Response {
    match context.ask(Ask::State).await {
        Ok(state) => Json(state).into_response(),
        Err(refusal) => refusal,
    }
}

/// What each task that runs here uses, as of the last second.
async fn containers(State(context): State<Context>) -> Response {
    match context.ask(Ask::Usage).await {
        Ok(containers) => Json(containers).into_response(),
        Err(refusal) => refusal,
    }
}
