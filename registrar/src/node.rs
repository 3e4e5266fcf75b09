//! The loop of a member, and the handle that others hold.
//!
//! What came together is stepped together: all proposals that wait become one message to each
//! other member and one sync, however many they are.

use crate::disk::{self, Disk};
use crate::perform::Shell;
use crate::serve::{Door, Service};
use crate::{DiskError, Failure, RegistrarError, Stopped};
use bytes::Bytes;
use clock::Clock;
use registrar_core::{
    Change, Effect, Input, Member, MemberId, Members, Message, Options, Proposal, Restored,
    StateMachine, Status,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Largest entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 8 << 20;
/// Requests that may wait; who has more waits.
const INBOX: usize = 8_192;
/// Frames of other members that may wait; then their streams wait.
const HEARD: usize = 256;
/// Requests stepped together.
const BATCH: usize = 4_096;
/// Bytes on their way to the disk beyond which no requests are taken.
const MAX_BACKLOG: usize = 64 << 20;

/// How a member is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub id: MemberId,
    /// The group's name: members of other groups are not listened to.
    pub group: Arc<str>,
    /// Where its disk is.
    pub dir: PathBuf,
    /// Timings and limits, the same on all members.
    pub options: Options,
    /// Bytes of pages that the store keeps in memory.
    pub cache_bytes: u64,
    /// All the chance there is in it: different on each member.
    pub seed: u64,
}

/// What came from another member.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A member opened a stream, and says where it is to be found.
    Hello {
        from: MemberId,
        address: String,
    },
    Messages(Vec<Message>),
    Snapshot {
        message: Message,
        content: Bytes,
    },
}

/// What the own disk and links have to say.
#[derive(Debug)]
pub(crate) enum Notice {
    Written { number: u64, result: Result<(), Arc<StoreError>> },
    SnapshotTaken { index: u64, result: Result<(), Arc<StoreError>> },
    Carried { to: MemberId, arrived: bool },
    Unreachable(MemberId),
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// Looks at the state.
pub(crate) type Look<M> = Box<dyn FnOnce(&M) + Send>;

/// What somebody wants of a member.
pub(crate) enum Request<M: StateMachine> {
    Propose { data: Bytes, answer: Answer<(u64, M::Outcome)> },
    Read { answer: Answer<u64>, look: Option<Look<M>> },
    Look(Look<M>),
    Change { changes: Vec<Change>, answer: Answer<u64> },
    Transfer { to: Option<MemberId> },
}

/// The handle of a running member. The member ends when all handles and services are gone.
pub struct Registrar<M: StateMachine> {
    requests: mpsc::Sender<Request<M>>,
    status: watch::Receiver<Status>,
    door: Door,
}

impl<M: StateMachine> Clone for Registrar<M> {
    fn clone(&self) -> Self {
        let (requests, status) = (self.requests.clone(), self.status.clone());
        Self { requests, status, door: self.door.clone() }
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
        if data.is_empty() || data.len() > MAX_ENTRY_BYTES {
            return Err(Failure::Unfit { bytes: data.len() });
        }
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Propose { data, answer }, answered).await
    }

    /// Returns once the state here has everything that was agreed upon before the call.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub async fn read_index(&self) -> Result<u64, Failure> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Read { answer, look: None }, answered).await
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

