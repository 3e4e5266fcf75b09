//! What a master answers that does not lead: little of its own, and where the leader is.
//!
//! Between two leaders there is a moment without any. A request that comes then is held for a
//! while, so that most clients never notice.

use super::legacy::stale::{self, Stale};
use super::{Read, Refusal, Route, empty, read, route, system};
use crate::front::Front;
use crate::http::HttpCounts;
use crate::logging::Logging;
use crate::membership::Membership;
use crate::metrics;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use proto::Time;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

/// How long a request waits for somebody to lead.
const WAIT: Duration = Duration::from_secs(2);

/// How the media type of gRPC begins.
const GRPC: &[u8] = b"application/grpc";

/// What a follower knows.
#[derive(Clone)]
pub(crate) struct Following {
    pub(crate) membership: Membership,
    pub(crate) counts: Arc<HttpCounts>,
    pub(crate) logging: Arc<Logging>,
    pub(crate) stale: Stale,
    pub(crate) started: Time,
    pub(crate) version: Arc<str>,
}

/// Everything, while no core answers.
pub(crate) fn router(following: Following, front: Front) -> Router {
    Router::new().fallback(dispatch).with_state((following, front))
}

async fn dispatch(
    State((following, front)): State<(Following, Front)>,
    request: Request,
) -> Response {
    let (name, answer) = match route(request.uri().path()) {
        Some((name, route)) => match stale_read(route, &request) {
            Some(read) => (name, Some(stale::read(&following.stale, request.uri(), read).await)),
            None => (name, own(&following, route, &request)),
        },
        None => ("unknown", None),
    };
    let asked = Asked::of(&request);
    let response = match answer {
        Some(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        None => tokio::select! {
            // Who begins to lead here has the better answer.
            biased;
            router = front.leading() => return answered(router.oneshot(request).await),
            leader = following.membership.standing.followed() => asked.elsewhere(Some(&leader)),
            () = tokio::time::sleep(WAIT) => match following.membership.standing.problem() {
                Some(problem) if !asked.is_grpc => no_leader(Some(&problem)).into_response(),
                _ => asked.elsewhere(None),
            },
        },
    };
    following.counts.count(name, response.status());
    response
}

fn answered(answer: Result<Response, std::convert::Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The read, if an answer that may be old is wanted.
fn stale_read(route: Route, request: &Request) -> Option<Read> {
    let read = match route {
        Route::Read(read) => read,
        Route::Weights => Read::Weights,
        Route::Quota => Read::Quota,
        _ => return None,
    };
    stale::is_wanted(request, read).then_some(read)
}

/// What every master answers for itself.
fn own(
    following: &Following,
    route: Route,
    request: &Request,
) -> Option<Result<Response, Refusal>> {
    let method = request.method();
    Some(match route {
        Route::Version => read::version(&following.version, method),
        Route::Health => read::health(&following.membership.standing, method),
        Route::Redirect => match following.membership.standing.leader_elsewhere() {
            Some(leader) => read::redirect(&leader, method),
            None => return None,
        },
        Route::Metrics => read::require_read(method).map(|()| {
            let Following { membership, counts, started, version, .. } = following;
            let status = membership.standing.status();
            read::prometheus(metrics::of_follower(&status, counts, *started, version))
        }),
        Route::Logging => super::legacy::toggle(&following.logging, request),
        Route::Stats => system::stats(method),
        Route::Scheduler
        | Route::Operator
        | Route::Index
        | Route::Read(_)
        | Route::Forward(_)
        | Route::Weights
        | Route::Quota
        | Route::Files
        | Route::Logs
        | Route::Sessions
        | Route::NotBuilt => return None,
    })
}

/// What was asked, as far as it matters for who has to be asked instead.
pub(crate) struct Asked {
    uri: Uri,
    is_grpc: bool,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let is_grpc = media_type.is_some_and(|kind| kind.as_bytes().starts_with(GRPC));
        Self { uri: request.uri().clone(), is_grpc }
    }

    /// That another one has to be asked: which, if it is known.
    pub(crate) fn elsewhere(&self, leader: Option<&str>) -> Response {
        if self.is_grpc {
            return grpc::not_leading(leader).into_http();
        }
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let location = leader.and_then(|at| HeaderValue::from_str(&format!("//{at}{path}")).ok());
        let Some(location) = location else {
            return no_leader(None).into_response();
        };
        let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}

/// Why nobody leads, if that is known here.
fn no_leader(problem: Option<&str>) -> Refusal {
    let message = match problem {
        Some(problem) => format!("no master leads at the moment: {problem}"),
        None => "no master leads at the moment, and a majority of them is needed: ask again, and \
                 see /health of each"
            .to_owned(),
    };
    let retry_after = Some(Duration::from_secs(1));
    Refusal { retry_after, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message) }
}
