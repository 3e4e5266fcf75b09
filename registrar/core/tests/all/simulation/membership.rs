//! Members come and go: what their operators do, and runs in which they do while things go wrong.

use super::runs::{SECOND, options, settle};
use super::world::{World, id};
use registrar_core::{Change, Input, Loss, MemberId, Refusal, Restored, Role, Status};
use std::collections::BTreeSet;
use std::time::Duration;

/// A learner may vote once it is so near to the end of the log.
const NEAR: u64 = 10;

impl World {
    fn status(&self, member: MemberId) -> Option<Status> {
        self.nodes[&member].member.as_ref().map(|member| member.status())
    }

    /// Some member is found elsewhere from now on, if a leader takes that.
    pub(crate) fn readdress(&mut self) {
        let place = self.chance.below(self.nodes.len() as u64) as usize;
        let member = *self.nodes.keys().nth(place).unwrap();
        let Some(leader) = self.leader() else { return };
        let id = self.take_id();
        self.changes.insert(id, Err(Refusal::NoMajority));
        let changes = vec![Change::Readdress { member, address: format!("place-{id}") }];
        self.step(leader, Input::Change { id, changes });
    }

    /// Asks the leader for a change of the members and says what became of it.
    pub(crate) fn change(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        let leader = self.leader().ok_or(Refusal::NotLeading { leader: None })?;
        let id = self.take_id();
        self.changes.insert(id, Err(Refusal::NoMajority));
        self.step(leader, Input::Change { id, changes });
        self.run(Duration::from_secs(1));
        self.changes[&id].clone()
    }

    /// Asks whoever leads, and does not wait.
    fn order(&mut self, leader: MemberId, changes: Vec<Change>) {
        let id = self.take_id();
        self.changes.insert(id, Err(Refusal::NoMajority));
        self.step(leader, Input::Change { id, changes });
    }

    /// Who was told that it was removed ends, and a new one takes its place.
    fn replace_removed(&mut self) {
        let removed =
            |world: &Self, member: &MemberId| world.nodes[member].loss == Some(Loss::Removed);
        let gone: Vec<_> =
            self.nodes.keys().copied().filter(|member| removed(self, member)).collect();
        for member in gone {
            self.nodes.remove(&member);
            self.newest += 1;
            self.add(id(self.newest), Restored::newcomer());
        }
    }

    /// One thing that the operators do next: whoever is there and was never a member becomes one,
    /// and votes once it has the log; and now and then somebody is removed.
    pub(crate) fn operate(&mut self, removes: bool) {
        self.replace_removed();
        let Some(leader) = self.leader() else { return };
        let Some(status) = self.status(leader) else { return };
        let near = |member: &&MemberId| {
            status.matched.get(member).is_some_and(|has| has + NEAR >= status.commit)
        };
        if let Some(member) = status.members.learners.iter().find(near) {
            return self.order(leader, vec![Change::Promote { member: *member }]);
        }
        let is_new = |member: &MemberId| {
            let status = self.status(*member);
            status.is_some_and(|status| status.members.all().is_empty())
        };
        let missing = self.nodes.keys().copied().filter(|id| !status.members.contains(*id));
        if let Some(member) = missing.into_iter().find(is_new) {
            let address = format!("host-{member}");
            return self.order(leader, vec![Change::AddLearner { member, address }]);
        }
        let others: Vec<_> = status.members.voters.iter().filter(|id| **id != leader).collect();
        if removes && !others.is_empty() {
            let first = self.chance.below(others.len() as u64) as usize;
            let count = 1 + self.chance.below(2) as usize;
            let gone = others.iter().cycle().skip(first).take(count.min(others.len()));
            let gone: BTreeSet<MemberId> = gone.map(|member| **member).collect();
            let changes = gone.into_iter().map(|member| Change::Remove { member }).collect();
            self.order(leader, changes);
        }
    }

    /// Everybody is a member that votes.
    fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let all: BTreeSet<MemberId> = self.nodes.keys().copied().collect();
        let whole =
            |status: Status| status.members.voters == all && status.members.outgoing.is_empty();
        self.nodes.values().all(|node| node.loss.is_none())
            && self.status(leader).is_some_and(whole)
    }
}

/// Ten seconds of faults and of removals, then all must be well.
fn run(size: u64, seed: u64) -> World {
    let mut world = World::new(size, seed, options());
    // Of two members none may lose what it acknowledged.
    world.damages = false;
    for _ in 0..200 {
        world.run(Duration::from_millis(50));
        let proposals = world.chance.below(6);
        world.ask(proposals, 1);
        if world.chance.one_in(4) {
            world.disturb();
        }
        let removes = world.chance.one_in(8);
        world.operate(removes);
    }
    world.heal();
    let mut calm = 0;
    for _ in 0..600 {
        world.run(Duration::from_millis(100));
        world.operate(false);
        // What was ordered before may come to pass late.
        calm = if world.is_settled() { calm + 1 } else { 0 };
        if calm > 20 {
            break;
        }
    }
    assert!(calm > 20, "somebody is no member, or cannot be told that it is none");
    settle(&mut world);
    world
}

