//! Frames of a stream between two members: a greeting, then messages, or one snapshot in chunks.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proto::{DecodeError, Encoding, Limits, Wire};
use registrar_core::{Greeting, MemberId, Message, Refused};

/// Bytes of a snapshot in one frame.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Largest frame: some messages with entries, of which one alone may be a whole proposal.
pub(crate) const FRAME_BYTES: usize = 64 << 20;

/// The bytes of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame(pub(crate) Bytes);

impl Wire for Frame {
    fn encode(&self, _: Encoding) -> Bytes {
        self.0.clone()
    }

    fn decode(bytes: &[u8], _: Encoding, _: &Limits) -> Result<Self, DecodeError> {
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }
}

/// What a frame says.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Whose stream this is, and for whom: first on it.
    Hello { group: String, to: MemberId, greeting: Greeting },
    /// Messages, in order.
    Messages(Vec<Message>),
    /// A message whose snapshot follows: its size and checksum.
    Snapshot { message: Message, bytes: u64, crc: u32 },
    /// The next bytes of it.
    Chunk(Bytes),
    /// Answers a snapshot that arrived.
    Arrived,
    /// The sender of the stream is not listened to: last on it.
    Refused(Refused),
}

const HELLO: u8 = 1;
const MESSAGES: u8 = 2;
const SNAPSHOT: u8 = 3;
const CHUNK: u8 = 4;
const ARRIVED: u8 = 5;
const REFUSED: u8 = 6;

const OTHER_GROUP: u8 = 1;
const OTHER_MEMBER: u8 = 2;
const OTHER_EPOCH: u8 = 3;
const NOT_YET: u8 = 4;
const REMOVED: u8 = 5;

impl Frame {
    pub(crate) fn hello(group: &str, to: MemberId, greeting: &Greeting) -> Self {
        let Greeting { from, as_of, epoch, address } = greeting;
        let mut bytes = BytesMut::with_capacity(48 + group.len() + address.len());
        bytes.put_u8(HELLO);
        bytes.put_u64_le(from.get());
        bytes.put_u64_le(to.get());
        bytes.put_u64_le(*as_of);
        bytes.put_u64_le(*epoch);
        bytes.put_u32_le(u32::try_from(group.len()).expect("a name is short"));
        bytes.put_slice(group.as_bytes());
        bytes.put_slice(address.as_bytes());
        Self(bytes.freeze())
    }

