//! Ticks: signs of life, elections, and what took too long.
//!
//! Raft draws its election time-outs from its thread's generator. Here they are always one tick
//! over the time for which a leader is believed in, and that last tick is put off by a number of
//! ticks from our own seeded generator, anew after each reset.

use super::Member;
use crate::effect::Effect;
use crate::members::{MemberId, Members};
use proto::Time;
use raft::StateRole;

pub(super) struct Clockwork {
    /// When the next tick is due.
    pub(super) next: Time,
    /// Ticks since the start.
    pub(super) ticks: u64,
    /// State of the generator (splitmix64).
    state: u64,
    election_ticks: usize,
    /// Ticks for which the last one before an election is still put off.
    put_off: u64,
    /// Raft's count of ticks since the last reset, as it was seen last.
    elapsed: usize,
}

impl Clockwork {
    pub(super) fn new(seed: u64, next: Time, election_ticks: usize) -> Self {
        let mut clockwork =
            Self { next, ticks: 0, state: seed, election_ticks, put_off: 0, elapsed: 0 };
        clockwork.draw();
        clockwork
    }

    fn draw(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.put_off = (z ^ (z >> 31)) % self.election_ticks as u64;
    }

    /// Looks at raft's count after each step: when it went back, the next time-out is a new one.
    pub(super) fn watch(&mut self, elapsed: usize) {
        if elapsed < self.elapsed {
            self.draw();
        }
        self.elapsed = elapsed;
    }
}

impl Member {
    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        // Ticks that were missed are not made up for: what came meanwhile was not looked at yet.
        self.clockwork.next = self.now + self.options.tick;
        self.clockwork.ticks += 1;
        self.expire_reads(effects);
        self.end_in_time(effects);
        if self.forgetting.is_some() {
            self.ask_for_recall(effects);
        } else if self.leads() {
            self.raw.tick();
            self.hand_over_if_slow();
        } else if self.is_alone() {
            // Nobody is there to wait for.
            if self.has_kept_its_word() {
                // An error says that it leads already.
                let _ = self.raw.campaign();
            }
        } else {
            self.tick_election();
        }
    }

    /// Whether it is the only one that votes.
    fn is_alone(&self) -> bool {
        let Members { voters, outgoing, .. } = &self.members;
        voters.len() == 1 && voters.contains(&self.id) && outgoing.is_empty()
    }

    fn tick_election(&mut self) {
        // A candidate must have all that it acknowledged on its disk.
        if !self.has_kept_its_word() {
            return;
        }
        let is_last = self.raw.raft.election_elapsed + 1 > self.options.election_ticks;
        if is_last && self.clockwork.put_off > 0 {
            self.clockwork.put_off -= 1;
        } else {
            self.raw.tick();
        }
    }

    /// A leader whose disk hangs holds up everybody.
    fn hand_over_if_slow(&mut self) {
        let slowest = self.writes.front().map_or(0, |write| self.clockwork.ticks - write.since);
        if slowest > self.options.slow_write_ticks {
            self.transfer(None);
        }
    }

    /// Hands the lead over to `to`, or to the voter that knows most.
    pub(super) fn transfer(&mut self, to: Option<MemberId>) {
        if self.raw.raft.state != StateRole::Leader || self.raw.raft.lead_transferee.is_some() {
            return;
        }
        let to = to.or_else(|| self.successor());
        let fits = |to: &MemberId| *to != self.id && self.members.voters.contains(to);
        if let Some(to) = to.filter(fits) {
            self.end_lease();
            self.raw.transfer_leader(to.get());
        }
    }

    /// Of a leader: the voter that should lead next.
    pub(super) fn successor(&self) -> Option<MemberId> {
        let status = self.status();
        let voters = status.members.voters.iter().filter(|voter| **voter != self.id);
        let knows = |voter: &MemberId| status.matched.get(voter).copied().unwrap_or(0);
        // One that is away cannot take it over, however much it knows.
        let away = self.options.tick * self.options.election_ticks as u32;
        let lives = |voter: &MemberId| status.heard.get(voter).is_some_and(|ago| *ago < away);
        let best = |voter: &MemberId| (lives(voter), knows(voter), *voter);
        voters.copied().max_by_key(best)
    }
}
