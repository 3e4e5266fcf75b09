//! Looking at tasks: an HTTP request or a connection, to the loopback address of the host that its
//! tasks share, or to the address of a task that has a network of its own. Commands are the containerizer's business.
//!
//! A look costs a socket and a few hundred bytes, and no thread. The core says how long it may take;
//! what comes later is of no use to anybody, and not told. Redirections are not followed: one that
//! leads elsewhere could make the agent ask what the task may not ask itself.

use agent_core::{Input, Look, Seen, Subject};
use proto::{CheckKind, Exit};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::containerizer::{ContainerId, WaitStatus};
use crate::supervisor::task::LaunchError;

/// What is read of an answer, for its status: servers write that first.
const ANSWER: usize = 16 << 10;

/// Begins a look that goes over the network; false when it is none. `own` is the task's address, if
/// that is not the host's.
pub(crate) fn begin(look: &Look, own: Option<Ipv4Addr>, inbox: &mpsc::Sender<Input>) -> bool {
    let address = |port: u16, ipv6: bool| {
        let ip = match (own, ipv6) {
            (Some(own), _) => IpAddr::V4(own),
            (None, true) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (None, false) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        SocketAddr::new(ip, port)
    };
    let (address, path) = match look.kind() {
        None | Some(CheckKind::Command(_)) => return false,
        Some(CheckKind::Tcp { port, ipv6 }) => (address(*port, *ipv6), None),
        Some(CheckKind::Http { port, path, ipv6 }) => {
            let path = path.clone().unwrap_or_else(|| Arc::from("/"));
            (address(*port, *ipv6), Some(path))
        }
    };
    let (container_id, timeout) = (look.launch.container_id.clone(), look.timeout);
    let (subject, number, inbox) = (look.subject, look.number, inbox.clone());
    tokio::spawn(async move {
        let seeing = async {
            match path {
                Some(path) => ask(address, &path).await,
                None => connect(address).await,
            }
        };
        // The core has its own eye on the time.
        let Ok(seen) = tokio::time::timeout(timeout, seeing).await else { return };
        // The agent may be ending.
        let _ = inbox.send(Input::Looked { container_id, subject, number, seen }).await;
    });
    true
}

async fn connect(address: SocketAddr) -> Seen {
    match reach(address).await {
        Ok(_) => Seen::Connected,
        Err(seen) => seen,
    }
}

/// A connection that somebody has taken; else what is seen.
async fn reach(address: SocketAddr) -> Result<TcpStream, Seen> {
    match TcpStream::connect(address).await {
        Ok(stream) if is_own(&stream) => {
            Err(Seen::Refused(format!("connecting to {address}: nobody listens").into()))
        }
        Ok(stream) => Ok(stream),
        Err(error) => Err(not_connected(address, &error)),
    }
}

/// Whether both ends are this one: where nobody listens at a port that the kernel gives out, a
/// connection may get that very port for itself, and takes itself.
fn is_own(stream: &TcpStream) -> bool {
    stream.local_addr().is_ok_and(|own| stream.peer_addr().is_ok_and(|peer| own == peer))
}

/// A host without descriptors, ports or memory says nothing of a task.
fn not_connected(address: SocketAddr, error: &io::Error) -> Seen {
    let text = format!("connecting to {address}: {error}").into();
    let own = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];
    match error.raw_os_error() {
        Some(errno) if own.contains(&errno) => Seen::Unable(text),
        _ => Seen::Refused(text),
    }
}

async fn ask(address: SocketAddr, path: &str) -> Seen {
    let mut stream = match reach(address).await {
        Ok(stream) => stream,
        Err(seen) => return seen,
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: tepui\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    if let Err(error) = stream.write_all(request.as_bytes()).await {
        return Seen::Nothing(format!("asking {address}: {error}").into());
    }
    let mut answer = Vec::with_capacity(1024);
    loop {
        match status(&answer) {
            Ok(Some(status)) => return Seen::Answered(status),
            Ok(None) if answer.len() < ANSWER => {}
            Ok(None) | Err(()) => {
                return Seen::Nothing(format!("{address} does not answer in HTTP").into());
            }
        }
        match stream.read_buf(&mut answer).await {
            Ok(1..) => {}
            Ok(0) => return Seen::Nothing(format!("{address} closed without an answer").into()),
            Err(error) => {
                return Seen::Nothing(format!("the answer of {address}: {error}").into());
            }
        }
    }
}

/// The status of an answer, as soon as it is there. Interim answers are passed over.
fn status(answer: &[u8]) -> Result<Option<u16>, ()> {
    let mut rest = answer;
    loop {
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            let begin = b"HTTP/1.";
            let known = rest.len().min(begin.len());
            return if rest[..known] == begin[..known] { Ok(None) } else { Err(()) };
        };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| ())?;
        let mut words = line.split(' ');
        words.next().filter(|version| version.starts_with("HTTP/1.")).ok_or(())?;
        let digits = words.next().filter(|digits| digits.len() == 3).ok_or(())?;
        let status = digits.parse::<u16>().map_err(|_| ())?;
        if status != 101 && (100..200).contains(&status) {
            let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(None);
            };
            rest = &rest[end + 4..];
            continue;
        }
        return Ok(Some(status));
    }
}

/// The number under which the containerizer knows a look.
pub(crate) fn number(look: &Look) -> u64 {
    look.number << 1 | u64::from(look.subject == Subject::Check)
}

/// What came of a command that was run beside a task.
pub(crate) fn ended(
    id: &ContainerId,
    number: u64,
    result: Result<WaitStatus, LaunchError>,
) -> Option<Input> {
    let subject = if number & 1 == 0 { Subject::Health } else { Subject::Check };
    let seen = match result {
        Ok(WaitStatus::Exited(code)) => Seen::Exited(Exit::Code(code.into())),
        Ok(WaitStatus::Signaled(signal)) => Seen::Exited(Exit::Signal(signal.into())),
        Ok(WaitStatus::Unknown) => Seen::Unable("nobody can tell how it ended".into()),
        Err(LaunchError::Refused(why)) => Seen::Unable(why.into()),
        Err(error) => match crate::containers::fault_of_command(&error) {
            Some(_) => Seen::Nothing(error.to_string().into()),
            None => Seen::Unable(error.to_string().into()),
        },
    };
    let container_id = proto::ContainerId::new(id.as_str()).ok()?;
    Some(Input::Looked { container_id, subject, number: number >> 1, seen })
}

#[cfg(test)]
mod tests;
