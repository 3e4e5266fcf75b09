//! What the operators of the masters do: a master whose disk is lost comes back as a new member,
//! and one leaves and joins again. One at a time, and never so that a majority is lost.

use super::raft::Raft;
use super::{Ground, Group, Kind};
use crate::world::Plant;
use proto::Time;
use registrar_core::{Change, MemberId};
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
            members.is_some_and(|members| members.voters == ids && members.outgoing.is_empty())
        });
        self.seats.iter().any(|seat| seat.leads) && self.seats.iter().all(known) && voters
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
            if let Some(host) = self.ids.get(&member).filter(|_| self.known.1.contains(&member)) {
                // Nobody tells it that it was removed: its operator starts it anew.
                if !ground.hosts[*host].paused {
                    self.seats[*host].loss = Some(registrar_core::Loss::Removed);
                    ground.say(*host, super::Word::Stopped);
                }
                return;
            }
            let address = format!("host-{member}");
            return self.change(ground, now, leader, vec![Change::AddLearner { member, address }]);
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
        if !learning || !changes.is_empty() {
            changes.extend(nobody.into_iter().map(|member| Change::Remove { member }));
        }
        if !changes.is_empty() {
            self.change(ground, now, leader, changes);
            return;
        }
        let leaving = self.leaving.iter().copied().find(|host| *host != leader);
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
            disk.damage(&mut self.ground.random);
            disk.restored.forgot = self.ground.plant != Some(Plant::SilentlyTorn);
        }
    }

    /// A host's member leaves the group and joins it again.
    pub(crate) fn leave(&mut self, host: usize) {
        if let Kind::Raft(raft) = &mut self.kind {
            raft.leaving.insert(host);
        }
    }
}
