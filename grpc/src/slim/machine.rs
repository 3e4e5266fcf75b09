//! One connection as the standard (RFC 9113) has it, from the server's side: bytes come in, requests
//! and their bodies come out, and what is to be sent stands in `out`. It knows no socket and no time.

mod control;
#[cfg(any(test, feature = "testing"))]
mod held;
mod sending;

use super::frame::{self, Head};
use super::head::{self, Unfit};
use super::hpack;
use super::intake::{Credit, Intake, RequestBody};
use crate::tuning::{CONNECTION_WINDOW, STREAM_WINDOW};
use http::request;
use std::sync::Arc;

/// Streams at a time.
pub(super) const MAX_STREAMS: usize = 128;
/// The longest list of headers, packed, over all its frames.
const MAX_BLOCK: usize = head::MAX_LIST;
/// Frames that a list of headers may be cut into.
const MAX_PIECES: usize = 32;
/// Streams that may end before they were answered, beyond those that were: who opens streams only
/// to take them back keeps others waiting.
const MAX_WASTED: usize = 200;
/// Frames of data without any, beyond those that had some: nobody who means well sends them.
const MAX_EMPTY: usize = 1_000;
/// What each window is before anything was said of it.
const FIRST_WINDOW: i64 = 65_535;
const MAX_WINDOW: i64 = 0x7fff_ffff;

/// Why a stream or a connection ends (RFC 9113, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the standard")]
pub enum Reason {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// What a peer did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} ({reason:?})")]
pub struct Fault {
    /// What the peer is told.
    pub reason: Reason,
    /// What was wrong.
    pub problem: &'static str,
}

fn fault(reason: Reason, problem: &'static str) -> Fault {
    Fault { reason, problem }
}

/// A request that has come; its body may still be coming.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) stream: u32,
    pub(super) head: request::Parts,
    pub(super) body: RequestBody,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    /// What may be sent; what may come. Both may be less than nothing for a while.
    send: i64,
    receive: i64,
    /// The request's body, until it is whole.
    intake: Option<Intake>,
    /// The head of the answer was sent.
    is_answered: bool,
}

/// A list of headers whose last frame has not come.
#[derive(Debug)]
struct Block {
    stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
    pieces: usize,
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Machine {
    /// To be sent.
    pub(super) out: Vec<u8>,
    /// Requests that nobody took up yet.
    pub(super) asked: Vec<Asked>,
    /// A frame of which a part has come.
    partial: Vec<u8>,
    /// The client's first words were right; and its first frame.
    is_begun: bool,
    is_greeted: bool,
    decoder: hpack::Decoder,
    block: Option<Block>,
    /// In the order of their numbers.
    streams: Vec<Stream>,
    /// The newest stream there ever was.
    newest: u32,
    wasted: usize,
    empty: usize,
    send: i64,
    receive: i64,
    /// What a new stream may be sent.
    peer_window: i64,
    credit: Arc<Credit>,
}

impl Machine {
    pub(super) fn new(credit: Arc<Credit>) -> Self {
        let mut machine = Self {
            out: Vec::with_capacity(64),
            asked: Vec::new(),
            partial: Vec::new(),
            is_begun: false,
            is_greeted: false,
            decoder: hpack::Decoder::default(),
            block: None,
            streams: Vec::new(),
            newest: 0,
            wasted: 0,
            empty: 0,
            send: FIRST_WINDOW,
            receive: i64::from(CONNECTION_WINDOW),
            peer_window: FIRST_WINDOW,
            credit,
        };
        machine.greet();
        machine
    }

    fn greet(&mut self) {
        const HEADER_TABLE_SIZE: u16 = 1;
        const MAX_CONCURRENT_STREAMS: u16 = 3;
        const INITIAL_WINDOW_SIZE: u16 = 4;
        const MAX_HEADER_LIST_SIZE: u16 = 6;
        let settings = [
            // Agents ask once: there is nothing to remember.
            (HEADER_TABLE_SIZE, 0),
            (MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, head::MAX_LIST as u32),
        ];
        let mut payload = Vec::with_capacity(24);
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        Head::put(&mut self.out, frame::SETTINGS, 0, 0, &payload);
        self.put_window(0, i64::from(CONNECTION_WINDOW) - FIRST_WINDOW);
    }

