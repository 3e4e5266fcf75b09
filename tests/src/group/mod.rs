//! The registrars of several masters, without their shells: a log that all of them agree upon, and
//! the registry that each of them makes of it.
//!
//! There are two: `Ideal`, a model that agrees upon what a majority can reach and is as free as the
//! contract allows; and `Raft`, the real member of each master in virtual time. What an entry holds
//! is kept beside the log, under its number. It knows nothing of what masters do with it.

mod ideal;
pub(crate) mod links;
mod points;
mod raft;
mod replacing;

#[cfg(test)]
mod tests;

use crate::faults::Point;
use crate::oracle::Violation;
use crate::oracle::agreement::Agreement;
use crate::prng::Prng;
use crate::world::Plant;
use bytes::Bytes;
use ideal::Ideal;
use links::Links;
use master_core::{Registry, RegistryOp};
use points::Points;
use proto::Time;
use raft::Raft;
use registrar_core::Message;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// What a run's masters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masters {
    /// One, with a log of its own.
    Alone,
    /// So many, whose log is a model.
    Ideal(usize),
    /// So many, whose log is the real one.
    Raft(usize),
}

impl Masters {
    /// Drawn from a stream of its own, so that what one master does is the same as ever.
    pub(crate) fn draw(random: &mut Prng) -> Self {
        match random.below(100) {
            0..40 => Self::Alone,
            40..57 => Self::Ideal(3),
            57..68 => Self::Ideal(5),
            68..86 => Self::Raft(3),
            86..97 => Self::Raft(5),
            _ => Self::Raft(1),
        }
    }

    /// How many.
    pub fn count(self) -> usize {
        match self {
            Self::Alone => 1,
            Self::Ideal(count) | Self::Raft(count) => count,
        }
    }
}

impl std::str::FromStr for Masters {
    type Err = String;

    /// `1` is one with a log of its own, `3` three, `3m` three with a model of their log, and `1r`
    /// one whose log is the one of several.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [
            ("1", Self::Alone),
            ("1r", Self::Raft(1)),
            ("3", Self::Raft(3)),
            ("5", Self::Raft(5)),
            ("3m", Self::Ideal(3)),
            ("5m", Self::Ideal(5)),
        ];
        let found = known.into_iter().find(|(name, _)| *name == text);
        found
            .map(|(_, masters)| masters)
            .ok_or(format!("'{text}': masters are 1, 1r, 3, 5, 3m or 5m"))
    }
}

impl std::fmt::Display for Masters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alone => write!(f, "1 master"),
            Self::Ideal(count) => write!(f, "{count} masters with a model of their log"),
            Self::Raft(count) => write!(f, "{count} masters"),
        }
    }
}

/// What happens to the registrars at a time.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A member's deadline.
    Tick { host: usize, life: u64 },
    /// The oldest job of a disk is done.
    Written { host: usize, life: u64 },
    /// A message arrives, with the content of a snapshot or without.
    Delivered { host: usize, message: Box<Message>, content: Option<Bytes> },
    /// The model looks at who reaches whom; the real group at who is a member.
    Review,
    /// The model's entries of this leader become agreed upon, up to this one.
    Agreed { host: usize, life: u64, upto: u64 },
}

impl Happening {
    /// To whose process it happens.
    pub(crate) fn host(&self) -> Option<usize> {
        match self {
            Self::Tick { host, .. }
            | Self::Written { host, .. }
            | Self::Delivered { host, .. }
            | Self::Agreed { host, .. } => Some(*host),
            Self::Review => None,
        }
    }
}

/// What a registrar says to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It leads, since this term.
    Leads { term: u64 },
    /// It does not lead; who does, if that is known.
    Follows { leader: Option<usize> },
    /// What was proposed is agreed upon and applied here.
    Committed { id: u64 },
    /// It was not, or nobody knows.
    Dropped { id: u64 },
    /// Whoever asks now reads nothing old here.
    Read { id: u64 },
    /// It cannot be said whether what is read here is old.
    ReadLost { id: u64 },
    /// The process ends here, by a fault.
    Dies,
    /// The member must never take part again.
    Stopped,
}