    pub(crate) fn messages(messages: &[Message]) -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_u8(MESSAGES);
        for message in messages {
            let message = message.encode();
            bytes.put_u32_le(u32::try_from(message.len()).expect("messages are limited"));
            bytes.put_slice(&message);
        }
        Self(bytes.freeze())
    }

    pub(crate) fn snapshot(message: &Message, size: u64, crc: u32) -> Self {
        let message = message.encode();
        let mut bytes = BytesMut::with_capacity(32 + message.len());
        bytes.put_u8(SNAPSHOT);
        bytes.put_u64_le(size);
        bytes.put_u32_le(crc);
        bytes.put_slice(&message);
        Self(bytes.freeze())
    }

    pub(crate) fn chunk(chunk: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(1 + chunk.len());
        bytes.put_u8(CHUNK);
        bytes.put_slice(chunk);
        Self(bytes.freeze())
    }

    pub(crate) fn arrived() -> Self {
        Self(Bytes::from_static(&[ARRIVED]))
    }

    pub(crate) fn refused(refused: Refused) -> Self {
        let (kind, index) = match refused {
            Refused::OtherGroup => (OTHER_GROUP, 0),
            Refused::OtherMember => (OTHER_MEMBER, 0),
            Refused::OtherEpoch => (OTHER_EPOCH, 0),
            Refused::NotYet => (NOT_YET, 0),
            Refused::Removed { index } => (REMOVED, index),
        };
        let mut bytes = BytesMut::with_capacity(10);
        bytes.put_slice(&[REFUSED, kind]);
        bytes.put_u64_le(index);
        Self(bytes.freeze())
    }

    /// What it says; a sentence if it cannot be read.
    pub(crate) fn read(self) -> Result<Content, String> {
        let mut bytes = self.0;
        let short = |_| "the frame is too short".to_owned();
        match bytes.try_get_u8().map_err(short)? {
            HELLO => {
                let mut member = || {
                    let id = bytes.try_get_u64_le().map_err(short)?;
                    MemberId::new(id).ok_or_else(|| "a member has the id 0".to_owned())
                };
                let (from, to) = (member()?, member()?);
                let as_of = bytes.try_get_u64_le().map_err(short)?;
                let epoch = bytes.try_get_u64_le().map_err(short)?;
                let length = bytes.try_get_u32_le().map_err(short)? as usize;
                if bytes.remaining() < length {
                    return Err("the group's name is cut off".to_owned());
                }
                let text = |bytes: Bytes| {
                    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is no text".to_owned())
                };
                let (group, address) = (text(bytes.split_to(length))?, text(bytes)?);
                Ok(Content::Hello { group, to, greeting: Greeting { from, as_of, epoch, address } })
            }
            MESSAGES => {
                let mut messages = Vec::new();
                while bytes.has_remaining() {
                    let length = bytes.try_get_u32_le().map_err(short)? as usize;
                    if bytes.remaining() < length {
                        return Err("a message is cut off".to_owned());
                    }
                    let message = Message::decode(bytes.split_to(length));
                    messages.push(message.map_err(|error| format!("a message: {error}"))?);
                }
                Ok(Content::Messages(messages))
            }
            SNAPSHOT => {
                let size = bytes.try_get_u64_le().map_err(short)?;
                let crc = bytes.try_get_u32_le().map_err(short)?;
                let message = Message::decode(bytes).map_err(|error| error.to_string())?;
                Ok(Content::Snapshot { message, bytes: size, crc })
            }
            CHUNK => Ok(Content::Chunk(bytes)),
            ARRIVED => Ok(Content::Arrived),
            REFUSED => {
                let kind = bytes.try_get_u8().map_err(short)?;
                let index = bytes.try_get_u64_le().map_err(short)?;
                Ok(Content::Refused(match kind {
                    OTHER_GROUP => Refused::OtherGroup,
                    OTHER_MEMBER => Refused::OtherMember,
                    OTHER_EPOCH => Refused::OtherEpoch,
                    NOT_YET => Refused::NotYet,
                    REMOVED => Refused::Removed { index },
                    kind => return Err(format!("a refusal has the unknown kind {kind}")),
                }))
            }
            kind => Err(format!("a frame has the unknown kind {kind}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read() {
        let [a, b] = [1, 2].map(|id| MemberId::new(id).unwrap());
        let greeting = Greeting { from: a, as_of: 3, epoch: 4, address: "host:1".to_owned() };
        let hello = Frame::hello("group", b, &greeting).read();
        assert_eq!(hello, Ok(Content::Hello { group: "group".to_owned(), to: b, greeting }));
        for refused in [
            Refused::OtherGroup,
            Refused::OtherMember,
            Refused::OtherEpoch,
            Refused::NotYet,
            Refused::Removed { index: 9 },
        ] {
            assert_eq!(Frame::refused(refused).read(), Ok(Content::Refused(refused)));
        }
        let chunk = Frame::chunk(b"some").read();
        assert_eq!(chunk, Ok(Content::Chunk(Bytes::from_static(b"some"))));
        assert_eq!(Frame::arrived().read(), Ok(Content::Arrived));
        assert_eq!(Frame::messages(&[]).read(), Ok(Content::Messages(Vec::new())));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        for bytes in [
            &[][..],
            &[9],
            &[HELLO, 1],
            &[REFUSED],
            &[REFUSED, 99, 0, 0, 0, 0, 0, 0, 0, 0],
            &[MESSAGES, 255, 0, 0, 0],
            &[SNAPSHOT, 1],
        ] {
            assert!(Frame(Bytes::copy_from_slice(bytes)).read().is_err(), "{bytes:?}");
        }
        assert!(Frame(Bytes::from_static(&[HELLO; 33])).read().is_err());
        assert!(Frame(Bytes::from_static(&[HELLO, 0, 0, 0, 0, 0, 0, 0, 0])).read().is_err());
    }
}