#[test]
fn members_are_removed_and_replaced_whatever_happens() {
    let (mut acknowledged, mut removed) = (0, 0);
    for size in [2, 3, 4, 5] {
        for seed in 20_000..20_060 {
            let world = std::panic::catch_unwind(|| run(size, seed));
            let world = world.unwrap_or_else(|_| panic!("seed {seed} of {size} members"));
            acknowledged += world.checks.proposals.len();
            removed += world.newest - size;
        }
    }
    assert!(acknowledged > 4 * 60 * 20, "{acknowledged} proposals");
    assert!(removed > 4 * 60 * 2, "{removed} were removed");
}

/// Two members, of which the one that does not lead is removed; the other one crashes after so many
/// effects. Whether it did.
fn of_two_one_stays(seed: u64, fuse: u64) -> bool {
    let mut world = World::new(2, seed, options());
    world.run(4 * SECOND);
    world.ask(3, 0);
    world.run(SECOND);
    let stays = world.leader().unwrap();
    let goes = [1, 2].map(id).into_iter().find(|member| *member != stays).unwrap();
    world.nodes.get_mut(&stays).unwrap().fuse = Some(fuse);
    world.order(stays, vec![Change::Remove { member: goes }]);
    world.run(SECOND);
    let has_crashed = world.nodes[&stays].member.is_none();
    world.heal();
    for _ in 0..40 {
        world.run(SECOND / 4);
        let Some(leader) = world.leader() else { continue };
        if world.nodes[&goes].loss.is_some() {
            break;
        }
        // It may not have come so far; then the other one may lead now.
        match leader == stays {
            true => world.order(leader, vec![Change::Remove { member: goes }]),
            false => world.step(leader, Input::Transfer { to: Some(stays) }),
        }
    }
    assert_eq!(world.nodes[&goes].loss, Some(Loss::Removed), "crashed after {fuse} effects");
    assert_eq!(world.leader(), Some(stays), "crashed after {fuse} effects");
    world.nodes.remove(&goes);
    settle(&mut world);
    has_crashed
}

#[test]
fn the_one_that_stays_leads_again_wherever_it_crashed_while_the_other_was_removed() {
    for seed in 0..8 {
        let crashed = (0..40).filter(|fuse| of_two_one_stays(seed, *fuse)).count();
        assert!(crashed >= 6, "{crashed} places");
    }
}

/// Four members; whoever has not led is removed, and the leader is gone for ever as soon as that is
/// agreed upon. The other two are a majority of those that stay.
#[test]
fn a_majority_of_those_that_stay_is_enough_though_the_leader_is_gone() {
    for seed in 0..40 {
        let mut world = World::new(4, seed, options());
        world.run(4 * SECOND);
        let leader = world.leader().unwrap();
        let [goes, one, other] =
            [1, 2, 3, 4].map(id).into_iter().filter(|m| *m != leader).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        // Of the entry, one of them does not hear.
        world.part(leader, other);
        world.order(leader, vec![Change::Remove { member: goes }]);
        let knows = |world: &World, member| {
            world.status(member).is_some_and(|status| !status.members.contains(goes))
        };
        while !knows(&world, leader) {
            world.run(Duration::from_micros(100));
        }
        world.run(Duration::from_millis(seed * 10));
        world.crash(leader);
        world.nodes.remove(&leader);
        world.cut.clear();
        world.run(10 * SECOND);
        assert!(world.leader().is_some_and(|now| [one, other].contains(&now)), "seed {seed}");
        assert_eq!(world.nodes[&goes].loss, Some(Loss::Removed), "seed {seed}");
        world.nodes.remove(&goes);
        settle(&mut world);
    }
}

/// Whoever is to lead is just writing down that the members have changed.
#[test]
fn a_hand_over_right_after_a_change_of_the_members_is_not_missed() {
    for seed in 0..20 {
        let mut world = World::new(3, seed, options());
        world.run(4 * SECOND);
        let leader = world.leader().unwrap();
        let next = [1, 2, 3].map(id).into_iter().find(|member| *member != leader).unwrap();
        let address = "elsewhere".to_owned();
        world.order(leader, vec![Change::Readdress { member: leader, address }]);
        let knows = |world: &World| {
            world.status(next).is_some_and(|now| now.members.addresses[&leader] == "elsewhere")
        };
        // The entry is durable, and what comes after it takes long.
        while !knows(&world) {
            world.run(Duration::from_micros(100));
            let commit = world.status(leader).map_or(0, |status| status.commit);
            let has = world.status(leader).and_then(|status| status.matched.get(&next).copied());
            world.nodes.get_mut(&next).unwrap().slow_disk = has.is_some_and(|has| has >= commit);
        }
        world.step(leader, Input::Transfer { to: Some(next) });
        world.run(Duration::from_millis(10));
        let role = world.status(next).map(|status| status.role);
        assert_ne!(role, Some(Role::Follower), "seed {seed}: it was told to stand");
        world.heal();
        world.run(5 * SECOND);
        settle(&mut world);
    }
}
