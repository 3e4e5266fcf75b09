//! The real members of the masters' group, in virtual time: what the registrar's shell does for one
//! (its disk, its network, its ticks), done by the least that can stand for it.

use super::{Ground, Happening, Word};
use crate::faults::Point;
use crate::prng::Prng;
use crate::world::Plant;
use bytes::Bytes;
use master_core::Registry;
use proto::Time;
use registrar_core::testing::{Disk, Finished};
use registrar_core::{
    Change, Effect, Input, Loss, Member, MemberId, Members, Message, Options, Proposal, Restored,
    Role, Roster,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Between two looks at who is a member and should be.
const REVIEW: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Seat {
    pub(super) id: Option<MemberId>,
    pub(super) member: Option<Member>,
    pub(super) disk: Disk,
    pub(super) leads: bool,
    leader: Option<MemberId>,
    pub(super) loss: Option<Loss>,
    /// What others find when they greet it.
    pub(super) roster: Roster,
    /// Where it is to be found.
    pub(super) address: String,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "member {:?}, leads: {}", self.id, self.leads)
    }
}

/// The members.
#[derive(Debug)]
pub(crate) struct Raft {
    pub(super) seats: Vec<Seat>,
    pub(super) ids: BTreeMap<MemberId, usize>,
    options: Options,
    next_member: u64,
    /// What snapshots hold, by the number that stands for it.
    contents: Vec<Registry>,
    /// Changes of the members that were asked for.
    pub(super) changes: BTreeSet<u64>,
    /// Hosts whose member is to leave though nothing is wrong with it.
    pub(super) leaving: BTreeSet<usize>,
    /// All that ever were members, by the entries up to that index.
    pub(super) known: (u64, BTreeSet<MemberId>),
}

impl Raft {
    pub(super) fn new(count: usize, random: &mut Prng) -> Self {
        let ids: Vec<MemberId> = (1..=count as u64).filter_map(MemberId::new).collect();
        let founders = Members::of_voters(ids.iter().map(|id| (*id, format!("host-{id}"))));
        let seat = |id: &MemberId| Seat {
            id: Some(*id),
            disk: Disk::of(Restored::founder(founders.clone()), Bytes::new()),
            address: format!("host-{id}"),
            ..Seat::default()
        };
        let kept = [20, 60, 200][random.index(3)];
        Self {
            seats: ids.iter().map(seat).collect(),
            ids: ids.iter().copied().zip(0..).collect(),
            options: Options {
                snapshot_entries: 3 * kept,
                kept_entries: kept,
                hash_entries: 50,
                message_bytes: [600, 64 << 10][random.index(2)],
                messages_in_flight: [4, 128][random.index(2)],
                ..Options::default()
            },
            next_member: count as u64,
            contents: vec![Registry::new()],
            changes: BTreeSet::new(),
            leaving: BTreeSet::new(),
            known: (0, ids.into_iter().collect()),
        }
    }

    pub(super) fn start(&mut self, ground: &mut Ground, now: Time, host: usize) {
        let (seed, life) = (ground.random.number(), ground.hosts[host].life);
        if self.seats[host].loss == Some(Loss::Removed) {
            self.anew(host);
        }
        let seat = &mut self.seats[host];
        let restored = seat.disk.begin();
        let registry = self.contents[number_of(&seat.disk.content) as usize].clone();
        let applied = restored.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let node = &mut ground.hosts[host];
        (node.registry, node.applied) = (registry, applied);
        let Some(id) = seat.id.filter(|_| seat.loss.is_none()) else { return };
        seat.roster = restored.snapshot.as_ref().map_or_else(Roster::default, |snapshot| {
            let members = snapshot.members.clone();
            Roster { index: snapshot.index, tells: members.contains(id), members }
        });
        match Member::new(id, self.options.clone(), restored, seed, now) {
            Ok(member) => seat.member = Some(member),
            Err(problem) => ground.judge(Err(crate::oracle::Violation {
                id: "I18",
                what: format!("member {id} does not start: {problem}"),
            })),
        }
        ground.later(now, Happening::Tick { host, life });
    }

    pub(super) fn crash(&mut self, ground: &mut Ground, host: usize) {
        let seat = &mut self.seats[host];
        (seat.member, seat.leads, seat.leader) = (None, false, None);
        let kept = ground.random.index(seat.disk.waiting() + 1);
        seat.disk.crash(kept);
    }

    pub(super) fn happens(&mut self, ground: &mut Ground, now: Time, happening: Happening) {
        let current = |ground: &Ground, host: usize, life| ground.hosts[host].life == life;
        match happening {
            Happening::Tick { host, life } if current(ground, host, life) => {
                self.step(ground, now, host, Input::Tick);
                let member = self.seats[host].member.as_ref();
                if let Some(deadline) = member.and_then(Member::deadline) {
                    ground.later(deadline.max(now), Happening::Tick { host, life });
                }
            }
            Happening::Written { host, life } if current(ground, host, life) => {
                self.written(ground, now, host);
            }
            Happening::Delivered { host, message, content } => {
                self.delivered(ground, now, host, *message, content);
            }
            Happening::Review => {
                ground.later(now + REVIEW, Happening::Review);
                self.greet(ground, now);
                self.review(ground, now);
            }
            _ => {}
        }
    }