/// One master's host, as its registrar sees it.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) up: bool,
    /// Stopped as by SIGSTOP.
    pub(crate) paused: bool,
    /// Its disk is slow until then.
    pub(crate) slow: Time,
    /// Nothing can be written before then.
    pub(crate) full: Time,
    /// Counts lives: what was meant for an earlier one is void.
    life: u64,
    /// What the log made, as far as it was applied here.
    pub(crate) registry: Registry,
    pub(crate) applied: u64,
    /// Its process ends after so many more effects of its member.
    pub(crate) crash_in: Option<u32>,
    dying: bool,
}

/// What both kinds of log stand on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) hosts: Vec<Host>,
    pub(crate) links: Links,
    pub(crate) points: Points,
    random: Prng,
    batches: BTreeMap<u64, Rc<[RegistryOp]>>,
    next_id: u64,
    agreement: Agreement,
    due: Vec<(Time, Happening)>,
    words: VecDeque<(usize, Word)>,
    found: Option<Violation>,
    pub(crate) plant: Option<Plant>,
}

impl Ground {
    fn say(&mut self, host: usize, word: Word) {
        self.words.push_back((host, word));
    }

    fn later(&mut self, at: Time, happening: Happening) {
        self.due.push((at, happening));
    }

    fn judge(&mut self, verdict: Result<(), Violation>) {
        if let (Err(violation), None) = (verdict, &self.found) {
            self.found = Some(violation);
        }
    }

    fn alive(&self, host: usize) -> bool {
        self.hosts[host].up && !self.hosts[host].paused
    }

    /// How long a write takes on a host's disk, begun now.
    fn disk_takes(&mut self, now: Time, host: usize) -> Duration {
        let Host { slow, full, .. } = self.hosts[host];
        let takes = match slow > now {
            true => self.random.millis(1_000, 5_000),
            false => self.random.millis(0, 3),
        };
        takes.max(full.since(now))
    }

    /// The entry is agreed upon, and applied on this host.
    fn apply(&mut self, host: usize, index: u64, id: u64) {
        let verdict = self.agreement.applied(host, index, id);
        self.judge(verdict);
        let Some(batch) = self.batches.get(&id).cloned() else { return };
        let host = &mut self.hosts[host];
        host.applied = index;
        batch.iter().for_each(|op| host.registry.apply(op));
    }

    fn committed(&mut self, host: usize, index: u64, id: u64) {
        let verdict = self.agreement.acknowledged(index, id);
        self.judge(verdict);
        self.say(host, Word::Committed { id });
    }

    /// A place at which this process may end; says whether it does.
    fn passes(&mut self, host: usize, point: Point) -> bool {
        if self.points.passes(host, point) {
            self.dies(host);
        }
        self.hosts[host].dying
    }

    fn dies(&mut self, host: usize) {
        if !std::mem::replace(&mut self.hosts[host].dying, true) {
            self.say(host, Word::Dies);
        }
    }

    fn quorum(&self) -> usize {
        self.hosts.len() / 2 + 1
    }
}

#[derive(Debug)]
enum Kind {
    Ideal(Ideal),
    Raft(Box<Raft>),
}

/// The registrars of all masters of a run.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) ground: Ground,
    kind: Kind,
}

impl Group {
    /// The registrars of several masters; none of one that has a log of its own.
    pub(crate) fn new(masters: Masters, mut random: Prng) -> Option<Self> {
        let count = masters.count();
        let kind = match masters {
            Masters::Alone => return None,
            Masters::Ideal(_) => Kind::Ideal(Ideal::new(count)),
            Masters::Raft(_) => Kind::Raft(Box::new(Raft::new(count, &mut random))),
        };
        let ground = Ground {
            hosts: (0..count).map(|_| Host::default()).collect(),
            links: Links::new(count, &mut random),
            points: Points::default(),
            random,
            batches: BTreeMap::new(),
            next_id: 0,
            agreement: Agreement::default(),
            due: Vec::new(),
            words: VecDeque::new(),
            found: None,
            plant: None,
        };
        Some(Self { ground, kind })
    }

    /// A process starts on what its disk has.
    pub(crate) fn start(&mut self, now: Time, host: usize) {
        let node = &mut self.ground.hosts[host];
        (node.up, node.paused, node.dying, node.crash_in) = (true, false, false, None);
        node.life += 1;
        match &mut self.kind {
            Kind::Ideal(_) => {}
            Kind::Raft(raft) => raft.start(&mut self.ground, now, host),
        }
    }

