//! Frames that say how a connection is to be used: settings, pings, windows.

use super::{Fault, MAX_WINDOW, Machine, Reason, fault};
use crate::slim::frame::{self, Head};

impl Machine {
    pub(super) fn take_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(fault(Reason::Protocol, "settings of a stream"));
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() || (head.has(frame::ACK) && !payload.is_empty()) {
            return Err(fault(Reason::FrameSize, "settings that are none"));
        }
        if head.has(frame::ACK) {
            self.decoder.forget_table();
            return Ok(());
        }
        let mut window = None;
        for [a, b, value @ ..] in settings {
            match (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value)) {
                (2, 2..) => return Err(fault(Reason::Protocol, "ENABLE_PUSH is 0 or 1")),
                (4, new) if i64::from(new) > MAX_WINDOW => {
                    return Err(fault(Reason::FlowControl, "a window is too big"));
                }
                (4, new) => window = Some(i64::from(new)),
                // Frames are never longer than all must take.
                (5, 0..16_384 | 0x0100_0000..) => {
                    return Err(fault(Reason::Protocol, "a frame's size that cannot be"));
                }
                // No table is used for what is sent; nothing is pushed; lists of headers are short.
                _ => {}
            }
        }
        // The last one counts. One frame may hold thousands, and each would be work for all streams.
        if let Some(window) = window {
            self.change_windows(window)?;
        }
        Head::put(&mut self.out, frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(())
    }

    /// Gives all streams a first window of so many bytes, also those that are open.
    fn change_windows(&mut self, window: i64) -> Result<(), Fault> {
        let more = window - self.peer_window;
        self.peer_window = window;
        for stream in &mut self.streams {
            stream.send += more;
            if stream.send > MAX_WINDOW {
                return Err(fault(Reason::FlowControl, "a window is too big"));
            }
        }
        Ok(())
    }

    pub(super) fn take_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(fault(Reason::Protocol, "a ping of a stream"));
        }
        if payload.len() != 8 {
            return Err(fault(Reason::FrameSize, "a ping that is none"));
        }
        if !head.has(frame::ACK) {
            Head::put(&mut self.out, frame::PING, frame::ACK, 0, payload);
        }
        Ok(())
    }

    pub(super) fn take_window(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let Ok(more) = <[u8; 4]>::try_from(payload).map(frame::number).map(i64::from) else {
            return Err(fault(Reason::FrameSize, "a window that is none"));
        };
        if head.stream == 0 {
            self.send += more;
            return match more {
                0 => Err(fault(Reason::Protocol, "a window that grows by nothing")),
                _ if self.send > MAX_WINDOW => {
                    Err(fault(Reason::FlowControl, "a window is too big"))
                }
                _ => Ok(()),
            };
        }
        self.check_was_opened(head.stream)?;
        let Some(stream) = self.stream(head.stream) else { return Ok(()) };
        stream.send += more;
        if more == 0 {
            return self.waste(head.stream, Reason::Protocol);
        }
        if stream.send > MAX_WINDOW {
            return self.waste(head.stream, Reason::FlowControl);
        }
        Ok(())
    }
}
