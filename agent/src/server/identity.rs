//! By what an agent and its supervisor are known to others.

use crate::config::Config;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

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

/// How long the name of this host may take to resolve: the tasks of an agent wait for it.
const LOOKUP: Duration = Duration::from_secs(5);

/// The address of this host as its tasks' updates tell it: the one that it is known by, or that it
/// listens on, or that its name has; one that others reach before a loopback one.
pub(super) async fn host_address(hostname: &str, listening: SocketAddr) -> Option<Ipv4Addr> {
    if let Ok(address) = hostname.parse() {
        return Some(address);
    }
    match listening.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => return Some(address),
        _ => {}
    }
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((hostname, 0))).await;
    let found = found.ok()?.ok()?.filter_map(|found| match found.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    found.min_by_key(Ipv4Addr::is_loopback)
}

/// A pid alone may be given to another process; with the time of its start it is one for ever.
pub(super) fn supervisor_identity(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the start time is the 20th field after it.
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    format!("{pid}:{}", started.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_is_where_it_is_known_or_listens_or_its_name_is() {
        let told = |name: &'static str, listening: &str| {
            let listening = listening.parse().unwrap();
            async move { host_address(name, listening).await.map(|address| address.to_string()) }
        };
        assert_eq!(told("10.0.0.7", "127.0.0.1:1").await.as_deref(), Some("10.0.0.7"));
        assert_eq!(told("no.such.invalid", "127.0.0.9:1").await.as_deref(), Some("127.0.0.9"));
        assert_eq!(told("localhost", "0.0.0.0:1").await.as_deref(), Some("127.0.0.1"));
        assert_eq!(told("::1", "[::]:1").await, None, "an agent of IPv6 alone");
    }
}
