//! The group, the network and the clock.

use super::checks::Checks;
use bytes::Bytes;
use proto::Time;
use registrar_core::testing::{Disk, Finished};
use registrar_core::{
    Effect, Input, Loss, Member, MemberId, Members, Message, Options, Proposal, Refusal, Refused,
    Restored, Role, Roster, StateMachine,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const MILLI: u64 = 1_000_000;

/// The state: what each index holds.
#[derive(Clone, Default)]
pub(crate) struct Machine(pub(crate) BTreeMap<u64, u64>);

impl StateMachine for Machine {
    type Outcome = u64;

    fn apply(&mut self, index: u64, entry: &Bytes) -> u64 {
        let value = u64::from_le_bytes(entry[..8].try_into().unwrap());
        assert_eq!(self.0.insert(index, value), None, "applied twice");
        value
    }

    fn snapshot(&self) -> Bytes {
        self.0.iter().flat_map(|(i, v)| [i.to_le_bytes(), v.to_le_bytes()].concat()).collect()
    }

    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String> {
        let pair = |pair: &[u8]| {
            let (index, value) = pair.split_at(8);
            let int = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
            (int(index), int(value))
        };
        self.0 = snapshot.chunks(16).map(pair).collect();
        Ok(())
    }

    fn hash(&self) -> u64 {
        self.0.iter().fold(7, |hash, (index, value)| mix(hash ^ mix(*index) ^ value.rotate_left(9)))
    }
}

pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Default)]
pub(crate) struct Node {
    pub(crate) member: Option<Member>,
    pub(crate) machine: Machine,
    pub(crate) disk: Disk,
    /// Counts lives: events of an earlier one are void.
    life: u64,
    /// Stopped like a process by SIGSTOP; what comes waits.
    pub(crate) paused: bool,
    waiting: Vec<Event>,
    pub(crate) loss: Option<Loss>,
    /// What it knows of the members, as others find when they greet it.
    roster: Roster,
    pub(crate) slow_disk: bool,
    pub(crate) leads: bool,
    /// Effects after which it crashes, wherever that is in a step.
    pub(crate) fuse: Option<u64>,
    /// Thousandths of a second that its clock goes on in a second.
    pace: u64,
}

enum Event {
    Tick(MemberId, u64),
    Disk(MemberId, u64),
    Deliver(Message, Option<Bytes>),
    /// Everybody greets everybody, as links do that are made anew.
    Greet,
}

/// Between two greetings.
const GREETS: u64 = 100 * MILLI;

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) nodes: BTreeMap<MemberId, Node>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) options: Options,
    /// From whom nothing reaches whom.
    pub(crate) cut: BTreeSet<(MemberId, MemberId)>,
    /// One message in so many gets lost; none when zero.
    pub(crate) lossy: u64,
    pub(crate) checks: Checks,
    pub(crate) hash: u64,
    next_id: u64,
    /// Answers to changes of the members.
    pub(crate) changes: BTreeMap<u64, Result<(), Refusal>>,
    /// Entries in a row while nothing is wrong.
    pub(crate) dropped: u64,
    /// The newest member's number.
    pub(crate) newest: u64,
    /// Whether disks are damaged.
    pub(crate) damages: bool,
}

pub(crate) fn id(id: u64) -> MemberId {
    MemberId::new(id).unwrap()
}

impl World {
    pub(crate) fn new(size: u64, seed: u64, options: Options) -> Self {
        let members = Members::of_voters((1..=size).map(|n| (id(n), format!("host-{n}"))));
        let mut world = Self {
            now: 0,
            chance: Chance::new(seed),
            nodes: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            options,
            cut: BTreeSet::new(),
            lossy: 0,
            checks: Checks::default(),
            hash: seed,
            next_id: 1,
            changes: BTreeMap::new(),
            dropped: 0,
            newest: size,
            damages: true,
        };
        for n in 1..=size {
            world.add(id(n), Restored::founder(members.clone()));
        }
        world.schedule(GREETS, Event::Greet);
        world
    }

