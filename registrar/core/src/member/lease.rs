//! The leader's lease: until when nobody else can lead, so that a read need not ask a majority.
//!
//! Whoever answers a heartbeat votes for nobody, itself included, for so many ticks as an election
//! takes at the least. A heartbeat carries the time at which it was sent, by the leader's clock,
//! and the answer brings it back; so a leader with answers of a majority knows up to when no other
//! majority can be found. Two majorities have a member in common, also those of two memberships of
//! which one follows the other, for a change of the members has to be applied before the next one.
//!
//! What could break the word that was given, and why it does not:
//! - Raft forgets a leader when it hears of a newer term, and then votes. The word is kept here and
//!   not there, and holds whatever the term.
//! - A restart forgets it. So a member that was started again votes for nobody for the same time.
//! - A hand-over forces its votes. So the lease ends when one begins, and does not come back in
//!   this term even if it fails: what tells the other to stand may arrive at any time. In a later
//!   term it has no effect any more, for that other stands in a term that is over.
//! - The first of the other's ticks may come at once, and its clock may be faster: the lease is a
//!   tick shorter than the time of an election, and a tenth.
//! - A new leader has not applied yet what others acknowledged: it has no lease before it applied
//!   something of its own term, which comes after all of that.
//!
//! A process that was stopped and goes on finds that the time has passed, as long as its clock went
//! on: the shell's counts also while the machine sleeps. One whose virtual machine was halted
//! together with its clock cannot know.

use super::Member;
use crate::members::MemberId;
use proto::Time;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{self, MessageType};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Later than all that is asked for.
const FOR_EVER: Time = Time::from_nanos(u64::MAX);
/// Bytes of a time at the end of a heartbeat's context.
const STAMP: usize = 8;

/// The word that was given to a leader, and the words that were given to this one.
pub(super) struct Grants {
    /// The tick in which this member gave its word last, or may have in an earlier start.
    given: Option<u64>,
    /// The term of `answers`.
    term: u64,
    /// When that was sent which another member answered last, by the own clock.
    answers: BTreeMap<MemberId, Time>,
    /// The term in which a hand-over began.
    ended: Option<u64>,
}

impl Grants {
    pub(super) fn new(incarnation: u64) -> Self {
        let given = (incarnation > 1).then_some(0);
        Self { given, term: 0, answers: BTreeMap::new(), ended: None }
    }
}

impl Member {
    /// Until when no other member can lead, while this one does and knows that; none otherwise. A
    /// leader that nobody else could replace has it for ever.
    pub fn lease(&self) -> Option<Time> {
        let raft = &self.raw.raft;
        let may_hold = self.leads() && !self.stopped && self.grants.ended != Some(raft.term);
        if !may_hold || !raft.apply_to_current_term() {
            return None;
        }
        let sent = self.answered(&self.members.voters)?.min(self.answered(&self.members.outgoing)?);
        Some(if sent == FOR_EVER { FOR_EVER } else { sent + self.lease_span() })
    }

    fn lease_span(&self) -> Duration {
        let ticks = u32::try_from(self.options.election_ticks).unwrap_or(u32::MAX);
        self.options.tick * ticks.saturating_sub(1) * 9 / 10
    }

    /// The latest time at which that was sent which a majority of `voters` has answered.
    fn answered(&self, voters: &BTreeSet<MemberId>) -> Option<Time> {
        if voters.is_empty() {
            return Some(FOR_EVER);
        }
        let is_current = self.grants.term == self.raw.raft.term;
        let answer = |voter: &MemberId| match *voter == self.id {
            true => Some(FOR_EVER),
            false => self.grants.answers.get(voter).copied().filter(|_| is_current),
        };
        let mut answers: Vec<Time> = voters.iter().filter_map(answer).collect();
        answers.sort_unstable();
        answers.iter().rev().nth(voters.len() / 2).copied()
    }

    /// A hand-over begins.
    pub(super) fn end_lease(&mut self) {
        self.grants.ended = Some(self.raw.raft.term);
    }

    /// A heartbeat is about to be sent.
    pub(super) fn stamp(&self, message: &mut eraftpb::Message) {
        if message.get_msg_type() == MessageType::MsgHeartbeat {
            let stamp = self.now.as_nanos().to_le_bytes();
            message.context = [&message.context[..], &stamp].concat().into();
        }
    }

    /// Notes what a message means for leases; says whether raft may see it.
    pub(super) fn grant(&mut self, message: &mut eraftpb::Message) -> bool {
        let ticks = self.clockwork.ticks;
        let kind = message.get_msg_type();
        if kind == MessageType::MsgHeartbeat && message.term >= self.raw.raft.term {
            // It is answered, with what stands in it.
            self.grants.given = Some(ticks);
        }
        if kind == MessageType::MsgHeartbeatResponse {
            let Some(at) = message.context.len().checked_sub(STAMP) else { return false };
            let stamp = message.context.split_off(at);
            let stamp = stamp.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp));
            self.note_answer(message, Time::from_nanos(stamp));
        }
        let is_vote = [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote].contains(&kind);
        let patience = self.options.election_ticks as u64;
        let is_bound = self.grants.given.is_some_and(|given| ticks - given < patience);
        !(is_vote && is_bound) || message.context == CAMPAIGN_TRANSFER
    }

    fn note_answer(&mut self, message: &eraftpb::Message, sent: Time) {
        let term = self.raw.raft.term;
        let from = MemberId::new(message.from).filter(|_| message.term == term && self.leads());
        let from = from.filter(|from| sent <= self.now && self.members.contains(*from));
        let Some(from) = from else { return };
        if self.grants.term != term {
            self.grants.term = term;
            self.grants.answers.clear();
        }
        let answer = self.grants.answers.entry(from).or_insert(sent);
        *answer = sent.max(*answer);
    }
}
