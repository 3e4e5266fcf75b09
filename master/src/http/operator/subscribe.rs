//! SUBSCRIBE of the operator API: everything as it stands, then numbered events, as records.
//!
//! The first record may be as big as the cluster: it is counted first, and then written in pieces.

use super::read;
use crate::connections::{Pending, outbox};
use crate::http::pieces::{Pieces, Reading, counting};
use crate::http::{Context, Refusal};
use crate::listen::{Kill, Origin};
use crate::reads::{Beginning, Happened, Unread};
use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, header};
use http_body::Frame;
use proto::operator::{Event, Resume, StreamEvent};
use proto::{Encoding, Wire};
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How often a stream that is silent says that it lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A write is closed when it has so many bytes.
const WRITE_BYTES: usize = 64 * 1024;

pub(super) async fn subscribe(
    context: &Context,
    resume: Option<Resume>,
    encoding: Encoding,
    (from, kill): (Option<Origin>, Kill),
) -> Result<Response, Refusal> {
    let place = context.reads().reader(from).await?;
    let (watcher, pending) = outbox(context.outbox_limits(), kill);
    context.membership().surely_lead().await?;
    let beginning = context.reads().watch(watcher, resume).await?;
    let (out, reading) = context.answer();
    let first = first_record(out, counting(context.reads().pace()), beginning, encoding);
    context.reads().write(place, first)?;
    let body = WatchBody {
        first: Some(reading),
        pending,
        encoding,
        heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)),
        ended: false,
    };
    let mut response = Response::new(Body::new(body));
    let media_type = HeaderValue::from_static(encoding.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}

/// SUBSCRIBED, with everything if the stream begins anew.
async fn first_record(
    mut out: Pieces,
    mut counted: Pieces,
    beginning: Beginning,
    encoding: Encoding,
) -> Result<(), Unread> {
    read::subscribed(&mut counted, &beginning, encoding).await?;
    out.json.raw(&format!("{}\n", counted.count()));
    read::subscribed(&mut out, &beginning, encoding).await?;
    // The snapshot need not wait for the reader of the last piece.
    drop(beginning);
    out.finish().await
}

struct WatchBody {
    /// The first record, until it is written.
    first: Option<Reading>,
    pending: Pending<Arc<Happened>>,
    encoding: Encoding,
    heartbeat: Pin<Box<Sleep>>,
    ended: bool,
}

/// The first record was not read in time.
#[derive(Debug, thiserror::Error)]
#[error("the first record was read too slowly: subscribe again")]
struct CutOff;

impl WatchBody {
    fn put(&self, event: &StreamEvent, buffer: &mut BytesMut) {
        let record = event.encode(self.encoding);
        buffer.reserve(record.len() + 12);
        // Writing into memory cannot fail.
        let _ = writeln!((&mut *buffer).writer(), "{}", record.len());
        buffer.put(record);
    }
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let this = &mut *self;
        if let Some(first) = &mut this.first {
            let (bytes, is_last) = match task::ready!(first.poll_piece(cx)) {
                Some(piece) => piece,
                None => {
                    this.ended = true;
                    this.first = None;
                    return Poll::Ready(Some(Err(CutOff)));
                }
            };
            if is_last {
                this.first = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let mut buffer = BytesMut::new();
        while buffer.len() < WRITE_BYTES && !this.ended {
            match this.pending.poll_take(cx) {
                Poll::Ready(Some(happened)) => this.put(&happened.event(), &mut buffer),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => break,
            }
        }
        if buffer.is_empty() && !this.ended && this.heartbeat.as_mut().poll(cx).is_ready() {
            this.put(&StreamEvent { sequence: None, event: Event::Heartbeat }, &mut buffer);
        }
        if !buffer.is_empty() {
            this.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
            return Poll::Ready(Some(Ok(Frame::data(buffer.freeze()))));
        }
        if this.ended { Poll::Ready(None) } else { Poll::Pending }
    }
}
