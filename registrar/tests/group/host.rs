//! A member with its disk and its address, and the state that it keeps.

use bytes::Bytes;
use registrar::{
    Change, Config, MemberId, Members, Options, Registrar, Role, Started, StateMachine, Stopped,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// All entries, in order.
#[derive(Clone, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<(u64, Bytes)>,
    /// While it is set, entries are not applied as they are.
    pub(crate) twist: Arc<AtomicBool>,
}

impl StateMachine for Book {
    type Outcome = usize;

    fn apply(&mut self, index: u64, entry: &Bytes) -> usize {
        let is_twisted = self.twist.load(Ordering::Relaxed);
        let entry = if is_twisted { Bytes::from_static(b"something else") } else { entry.clone() };
        self.entries.push((index, entry));
        self.entries.len()
    }

    fn snapshot(&self) -> Bytes {
        let mut bytes = Vec::new();
        for (index, entry) in &self.entries {
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&(entry.len() as u64).to_le_bytes());
            bytes.extend_from_slice(entry);
        }
        bytes.into()
    }

    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String> {
        self.entries.clear();
        let mut rest = snapshot.clone();
        while rest.len() >= 16 {
            let int = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
            let head = rest.split_to(16);
            let entry = rest.split_to(int(&head[8..]) as usize);
            self.entries.push((int(&head[..8]), entry));
        }
        Ok(())
    }

    fn hash(&self) -> u64 {
        u64::from(crc32fast::hash(&self.snapshot()))
    }
}

type Running = (Registrar<Book>, JoinHandle<Result<(), Stopped>>, JoinHandle<()>);

pub(crate) struct Host {
    pub(crate) id: MemberId,
    listener: std::net::TcpListener,
    dir: tempfile::TempDir,
    options: Options,
    pub(crate) twist: Arc<AtomicBool>,
    running: Option<Running>,
}

pub(crate) const GROUP: &str = "a group";

pub(crate) fn id(id: u64) -> MemberId {
    MemberId::new(id).unwrap()
}

fn listen() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

