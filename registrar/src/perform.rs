//! Does what a member wants done: disk, links, state, and answers to those who wait.

use crate::disk::Disk;
use crate::handle::{Answer, Look, Proposer};
use crate::link::{Ends, Link};
use crate::node::Notice;
use crate::{Failure, Stopped};
use registrar_core::{Effect, Greeting, Input, MemberId, Members, Message, Roster, StateMachine};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What a member knows of the members, shared by its links and its door.
pub(crate) type Rosters = watch::Receiver<Arc<Roster>>;

/// Links beyond which no more are opened to members that it was not told of.
const MAX_STRANGERS: usize = 16;

/// Who waits for a proposal.
enum Waiting<M: StateMachine> {
    Outcome(Proposer<M>),
    Change(Answer<u64>),
}

/// Who waits for a read, and what it wants to see.
type Reader<M> = (Answer<u64>, Option<Look<M>>);

/// All of a member but its core.
pub(crate) struct Shell<M: StateMachine> {
    id: MemberId,
    group: Arc<str>,
    disk: Disk,
    state: M,
    links: BTreeMap<MemberId, Link>,
    addresses: BTreeMap<MemberId, String>,
    roster: watch::Sender<Arc<Roster>>,
    notices: mpsc::UnboundedSender<Notice>,
    next_id: u64,
    waiting: HashMap<u64, Waiting<M>>,
    readers: HashMap<u64, Reader<M>>,
    /// What the entry that was applied last came to.
    outcome: Option<M::Outcome>,
    /// Messages of one step, by receiver: they leave as one frame.
    outgoing: BTreeMap<MemberId, Vec<Message>>,
    /// Inputs that answer effects at once.
    pub(crate) answers: VecDeque<Input>,
}

impl<M: StateMachine> Shell<M> {
    pub(crate) fn new(
        id: MemberId,
        group: Arc<str>,
        disk: Disk,
        state: M,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        Self {
            id,
            group,
            disk,
            state,
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            roster: watch::Sender::default(),
            notices,
            next_id: 0,
            waiting: HashMap::new(),
            readers: HashMap::new(),
            outcome: None,
            outgoing: BTreeMap::new(),
            answers: VecDeque::new(),
        }
    }

    pub(crate) fn id(&self) -> MemberId {
        self.id
    }

