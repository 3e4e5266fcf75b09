//! When a reader is too slow, and when it is not.

use super::*;
use std::task::Waker;

const STALL: Duration = Duration::from_millis(1);

/// A message that weighs a byte.
impl Weigh for u32 {
    fn weight(&self) -> usize {
        1
    }
}

/// A text weighs what it is long.
impl Weigh for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

fn limits(waiting: usize, stall: Duration) -> OutboxLimits {
    OutboxLimits { waiting, bytes: 1 << 20, stall }
}

fn take(pending: &mut Pending<u32>) -> Option<u32> {
    match pending.poll_take(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => taken,
        Poll::Pending => panic!("nothing waits"),
    }
}

#[test]
fn a_reader_that_stands_still_is_too_slow_once_it_has_too_many_for_too_long() {
    let (mut outbox, pending) = outbox(limits(3, STALL), Kill::default());
    // waits: the stall, which is a length of time and nothing else.
    std::thread::sleep(STALL * 2);
    for n in 0..3 {
        assert_eq!(outbox.send(n), Sent::Waiting);
    }
    assert_eq!(outbox.send(3), Sent::Full);
    drop(pending);
    assert_eq!(outbox.send(4), Sent::Gone);
}

#[tokio::test]
async fn what_waits_for_a_reader_that_was_cut_off_is_dropped() {
    let (mut outbox, mut pending) = super::outbox(limits(3, STALL), Kill::default());
    let (message, dropped) = tokio::sync::oneshot::channel();
    assert_eq!(outbox.send(Dropped { _tells: message }), Sent::Waiting);
    outbox.cut_off(None, Duration::ZERO);
    assert!(dropped.await.is_err());
    let taken = pending.poll_take(&mut task::Context::from_waker(Waker::noop()));
    assert!(matches!(taken, Poll::Ready(None)));
}

/// A message whose drop is seen.
struct Dropped {
    _tells: tokio::sync::oneshot::Sender<()>,
}

impl Weigh for Dropped {
    fn weight(&self) -> usize {
        1
    }
}

#[test]
fn a_reader_that_takes_may_have_a_burst_waiting_and_not_more() {
    let (mut outbox, mut pending) = outbox(limits(3, STALL), Kill::default());
    for n in 0..3 {
        assert_eq!(outbox.send(n), Sent::Waiting);
    }
    // waits: the stall, as above; but this one takes a message in between.
    std::thread::sleep(STALL * 2);
    assert_eq!(take(&mut pending), Some(0));
    assert_eq!(outbox.send(3), Sent::Waiting);
    let (mut outbox, _pending) = super::outbox(limits(3, Duration::from_secs(60)), Kill::default());
    let taken = (0..1000).take_while(|n| outbox.send(*n) == Sent::Waiting).count();
    assert_eq!(taken, 3 * BURST);
}

#[tokio::test]
async fn the_last_word_has_a_place_and_ends_the_stream() {
    let (mut outbox, mut pending) = outbox(limits(1, Duration::from_secs(60)), Kill::default());
    let burst = u32::try_from(BURST).unwrap();
    for n in 0..burst {
        assert_eq!(outbox.send(n), Sent::Waiting);
    }
    assert_eq!(outbox.send(burst), Sent::Full);
    outbox.cut_off(Some(99), Duration::from_secs(60));
    let read: Vec<u32> = std::iter::from_fn(|| take(&mut pending)).collect();
    assert_eq!(read.last(), Some(&99));
    assert_eq!(read.len(), BURST + 1);
}

#[tokio::test]
async fn bytes_are_bounded_as_messages_are() {
    let limits = OutboxLimits { waiting: 1000, bytes: 100, stall: Duration::from_secs(60) };
    let (mut outbox, mut pending) = super::outbox(limits, Kill::default());
    let text = |length: usize| "x".repeat(length);
    // One message alone may be as big as it is.
    assert_eq!(outbox.send(text(10_000)), Sent::Waiting);
    assert_eq!(outbox.send(text(1)), Sent::Full);
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(matches!(pending.poll_take(&mut cx), Poll::Ready(Some(_))));
    // What was taken makes room; a burst may be four times the limit.
    assert_eq!(outbox.send(text(399)), Sent::Waiting);
    assert_eq!(outbox.send(text(1)), Sent::Waiting);
    assert_eq!(outbox.send(text(1)), Sent::Full);
    outbox.cut_off(Some(text(500)), Duration::from_secs(60));
    let read = |pending: &mut Pending<String>| match pending
        .poll_take(&mut task::Context::from_waker(Waker::noop()))
    {
        Poll::Ready(taken) => taken,
        Poll::Pending => panic!("nothing waits"),
    };
    let lengths: Vec<usize> = std::iter::from_fn(|| read(&mut pending)).map(|t| t.len()).collect();
    assert_eq!(lengths, [399, 1, 500], "the last word has its place whatever it weighs");
}

#[test]
fn a_reader_that_stands_still_with_too_many_bytes_is_too_slow() {
    let limits = OutboxLimits { waiting: 1000, bytes: 100, stall: STALL };
    let (mut outbox, _pending) = super::outbox(limits, Kill::default());
    // waits: the stall, as above.
    std::thread::sleep(STALL * 2);
    assert_eq!(outbox.send("x".repeat(100)), Sent::Waiting);
    assert_eq!(outbox.send("x".to_owned()), Sent::Full);
}

#[test]
fn updates_and_offers_weigh_what_they_hold() {
    use proto::{Source, TaskId, TaskState, TaskStatus, Time};
    let id = TaskId::new("t").unwrap();
    let mut status = TaskStatus::new(id, TaskState::Running, Source::Executor, Time::ZERO);
    let bare = Event::Update(status.clone()).weight();
    status.data = Some(Arc::from(vec![0; 1 << 20]));
    status.message = Some(Arc::from("y".repeat(1000)));
    assert_eq!(Event::Update(status).weight(), bare + (1 << 20) + 1000);
    assert!(bare < 2000, "{bare}");
}

#[test]
fn streams_are_found_by_the_id_they_were_given_until_they_are_forgotten() {
    let streams = Streams::default();
    let (a, b) = (streams.number(), streams.number());
    assert_ne!(a, b);
    let (id_a, id_b) = (streams.name(a), streams.name(b));
    assert_eq!(streams.find(&id_a.to_string()), Some(a));
    assert_eq!(streams.find(&id_b.to_string()), Some(b));
    assert_eq!(streams.find("no uuid"), None);
    streams.forget(&id_a);
    assert_eq!(streams.find(&id_a.to_string()), None);
}