    /// How it stands, newest first; changes are to be waited for.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
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

/// Makes the disk of a founding member of a new group. All founders must give the same members
/// and a state that is the same.
///
/// # Errors
/// `Exists` when there is one.
pub fn found(
    dir: &Path,
    group: &str,
    members: Members,
    state: &impl StateMachine,
) -> Result<(), DiskError> {
    disk::create(dir, group, &Restored::founder(members), &state.snapshot())
}

/// Makes the disk of a member that was added, or will be, to a group that exists.
///
/// # Errors
/// `Exists` when there is one.
pub fn join(dir: &Path, group: &str) -> Result<(), DiskError> {
    disk::create(dir, group, &Restored::newcomer(), &Bytes::new())
}

/// Whether `dir` has the disk of a member.
pub fn has_disk(dir: &Path) -> bool {
    disk::exists(dir)
}

/// A member that was started: its handle, and the task that ends when the member does.
pub type Started<M> = (Registrar<M>, JoinHandle<Result<(), Stopped>>);

/// Starts a member on its disk. `state` is replaced by that of the snapshot, if there is one.
/// Must be called within a tokio runtime.
///
/// # Errors
/// Why it does not start.
pub fn start<M>(config: Config, mut state: M) -> Result<Started<M>, RegistrarError>
where
    M: StateMachine + Send + 'static,
    M::Outcome: Send,
{
    let opened = Disk::open(&config.dir, &config.group, config.cache_bytes)?;
    if let Some(content) = &opened.content {
        state.restore(content).map_err(RegistrarError::State)?;
    }
    let restored = opened.restored;
    tracing::info!(
        member = %config.id,
        group = %config.group,
        entries = restored.entries.len(),
        forgot = restored.forgot,
        "log open"
    );
    let clock = Clock::start();
    let members = restored.snapshot.as_ref().map(|snapshot| snapshot.members.clone());
    let member = Member::new(config.id, config.options, restored, config.seed, clock.now())
        .map_err(RegistrarError::Options)?;
    let (requests, inbox) = mpsc::channel(INBOX);
    let (heard, hearing) = mpsc::channel(HEARD);
    let (notices, noticed) = mpsc::unbounded_channel();
    let (status, seen) = watch::channel(member.status());
    let group = Arc::clone(&config.group);
    let door = Door { group: Arc::clone(&group), id: config.id, heard };
    let mut shell = Shell::new(config.id, group, opened.disk, state, notices);
    shell.link(&members.unwrap_or_default());
    let node = Node { member, clock, shell, status, effects: Vec::new() };
    let task = tokio::spawn(node.run(inbox, hearing, noticed));
    Ok((Registrar { requests, status: seen, door }, task))
}

struct Node<M: StateMachine> {
    member: Member,
    clock: Clock,
    shell: Shell<M>,
    status: watch::Sender<Status>,
    effects: Vec<Effect>,
}

impl<M: StateMachine> Node<M> {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Request<M>>,
        mut hearing: mpsc::Receiver<Heard>,
        mut noticed: mpsc::UnboundedReceiver<Notice>,
    ) -> Result<(), Stopped> {
        let (mut requests, mut heard) = (Vec::new(), Vec::new());
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        loop {
            let deadline = self.member.deadline().map(|time| self.clock.instant(time));
            if let Some(deadline) = deadline.filter(|deadline| *deadline != sleep.deadline()) {
                sleep.as_mut().reset(deadline);
            }
            let has_room = self.shell.backlog() < MAX_BACKLOG;
            tokio::select! {
                biased;
                Some(notice) = noticed.recv() => {
                    self.notice(notice)?;
                    while let Ok(notice) = noticed.try_recv() {
                        self.notice(notice)?;
                    }
                }
                _ = hearing.recv_many(&mut heard, HEARD) => self.hear(&mut heard)?,
                taken = inbox.recv_many(&mut requests, BATCH), if has_room => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.take(&mut requests)?;
                }
                () = &mut sleep, if deadline.is_some() => {}
            }
            // Looked at after each turn: a busy member must not miss its ticks.
            if self.member.deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                self.step(Input::Tick)?;
                self.tell();
            }
        }
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Stopped> {
        let failed = |error: Arc<StoreError>| match *error {
            StoreError::Full { .. } => Stopped::Full(error),
            _ => Stopped::Disk(error),
        };
        match notice {
            Notice::Written { number, result } => {
                result.map_err(failed)?;
                self.step(Input::Persisted { number })
            }
            Notice::SnapshotTaken { index, result } => {
                result.map_err(failed)?;
                self.step(Input::SnapshotTaken { index })
            }
            Notice::Carried { to, arrived } => self.step(Input::SnapshotSent { to, arrived }),
            Notice::Unreachable(member) => self.step(Input::Unreachable { member }),
        }
    }

    fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Stopped> {
        let mut messages = Vec::new();
        for heard in heard.drain(..) {
            match heard {
                Heard::Hello { from, address } => self.shell.meet(from, address),
                Heard::Messages(more) => messages.extend(more),
                Heard::Snapshot { message, content } => {
                    self.step(Input::Messages(std::mem::take(&mut messages)))?;
                    self.step(Input::Snapshot { message, content })?;
                }
            }
        }
        self.step(Input::Messages(messages))
    }

    fn take(&mut self, requests: &mut Vec<Request<M>>) -> Result<(), Stopped> {
        let (mut proposals, mut reads) = (Vec::new(), Vec::new());
        for request in requests.drain(..) {
            match request {
                Request::Propose { data, answer } => {
                    proposals.push(Proposal { id: self.shell.expect_outcome(answer), data });
                }
                Request::Read { answer, look } => reads.push(self.shell.expect_read(answer, look)),
                Request::Look(look) => look(self.shell.state()),
                Request::Change { changes, answer } => {
                    let id = self.shell.expect_change(answer);
                    self.step(Input::Change { id, changes })?;
                }
                Request::Transfer { to } => self.step(Input::Transfer { to })?,
            }
        }
        if !proposals.is_empty() {
            self.step(Input::Propose(proposals))?;
        }
        if !reads.is_empty() {
            self.step(Input::Read(reads))?;
        }
        Ok(())
    }

    /// One step, and all that it asks for; what that answers at once is stepped too.
    fn step(&mut self, input: Input) -> Result<(), Stopped> {
        let mut next = Some(input);
        while let Some(input) = next {
            self.member.step(self.clock.now(), input, &mut self.effects);
            let mut effects = std::mem::take(&mut self.effects);
            let had_news = self.shell.perform(effects.drain(..))?;
            self.effects = effects;
            if had_news {
                self.tell();
            }
            next = self.shell.answers.pop_front();
        }
        Ok(())
    }

    fn tell(&self) {
        // Nobody may look.
        self.status.send_replace(self.member.status());
    }
}
