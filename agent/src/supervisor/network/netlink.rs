//! Messages to the kernel's networking, and its answers: as much of netlink as links, queues and
//! port mappings need.
//!
//! The kernel carries a request out while it is being sent, so all of the answer is there when the
//! call returns: nothing here waits. What the kernel says is read with bounds, as if it were a
//! stranger's.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Sizes of the headers of a message and of an attribute.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_DUMP`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
pub(super) const DUMP: u16 = 0x300;
/// For what makes something: `NLM_F_REPLACE`, `NLM_F_EXCL`, `NLM_F_CREATE`, `NLM_F_APPEND`.
pub(super) const REPLACE: u16 = 0x100;
pub(super) const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Begins one of this kind, with the fixed part of its kind.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self(bytes);
        message.align();
        message
    }

    /// Asks for an answer even when all went well.
    pub(super) fn acknowledged(mut self) -> Self {
        let flags = u16::from_ne_bytes([self.0[6], self.0[7]]) | ACK;
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.put(kind, value);
        self
    }

    pub(super) fn nest(mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> Self {
        self.put_nested(kind, fill);
        self
    }

    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; ATTRIBUTE]);
        self.0.extend_from_slice(value);
        self.close(start, kind);
    }

    pub(super) fn put_nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; ATTRIBUTE]);
        fill(self);
        self.close(start, kind | NESTED);
    }

    /// Bytes that are no attribute, in one that is being written.
    pub(super) fn put_raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.align();
    }

    fn close(&mut self, start: usize, kind: u16) {
        let length = u16::try_from(self.0.len() - start).expect("our attributes are short");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.align();
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// What the kernel tells of one thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: u16,
    bytes: Vec<u8>,
}

impl Answer {
    /// So many bytes of its fixed part.
    pub(super) fn fixed<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at + N)?.try_into().ok()
    }

    /// The value of its first attribute of this kind, after a fixed part of this size.
    pub(super) fn attribute(&self, fixed: usize, wanted: u16) -> Option<&[u8]> {
        attribute(self.bytes.get(fixed..)?, wanted)
    }
}

/// The value of the first attribute of this kind, also of those that are in another.
pub(super) fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let header = rest.first_chunk::<ATTRIBUTE>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !NESTED;
        let value = rest.get(ATTRIBUTE..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// A socket to the networking of the namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    number: Cell<u32>,
}

impl Socket {
    /// Without a protocol to links, addresses and routes.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let fd = rustix::net::socket_with(family, kind, flags, protocol)?;
        Ok(Self { fd, number: Cell::new(0) })
    }

    /// Asks for something to be done, and whether it was.
    pub(super) fn order(&self, message: Message) -> io::Result<()> {
        self.ask([message.acknowledged()]).map(drop)
    }

    /// Sends messages together; all that the kernel tells, or its first refusal.
    pub(super) fn ask(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> io::Result<Vec<Answer>> {
        // What an earlier question left is nobody's answer.
        self.receive().map(drop)?;
        let mut bytes = Vec::new();
        for Message(mut message) in messages {
            let length = u32::try_from(message.len()).expect("our messages are short");
            self.number.set(self.number.get().wrapping_add(1));
            message[..4].copy_from_slice(&length.to_ne_bytes());
            message[8..12].copy_from_slice(&self.number.get().to_ne_bytes());
            bytes.append(&mut message);
        }
        rustix::net::send(&self.fd, &bytes, SendFlags::empty())?;
        let (answers, refusal) = self.receive()?;
        match refusal {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(answers),
        }
    }

    fn receive(&self) -> io::Result<(Vec<Answer>, Option<i32>)> {
        let (mut answers, mut refusal) = (Vec::new(), None);
        let mut buffer = vec![0; 32 << 10];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => read(&buffer[..count], &mut answers, &mut refusal),
                Err(Errno::AGAIN) => return Ok((answers, refusal)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Reads the messages of one packet.
fn read(mut packet: &[u8], answers: &mut Vec<Answer>, refusal: &mut Option<i32>) {
    while let Some(header) = packet.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = packet.get(HEADER..length) else { return };
        match u16::from_ne_bytes([header[4], header[5]]) {
            ERROR => {
                let errno = body.first_chunk().map_or(0, |four| i32::from_ne_bytes(*four));
                if errno != 0 {
                    refusal.get_or_insert(errno.saturating_neg());
                }
            }
            DONE => {}
            kind => answers.push(Answer { kind, bytes: body.to_vec() }),
        }
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_aligned_and_found_again() {
        let message = Message::new(16, CREATE, &[1, 2, 3, 4, 5])
            .with(3, b"eth0\0")
            .nest(18, |nested| nested.put(1, b"veth"));
        let Message(bytes) = message;
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u16::from_ne_bytes([bytes[6], bytes[7]]), REQUEST | CREATE);
        let answer = Answer { kind: 16, bytes: bytes[HEADER..].to_vec() };
        assert_eq!(answer.fixed::<2>(3), Some([4, 5]));
        assert_eq!(answer.attribute(8, 3), Some(&b"eth0\0"[..]));
        assert_eq!(answer.attribute(8, 18).map(<[u8]>::len), Some(8));
        assert_eq!(answer.attribute(8, 4), None);
        assert_eq!(answer.fixed::<4>(1000), None);
    }

    #[test]
    fn whatever_arrives_is_read_within_bounds() {
        let (mut answers, mut refusal) = (Vec::new(), None);
        let mut error = vec![0; HEADER + 4];
        error[0] = 20;
        error[4] = 2;
        error[16..].copy_from_slice(&(-17_i32).to_ne_bytes());
        read(&error, &mut answers, &mut refusal);
        assert_eq!(refusal, Some(17));
        for length in [0_u32, 1, 15, 16, 17, u32::MAX] {
            let mut packet = vec![0xff; 40];
            packet[..4].copy_from_slice(&length.to_ne_bytes());
            read(&packet, &mut answers, &mut refusal);
            for answer in &answers {
                assert_eq!(answer.attribute(0, 1), None);
            }
        }
        for length in [0_u16, 1, 3, u16::MAX] {
            let bytes = [length.to_ne_bytes(), 7_u16.to_ne_bytes()].concat();
            assert_eq!(Answer { kind: 0, bytes }.attribute(0, 1), None);
        }
    }
}
