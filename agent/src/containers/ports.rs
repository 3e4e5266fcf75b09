//! The variables that tell a task its ports: those of its resources in ascending order as `PORT0`,
//! `PORT1` and so on, the first as `PORT`, all as `PORTS`; and those that its discovery names as
//! `PORT_<NAME>`. And whether they are free, where the operator wants to know before a task starts.

use proto::TaskInfo;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// So many of its ports are told, and so many of their names. A task may hold whole ranges, and an
/// environment has a limit.
const MOST: usize = 100;

pub(super) fn variables(
    task: &TaskInfo,
    named: &[(Arc<str>, u16)],
) -> impl Iterator<Item = (String, String)> {
    let ports = of(task);
    let list = |ports: &[u64]| ports.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let first = ports.first().map(|port| ("PORT".to_owned(), port.to_string()));
    let all = first.is_some().then(|| ("PORTS".to_owned(), list(&ports)));
    let names: Vec<(String, String)> = named
        .iter()
        .take(MOST)
        .map(|(name, port)| (format!("PORT_{}", in_capitals(name)), port.to_string()))
        .collect();
    let numbered =
        ports.into_iter().enumerate().map(|(i, port)| (format!("PORT{i}"), port.to_string()));
    first.into_iter().chain(all).chain(numbered).chain(names)
}

/// The task's ports that it is told of, in ascending order.
fn of(task: &TaskInfo) -> Vec<u64> {
    let ranges = task.resources.ranges("ports");
    ranges.pairs().iter().flat_map(|(first, last)| *first..=*last).take(MOST).collect()
}

/// Tries whether a server could be started at the ports that a task is told of.
///
/// # Errors
/// The first that somebody else has, as a sentence.
pub(crate) fn are_free(task: &TaskInfo) -> Result<(), String> {
    let taken = |port: u64| taken(u16::try_from(port).ok()?);
    match of(task).into_iter().find_map(|port| Some((port, taken(port)?))) {
        Some((port, protocol)) => Err(format!(
            "port {port}/{protocol} of the task is in use on the agent's host by something that is no task with this port (--check-ports)"
        )),
        None => Ok(()),
    }
}

/// By which protocol a port of this host is in use; none if it is free.
fn taken(port: u16) -> Option<&'static str> {
    let addresses = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let by =
        |kind| addresses.iter().any(|address| is_refused(SocketAddr::new(*address, port), kind));
    match (by(SocketType::STREAM), by(SocketType::DGRAM)) {
        (true, _) => Some("tcp"),
        (false, true) => Some("udp"),
        (false, false) => None,
    }
}

/// Whether an address is in use. What else can go wrong (no IPv6, a low port without the right to
/// it) says nothing about that, and is for the task to find out.
fn is_refused(address: SocketAddr, kind: SocketType) -> bool {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let Ok(socket) = socket_with(family, kind, SocketFlags::CLOEXEC, None) else { return false };
    if address.is_ipv6() && sockopt::set_ipv6_v6only(&socket, true).is_err() {
        return false;
    }
    // As servers do: connections of the former one that linger are no hindrance.
    if kind == SocketType::STREAM && sockopt::set_socket_reuseaddr(&socket, true).is_err() {
        return false;
    }
    bind(&socket, &address) == Err(Errno::ADDRINUSE)
}

/// What a shell takes as the name of a variable.
fn in_capitals(name: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_uppercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::launch;
    use proto::{CommandInfo, Flavor, Piece, Ranges, ResourceName, Value};

    fn holding(pairs: &[(u64, u64)]) -> TaskInfo {
        let mut task = TaskInfo::clone(&launch(CommandInfo::default()).task);
        let value = Value::Ranges(Ranges::new(pairs.iter().copied()));
        let (name, flavor) = (ResourceName::new("ports"), Flavor::default());
        if !pairs.is_empty() {
            task.resources.add_piece(Piece { name, flavor, value });
        }
        task
    }

    fn told(pairs: &[(u64, u64)], named: &[(&str, u16)]) -> Vec<(String, String)> {
        let task = holding(pairs);
        let named: Vec<(Arc<str>, u16)> =
            named.iter().map(|(name, port)| (Arc::from(*name), *port)).collect();
        variables(&task, &named).collect()
    }

    #[test]
    fn ports_are_told_in_order_by_number_and_by_name() {
        let told = told(&[(31_005, 31_005), (31_000, 31_001)], &[("http", 31_000), ("db-x", 9)]);
        let expected = [
            ("PORT", "31000"),
            ("PORTS", "31000,31001,31005"),
            ("PORT0", "31000"),
            ("PORT1", "31001"),
            ("PORT2", "31005"),
            ("PORT_HTTP", "31000"),
            ("PORT_DB_X", "9"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_port_that_somebody_listens_on_or_receives_at_is_named() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        assert_eq!(taken(port), Some("tcp"));
        let port = u64::from(port);
        let said = are_free(&holding(&[(port, port)])).unwrap_err();
        assert!(said.starts_with(&format!("port {port}/tcp ")), "{said}");
        // A server of TCP may have come to the same number meanwhile.
        assert!(taken(udp.local_addr().unwrap().port()).is_some());
        if let Ok(v6) = std::net::TcpListener::bind("[::1]:0") {
            assert_eq!(taken(v6.local_addr().unwrap().port()), Some("tcp"));
        }
        assert_eq!(are_free(&holding(&[])), Ok(()));
    }

    #[test]
    fn a_task_without_ports_is_told_none_and_one_with_many_a_part() {
        assert_eq!(told(&[], &[]), []);
        // PORT, PORTS and the numbered ones.
        assert_eq!(told(&[(1, 65_535)], &[]).len(), 2 + MOST);
    }
}
