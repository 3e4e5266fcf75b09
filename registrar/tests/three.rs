//! Three members over loopback, each with its own disk: agreement, failover, restart, catching up,
//! members that come and go.
#![allow(clippy::unwrap_used, reason = "what is not as the test made it fails the test")]

use bytes::Bytes;
use registrar::{
    Change, Config, Failure, MemberId, Members, Options, Registrar, Role, Started, StateMachine,
    Stopped,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// All entries, in order.
#[derive(Clone, Default)]
struct Book(Vec<(u64, Bytes)>);

impl StateMachine for Book {
    type Outcome = usize;

    fn apply(&mut self, index: u64, entry: &Bytes) -> usize {
        self.0.push((index, entry.clone()));
        self.0.len()
    }

    fn snapshot(&self) -> Bytes {
        let mut bytes = Vec::new();
        for (index, entry) in &self.0 {
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&(entry.len() as u64).to_le_bytes());
            bytes.extend_from_slice(entry);
        }
        bytes.into()
    }

    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String> {
        self.0.clear();
        let mut rest = &snapshot[..];
        while let Some((head, after)) = rest.split_at_checked(16) {
            let int = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
            let (entry, after) = after.split_at(int(&head[8..]) as usize);
            self.0.push((int(&head[..8]), Bytes::copy_from_slice(entry)));
            rest = after;
        }
        Ok(())
    }

    fn hash(&self) -> u64 {
        u64::from(crc32fast::hash(&self.snapshot()))
    }
}

type Running = (Registrar<Book>, JoinHandle<Result<(), Stopped>>, JoinHandle<()>);

struct Host {
    id: MemberId,
    listener: std::net::TcpListener,
    dir: tempfile::TempDir,
    options: Options,
    running: Option<Running>,
}

const GROUP: &str = "a group";

fn id(id: u64) -> MemberId {
    MemberId::new(id).unwrap()
}

impl Host {
    fn new(n: u64, options: &Options) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (dir, options) = (tempfile::tempdir().unwrap(), options.clone());
        Self { id: id(n), listener, dir, options, running: None }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn start(&mut self) {
        let config = Config {
            id: self.id,
            group: Arc::from(GROUP),
            dir: self.dir().to_owned(),
            options: self.options.clone(),
            cache_bytes: 2 << 20,
            seed: self.id.get(),
        };
        let (registrar, task): Started<Book> = registrar::start(config, Book::default()).unwrap();
        let router = axum::Router::new().route_service(registrar::PATH, registrar.service());
        let listener = TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        self.running = Some((registrar, task, server));
    }

    /// As a process that is killed: nothing is said to anybody.
    async fn kill(&mut self) {
        let (registrar, task, server) = self.running.take().unwrap();
        task.abort();
        server.abort();
        let _ = (task.await, server.await);
        drop(registrar);
    }

    fn registrar(&self) -> Registrar<Book> {
        self.running.as_ref().unwrap().0.clone()
    }

    async fn caught_up(&self, index: u64) {
        let mut status = self.registrar().status();
        while self.registrar().peek(|book| book.0.last().map_or(0, |(at, _)| *at)).await.unwrap()
            < index
        {
            let _ = tokio::time::timeout(Duration::from_millis(20), status.changed()).await;
        }
    }
}

fn group(options: &Options) -> Vec<Host> {
    let mut hosts: Vec<Host> = (1..=3).map(|n| Host::new(n, options)).collect();
    let members = Members::of_voters(hosts.iter().map(|host| (host.id, host.address())));
    for host in &mut hosts {
        registrar::found(host.dir(), GROUP, members.clone(), &Book::default()).unwrap();
        host.start();
    }
    hosts
}

