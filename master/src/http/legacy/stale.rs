//! Reads of a master that does not lead, for who wants them: what the registry says, which may be
//! old. They are marked with the entry of the log up to which it is known.
//!
//! Tasks and offers are no facts of the registry: they are never in such an answer, and what asks
//! for them alone is sent to the leader.

use super::{About, Read, Refusal, write};
use crate::Config;
use crate::http::legacy::Query;
use crate::http::pieces::collecting;
use crate::reads::{Model, Pace, model_of};
use crate::registrar::Asks;
use crate::server::master_info;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use clock::Clock;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use master_core::Master;
use proto::MasterId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

/// The header that marks them: up to which entry of the log the registry is known.
const INDEX: &str = "tepui-stale-index";
/// Answers that may be in memory at a time, each whole.
const AT_A_TIME: usize = 8;
/// So long a copy is kept for the next one who asks.
const KEPT: Duration = Duration::from_secs(10);
/// A copy that is no older is used again.
const FRESH: Duration = Duration::from_secs(1);

/// What a follower makes such answers from.
#[derive(Clone)]
pub(crate) struct Stale {
    pub(crate) config: Arc<Config>,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) asks: Asks,
    copy: Arc<Mutex<Option<Copy>>>,
    /// Answers that may be in memory at a time.
    places: Arc<Semaphore>,
}

#[derive(Clone)]
struct Copy {
    made: Instant,
    index: u64,
    model: Arc<Model>,
    about: Arc<About>,
}

impl Stale {
    pub(crate) fn new(config: Arc<Config>, address: SocketAddr, clock: Clock, asks: Asks) -> Self {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        Self { config, address, clock, asks, copy: Arc::default(), places }
    }

    /// One at a time makes a copy, also if who asked for it has left; the others wait for it.
    async fn copy(&self) -> Result<Copy, Refusal> {
        let stale = self.clone();
        let made = tokio::spawn(async move {
            let kept = Arc::clone(&stale.copy).lock_owned().await;
            stale.copied(kept).await
        });
        made.await.map_err(|_| Refusal::stopping())?
    }

    async fn copied(&self, mut kept: OwnedMutexGuard<Option<Copy>>) -> Result<Copy, Refusal> {
        if let Some(copy) = kept.as_ref().filter(|copy| copy.made.elapsed() < FRESH) {
            return Ok(copy.clone());
        }
        let unreadable = |error: &dyn std::fmt::Display| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("no registry here: {error}"))
        };
        let known = self.asks.facts(&self.config).await;
        let (registry, index) = known.map_err(|error| unreadable(&error))?;
        let nobody = || MasterId::new("none").expect("a word is an id");
        let master_id = registry.master_id().cloned().unwrap_or_else(nobody);
        let cluster = registry.cluster_id().cloned();
        let about = About::of(&self.config, self.address, master_id, cluster, self.clock.started());
        let info = master_info(&self.config, self.address, about.master_id.clone());
        let (options, now) = (self.config.options.clone(), self.clock.now());
        // Many agents take a while.
        let made = tokio::task::spawn_blocking(move || {
            let core = Master::new(options.clone(), info, registry, now);
            model_of(options.completed_tasks, core.snapshot())
        });
        let model = made.await.map_err(|error| unreadable(&error))?;
        let (model, about) = (Arc::new(model), Arc::new(about));
        let copy = Copy { made: Instant::now(), index, model, about };
        *kept = Some(copy.clone());
        drop(kept);
        tokio::spawn(forget(Arc::clone(&self.copy), copy.made));
        Ok(copy)
    }
}

/// Lets go of a copy, once it is old and nobody made a newer one.
async fn forget(copies: Arc<Mutex<Option<Copy>>>, made: Instant) {
    tokio::time::sleep(KEPT).await;
    copies.lock().await.take_if(|copy| copy.made == made);
}

/// Whether the request is for an answer that may be old, and there can be one.
pub(crate) fn is_wanted(request: &Request, read: Read) -> bool {
    let has_facts = match read {
        Read::State
        | Read::Summary
        | Read::Agents
        | Read::Frameworks
        | Read::Roles
        | Read::Weights
        | Read::Quota
        | Read::Flags => true,
        Read::Tasks | Read::Offers | Read::Operations | Read::Metrics => false,
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    has_facts
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && query.get("stale") == Some("true")
}

/// Answers from the registry as it is known here.
pub(crate) async fn read(stale: &Stale, uri: &Uri, read: Read) -> Result<Response, Refusal> {
    let query = Query::parse(uri.query().unwrap_or_default());
    let place = Arc::clone(&stale.places).try_acquire_owned().map_err(|_| {
        let message = format!("{AT_A_TIME} such answers are being read: ask again, or the leader");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let Copy { index, model, about, .. } = stale.copy().await?;
    let mut out = collecting(&Arc::new(Pace::new()), usize::MAX);
    let written = write(&mut out, &model, &query, &about, read, None).await;
    let pieces = written.ok().and_then(|()| out.collected());
    let pieces = pieces.ok_or_else(Refusal::stopping)?;
    let body = Full::new(Bytes::from(pieces.concat()));
    // The place is taken until the answer was read, or its reader is gone.
    let body = body.map_frame(move |frame| {
        let _ = &place;
        frame
    });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(INDEX, HeaderValue::from(index));
    Ok(response)
}
