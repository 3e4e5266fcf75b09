//! When commits begin, and in which order: alone, in company, behind a full disk.

use super::{CROWD, Commits, FULL_RETRY, LINGER};
use crate::checkpoint::{Committed, Reserve, Writer};
use agent_core::{CheckpointOp, Effect};
use proto::ContainerId;
use proto::agent_link::AgentCall;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Batch, Damaged, Scan, Storage, StoreError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// Counts the changes of each commit; may be full.
#[derive(Default)]
struct Disk {
    full: AtomicBool,
    commits: Mutex<Vec<usize>>,
}

impl Storage for Disk {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        Ok(None)
    }

    fn scan(&self, _: &[u8]) -> Scan<'_> {
        Box::new(std::iter::empty())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full { dir: "/full".into(), free: 0, needed: 1 });
        }
        self.commits.lock().unwrap().push(batch.len());
        Ok(())
    }
}

fn rig() -> (Arc<Disk>, Commits, UnboundedReceiver<Committed>) {
    let disk = Arc::new(Disk::default());
    let none = Reserve::open(std::path::Path::new("/none"));
    let (writer, answers) = Writer::start(disk.clone(), none).unwrap();
    let mut commits = Commits::new(writer, Vec::new());
    commits.gathering_since = None;
    (disk, commits, answers)
}

fn op(name: &str) -> CheckpointOp {
    CheckpointOp::DeleteSandbox { container_id: ContainerId::new(name).unwrap() }
}

#[tokio::test]
async fn a_record_that_nothing_waits_for_lingers_for_company() {
    let (disk, mut commits, mut answers) = rig();
    let now = Instant::now();
    commits.gather(&op("a"), now);
    assert_eq!(commits.advance(0, now), Some(now + LINGER));
    commits.gather(&op("b"), now + LINGER / 2);
    assert_eq!(commits.advance(0, now + LINGER), None);
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    assert_eq!(*disk.commits.lock().unwrap(), [2]);
}

#[tokio::test]
async fn what_is_waited_for_begins_at_once_and_one_commit_at_a_time() {
    let (disk, mut commits, mut answers) = rig();
    let now = Instant::now();
    commits.gather(&op("a"), now);
    assert_eq!(commits.advance(1, now), None);
    for name in ["b", "c"] {
        commits.gather(&op(name), now);
    }
    assert_eq!((commits.advance(2, now), commits.gathering.len()), (None, 2));
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    commits.under_way = false;
    assert_eq!((commits.advance(2, now), commits.gathering.len()), (None, 0));
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    assert_eq!(*disk.commits.lock().unwrap(), [1, 2]);
    assert_eq!(commits.next, 3);
}

#[tokio::test]
async fn nothing_overtakes_a_commit_that_found_the_disk_full() {
    let (disk, mut commits, mut answers) = rig();
    disk.full.store(true, Ordering::SeqCst);
    let now = Instant::now();
    commits.gather(&op("a"), now);
    commits.advance(1, now);
    let Some(Committed::Full(changes, _)) = answers.recv().await else { panic!("not full") };
    commits.under_way = false;
    let again = now + FULL_RETRY;
    commits.stuck = Some((again, changes));
    for name in ["b", "c", "d"] {
        commits.gather(&op(name), now);
    }
    assert_eq!(commits.advance(2, now), Some(again), "the later ones wait");
    disk.full.store(false, Ordering::SeqCst);
    commits.advance(2, again);
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    commits.under_way = false;
    commits.advance(2, again);
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    assert_eq!(*disk.commits.lock().unwrap(), [1, 3]);
}

#[tokio::test]
async fn an_agent_whose_disk_is_full_says_that_it_lives() {
    let (disk, mut commits, mut answers) = rig();
    disk.full.store(true, Ordering::SeqCst);
    let now = Instant::now();
    commits.gather(&op("a"), now);
    commits.barrier = commits.next;
    commits.advance(commits.barrier, now);
    assert!(matches!(answers.recv().await, Some(Committed::Full(..))));
    let pong = Effect::ToMaster { link: 1, call: AgentCall::Pong { sequence: 7 } };
    assert!(!commits.must_wait(&pong), "the master would take its tasks for lost");
    assert!(commits.must_wait(&Effect::Disconnect { link: 1 }), "all else keeps its order");
}

#[tokio::test]
async fn in_a_crowd_commits_keep_their_distance() {
    let (disk, mut commits, mut answers) = rig();
    let start = Instant::now();
    let at = |micros: u32| start + Duration::from_micros(1) * micros;
    // So many that one commit each would be a waste.
    let records = 10 * CROWD;
    for n in 0..records {
        commits.gather(&op(&format!("c{n}")), at(n * 1000 / (2 * CROWD)));
    }
    let now = at(5_000);
    assert_eq!(commits.advance(1, now), None, "the first begins at once");
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    (commits.under_way, commits.durable) = (false, 1);
    commits.gather(&op("next"), now);
    let due = commits.advance(2, now).expect("it waits for company");
    assert!(due > now);
    commits.gather(&op("company"), now);
    assert_eq!(commits.advance(2, due), None);
    assert!(matches!(answers.recv().await, Some(Committed::Durable)));
    assert_eq!(*disk.commits.lock().unwrap(), [records as usize, 2]);
}
