//! What a connection sends: answers, windows, pings, and the ends of streams.

use super::{MAX_WINDOW, Machine, Reason};
use crate::slim::frame::{self, Head};
use crate::slim::intake::Intake;

impl Machine {
    /// Whether the stream may still be answered.
    pub(in crate::slim) fn is_open(&self, id: u32) -> bool {
        self.find(id).is_some()
    }

    /// Whether there is any stream.
    pub(in crate::slim) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Tells the peer what was taken of bodies since.
    pub(in crate::slim) fn give_back(&mut self) {
        let Some(taken) = self.credit.due() else { return };
        let taken = i64::try_from(taken).unwrap_or(MAX_WINDOW);
        self.receive += taken;
        self.put_window(0, taken);
        for at in 0..self.streams.len() {
            let Some(stream) = self.streams.get_mut(at) else { return };
            let Some(taken) = stream.intake.as_ref().and_then(Intake::due) else { continue };
            let (id, taken) = (stream.id, i64::try_from(taken).unwrap_or(MAX_WINDOW));
            stream.receive += taken;
            self.put_window(id, taken);
        }
    }

    pub(super) fn put_window(&mut self, id: u32, more: i64) {
        // Never more than a window, which has 31 bits.
        let more = u32::try_from(more.min(MAX_WINDOW)).unwrap_or_default();
        Head::put(&mut self.out, frame::WINDOW_UPDATE, 0, id, &more.to_be_bytes());
    }

    /// Puts a list of headers: an answer's head, or what follows its body.
    pub(in crate::slim) fn put_headers(&mut self, id: u32, block: &[u8], ends: bool) {
        let mut pieces = block.chunks(frame::MAX_PAYLOAD);
        let (mut piece, mut kind) = (pieces.next().unwrap_or_default(), frame::HEADERS);
        let mut flags = if ends { frame::END_STREAM } else { 0 };
        if let Some(stream) = self.stream(id) {
            stream.is_answered = true;
        }
        loop {
            let next = pieces.next();
            flags |= if next.is_none() { frame::END_HEADERS } else { 0 };
            Head::put(&mut self.out, kind, flags, id, piece);
            let Some(next) = next else { break };
            (piece, kind, flags) = (next, frame::CONTINUATION, 0);
        }
        if ends {
            self.answered(id);
        }
    }

    /// How many bytes of an answer's body may be sent now.
    pub(in crate::slim) fn room(&self, id: u32) -> usize {
        let stream = self.find(id).and_then(|at| self.streams.get(at));
        let room = stream.map_or(0, |stream| stream.send.min(self.send));
        usize::try_from(room).unwrap_or(0)
    }

    /// Puts a part of an answer's body, for which there must be room.
    pub(in crate::slim) fn put_data(&mut self, id: u32, data: &[u8]) {
        let Some(stream) = self.stream(id) else { return };
        stream.send -= data.len() as i64;
        self.send -= data.len() as i64;
        self.out.reserve(data.len() + Head::BYTES * (1 + data.len() / frame::MAX_PAYLOAD));
        for part in data.chunks(frame::MAX_PAYLOAD) {
            Head::put(&mut self.out, frame::DATA, 0, id, part);
        }
    }

    /// Ends an answer.
    pub(in crate::slim) fn put_end(&mut self, id: u32) {
        Head::put(&mut self.out, frame::DATA, frame::END_STREAM, id, &[]);
        self.answered(id);
    }

    /// The answer is whole; nobody reads what is left of its request.
    fn answered(&mut self, id: u32) {
        self.wasted = self.wasted.saturating_sub(1);
        if self.stream(id).is_some_and(|stream| stream.intake.is_some()) {
            self.put_reset(id, Reason::NoError);
        }
        self.forget(id);
    }

    /// Ends a stream at once.
    pub(in crate::slim) fn reset(&mut self, id: u32, reason: Reason) {
        self.put_reset(id, reason);
        self.forget(id);
    }

    fn forget(&mut self, id: u32) {
        if let Some(at) = self.find(id) {
            self.streams.remove(at);
        }
        self.asked.retain(|asked| asked.stream != id);
    }

    fn put_reset(&mut self, id: u32, reason: Reason) {
        Head::put(&mut self.out, frame::RST_STREAM, 0, id, &(reason as u32).to_be_bytes());
    }

    /// Asks the peer whether it is there; whatever it sends is an answer.
    pub(in crate::slim) fn put_ping(&mut self) {
        Head::put(&mut self.out, frame::PING, 0, 0, b"tepui-up");
    }

    /// Tells the peer why its connection ends; nothing of it is kept but that.
    pub(in crate::slim) fn put_farewell(&mut self, reason: Reason) {
        self.streams = Vec::new();
        self.asked = Vec::new();
        self.partial = Vec::new();
        self.block = None;
        let mut payload = self.newest.to_be_bytes().to_vec();
        payload.extend_from_slice(&(reason as u32).to_be_bytes());
        Head::put(&mut self.out, frame::GOAWAY, 0, 0, &payload);
    }
}
