//! Members come and go: under load, and while some are away.

use crate::host::{
    GROUP, Host, add, bounded, change, group, hand_over, id, leader, options, write,
};
use bytes::Bytes;
use registrar::{Change, Refusal, Registrar, Role, Stopped};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Proposes without end, to whoever leads, and remembers what was acknowledged, and where.
struct Load {
    members: Arc<Mutex<Vec<Registrar<crate::host::Book>>>>,
    acknowledged: Arc<Mutex<BTreeMap<u64, Bytes>>>,
    over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(hosts: &[Host]) -> Self {
        let mut load = Self {
            members: Arc::default(),
            acknowledged: Arc::default(),
            over: Arc::default(),
            tasks: Vec::new(),
        };
        load.follow(hosts);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..8 {
            let (members, acknowledged) =
                (Arc::clone(&load.members), Arc::clone(&load.acknowledged));
            let (over, next) = (Arc::clone(&load.over), Arc::clone(&next));
            load.tasks.push(tokio::spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(2));
                while !over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let leads =
                        |member: &&Registrar<_>| member.status().borrow().role == Role::Leader;
                    let leader = members.lock().unwrap().iter().find(leads).cloned();
                    let Some(leader) = leader else { continue };
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let entry = Bytes::from(format!("load {number}"));
                    if let Ok((index, _)) = leader.propose(entry.clone()).await {
                        acknowledged.lock().unwrap().insert(index, entry);
                    }
                }
            }));
        }
        load
    }

    /// Whom to ask from now on.
    fn follow(&self, hosts: &[Host]) {
        let running = hosts.iter().filter(|host| host.runs());
        *self.members.lock().unwrap() = running.map(Host::registrar).collect();
    }

    /// What was acknowledged in the end.
    async fn end(self) -> BTreeMap<u64, Bytes> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            bounded(task).await.unwrap();
        }
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until there are so many more.
    async fn goes_on(&self, more: usize) {
        let before = self.count();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        bounded(async {
            while self.count() < before + more {
                ticks.tick().await;
            }
        })
        .await;
    }
}

