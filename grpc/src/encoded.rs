//! A message that was encoded already, in pieces: it is sent as it is, never copied into one buffer,
//! so that a big one does not keep the thread that carries streams.
//!
//! Who asks for it and does not read it loses it: it is not held in memory for long.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Status;

/// A message in protobuf: an answer, or the first one of a stream.
pub struct Encoded {
    left: Arc<Mutex<Option<Left>>>,
    limit: JoinHandle<()>,
    /// Whether more messages follow it.
    goes_on: bool,
    /// All was sent.
    done: bool,
}

/// What was not sent yet.
struct Left {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// When the connection took a piece last, or the message was made.
    taken: Instant,
    _keep: Box<dyn Any + Send>,
}

/// What is left of a message, for who bounds how much waits for readers.
#[derive(Clone)]
pub struct Unsent(Weak<Mutex<Option<Left>>>);

impl Unsent {
    /// How many bytes wait to be taken by the connection, and when it took some last; `None` once
    /// there is nothing more.
    #[must_use]
    pub fn waiting(&self) -> Option<(usize, Instant)> {
        let left = self.0.upgrade()?;
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        left.as_ref().map(|left| (left.bytes, left.taken))
    }

    /// Drops what waits: its reader is told so, should it read again.
    pub fn let_go(&self) {
        if let Some(left) = self.0.upgrade() {
            left.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unsent").field(&self.waiting()).finish()
    }
}

impl Encoded {
    /// Of pieces that together are one message; they, and `keep`, are dropped once they are sent, or
    /// after `whole`, whatever was read until then. Within a runtime.
    ///
    /// # Errors
    /// When they are more than a frame can hold, 4 GiB.
    pub fn new(pieces: Vec<Bytes>, keep: impl Any + Send, whole: Duration) -> Result<Self, Status> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let length = u32::try_from(length)
            .map_err(|_| Status::out_of_range("the answer has more than 4 GiB: ask for less"))?;
        // Not compressed, and its length.
        let mut head = BytesMut::with_capacity(5);
        head.put_u8(0);
        head.put_u32(length);
        let mut pieces = VecDeque::from(pieces);
        pieces.push_front(head.freeze());
        let bytes = pieces.iter().map(Bytes::len).sum();
        let left = Left { pieces, bytes, taken: Instant::now(), _keep: Box::new(keep) };
        let left = Arc::new(Mutex::new(Some(left)));
        let unread = Arc::clone(&left);
        let limit = tokio::spawn(async move {
            tokio::time::sleep(whole).await;
            unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        Ok(Self { left, limit, goes_on: false, done: false })
    }

    /// The same as the first message of a stream, which others follow.
    #[must_use]
    pub fn followed(self) -> Self {
        let mut first = self;
        first.goes_on = true;
        first
    }

    /// What is left of it, from now on.
    #[must_use]
    pub fn unsent(&self) -> Unsent {
        Unsent(Arc::downgrade(&self.left))
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.limit.abort();
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").finish_non_exhaustive()
    }
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match &mut *left {
            Some(left) => {
                let next = left.pieces.pop_front();
                left.bytes -= next.as_ref().map_or(0, Bytes::len);
                left.taken = Instant::now();
                next
            }
            None => {
                drop(left);
                self.done = true;
                let why = "the answer was read too slowly and is cut off";
                return Poll::Ready(Some(Err(Status::deadline_exceeded(why))));
            }
        };
        if let Some(bytes) = next {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        left.take();
        drop(left);
        self.done = true;
        if self.goes_on {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;

    async fn next(encoded: &mut Encoded) -> Option<Result<Frame<Bytes>, Status>> {
        poll_fn(|cx| Pin::new(&mut *encoded).poll_frame(cx)).await
    }

    #[tokio::test]
    async fn pieces_leave_as_one_frame_and_what_they_keep_goes_with_them() {
        let kept = Arc::new(());
        let pieces = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let hour = Duration::from_secs(3600);
        let mut encoded = Encoded::new(pieces, Arc::clone(&kept), hour).unwrap();
        let mut all = Vec::new();
        loop {
            match next(&mut encoded).await.unwrap().unwrap().into_data() {
                Ok(data) => all.extend_from_slice(&data),
                Err(trailers) => {
                    assert_eq!(trailers.into_trailers().unwrap()["grpc-status"], "0");
                    break;
                }
            }
        }
        assert_eq!(all, b"\0\0\0\0\x05abcde");
        assert_eq!(Arc::strong_count(&kept), 1);
        assert!(next(&mut encoded).await.is_none());
    }

    #[tokio::test]
    async fn what_waits_is_known_and_can_be_let_go() {
        let kept = Arc::new(());
        let pieces = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let hour = Duration::from_secs(3600);
        let mut encoded = Encoded::new(pieces.clone(), Arc::clone(&kept), hour).unwrap().followed();
        let unsent = encoded.unsent();
        for left in [5 + 3 + 2, 3 + 2, 2, 0] {
            assert_eq!(unsent.waiting().unwrap().0, left);
            let frame = next(&mut encoded).await;
            assert_eq!(frame.is_some(), left > 0, "no trailers end what goes on");
        }
        assert!(unsent.waiting().is_none() && Arc::strong_count(&kept) == 1);
        let mut encoded = Encoded::new(pieces, Arc::clone(&kept), hour).unwrap();
        let unsent = encoded.unsent();
        assert!(next(&mut encoded).await.unwrap().is_ok());
        unsent.let_go();
        assert!(unsent.waiting().is_none() && Arc::strong_count(&kept) == 1);
        assert!(next(&mut encoded).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_not_read_in_time_is_dropped() {
        let (kept, dropped) = tokio::sync::oneshot::channel::<()>();
        let pieces = vec![Bytes::from_static(b"abc")];
        let mut encoded = Encoded::new(pieces, kept, Duration::from_millis(1)).unwrap();
        let bound = Duration::from_secs(20);
        assert!(tokio::time::timeout(bound, dropped).await.unwrap().is_err());
        assert!(next(&mut encoded).await.unwrap().is_err());
        assert!(next(&mut encoded).await.is_none());
    }
}