    /// A process ends.
    pub(crate) fn crash(&mut self, now: Time, host: usize) {
        let node = &mut self.ground.hosts[host];
        if !node.up {
            return;
        }
        (node.up, node.paused, node.dying) = (false, false, false);
        node.life += 1;
        match &mut self.kind {
            Kind::Ideal(ideal) => ideal.crash(&mut self.ground, now, host),
            Kind::Raft(raft) => raft.crash(&mut self.ground, host),
        }
        self.ground.words.retain(|(of, _)| *of != host);
    }

    pub(crate) fn happens(&mut self, now: Time, happening: Happening) {
        match &mut self.kind {
            Kind::Ideal(ideal) => ideal.happens(&mut self.ground, now, happening),
            Kind::Raft(raft) => raft.happens(&mut self.ground, now, happening),
        }
    }

    /// Puts facts to the vote, all or none; answered by `Committed` or `Dropped`.
    pub(crate) fn propose(&mut self, now: Time, host: usize, ops: Vec<RegistryOp>) -> u64 {
        let id = self.number();
        self.ground.batches.insert(id, ops.into());
        match &mut self.kind {
            Kind::Ideal(ideal) => ideal.propose(&mut self.ground, now, host, id),
            Kind::Raft(raft) => raft.propose(&mut self.ground, now, host, id),
        }
        id
    }

    /// Asks whether what is read here is new; answered by `Read` or `ReadLost`.
    pub(crate) fn read(&mut self, now: Time, host: usize) -> u64 {
        let id = self.number();
        match &mut self.kind {
            Kind::Ideal(ideal) => ideal.read(&mut self.ground, now, host, id),
            Kind::Raft(raft) => raft.read(&mut self.ground, now, host, id),
        }
        id
    }

    /// Another one should lead.
    pub(crate) fn hand_over(&mut self, now: Time, host: usize) {
        match &mut self.kind {
            Kind::Ideal(ideal) => ideal.hand_over(&mut self.ground, now, host),
            Kind::Raft(raft) => raft.hand_over(&mut self.ground, now, host),
        }
    }

    /// Whether a host believes that it leads.
    pub(crate) fn leads(&self, host: usize) -> bool {
        match &self.kind {
            Kind::Ideal(ideal) => ideal.leads(host),
            Kind::Raft(raft) => raft.leads(host),
        }
    }

    /// Whom a host takes for the leader.
    pub(crate) fn leader(&self, host: usize) -> Option<usize> {
        match &self.kind {
            Kind::Ideal(ideal) => ideal.leader_of(&self.ground, host),
            Kind::Raft(raft) => raft.leader_of(host),
        }
    }

    /// How often somebody began to lead.
    pub(crate) fn elections(&self) -> u64 {
        self.ground.agreement.elections()
    }

    pub(crate) fn take_due(&mut self) -> Vec<(Time, Happening)> {
        std::mem::take(&mut self.ground.due)
    }

    pub(crate) fn take_word(&mut self) -> Option<(usize, Word)> {
        self.ground.words.pop_front()
    }

    pub(crate) fn take_found(&mut self) -> Option<Violation> {
        self.ground.found.take()
    }

    /// Whoever applied the same entries must have the same registry.
    pub(crate) fn compare(&mut self) {
        let hosts: Vec<&Host> = self.ground.hosts.iter().collect();
        let verdict = Agreement::same(hosts.iter().map(|host| (host.applied, &host.registry)));
        self.ground.judge(verdict);
    }

    /// What is not as it must be some time after the last fault.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let hosts = &self.ground.hosts;
        if let Some(host) = hosts.iter().position(|host| !host.up || host.paused) {
            return Some(format!("master {host} is down"));
        }
        let newest = hosts.iter().map(|host| host.applied).max().unwrap_or(0);
        // One that was just agreed upon is told with the next sign of life.
        if let Some(host) = hosts.iter().position(|host| host.applied + 5 < newest) {
            return Some(format!("master {host} has {} of {newest}", hosts[host].applied));
        }
        match &self.kind {
            Kind::Ideal(_) => None,
            Kind::Raft(raft) => raft.unsettled(),
        }
    }

    fn number(&mut self) -> u64 {
        self.ground.next_id += 1;
        self.ground.next_id
    }
}
