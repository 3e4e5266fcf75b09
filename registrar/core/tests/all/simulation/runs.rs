//! The runs: a seed each for faults of all kinds, and one each for what must be seen by name.

use super::world::{MILLI, World, id};
use registrar_core::{Change, Input, Loss, MemberId, Options, Refusal, Restored, Role};
use std::time::Duration;

pub(crate) fn options() -> Options {
    Options {
        snapshot_entries: 60,
        kept_entries: 20,
        hash_entries: 25,
        message_bytes: 600,
        messages_in_flight: 8,
        ..Options::default()
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Ten seconds of faults, then all must be well.
fn run(size: u64, seed: u64) -> (u64, World) {
    let mut world = World::new(size, seed, options());
    for _ in 0..200 {
        world.run(Duration::from_millis(50));
        let (proposals, reads) = (world.chance.below(6), world.chance.below(3));
        world.ask(proposals, reads);
        if world.chance.one_in(4) {
            world.disturb();
        }
        if world.chance.one_in(20) {
            world.readdress();
        }
    }
    world.heal();
    world.run(20 * SECOND);
    settle(&mut world);
    (world.hash, world)
}

/// One more entry is agreed upon, and everybody has everything.
pub(crate) fn settle(world: &mut World) {
    let leader = world.leader().expect("somebody leads when all is well");
    let before = world.checks.acknowledged;
    world.ask(1, 0);
    world.run(2 * SECOND);
    assert!(world.checks.acknowledged > before, "nothing is agreed upon any more");
    let commit = world.nodes[&leader].member.as_ref().unwrap().status().commit;
    let addresses = world.nodes[&leader].member.as_ref().unwrap().status().members.addresses;
    for (member, node) in &world.nodes {
        let Some(core) = &node.member else { continue };
        let status = core.status();
        if !status.members.contains(*member) {
            continue;
        }
        assert_eq!(status.applied, commit, "{member} lags: {status:?}");
        assert!(!status.forgot, "{member} has not got back what it lost");
        assert_eq!(status.members.addresses, addresses, "{member}");
        world.checks.whole(*member, &node.machine.0, status.applied);
    }
    for (member, node) in &world.nodes {
        assert_eq!(node.loss, None, "{member} stopped");
    }
}

/// Runs `count` seeds from `from` on, and those in which something was wrong once.
fn seeds(size: u64, from: u64, count: u64, once_wrong: &[u64]) {
    let (mut acknowledged, mut reads, mut elections, mut leases) = (0, 0, 0, 0);
    for seed in (from..from + count).chain(once_wrong.iter().copied()) {
        let world = std::panic::catch_unwind(|| run(size, seed).1);
        let world = world.unwrap_or_else(|_| panic!("seed {seed} of {size} members"));
        acknowledged += world.checks.proposals.len() as u64;
        reads += world.checks.read;
        elections += world.checks.elections;
        leases += world.checks.leases;
    }
    // Runs in which nothing happens would prove nothing.
    assert!(acknowledged > 40 * count, "{acknowledged} proposals");
    assert!(reads > 10 * count, "{reads} reads");
    assert!(elections > 2 * count, "{elections} elections");
    assert!(leases > 1_000 * count, "{leases} looks at a lease");
}

#[test]
fn three_members_keep_their_word_whatever_happens() {
    seeds(3, 0, 300, &[1_293, 1_365]);
}

#[test]
fn five_members_keep_their_word_whatever_happens() {
    seeds(5, 10_000, 150, &[10_638, 10_778, 11_032]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..4 {
        assert_eq!(run(3, seed).0, run(3, seed).0);
    }
    assert_ne!(run(3, 1).0, run(3, 2).0);
}

fn calm(size: u64, seed: u64) -> World {
    let mut world = World::new(size, seed, options());
    world.run(4 * SECOND);
    world.ask(5, 1);
    world.run(SECOND);
    assert_eq!(world.checks.proposals.len(), 5);
    world
}

#[test]
fn a_member_alone_leads_at_once() {
    let mut world = World::new(1, 3, options());
    world.run(Duration::from_millis(20));
    world.ask(100, 5);
    world.run(Duration::from_millis(50));
    assert_eq!((world.checks.proposals.len(), world.checks.read), (100, 5));
    world.crash(id(1));
    world.start(id(1));
    world.run(Duration::from_millis(20));
    settle(&mut world);
}

#[test]
fn a_leader_that_is_gone_is_replaced_soon() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let mut world = calm(3, seed);
        let leader = world.leader().unwrap();
        world.crash(leader);
        let begin = world.now;
        while world.leader().is_none() {
            world.run(Duration::from_millis(10));
        }
        times.push((world.now - begin) / MILLI);
        world.revive();
        world.run(5 * SECOND);
        settle(&mut world);
    }
    times.sort_unstable();
    // A time-out is one half to one second.
    assert!(times[20] <= 900 && times[39] <= 4_000, "{times:?} ms");
}

#[test]
fn a_leader_that_was_stopped_answers_no_read_with_what_is_old() {
    let mut world = calm(3, 1);
    let old = world.leader().unwrap();
    world.nodes.get_mut(&old).unwrap().paused = true;
    world.run(4 * SECOND);
    assert_ne!(world.leader().unwrap(), old);
    world.ask(3, 0);
    world.run(SECOND);
    // It wakes, believes that it leads, and is asked before it hears of anybody.
    world.isolate(old);
    let (read, answered) = (world.take_id(), world.checks.read);
    world.checks.ask(read);
    world.step(old, Input::Read(vec![read]));
    world.resume(old);
    world.run(3 * SECOND);
    assert_eq!(world.checks.read, answered, "it must not answer");
    assert!(!world.nodes[&old].leads, "it must step down");
    world.heal();
    world.run(5 * SECOND);
    settle(&mut world);
}

/// Whether `member` has a lease now.
fn leases(world: &World, member: MemberId) -> bool {
    world.lease(member).is_some()
}

#[test]
fn a_leader_has_a_lease_and_loses_it_when_it_is_alone_or_hands_over() {
    let mut world = calm(3, 2);
    let leader = world.leader().unwrap();
    assert!(leases(&world, leader));
    // Before it notices that nobody hears it, and steps down.
    world.isolate(leader);
    world.run(Duration::from_millis(460));
    assert!(world.nodes[&leader].leads && !leases(&world, leader));
    world.heal();
    world.run(4 * SECOND);
    let leader = world.leader().unwrap();
    assert!(leases(&world, leader));
    // To one that hears of it late: nothing is known as long as this term lasts.
    let other = [1, 2, 3].map(id).into_iter().find(|member| *member != leader).unwrap();
    world.nodes.get_mut(&other).unwrap().paused = true;
    world.step(leader, Input::Transfer { to: Some(other) });
    assert!(!leases(&world, leader));
    world.run(4 * SECOND);
    assert!(world.nodes[&leader].leads && !leases(&world, leader));
    world.resume(other);
    world.run(4 * SECOND);
    let now = world.leader().unwrap();
    assert!(now == other && leases(&world, now), "it was told to stand");
    settle(&mut world);
}

#[test]
fn a_member_that_is_started_again_keeps_the_word_that_it_gave() {
    for seed in 0..40 {
        let mut world = calm(3, seed);
        let leader = world.leader().unwrap();
        let [one, two] =
            [1, 2, 3].map(id).into_iter().filter(|m| *m != leader).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        // It stands just when the other, whose word the leader has, is started again.
        world.part(leader, two);
        while !leases(&world, leader) || world.role(two) == Role::Follower {
            world.run(Duration::from_millis(5));
        }
        world.crash(one);
        world.part(leader, one);
        world.start(one);
        world.run(4 * SECOND);
        assert_ne!(world.leader(), Some(leader));
        world.heal();
        world.run(4 * SECOND);
        settle(&mut world);
    }
}

#[test]
fn a_member_is_found_elsewhere() {
    let mut world = calm(3, 29);
    let leader = world.leader().unwrap();
    world.add(id(4), Restored::newcomer());
    world.change(vec![Change::AddLearner { member: id(4), address: "host-4".into() }]).unwrap();
    let readdress = |n: u64, address: &str| {
        vec![Change::Readdress { member: id(n), address: address.to_owned() }]
    };
    for n in [leader.get(), 4] {
        world.change(readdress(n, "elsewhere")).unwrap();
    }
    let both = [readdress(1, "one"), vec![Change::Promote { member: id(4) }]].concat();
    world.change(both).unwrap();
    let twice = [readdress(1, "a"), readdress(1, "b")].concat();
    for wrong in [readdress(9, "nowhere"), readdress(1, ""), twice] {
        let refused = world.change(wrong);
        assert!(matches!(refused, Err(Refusal::Change(_))), "{refused:?}");
    }
    settle(&mut world);
    let members = world.nodes[&leader].member.as_ref().unwrap().status().members;
    assert_eq!((members.voters.len(), &members.addresses[&id(4)][..]), (4, "elsewhere"));
    assert_eq!(members.addresses[&id(1)], "one");
}

#[test]
fn a_member_without_the_end_of_its_log_does_not_vote_until_it_has_it_back() {
    for seed in 0..20 {
        let mut world = calm(3, seed);
        let leader = world.leader().unwrap();
        let [behind, amnesiac] =
            [1, 2, 3].map(id).into_iter().filter(|m| *m != leader).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        // Agreed upon by two, of which one forgets it and the other is gone.
        world.crash(behind);
        world.ask(4, 0);
        world.run(SECOND);
        let acknowledged = world.checks.proposals.len();
        assert_eq!(acknowledged, 9);
        world.crash(leader);
        world.crash(amnesiac);
        let node = world.nodes.get_mut(&amnesiac).unwrap();
        let keep = node.disk.restored.entries.len() - 3;
        node.disk.damage(keep);
        world.start(amnesiac);
        world.start(behind);
        world.run(20 * SECOND);
        assert_eq!(world.leader(), None, "the two that lack it must not agree on anything");
        world.start(leader);
        world.run(5 * SECOND);
        settle(&mut world);
        assert!(!world.nodes[&amnesiac].disk.restored.forgot);
    }
}

#[test]
fn a_member_without_its_snapshot_does_not_vote_until_it_has_everything_back() {
    for seed in 0..20 {
        let mut world = calm(3, seed);
        for _ in 0..30 {
            world.ask(10, 0);
            world.run(Duration::from_millis(50));
        }
        let leader = world.leader().unwrap();
        let [behind, amnesiac] =
            [1, 2, 3].map(id).into_iter().filter(|m| *m != leader).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        world.crash(behind);
        world.ask(4, 0);
        world.run(SECOND);
        world.crash(leader);
        world.crash(amnesiac);
        let node = world.nodes.get_mut(&amnesiac).unwrap();
        let promises = node.disk.restored.hard_state;
        node.disk.lose_snapshot();
        world.start(amnesiac);
        world.start(behind);
        world.run(20 * SECOND);
        assert_eq!(world.leader(), None, "the two that lack it must not agree on anything");
        assert_eq!(world.nodes[&amnesiac].disk.restored.hard_state.term, promises.term);
        world.start(leader);
        world.run(5 * SECOND);
        settle(&mut world);
        let restored = &world.nodes[&amnesiac].disk.restored;
        assert!(!restored.forgot && restored.snapshot.is_some());
    }
}

#[test]
fn what_is_left_of_a_group_goes_on_alone() {
    for seed in 0..20 {
        let mut world = calm(3, seed);
        for _ in 0..seed {
            world.ask(10, 0);
            world.run(Duration::from_millis(50));
        }
        world.add(id(4), Restored::newcomer());
        world.change(vec![Change::AddLearner { member: id(4), address: "host-4".into() }]).unwrap();
        world.run(SECOND);
        let left = id(1 + seed % 4);
        (1..=4).for_each(|n| world.crash(id(n)));
        world.nodes.retain(|member, _| *member == left);
        let node = world.nodes.get_mut(&left).unwrap();
        let term = node.disk.restored.hard_state.term;
        let alone = node.disk.restored.clone().alone(left, "here".to_owned(), 7).unwrap();
        assert_eq!(alone.members.all(), [1, 2, 3, 4].map(id).into());
        assert!(alone.restored.hard_state.term > term);
        node.disk.restored = alone.restored;
        world.start(left);
        world.run(Duration::from_millis(100));
        assert_eq!(world.leader(), Some(left), "at once");
        settle(&mut world);
        world.add(id(5), Restored::newcomer());
        world.change(vec![Change::AddLearner { member: id(5), address: "host-5".into() }]).unwrap();
        world.run(SECOND);
        settle(&mut world);
        let members = world.nodes[&id(5)].member.as_ref().unwrap().status().members;
        assert_eq!((members.all(), members.epoch), ([left, id(5)].into(), 7));
    }
    assert!(Restored::newcomer().alone(id(1), String::new(), 7).is_none());
}

#[test]
fn a_disk_that_lost_writes_without_a_word_stops_its_member() {
    let mut world = calm(3, 5);
    let leader = world.leader().unwrap();
    let other = [1, 2, 3].map(id).into_iter().find(|member| *member != leader).unwrap();
    world.ask(3, 0);
    world.run(SECOND);
    world.crash(other);
    world.nodes.get_mut(&other).unwrap().disk.lose_silently(0);
    world.start(other);
    world.run(3 * SECOND);
    let loss = world.nodes[&other].loss.clone();
    assert!(matches!(loss, Some(Loss::Forgotten { .. })), "{loss:?}");
}

#[test]
fn a_state_that_differs_stops_its_member() {
    let mut world = calm(3, 7);
    let leader = world.leader().unwrap();
    let other = [1, 2, 3].map(id).into_iter().find(|member| *member != leader).unwrap();
    *world.nodes.get_mut(&other).unwrap().machine.0.values_mut().next().unwrap() += 1;
    for _ in 0..10 {
        world.ask(5, 0);
        world.run(Duration::from_millis(100));
    }
    let loss = world.nodes[&other].loss.clone();
    assert!(matches!(loss, Some(Loss::Diverged { .. })), "{loss:?}");
    let well = world.nodes.iter().filter(|(_, node)| node.loss.is_none()).count();
    assert_eq!(well, 2);
}

#[test]
fn a_slow_disk_of_the_leader_makes_it_hand_over() {
    let mut world = World::new(3, 11, Options { slow_write_ticks: 5, ..options() });
    world.run(4 * SECOND);
    let leader = world.leader().unwrap();
    world.nodes.get_mut(&leader).unwrap().slow_disk = true;
    for _ in 0..100 {
        world.ask(1, 0);
        world.run(Duration::from_millis(50));
    }
    assert_ne!(world.leader(), Some(leader));
}

#[test]
fn the_lead_is_handed_over_in_milliseconds() {
    let mut world = calm(3, 13);
    let leader = world.leader().unwrap();
    world.step(leader, Input::Transfer { to: None });
    world.run(Duration::from_millis(50));
    assert!(world.leader().is_some_and(|now| now != leader));
    settle(&mut world);
}

#[test]
fn members_come_and_go_while_entries_are_agreed_upon() {
    let mut world = calm(1, 17);
    for n in 2..=5 {
        world.add(id(n), Restored::newcomer());
        let address = format!("host-{n}");
        let added = world.change(vec![Change::AddLearner { member: id(n), address }]);
        added.unwrap();
        world.ask(20, 2);
        world.run(SECOND);
        world.change(vec![Change::Promote { member: id(n) }]).unwrap();
    }
    settle(&mut world);
    let leader = world.leader().unwrap();
    let refused = world.change(vec![Change::Remove { member: leader }]);
    assert!(matches!(refused, Err(Refusal::Change(_))), "{refused:?}");
    // Two at once, by way of a joint membership.
    let gone: Vec<_> = (1..=5).map(id).filter(|member| *member != leader).take(2).collect();
    let changes = gone.iter().map(|member| Change::Remove { member: *member }).collect();
    world.change(changes).unwrap();
    world.run(SECOND);
    let status = world.nodes[&leader].member.as_ref().unwrap().status();
    assert_eq!(status.members.removed, gone);
    for member in gone {
        assert_eq!(world.nodes[&member].loss, Some(Loss::Removed));
        world.nodes.remove(&member);
    }
    settle(&mut world);
    let members = world.nodes[&leader].member.as_ref().unwrap().status().members;
    assert_eq!((members.voters.len(), members.outgoing.len(), members.addresses.len()), (3, 0, 3));
    // Nobody comes back under the id that it had.
    for member in members.removed {
        let back = Change::AddLearner { member, address: "elsewhere".into() };
        let refused = world.change(vec![back]);
        assert!(matches!(refused, Err(Refusal::Change(why)) if why.contains("removed")));
    }
}

#[test]
fn a_lost_disk_is_replaced_by_a_new_member() {
    let mut world = calm(3, 19);
    for _ in 0..30 {
        world.ask(10, 0);
        world.run(Duration::from_millis(50));
    }
    let leader = world.leader().unwrap();
    let lost = [1, 2, 3].map(id).into_iter().find(|member| *member != leader).unwrap();
    world.crash(lost);
    world.nodes.remove(&lost);
    world.add(id(4), Restored::newcomer());
    world.change(vec![Change::AddLearner { member: id(4), address: "host-4".into() }]).unwrap();
    world.run(2 * SECOND);
    let changes = vec![Change::Promote { member: id(4) }, Change::Remove { member: lost }];
    world.change(changes).unwrap();
    world.run(2 * SECOND);
    settle(&mut world);
    // It came by a snapshot: the log was cut long ago.
    assert!(world.nodes[&id(4)].member.as_ref().unwrap().status().first > 100);
}

#[test]
fn proposals_of_a_leader_that_is_cut_off_are_reported() {
    let mut world = calm(3, 23);
    let leader = world.leader().unwrap();
    world.isolate(leader);
    world.ask(4, 0);
    let acknowledged = world.checks.proposals.len();
    world.run(4 * SECOND);
    assert_eq!((world.dropped, world.checks.proposals.len()), (4, acknowledged));
    world.heal();
    world.run(4 * SECOND);
    settle(&mut world);
}