    /// Takes what has come, and says whether a frame became whole by it.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if self.partial.is_empty() {
            let used = self.take_frames(bytes)?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(used > 0);
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let used = self.take_frames(&partial)?;
        // What is left of much is a part of one frame: it gets a place of its own size.
        self.partial =
            if used == 0 { partial } else { partial.get(used..).unwrap_or_default().to_vec() };
        Ok(used > 0)
    }

    /// Takes all frames that are whole, and says how many bytes they have.
    fn take_frames(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        if !self.is_begun {
            let Some((preface, behind)) = rest.split_at_checked(frame::PREFACE.len()) else {
                return Ok(0);
            };
            if preface != frame::PREFACE {
                return Err(fault(Reason::Protocol, "these are no first words of HTTP/2"));
            }
            self.is_begun = true;
            rest = behind;
        }
        while let Some((head, behind)) = Head::parse(rest) {
            if head.len > frame::MAX_PAYLOAD {
                return Err(fault(Reason::FrameSize, "a frame is longer than was allowed"));
            }
            let Some((payload, next)) = behind.split_at_checked(head.len) else { break };
            self.take_frame(head, payload)?;
            rest = next;
        }
        Ok(bytes.len() - rest.len())
    }

    fn take_frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if !self.is_greeted {
            if head.kind != frame::SETTINGS || head.has(frame::ACK) {
                return Err(fault(Reason::Protocol, "the first frame has no settings"));
            }
            self.is_greeted = true;
        }
        let is_more = head.kind == frame::CONTINUATION
            && self.block.as_ref().is_some_and(|block| block.stream == head.stream);
        if self.block.is_some() != is_more {
            return Err(fault(
                Reason::Protocol,
                "a frame within a list of headers, or the reverse",
            ));
        }
        match head.kind {
            frame::DATA => self.take_data(head, payload),
            frame::HEADERS => self.begin_headers(head, payload),
            frame::CONTINUATION => self.continue_headers(head, payload),
            frame::RST_STREAM => self.take_reset(head, payload),
            frame::SETTINGS => self.take_settings(head, payload),
            frame::PING => self.take_ping(head, payload),
            frame::WINDOW_UPDATE => self.take_window(head, payload),
            frame::PUSH_PROMISE => Err(fault(Reason::Protocol, "a client promises nothing")),
            frame::GOAWAY if head.stream != 0 || payload.len() < 8 => {
                Err(fault(Reason::Protocol, "a GOAWAY that is none"))
            }
            frame::PRIORITY if head.stream == 0 => {
                Err(fault(Reason::Protocol, "a priority of the connection"))
            }
            frame::PRIORITY if payload.len() != 5 => {
                Err(fault(Reason::FrameSize, "a priority that is none"))
            }
            // Who goes away ends the connection; there are no priorities; others are to be ignored.
            _ => Ok(()),
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.find(id)?;
        self.streams.get_mut(at)
    }

    /// Whether a client could have opened this stream already, be it over or not.
    fn check_was_opened(&self, id: u32) -> Result<(), Fault> {
        if !id.is_multiple_of(2) && id <= self.newest {
            return Ok(());
        }
        Err(fault(Reason::Protocol, "a frame of a stream that was never opened"))
    }

    fn take_data(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let len = head.len as i64;
        self.receive -= len;
        if self.receive < 0 {
            return Err(fault(Reason::FlowControl, "more data than the connection's window has"));
        }
        let Some(data) = frame::unpadded(head, payload) else {
            return Err(fault(Reason::Protocol, "padding is longer than its frame"));
        };
        self.count_empty(data.is_empty() && !head.has(frame::END_STREAM))?;
        let Some(stream) = self.stream(head.stream) else {
            self.check_was_opened(head.stream)?;
            // It crossed with the end of its stream.
            self.credit.add(head.len);
            return Ok(());
        };
        stream.receive -= len;
        let wrong = match &stream.intake {
            None => Some(Reason::StreamClosed),
            Some(_) if stream.receive < 0 => Some(Reason::FlowControl),
            Some(intake) => {
                intake.put(data, head.len - data.len());
                None
            }
        };
        if let Some(reason) = wrong {
            self.credit.add(head.len);
            return self.waste(head.stream, reason);
        }
        if head.has(frame::END_STREAM) {
            self.finish_request(head.stream);
        }
        Ok(())
    }

