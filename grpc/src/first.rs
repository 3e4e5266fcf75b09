//! The first message of a stream that was encoded already: it goes past the codec, in pieces.
//!
//! The codec would copy it into one buffer, and the connection would hold that for as long as its
//! other side does not read.

use crate::encoded::Encoded;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;

type Made = Result<Encoded, Status>;

/// Takes the first message of a stream: an extension of the request. Dropped without one, the
/// stream begins with what its handler sends.
#[derive(Clone)]
pub struct First(Arc<Mutex<Option<oneshot::Sender<Made>>>>);

impl First {
    /// Where the message goes, and the body that begins with it.
    pub(crate) fn new() -> (Self, Begin) {
        let (sender, made) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), Begin::Awaited(made))
    }

    /// Begins the stream, or ends it with why there is none. Only the first time counts.
    pub fn send(&self, first: Result<Encoded, Status>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Who asked may have left.
            drop(sender.send(first.map(Encoded::followed)));
        }
    }
}

impl fmt::Debug for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("First").finish_non_exhaustive()
    }
}

/// How far the beginning is.
pub(crate) enum Begin {
    Awaited(oneshot::Receiver<Made>),
    Message(Encoded),
    Over,
    /// Nothing follows.
    Ended,
}

/// A stream's body: its first message, and then what the codec makes of the others.
pub(crate) struct Begun {
    pub(crate) begin: Begin,
    pub(crate) rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            self.begin = match &mut self.begin {
                Begin::Awaited(made) => match ready!(Pin::new(made).poll(cx)) {
                    Ok(Ok(first)) => Begin::Message(first),
                    Ok(Err(status)) => {
                        self.begin = Begin::Ended;
                        let mut trailers = HeaderMap::new();
                        return Poll::Ready(Some(
                            status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
                        ));
                    }
                    Err(_) => Begin::Over,
                },
                Begin::Message(first) => match ready!(Pin::new(first).poll_frame(cx)) {
                    Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                    Some(Err(status)) => {
                        self.begin = Begin::Ended;
                        return Poll::Ready(Some(Err(status)));
                    }
                    None => Begin::Over,
                },
                Begin::Over => return Pin::new(&mut self.rest).poll_frame(cx),
                Begin::Ended => return Poll::Ready(None),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;
    use std::time::Duration;
    use tonic::Code;

    async fn next(begun: &mut Begun) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|cx| Pin::new(&mut *begun).poll_frame(cx)).await
    }

    fn begun() -> (First, Begun) {
        let (first, begin) = First::new();
        let rest = Body::new(axum::body::Body::from("rest"));
        (first, Begun { begin, rest })
    }

    #[tokio::test]
    async fn the_first_message_comes_before_the_others() {
        let (first, mut begun) = begun();
        let pieces = vec![Bytes::from_static(b"abc")];
        first.send(Encoded::new(pieces, (), Duration::from_secs(3600)));
        let mut all = Vec::new();
        while let Some(frame) = next(&mut begun).await {
            all.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(all, b"\0\0\0\0\x03abcrest");
    }

    #[tokio::test]
    async fn without_a_first_message_the_others_are_all() {
        let (first, mut begun) = begun();
        drop(first);
        let frame = next(&mut begun).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), b"rest"[..]);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_stream() {
        let (first, mut begun) = begun();
        first.send(Err(Status::unavailable("no place")));
        let trailers = next(&mut begun).await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(Status::from_header_map(&trailers).unwrap().code(), Code::Unavailable);
        assert!(next(&mut begun).await.is_none());
    }
}