    fn written(&mut self, ground: &mut Ground, now: Time, host: usize) {
        if ground.passes(host, Point::Writing) {
            return;
        }
        if ground.passes(host, Point::SyncFailed) {
            // Whoever went on with this disk would be found out.
            return self.seats[host].disk.fail();
        }
        let Some(finished) = self.seats[host].disk.finish() else { return };
        let input = match finished {
            Finished::Write(number) if !ground.passes(host, Point::Written) => {
                Input::Persisted { number }
            }
            Finished::Snapshot(index, bytes) if !ground.passes(host, Point::SnapshotTaken) => {
                Input::SnapshotTaken { index, bytes }
            }
            Finished::Compacted => {
                ground.passes(host, Point::Compacted);
                return;
            }
            Finished::Write(_) | Finished::Snapshot(..) => return,
        };
        self.step(ground, now, host, input);
    }

    fn delivered(
        &mut self,
        ground: &mut Ground,
        now: Time,
        host: usize,
        message: Message,
        content: Option<Bytes>,
    ) {
        let (from, to) = (message.from(), message.to());
        let there = ground.hosts[host].up && self.seats[host].id == Some(to);
        let sent = content.is_some();
        if there {
            let input = match content {
                None => Input::Messages(vec![message]),
                Some(content) => Input::Snapshot { message, content },
            };
            self.step(ground, now, host, input);
        }
        if let Some(sender) = self.ids.get(&from).copied().filter(|_| sent) {
            self.step(ground, now, sender, Input::SnapshotSent { to, arrived: there });
        }
    }

    pub(super) fn propose(&mut self, ground: &mut Ground, now: Time, host: usize, id: u64) {
        let data = Bytes::copy_from_slice(&id.to_le_bytes());
        if self.seats[host].member.is_none() {
            return ground.say(host, Word::Dropped { id });
        }
        self.step(ground, now, host, Input::Propose(vec![Proposal { id, data }]));
    }

    pub(super) fn read(&mut self, ground: &mut Ground, now: Time, host: usize, id: u64) {
        if self.seats[host].member.is_none() {
            return ground.say(host, Word::ReadLost { id });
        }
        self.step(ground, now, host, Input::Read(vec![id]));
    }

    pub(super) fn change(
        &mut self,
        ground: &mut Ground,
        now: Time,
        host: usize,
        changes: Vec<Change>,
    ) {
        ground.next_id += 1;
        let id = ground.next_id;
        self.changes.insert(id);
        self.step(ground, now, host, Input::Change { id, changes });
    }

    pub(super) fn hand_over(&mut self, ground: &mut Ground, now: Time, host: usize) {
        self.step(ground, now, host, Input::Transfer { to: None });
    }

    pub(super) fn leads(&self, host: usize) -> bool {
        self.seats[host].leads
    }

    pub(super) fn leader_of(&self, host: usize) -> Option<usize> {
        self.seats[host].leader.and_then(|leader| self.ids.get(&leader).copied())
    }

    /// A new member takes the place of one whose disk is lost.
    pub(super) fn anew(&mut self, host: usize) {
        self.next_member += 1;
        let id = MemberId::new(self.next_member);
        let disk = Disk::of(Restored::newcomer(), Bytes::new());
        let address = self.seats[host].address.clone();
        self.seats[host] = Seat { id, disk, address, ..Seat::default() };
        self.ids.retain(|_, of| *of != host);
        self.ids.extend(id.map(|id| (id, host)));
    }

