//! Agents on one connection, as bytes: each has a stream of HTTP/2, on which it says what was encoded
//! before, and answers pings. Of what the master says no more is read than must be.
//!
//! Real agents are other machines with processors of their own. Here they share two with the master
//! that is measured, so that what a client's library would do for each of them is left away. To the
//! master they are streams as any other: it gets the same frames, and windows are kept.

use crate::raw::Raw;
use bytes::{BufMut, Bytes, BytesMut};
use grpc::tuning::STREAM_WINDOW;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{AgentId, Encoding, Limits, Wire};
use std::collections::BTreeMap;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Bytes of messages that may be sent before the server has said more; and the longest frame.
const FIRST_WINDOW: usize = 65_535;
const FRAME: usize = 16_384;

/// Some agents and their connection.
pub(crate) struct Streams<'a> {
    stream: TcpStream,
    /// How each registers or comes back; its place gives the number of its stream.
    calls: &'a [Raw],
    /// Those from here on have not said it yet.
    said: usize,
    /// What may be sent of messages.
    window: usize,
    /// Beginnings of messages whose rest has not come, by stream.
    partial: BTreeMap<u32, BytesMut>,
    out: BytesMut,
}

impl<'a> Streams<'a> {
    /// Connects, for as many agents as there are calls.
    pub(crate) async fn connect(address: &str, calls: &'a [Raw]) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut out = BytesMut::from(PREFACE);
        let mut settings = BytesMut::new();
        // INITIAL_WINDOW_SIZE, as the agents' client has it.
        settings.put_u16(4);
        settings.put_u32(STREAM_WINDOW);
        frame(&mut out, SETTINGS, 0, 0, &settings);
        // All that will ever be sent to these.
        frame(&mut out, WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        let headers = headers(address);
        for n in 0..calls.len() {
            frame(&mut out, HEADERS, END_HEADERS, number(n), &headers);
        }
        let (said, partial) = (0, BTreeMap::new());
        Ok(Self { stream, calls, said, window: FIRST_WINDOW, partial, out })
    }

    /// Plays them until the connection ends; `arrived` is told the place of each that is
    /// admitted, and the id of one that is new.
    ///
    /// # Errors
    /// Why one that was not admitted never will be.
    pub(crate) async fn live(
        mut self,
        mut arrived: impl FnMut(usize, Option<AgentId>),
    ) -> Result<(), String> {
        let mut admitted = 0;
        let mut input = BytesMut::with_capacity(64 * 1024);
        loop {
            self.say();
            let sent = self.stream.write_all(&self.out).await;
            self.out.clear();
            let read = match sent {
                Ok(()) => self.stream.read_buf(&mut input).await,
                Err(error) => Err(error),
            };
            if !matches!(read, Ok(1..)) {
                // That of a server that was ended when all were admitted is no fault.
                return match admitted == self.calls.len() {
                    true => Ok(()),
                    false => Err(format!("the connection ended: {read:?}")),
                };
            }
            while let Some((kind, flags, stream, payload)) = next_frame(&mut input) {
                admitted += self.take(kind, flags, stream, payload, &mut arrived)?;
            }
        }
    }

    /// Puts as many calls into frames as the window lets.
    fn say(&mut self) {
        while let Some(Raw(call)) = self.calls.get(self.said) {
            if call.len() + 5 > self.window {
                return;
            }
            assert!(call.len() + 5 <= FIRST_WINDOW, "it fits into its stream's first window");
            let stream = number(self.said);
            self.said += 1;
            self.send(stream, call);
        }
    }

    fn send(&mut self, stream: u32, message: &[u8]) {
        self.window = self.window.saturating_sub(message.len() + 5);
        let mut payload = BytesMut::with_capacity(message.len() + 5);
        payload.put_u8(0);
        payload.put_u32(message.len().try_into().expect("messages are short"));
        payload.put_slice(message);
        for part in payload.chunks(FRAME) {
            frame(&mut self.out, DATA, 0, stream, part);
        }
    }

    /// Takes one frame, and says how many agents were admitted by it.
    fn take(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Bytes,
        arrived: &mut impl FnMut(usize, Option<AgentId>),
    ) -> Result<usize, String> {
        match kind {
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, &payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.window += more as usize;
            }
            DATA => return self.take_data(stream, &payload, arrived),
            HEADERS if flags & END_STREAM != 0 => {
                return Err(format!("stream {stream} was refused"));
            }
            RST_STREAM | GOAWAY => return Err(format!("stream {stream} ended: {payload:?}")),
            // What else there is says nothing that counts.
            _ => {}
        }
        Ok(0)
    }

