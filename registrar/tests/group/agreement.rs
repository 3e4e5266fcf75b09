//! Three members and one: agreement, failover, restart, catching up, a hand-over.

use crate::host::{Book, GROUP, Host, bounded, entry, group, hand_over, id, leader, options};
use bytes::Bytes;
use registrar::{Change, Failure, Members};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_agree_and_survive_each_other() {
    let mut hosts = group(3, &options());
    let first = leader(&hosts).await;
    let registrar = hosts[first].registrar();
    for n in 0..20 {
        let (_, outcome) = bounded(registrar.propose(entry(n))).await.unwrap();
        assert_eq!(outcome, n as usize + 1);
    }
    let follower = &hosts[(first + 1) % 3];
    let refused = bounded(follower.registrar().propose(entry(99))).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::Refused(registrar::Refusal::NotLeading { leader: Some(l) }) if *l == hosts[first].id),
        "{refused}"
    );
    // A follower's read sees all that was acknowledged.
    let seen = bounded(follower.registrar().read(|book| book.entries.len())).await.unwrap();
    assert_eq!(seen, 20);

    hosts[first].kill().await;
    let second = leader(&hosts).await;
    assert_ne!(first, second);
    let registrar = hosts[second].registrar();
    assert_eq!(bounded(registrar.read(|book| book.entries.len())).await.unwrap(), 20);
    // So many that the one that is away needs a snapshot.
    let proposals = (20..1_000).map(|n| {
        let registrar = registrar.clone();
        tokio::spawn(async move { registrar.propose(entry(n)).await.unwrap().0 })
    });
    let proposals: Vec<_> = proposals.collect();
    let mut last = 0;
    for proposal in proposals {
        last = bounded(proposal).await.unwrap().max(last);
    }
    hosts[first].start();
    for host in &hosts {
        host.caught_up(last).await;
    }
    let mut books = Vec::new();
    for host in &hosts {
        books.push(host.book().await.entries);
    }
    assert!(books[0] == books[1] && books[1] == books[2]);
    assert_eq!(books[0].len(), 1_000);
    assert!(hosts[second].registrar().status().borrow().first > 500, "the log is cut");

    // All at once.
    for host in &mut hosts {
        host.kill().await;
    }
    for host in &mut hosts {
        host.start();
    }
    let third = leader(&hosts).await;
    let read = bounded(hosts[third].registrar().read(|book| book.entries.len())).await;
    assert_eq!(read.unwrap(), 1_000);
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_the_lead_is_handed_over() {
    let mut hosts = group(3, &options());
    let first = leader(&hosts).await;
    let registrar = hosts[first].registrar();
    for n in 0..300 {
        bounded(registrar.propose(entry(n))).await.unwrap();
    }
    let mut newcomer = Host::new(4, &options());
    registrar::join(newcomer.dir(), GROUP).unwrap();
    newcomer.start();
    let (member, address) = (id(4), newcomer.address());
    bounded(registrar.change(vec![Change::AddLearner { member, address }])).await.unwrap();
    let last = bounded(registrar.propose(entry(300))).await.unwrap().0;
    newcomer.caught_up(last).await;
    let gone = (first + 1) % 3;
    let changes = vec![Change::Promote { member }, Change::Remove { member: hosts[gone].id }];
    bounded(registrar.change(changes)).await.unwrap();
    hosts[gone].kill().await;
    hosts[gone] = newcomer;
    hand_over(&hosts, gone).await;
    let now = leader(&hosts).await;
    assert_eq!(now, gone, "the newcomer leads");
    bounded(hosts[now].registrar().propose(entry(301))).await.unwrap();
    let members = hosts[now].registrar().status().borrow().members.clone();
    assert_eq!(members.voters.len(), 3);
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test]
async fn one_member_alone_is_the_same_code() {
    let mut host = Host::new(1, &options());
    let members = Members::of_voters([(host.id, host.address())]);
    registrar::found(host.dir(), GROUP, members, &Book::default()).unwrap();
    for round in 0..3 {
        host.start();
        let registrar = host.registrar();
        leader(std::slice::from_ref(&host)).await;
        for n in 0..150 {
            bounded(registrar.propose(entry(n))).await.unwrap();
        }
        for bytes in [0, registrar::MAX_ENTRY_BYTES + 1] {
            let refused = registrar.propose(vec![0; bytes].into()).await.unwrap_err();
            assert_eq!(refused, Failure::Unfit { bytes });
        }
        let count = bounded(registrar.read(|book| book.entries.len())).await.unwrap();
        assert_eq!(count, 150 * (round + 1));
        host.kill().await;
    }
}

#[tokio::test]
async fn a_member_ends_with_its_handles() {
    let host = Host::new(1, &options());
    let members = Members::of_voters([(host.id, host.address())]);
    registrar::found(host.dir(), GROUP, members, &Book::default()).unwrap();
    // Its disk is free after that.
    for _ in 0..2 {
        let config = Host::config(host.id, host.dir(), &options());
        let (registrar, task) = registrar::start(config, Book::default()).unwrap();
        bounded(registrar.propose(entry(1))).await.err();
        let (lease, held) = (registrar.lease(), registrar.clone());
        drop(registrar);
        bounded(held.peek(|_| ())).await.unwrap();
        drop(held);
        bounded(task).await.unwrap().unwrap();
        assert!(!lease.holds());
    }
}

#[tokio::test]
async fn what_is_handed_in_is_told_once_and_in_its_order() {
    let mut host = Host::new(1, &options());
    let members = Members::of_voters([(host.id, host.address())]);
    registrar::found(host.dir(), GROUP, members, &Book::default()).unwrap();
    host.start();
    leader(std::slice::from_ref(&host)).await;
    let registrar = host.registrar();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let hand_in = |n: u64, data: Bytes| {
        let tell = tell.clone();
        registrar.submit(data, move |result| {
            tell.send((n, result.map(|(_, outcome)| outcome))).unwrap();
        });
    };
    (0..5_000).for_each(|n| hand_in(n, entry(n)));
    for n in 0..5_000 {
        assert_eq!(bounded(told.recv()).await.unwrap(), (n, Ok(n as usize + 1)));
    }
    hand_in(5_000, Bytes::new());
    assert_eq!(bounded(told.recv()).await.unwrap(), (5_000, Err(Failure::Unfit { bytes: 0 })));
    // Some before the end, some after it.
    (0..100).for_each(|n| hand_in(n, entry(n)));
    host.kill().await;
    hand_in(100, entry(100));
    let mut seen = BTreeSet::new();
    for _ in 0..=100 {
        let (n, result) = bounded(told.recv()).await.unwrap();
        assert!(seen.insert(n) && (result.is_ok() || result == Err(Failure::Ended)), "{n}");
    }
    assert!(told.try_recv().is_err(), "somebody was told twice");
}
