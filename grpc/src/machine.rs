//! Whose a connection of this machine is.
//!
//! What is open to the operator of a machine is not for the tasks that run there: they have users of
//! their own, as everybody has who is neither root nor who runs the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

/// The kernel's tables of connections, of the network that this thread is in.
const TABLES: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];

/// Whether the other end of a connection is a process of root's or of our own user's on this machine.
/// `from` is its end and `to` is ours.
///
/// Reads the kernel's tables: linear in the machine's connections.
pub fn is_operators(from: SocketAddr, to: SocketAddr) -> bool {
    let own = std::fs::metadata("/proc/self").map(|own| own.uid()).ok();
    user_of(from, to).is_some_and(|user| user == 0 || Some(user) == own)
}

fn user_of(from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let same = |one: SocketAddr, other: SocketAddr| {
        one.ip().to_canonical() == other.ip().to_canonical() && one.port() == other.port()
    };
    TABLES.iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        let entries = text.lines().filter_map(entry);
        let found =
            entries.into_iter().find(|(local, remote, _)| same(*local, from) && same(*remote, to));
        found.map(|(_, _, user)| user)
    })
}

/// A line: its own address, that of the other end, and whose it is.
fn entry(line: &str) -> Option<(SocketAddr, SocketAddr, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    // The state, the queues, the timer, and how often it was sent again.
    let user = fields.nth(4)?.parse().ok()?;
    Some((local, remote, user))
}

/// Words of 32 bits in the machine's order, each of which is a piece of the address as it is on the
/// wire; and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = host.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let host = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, piece) in bytes.chunks_exact_mut(4).enumerate() {
                piece.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_other_end_is_found_by_both_addresses() {
        for host in ["127.0.0.1:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue; // Without IPv6.
            };
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (server, from) = listener.accept().unwrap();
            let to = server.local_addr().unwrap();
            let own = std::fs::metadata("/proc/self").unwrap().uid();
            assert_eq!(user_of(from, to), Some(own), "{host}");
            assert!(is_operators(from, to));
            let other = SocketAddr::new(from.ip(), from.port() ^ 1);
            assert!(!is_operators(other, to));
            drop(client);
        }
    }

    #[test]
    fn a_line_of_the_kernel_is_read_and_others_are_nobodys() {
        let line = "   0: 0100007F:13BB 0200000A:0050 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1";
        if cfg!(target_endian = "little") {
            let (local, remote) = ("127.0.0.1:5051".parse(), "10.0.0.2:80".parse());
            assert_eq!(entry(line), Some((local.unwrap(), remote.unwrap(), 1000)));
        }
        for line in ["", "  sl  local_address rem_address   st", "0: 01:1 02:2 1", "0: é:1 2:3"] {
            assert_eq!(entry(line), None, "{line}");
        }
    }
}
