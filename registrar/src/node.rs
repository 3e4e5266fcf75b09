//! The loop of a member: it takes what came together, steps it together, and has it done.
//!
//! What came together is stepped together: all proposals that wait become one message to each
//! other member and one sync, however many they are.

#[cfg(test)]
mod tests;

use crate::disk::{self, Disk, Saved};
use crate::handle::{Registrar, Request, Submission};
use crate::lease::{Grant, uptime};
use crate::perform::Shell;
use crate::serve::Door;
use crate::space::{Probe, Watch};
use crate::{DiskError, Failure, RegistrarError, Stopped};
use bytes::Bytes;
use registrar_core::{
    Effect, Greeting, Input, Member, MemberId, Members, Message, Options, Proposal, Refusal,
    Restored, StateMachine, Status,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use store::{Space, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

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
    Hello(Greeting),
    Messages(Vec<Message>),
    Snapshot {
        message: Message,
        content: Bytes,
    },
}

/// What the own disk and links have to say.
#[derive(Debug)]
pub(crate) enum Notice {
    Written {
        number: u64,
        result: Result<(), Arc<StoreError>>,
    },
    Saved(Result<Saved, Arc<StoreError>>),
    Carried {
        to: MemberId,
        arrived: bool,
    },
    Unreachable(MemberId),
    /// Another member says that this one was none any more at this entry.
    Removed {
        by: MemberId,
        index: u64,
    },
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
pub fn start<M>(config: Config, state: M) -> Result<Started<M>, RegistrarError>
where
    M: StateMachine + Send + 'static,
    M::Outcome: Send,
{
    start_with(config, state, Box::new(Disk::space))
}

/// As `start`, with a measure of the room on the disk.
fn start_with<M>(config: Config, mut state: M, probe: Probe) -> Result<Started<M>, RegistrarError>
where
    M: StateMachine + Send + 'static,
    M::Outcome: Send,
{
    let opened = Disk::open(&config.dir, &config.group, config.id, config.cache_bytes)?;
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
    let member = Member::new(config.id, config.options, restored, config.seed, uptime())
        .map_err(RegistrarError::Options)?;
    let (requests, inbox) = mpsc::channel(INBOX);
    let (submissions, submitted) = mpsc::unbounded_channel();
    let (heard, hearing) = mpsc::channel(HEARD);
    let (notices, noticed) = mpsc::unbounded_channel();
    let (status, seen) = watch::channel(member.status());
    let group = Arc::clone(&config.group);
    let mut shell = Shell::new(config.id, Arc::clone(&group), opened.disk, state, notices);
    if let Some(known) = opened.known {
        shell.link(known.index, &known.members);
        if known.members.contains(config.id) {
            shell.may_tell(known.index);
        }
    }
    let door = Door { group, id: config.id, heard, rosters: shell.rosters() };
    let watch = Watch::new(probe, Instant::now());
    let grant = Grant::default();
    let lease = grant.lease();
    let node = Node { member, shell, status, grant, watch, effects: Vec::new() };
    let end = Arc::new(OnceLock::new());
    let inboxes = Inboxes { requests: inbox, submitted, hearing, noticed };
    let task = tokio::spawn(node.run(inboxes, Arc::clone(&end)));
    Ok((Registrar { requests, submissions, status: seen, lease, door, end }, task))
}

/// Where all that comes in waits.
struct Inboxes<M: StateMachine> {
    requests: mpsc::Receiver<Request<M>>,
    submitted: mpsc::UnboundedReceiver<Submission<M>>,
    hearing: mpsc::Receiver<Heard>,
    noticed: mpsc::UnboundedReceiver<Notice>,
}

struct Node<M: StateMachine> {
    member: Member,
    shell: Shell<M>,
    status: watch::Sender<Status>,
    grant: Grant,
    watch: Watch,
    effects: Vec<Effect>,
}

impl<M: StateMachine> Node<M> {
    /// Runs until all handles are gone, or it has to end.
    async fn run(
        mut self,
        mut inboxes: Inboxes<M>,
        end: Arc<OnceLock<Stopped>>,
    ) -> Result<(), Stopped> {
        let result = self.turns(&mut inboxes).await;
        if let Err(stopped) = &result {
            // It ends once. Who waits is told when all this is dropped, and can look why.
            let _ = end.set(stopped.clone());
        }
        result
    }

    async fn turns(&mut self, inboxes: &mut Inboxes<M>) -> Result<(), Stopped> {
        let Inboxes { requests: inbox, submitted, hearing, noticed } = inboxes;
        let (mut submissions, mut can_hear) = (Vec::new(), true);
        let (mut requests, mut heard) = (Vec::new(), Vec::new());
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        let mut armed = None;
        loop {
            // Looked at before each turn: a busy member must not miss its ticks, and one that is
            // alone has nothing to wait for.
            self.tick_if_due()?;
            let deadline = self.member.deadline();
            if let Some(time) = deadline.filter(|_| deadline != armed) {
                armed = deadline;
                sleep.as_mut().reset(tokio::time::Instant::now() + time.since(uptime()));
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
                taken = hearing.recv_many(&mut heard, HEARD), if can_hear => {
                    // The doors may be gone before the handles are.
                    can_hear = taken > 0;
                    self.hear(&mut heard)?;
                }
                taken = submitted.recv_many(&mut submissions, BATCH), if has_room => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.propose(submissions.drain(..))?;
                    // Who hands in without end keeps nobody from asking.
                    while requests.len() < BATCH
                        && let Ok(request) = inbox.try_recv()
                    {
                        requests.push(request);
                    }
                    self.take(&mut requests)?;
                }
                taken = inbox.recv_many(&mut requests, BATCH), if has_room => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.take(&mut requests)?;
                }
                // Should it come a little early, it is armed again.
                () = &mut sleep, if deadline.is_some() => armed = None,
            }
        }
    }

    fn tick_if_due(&mut self) -> Result<(), Stopped> {
        if self.member.deadline().is_some_and(|deadline| deadline <= uptime()) {
            self.step(Input::Tick)?;
            self.tell();
            self.look_for_room()?;
        }
        Ok(())
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
            Notice::Saved(result) => match result.map_err(failed)? {
                Saved::Piece => {
                    self.shell.save();
                    Ok(())
                }
                Saved::Whole(index, bytes) => self.step(Input::SnapshotTaken { index, bytes }),
            },
            Notice::Carried { to, arrived } => self.step(Input::SnapshotSent { to, arrived }),
            Notice::Unreachable(member) => self.step(Input::Unreachable { member }),
            Notice::Removed { by, index } => self.step(Input::Removed { by, index }),
        }
    }

    /// Looks at the disk once in a while: a leader that has no room hands over.
    fn look_for_room(&mut self) -> Result<(), Stopped> {
        let has_looked = self.watch.look(self.shell.disk(), Instant::now());
        match has_looked && self.watch.full().is_some() {
            true => self.step(Input::Transfer { to: None }),
            false => Ok(()),
        }
    }

    fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Stopped> {
        if self.watch.full().is_some() {
            // What others say would have to be written down. They go on without it. Who they are is
            // said once only.
            for heard in heard.drain(..) {
                if let Heard::Hello(greeting) = heard {
                    self.shell.meet(greeting);
                }
            }
            return Ok(());
        }
        let mut messages = Vec::new();
        for heard in heard.drain(..) {
            match heard {
                Heard::Hello(greeting) => self.shell.meet(greeting),
                Heard::Messages(more) => messages.extend(more),
                Heard::Snapshot { message, content } => {
                    self.step(Input::Messages(std::mem::take(&mut messages)))?;
                    self.step(Input::Snapshot { message, content })?;
                }
            }
        }
        self.step(Input::Messages(messages))
    }

    /// Everybody who waits is noted before the first step: who is dropped because one fails must
    /// find out why, which is known once the shell is dropped.
    fn take(&mut self, requests: &mut Vec<Request<M>>) -> Result<(), Stopped> {
        let (mut proposals, mut reads, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests.drain(..) {
            match request {
                Request::Propose(submission) => proposals.push(submission),
                Request::Read { answer, look } => reads.push(self.shell.expect_read(answer, look)),
                Request::Confirm { term, answer } => {
                    let (now, leader) = self.member.term();
                    if now == term && leader == Some(self.shell.id()) {
                        // Should it stop leading meanwhile, the read is dropped.
                        reads.push(self.shell.expect_read(answer, None));
                    } else {
                        // Whoever asked may have left.
                        drop(answer.send(Err(Refusal::NotLeading { leader }.into())));
                    }
                }
                Request::Look(look) => look(self.shell.state()),
                Request::Change { changes, answer } => {
                    let id = self.shell.expect_change(answer);
                    steps.push(Input::Change { id, changes });
                }
                Request::Transfer { to } => steps.push(Input::Transfer { to }),
            }
        }
        if !proposals.is_empty() {
            self.propose(proposals.into_iter())?;
        }
        if !reads.is_empty() {
            steps.push(Input::Read(reads));
        }
        steps.into_iter().try_for_each(|input| self.step(input))
    }

    fn propose(&mut self, submissions: impl Iterator<Item = Submission<M>>) -> Result<(), Stopped> {
        if let Some(Space { free, needed }) = self.watch.full() {
            let refused = || Err(Failure::Full { free, needed });
            submissions.for_each(|submission| submission.proposer.tell(refused()));
            return Ok(());
        }
        let (now, leader) = self.member.term();
        let proposals = submissions.filter_map(|Submission { data, term, proposer }| {
            if term.is_some_and(|term| term != now) {
                proposer.tell(Err(Failure::Refused(Refusal::NotLeading { leader })));
                return None;
            }
            let id = self.shell.expect_outcome(proposer);
            Some(Proposal { id, data })
        });
        let proposals = proposals.collect();
        self.step(Input::Propose(proposals))
    }

    /// One step, and all that it asks for; what that answers at once is stepped too.
    fn step(&mut self, input: Input) -> Result<(), Stopped> {
        let mut next = Some(input);
        while let Some(input) = next {
            self.member.step(uptime(), input, &mut self.effects);
            let lease = self.member.lease();
            self.grant.shorten(lease);
            let mut effects = std::mem::take(&mut self.effects);
            let had_news = self.shell.perform(effects.drain(..))?;
            self.effects = effects;
            self.grant.set(lease);
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
