//! The handle of a running member: what others ask of it, and how they are answered.

use crate::serve::{Door, Service};
use crate::{Failure, Lease, Stopped};
use bytes::Bytes;
use registrar_core::{Change, MemberId, StateMachine, Status};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot, watch};

/// Largest entry, in bytes: the store keeps it as one record, with what stands around it.
pub const MAX_ENTRY_BYTES: usize = store::MAX_VALUE_BYTES - (64 << 10);

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// Looks at the state.
pub(crate) type Look<M> = Box<dyn FnOnce(&M) + Send>;

/// What became of a proposal: its index, and what it came to.
type Proposed<M> = Result<(u64, <M as StateMachine>::Outcome), Failure>;

/// Who waits for a proposal.
pub(crate) enum Proposer<M: StateMachine> {
    Waits(Answer<(u64, M::Outcome)>),
    Called(Called<Proposed<M>>),
}

impl<M: StateMachine> Proposer<M> {
    pub(crate) fn tell(self, proposed: Proposed<M>) {
        match self {
            // Whoever asked may have left.
            Self::Waits(answer) => drop(answer.send(proposed)),
            Self::Called(called) => called.call(proposed),
        }
    }
}

/// Called exactly once, also when it is dropped.
pub(crate) struct Called<R: FromEnd>(Option<Box<dyn FnOnce(R) + Send>>);

/// What there is to say when a member ended.
pub(crate) trait FromEnd {
    fn ended() -> Self;
}

impl<T> FromEnd for Result<T, Failure> {
    fn ended() -> Self {
        Err(Failure::Ended)
    }
}

impl<R: FromEnd> Called<R> {
    fn call(mut self, result: R) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl<R: FromEnd> Drop for Called<R> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(R::ended());
        }
    }
}

/// An entry that was handed in.
pub(crate) struct Submission<M: StateMachine> {
    pub(crate) data: Bytes,
    /// The only term in which it may be taken, if it is bound to one.
    pub(crate) term: Option<u64>,
    pub(crate) proposer: Proposer<M>,
}

/// What somebody wants of a member.
pub(crate) enum Request<M: StateMachine> {
    Propose(Submission<M>),
    Read { answer: Answer<u64>, look: Option<Look<M>> },
    Confirm { term: u64, answer: Answer<u64> },
    Look(Look<M>),
    Change { changes: Vec<Change>, answer: Answer<u64> },
    Transfer { to: Option<MemberId> },
}

/// The handle of a running member. The member ends when all handles are gone.
pub struct Registrar<M: StateMachine> {
    pub(crate) requests: mpsc::Sender<Request<M>>,
    pub(crate) submissions: mpsc::UnboundedSender<Submission<M>>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) lease: Lease,
    pub(crate) door: Door,
    pub(crate) end: Arc<OnceLock<Stopped>>,
}

impl<M: StateMachine> Clone for Registrar<M> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            submissions: self.submissions.clone(),
            status: self.status.clone(),
            lease: self.lease.clone(),
            door: self.door.clone(),
            end: Arc::clone(&self.end),
        }
    }
}

