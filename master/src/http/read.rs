//! The small read endpoints. They answer GET, HEAD and POST alike, because clients use them all.

use super::{Context, Refusal, empty, text};
use crate::MESOS_VERSION;
use crate::connections::Message;
use crate::standing::Standing;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::oneshot;

pub(super) fn require_read(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD | Method::POST => Ok(()),
        _ => Err(Refusal::method("GET", method, "GET, HEAD, POST")),
    }
}

pub(super) fn body(media_type: &'static str, content: String) -> Response {
    let mut response = Response::new(Body::from(content));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// `version` is Mesos' and purely numeric, because old clients parse it as numbers.
pub(super) fn version(own: &str, method: &Method) -> Result<Response, Refusal> {
    require_read(method)?;
    let version = serde_json::json!({ "version": MESOS_VERSION, "tepui_version": own });
    Ok(body("application/json", version.to_string()))
}

/// Whoever answers is alive; the body says what part it plays.
pub(super) fn health(standing: &Standing, method: &Method) -> Result<Response, Refusal> {
    require_read(method)?;
    Ok(body("application/json", standing.health().to_string()))
}

/// Where the leader is: at `leader`.
pub(super) fn redirect(leader: &str, method: &Method) -> Result<Response, Refusal> {
    require_read(method)?;
    let location = HeaderValue::from_str(&format!("//{leader}")).map_err(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the hostname is no header value")
    })?;
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Metrics in the text format of Prometheus.
pub(super) async fn metrics(context: &Context, method: &Method) -> Result<Response, Refusal> {
    require_read(method)?;
    let (reply, metrics) = oneshot::channel();
    context.send(Message::Scrape(reply)).await?;
    Ok(prometheus(metrics.await.map_err(|_| Refusal::stopping())?))
}

pub(super) fn prometheus(metrics: String) -> Response {
    body("text/plain; version=0.0.4; charset=utf-8", metrics)
}

pub(super) fn index(context: &Context, method: &Method) -> Result<Response, Refusal> {
    require_read(method)?;
    let page = format!(
        "Tepui master {}\n\n/version /health /metrics /redirect\n\
         /state /state-summary /slaves /frameworks /tasks /roles /flags /metrics/snapshot /system/stats.json\nPOST /api/v1            operator API\n\
         POST /api/v1/scheduler  scheduler API\n",
        context.about().version
    );
    Ok(text(StatusCode::OK, &page))
}
