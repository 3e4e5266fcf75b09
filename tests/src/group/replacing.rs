//! What the operators of the masters do: a master whose disk is lost comes back as a new member,
//! and one leaves and joins again. One at a time, and never so that a majority is lost.

use super::raft::Raft;
use super::{Ground, Group, Kind};
use crate::world::Plant;
use proto::Time;
use registrar_core::{Change, Input, MemberId, Refused};
use std::collections::BTreeSet;

/// A learner may vote once it is so near to the end of the log.
const NEAR: u64 = 10;

impl Raft {
    /// Whether every member is one, knows all that it acknowledged, and is there in time.
    fn is_whole(&self) -> bool {
        let ids: BTreeSet<MemberId> = self.seats.iter().filter_map(|seat| seat.id).collect();
        let known = |seat: &super::raft::Seat| {
            seat.loss.is_none()
                && !seat.disk.restored.forgot
                && seat.disk.restored.snapshot.is_some()
        };
        let voters = self.seats.iter().filter(|seat| seat.leads).all(|seat| {
            let members = seat.member.as_ref().map(|member| member.status().members);
            members.is_some_and(|members| {
                let is_at = |seat: &super::raft::Seat| {
                    seat.id.and_then(|id| members.addresses.get(&id)) == Some(&seat.address)
                };
                let is_found = self.seats.iter().all(is_at);
                members.voters == ids && members.outgoing.is_empty() && is_found
            })
        });
        self.seats.iter().any(|seat| seat.leads) && self.seats.iter().all(known) && voters
    }

    /// Whoever greets one that knows the members without it is told.
    pub(super) fn greet(&mut self, ground: &mut Ground, now: Time) {
        let all = 0..self.seats.len();
        for (from, to) in all.clone().flat_map(|from| all.clone().map(move |to| (from, to))) {
            let there = |host: usize| ground.alive(host) && self.seats[host].member.is_some();
            let Some(id) = self.seats[from].id.filter(|_| there(from) && there(to)) else {
                continue;
            };
            let greeting = self.seats[from].roster.greeting(id);
            let told = self.seats[to].roster.admit(&greeting);
            let by = self.seats[to].id.filter(|_| ground.links.meet(now, from, to));
            if let (Some(by), Err(Refused::Removed { index })) = (by, told) {
                self.step(ground, now, from, Input::Removed { by, index });
            }
        }
    }

    /// Looks whether the members are those that there should be.
    pub(super) fn review(&mut self, ground: &mut Ground, now: Time) {
        let leads = |host: &usize| self.seats[*host].leads && ground.alive(*host);
        let Some(leader) = (0..self.seats.len()).find(leads) else { return };
        let Some(member) = &self.seats[leader].member else { return };
        let status = member.status();
        if status.applied < self.known.0 {
            return;
        }
        let seats = || self.seats.iter().filter_map(|seat| seat.id);
        let missing = seats().find(|id| !status.members.contains(*id));
        if let Some(member) = missing {
            if self.known.1.contains(&member) {
                // It was removed; once it is told so, its operator starts it anew. One that knows
                // nobody is told by its operator, when it asks to be taken in under its old id.
                let asks =
                    |host: &&usize| self.seats[**host].roster.index == 0 && ground.alive(**host);
                if let Some(host) = self.ids.get(&member).filter(asks) {
                    self.seats[*host].loss = Some(registrar_core::Loss::Removed);
                    ground.say(*host, super::Word::Stopped);
                }
                return;
            }
            let address = self.ids.get(&member).map(|host| self.seats[*host].address.clone());
            let address = address.unwrap_or_default();
            return self.change(ground, now, leader, vec![Change::AddLearner { member, address }]);
        }
        // Whoever finds itself elsewhere than it is known to be says so to the one that leads.
        let moved = self.seats.iter().zip(&ground.hosts).find_map(|(seat, host)| {
            let member = seat.id.filter(|_| host.up && !host.paused)?;
            let address = seat.address.clone();
            let is_known = status.members.addresses.get(&member) == Some(&address);
            (!is_known).then_some(Change::Readdress { member, address })
        });
        if let Some(change) = moved {
            return self.change(ground, now, leader, vec![change]);
        }
        let mut changes = Vec::new();
        for member in status.members.learners.iter().copied() {
            let has = status.matched.get(&member).copied().unwrap_or(0);
            if self.ids.contains_key(&member) && has + NEAR >= status.commit {
                changes.push(Change::Promote { member });
            }
        }
        let gone = |id: &MemberId| !self.ids.contains_key(id);
        let nobody: Vec<MemberId> = status.members.all().into_iter().filter(gone).collect();
        let learning = status.members.learners.iter().any(|id| self.ids.contains_key(id));
        // Whoever takes its place comes first.
        let is_short = !nobody.is_empty() || !status.members.learners.is_empty();
        if !learning || !changes.is_empty() {
            changes.extend(nobody.into_iter().map(|member| Change::Remove { member }));
        }
        if !changes.is_empty() {
            self.change(ground, now, leader, changes);
            return;
        }
        // Nobody lets one go while another is missing: what is left might be no majority.
        let leaving = self.leaving.iter().copied().find(|host| *host != leader && !is_short);
        if let Some(member) = leaving.and_then(|host| self.seats[host].id) {
            self.leaving.clear();
            self.change(ground, now, leader, vec![Change::Remove { member }]);
        }
    }

