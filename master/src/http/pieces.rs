//! Long answers in bounded pieces: written while they are read, never whole in memory.
//!
//! A read is made on the thread for reads and handed over piece by piece; a reader that does not
//! take a piece in time, or takes too little, or is not through after a while, is cut off, so that
//! nobody holds an old state of the cluster for long.

use super::json::Json;
pub(crate) use crate::reads::Unread;
use crate::reads::{Form, Pace, Run};
use axum::body::Body;
use axum::response::Response;
use bytes::{Buf, Bytes};
use http::{HeaderValue, header};
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// About the size of a piece in bytes.
const PIECE: usize = 64 * 1024;
/// Pieces that may wait for the reader.
const WAITING: usize = 2;

/// Bytes a second that a reader takes at least, over any time of twice its `stall`: else few who take
/// a little now and then would have all places of reads.
const LEAST: f64 = 64.0 * 1024.0;

/// Where a read is written to.
pub(crate) struct Pieces {
    pub(crate) json: Json,
    to: To,
    counted: usize,
    cut: Arc<AtomicBool>,
    patience: Patience,
    end: Instant,
    pace: Arc<Pace>,
}

/// Where pieces go.
enum To {
    Reader(mpsc::Sender<Piece>),
    /// They are kept, if they have at most so many bytes.
    Kept(Vec<Bytes>, usize),
    /// Their bytes are only counted.
    Nobody,
}

/// How long a reader may let an answer wait: for one piece so long, for each of many less.
#[derive(Clone, Copy, Debug)]
struct Patience {
    stall: Duration,
    left: Duration,
}

impl Patience {
    fn new(stall: Duration) -> Self {
        Self { stall, left: stall * 2 }
    }

    /// How long the next piece may wait.
    fn now(&self) -> Duration {
        self.stall.min(self.left)
    }

    /// So many bytes were taken after a wait.
    fn took(&mut self, bytes: usize, waited: Duration) {
        let earned = Duration::from_secs_f64(bytes as f64 / LEAST);
        self.left = (self.left.saturating_sub(waited) + earned).min(self.stall * 2);
    }
}

struct Piece {
    bytes: Bytes,
    is_last: bool,
}

impl Pieces {
    /// Lets go of what was written if it is enough for a piece. Between two elements.
    pub(crate) async fn breathe(&mut self) -> Result<(), Unread> {
        if self.json.len() < PIECE {
            return Ok(());
        }
        self.hand_over(false).await
    }

    /// Elements of a list; what was written of them before is not written again.
    pub(crate) async fn elements<K, V>(
        &mut self,
        run: &Run<'_, K, V>,
        form: Form,
        one: impl Fn(&mut Json, &K, &V),
    ) -> Result<(), Unread> {
        let write = |bytes: &mut Vec<u8>, key: &K, value: &V| {
            Json::behind(bytes, |json| one(json, key, value));
        };
        if let Some(text) = run.text(form, write) {
            return self.put(text).await;
        }
        for (key, value) in run.entries() {
            one(&mut self.json, key, value);
            self.breathe().await?;
        }
        Ok(())
    }

    /// Elements of a list as text, each behind a comma.
    async fn put(&mut self, mut text: Bytes) -> Result<(), Unread> {
        if !self.json.wants_comma() {
            text.advance(text.len().min(1));
        }
        if text.len() < PIECE / 4 {
            self.json.raw_bytes(&text);
            return self.breathe().await;
        }
        if self.json.len() > 0 {
            self.hand_over(false).await?;
        }
        self.json.goes_on_behind(&text);
        self.pass(text, false).await
    }

    /// The end of the answer.
    pub(crate) async fn finish(mut self) -> Result<(), Unread> {
        self.hand_over(true).await
    }

    /// Bytes that were written.
    pub(crate) fn count(&self) -> usize {
        self.counted + self.json.len()
    }

    /// What was kept; `None` when it is more than was to be.
    pub(crate) fn collected(mut self) -> Option<Vec<Bytes>> {
        let (bytes, last) = (self.count(), self.json.take());
        match self.to {
            To::Kept(_, most) if bytes > most => None,
            To::Kept(mut kept, _) => {
                kept.push(last.into());
                Some(kept)
            }
            To::Reader(_) | To::Nobody => None,
        }
    }

    async fn hand_over(&mut self, is_last: bool) -> Result<(), Unread> {
        let bytes = self.json.take();
        self.pass(bytes.into(), is_last).await
    }