impl<M: StateMachine + Send + 'static> Registrar<M>
where
    M::Outcome: Send,
{
    /// Puts an entry into the log. Returns once it is agreed upon, durable on a majority and
    /// applied here: its index, and what it came to.
    ///
    /// # Errors
    /// Why not. After [`crate::Refusal::LostLeadership`] it may still come to pass.
    pub async fn propose(&self, data: Bytes) -> Result<(u64, M::Outcome), Failure> {
        fits(&data)?;
        let (answer, answered) = oneshot::channel();
        let proposer = Proposer::Waits(answer);
        self.ask(Request::Propose(Submission { data, term: None, proposer }), answered).await
    }

    /// Puts an entry into the log without waiting for room: whoever hands in more than the disk
    /// takes must look at what is not done yet. `done` is called exactly once, with what `propose`
    /// returns, on the member's thread unless the entry is unfit; it must be quick. Entries that
    /// were handed in one after the other become agreed upon in that order, and are told in it.
    pub fn submit(
        &self,
        data: Bytes,
        done: impl FnOnce(Result<(u64, M::Outcome), Failure>) + Send + 'static,
    ) {
        self.hand_in(data, None, done);
    }

    /// As `submit`, for an entry that makes sense only while this member leads in `term`: once it
    /// has led in a later one, others may have led in between, and it is refused
    /// ([`crate::Refusal::NotLeading`]) and never comes to pass.
    pub fn submit_in(
        &self,
        term: u64,
        data: Bytes,
        done: impl FnOnce(Result<(u64, M::Outcome), Failure>) + Send + 'static,
    ) {
        self.hand_in(data, Some(term), done);
    }

    fn hand_in(
        &self,
        data: Bytes,
        term: Option<u64>,
        done: impl FnOnce(Result<(u64, M::Outcome), Failure>) + Send + 'static,
    ) {
        if let Err(failure) = fits(&data) {
            done(Err(failure));
            return;
        }
        let proposer = Proposer::Called(Called(Some(Box::new(done))));
        // Dropped where nobody listens any more, and told so by that.
        let _ = self.submissions.send(Submission { data, term, proposer });
    }

    /// Returns once the state here has everything that was agreed upon before the call.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub async fn read_index(&self) -> Result<u64, Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Read { answer, look: None }, answered).await
    }

    /// Returns once a majority has confirmed, after the call, that this member leads in `term`. A
    /// read is no such thing: a follower has one answered by the leader.
    ///
    /// # Errors
    /// It does not lead in that term, or cannot know.
    pub async fn confirm(&self, term: u64) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Confirm { term, answer }, answered).await.map(|_| ())
    }

    /// As `read_index`, and looks at the state then. `look` must be quick.
    ///
    /// # Errors
    /// As `read_index`.
    pub async fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let ((answer, answered), (give, given)) = (oneshot::channel(), oneshot::channel());
        // Whoever asked may have left.
        let look: Look<M> = Box::new(move |state| drop(give.send(look(state))));
        self.ask(Request::Read { answer, look: Some(look) }, answered).await?;
        given.await.map_err(|_| Failure::Ended)
    }

    /// Looks at the state here as it is, which may be old. `look` must be quick.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn peek<R: Send + 'static>(
        &self,
        look: impl FnOnce(&M) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let (give, given) = oneshot::channel();
        let look: Look<M> = Box::new(move |state| drop(give.send(look(state))));
        self.requests.send(Request::Look(look)).await.map_err(|_| Failure::Ended)?;
        given.await.map_err(|_| Failure::Ended)
    }

    /// Changes the members, all or none; returns once that is agreed upon.
    ///
    /// # Errors
    /// Why not.
    pub async fn change(&self, changes: Vec<Change>) -> Result<u64, Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Change { changes, answer }, answered).await
    }

    /// Hands the lead over, to `to` or to whoever knows most; does nothing where nobody leads.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn transfer(&self, to: Option<MemberId>) -> Result<(), Failure> {
        self.requests.send(Request::Transfer { to }).await.map_err(|_| Failure::Ended)
    }

    /// Whether it leads and nobody else can: who looks at it need not ask the others.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// How it stands: the part it plays and the members are those of now, figures are at most a
    /// tick old. Changes are to be waited for; those who wait are woken at each tick.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Why the member ended by itself, if it did: known before anybody is told `Ended`.
    pub fn end(&self) -> Arc<OnceLock<Stopped>> {
        Arc::clone(&self.end)
    }

    /// What other members talk to, to be mounted at [`crate::PATH`]. There may be several.
    pub fn service(&self) -> Service {
        Service::new(self.door.clone())
    }

    async fn ask<T>(
        &self,
        request: Request<M>,
        answered: oneshot::Receiver<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.requests.send(request).await.map_err(|_| Failure::Ended)?;
        answered.await.map_err(|_| Failure::Ended)?
    }
}

fn fits(data: &Bytes) -> Result<(), Failure> {
    if data.is_empty() || data.len() > MAX_ENTRY_BYTES {
        return Err(Failure::Unfit { bytes: data.len() });
    }
    Ok(())
}