fn is_removed(stopped: &Stopped) -> bool {
    stopped.to_string().contains("was removed from the group")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_becomes_three_and_five_and_three_and_one_under_load_and_nothing_is_lost() {
    let mut hosts = group(1, &options());
    let load = Load::start(&hosts);
    for n in 2..=5 {
        add(&mut hosts, Host::new(n, &options())).await;
        load.follow(&hosts);
        load.goes_on(20).await;
    }
    for left in [3, 1] {
        // The first one leads in the end, so that it is none of those that go.
        hand_over(&hosts, 0).await;
        let gone: Vec<Host> = hosts.drain(left..).collect();
        load.follow(&hosts);
        let removals: Vec<Change> =
            gone.iter().map(|host| Change::Remove { member: host.id }).collect();
        change(&hosts, &removals).await;
        for mut host in gone {
            let stopped = host.ends().await;
            assert!(is_removed(&stopped), "{stopped}");
        }
        load.goes_on(20).await;
    }
    let acknowledged = load.end().await;
    assert!(acknowledged.len() > 120);
    let host = &mut hosts[0];
    host.kill().await;
    host.start();
    leader(std::slice::from_ref(host)).await;
    let book: BTreeMap<u64, Bytes> = host.book().await.entries.into_iter().collect();
    for (index, entry) in &acknowledged {
        assert_eq!(book.get(index), Some(entry), "at {index}");
    }
    assert_eq!(host.registrar().status().borrow().members.all(), [id(1)].into());
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_removed_while_it_was_away_finds_out() {
    let mut hosts = group(3, &options());
    hand_over(&hosts, 0).await;
    hosts[2].kill().await;
    let mut gone = hosts.pop().unwrap();
    change(&hosts, &[Change::Remove { member: gone.id }]).await;
    gone.start();
    let stopped = gone.ends().await;
    assert!(is_removed(&stopped), "{stopped}");
    // The others are none the worse for it; and one is told over an open stream, too.
    write(&hosts, 10).await;
    let mut learner = Host::new(4, &options());
    registrar::join(learner.dir(), GROUP).unwrap();
    learner.start();
    let (member, address) = (learner.id, learner.address());
    change(&hosts, &[Change::AddLearner { member, address }]).await;
    let last = write(&hosts, 1).await;
    learner.caught_up(last).await;
    change(&hosts, &[Change::Remove { member }]).await;
    let stopped = learner.ends().await;
    assert!(is_removed(&stopped), "{stopped}");
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_away_learns_from_members_that_it_does_not_know() {
    let mut hosts = group(3, &options());
    write(&hosts, 10).await;
    hosts[2].kill().await;
    let mut away = hosts.pop().unwrap();
    for n in [4, 5] {
        add(&mut hosts, Host::new(n, &options())).await;
    }
    hand_over(&hosts, 2).await;
    let old: Vec<Host> = hosts.drain(..2).collect();
    let removals: Vec<Change> = old.iter().map(|h| Change::Remove { member: h.id }).collect();
    change(&hosts, &removals).await;
    for mut host in old {
        host.ends().await;
    }
    // Of two and the one that is away; and so many that it needs a snapshot.
    let last = write(&hosts, 500).await;
    away.start();
    away.caught_up(last).await;
    hosts.push(away);
    let members = hosts[2].registrar().status().borrow().members.all();
    assert_eq!(members, [3, 4, 5].map(id).into());
    hosts[0].kill().await;
    write(&hosts, 5).await;
    for host in hosts.iter_mut().filter(|host| host.runs()) {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_without_an_address_gets_one_before_others_join() {
    let mut first = Host::new(1, &options());
    let members = registrar::Members::of_voters([(first.id, String::new())]);
    registrar::found(first.dir(), GROUP, members, &crate::host::Book::default()).unwrap();
    first.start();
    let (member, address) = (first.id, first.address());
    let mut hosts = vec![first];
    change(&hosts, &[Change::Readdress { member, address: address.clone() }]).await;
    let registrar = hosts[0].registrar();
    let nowhere = Change::Readdress { member, address: String::new() };
    let refused = registrar.change(vec![nowhere]);
    let refused = bounded(refused).await.unwrap_err();
    assert!(matches!(refused, registrar::Failure::Refused(Refusal::Change(_))), "{refused}");
    add(&mut hosts, Host::new(2, &options())).await;
    let addresses = hosts[1].registrar().status().borrow().members.addresses.clone();
    assert_eq!(addresses[&member], address);
    // Both are needed now.
    let last = write(&hosts, 10).await;
    hosts[1].caught_up(last).await;
    let status = hosts[0].registrar().status().borrow().clone();
    assert!(status.heard.contains_key(&id(2)), "{status:?}");
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_one_goes_and_the_one_that_stays_leads_again_though_it_was_killed_at_once() {
    for round in 0..6 {
        let mut hosts = group(2, &options());
        hand_over(&hosts, 0).await;
        let last = write(&hosts, 5).await;
        hosts[1].caught_up(last).await;
        change(&hosts, &[Change::Remove { member: id(2) }]).await;
        // Sooner or later within what the first commits take.
        // waits: what is killed at a moment has no event to wait for
        tokio::time::sleep(Duration::from_micros(500 * round)).await;
        hosts[0].kill().await;
        hosts[0].start();
        let mut gone = hosts.pop().unwrap();
        assert_eq!(leader(&hosts).await, 0, "round {round}");
        let stopped = gone.ends().await;
        assert!(is_removed(&stopped), "round {round}: {stopped}");
        write(&hosts, 5).await;
        let members = hosts[0].registrar().status().borrow().members.all();
        assert_eq!(members, [id(1)].into(), "round {round}");
        hosts[0].kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_back_under_another_address_is_found_there_by_all() {
    let mut hosts = group(3, &options());
    for leads in [false, true] {
        write(&hosts, 10).await;
        let leader = leader(&hosts).await;
        let moved = if leads { leader } else { (leader + 1) % 3 };
        let before = hosts[moved].address();
        hosts[moved].kill().await;
        hosts[moved].moves();
        hosts[moved].start();
        let (member, address) = (hosts[moved].id, hosts[moved].address());
        assert_ne!(address, before);
        change(&hosts, &[Change::Readdress { member, address: address.clone() }]).await;
        // So many that it is behind by a snapshot.
        let last = write(&hosts, 300).await;
        for host in &hosts {
            host.caught_up(last).await;
            let known = host.registrar().status().borrow().members.addresses[&member].clone();
            assert_eq!(known, address, "as {} has it", host.id);
        }
        // Without one of the others it is needed.
        let other = (moved + 1) % 3;
        hosts[other].kill().await;
        write(&hosts, 5).await;
        hosts[other].start();
    }
    for host in &mut hosts {
        host.kill().await;
    }
}
