//! A connection's state for tests that look at what it keeps, and fuzzing: not for serving.

use super::intake::{Credit, RequestBody};
use super::machine::{Asked, Fault, MAX_STREAMS, Machine};
use super::{frame, head, hpack, huffman};
use crate::tuning::CONNECTION_WINDOW;
use http::Response;
use http_body::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a connection keeps for its peer, in bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Waits to be sent.
    pub out: usize,
    /// Of a frame that is not whole: the room it has.
    pub partial: usize,
    /// Of a list of headers that is not whole.
    pub block: usize,
    /// Of the peer's table of headers.
    pub table: usize,
    /// Of bodies that nobody took.
    pub bodies: usize,
    /// Number of open streams.
    pub streams: usize,
    /// Number of requests that nobody took up.
    pub asked: usize,
}

/// The most that is waiting to be sent when more is read.
const ENOUGH: usize = 64 * 1024;

impl Held {
    /// Holds what a connection may keep, whatever its peer sent.
    ///
    /// # Panics
    /// When it keeps more.
    pub fn check(&self) {
        let most = Self {
            // What may wait when a read begins, what one read can make of itself, and a reset for
            // each stream.
            out: 3 * ENOUGH,
            partial: 2 * (frame::MAX_PAYLOAD + frame::Head::BYTES),
            block: head::MAX_LIST + frame::MAX_PAYLOAD,
            table: 4_096,
            bodies: CONNECTION_WINDOW as usize,
            streams: MAX_STREAMS,
            asked: MAX_STREAMS,
        };
        let fits = self.out <= most.out
            && self.partial <= most.partial
            && self.block <= most.block
            && self.table <= most.table
            && self.bodies <= most.bodies
            && self.streams <= most.streams
            && self.asked <= most.asked;
        assert!(fits, "{self:?} is more than {most:?}");
    }
}

/// A machine without a socket.
#[derive(Debug)]
pub struct Probe {
    machine: Machine,
    bodies: Vec<(u32, RequestBody)>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { machine: Machine::new(Arc::<Credit>::default()), bodies: Vec::new() }
    }
}

impl Probe {
    /// Takes what has come, at most 64 KB, if so much is taken at all while what waits is not sent.
    ///
    /// # Errors
    /// The connection is over.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        assert!(bytes.len() <= ENOUGH, "more than is read at once");
        if self.machine.out.len() >= ENOUGH {
            return Ok(());
        }
        let taken = self.machine.receive(bytes);
        if let Err(fault) = taken {
            self.machine.put_farewell(fault.reason);
            return Err(fault);
        }
        self.held().check();
        for Asked { stream, body, .. } in std::mem::take(&mut self.machine.asked) {
            self.bodies.push((stream, body));
        }
        Ok(())
    }

    /// Answers a request with a head and so many bytes, as far as they may be sent.
    pub fn answer(&mut self, nth: usize, bytes: usize, ends: bool) {
        let Some((id, _)) = self.bodies.get(nth) else { return };
        let id = *id;
        if !self.machine.is_open(id) {
            return;
        }
        let part = bytes.min(self.machine.room(id)).min(ENOUGH);
        self.machine.put_headers(id, &head::answer(&Response::new(())), false);
        self.machine.put_data(id, &vec![0; part]);
        if ends {
            self.machine.put_end(id);
        }
    }

    /// Takes what has come of a request's body; whether there may be more.
    pub fn take(&mut self, nth: usize) -> bool {
        let Some((_, body)) = self.bodies.get_mut(nth) else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(Pin::new(body).poll_frame(&mut cx), Poll::Ready(None | Some(Err(_))))
    }

    /// Lets go of a request.
    pub fn forget(&mut self, nth: usize) {
        if nth < self.bodies.len() {
            self.bodies.swap_remove(nth);
        }
    }

    /// Everything that waits is sent.
    pub fn send(&mut self) -> Vec<u8> {
        self.machine.give_back();
        std::mem::take(&mut self.machine.out)
    }

    /// What the connection keeps.
    pub fn held(&self) -> Held {
        self.machine.held()
    }
}

/// Reads `code` as a text, and makes the code of the text again: the same, if there is one.
pub fn recode(code: &[u8]) -> Option<Vec<u8>> {
    huffman::decode(code).map(|text| huffman::encode(&text))
}

/// Writes a header, and reads it.
pub fn reread(name: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut block = Vec::new();
    hpack::put(&mut block, name, value);
    let mut found = None;
    let read = hpack::Decoder::default().read(&block, |name, value| {
        found = Some((name.to_vec(), value.to_vec()));
    });
    read.ok().and(found)
}
