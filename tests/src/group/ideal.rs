//! A model of the replicated log: what its contract promises, and nothing more.
//!
//! One of the masters that reach a majority leads. What it proposes is agreed upon as long as it
//! reaches a majority; when it dies, some beginning of what was under way may still be agreed upon.
//! One that lost the lead may go on to believe in it for a while, and gets nothing agreed upon.

use super::{Ground, Happening, Word};
use crate::faults::Point;
use proto::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Between two looks at who reaches whom.
const REVIEW: Duration = Duration::from_millis(100);
/// A leader is believed in for so long after it last reached a majority.
const LEASE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Seat {
    /// Since which term it believes that it leads.
    believes: Option<u64>,
    /// When it notices that it does not, at the latest.
    notices: Option<Time>,
    /// Whom it told its master to be the leader.
    told: Option<Option<usize>>,
    /// Proposed, not agreed upon, in order: when the disk has it.
    pending: VecDeque<u64>,
    last: Time,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Ideal {
    seats: Vec<Seat>,
    /// All that was agreed upon: the first has index 1.
    log: Vec<u64>,
    term: u64,
    leader: Option<usize>,
    /// The leader reached a majority not long before then.
    good_until: Time,
    /// Nobody is elected before then.
    elect_at: Time,
    reviewed: bool,
}

impl Ideal {
    pub(super) fn new(count: usize) -> Self {
        Self {
            seats: (0..count).map(|_| Seat::default()).collect(),
            log: Vec::new(),
            term: 0,
            leader: None,
            good_until: Time::ZERO,
            elect_at: Time::ZERO,
            reviewed: false,
        }
    }

    pub(super) fn happens(&mut self, ground: &mut Ground, now: Time, happening: Happening) {
        match happening {
            Happening::Review => self.review(ground, now),
            Happening::Agreed { host, life, upto } if ground.hosts[host].life == life => {
                self.agree(ground, now, host, upto);
            }
            _ => {}
        }
    }

    fn has_majority(ground: &Ground, now: Time, host: usize) -> bool {
        let all = 0..ground.hosts.len();
        let near = all.filter(|other| ground.alive(*other) && ground.links.meet(now, host, *other));
        ground.alive(host) && near.count() >= ground.quorum()
    }

    fn review(&mut self, ground: &mut Ground, now: Time) {
        ground.later(now + REVIEW, Happening::Review);
        if !std::mem::replace(&mut self.reviewed, true) {
            self.elect_at = now + ground.random.millis(100, 1_500);
        }
        if let Some(leader) = self.leader {
            if Self::has_majority(ground, now, leader) {
                self.good_until = now + LEASE;
            } else if now > self.good_until {
                self.depose(ground, now);
            }
        }
        if self.leader.is_none() && now >= self.elect_at {
            self.elect(ground, now);
        }
        for host in 0..self.seats.len() {
            if ground.alive(host) {
                self.look(ground, now, host);
            }
        }
    }

    /// Nobody follows the leader any more.
    fn depose(&mut self, ground: &mut Ground, now: Time) {
        if let Some(leader) = self.leader.take() {
            self.seats[leader].notices = Some(now + ground.random.millis(0, 1_000));
        }
        self.elect_at = now + ground.random.millis(0, 1_500);
    }

    fn elect(&mut self, ground: &mut Ground, now: Time) {
        let all = 0..self.seats.len();
        let able: Vec<usize> = all.filter(|host| Self::has_majority(ground, now, *host)).collect();
        let Some(host) = able.get(ground.random.index(able.len())).copied() else { return };
        self.term += 1;
        self.leader = Some(host);
        self.good_until = now + LEASE;
        self.catch_up(ground, host);
        let seat = &mut self.seats[host];
        // What it proposed when it led before is out of sight.
        let lost: Vec<u64> = seat.pending.drain(..).collect();
        (seat.believes, seat.notices, seat.told) = (Some(self.term), None, Some(Some(host)));
        lost.into_iter().for_each(|id| ground.say(host, Word::Dropped { id }));
        let verdict = ground.agreement.leads(host, self.term);
        ground.judge(verdict);
        if !ground.passes(host, Point::Elected) {
            ground.say(host, Word::Leads { term: self.term });
        }
    }

    /// What a living master learns by itself and from the leader.
    fn look(&mut self, ground: &mut Ground, now: Time, host: usize) {
        let follows = self.leader.filter(|leader| ground.links.meet(now, *leader, host));
        if follows.is_some_and(|leader| ground.alive(leader)) {
            self.catch_up(ground, host);
        }
        let seat = &mut self.seats[host];
        if self.leader == Some(host) {
            return;
        }
        if seat.believes.is_some() && follows.is_none() && seat.notices.is_some_and(|at| at > now) {
            return;
        }
        let was = seat.believes.take().is_some();
        let lost: Vec<u64> = seat.pending.drain(..).collect();
        lost.into_iter().for_each(|id| ground.say(host, Word::Dropped { id }));
        if was || self.seats[host].told != Some(follows) {
            self.seats[host].told = Some(follows);
            ground.say(host, Word::Follows { leader: follows });
        }
    }

    fn catch_up(&self, ground: &mut Ground, host: usize) {
        let applied = ground.hosts[host].applied as usize;
        for (id, index) in self.log.iter().skip(applied).zip(applied as u64 + 1..) {
            ground.apply(host, index, *id);
        }
    }

    pub(super) fn propose(&mut self, ground: &mut Ground, now: Time, host: usize, id: u64) {
        if self.seats[host].believes.is_none() {
            ground.say(host, Word::Dropped { id });
            return;
        }
        let takes = ground.disk_takes(now, host) + ground.random.millis(0, 5);
        let seat = &mut self.seats[host];
        seat.pending.push_back(id);
        seat.last = seat.last.max(now + takes);
        let life = ground.hosts[host].life;
        ground.later(seat.last, Happening::Agreed { host, life, upto: id });
    }

    fn agree(&mut self, ground: &mut Ground, now: Time, host: usize, upto: u64) {
        let leads = self.leader == Some(host) && self.seats[host].believes == Some(self.term);
        if self.seats[host].pending.front().is_none_or(|first| *first > upto) || !leads {
            return;
        }
        if !Self::has_majority(ground, now, host) {
            let life = ground.hosts[host].life;
            let again = now + Duration::from_millis(50);
            ground.later(again, Happening::Agreed { host, life, upto });
            return;
        }
        while let Some(id) = self.seats[host].pending.pop_front_if(|id| *id <= upto) {
            self.log.push(id);
            self.catch_up(ground, host);
            if ground.passes(host, Point::Committed) {
                return;
            }
            ground.committed(host, self.log.len() as u64, id);
        }
    }

    pub(super) fn read(&self, ground: &mut Ground, now: Time, host: usize, id: u64) {
        let leads = self.leader == Some(host) && self.seats[host].believes == Some(self.term);
        // Within its lease it answers at once; nobody else is elected before that is over.
        let word = match leads && now < self.good_until {
            true => Word::Read { id },
            false => Word::ReadLost { id },
        };
        ground.say(host, word);
    }

    pub(super) fn hand_over(&mut self, ground: &mut Ground, now: Time, host: usize) {
        if self.leader == Some(host) {
            self.depose(ground, now);
            self.seats[host].notices = Some(now);
            self.elect_at = now + ground.random.millis(0, 50);
        }
    }

    pub(super) fn crash(&mut self, ground: &mut Ground, now: Time, host: usize) {
        let pending: Vec<u64> = self.seats[host].pending.drain(..).collect();
        let led = self.leader == Some(host) && self.seats[host].believes == Some(self.term);
        if led {
            // Some of it may have reached the others.
            let others = (0..self.seats.len())
                .filter(|other| ground.alive(*other) && ground.links.meet(now, host, *other));
            let known = if others.count() + 1 >= ground.quorum() { pending.len() } else { 0 };
            let kept = ground.random.index(known + 1);
            self.log.extend(pending.into_iter().take(kept));
            self.leader = None;
            self.elect_at = now + ground.random.millis(300, 1_500);
        }
        self.seats[host] = Seat::default();
    }

    pub(super) fn leads(&self, host: usize) -> bool {
        self.seats[host].believes.is_some()
    }

    pub(super) fn leader_of(&self, ground: &Ground, host: usize) -> Option<usize> {
        if ground.alive(host) { self.seats[host].told.flatten() } else { None }
    }
}
