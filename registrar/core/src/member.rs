//! One member: raft's own machine, and what has to be held back around it.
//!
//! Everything durable goes out as [`Effect::Write`]; what may leave only once a write is durable
//! waits here for [`Input::Persisted`]. A leader's own messages need not wait, so that its disk
//! and those of the others work at the same time.

mod change;
mod clockwork;
mod forgetting;
mod lease;
mod leaving;
mod propose;
mod reads;
mod ready;
mod receive;

use crate::agreement::Agreement;
use crate::effect::{Effect, Loss, Role, Write};
use crate::input::Input;
use crate::log::Log;
use crate::members::{MemberId, Members};
use crate::message::{Body, Message};
use crate::options::Options;
use crate::records::{HardState, Restored, SnapshotMeta};
use bytes::Bytes;
use clockwork::Clockwork;
use forgetting::Forgetting;
use lease::Grants;
use leaving::Leaving;
use propose::Proposals;
use proto::Time;
use raft::{RawNode, StateRole};
use reads::Reads;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A write that is on its way to the disk, and what waits for it.
struct Waiting {
    number: u64,
    /// Of raft's own counting: all up to this one are durable with it.
    raft_number: u64,
    held: Vec<Message>,
    /// It brings the snapshot of this index.
    snapshot: Option<u64>,
    /// It ends the forgetting.
    recalled: bool,
    /// Up to where it says that the log is agreed upon.
    commit: u64,
    /// It says nothing else.
    is_note: bool,
    /// When it began, in ticks.
    since: u64,
}

/// What is known of another member by what it said.
struct Heard {
    /// Its newest start.
    incarnation: u64,
    /// When it said something last.
    at: Time,
    /// Since then something that was to be sent to it was not.
    cut_off: bool,
}

/// A member of a group.
pub struct Member {
    id: MemberId,
    options: Options,
    raw: RawNode<Log>,
    incarnation: u64,
    /// What the last step was told.
    now: Time,
    heard: BTreeMap<MemberId, Heard>,
    members: Members,
    /// The entry since which these are the members, or a later one.
    members_index: u64,
    /// The same of those that a start would bring back.
    members_durable: u64,
    leaving: Leaving,
    clockwork: Clockwork,
    proposals: Proposals,
    reads: Reads,
    grants: Grants,
    agreement: Agreement,
    forgetting: Option<Forgetting>,
    /// Members whose word from before they forgot was struck out, by their incarnation.
    struck: BTreeMap<MemberId, u64>,
    writes: VecDeque<Waiting>,
    written: u64,
    applied: u64,
    /// Bytes of the newest snapshot's content.
    content_bytes: usize,
    /// The content of a snapshot that raft was just told of.
    incoming: Option<(u64, Bytes)>,
    /// A snapshot that was asked for and is not durable yet.
    snapshotting: Option<SnapshotMeta>,
    /// The newest snapshot has other members than there are.
    members_changed: bool,
    told: Option<(Role, Option<MemberId>, u64)>,
    stopped: bool,
}

/// How a member stands, for people and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its own id.
    pub id: MemberId,
    /// Its part.
    pub role: Role,
    /// Who leads.
    pub leader: Option<MemberId>,
    /// The newest term it knows.
    pub term: u64,
    /// Up to where the log is agreed upon, as far as it knows.
    pub commit: u64,
    /// Up to where it was applied.
    pub applied: u64,
    /// The first entry it still has.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The last entry in the newest snapshot that is durable; zero for none.
    pub snapshot: u64,
    /// Whether it waits to be given back what it forgot.
    pub forgot: bool,
    /// The members.
    pub members: Members,
    /// Whether it was removed, and waits until the others say so.
    pub removed: bool,
    /// Of a leader: up to where each member has the log.
    pub matched: BTreeMap<MemberId, u64>,
    /// How long ago each other member said something last; those that were not heard of since the
    /// start, or since the way to them broke, are absent. A leader hears of each one with every
    /// heartbeat.
    pub heard: BTreeMap<MemberId, Duration>,
    /// Of a leader: to whom it is handing over.
    pub handing_to: Option<MemberId>,
}