impl Host {
    pub(crate) fn new(n: u64, options: &Options) -> Self {
        let listener = listen();
        let (dir, options) = (tempfile::tempdir().unwrap(), options.clone());
        Self { id: id(n), listener, dir, options, twist: Arc::default(), running: None }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// It is found elsewhere at its next start, and nobody is where it was.
    pub(crate) fn moves(&mut self) {
        assert!(!self.runs(), "it is down");
        self.listener = listen();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How it is started, from here or from another process.
    pub(crate) fn config(id: MemberId, dir: &Path, options: &Options) -> Config {
        let (dir, options) = (dir.to_owned(), options.clone());
        Config { id, group: Arc::from(GROUP), dir, options, cache_bytes: 2 << 20, seed: id.get() }
    }

    pub(crate) fn start(&mut self) {
        let config = Self::config(self.id, self.dir(), &self.options);
        let book = Book { twist: Arc::clone(&self.twist), ..Book::default() };
        let (registrar, task): Started<Book> = registrar::start(config, book).unwrap();
        let listener = TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let server = serve(&registrar, listener);
        self.running = Some((registrar, task, server));
    }

    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// As a process that is killed: nothing is said to anybody.
    pub(crate) async fn kill(&mut self) {
        let (registrar, task, server) = self.running.take().unwrap();
        task.abort();
        server.abort();
        let _ = (task.await, server.await);
        drop(registrar);
    }

    /// Waits until it ends by itself, and says why it did.
    pub(crate) async fn ends(&mut self) -> Stopped {
        let (registrar, task, server) = self.running.take().unwrap();
        let stopped = bounded(task).await.unwrap().unwrap_err();
        server.abort();
        let _ = server.await;
        drop(registrar);
        stopped
    }

    pub(crate) fn registrar(&self) -> Registrar<Book> {
        self.running.as_ref().unwrap().0.clone()
    }

    pub(crate) async fn book(&self) -> Book {
        bounded(self.registrar().peek(Clone::clone)).await.unwrap()
    }

    pub(crate) async fn caught_up(&self, index: u64) {
        let registrar = self.registrar();
        let mut status = registrar.status();
        let last = |book: &Book| book.entries.last().map_or(0, |(at, _)| *at);
        let catches_up = async {
            while registrar.peek(last).await.unwrap() < index {
                let _ = tokio::time::timeout(Duration::from_millis(20), status.changed()).await;
            }
        };
        let is_there = tokio::time::timeout(Duration::from_secs(60), catches_up).await.is_ok();
        assert!(is_there, "{} has not {index}: {:?}", self.id, *registrar.status().borrow());
    }
}

/// All that run have everything up to `index`.
pub(crate) async fn caught_up(hosts: &[Host], index: u64) {
    let all = async {
        for host in hosts.iter().filter(|host| host.runs()) {
            host.caught_up(index).await;
        }
    };
    let is_there = tokio::time::timeout(Duration::from_secs(50), all).await.is_ok();
    let stand = || {
        hosts
            .iter()
            .filter(|host| host.runs())
            .map(|host| format!("{:?}\n", *host.registrar().status().borrow()))
    };
    assert!(is_there, "somebody has not {index}: {}", stand().collect::<String>());
}

/// Lets others talk to a member.
pub(crate) fn serve(registrar: &Registrar<Book>, listener: TcpListener) -> JoinHandle<()> {
    let router = axum::Router::new().route_service(registrar::PATH, registrar.service());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

/// So many founders, started.
pub(crate) fn group(size: u64, options: &Options) -> Vec<Host> {
    let mut hosts: Vec<Host> = (1..=size).map(|n| Host::new(n, options)).collect();
    let members = Members::of_voters(hosts.iter().map(|host| (host.id, host.address())));
    for host in &mut hosts {
        registrar::found(host.dir(), GROUP, members.clone(), &Book::default()).unwrap();
        host.start();
    }
    hosts
}

/// The one of `hosts` that leads, once one does.
pub(crate) async fn leader(hosts: &[Host]) -> usize {
    bounded(async {
        loop {
            for (n, host) in hosts.iter().enumerate().filter(|(_, host)| host.runs()) {
                let registrar = host.registrar();
                let mut status = registrar.status();
                let is_leader = status.borrow_and_update().role == Role::Leader;
                // It may believe so wrongly; then no majority bears it out.
                if is_leader && registrar.read_index().await.is_ok() {
                    return n;
                }
                let _ = tokio::time::timeout(Duration::from_millis(10), status.changed()).await;
            }
        }
    })
    .await
}

/// Has whoever leads change the members, once it can.
pub(crate) async fn change(hosts: &[Host], changes: &[Change]) {
    bounded(async {
        loop {
            let leader = hosts[leader(hosts).await].registrar();
            match leader.change(changes.to_vec()).await {
                Ok(_) => return,
                Err(failure) => assert!(!failure.to_string().contains("member already")),
            }
            let mut status = leader.status();
            let _ = tokio::time::timeout(Duration::from_millis(20), status.changed()).await;
        }
    })
    .await;
}

/// Adds a member that votes, once it has everything.
pub(crate) async fn add(hosts: &mut Vec<Host>, mut newcomer: Host) {
    registrar::join(newcomer.dir(), GROUP).unwrap();
    newcomer.start();
    let (member, address) = (newcomer.id, newcomer.address());
    change(hosts, &[Change::AddLearner { member, address }]).await;
    let last = write(hosts, 1).await;
    newcomer.caught_up(last).await;
    hosts.push(newcomer);
    change(hosts, &[Change::Promote { member }]).await;
}

/// So many entries are agreed upon; returns where the last one is.
pub(crate) async fn write(hosts: &[Host], count: u64) -> u64 {
    let mut last = 0;
    let mut written = 0;
    while written < count {
        let leader = hosts[leader(hosts).await].registrar();
        let proposals: Vec<_> = (written..count)
            .map(|n| {
                let leader = leader.clone();
                tokio::spawn(async move { leader.propose(entry(n)).await })
            })
            .collect();
        for proposal in proposals {
            if let Ok((index, _)) = bounded(proposal).await.unwrap() {
                last = index.max(last);
                written += 1;
            }
        }
    }
    last
}

/// Hands the lead over to the one at `to`.
pub(crate) async fn hand_over(hosts: &[Host], to: usize) {
    bounded(async {
        loop {
            let now = leader(hosts).await;
            if now == to {
                return;
            }
            let registrar = hosts[now].registrar();
            registrar.transfer(Some(hosts[to].id)).await.unwrap();
            let mut status = registrar.status();
            let _ = tokio::time::timeout(Duration::from_millis(50), status.changed()).await;
        }
    })
    .await;
}

pub(crate) async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("in time")
}

pub(crate) fn entry(n: u64) -> Bytes {
    Bytes::from(format!("entry {n}"))
}

pub(crate) fn options() -> Options {
    Options { snapshot_entries: 200, kept_entries: 50, hash_entries: 50, ..Options::default() }
}
