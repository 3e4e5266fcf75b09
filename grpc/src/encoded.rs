//! A unary answer that was encoded already, in pieces: it is sent as it is, never copied into one
//! buffer, so that a big answer does not keep the thread that carries streams.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;

/// An answer in protobuf.
pub struct Encoded {
    pieces: std::vec::IntoIter<Bytes>,
    /// Dropped once all was sent, or nobody reads any more.
    keep: Option<Box<dyn Any + Send>>,
    /// The frame's head, before the pieces.
    head: Option<Bytes>,
}

impl Encoded {
    /// Of pieces that together are one message; `keep` lives as long as they do.
    ///
    /// # Errors
    /// When they are more than a frame can hold, 4 GiB.
    pub fn new(pieces: Vec<Bytes>, keep: impl Any + Send) -> Result<Self, Status> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let length = u32::try_from(length)
            .map_err(|_| Status::out_of_range("the answer has more than 4 GiB: ask for less"))?;
        // Not compressed, and its length.
        let mut head = BytesMut::with_capacity(5);
        head.put_u8(0);
        head.put_u32(length);
        Ok(Self {
            pieces: pieces.into_iter(),
            keep: Some(Box::new(keep)),
            head: Some(head.freeze()),
        })
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("pieces", &self.pieces.len()).finish_non_exhaustive()
    }
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.head.take().or_else(|| self.pieces.next()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        // The trailers come once.
        Poll::Ready(self.keep.take().map(|_| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            Ok(Frame::trailers(trailers))
        }))
    }
}
