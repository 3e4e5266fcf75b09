//! What waits on one stream, between the core and whoever sends it.
//!
//! Most streams are silent, and there are tens of thousands of them: a line in which nobody stands
//! keeps room for a few messages at the most. It has no bound of its own; who puts something in
//! looks at what waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::task::coop;

/// Room that an empty line may keep, in messages.
const KEPT: usize = 8;

/// A message and what it weighs. Where there is room for a message, it is for one of these, so they
/// are small.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) weight: u64,
    pub(super) message: Box<T>,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Line<T>(Mutex<State<T>>);

#[derive(Debug)]
pub(super) struct State<T> {
    waiting: VecDeque<Waiting<T>>,
    /// The sum of their weights.
    pub(super) bytes: u64,
    /// Messages that the reader took.
    pub(super) taken: u64,
    reader: Option<Waker>,
    /// There will be no more.
    is_over: bool,
    /// The reader is gone, or is told nothing any more.
    pub(super) is_closed: bool,
}

impl<T> State<T> {
    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        let (waiting, bytes, taken, reader) = (VecDeque::new(), 0, 0, None);
        let (is_over, is_closed) = (false, false);
        Self(Mutex::new(State { waiting, bytes, taken, reader, is_over, is_closed }))
    }

    /// Holds the line; nobody does so for long.
    pub(super) fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message behind the others; it is lost if the reader is gone.
    pub(super) fn put(&self, mut state: MutexGuard<'_, State<T>>, waiting: Waiting<T>) {
        if state.is_closed {
            return;
        }
        state.bytes += waiting.weight;
        state.waiting.push_back(waiting);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// The next message; `None` at the end. Who takes many lets others have their turn.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let turn = ready!(coop::poll_proceed(cx));
        let mut state = self.state();
        let Some(Waiting { weight, message }) = state.waiting.pop_front() else {
            if state.is_over || state.is_closed {
                turn.made_progress();
                return Poll::Ready(None);
            }
            if !state.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        turn.made_progress();
        state.bytes -= weight;
        state.taken += 1;
        if state.waiting.is_empty() && state.waiting.capacity() > KEPT {
            state.waiting = VecDeque::new();
        }
        Poll::Ready(Some(*message))
    }

    /// There will be no more: the reader is told behind what waits.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.is_over = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Drops what waits, and takes nothing more. Says whether that was not so before.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        let is_first = !std::mem::replace(&mut state.is_closed, true);
        // What is dropped may be much: not while others wait.
        let waiting = std::mem::take(&mut state.waiting);
        state.bytes = 0;
        let reader = state.reader.take();
        drop(state);
        drop(waiting);
        wake(reader);
        is_first
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(line: &Line<u32>, message: u32) {
        line.put(line.state(), Waiting { weight: 1, message: Box::new(message) });
    }

    fn standing(line: &Line<u32>) -> (usize, u64) {
        let state = line.state();
        (state.len(), state.bytes)
    }

    async fn take(line: &Line<u32>) -> Option<u32> {
        std::future::poll_fn(|cx| line.poll_take(cx)).await
    }

    #[tokio::test]
    async fn a_reader_is_woken_and_gets_all_in_order_and_then_the_end() {
        let line = std::sync::Arc::new(Line::new());
        let reading = std::sync::Arc::clone(&line);
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(message) = take(&reading).await {
                read.push(message);
            }
            read
        });
        for n in 0..1_000 {
            put(&line, n);
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        line.finish();
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), reader).await;
        assert!(read.unwrap().unwrap().into_iter().eq(0..1_000));
    }

    #[tokio::test]
    async fn an_empty_line_keeps_little_room() {
        let line = Line::new();
        for n in 0..1_000 {
            put(&line, n);
        }
        assert_eq!(standing(&line), (1_000, 1_000));
        while standing(&line).0 > 0 {
            take(&line).await;
        }
        assert!(line.state().waiting.capacity() <= KEPT);
        assert_eq!(line.state().taken, 1_000);
        assert_eq!(standing(&line), (0, 0));
    }

    #[tokio::test]
    async fn a_closed_line_has_nothing_and_takes_nothing() {
        let line = Line::new();
        put(&line, 1);
        assert!(line.close());
        put(&line, 2);
        assert!(!line.close());
        assert_eq!(standing(&line), (0, 0));
        assert_eq!(take(&line).await, None);
    }

    #[tokio::test]
    async fn who_takes_without_end_lets_others_have_their_turn() {
        let line = Line::new();
        for n in 0..10_000 {
            put(&line, n);
        }
        let mut taken = 0;
        std::future::poll_fn(|cx| {
            while line.poll_take(cx).is_ready() {
                taken += 1;
            }
            Poll::Ready(())
        })
        .await;
        assert!(taken < 1_000, "{taken} at once");
    }
}
