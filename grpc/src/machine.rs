//! Whose a connection of this machine is.
//!
//! What is open to the operator of a machine is not for the tasks that run there: they have users of
//! their own, as everybody has who is neither root nor who runs the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// Whose connections a server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    /// Everybody's who reaches its port.
    #[default]
    All,
    /// Root's and those of the user who runs it, from this machine: for a server that does what it is
    /// told with the rights of its user, and asks nobody who they are.
    Own,
}

/// How long one that is refused has to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// What it may send meanwhile, in bytes.
const LEFT_UNREAD: u64 = 64 << 10;
const REFUSED: &str = "this serves only root and the user who runs it (--callers own)\n";

impl Callers {
    /// Whether a connection that was accepted is one to be served. Linear in the machine's
    /// connections where not everybody is.
    pub fn take(self, stream: &TcpStream, from: SocketAddr) -> bool {
        match self {
            Self::All => true,
            // Without an address of its own the connection is gone already.
            Self::Own => stream.local_addr().is_ok_and(|to| is_operators(from, to)),
        }
    }

    /// Says to somebody who is not served why, as HTTP/1.1, and closes the connection.
    pub async fn refuse(mut stream: TcpStream) {
        let length = REFUSED.len();
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{REFUSED}"
        );
        let farewell = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // What is closed with something unread is reset, and the answer with it.
            let mut rest = (&mut stream).take(LEFT_UNREAD);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // It may have gone, or be in no hurry.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

impl FromStr for Callers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "own" => Ok(Self::Own),
            _ => Err("'all' or 'own' is needed".to_owned()),
        }
    }
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

    #[tokio::test]
    async fn who_is_refused_is_told_why_though_it_was_still_asking() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client =
            tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let (server, from) = listener.accept().await.unwrap();
        assert!(Callers::All.take(&server, from) && Callers::Own.take(&server, from));
        // One that is not in the kernel's table is not of this machine.
        let elsewhere = SocketAddr::new([192, 0, 2, 7].into(), from.port());
        assert!(Callers::All.take(&server, elsewhere) && !Callers::Own.take(&server, elsewhere));
        let told = async {
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            drop(client);
            text
        };
        let ((), text) = tokio::join!(Callers::refuse(server), told);
        assert!(text.starts_with("HTTP/1.1 403") && text.ends_with(REFUSED), "{text}");
    }
}