    pub(crate) fn backlog(&self) -> usize {
        self.disk.backlog()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn state(&self) -> &M {
        &self.state
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn expect_outcome(&mut self, proposer: Proposer<M>) -> u64 {
        let id = self.take_id();
        self.waiting.insert(id, Waiting::Outcome(proposer));
        id
    }

    pub(crate) fn expect_change(&mut self, answer: Answer<u64>) -> u64 {
        let id = self.take_id();
        self.waiting.insert(id, Waiting::Change(answer));
        id
    }

    pub(crate) fn expect_read(&mut self, answer: Answer<u64>, look: Option<Look<M>>) -> u64 {
        let id = self.take_id();
        self.readers.insert(id, (answer, look));
        id
    }

    /// What it knows of the members.
    pub(crate) fn rosters(&self) -> Rosters {
        self.roster.subscribe()
    }

    /// These are the members as of `index`. Keeps a link to each other one, and to nobody else.
    pub(crate) fn link(&mut self, index: u64, members: &Members) {
        if !members.contains(self.id) {
            tracing::warn!(
                member = %self.id,
                index,
                "this member was removed from the group: it waits until others say so, and then ends"
            );
        }
        let members_now = members.clone();
        self.roster.send_replace(Arc::new(Roster { index, members: members_now, tells: false }));
        let others = members.addresses.iter().filter(|(id, _)| **id != self.id);
        let addresses: BTreeMap<_, _> = others.map(|(id, a)| (*id, a.clone())).collect();
        let (known, answers) = (&self.addresses, &mut self.answers);
        self.links.retain(|id, _| {
            let stays = addresses.get(id).is_some_and(|address| known.get(id) == Some(address));
            if !stays && addresses.contains_key(id) {
                // What was on its way there is lost with the link, also a snapshot.
                answers.push_back(Input::SnapshotSent { to: *id, arrived: false });
                answers.push_back(Input::Unreachable { member: *id });
            }
            stays
        });
        for (to, address) in &addresses {
            if !self.links.contains_key(to) {
                self.open_link(*to, address.clone());
            }
        }
        self.addresses = addresses;
    }

    /// Whoever is none of the members as of `index` may be told so.
    pub(crate) fn may_tell(&mut self, index: u64) {
        self.roster.send_if_modified(|roster| {
            let is_new = roster.index == index && !roster.tells;
            if is_new {
                Arc::make_mut(roster).tells = true;
            }
            is_new
        });
    }

    /// Answers one that knows more of the members than this one does.
    pub(crate) fn meet(&mut self, greeting: Greeting) {
        let is_answered = self.roster.borrow().answers(&greeting);
        let Greeting { from: member, address, .. } = greeting;
        let is_linked = self.addresses.get(&member) == Some(&address);
        if !is_answered || address.is_empty() || is_linked {
            return;
        }
        // All members greet it; more than there can be are none.
        if self.links.len() < MAX_STRANGERS {
            self.addresses.insert(member, address.clone());
            self.open_link(member, address);
        }
    }

    fn open_link(&mut self, to: MemberId, address: String) {
        let (group, rosters) = (Arc::clone(&self.group), self.rosters());
        let ends = Ends { group, from: self.id, to, rosters };
        self.links.insert(to, Link::start(ends, address, self.notices.clone()));
    }

    /// Performs the effects of one step in order; says whether there is news of how it stands.
    pub(crate) fn perform(
        &mut self,
        effects: impl Iterator<Item = Effect>,
    ) -> Result<bool, Stopped> {
        let mut had_news = false;
        for effect in effects {
            match effect {
                Effect::Write(write) => {
                    let (number, notices) = (write.number, self.notices.clone());
                    let done = move |result| {
                        // Nobody listens any more once the member ended.
                        let _ = notices.send(Notice::Written { number, result });
                    };
                    self.disk.write(write, Box::new(done));
                }
                Effect::TakeSnapshot(meta) => {
                    self.disk.begin_saving(meta, self.state.snapshot());
                    self.save();
                }
                Effect::Compact { index, term } => self.disk.compact(index, term),
                Effect::Send(message) => {
                    self.outgoing.entry(message.to()).or_default().push(message);
                }
                Effect::SendSnapshot { message, index } => self.carry(message, index),
                Effect::Apply { index, data } => {
                    self.outcome = Some(self.state.apply(index, &data));
                }
                Effect::Restore { content, .. } => {
                    self.state.restore(&content).map_err(Stopped::State)?;
                }
                Effect::Hash { index } => {
                    self.answers.push_back(Input::Hashed { index, hash: self.state.hash() });
                }
                Effect::Committed { id, index } => self.committed(id, index),
                Effect::Dropped { id, reason } => self.dropped(id, Failure::Refused(reason)),
                Effect::ReadReady { id, index } => self.read(id, index),
                Effect::ReadDropped { id, reason } => {
                    if let Some((answer, _)) = self.readers.remove(&id) {
                        // Whoever asked may have left.
                        let _ = answer.send(Err(Failure::Refused(reason)));
                    }
                }
                Effect::Role { role, leader, term } => {
                    let leader = leader.map(MemberId::get);
                    tracing::info!(member = %self.id, ?role, leader, term, "role");
                    had_news = true;
                }
                Effect::Members { index, members } => {
                    self.link(index, &members);
                    had_news = true;
                }
                Effect::MembersDurable { index } => self.may_tell(index),
                Effect::Stop(loss) => return Err(Stopped::Lost(loss)),
            }
        }
        self.send();
        Ok(had_news)
    }

    /// Goes on with the snapshot that is being saved.
    pub(crate) fn save(&mut self) {
        let notices = self.notices.clone();
        self.disk.save(move |result| {
            // As with writes.
            let _ = notices.send(Notice::Saved(result));
        });
    }

    fn send(&mut self) {
        for (to, messages) in std::mem::take(&mut self.outgoing) {
            let is_sent = self.links.get(&to).is_some_and(|link| link.send(&messages));
            // A link that is not there says so itself, once in a while.
            if !is_sent && self.links.contains_key(&to) {
                tracing::trace!(member = %to, messages = messages.len(), "not sent");
            }
        }
    }

    fn carry(&mut self, message: Message, index: u64) {
        let to = message.to();
        match self.links.get_mut(&to) {
            Some(link) => link.carry(message, index, self.disk.store(), self.notices.clone()),
            None => self.answers.push_back(Input::SnapshotSent { to, arrived: false }),
        }
    }

    fn committed(&mut self, id: u64, index: u64) {
        // Whoever asked may have left.
        match self.waiting.remove(&id) {
            Some(Waiting::Outcome(proposer)) => {
                let outcome = self.outcome.take().expect("it was applied just before");
                proposer.tell(Ok((index, outcome)));
            }
            Some(Waiting::Change(answer)) => drop(answer.send(Ok(index))),
            None => {}
        }
    }

    fn dropped(&mut self, id: u64, failure: Failure) {
        match self.waiting.remove(&id) {
            Some(Waiting::Outcome(proposer)) => proposer.tell(Err(failure)),
            Some(Waiting::Change(answer)) => drop(answer.send(Err(failure))),
            None => {}
        }
    }

    fn read(&mut self, id: u64, index: u64) {
        if let Some((answer, look)) = self.readers.remove(&id) {
            if let Some(look) = look {
                look(&self.state);
            }
            let _ = answer.send(Ok(index));
        }
    }
}