/// The one of `hosts` that leads, once one does.
async fn leader(hosts: &[Host]) -> usize {
    loop {
        for (n, host) in hosts.iter().enumerate() {
            let Some((registrar, ..)) = &host.running else { continue };
            let mut status = registrar.status();
            let is_leader = status.borrow_and_update().role == Role::Leader;
            // It may believe so wrongly; then no majority bears it out.
            if is_leader && registrar.read_index().await.is_ok() {
                return n;
            }
            let _ = tokio::time::timeout(Duration::from_millis(10), status.changed()).await;
        }
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("in time")
}

fn entry(n: u64) -> Bytes {
    Bytes::from(format!("entry {n}"))
}

fn options() -> Options {
    Options { snapshot_entries: 200, kept_entries: 50, hash_entries: 50, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_agree_and_survive_each_other() {
    let mut hosts = group(&options());
    let first = bounded(leader(&hosts)).await;
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
    let seen = bounded(follower.registrar().read(|book| book.0.len())).await.unwrap();
    assert_eq!(seen, 20);

    hosts[first].kill().await;
    let second = bounded(leader(&hosts)).await;
    assert_ne!(first, second);
    let registrar = hosts[second].registrar();
    assert_eq!(bounded(registrar.read(|book| book.0.len())).await.unwrap(), 20);
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
        bounded(host.caught_up(last)).await;
    }
    let mut books = Vec::new();
    for host in &hosts {
        books.push(bounded(host.registrar().peek(Clone::clone)).await.unwrap().0);
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
    let third = bounded(leader(&hosts)).await;
    let read = bounded(hosts[third].registrar().read(|book| book.0.len())).await;
    assert_eq!(read.unwrap(), 1_000);
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_the_lead_is_handed_over() {
    let mut hosts = group(&options());
    let first = bounded(leader(&hosts)).await;
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
    bounded(newcomer.caught_up(last)).await;
    let gone = (first + 1) % 3;
    let changes = vec![Change::Promote { member }, Change::Remove { member: hosts[gone].id }];
    bounded(registrar.change(changes)).await.unwrap();
    hosts[gone].kill().await;
    hosts[gone] = newcomer;
    bounded(registrar.transfer(Some(member))).await.unwrap();
    let now = loop {
        let now = bounded(leader(&hosts)).await;
        if now != first {
            break now;
        }
    };
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
        bounded(leader(std::slice::from_ref(&host))).await;
        for n in 0..150 {
            bounded(registrar.propose(entry(n))).await.unwrap();
        }
        for bytes in [0, registrar::MAX_ENTRY_BYTES + 1] {
            let refused = registrar.propose(vec![0; bytes].into()).await.unwrap_err();
            assert_eq!(refused, Failure::Unfit { bytes });
        }
        let count = bounded(registrar.read(|book| book.0.len())).await.unwrap();
        assert_eq!(count, 150 * (round + 1));
        host.kill().await;
    }
}

#[tokio::test]
async fn a_member_ends_with_its_handles() {
    let mut host = Host::new(1, &options());
    let members = Members::of_voters([(host.id, host.address())]);
    registrar::found(host.dir(), GROUP, members, &Book::default()).unwrap();
    host.start();
    bounded(host.registrar().propose(entry(1))).await.err();
    let (registrar, task, server) = host.running.take().unwrap();
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    drop(registrar);
    bounded(task).await.unwrap().unwrap();
    // Its disk is free.
    host.start();
    host.kill().await;
}

#[tokio::test]
async fn what_is_handed_in_is_told_once_and_in_its_order() {
    let mut host = Host::new(1, &options());
    let members = Members::of_voters([(host.id, host.address())]);
    registrar::found(host.dir(), GROUP, members, &Book::default()).unwrap();
    host.start();
    bounded(leader(std::slice::from_ref(&host))).await;
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
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..=100 {
        let (n, result) = bounded(told.recv()).await.unwrap();
        assert!(seen.insert(n) && (result.is_ok() || result == Err(Failure::Ended)), "{n}");
    }
    assert!(told.try_recv().is_err(), "somebody was told twice");
}
