//! The supervisor's side of the socket: who may connect, and frames in and out.
//!
//! One agent at a time. A second one waits for a moment, since a killed agent's socket closes
//! only when the kernel has torn its process down; then it is refused. Only processes of our own
//! user are answered. Writing never blocks: what the agent does not take waits in memory.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::{self, Order, Report};

/// A connected agent.
#[derive(Debug)]
pub(super) struct Peer {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It has said hello and hears of everything from now on.
    pub(super) greeted: bool,
    /// Waiting for the socket to take more.
    pub(super) blocked: bool,
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// Closed or broken by the other side.
    Closed,
    /// It sent what we cannot read.
    Unreadable(String),
    /// It is of another release, which speaks another version of the protocol.
    OtherVersion(String),
}

/// Listens on `path`, which nobody but our user may open.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path) {
        Ok(_) => {
            let text = format!("another process answers on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
        }
        Err(_) => {}
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes one connection, if it is of our own user; others hear why not.
pub(super) fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let (stream, _) = listener.accept().ok()?;
    let own = rustix::process::geteuid();
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    if peer.uid != own {
        let reason = format!(
            "uid {} may not use this supervisor, which belongs to uid {}",
            peer.uid.as_raw(),
            own.as_raw()
        );
        refuse(&stream, reason);
        return None;
    }
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Says why a connection is not taken. A few bytes into an empty socket never block.
pub(super) fn refuse(mut stream: &UnixStream, reason: String) {
    let mut frame = Vec::new();
    Report::Refused { reason }.encode(&mut frame);
    // If it cannot even be written, the other side sees the connection close.
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(&frame);
}

impl Peer {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { stream, input, output, greeted: false, blocked: false }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether the agent is gone, though not all that it sent may have been taken in.
    pub(super) fn is_gone(&self) -> bool {
        let mut asked = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Takes in what has arrived. `Err` when the connection is over; orders that came before
    /// that are in `orders` all the same.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        orders: &mut Vec<Order>,
    ) -> Result<(), Gone> {
        let mut end = Ok(());
        // Bounded, so that a busy agent cannot keep us from our tasks.
        for _ in 0..16 {
            match self.stream.read(buffer) {
                Ok(0) => end = Err(Gone::Closed),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    if n == buffer.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => end = Err(Gone::Closed),
            }
            break;
        }
        self.parse(orders)?;
        end
    }

    fn parse(&mut self, orders: &mut Vec<Order>) -> Result<(), Gone> {
        let unreadable = |error: wire::WireError| match error {
            wire::WireError::Version(_) => Gone::OtherVersion(error.to_string()),
            other => Gone::Unreadable(other.to_string()),
        };
        let mut at = 0;
        while let Some(length) = wire::frame_length(&self.input[at..]).map_err(unreadable)? {
            orders.push(Order::decode(&self.input[at..at + length]).map_err(unreadable)?);
            at += length;
        }
        self.input.drain(..at);
        if self.input.is_empty() && self.input.capacity() > 256 << 10 {
            self.input = Vec::new();
        }
        Ok(())
    }

    /// Adds a report to what goes out.
    pub(super) fn queue(&mut self, report: &Report) {
        report.encode(&mut self.output);
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        let mut sent = 0;
        self.blocked = false;
        while sent < self.output.len() {
            match rustix::net::send(
                &self.stream,
                &self.output[sent..],
                rustix::net::SendFlags::NOSIGNAL,
            ) {
                Ok(n) => sent += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.blocked = true;
                    break;
                }
                Err(_) => return Err(Gone::Closed),
            }
        }
        self.output.drain(..sent);
        if self.output.is_empty() && self.output.capacity() > 256 << 10 {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Says why the connection ends.
    pub(super) fn dismiss(&self, reason: String) {
        refuse(&self.stream, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_gone_is_seen_before_all_that_it_sent_was_taken_in() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let peer = Peer::new(ours);
        theirs.write_all(b"an order").unwrap();
        assert!(!peer.is_gone());
        drop(theirs);
        assert!(peer.is_gone());
    }
}
