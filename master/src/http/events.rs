//! The body of an event stream: RecordIO records, many in one write, and flush heartbeats.
//!
//! Some old JSON clients hand a record on only when the next one begins. So each burst of events
//! on a JSON stream is followed by one more HEARTBEAT, at most every 50 ms.

use crate::connections::{Message, Pending};
use crate::http::Context;
use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use master_core::ConnectionId;
use proto::scheduler::Event;
use proto::{Encoding, Wire};
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

/// How often a flush heartbeat may come.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);
/// A write is closed when it has so many bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// The events of one stream as a body.
pub(super) struct EventBody {
    pending: Pending<Event>,
    encoding: Encoding,
    /// When the next flush heartbeat may come; only JSON streams have them.
    flush: Option<Pin<Box<Sleep>>>,
    /// Whether the last record was an event that an old client may hold back.
    unflushed: bool,
    ended: bool,
    context: Context,
    connection: ConnectionId,
    stream_id: Uuid,
}

impl EventBody {
    pub(super) fn new(
        context: Context,
        connection: ConnectionId,
        stream_id: Uuid,
        pending: Pending<Event>,
        encoding: Encoding,
    ) -> Self {
        let flush = match encoding {
            Encoding::Json => Some(Box::pin(tokio::time::sleep(Duration::ZERO))),
            Encoding::Protobuf => None,
        };
        let (unflushed, ended) = (false, false);
        Self { pending, encoding, flush, unflushed, ended, context, connection, stream_id }
    }

    fn write(&mut self, event: &Event, buffer: &mut BytesMut) {
        let record = event.encode(self.encoding);
        buffer.reserve(record.len() + 12);
        // Writing into memory cannot fail.
        let _ = writeln!((&mut *buffer).writer(), "{}", record.len());
        buffer.put(record);
        self.unflushed = self.flush.is_some() && *event != Event::Heartbeat;
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut buffer = BytesMut::new();
        while buffer.len() < WRITE_BYTES && !this.ended {
            match this.pending.poll_take(cx) {
                Poll::Ready(Some(event)) => this.write(&event, &mut buffer),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => break,
            }
        }
        // The last record of a stream must not be held back either.
        if this.unflushed
            && let Some(flush) = &mut this.flush
            && (this.ended || flush.as_mut().poll(cx).is_ready())
        {
            flush.as_mut().reset(Instant::now() + FLUSH_INTERVAL);
            this.write(&Event::Heartbeat, &mut buffer);
        }
        if !buffer.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(buffer.freeze()))));
        }
        if this.ended { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Drop for EventBody {
    /// The reader is gone, or the stream is over: the core must hear of it.
    fn drop(&mut self) {
        self.context.streams().forget(&self.stream_id);
        let (context, connection) = (self.context.clone(), self.connection);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Fails only when the master ends.
                let _ = context.send(Message::FrameworkClosed(connection)).await;
            });
        }
    }
}