impl Member {
    /// The member `id` as its disk left it. `seed` is all the chance there is in it: members must
    /// have different ones.
    ///
    /// # Errors
    /// What raft finds wrong with the options.
    pub fn new(
        id: MemberId,
        options: Options,
        restored: Restored,
        seed: u64,
        now: Time,
    ) -> Result<Self, String> {
        let Restored { hard_state, snapshot, content_bytes, compacted, entries, .. } = restored;
        let (forgot, incarnation) = (restored.forgot, restored.incarnation);
        let applied = snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let members = snapshot.as_ref().map_or_else(Members::default, |s| s.members.clone());
        let log = Log::new(hard_state, snapshot, compacted, entries);
        let config = config(id, &options, applied);
        let raw = RawNode::new(&config, log, &slog::Logger::root(slog::Discard, slog::o!()))
            .map_err(|error| error.to_string())?;
        // Who has nobody to wait for does not wait.
        let first = if members.voters.len() == 1 { now } else { now + options.tick };
        let clockwork = Clockwork::new(seed, first, options.election_ticks);
        Ok(Self {
            id,
            raw,
            incarnation,
            now,
            heard: BTreeMap::new(),
            members,
            members_index: applied,
            members_durable: applied,
            leaving: Leaving::default(),
            clockwork,
            proposals: Proposals::default(),
            reads: Reads::new(id, incarnation),
            grants: Grants::new(incarnation),
            agreement: Agreement::default(),
            forgetting: forgot.then(Forgetting::default),
            struck: BTreeMap::new(),
            writes: VecDeque::new(),
            written: 0,
            applied,
            content_bytes,
            incoming: None,
            snapshotting: None,
            members_changed: false,
            told: None,
            stopped: false,
            options,
        })
    }

    /// When the next `Input::Tick` is due.
    pub fn deadline(&self) -> Option<Time> {
        (!self.stopped).then_some(self.clockwork.next)
    }

    /// Takes one input and pushes what is to be done about it.
    pub fn step(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        if self.stopped {
            return;
        }
        self.now = now;
        match input {
            Input::Tick => self.tick(effects),
            Input::Messages(messages) => {
                messages.into_iter().for_each(|message| self.receive(message, effects));
            }
            Input::Snapshot { message, content } => {
                self.incoming = message.snapshot().map(|index| (index, content));
                self.receive(message, effects);
            }
            Input::Persisted { number } => self.persisted(number, effects),
            Input::Propose(proposals) => self.propose(proposals, effects),
            Input::Read(ids) => self.read(ids, effects),
            Input::Change { id, changes } => self.change(id, &changes, effects),
            Input::Transfer { to } => self.transfer(to),
            Input::Hashed { index, hash } => self.hashed(index, hash, effects),
            Input::SnapshotTaken { index, bytes } => self.snapshot_taken(index, bytes, effects),
            Input::SnapshotSent { to, arrived } => {
                let status = match arrived {
                    true => raft::SnapshotStatus::Finish,
                    false => raft::SnapshotStatus::Failure,
                };
                self.raw.report_snapshot(to.get(), status);
            }
            Input::Removed { by, index } => self.told_removed(by, index, effects),
            Input::Unreachable { member } => {
                self.raw.report_unreachable(member.get());
                if let Some(heard) = self.heard.get_mut(&member) {
                    heard.cut_off = true;
                }
            }
        }
        self.settle(effects);
        self.clockwork.watch(self.raw.raft.election_elapsed);
    }

    /// How many it has heard of that are no members as far as it knows: bounded, whatever they say.
    pub fn strangers(&self) -> usize {
        self.heard.keys().filter(|id| !self.members.contains(**id)).count()
    }

