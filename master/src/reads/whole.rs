//! Answers that are in memory whole, for those who cannot take them in pieces: messages of gRPC.
//!
//! Small ones are made at once. Few big ones are made at a time, one for each connection, and who
//! waits for that is told so after a while. What nobody reads is dropped after its time, or sooner
//! once too much of it waits, that of the reader first who took nothing for longest: who does not
//! read must never keep others from reading.

use super::NoAnswer;
use crate::listen::Peer;
use bytes::Bytes;
use grpc::{Encoded, Status, Unsent};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of an answer that needs no place.
pub(crate) const SMALL: usize = 1 << 20;
/// Bigger answers that are made at a time.
const MAKING: usize = 2;
/// How long a place is waited for.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes that may wait for readers, of all answers; the newest may be bigger by itself.
const UNREAD_BYTES: usize = 128 << 20;
/// Answers that may wait for readers, however small.
const UNREAD: usize = 4096;
/// How long an answer waits for its reader.
const KEPT: Duration = Duration::from_secs(60);

/// The place of a big answer.
#[derive(Debug)]
pub(crate) struct Place {
    /// Until it is made.
    making: OwnedSemaphorePermit,
    /// Until it is read.
    connection: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// What must be held while the answer is made, and what until it is read.
    pub(crate) fn split(self) -> (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>) {
        (self.making, self.connection)
    }
}

/// Who makes answers, and what waits for its readers.
#[derive(Debug)]
pub(super) struct Whole {
    making: Arc<Semaphore>,
    unread: Mutex<Vec<Unsent>>,
}

impl Whole {
    pub(super) fn new() -> Self {
        Self { making: Arc::new(Semaphore::new(MAKING)), unread: Mutex::default() }
    }

    /// Waits for the place of an answer that is not small, of one connection.
    ///
    /// # Errors
    /// When none is free in time.
    pub(super) async fn place(&self, peer: Option<&Peer>) -> Result<Place, NoAnswer> {
        let place = async {
            let connection = match peer {
                Some(peer) => Some(peer.place().acquire_owned().await?),
                None => None,
            };
            let making = Arc::clone(&self.making).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>(Place { making, connection })
        };
        match tokio::time::timeout(WAIT, place).await {
            Ok(place) => place.map_err(|_| NoAnswer::Stopping),
            Err(_) => Err(NoAnswer::Busy),
        }
    }

    /// An answer that waits for its reader from now on, with what is to be held until it is read.
    ///
    /// # Errors
    /// When it is more than a message can hold.
    pub(super) fn answer(
        &self,
        pieces: Vec<Bytes>,
        connection: Option<OwnedSemaphorePermit>,
    ) -> Result<Encoded, Status> {
        let answer = Encoded::new(pieces, connection, KEPT)?;
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut unread);
        unread.push(answer.unsent());
        Ok(answer)
    }
}

/// Lets go of what is read slowest, until one more may wait.
fn make_room(unread: &mut Vec<Unsent>) {
    let mut waiting = Vec::with_capacity(unread.len());
    unread.retain(|answer| match answer.waiting() {
        Some((bytes, taken)) => {
            waiting.push((taken, bytes, answer.clone()));
            true
        }
        None => false,
    });
    let mut bytes: usize = waiting.iter().map(|(_, bytes, _)| bytes).sum();
    let mut answers = waiting.len();
    if bytes <= UNREAD_BYTES && answers < UNREAD {
        return;
    }
    waiting.sort_by_key(|(taken, ..)| *taken);
    for (_, its_bytes, answer) in waiting {
        if bytes <= UNREAD_BYTES && answers < UNREAD {
            return;
        }
        answer.let_go();
        bytes -= its_bytes;
        answers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;
    use std::pin::Pin;

    /// For tests of what happens once a bound is reached, not of when.
    const BOUND: Duration = Duration::from_secs(20);

    fn big(whole: &Whole) -> Encoded {
        // One allocation that all share.
        let piece = Bytes::from_static(&[0; 1 << 20]);
        whole.answer(vec![piece; 32], None).unwrap()
    }

    #[tokio::test]
    async fn what_is_read_slowest_is_let_go_once_too_much_waits() {
        let whole = Whole::new();
        let mut answers: Vec<_> = (0..4).map(|_| big(&whole)).collect();
        let unsent: Vec<_> = answers.iter().map(Encoded::unsent).collect();
        // The oldest is being read.
        let frame = poll_fn(|cx| Pin::new(&mut answers[0]).poll_frame(cx)).await;
        assert!(frame.unwrap().is_ok());
        answers.push(big(&whole));
        let waits: Vec<_> = unsent.iter().map(|one| one.waiting().is_some()).collect();
        assert_eq!(waits, [true, false, true, true], "the oldest that nobody reads went");
        assert!(poll_fn(|cx| Pin::new(&mut answers[1]).poll_frame(cx)).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn small_answers_are_bounded_as_well() {
        let whole = Whole::new();
        let answer = || whole.answer(vec![Bytes::from_static(b"x")], None).unwrap();
        let answers: Vec<_> = (0..UNREAD + 10).map(|_| answer()).collect();
        let waiting = answers.iter().filter(|one| one.unsent().waiting().is_some()).count();
        assert_eq!(waiting, UNREAD);
        assert!(answers[9].unsent().waiting().is_none());
        drop(answers);
        let one = answer();
        assert_eq!(whole.unread.lock().unwrap().len(), 1, "what was read is forgotten");
        drop(one);
    }

    #[tokio::test]
    async fn a_connection_has_one_place_and_who_finds_none_is_told() {
        let whole = Whole::new();
        let (greedy, other) = (Peer::of_nobody(), Peer::of_nobody());
        let (making, connection) = whole.place(Some(&greedy)).await.unwrap().split();
        drop(making);
        // Made, and not read.
        let answer = whole.answer(vec![Bytes::from_static(b"x")], connection).unwrap();
        let (more, others) = tokio::join!(
            tokio::time::timeout(BOUND, whole.place(Some(&greedy))),
            tokio::time::timeout(BOUND, whole.place(Some(&other))),
        );
        assert_eq!(more.unwrap().unwrap_err(), NoAnswer::Busy);
        assert!(others.unwrap().is_ok());
        drop(answer);
        let again = tokio::time::timeout(BOUND, whole.place(Some(&greedy))).await;
        assert!(again.unwrap().is_ok(), "it was read, or dropped");
    }
}
