//! A member whose disk fills up and is emptied again, alone and among others.

use super::*;
use crate::space::BIGGEST;
use axum::serve::ListenerExt;
use bytes::Bytes;
use registrar_core::{Change, Role};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Counts entries.
#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    type Outcome = u64;

    fn apply(&mut self, _: u64, _: &Bytes) -> u64 {
        self.0 += 1;
        self.0
    }

    fn snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String> {
        self.0 = snapshot.first_chunk().map_or(0, |count| u64::from_le_bytes(*count));
        Ok(())
    }

    fn hash(&self) -> u64 {
        self.0
    }
}

struct Place {
    dir: tempfile::TempDir,
    listener: std::net::TcpListener,
    /// Bytes that are free, as its disk says; ten are needed.
    free: Arc<AtomicU64>,
    /// Told when somebody connects.
    met: Arc<Notify>,
}

impl Place {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (dir, free) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(u64::MAX)));
        Self { dir, listener, free, met: Arc::default() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Starts the member whose disk is here.
    fn start(&self, n: u64) -> Registrar<Counter> {
        let config = Config {
            id: id(n),
            group: Arc::from(GROUP),
            dir: self.dir.path().to_owned(),
            options: Options::default(),
            cache_bytes: 1 << 20,
            seed: n,
        };
        let free = Arc::clone(&self.free);
        let probe = move |_: &Disk| Ok(Space { free: free.load(Ordering::Relaxed), needed: 10 });
        let (registrar, _) = start_with(config, Counter::default(), Box::new(probe)).unwrap();
        let router = axum::Router::new().route_service(crate::PATH, registrar.service());
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone().unwrap());
        let met = Arc::clone(&self.met);
        let listener = listener.unwrap().tap_io(move |_| met.notify_one());
        // Ends with the runtime.
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        registrar
    }
}

const GROUP: &str = "g";

fn id(n: u64) -> MemberId {
    MemberId::new(n).unwrap()
}

/// Members on loopback, all started, with roomy disks.
fn group(size: u64) -> Vec<(Place, Registrar<Counter>)> {
    let places: Vec<Place> = (0..size).map(|_| Place::new()).collect();
    let voters = (1..).zip(&places).map(|(n, place)| (id(n), place.address()));
    let members = Members::of_voters(voters);
    let start = |(n, place): (u64, Place)| {
        found(place.dir.path(), GROUP, members.clone(), &Counter::default()).unwrap();
        let registrar = place.start(n);
        (place, registrar)
    };
    (1..).zip(places).map(start).collect()
}

fn is_full(result: &Result<(u64, u64), Failure>) -> bool {
    matches!(result, Err(Failure::Full { .. }))
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("in time")
}

/// Proposes until what comes of it is this: what it waits for is the next look at the disk.
async fn until(
    registrar: &Registrar<Counter>,
    is_it: impl Fn(&Result<(u64, u64), Failure>) -> bool,
) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    bounded(async {
        while !is_it(&registrar.propose(Bytes::from_static(b"x")).await) {
            ticks.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_room_entries_are_refused_with_figures_until_there_is_room_again() {
    let members = group(1);
    let (place, registrar) = &members[0];
    until(registrar, Result::is_ok).await;
    let least = 10 + BIGGEST;
    let needed = 2 * least;
    place.free.store(least - 1, Ordering::Relaxed);
    let full = Err(Failure::Full { free: least - 1, needed });
    until(registrar, |result| *result == full).await;
    // It still leads, and answers.
    let before = bounded(registrar.read(|counter| counter.0)).await.unwrap();
    // A little is not enough: it would waver.
    place.free.store(needed - 1, Ordering::Relaxed);
    let still = Err(Failure::Full { free: needed - 1, needed });
    until(registrar, |result| *result == still).await;
    assert_eq!(bounded(registrar.read(|counter| counter.0)).await.unwrap(), before);
    place.free.store(needed, Ordering::Relaxed);
    until(registrar, Result::is_ok).await;
}

/// The one that leads, once one does that is not `but`.
async fn leader(members: &[(Place, Registrar<Counter>)], but: Option<usize>) -> usize {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    bounded(async {
        loop {
            for (n, (_, registrar)) in members.iter().enumerate() {
                let leads = registrar.status().borrow().role == Role::Leader;
                if leads && Some(n) != but && registrar.read_index().await.is_ok() {
                    return n;
                }
            }
            ticks.tick().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_room_hands_over_and_is_told_everything_once_it_has_some() {
    let members = group(3);
    let first = leader(&members, None).await;
    until(&members[first].1, Result::is_ok).await;
    members[first].0.free.store(0, Ordering::Relaxed);
    let second = leader(&members, Some(first)).await;
    until(&members[second].1, Result::is_ok).await;
    let count = bounded(members[second].1.read(|counter| counter.0)).await.unwrap();
    members[first].0.free.store(u64::MAX, Ordering::Relaxed);
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    bounded(async {
        while members[first].1.peek(|counter| counter.0).await.unwrap() < count {
            ticks.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_without_room_hears_who_leads_and_answers_reads_once_it_has_some() {
    let members = group(1);
    let (place, leader) = &members[0];
    until(leader, Result::is_ok).await;
    let newcomer = Place::new();
    newcomer.free.store(0, Ordering::Relaxed);
    join(newcomer.dir.path(), GROUP).unwrap();
    let registrar = newcomer.start(2);
    until(&registrar, is_full).await;
    let change = Change::AddLearner { member: id(2), address: newcomer.address() };
    bounded(leader.change(vec![change])).await.unwrap();
    // The leader greets it once. It turns to the leader at once, as full as it is.
    bounded(place.met.notified()).await;
    assert!(is_full(&registrar.propose(Bytes::from_static(b"x")).await));
    newcomer.free.store(u64::MAX, Ordering::Relaxed);
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let read = bounded(async {
        loop {
            if let Ok(count) = registrar.read(|counter| counter.0).await {
                return count;
            }
            ticks.tick().await;
        }
    });
    let there = bounded(leader.read(|counter| counter.0));
    assert_eq!(read.await, there.await.unwrap());
}

/// Hands in one more whenever one was refused, until so many were.
fn hand_in_without_end(registrar: Registrar<Counter>, refused: Arc<AtomicU64>, most: u64) {
    registrar.clone().submit(Bytes::from_static(b"x"), move |result| {
        let goes_on = is_full(&result) && refused.fetch_add(1, Ordering::Relaxed) + 1 < most;
        if goes_on {
            hand_in_without_end(registrar, refused, most);
        }
    });
}

#[tokio::test]
async fn whoever_asks_is_answered_between_those_who_hand_in_without_end() {
    const MOST: u64 = 100_000;
    let members = group(1);
    let (place, registrar) = &members[0];
    until(registrar, Result::is_ok).await;
    // Then entries are refused at once, so that there always is another.
    place.free.store(0, Ordering::Relaxed);
    until(registrar, is_full).await;
    let refused = Arc::new(AtomicU64::new(0));
    hand_in_without_end(registrar.clone(), Arc::clone(&refused), MOST);
    bounded(registrar.peek(|_| ())).await.unwrap();
    bounded(registrar.read(|_| ())).await.unwrap();
    assert!(refused.load(Ordering::Relaxed) < MOST, "the others had to end first");
}