    /// The newest term it knows, and who leads in it.
    pub fn term(&self) -> (u64, Option<MemberId>) {
        (self.raw.raft.term, MemberId::new(self.raw.raft.leader_id))
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let progress = raft.prs().iter().filter(|_| raft.state == StateRole::Leader);
        let others = self.heard.iter();
        let others = others.filter(|(id, heard)| self.members.contains(**id) && !heard.cut_off);
        Status {
            id: self.id,
            role: self.role(),
            leader: MemberId::new(raft.leader_id),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: self.applied,
            first: self.raw.store().first(),
            last: raft.raft_log.last_index(),
            snapshot: self.raw.store().snapshot_meta().map_or(0, |snapshot| snapshot.index),
            forgot: self.forgetting.is_some(),
            members: self.members.clone(),
            removed: self.is_removed(),
            matched: progress
                .filter_map(|(id, progress)| Some((MemberId::new(*id)?, progress.matched)))
                .collect(),
            heard: others.map(|(other, heard)| (*other, self.now.since(heard.at))).collect(),
            handing_to: raft.lead_transferee.and_then(MemberId::new),
        }
    }

    fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<MemberId> {
        MemberId::new(self.raw.raft.leader_id)
    }

    fn stop(&mut self, loss: Loss, effects: &mut Vec<Effect>) {
        self.stopped = true;
        effects.push(Effect::Stop(loss));
    }

    fn send(&self, to: MemberId, body: Body, effects: &mut Vec<Effect>) {
        let (from, incarnation) = (self.id, self.incarnation);
        effects.push(Effect::Send(Message { from, to, incarnation, body }));
    }

    /// Others than this one.
    fn peers(&self) -> Vec<MemberId> {
        self.members.all().into_iter().filter(|member| *member != self.id).collect()
    }

    fn hashed(&mut self, index: u64, hash: u64, effects: &mut Vec<Effect>) {
        self.agreement.note(self.id, index, hash);
        for peer in self.peers() {
            self.send(peer, Body::Hash { index, hash }, effects);
        }
        let settled = self
            .agreement
            .before(index)
            .and_then(|before| self.agreement.check(before, self.id, self.leader(), &self.members));
        let loss = settled.or_else(|| self.agreement.check(index, self.id, None, &self.members));
        if let Some(loss) = loss {
            self.stop(loss, effects);
        }
    }

    fn snapshot_taken(&mut self, index: u64, bytes: usize, effects: &mut Vec<Effect>) {
        let Some(meta) = self.snapshotting.take_if(|meta| meta.index == index) else { return };
        let newest = self.raw.store().snapshot_meta().map_or(0, |snapshot| snapshot.index);
        // One of another member may have come in between.
        if meta.index > newest {
            self.content_bytes = bytes;
            let through = meta.index.saturating_sub(self.options.kept_entries);
            if let Some((index, term)) = self.raw.mut_store().compact(meta, through) {
                effects.push(Effect::Compact { index, term });
            }
        }
    }

    /// Begins a write of what raft has to have durable.
    fn write(&mut self, write: Write, waiting: Waiting, effects: &mut Vec<Effect>) {
        self.writes.push_back(waiting);
        effects.push(Effect::Write(write));
    }

    fn hard_state(&self) -> HardState {
        let state = self.raw.raft.hard_state();
        HardState { term: state.term, vote: state.vote, commit: state.commit }
    }
}

fn config(id: MemberId, options: &Options, applied: u64) -> raft::Config {
    raft::Config {
        id: id.get(),
        election_tick: options.election_ticks,
        heartbeat_tick: options.heartbeat_ticks,
        applied,
        max_size_per_msg: options.message_bytes,
        max_inflight_msgs: options.messages_in_flight,
        check_quorum: true,
        pre_vote: true,
        // One tick over the least, so that raft's own draw from its thread's generator is always
        // the same; ours decides when that last tick comes.
        min_election_tick: options.election_ticks + 1,
        max_election_tick: options.election_ticks + 2,
        max_uncommitted_size: options.uncommitted_bytes,
        max_committed_size_per_ready: 4 * options.message_bytes,
        batch_append: true,
        ..raft::Config::default()
    }
}
