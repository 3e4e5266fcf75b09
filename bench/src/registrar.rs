//! The registrar: three members over loopback, each with its own disk, and what a commit costs.
//!
//! The floor is `fdatasync` of an appended record of the same size, one after the other, on the
//! same disk, before and after. All three members share one process, one disk and its processors,
//! so a commit costs three of everything.

use crate::stats;
use ::registrar::{Config, MemberId, Members, Options, Registrar, Role, StateMachine};
use bytes::Bytes;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Bytes of an entry.
const ENTRY: usize = 256;
const RUNS: usize = 3;
/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(2);

/// Counts entries; the log alone is measured.
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
        let count = snapshot.first_chunk().ok_or("it has not eight bytes")?;
        self.0 = u64::from_le_bytes(*count);
        Ok(())
    }

    fn hash(&self) -> u64 {
        self.0
    }
}

/// Prints commits a second and times, beside the floor.
pub(crate) fn run() {
    println!("registrar: three members and one, entries of {ENTRY} bytes (medians of {RUNS}):");
    for size in [3, 1] {
        let figures: Vec<Figures> = (0..RUNS).map(|_| measure(size)).collect();
        let median =
            |of: fn(&Figures) -> f64| stats::median(&figures.iter().map(of).collect::<Vec<_>>());
        let (sync, commit) = (median(|f| f.sync), median(|f| f.commit));
        println!(
            "  {size} member(s): fdatasync {:.0} us; commit one by one p50 {:.0} us ({:.1} of it), p99 {:.0} us; 64 in flight {:.0}/s, 1,024 in flight {:.0}/s; read_index p50 {:.0} us",
            sync * 1e6,
            commit * 1e6,
            commit / sync,
            median(|f| f.slow) * 1e6,
            median(|f| f.few),
            median(|f| f.many),
            median(|f| f.read) * 1e6,
        );
    }
}

struct Figures {
    sync: f64,
    commit: f64,
    slow: f64,
    few: f64,
    many: f64,
    read: f64,
}

fn measure(size: u64) -> Figures {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let before = syncs(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let figures = runtime.block_on(async {
        let members = group(dir.path(), size).await;
        let leader = leader(&members).await;
        let mut commits = Vec::new();
        for _ in 0..1_000 {
            let begin = Instant::now();
            leader.propose(entry()).await.expect("it leads");
            commits.push(begin.elapsed().as_secs_f64());
        }
        let mut reads = Vec::new();
        for _ in 0..1_000 {
            let begin = Instant::now();
            leader.read_index().await.expect("it leads");
            reads.push(begin.elapsed().as_secs_f64());
        }
        let few = load(&leader, 64).await;
        let many = load(&leader, 1_024).await;
        let commit = stats::median(&commits);
        let slow = stats::percentile(&commits, 0.99);
        Figures { sync: before, commit, slow, few, many, read: stats::median(&reads) }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    Figures { sync: f64::midpoint(before, syncs(dir.path())), ..figures }
}

fn entry() -> Bytes {
    Bytes::from(vec![0x5a; ENTRY])
}

/// Seconds of one append and its fdatasync.
fn syncs(dir: &Path) -> f64 {
    let mut file = File::create(dir.join("floor")).expect("a file can be made");
    let mut times = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        file.write_all(&[0x5a; ENTRY]).and_then(|()| file.sync_data()).expect("the disk works");
        times.push(begin.elapsed().as_secs_f64());
    }
    stats::median(&times)
}

async fn group(dir: &Path, size: u64) -> Vec<Registrar<Counter>> {
    let id = |n| MemberId::new(n).expect("members count from one");
    let mut listeners = Vec::new();
    for _ in 0..size {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"));
    }
    let address = |n: u64| listeners[n as usize - 1].local_addr().expect("it is bound").to_string();
    let members = Members::of_voters((1..=size).map(|n| (id(n), address(n))));
    let mut registrars = Vec::new();
    for (n, listener) in (1..=size).zip(listeners) {
        let dir = dir.join(n.to_string());
        ::registrar::found(&dir, "bench", members.clone(), &Counter::default())
            .expect("a new disk");
        let config = Config {
            id: id(n),
            group: Arc::from("bench"),
            dir,
            options: Options::default(),
            cache_bytes: 8 << 20,
            seed: n,
        };
        let (registrar, task) =
            ::registrar::start(config, Counter::default()).expect("a whole disk");
        let router = axum::Router::new().route_service(::registrar::PATH, registrar.service());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).expect("a socket option");
        });
        // Both end with the runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::spawn(async move { task.await.expect("no panic").expect("the disk works") });
        registrars.push(registrar);
    }
    registrars
}

async fn leader(members: &[Registrar<Counter>]) -> Registrar<Counter> {
    loop {
        for member in members {
            let is_leader = member.status().borrow().role == Role::Leader;
            if is_leader && member.read_index().await.is_ok() {
                return member.clone();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Commits a second with so many in flight.
async fn load(leader: &Registrar<Counter>, in_flight: usize) -> f64 {
    let done = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (leader, done) = (leader.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while begin.elapsed() < LOAD {
                    leader.propose(entry()).await.expect("it leads");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}