    fn count_empty(&mut self, is_empty: bool) -> Result<(), Fault> {
        self.empty = if is_empty { self.empty + 1 } else { self.empty.saturating_sub(1) };
        if self.empty > MAX_EMPTY {
            return Err(fault(Reason::EnhanceYourCalm, "too many frames of data without any"));
        }
        Ok(())
    }

    /// The request is whole.
    fn finish_request(&mut self, id: u32) {
        if let Some(intake) = self.stream(id).and_then(|stream| stream.intake.take()) {
            intake.finish();
        }
    }

    fn begin_headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(fault(Reason::Protocol, "a stream's number that no client has"));
        }
        let Some(block) = frame::block(head, payload) else {
            return Err(fault(Reason::Protocol, "padding is longer than its frame"));
        };
        let ends_stream = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.take_headers(head.stream, block, ends_stream);
        }
        let (stream, bytes) = (head.stream, block.to_owned());
        self.block = Some(Block { stream, ends_stream, bytes, pieces: 1 });
        Ok(())
    }

    fn continue_headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let Some(mut block) = self.block.take() else {
            return Err(fault(Reason::Protocol, "more of headers that were not begun"));
        };
        block.pieces += 1;
        if block.pieces > MAX_PIECES || block.bytes.len() + payload.len() > MAX_BLOCK {
            return Err(fault(Reason::EnhanceYourCalm, "a list of headers is too long"));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(frame::END_HEADERS) {
            return self.take_headers(block.stream, &block.bytes, block.ends_stream);
        }
        self.block = Some(block);
        Ok(())
    }

    fn take_headers(&mut self, id: u32, block: &[u8], ends: bool) -> Result<(), Fault> {
        let mut reader = head::Reader::default();
        // Read in any case: it changes the table.
        let read = self.decoder.read(block, |name, value| reader.add(name, value));
        read.map_err(|_| fault(Reason::Compression, "headers that cannot be read"))?;
        if let Some(stream) = self.stream(id) {
            let is_open = stream.intake.is_some();
            return match reader.trailers() {
                _ if !is_open => self.waste(id, Reason::StreamClosed),
                Err(Unfit::TooLarge) => self.waste(id, Reason::EnhanceYourCalm),
                Ok(()) if ends => {
                    self.finish_request(id);
                    Ok(())
                }
                Ok(()) | Err(Unfit::Malformed) => self.waste(id, Reason::Protocol),
            };
        }
        if id <= self.newest {
            if !ends || reader.trailers().is_err() {
                return Err(fault(Reason::Protocol, "a request of a stream that is over"));
            }
            // They crossed with the end of their stream.
            return self.count_wasted();
        }
        self.newest = id;
        if self.streams.len() >= MAX_STREAMS {
            return self.waste(id, Reason::RefusedStream);
        }
        match reader.request() {
            Ok(head) => {
                self.open(id, head, ends);
                Ok(())
            }
            Err(Unfit::TooLarge) => self.waste(id, Reason::EnhanceYourCalm),
            Err(Unfit::Malformed) => self.waste(id, Reason::Protocol),
        }
    }

    fn open(&mut self, id: u32, head: request::Parts, is_whole: bool) {
        let (intake, body) = Intake::new(&self.credit);
        let (send, receive) = (self.peer_window, i64::from(STREAM_WINDOW));
        if self.streams.is_empty() {
            // Most connections have one stream for ever.
            self.streams.reserve_exact(1);
        }
        let intake = Some(intake);
        self.streams.push(Stream { id, send, receive, intake, is_answered: false });
        if is_whole {
            self.finish_request(id);
        }
        self.asked.push(Asked { stream: id, head, body });
    }

    fn take_reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if payload.len() != 4 {
            return Err(fault(Reason::FrameSize, "a reset that is none"));
        }
        self.check_was_opened(head.stream)?;
        let Some(at) = self.find(head.stream) else { return Ok(()) };
        let stream = self.streams.remove(at);
        self.asked.retain(|asked| asked.stream != head.stream);
        if stream.is_answered { Ok(()) } else { self.count_wasted() }
    }

    /// Ends a stream for something that the peer did.
    fn waste(&mut self, id: u32, reason: Reason) -> Result<(), Fault> {
        self.reset(id, reason);
        self.count_wasted()
    }

    fn count_wasted(&mut self) -> Result<(), Fault> {
        self.wasted += 1;
        if self.wasted > MAX_WASTED {
            return Err(fault(Reason::EnhanceYourCalm, "too many streams ended unanswered"));
        }
        Ok(())
    }
}