    fn take_data(
        &mut self,
        stream: u32,
        payload: &[u8],
        arrived: &mut impl FnMut(usize, Option<AgentId>),
    ) -> Result<usize, String> {
        let mut bytes = self.partial.remove(&stream).unwrap_or_default();
        bytes.extend_from_slice(payload);
        let mut admitted = 0;
        while let Some(message) = next_message(&mut bytes) {
            let event = AgentEvent::decode(&message, Encoding::Protobuf, &Limits::DEFAULT);
            match event.map_err(|error| error.to_string())? {
                AgentEvent::Registered { agent_id, .. } => {
                    admitted += 1;
                    arrived(place(stream), Some(agent_id));
                }
                AgentEvent::Reregistered { reconcile, .. } if reconcile.is_empty() => {
                    admitted += 1;
                    arrived(place(stream), None);
                }
                AgentEvent::Ping { sequence } => {
                    let pong = Raw::of(&AgentCall::Pong { sequence });
                    self.send(stream, &pong.0);
                }
                other => return Err(format!("not admitted: {other:?}")),
            }
        }
        if !bytes.is_empty() {
            self.partial.insert(stream, bytes);
        }
        Ok(admitted)
    }
}

/// The number of the stream of one agent of a connection.
fn number(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("few agents share a connection")
}

/// The agent of a stream.
fn place(stream: u32) -> usize {
    stream as usize / 2
}

/// The head of a request for an agent's stream, without Huffman codes and without a memory.
fn headers(address: &str) -> Vec<u8> {
    // POST, http; then names by their numbers in the static table, and one that is not there.
    let mut block = vec![0x83, 0x86];
    let fields: [(&[u8], &str); 4] = [
        (&[0x04], grpc::AGENT_LINK_PATH),
        (&[0x01], address),
        (&[0x0f, 0x10], "application/grpc"),
        (b"\0\x02te", "trailers"),
    ];
    for (name, value) in fields {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).expect("short values"));
        block.extend_from_slice(value.as_bytes());
    }
    block
}

fn frame(out: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
    out.put_slice(payload);
}

fn next_frame(input: &mut BytesMut) -> Option<(u8, u8, u32, Bytes)> {
    let (head, _) = input.split_first_chunk::<9>()?;
    let [a, b, c, kind, flags, stream @ ..] = *head;
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    if input.len() < 9 + len {
        return None;
    }
    let payload = input.split_to(9 + len).freeze().slice(9..);
    Some((kind, flags, u32::from_be_bytes(stream), payload))
}

/// A whole message of gRPC, without its prefix.
fn next_message(bytes: &mut BytesMut) -> Option<BytesMut> {
    let (prefix, _) = bytes.split_first_chunk::<5>()?;
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if bytes.len() < 5 + len {
        return None;
    }
    Some(bytes.split_to(5 + len).split_off(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_messages_are_found_once_they_are_whole() {
        let mut bytes = BytesMut::new();
        frame(&mut bytes, DATA, END_STREAM, 7, b"\0\0\0\0\x03abc\0\0");
        let mut input = bytes.split_to(12);
        assert_eq!(next_frame(&mut input), None);
        input.unsplit(bytes);
        let (kind, flags, stream, payload) = next_frame(&mut input).unwrap();
        assert_eq!((kind, flags, stream), (DATA, END_STREAM, 7));
        let mut data = BytesMut::from(payload);
        assert_eq!(next_message(&mut data).unwrap(), b"abc"[..]);
        assert_eq!((next_message(&mut data), &data[..]), (None, &b"\0\0"[..]));
        assert!(input.is_empty());
    }
}