    pub(crate) fn add(&mut self, member: MemberId, restored: Restored) {
        let disk = Disk::of(restored, Bytes::new());
        let pace = 960 + self.chance.below(81);
        self.nodes.insert(member, Node { disk, pace, ..Node::default() });
        self.start(member);
    }

    /// Starts a process on what its disk has.
    pub(crate) fn start(&mut self, member: MemberId) {
        let (seed, now) = (self.chance.draw(), self.time(member));
        let node = self.nodes.get_mut(&member).unwrap();
        // All of what was on its way is gone.
        node.disk.crash(0);
        let restored = node.disk.begin();
        node.machine = Machine::default();
        node.machine.restore(&node.disk.content).unwrap();
        node.roster = restored.snapshot.as_ref().map_or_else(Roster::default, |snapshot| Roster {
            index: snapshot.index,
            members: snapshot.members.clone(),
            tells: snapshot.members.contains(member),
        });
        let options = self.options.clone();
        node.member = Some(Member::new(member, options, restored, seed, now).unwrap());
        node.life += 1;
        (node.paused, node.leads) = (false, false);
        let life = node.life;
        for event in std::mem::take(&mut node.waiting) {
            self.bounce(&event);
        }
        self.schedule(0, Event::Tick(member, life));
    }

    pub(crate) fn crash(&mut self, member: MemberId) {
        let node = self.nodes.get_mut(&member).unwrap();
        (node.member, node.fuse) = (None, None);
        node.life += 1;
        (node.paused, node.leads) = (false, false);
    }

