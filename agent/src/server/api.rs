//! What the agent serves: its own API, and that of custom executors, and what these are told of it.

use crate::config::Config;
use crate::executors;
use crate::http::{self, Ask};
use crate::perform::Performer;
use crate::sessions::Sessions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::sync::mpsc;

/// The agent's own API, with that of custom executors.
pub(super) fn router(
    performer: &Performer,
    sessions: &Sessions,
    config: &Config,
    asks: mpsc::Sender<Ask>,
) -> axum::Router {
    let calls = executors::Context {
        streams: performer.streams.clone(),
        asks: asks.clone(),
        inbox: performer.inbox.clone(),
        secret: performer.employer.secret.clone(),
        open_to_all: config.executors_without_token,
        timeout: config.request_timeout,
    };
    let rights = (sessions.clone(), config.sessions_from);
    let router = http::router(http::Context::new(performer.sandboxes.clone(), rights, asks));
    router.merge(executors::router(calls))
}

/// What custom executors are told of this agent. They run on its host: where it listens on all
/// addresses, the loopback is one.
pub(super) fn employer(
    config: &Config,
    address: SocketAddr,
    secret: executors::Secret,
) -> executors::Settings {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    executors::Settings {
        endpoint: SocketAddr::new(host, address.port()).to_string(),
        secret,
        shutdown_grace: config.executor_shutdown_grace,
        recovery_timeout: config.recovery_timeout,
        reregistration_timeout: config.executor_reregistration_timeout,
    }
}
