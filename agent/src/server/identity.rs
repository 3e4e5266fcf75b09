//! By what an agent and its supervisor are known to others.

use crate::config::Config;
use std::net::SocketAddr;

/// Under which name schedulers reach this agent: a name only when it resolves, because clients
/// look it up.
pub(super) async fn hostname(config: &Config, address: SocketAddr, machine: &str) -> String {
    if let Some(name) = &config.hostname {
        return name.clone();
    }
    if !address.ip().is_unspecified() {
        return address.ip().to_string();
    }
    match tokio::net::lookup_host((machine, address.port())).await {
        Ok(_) => machine.to_owned(),
        Err(error) => {
            tracing::warn!(machine, %error, "the machine's name does not resolve; give --hostname");
            "127.0.0.1".to_owned()
        }
    }
}

/// A pid alone may be given to another process; with the time of its start it is one for ever.
pub(super) fn supervisor_identity(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the start time is the 20th field after it.
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    format!("{pid}:{}", started.unwrap_or("unknown"))
}
