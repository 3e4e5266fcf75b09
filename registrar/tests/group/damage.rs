//! Damaged disks, a state that differs, and a group of which most is lost.

use crate::host::{GROUP, Host, add, bounded, caught_up, group, id, leader, options, write};
use registrar::{DiskError, Stopped};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::{Batch, Storage, Store};

/// Changes records behind the back of a member that does not run.
fn tamper(dir: &Path, change: impl FnOnce(&Store, &mut Batch)) {
    let store = Store::open(dir, store::Options::new("registrar", 1).cluster(GROUP)).unwrap();
    let mut batch = Batch::new();
    change(&store, &mut batch);
    assert!(!batch.is_empty(), "there is something to damage");
    store.commit(batch).unwrap();
}

fn keys(store: &Store, prefix: &[u8]) -> Vec<Vec<u8>> {
    store.scan(prefix).map(|record| record.unwrap().key).collect()
}

type Damage = fn(&Store, &mut Batch);

/// What may be damaged while the others are whole.
const DAMAGES: [(&str, Damage); 4] = [
    ("log in the middle", |store, batch| {
        let runs = keys(store, b"l/");
        batch.put(runs[runs.len() / 2].clone(), *b"garbage");
    }),
    ("end of the log", |store, batch| {
        batch.delete(keys(store, b"l/").pop().unwrap());
    }),
    ("content of the snapshot", |store, batch| {
        batch.put(keys(store, b"s/").pop().unwrap(), *b"garbage");
    }),
    ("snapshot", |_, batch| batch.put(*b"s", *b"garbage")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_on_a_disk_is_fetched_anew_from_the_others() {
    let mut hosts = group(3, &options());
    write(&hosts, 500).await;
    for (what, damage) in DAMAGES {
        let last = write(&hosts, 20).await;
        let damaged = (leader(&hosts).await + 1) % 3;
        caught_up(&hosts, last).await;
        hosts[damaged].kill().await;
        tamper(hosts[damaged].dir(), damage);
        hosts[damaged].start();
        let mut status = hosts[damaged].registrar().status();
        assert!(status.borrow().forgot, "{what}");
        let mended = bounded(status.wait_for(|now| !now.forgot)).await;
        assert!(mended.is_ok(), "{what}");
        drop(mended);
        let last = write(&hosts, 1).await;
        caught_up(&hosts, last).await;
        // It is as good as the others: with one of them away, they need it.
        let other = leader(&hosts).await;
        hosts[other].kill().await;
        write(&hosts, 5).await;
        hosts[other].start();
    }
    let last = write(&hosts, 1).await;
    let mut books = Vec::new();
    caught_up(&hosts, last).await;
    for host in &mut hosts {
        books.push(host.book().await.entries);
        host.kill().await;
    }
    assert!(books.windows(2).all(|pair| pair[0] == pair[1]));
    // Its promises are another matter.
    tamper(hosts[0].dir(), |_, batch| batch.put(*b"h", *b"garbage"));
    let config = Host::config(hosts[0].id, hosts[0].dir(), &options());
    let error = registrar::start(config, crate::host::Book::default()).err().unwrap();
    assert!(error.to_string().contains("must be replaced"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_state_differs_stops_and_the_others_go_on() {
    for differs in ["follower", "leader"] {
        let mut hosts = group(3, &options());
        write(&hosts, 60).await;
        let leads = leader(&hosts).await;
        let wrong = if differs == "leader" { leads } else { (leads + 1) % 3 };
        hosts[wrong].twist.store(true, Ordering::Relaxed);
        let last = write(&hosts, 1).await;
        hosts[wrong].caught_up(last).await;
        hosts[wrong].twist.store(false, Ordering::Relaxed);
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        bounded(async {
            while hosts[wrong].registrar().end().get().is_none() {
                let leader = hosts.iter().find(|host| {
                    let status = host.registrar().status();
                    let role = status.borrow().role;
                    role == registrar::Role::Leader && host.registrar().end().get().is_none()
                });
                if let Some(leader) = leader {
                    // Whoever was to lead may have ended by now.
                    let _ = leader.registrar().propose(crate::host::entry(1)).await;
                }
                ticks.tick().await;
            }
        })
        .await;
        let stopped = hosts[wrong].ends().await;
        assert!(matches!(&stopped, Stopped::Lost(loss) if loss.to_string().contains("differs")));
        write(&hosts, 100).await;
        for host in hosts.iter_mut().filter(|host| host.runs()) {
            assert!(host.registrar().end().get().is_none(), "{differs}");
            host.kill().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_three_goes_on_alone_when_it_is_told_to() {
    let mut hosts = group(3, &options());
    let last = write(&hosts, 300).await;
    for host in &mut hosts {
        host.caught_up(last).await;
        host.kill().await;
    }
    let address = hosts[2].address();
    let found = registrar::recover(hosts[2].dir(), GROUP, hosts[2].id, &address).unwrap();
    assert!(found.last >= last && found.term > 0 && !found.lost_entries, "{found:?}");
    assert_eq!(found.members.all(), [1, 2, 3].map(id).into());
    let mut last_one = vec![hosts.pop().unwrap()];
    last_one[0].start();
    assert_eq!(leader(&last_one).await, 0);
    assert_eq!(last_one[0].book().await.entries.len(), 300);
    let mine = write(&last_one, 50).await;
    // The lost ones come back, and find each other, but not the one that went on.
    for host in &mut hosts {
        host.start();
    }
    let old = leader(&hosts).await;
    write(&hosts, 50).await;
    add(&mut last_one, Host::new(4, &options())).await;
    last_one[1].caught_up(mine).await;
    let status = hosts[old].registrar().status().borrow().clone();
    assert_eq!(status.heard.keys().copied().filter(|m| *m == id(3)).count(), 0, "{status:?}");
    for host in &last_one {
        let status = host.registrar().status().borrow().clone();
        let strangers = [1, 2].map(id).into_iter().filter(|m| status.heard.contains_key(m));
        assert_eq!(strangers.count(), 0, "{status:?}");
        assert_eq!(status.members.all(), [3, 4].map(id).into());
        assert_ne!(status.members.epoch, 0);
        assert_eq!(host.book().await.entries.len(), 351, "300, 50 and one when it joined");
    }
    for host in hosts.iter_mut().chain(&mut last_one) {
        host.kill().await;
    }
    // A group of another name, or no disk at all, is not touched.
    let dir = tempfile::tempdir().unwrap();
    let absent = registrar::recover(&dir.path().join("no"), GROUP, id(1), "here").unwrap_err();
    assert!(matches!(absent, DiskError::Absent { .. }), "{absent}");
    let other = registrar::recover(hosts[0].dir(), "other", id(1), "here").unwrap_err();
    assert!(other.to_string().contains(GROUP), "{other}");
}