    /// What the clock of `member` shows.
    fn time(&self, member: MemberId) -> Time {
        Time::from_nanos(self.now / 1_000 * self.nodes[&member].pace)
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Lets things happen for so long.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time.as_nanos() as u64;
        while let Some((&(at, sequence), _)) = self.events.first_key_value()
            && at <= end
        {
            let event = self.events.remove(&(at, sequence)).unwrap();
            self.now = at;
            self.hash = mix(self.hash ^ at ^ sequence);
            self.happen(event);
            self.look_at_leases();
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        let member = match &event {
            Event::Tick(member, _) | Event::Disk(member, _) => *member,
            Event::Deliver(message, _) => message.to(),
            Event::Greet => return self.greet(),
        };
        let Some(node) = self.nodes.get_mut(&member).filter(|node| node.member.is_some()) else {
            return self.bounce(&event);
        };
        if node.paused {
            node.waiting.push(event);
            return;
        }
        match event {
            Event::Greet => {}
            Event::Tick(_, life) | Event::Disk(_, life) if life != node.life => {}
            Event::Tick(..) => {
                self.step(member, Input::Tick);
                let (now, node) = (self.time(member), &self.nodes[&member]);
                let deadline = node.member.as_ref().and_then(Member::deadline);
                let (life, pace) = (node.life, node.pace);
                if let Some(deadline) = deadline {
                    let delay = deadline.since(now).as_nanos() as u64 * 1_000 / pace;
                    self.schedule(delay + 1_000, Event::Tick(member, life));
                }
            }
            Event::Disk(..) => match node.disk.finish() {
                Some(Finished::Write(number)) => self.step(member, Input::Persisted { number }),
                Some(Finished::Snapshot(index, bytes)) => {
                    self.step(member, Input::SnapshotTaken { index, bytes });
                }
                Some(Finished::Compacted) | None => {}
            },
            Event::Deliver(message, None) => {
                // As on a wire.
                let message = Message::decode(message.encode()).unwrap();
                self.step(member, Input::Messages(vec![message]));
            }
            Event::Deliver(message, Some(content)) => {
                let from = message.from();
                self.step(member, Input::Snapshot { message, content });
                if self.nodes.get(&from).is_some_and(|node| node.member.is_some()) {
                    self.step(from, Input::SnapshotSent { to: member, arrived: true });
                }
            }
        }
    }

    /// Whoever greets one that knows the members without it is told.
    fn greet(&mut self) {
        self.schedule(GREETS, Event::Greet);
        let up = self.nodes.iter().filter(|(_, node)| node.member.is_some() && !node.paused);
        let up: Vec<MemberId> = up.map(|(member, _)| *member).collect();
        for (from, to) in up.iter().flat_map(|from| up.iter().map(|to| (*from, *to))) {
            let is_cut = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
            let greeting = self.nodes[&from].roster.greeting(from);
            let told = self.nodes[&to].roster.admit(&greeting);
            if let (Err(Refused::Removed { index }), false) = (told, is_cut) {
                self.step(from, Input::Removed { by: to, index });
            }
        }
    }

    /// Whoever carries a snapshot notices that nobody takes it.
    fn bounce(&mut self, event: &Event) {
        if let Event::Deliver(message, Some(_)) = event {
            let to = message.to();
            self.step(message.from(), Input::SnapshotSent { to, arrived: false });
        }
    }

    pub(crate) fn resume(&mut self, member: MemberId) {
        let node = self.nodes.get_mut(&member).unwrap();
        node.paused = false;
        for event in std::mem::take(&mut node.waiting) {
            self.schedule(0, event);
        }
    }

    pub(crate) fn step(&mut self, member: MemberId, input: Input) {
        let Some(now) = self.nodes.contains_key(&member).then(|| self.time(member)) else { return };
        let Some(core) = self.nodes.get_mut(&member).and_then(|node| node.member.as_mut()) else {
            return;
        };
        let mut effects = Vec::new();
        core.step(now, input, &mut effects);
        let life = self.nodes[&member].life;
        for effect in effects {
            let node = self.nodes.get_mut(&member).unwrap();
            // One effect may be the end of it, by way of others.
            if node.life != life {
                return;
            }
            if let Some(fuse) = &mut node.fuse {
                if *fuse == 0 {
                    return self.crash(member);
                }
                *fuse -= 1;
            }
            self.perform(member, effect);
        }
    }

    fn perform(&mut self, member: MemberId, effect: Effect) {
        let disk_delay = {
            let slow = self.nodes[&member].slow_disk;
            MILLI / 2 + self.chance.below(if slow { 400 * MILLI } else { 2 * MILLI })
        };
        let node = self.nodes.get_mut(&member).unwrap();
        let life = node.life;
        match effect {
            Effect::Write(write) => {
                node.disk.write(write);
                self.schedule(disk_delay, Event::Disk(member, life));
            }
            Effect::TakeSnapshot(meta) => {
                node.disk.snapshot(meta, node.machine.snapshot());
                self.schedule(disk_delay, Event::Disk(member, life));
            }
            Effect::Compact { index, term } => {
                node.disk.compact(index, term);
                self.schedule(disk_delay, Event::Disk(member, life));
            }
            Effect::Send(message) => self.carry(message, None),
            Effect::SendSnapshot { message, index } => {
                let has = node.disk.restored.snapshot.as_ref().map_or(0, |s| s.index);
                match has == index {
                    true => {
                        let content = node.disk.content.clone();
                        self.carry(message, Some(content));
                    }
                    false => {
                        let to = message.to();
                        self.step(member, Input::SnapshotSent { to, arrived: false });
                    }
                }
            }
            Effect::Apply { index, data } => {
                let value = node.machine.apply(index, &data);
                self.checks.note_applied(member, index, value);
            }
            Effect::Restore { content, .. } => node.machine.restore(&content).unwrap(),
            Effect::Hash { index } => {
                let hash = node.machine.hash();
                self.step(member, Input::Hashed { index, hash });
            }
            Effect::Committed { id, index } if self.changes.contains_key(&id) => {
                assert!(index > 0);
                self.changes.insert(id, Ok(()));
            }
            Effect::Committed { id, index } => self.checks.note_committed(id, index),
            Effect::Dropped { id, reason } => {
                self.dropped += 1;
                if let Some(answer) = self.changes.get_mut(&id) {
                    *answer = Err(reason);
                }
            }
            Effect::ReadReady { id, index } => self.checks.note_read(id, index),
            Effect::ReadDropped { .. } => {}
            Effect::Members { index, members } => {
                node.roster = Roster { index, members, tells: false };
            }
            Effect::MembersDurable { index } => node.roster.tells |= node.roster.index == index,
            Effect::Role { role, term, .. } => {
                node.leads = role == Role::Leader;
                if node.leads {
                    self.checks.note_leader(member, term);
                }
            }
            Effect::Stop(loss) => {
                node.loss = Some(loss);
                self.crash(member);
            }
        }
    }

    fn carry(&mut self, message: Message, content: Option<Bytes>) {
        let way = (message.from(), message.to());
        let is_lost = self.cut.contains(&way) || (self.lossy > 0 && self.chance.one_in(self.lossy));
        if is_lost {
            if content.is_some() {
                self.step(way.0, Input::SnapshotSent { to: way.1, arrived: false });
            } else if self.chance.one_in(4) {
                self.step(way.0, Input::Unreachable { member: way.1 });
            }
            return;
        }
        let delay = MILLI / 5 + self.chance.below(if self.lossy > 0 { 40 * MILLI } else { MILLI });
        if self.lossy > 0 && content.is_none() && self.chance.one_in(8) {
            self.schedule(2 * delay, Event::Deliver(message.clone(), None));
        }
        self.schedule(delay, Event::Deliver(message, content));
    }

    /// Until when `member` has a lease, if it has one now.
    pub(crate) fn lease(&self, member: MemberId) -> Option<Time> {
        let until = self.nodes[&member].member.as_ref().and_then(Member::lease);
        until.filter(|until| self.time(member) < *until)
    }

    pub(crate) fn role(&self, member: MemberId) -> Role {
        self.nodes[&member].member.as_ref().unwrap().status().role
    }

    /// Whoever has a lease could answer a read now. One that is stopped, too: it may go on.
    fn look_at_leases(&mut self) {
        for (member, node) in &self.nodes {
            if self.lease(*member).is_some() {
                let applied = node.machine.0.last_key_value().map_or(0, |(index, _)| *index);
                self.checks.note_lease(*member, self.now, applied);
            }
        }
    }

    /// The one that believes that it leads and has the newest term.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        let alive = self.nodes.iter().filter(|(_, node)| node.leads && !node.paused);
        let term = |node: &Node| node.member.as_ref().map(|member| member.status().term);
        alive.max_by_key(|(_, node)| term(node)).map(|(member, _)| *member)
    }

    /// Some who believe that they lead, also wrongly, are given entries; others are asked.
    pub(crate) fn ask(&mut self, proposals: u64, reads: u64) {
        let leaders: Vec<MemberId> =
            self.nodes.iter().filter(|(_, node)| node.leads).map(|(member, _)| *member).collect();
        for leader in leaders {
            if self.nodes[&leader].paused {
                continue;
            }
            let batch = (0..proposals).map(|_| self.proposal()).collect();
            self.step(leader, Input::Propose(batch));
        }
        for _ in 0..reads {
            let place = self.chance.below(self.nodes.len() as u64) as usize;
            let member = *self.nodes.keys().nth(place).unwrap();
            let node = &self.nodes[&member];
            if node.member.is_some() && !node.paused {
                let read = self.take_id();
                self.checks.ask(read);
                self.step(member, Input::Read(vec![read]));
            }
        }
    }

    pub(crate) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn proposal(&mut self) -> Proposal {
        let id = self.take_id();
        Proposal { id, data: Bytes::copy_from_slice(&id.to_le_bytes()) }
    }
}