    pub(super) fn step(&mut self, ground: &mut Ground, now: Time, host: usize, input: Input) {
        // What a process that is stopped would do waits with it.
        if !ground.alive(host) || ground.hosts[host].dying {
            return;
        }
        let Some(member) = &mut self.seats[host].member else { return };
        let mut effects = Vec::new();
        member.step(now, input, &mut effects);
        for effect in effects {
            if let Some(left) = &mut ground.hosts[host].crash_in {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ground.dies(host);
                }
            }
            if ground.hosts[host].dying {
                return;
            }
            self.perform(ground, now, host, effect);
        }
    }

    fn perform(&mut self, ground: &mut Ground, now: Time, host: usize, effect: Effect) {
        match effect {
            Effect::Write(write) => {
                let number = write.number;
                self.seats[host].disk.write(write);
                self.write_later(ground, now, host);
                if ground.plant == Some(Plant::EarlyWrites) {
                    self.step(ground, now, host, Input::Persisted { number });
                }
            }
            Effect::TakeSnapshot(meta) => {
                let content = self.store(ground.hosts[host].registry.clone());
                self.seats[host].disk.snapshot(meta, content);
                self.write_later(ground, now, host);
            }
            Effect::Compact { index, term } => {
                self.seats[host].disk.compact(index, term);
                self.write_later(ground, now, host);
            }
            Effect::Send(message) => self.carry(ground, now, host, message, None),
            Effect::SendSnapshot { message, index } => {
                let disk = &self.seats[host].disk;
                let has = disk.restored.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
                let (to, content) = (message.to(), disk.content.clone());
                match has == index {
                    true => self.carry(ground, now, host, message, Some(content)),
                    false => {
                        self.step(ground, now, host, Input::SnapshotSent { to, arrived: false });
                    }
                }
            }
            Effect::Apply { index, data } => {
                ground.apply(host, index, number_of(&data));
                ground.passes(host, Point::Applied);
            }
            Effect::Restore { index, content } => {
                let registry = self.contents[number_of(&content) as usize].clone();
                let node = &mut ground.hosts[host];
                (node.registry, node.applied) = (registry, index);
                ground.passes(host, Point::Restored);
            }
            Effect::Hash { index } => {
                let hash = hash_of(&ground.hosts[host].registry);
                self.step(ground, now, host, Input::Hashed { index, hash });
            }
            effect => self.tell(ground, host, effect),
        }
    }

    /// What the master has to know.
    fn tell(&mut self, ground: &mut Ground, host: usize, effect: Effect) {
        match effect {
            Effect::Committed { id, .. } | Effect::Dropped { id, .. }
                if self.changes.remove(&id) => {}
            Effect::Committed { .. } if ground.passes(host, Point::Committed) => {}
            Effect::Committed { id, index } => ground.committed(host, index, id),
            Effect::Dropped { id, .. } => ground.say(host, Word::Dropped { id }),
            Effect::ReadReady { id, .. } => ground.say(host, Word::Read { id }),
            Effect::ReadDropped { id, .. } => ground.say(host, Word::ReadLost { id }),
            Effect::Role { role, leader, term } => {
                let leads = role == Role::Leader;
                (self.seats[host].leads, self.seats[host].leader) = (leads, leader);
                let leader = leader.and_then(|leader| self.ids.get(&leader).copied());
                if !leads {
                    return ground.say(host, Word::Follows { leader });
                }
                let verdict = ground.agreement.leads(host, term);
                ground.judge(verdict);
                if !ground.passes(host, Point::Elected) {
                    ground.say(host, Word::Leads { term });
                }
            }
            Effect::Members { index, members } => {
                self.known.0 = self.known.0.max(index);
                self.known.1.extend(members.all());
                self.seats[host].roster = Roster { index, members, tells: false };
            }
            Effect::MembersDurable { index } => {
                let roster = &mut self.seats[host].roster;
                roster.tells |= roster.index == index;
            }
            Effect::Stop(loss) => {
                // One that was removed comes back as another; nothing else should ever be.
                if loss != Loss::Removed {
                    let what = format!("master {host}: {loss}");
                    ground.judge(Err(crate::oracle::Violation { id: "I11", what }));
                }
                self.seats[host].loss = Some(loss);
                ground.say(host, Word::Stopped);
            }
            _ => {}
        }
    }

    fn store(&mut self, registry: Registry) -> Bytes {
        self.contents.push(registry);
        Bytes::copy_from_slice(&(self.contents.len() as u64 - 1).to_le_bytes())
    }

    fn write_later(&self, ground: &mut Ground, now: Time, host: usize) {
        let at = now + ground.disk_takes(now, host);
        let life = ground.hosts[host].life;
        ground.later(at, Happening::Written { host, life });
    }

    fn carry(
        &mut self,
        ground: &mut Ground,
        now: Time,
        from: usize,
        message: Message,
        content: Option<Bytes>,
    ) {
        let member = message.to();
        let to = self.ids.get(&member).copied();
        // Somebody whom the sender does not know has said where it is.
        let known = self.seats[from].roster.members.addresses.get(&member);
        let is_there = |to: &usize| known.is_none_or(|known| *known == self.seats[*to].address);
        let reached = to.filter(|to| ground.hosts[*to].up && !ground.links.is_cut(now, from, *to));
        let reached = reached.filter(is_there);
        if let Some(host) = reached {
            let at = ground.links.arrives(now, from, host, &mut ground.random);
            let message = Box::new(message);
            return ground.later(at, Happening::Delivered { host, message, content });
        }
        if content.is_some() {
            let input = Input::SnapshotSent { to: member, arrived: false };
            self.step(ground, now, from, input);
        } else if ground.random.percent(25) {
            self.step(ground, now, from, Input::Unreachable { member });
        }
    }
}

/// The number that stands for what an entry or a snapshot holds; nothing has zero.
fn number_of(bytes: &Bytes) -> u64 {
    bytes.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))
}

fn hash_of(registry: &Registry) -> u64 {
    // With keys that are always the same.
    let mut hasher = DefaultHasher::new();
    format!("{registry:?}").hash(&mut hasher);
    hasher.finish()
}
