//! A unary answer that was encoded already, in pieces: it is sent as it is, never copied into one
//! buffer, so that a big answer does not keep the thread that carries streams.
//!
//! Who asks for it and does not read it loses it: it is not held in memory for long.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::Status;

/// An answer in protobuf.
pub struct Encoded {
    left: Arc<Mutex<Option<Left>>>,
    limit: JoinHandle<()>,
    /// All was sent.
    done: bool,
}

/// What was not sent yet.
struct Left {
    pieces: VecDeque<Bytes>,
    _keep: Box<dyn Any + Send>,
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
        let left = Arc::new(Mutex::new(Some(Left { pieces, _keep: Box::new(keep) })));
        let unread = Arc::clone(&left);
        let limit = tokio::spawn(async move {
            tokio::time::sleep(whole).await;
            unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        Ok(Self { left, limit, done: false })
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
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
            Some(left) => left.pieces.pop_front(),
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
