//! What both kinds of log promise to a master, whatever happens to the others.

use super::*;
use proto::Role;

/// A group in a world of its own: everything that happens to it, in order.
struct Bench {
    group: Group,
    now: Time,
    planned: BTreeMap<(Time, u64), Happening>,
    count: u64,
    said: Vec<(usize, Word)>,
}

impl Bench {
    fn new(masters: Masters, seed: u64) -> Self {
        let group = Group::new(masters, Prng::new(seed)).unwrap();
        let now = Time::from_millis(1_000_000);
        let planned = BTreeMap::from([((now, 0), Happening::Review)]);
        let mut bench = Self { group, now, planned, count: 0, said: Vec::new() };
        (0..masters.count()).for_each(|host| bench.group.start(now, host));
        bench
    }

    fn run(&mut self, lasts: Duration) {
        let end = self.now + lasts;
        self.listen();
        while let Some(next) = self.planned.first_entry().filter(|next| next.key().0 <= end) {
            let ((at, _), happening) = next.remove_entry();
            self.now = at.max(self.now);
            self.group.happens(self.now, happening);
            self.listen();
        }
        self.now = end;
        self.group.compare();
        assert_eq!(self.group.take_found(), None);
    }

    fn listen(&mut self) {
        for (at, happening) in self.group.take_due() {
            self.count += 1;
            self.planned.insert((at, self.count), happening);
        }
        self.said.extend(std::iter::from_fn(|| self.group.take_word()));
    }

    fn leader(&self) -> usize {
        let mut leaders = (0..self.group.ground.hosts.len())
            .filter(|host| self.group.leads(*host) && self.group.ground.hosts[*host].up);
        leaders.next().expect("somebody leads")
    }

    fn weigh(&mut self, host: usize, weight_milli: u64) -> u64 {
        let op = RegistryOp::SetWeight { role: Role::any(), weight_milli };
        self.group.propose(self.now, host, vec![op])
    }

    fn is_said(&self, host: usize, word: Word) -> bool {
        self.said.contains(&(host, word))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const KINDS: [Masters; 5] =
    [Masters::Raft(1), Masters::Ideal(3), Masters::Raft(3), Masters::Ideal(5), Masters::Raft(5)];

#[test]
fn what_is_agreed_upon_is_applied_everywhere() {
    for masters in KINDS {
        let mut bench = Bench::new(masters, 1);
        bench.run(4 * SECOND);
        let leader = bench.leader();
        let id = bench.weigh(leader, 3000);
        bench.run(SECOND);
        assert!(bench.is_said(leader, Word::Committed { id }), "{masters}: {:?}", bench.said);
        for host in &bench.group.ground.hosts {
            assert_eq!(host.registry.weight_milli(&Role::any()), 3000, "{masters}");
        }
        assert_eq!(bench.group.unsettled(), None);
        let read = bench.group.read(bench.now, leader);
        bench.run(SECOND);
        assert!(bench.is_said(leader, Word::Read { id: read }), "{masters}");
    }
}

#[test]
fn a_leader_that_is_cut_off_gets_nothing_agreed_upon_and_answers_nothing() {
    for masters in KINDS.into_iter().filter(|masters| masters.count() > 1) {
        let mut bench = Bench::new(masters, 2);
        bench.run(4 * SECOND);
        let old = bench.leader();
        let until = bench.now + 20 * SECOND;
        for other in (0..masters.count()).filter(|other| *other != old) {
            bench.group.ground.links.part(old, other, until);
        }
        let id = bench.weigh(old, 3000);
        bench.run(4 * SECOND);
        assert!(bench.is_said(old, Word::Dropped { id }), "{masters}: {:?}", bench.said);
        assert!(bench.is_said(old, Word::Follows { leader: None }), "{masters}");
        let new = bench.leader();
        assert_ne!(new, old, "{masters}");
        let read = bench.group.read(bench.now, old);
        bench.run(SECOND);
        assert!(bench.is_said(old, Word::ReadLost { id: read }), "{masters}");
        let id = bench.weigh(new, 4000);
        bench.run(20 * SECOND);
        assert!(bench.is_said(new, Word::Committed { id }), "{masters}");
        assert_eq!(bench.group.ground.hosts[old].registry.weight_milli(&Role::any()), 4000);
    }
}

#[test]
fn what_was_agreed_upon_survives_the_end_of_all() {
    for masters in KINDS {
        let mut bench = Bench::new(masters, 3);
        bench.run(4 * SECOND);
        let leader = bench.leader();
        for n in 1..=200 {
            bench.weigh(leader, n);
            bench.run(SECOND / 50);
        }
        bench.run(SECOND);
        (0..masters.count()).for_each(|host| bench.group.crash(bench.now, host));
        bench.run(SECOND);
        (0..masters.count()).for_each(|host| bench.group.start(bench.now, host));
        bench.run(6 * SECOND);
        for host in &bench.group.ground.hosts {
            assert_eq!(host.registry.weight_milli(&Role::any()), 200, "{masters}");
        }
    }
}

#[test]
fn a_lost_disk_comes_back_as_a_new_member_and_one_may_leave_and_join() {
    let mut bench = Bench::new(Masters::Raft(3), 4);
    bench.run(4 * SECOND);
    let leader = bench.leader();
    for n in 1..=300 {
        bench.weigh(leader, n);
        bench.run(SECOND / 100);
    }
    let lost = (leader + 1) % 3;
    assert!(bench.group.can_lose_one());
    bench.group.crash(bench.now, lost);
    bench.group.lose_disk(lost);
    assert!(!bench.group.can_lose_one(), "one at a time");
    bench.group.start(bench.now, lost);
    bench.run(20 * SECOND);
    assert_eq!(bench.group.ground.hosts[lost].registry.weight_milli(&Role::any()), 300);
    assert!(bench.group.can_lose_one());
    bench.group.leave((leader + 2) % 3);
    bench.run(5 * SECOND);
    let stopped = bench.said.iter().find(|(_, word)| *word == Word::Stopped);
    let stopped = stopped.expect("it is told that it is none any more").0;
    bench.group.crash(bench.now, stopped);
    bench.group.start(bench.now, stopped);
    bench.run(20 * SECOND);
    assert_eq!(bench.group.unsettled(), None);
}
