//! The process: engine, API, and what follows the engine's notices, from start to end.

use crate::cluster::Cluster;
use crate::config::{Config, Error, State};
use crate::events::{EventLog, SharedLog};
use crate::http;
use crate::retention::Retention;
use crate::service::Service;
use axum::serve::{Listener, ListenerExt};
use driver::core::{Notice, Options};
use driver::{Engine, RunError};
use grpc::machine::Callers;
use proto::Time;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, watch};

/// How long requests under way have to come to their ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Notices noted in one go.
const TURN: usize = 1024;

/// Opens the API's address; port 0 takes any.
///
/// # Errors
/// When it cannot be used.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| Error::Listen { address, source })
}

/// A listener that has only the connections that are to be served.
struct Own {
    listener: TcpListener,
    callers: Callers,
}

impl Listener for Own {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            if self.callers.take(&stream, from) {
                return (stream, from);
            }
            tracing::warn!(%from, "connection refused: of another user");
            // It ends by itself, soon.
            tokio::spawn(Callers::refuse(stream));
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Runs the framework until `shutdown`: its tasks go on, and the next start with the same state
/// takes them over. What a submit promised is durable at any moment.
///
/// # Errors
/// When the records cannot be read or written, or the master ended the framework.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Serve)?;
    let options = config.options(address)?;
    tokio::pin!(shutdown);
    let (engine, mut work) = tokio::select! {
        started = start(options, &config.state) => started?,
        // It may have been waiting for a master.
        () = &mut shutdown => return Ok(()),
    };
    let log: SharedLog = Arc::new(EventLog::new(config.events.max(1), wall_clock()));
    let surplus = Arc::new(Notify::new());
    surplus.notify_one();
    let noting = tokio::spawn(note(engine.watch(), Arc::clone(&log), Arc::clone(&surplus)));
    let retention = Retention { jobs: config.keep_jobs.max(1), units: config.keep_units };
    let forgetting = tokio::spawn(forget(engine.clone(), retention, surplus));
    let replicated = matches!(config.state, State::Replicated(_));
    let (end, ending) = watch::channel(false);
    let cluster = Cluster::new(config.masters.clone());
    let service =
        Service::new(engine, cluster, log, config.role.clone(), ending.clone(), replicated);
    let router = http::router(Arc::new(service));
    let listener = Own { listener, callers: config.callers }.tap_io(|stream| {
        // A small answer must not wait for the acknowledgement of the one before it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let mut told = ending;
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is an end too.
        let _ = told.wait_for(|ending| *ending).await;
    });
    let mut serving = tokio::spawn(serving.into_future());
    tracing::info!(%address, "the jobs API listens");
    let ended = tokio::select! {
        () = &mut shutdown => None,
        result = &mut work => Some(Ok(result)),
        result = &mut serving => Some(Err(result)),
    };
    end.send_replace(true);
    forgetting.abort();
    noting.abort();
    match ended {
        Some(Err(served)) => flat(served).map_err(Error::Serve),
        Some(Ok(worked)) => {
            finish(serving).await;
            worked.map_err(|_| RunError::Ended)?.map_err(Error::from)
        }
        None => {
            finish(serving).await;
            // The last handle is gone: the engine says farewell to the master and ends.
            match tokio::time::timeout(FAREWELL, work).await {
                Ok(worked) => worked.map_err(|_| RunError::Ended)?.map_err(Error::from),
                Err(_) => Ok(()),
            }
        }
    }
}

type Work = tokio::task::JoinHandle<Result<(), RunError>>;

async fn start(options: Options, state: &State) -> Result<(Engine, Work), RunError> {
    match state {
        State::Local(dir) => Engine::start(options, dir, "jobs").await,
        State::Replicated(id) => {
            tracing::info!(framework = %id, "taking over what the masters keep");
            Engine::start_at_masters(options, id).await
        }
    }
}

type Served = tokio::task::JoinHandle<std::io::Result<()>>;

fn flat(result: Result<std::io::Result<()>, tokio::task::JoinError>) -> std::io::Result<()> {
    result.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

async fn finish(mut serving: Served) {
    match tokio::time::timeout(FAREWELL, &mut serving).await {
        Ok(served) => {
            if let Err(error) = flat(served) {
                tracing::warn!(%error, "the jobs API");
            }
        }
        // Somebody holds a connection: their requests were told to come to an end.
        Err(_) => serving.abort(),
    }
}

fn wall_clock() -> Time {
    Time::ZERO + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Notes what happens, and wakes those who wait for it.
async fn note(mut notices: broadcast::Receiver<Notice>, log: SharedLog, surplus: Arc<Notify>) {
    loop {
        let mut batch = Vec::new();
        let mut lost = 0;
        match notices.recv().await {
            Ok(notice) => batch.push(notice),
            Err(broadcast::error::RecvError::Lagged(count)) => lost += count,
            Err(broadcast::error::RecvError::Closed) => return,
        }
        while batch.len() < TURN {
            match notices.try_recv() {
                Ok(notice) => batch.push(notice),
                Err(broadcast::error::TryRecvError::Lagged(count)) => {
                    // What came before the loss goes with it: nobody shall see half of it.
                    batch.clear();
                    lost += count;
                }
                Err(_) => break,
            }
        }
        let ended = batch.iter().any(|notice| matches!(notice, Notice::GroupEnded(_)));
        if lost > 0 {
            tracing::debug!(lost, "more happened than was noted");
            log.note_lost(lost);
        }
        log.note(wall_clock(), batch);
        if ended || lost > 0 {
            surplus.notify_one();
        }
    }
}

async fn forget(engine: Engine, retention: Retention, surplus: Arc<Notify>) {
    loop {
        surplus.notified().await;
        retention.apply(&engine).await;
    }
}