    pub(super) fn unsettled(&self) -> Option<String> {
        if self.is_whole() { None } else { Some("a master is no full member yet".to_owned()) }
    }
}

impl Raft {
    /// How each member stands, for people.
    fn standing(&self) -> String {
        let all = self.seats.iter().enumerate().map(|(host, seat)| {
            let (loss, id) = (&seat.loss, seat.id.map_or(0, MemberId::get));
            let Some(status) = seat.member.as_ref().map(registrar_core::Member::status) else {
                return format!("m{host} is member {id}, and away ({loss:?})");
            };
            let ids = |set: &BTreeSet<MemberId>| set.iter().map(|id| id.get()).collect::<Vec<_>>();
            format!(
                "m{host} is member {id}: {:?} of term {}, log to {} and agreed to {}, forgot {}, voters {:?}, before {:?}, learners {:?}",
                status.role,
                status.term,
                status.last,
                status.commit,
                status.forgot,
                ids(&status.members.voters),
                ids(&status.members.outgoing),
                ids(&status.members.learners),
            )
        });
        all.collect::<Vec<_>>().join("; ")
    }
}

impl Group {
    /// How each member stands, for people; a model has none.
    pub(crate) fn standing(&self) -> String {
        match &self.kind {
            Kind::Ideal(_) => "the model elects nobody".to_owned(),
            Kind::Raft(raft) => raft.standing(),
        }
    }

    /// Whether a member may lose what it has without a word being lost.
    pub(crate) fn can_lose_one(&self) -> bool {
        match &self.kind {
            Kind::Ideal(_) => false,
            Kind::Raft(raft) => raft.seats.len() > 1 && raft.is_whole(),
        }
    }

    /// The disk of a host that is down is lost as a whole.
    pub(crate) fn lose_disk(&mut self, host: usize) {
        if let Kind::Raft(raft) = &mut self.kind {
            raft.anew(host);
        }
    }

    /// The log of a host that is down is damaged from some place on.
    pub(crate) fn damage(&mut self, host: usize) {
        if let Kind::Raft(raft) = &mut self.kind {
            let disk = &mut raft.seats[host].disk;
            let keep = self.ground.random.index(disk.restored.entries.len() + 1);
            disk.damage(keep);
            disk.restored.forgot = self.ground.plant != Some(Plant::SilentlyTorn);
        }
    }

    /// A bit of what a host that is down has on its disk is another one: in its log, in its
    /// snapshot, or in its promises, of which none are as good as all.
    pub(crate) fn flip_bit(&mut self, host: usize) {
        let Kind::Raft(raft) = &mut self.kind else { return };
        match self.ground.random.index(3) {
            0 => self.damage(host),
            1 => raft.seats[host].disk.lose_snapshot(),
            _ => raft.anew(host),
        }
    }

    /// A host that is down comes back under another address.
    pub(crate) fn moves(&mut self, host: usize) {
        if let Kind::Raft(raft) = &mut self.kind {
            self.ground.next_id += 1;
            raft.seats[host].address = format!("place-{}", self.ground.next_id);
        }
    }

    /// A host's member leaves the group and joins it again.
    pub(crate) fn leave(&mut self, host: usize) {
        if let Kind::Raft(raft) = &mut self.kind {
            raft.leaving.insert(host);
        }
    }
}
