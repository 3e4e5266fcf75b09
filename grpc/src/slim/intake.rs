//! What came of a request's body and waits for who reads it, in one piece: many small frames take
//! no more than their bytes.

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What all bodies of a connection have taken, for which the peer may send more.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// Bytes.
    taken: AtomicUsize,
    /// The task of the connection.
    connection: Mutex<Option<Waker>>,
}

/// So much must have been taken before the peer is told: it has the rest of its window meanwhile.
pub(super) const WORTH_TELLING: usize = 1 << 20;

impl Credit {
    pub(super) fn add(&self, bytes: usize) {
        let before = self.taken.fetch_add(bytes, Ordering::AcqRel);
        if before < WORTH_TELLING && before + bytes >= WORTH_TELLING {
            let waker = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Bytes that the peer is to be told of now.
    pub(super) fn due(&self) -> Option<usize> {
        let is_due = self.taken.load(Ordering::Acquire) >= WORTH_TELLING;
        is_due.then(|| self.taken.swap(0, Ordering::AcqRel))
    }

    /// Who is to be woken once there is something to tell.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut place = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }
}

#[derive(Debug, Default)]
struct State {
    data: BytesMut,
    /// Bytes that were taken since the peer was told.
    taken: usize,
    /// All has come.
    is_whole: bool,
    /// There will be no more, though it is not whole.
    is_cut: bool,
    /// Nobody reads.
    is_abandoned: bool,
    reader: Option<Waker>,
}

/// The connection's end of a body.
#[derive(Debug)]
pub(super) struct Intake {
    state: Arc<Mutex<State>>,
    credit: Arc<Credit>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Intake {
    /// Both ends of a body.
    pub(super) fn new(credit: &Arc<Credit>) -> (Self, RequestBody) {
        let state = Arc::<Mutex<State>>::default();
        let body = RequestBody { state: Arc::clone(&state), credit: Arc::clone(credit) };
        (Self { state, credit: Arc::clone(credit) }, body)
    }

    /// Puts `data` behind what waits; `beside` are bytes of its frame that are no data.
    pub(super) fn put(&self, data: &[u8], beside: usize) {
        let mut state = lock(&self.state);
        let lost = if state.is_abandoned { data.len() } else { 0 };
        if lost == 0 && !data.is_empty() {
            state.data.extend_from_slice(data);
        }
        state.taken += lost + beside;
        // Nothing new is no reason to look.
        let reader = if data.is_empty() { None } else { state.reader.take() };
        drop(state);
        self.credit.add(lost + beside);
        wake(reader);
    }

    /// Bytes that nobody took.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).data.len()
    }

    /// Ends the body well.
    pub(super) fn finish(&self) {
        let mut state = lock(&self.state);
        state.is_whole = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Bytes that were taken since this was asked last, if they are worth telling.
    pub(super) fn due(&self) -> Option<usize> {
        let mut state = lock(&self.state);
        (state.taken >= WORTH_TELLING).then(|| std::mem::take(&mut state.taken))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let mut reader = None;
        if !state.is_whole {
            state.is_cut = true;
            reader = state.reader.take();
        }
        drop(state);
        wake(reader);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The body of a request.
#[derive(Debug)]
pub struct RequestBody {
    state: Arc<Mutex<State>>,
    credit: Arc<Credit>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut state = lock(&self.state);
        if !state.data.is_empty() {
            let data = std::mem::take(&mut state.data).freeze();
            state.taken += data.len();
            drop(state);
            self.credit.add(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if state.is_whole {
            return Poll::Ready(None);
        }
        if state.is_cut {
            let error = "the stream was ended before its request was whole";
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, error))));
        }
        if !state.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        state.is_whole && state.data.is_empty()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.is_abandoned = true;
        let left = std::mem::take(&mut state.data).len();
        state.taken += left;
        drop(state);
        self.credit.add(left);
    }
}