    async fn pass(&mut self, bytes: Bytes, is_last: bool) -> Result<(), Unread> {
        self.counted += bytes.len();
        // Other reads have their turn.
        tokio::task::yield_now().await;
        self.pace.turn().await;
        let sender = match &mut self.to {
            To::Reader(sender) => sender,
            To::Kept(_, most) if self.counted > *most => return Err(Unread),
            To::Kept(kept, _) => {
                kept.push(bytes);
                return Ok(());
            }
            To::Nobody => return Ok(()),
        };
        let len = bytes.len();
        let piece = Piece { bytes, is_last };
        let begin = Instant::now();
        let until = (begin + self.patience.now()).min(self.end);
        match tokio::time::timeout_at(until, sender.send(piece)).await {
            Ok(Ok(())) => {
                self.patience.took(len, begin.elapsed());
                Ok(())
            }
            Ok(Err(_)) => Err(Unread),
            Err(_) => {
                self.cut.store(true, Ordering::Relaxed);
                Err(Unread)
            }
        }
    }
}

/// The reading end.
pub(crate) struct Reading {
    pieces: mpsc::Receiver<Piece>,
    cut: Arc<AtomicBool>,
    done: bool,
}

/// The two ends of an answer: each piece must be taken within `stall`, all within `whole`, and not
/// too little in between.
pub(super) fn pieces(pace: &Arc<Pace>, stall: Duration, whole: Duration) -> (Pieces, Reading) {
    let (sender, pieces) = mpsc::channel(WAITING);
    let cut = Arc::new(AtomicBool::new(false));
    let end = Instant::now() + whole;
    let (to, cut_too) = (To::Reader(sender), Arc::clone(&cut));
    let (json, pace) = (Json::default(), Arc::clone(pace));
    let patience = Patience::new(stall);
    let writing = Pieces { json, to, counted: 0, cut: cut_too, patience, end, pace };
    (writing, Reading { pieces, cut, done: false })
}

/// Takes an answer and keeps nothing but its length.
pub(crate) fn counting(pace: &Arc<Pace>) -> Pieces {
    unread(To::Nobody, pace)
}

/// Takes an answer and keeps all of it, if it has at most so many bytes: who writes more than that
/// is told that nobody reads it.
pub(crate) fn collecting(pace: &Arc<Pace>, most: usize) -> Pieces {
    unread(To::Kept(Vec::new(), most), pace)
}

fn unread(to: To, pace: &Arc<Pace>) -> Pieces {
    let (cut, patience, end) = (Arc::default(), Patience::new(Duration::ZERO), Instant::now());
    let (json, pace) = (Json::default(), Arc::clone(pace));
    Pieces { json, to, counted: 0, cut, patience, end, pace }
}

impl Reading {
    /// The next piece, and whether it is the last; `None` when there is none, though more was to
    /// come.
    pub(crate) fn poll_piece(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<(Bytes, bool)>> {
        self.pieces.poll_recv(cx).map(|piece| piece.map(|piece| (piece.bytes, piece.is_last)))
    }

    /// The answer: with its length when it is one piece, else as a stream.
    pub(crate) async fn into_response(mut self, media_type: &'static str) -> Option<Response> {
        let first = self.pieces.recv().await?;
        let body = if first.is_last {
            Body::from(first.bytes)
        } else {
            Body::new(Streamed { first: Some(first.bytes), rest: self })
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Some(response)
    }
}

struct Streamed {
    first: Option<Bytes>,
    rest: Reading,
}

/// Ends the connection in the middle of the body, so that the reader cannot take what it has for
/// the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was read too slowly and is cut off")]
struct CutOff;

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.rest.done {
            return Poll::Ready(None);
        }
        match task::ready!(self.rest.pieces.poll_recv(cx)) {
            Some(piece) => {
                self.rest.done = piece.is_last;
                Poll::Ready(Some(Ok(Frame::data(piece.bytes))))
            }
            None => {
                self.rest.done = true;
                let slow = self.rest.cut.load(Ordering::Relaxed);
                tracing::debug!(slow, "a read ended early");
                Poll::Ready(Some(Err(CutOff)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(5);
    const WHOLE: Duration = Duration::from_secs(60);

    /// How long a reader that takes a piece after each `wait` is served, of an hour.
    fn served(wait: Duration) -> Duration {
        let (mut patience, mut time) = (Patience::new(STALL), Duration::ZERO);
        while time < Duration::from_secs(3600) {
            if wait > patience.now() {
                return time + patience.now();
            }
            patience.took(PIECE, wait);
            time += wait;
        }
        time
    }

    #[test]
    fn who_takes_a_little_just_in_time_is_cut_off_soon() {
        assert_eq!(served(Duration::from_millis(5_001)), STALL);
        for millis in [4_900, 4_000, 3_000] {
            let served = served(Duration::from_millis(millis));
            assert!(served < STALL * 4, "{millis} ms a piece: {served:?}");
        }
        for millis in [0, 500, 1_000] {
            assert!(served(Duration::from_millis(millis.max(1))) > WHOLE, "{millis} ms a piece");
        }
    }

    #[test]
    fn what_was_taken_quickly_is_no_credit_for_long() {
        let mut patience = Patience::new(STALL);
        for _ in 0..1_000 {
            patience.took(PIECE, Duration::ZERO);
        }
        patience.took(0, STALL);
        patience.took(0, STALL);
        assert_eq!(patience.now(), Duration::ZERO);
    }
}
