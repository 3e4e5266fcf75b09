//! Where connections come from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// Where a connection comes from, as far as it counts whose it is: an address, of IPv6 the network
/// of it, as a host has as many addresses there as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) origin: Origin,
    /// Whether it is a process of this machine: one that came by the loopback, or from the address
    /// that it connected to.
    pub(crate) is_local: bool,
    /// Its end of the connection, and ours.
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
}

impl Caller {
    pub(crate) fn of(stream: &TcpStream, from: SocketAddr) -> Self {
        // Without an address of its own the connection is gone already.
        let to = stream.local_addr().ok();
        let is_local = to.is_some_and(|to| is_local(from, to));
        Self { origin: Origin::of(from.ip()), is_local, ends: to.map(|to| (from, to)) }
    }

    /// Whether it is a process of this machine, of root's or of our own user's; no task.
    pub(crate) fn is_operators(&self) -> bool {
        let ends = self.ends.filter(|_| self.is_local);
        ends.is_some_and(|(from, to)| grpc::machine::is_operators(from, to))
    }
}

fn is_local(from: SocketAddr, to: SocketAddr) -> bool {
    let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
    from.is_loopback() || from == to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_local_by_the_loopback_or_at_the_address_that_it_asks() {
        let is = |from: &str, to: &str| is_local(from.parse().unwrap(), to.parse().unwrap());
        assert!(is("127.0.0.1:5", "127.0.0.1:5050") && is("[::1]:5", "[::1]:5050"));
        assert!(is("[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:5050"));
        assert!(is("10.0.0.1:5", "10.0.0.1:5050"), "its own address");
        assert!(!is("10.0.0.2:5", "10.0.0.1:5050") && !is("[fe80::1]:5", "[fe80::2]:5050"));
    }
}
